//! Makes streams, and groups where that is allowed, before the first put; each once, however many wait for it.
//!
//! ```text
//! known (this run, or the state of an earlier one) ─▶ put at once ─▶ not found: forgotten, made, put again
//! unknown ─▶ CreateLogStream ─┬─ made, or there ─▶ known
//!                             └─ no such group ─▶ CreateLogGroup ─▶ PutRetentionPolicy ─▶ CreateLogStream
//! ```
//! Nothing is ever described: that is limited to a few calls a second for a whole account.

use super::super::Outcome;
use super::answer::{Failure, Kind, SELDOM, SOON};
use super::names::split_key;
use super::service::Service;
use super::settings::GroupSettings;
use crate::state::State;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// A group that was made so short ago need not be made again.
const MADE_LATELY: Duration = Duration::from_secs(60);
/// How often it is noted that a stream is still used.
const NOTE_EVERY: Duration = Duration::from_secs(86_400);
/// Above this the streams of pods that are gone are forgotten.
const KNOWN_MAX: usize = 10_000;

/// How often that is looked for.
const LOOK_EVERY: Duration = Duration::from_secs(3600);

/// The streams that are known to be there.
#[derive(Debug)]
pub(super) struct Streams {
    settings: GroupSettings,
    /// Whose streams these are, in the state.
    owner: String,
    state: OnceLock<Arc<State>>,
    known: Mutex<Known>,
    groups: Mutex<HashMap<String, Arc<tokio::sync::Mutex<Group>>>>,
}

#[derive(Debug, Default)]
struct Known {
    /// When it was last noted of each that it is used; `None`: it was in an earlier run.
    noted: HashMap<String, Option<Instant>>,
    /// Since when, where there are too many of them.
    looked: Option<Instant>,
}

impl Known {
    /// Is it due to be noted that a stream is used?
    fn is_used(&mut self, key: &str, now: Instant) -> bool {
        match self.noted.get_mut(key) {
            Some(Some(noted)) if now.duration_since(*noted) < NOTE_EVERY => return false,
            Some(noted) => *noted = Some(now),
            None => _ = self.noted.insert(key.to_owned(), Some(now)),
        }
        self.forget_unused(now);
        true
    }

    /// A stream that an earlier run made has as much time as any other.
    fn forget_unused(&mut self, now: Instant) {
        if self.noted.len() <= KNOWN_MAX || self.looked.is_some_and(|looked| now.duration_since(looked) < LOOK_EVERY) {
            return;
        }
        self.looked = Some(now);
        self.noted.retain(|_, noted| now.duration_since(*noted.get_or_insert(now)) < 2 * NOTE_EVERY);
    }
}

/// A group that did not exist.
#[derive(Debug, Default)]
struct Group {
    made: Option<Instant>,
    retention_due: bool,
    /// A call was throttled, or is not allowed: all who wait get this answer until then.
    closed: Option<(Instant, Arc<str>)>,
}

impl Group {
    /// Is there anything to remember?
    fn matters(&self) -> bool {
        let is_closed = self.closed.as_ref().is_some_and(|(until, _)| Instant::now() < *until);
        self.retention_due || is_closed || self.made.is_some_and(|made| made.elapsed() < MADE_LATELY)
    }
}

impl Streams {
    pub(super) fn new(settings: GroupSettings, owner: String) -> Self {
        let (known, groups) = (Mutex::default(), Mutex::default());
        Self { settings, owner, state: OnceLock::new(), known, groups }
    }

    /// Remembers what earlier runs made.
    pub(super) fn load(&self, state: &Arc<State>) {
        self.known().noted.extend(state.known(&self.owner).into_iter().map(|key| (key, None)));
        let _ = self.state.set(Arc::clone(state));
    }

    /// Makes the stream of a key unless it is known.
    pub(super) async fn ensure(&self, service: &Service, key: &str) -> Result<(), Outcome> {
        if self.is_known(key) {
            return Ok(());
        }
        let (group, stream) = split_key(key);
        for may_make_group in [true, false] {
            let Err(failure) = service.create_stream(group, stream).await else { break };
            match failure.kind() {
                Kind::Done => break,
                Kind::Missing if may_make_group => self.ensure_group(service, group).await?,
                _ => return Err(held(&failure, "logs:CreateLogStream", &format!("log group `{group}`"))),
            }
        }
        self.used(key);
        Ok(())
    }

    pub(super) fn is_known(&self, key: &str) -> bool {
        self.known().noted.contains_key(key)
    }

    /// Something arrived there.
    pub(super) fn used(&self, key: &str) {
        if self.known().is_used(key, Instant::now())
            && let Some(state) = self.state.get()
        {
            state.note_known(&self.owner, key);
        }
    }

    /// The stream is not there any more.
    pub(super) fn forget(&self, key: &str) {
        self.known().noted.remove(key);
        if let Some(state) = self.state.get() {
            state.forget_known(&self.owner, key);
        }
    }

