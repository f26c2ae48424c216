//! drave's own messages: to stderr or a file, as text or JSON. What repeats is held back: the same kind of message at most each
//! 30 s, then with the number of those that were not shown.

use super::colour;
use crate::config::{Environment, LogFormat, LogLevel, ServiceOptions};
use rustix::fs::fstat;
use std::collections::HashMap;
use std::fs::{File, OpenOptions};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use tracing::callsite::Identifier;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::filter::LevelFilter;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::{Context, Filter, Layer, SubscriberExt};
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt;

/// A kind of warning or error is shown once in this time.
const REPEAT: Duration = Duration::from_secs(30);

/// Begins to log. Device and inode of the files that drave writes to: they must not be read.
pub(super) fn start(
    service: &ServiceOptions,
    folder: &Path,
    environment: &Environment,
) -> Result<Vec<(u64, u64)>, String> {
    let mut own: Vec<(u64, u64)> = Vec::new();
    own.extend(fstat(rustix::stdio::stdout()).map(|s| (s.st_dev, s.st_ino)));
    own.extend(fstat(rustix::stdio::stderr()).map(|s| (s.st_dev, s.st_ino)));
    let file = match &service.log_file {
        Some(path) => {
            let path = folder.join(path);
            let opened = OpenOptions::new().create(true).append(true).open(&path);
            let file: File = opened.map_err(|e| format!("cannot write log_file {}: {e}", path.display()))?;
            own.extend(fstat(&file).map(|s| (s.st_dev, s.st_ino)));
            Some(file)
        }
        None => None,
    };
    let level = match service.log_level {
        LogLevel::Off => LevelFilter::OFF,
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    };
    let json = service.log_format == LogFormat::Json;
    let layer: Box<dyn Layer<_> + Send + Sync> = match (file, json) {
        (Some(file), true) => Box::new(fmt::layer().json().flatten_event(true).with_writer(Mutex::new(file))),
        (Some(file), false) => Box::new(fmt::layer().with_ansi(false).with_writer(Mutex::new(file))),
        (None, true) => Box::new(fmt::layer().json().flatten_event(true).with_writer(std::io::stderr)),
        (None, false) => {
            let colour = colour::on_stderr(environment);
            Box::new(fmt::layer().with_ansi(colour).with_target(false).with_writer(std::io::stderr))
        }
    };
    let shown = layer.with_filter(level).with_filter(OnceInAWhile::default());
    let _ = tracing_subscriber::registry().with(shown).try_init();
    Ok(own)
}

#[derive(Debug)]
struct Shown {
    last: Instant,
    held_back: u64,
}

/// A place in the code, and the output that it speaks of: the trouble of one must not hide that of another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    place: Identifier,
    output: String,
}

impl Kind {
    fn of(event: &Event<'_>) -> Self {
        let mut kind = Self { place: event.metadata().callsite(), output: String::new() };
        event.record(&mut kind);
        kind
    }
}

impl Visit for Kind {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "output" {
            value.clone_into(&mut self.output);
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "output" {
            self.output = format!("{value:?}");
        }
    }
}

/// Lets a kind of message through once in a while.
#[derive(Debug, Default)]
struct OnceInAWhile {
    kinds: Mutex<HashMap<Kind, Shown>>,
}

impl OnceInAWhile {
    /// May it be shown now, and how many were held back before?
    fn admit(&self, kind: Kind, now: Instant) -> Option<u64> {
        let mut kinds = self.kinds.lock().unwrap_or_else(PoisonError::into_inner);
        match kinds.get_mut(&kind) {
            Some(shown) if now.duration_since(shown.last) < REPEAT => {
                shown.held_back += 1;
                None
            }
            Some(shown) => {
                shown.last = now;
                Some(std::mem::take(&mut shown.held_back))
            }
            None => {
                kinds.insert(kind, Shown { last: now, held_back: 0 });
                Some(0)
            }
        }
    }
}

impl<S: Subscriber + for<'a> LookupSpan<'a>> Filter<S> for OnceInAWhile {
    /// A watch that breaks off is said where it is begun anew, with what it means: kube's own warning of it names a bare end of file.
    fn enabled(&self, meta: &Metadata<'_>, _context: &Context<'_, S>) -> bool {
        *meta.level() != Level::WARN || !meta.target().starts_with("kube_client")
    }

    fn event_enabled(&self, event: &Event<'_>, _context: &Context<'_, S>) -> bool {
        let meta = event.metadata();
        // Only what a fault can make repeat without end.
        if *meta.level() > Level::WARN || meta.name() == HELD_BACK {
            return true;
        }
        let admitted = self.admit(Kind::of(event), Instant::now());
        if let Some(count @ 1..) = admitted {
            tracing::event!(name: HELD_BACK, Level::WARN, count, "messages like the next one were held back in the last while");
        }
        admitted.is_some()
    }
}

/// The name of the message that counts those held back.
const HELD_BACK: &str = "held back";

#[cfg(test)]
mod tests {
    use super::*;
    use tracing::callsite::Callsite;

    #[test]
    fn a_kind_is_shown_once_in_a_while_with_what_was_held_back() {
        let filter = OnceInAWhile::default();
        let place =
            tracing::callsite!(name: "test", kind: tracing::metadata::Kind::EVENT, fields: a).metadata().callsite();
        let kind = |output: &str| Kind { place: place.clone(), output: output.into() };
        let start = Instant::now();
        assert_eq!(filter.admit(kind("a"), start), Some(0));
        assert_eq!(filter.admit(kind("a"), start + REPEAT / 2), None);
        assert_eq!(filter.admit(kind("b"), start + REPEAT / 2), Some(0));
        assert_eq!(filter.admit(kind("a"), start + REPEAT / 3 * 2), None);
        assert_eq!(filter.admit(kind("a"), start + REPEAT), Some(2));
        assert_eq!(filter.admit(kind("a"), start + REPEAT * 2), Some(0));
    }
}