    async fn ensure_group(&self, service: &Service, name: &str) -> Result<(), Outcome> {
        if !self.settings.create {
            let message =
                format!("the log group `{name}` is not there; hint: create it, or set `auto_create_group on`");
            let cause = "no_log_group".to_owned();
            return Err(Outcome::Held { after: SELDOM, cause, message, lasting: true });
        }
        let group = self.group(name);
        let mut group = group.lock().await;
        let now = Instant::now();
        if let Some((until, message)) = group.closed.clone().filter(|(until, _)| now < *until) {
            let after = until - now;
            return Err(Outcome::Held {
                after,
                cause: "waits_for_group".into(),
                message: message.to_string(),
                lasting: false,
            });
        }
        let ended = self.make_group(service, name, &mut group).await;
        group.closed = match &ended {
            Err(Outcome::Held { after, message, .. }) => Some((Instant::now() + *after, message.as_str().into())),
            _ => None,
        };
        ended
    }

    /// The group of that name; those that nobody waits for and that were not made lately are forgotten.
    fn group(&self, name: &str) -> Arc<tokio::sync::Mutex<Group>> {
        let mut groups = self.groups();
        groups.retain(|other, group| {
            other == name || Arc::strong_count(group) > 1 || group.try_lock().is_ok_and(|g| g.matters())
        });
        Arc::clone(groups.entry(name.to_owned()).or_default())
    }

    async fn make_group(&self, service: &Service, name: &str, group: &mut Group) -> Result<(), Outcome> {
        if group.made.is_none_or(|made| made.elapsed() >= MADE_LATELY) {
            match service.create_group(name, &self.settings).await {
                Ok(()) => group.retention_due = self.settings.retention_days > 0,
                // Another agent made it, and says how long its events are kept.
                Err(failure) if failure.kind() == Kind::Done => {}
                Err(failure) => return Err(held(&failure, "logs:CreateLogGroup", &format!("log group `{name}`"))),
            }
            group.made = Some(Instant::now());
        }
        if group.retention_due {
            match service.put_retention(name, self.settings.retention_days).await {
                Err(failure)
                    if matches!(failure.kind(), Kind::Throttled | Kind::Trouble | Kind::Expired | Kind::Crossed) =>
                {
                    return Err(held(&failure, "logs:PutRetentionPolicy", &format!("log group `{name}`")));
                }
                Err(failure) => say_retention(&failure, name),
                Ok(()) => {}
            }
            group.retention_due = false;
        }
        Ok(())
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn groups(&self) -> MutexGuard<'_, HashMap<String, Arc<tokio::sync::Mutex<Group>>>> {
        self.groups.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The events can be delivered all the same; they would be kept for longer than asked for, and cost.
fn say_retention(failure: &Failure, group: &str) {
    let resource = format!("log group `{group}`");
    if let Outcome::Held { message, .. } | Outcome::Again { message, .. } | Outcome::Refused { message, .. } =
        failure.outcome("logs:PutRetentionPolicy", &resource)
    {
        tracing::error!("the retention of {resource} was not set, its events are kept forever: {message}");
    }
}

/// A creation that failed holds only what goes there, whatever the reason; but for those that hold everything.
fn held(failure: &Failure, action: &str, resource: &str) -> Outcome {
    match failure.outcome(action, resource) {
        Outcome::Again { cause, message, lasting, .. } if failure.kind() == Kind::Throttled => {
            Outcome::Held { after: SOON, cause, message, lasting }
        }
        // No search in the events: it is the name.
        Outcome::Refused { cause, message } => Outcome::Held { after: SELDOM, cause, message, lasting: true },
        Outcome::TooLarge | Outcome::Delivered => Outcome::Held {
            after: SOON,
            cause: "create".into(),
            message: format!("{action} on {resource}"),
            lasting: false,
        },
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_that_are_not_used_are_forgotten_where_there_are_many() {
        let (mut known, start) = (Known::default(), Instant::now());
        known.noted.extend((0..KNOWN_MAX).map(|number| (number.to_string(), None)));
        assert!(known.is_used("new", start) && !known.is_used("new", start + NOTE_EVERY / 2));
        assert_eq!(known.noted.len(), KNOWN_MAX + 1, "an earlier run made them: they may be used yet");
        let later = start + NOTE_EVERY;
        assert!(known.is_used("new", later) && known.is_used("0", later));
        assert!(known.is_used("1", later + NOTE_EVERY + LOOK_EVERY));
        let mut left: Vec<&str> = known.noted.keys().map(String::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["0", "1", "new"]);
    }

    #[test]
    fn groups_are_forgotten_when_nothing_is_to_be_remembered_of_them() {
        let streams = Streams::new(GroupSettings::default(), "o".into());
        let waits = streams.group("waits");
        for (name, group) in [
            ("lately", Group { made: Some(Instant::now()), ..Group::default() }),
            ("due", Group { retention_due: true, ..Group::default() }),
            ("closed", Group { closed: Some((Instant::now() + SELDOM, "why".into())), ..Group::default() }),
        ] {
            *streams.group(name).try_lock().unwrap() = group;
        }
        streams.group("old");
        streams.group("other");
        let mut left: Vec<String> = streams.groups().keys().cloned().collect();
        left.sort_unstable();
        assert_eq!(left, ["closed", "due", "lately", "other", "waits"]);
        drop(waits);
    }
}
