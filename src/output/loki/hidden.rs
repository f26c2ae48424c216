//! What Loki would not say. Of the streams of a request it tells only what became of the last: what it refuses of others, for coming too
//! late or too fast, is lost behind a 204 (Loki 3: `pkg/ingester/instance.go`, `Push`). So a stream of which it may refuse something is
//! the last of its request, and no two such streams share one.
//!
//! ```text
//! late      entries of more than half the age that Loki takes, unless it took older ones of that stream a moment ago
//! quick     more bytes in a few seconds than Loki's limits of a stream let pass
//! careful   Loki refused something of a stream within the last minute: any of them may be next
//! ```
//! Of streams beyond their number Loki refuses the last, so a new stream is the last where none of this is so.

use super::body::{Stream, Summary, summaries};
use super::{lock, piece};
use crate::output::{Apart, Neighbours, Pieces};
use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

/// Half of the hour that Loki's streams are open backwards.
const LATE_NS: i64 = 30 * 60 * 1_000_000_000;
/// Loki's `per_stream_rate_limit`, in bytes a second.
const RATE: f64 = (3 << 20) as f64;
/// Bytes beyond that rate, from which on the burst of 15 MB may be used up, and those at which it must be: what gets so far has other limits.
const QUICK: std::ops::Range<f64> = (10 << 20) as f64..(24 << 20) as f64;
const MINUTE: Duration = Duration::from_secs(60);
/// A stream that was not written to for so long may be a new one to Loki.
const IDLE: Duration = Duration::from_secs(30 * 60);
/// Streams up to which those that are idle are not looked for.
const STREAMS_MIN: usize = 1024;

/// Tenants up to which those that are idle are not looked for.
const TENANTS_MIN: usize = 64;

/// What is known of the streams of one output, by tenant: each has its own limits.
#[derive(Debug, Default)]
pub(super) struct Hidden(Mutex<Tenants>);

#[derive(Debug, Default)]
struct Tenants {
    tenants: HashMap<Box<str>, Inner>,
    /// How many there may be before the idle ones are looked for.
    max: usize,
}

impl Tenants {
    fn of(&mut self, tenant: &str, now: Instant) -> &mut Inner {
        if self.tenants.len() >= self.max.max(TENANTS_MIN) && !self.tenants.contains_key(tenant) {
            self.tenants.retain(|_, inner| !inner.is_idle(now));
            self.max = self.tenants.len() * 2;
        }
        self.tenants.entry(tenant.into()).or_default()
    }
}

#[derive(Debug, Default)]
struct Inner {
    known: HashMap<u64, Known>,
    /// How many there may be before the idle ones are looked for.
    known_max: usize,
    careful_until: Option<Instant>,
    /// A stream may be quick until then.
    quick_until: Option<Instant>,
    /// Streams come further than Loki's limits until then: they are others.
    generous_until: Option<Instant>,
}

#[derive(Debug)]
struct Known {
    sent: Instant,
    /// Bytes beyond [`RATE`].
    ahead: f64,
    /// Loki took an entry of this time, and will until then.
    takes: Option<(i64, Instant)>,
}

/// The moment in which a request is looked at.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now: Instant,
    /// Nanoseconds since 1970.
    pub(super) time_ns: i64,
}

impl Moment {
    fn is_late(self, time_ns: i64) -> bool {
        time_ns < self.time_ns.saturating_sub(LATE_NS)
    }

    fn is_before(self, until: Option<Instant>) -> bool {
        until.is_some_and(|until| self.now < until)
    }
}

impl Hidden {
    /// As [`Output::apart`](crate::output::Output::apart). Where streams are late, the first answers tell what Loki takes of them.
    pub(super) fn apart(&self, tenant: &str, pieces: &Pieces, moment: Moment) -> Option<Apart> {
        let mut tenants = lock(&self.0);
        let inner = tenants.of(tenant, moment.now);
        if inner.takes_all(pieces, moment) {
            return None;
        }
        let mut requests = 0;
        let oldest = inner.oldest_for_all(pieces, moment);
        let of_stream: Vec<u32> = summaries(pieces, oldest, |_| {})
            .iter()
            .map(|stream| {
                let may_be_refused = inner.may_be_refused(stream, moment);
                requests += u32::from(may_be_refused);
                if may_be_refused { requests - 1 } else { 0 }
            })
            .collect();
        if requests < 2 {
            return None;
        }
        let mut requests = Vec::with_capacity(pieces.list.len());
        summaries(pieces, oldest, |stream| requests.push(of_stream[stream]));
        Some(Apart { requests, others_wait: inner.is_calm(moment) })
    }

    /// Puts the stream to the end that Loki is to tell of. They are about to be sent.
    pub(super) fn last_is_told_of(&self, tenant: &str, streams: &mut Vec<Stream<'_>>, pieces: &Pieces, moment: Moment) {
        let mut tenants = lock(&self.0);
        let inner = tenants.of(tenant, moment.now);
        let summaries = match inner.takes_all(pieces, moment) {
            true => Vec::new(),
            false => summaries(pieces, inner.oldest_for_all(pieces, moment), |_| {}),
        };
        let refused = summaries.iter().filter(|stream| inner.may_be_refused(stream, moment));
        let refused = refused.min_by_key(|stream| stream.oldest).map(|stream| stream.labels);
        let last = streams
            .iter()
            .position(|stream| Some(stream.labels) == refused)
            .or_else(|| streams.iter().rposition(|stream| inner.is_new(stream.labels, moment.now)))
            .or_else(|| (0..streams.len()).max_by_key(|at| streams[*at].bytes));
        streams.iter().for_each(|stream| inner.send(stream, moment));
        if let Some(at) = last {
            let last = streams.remove(at);
            streams.push(last);
        }
        inner.forget(moment.now);
    }

    /// Loki took a request.
    pub(super) fn taken(&self, tenant: &str, pieces: &Pieces, moment: Moment) {
        let mut tenants = lock(&self.0);
        let inner = tenants.of(tenant, moment.now);
        if inner.oldest_for_all(pieces, moment).is_some() {
            return;
        }
        let streams = summaries(pieces, None, |_| {});
        let mut late = streams.iter().filter(|stream| inner.is_late(stream, moment));
        if let (Some(stream), None) = (late.next(), late.next()) {
            let (hash, oldest) = (hash(stream.labels), stream.oldest);
            if let Some(known) = inner.known.get_mut(&hash) {
                known.takes = Some((oldest, moment.now + MINUTE));
            }
        }
    }

    /// Loki refused something of a stream.
    pub(super) fn refused(&self, tenant: &str, now: Instant) {
        let mut tenants = lock(&self.0);
        let inner = tenants.of(tenant, now);
        inner.careful_until = Some(now + MINUTE);
        inner.generous_until = None;
        for known in inner.known.values_mut() {
            known.ahead = 0.0;
            known.takes = None;
        }
    }
}

fn hash(labels: &[u8]) -> u64 {
    xxh3_64(labels)
}

impl Inner {
    /// Can a stream be refused for its time only?
    fn is_calm(&self, moment: Moment) -> bool {
        !moment.is_before(self.careful_until) && !self.has_limits(moment)
    }

    /// May a stream come to the usual limits?
    fn has_limits(&self, moment: Moment) -> bool {
        moment.is_before(self.quick_until) && !moment.is_before(self.generous_until)
    }

    /// Will Loki take all of it, as far as that can be told without a look at each entry?
    fn takes_all(&self, pieces: &Pieces, moment: Moment) -> bool {
        self.is_calm(moment) && self.oldest_for_all(pieces, moment).is_some()
    }

    /// A time that no entry is before, where no stream is late by it.
    fn oldest_for_all(&self, pieces: &Pieces, moment: Moment) -> Option<i64> {
        let (oldest, _) = pieces.filled.times?;
        (!moment.is_late(oldest) || self.takes_late(pieces, oldest, moment)).then_some(oldest)
    }

    fn may_be_refused(&self, stream: &Summary<'_>, moment: Moment) -> bool {
        moment.is_before(self.careful_until) || self.is_quick(stream, moment) || self.is_late(stream, moment)
    }

    fn is_quick(&self, stream: &Summary<'_>, moment: Moment) -> bool {
        self.has_limits(moment)
            && self.known.get(&hash(stream.labels)).is_some_and(|known| QUICK.contains(&known.ahead_at(moment.now)))
    }

    fn is_late(&self, stream: &Summary<'_>, moment: Moment) -> bool {
        moment.is_late(stream.oldest) && !self.takes(stream.labels, stream.oldest, moment.now)
    }

    /// Did Loki take something as old of that stream a moment ago?
    fn takes(&self, labels: &[u8], oldest: i64, now: Instant) -> bool {
        let takes = self.known.get(&hash(labels)).and_then(|known| known.takes);
        takes.is_some_and(|(time_ns, until)| oldest >= time_ns && now < until)
    }

    /// Did it of all streams of a request?
    fn takes_late(&self, pieces: &Pieces, oldest: i64, moment: Moment) -> bool {
        let takes_some = |some: Neighbours<'_>| {
            piece::labels_of(some.common).is_some_and(|(labels, _)| self.takes(labels, oldest, moment.now))
        };
        pieces.neighbours().all(takes_some)
    }

    fn is_new(&self, labels: &[u8], now: Instant) -> bool {
        self.known.get(&hash(labels)).is_none_or(|known| now.duration_since(known.sent) >= IDLE)
    }

    fn send(&mut self, stream: &Stream<'_>, Moment { now, .. }: Moment) {
        let known = self.known.entry(hash(stream.labels)).or_insert(Known { sent: now, ahead: 0.0, takes: None });
        known.ahead = known.ahead_at(now) + stream.bytes as f64;
        known.sent = now;
        if QUICK.contains(&known.ahead) {
            self.quick_until = Some(now + MINUTE);
        } else if known.ahead >= QUICK.end {
            known.ahead = QUICK.end;
            self.generous_until = Some(now + MINUTE);
        }
    }

    fn is_idle(&self, now: Instant) -> bool {
        self.known.values().all(|known| now.duration_since(known.sent) >= IDLE)
    }

    fn forget(&mut self, now: Instant) {
        if self.known.len() > self.known_max.max(STREAMS_MIN) {
            self.known.retain(|_, known| now.duration_since(known.sent) < IDLE);
            self.known_max = self.known.len() * 2;
        }
    }
}

impl Known {
    fn ahead_at(&self, now: Instant) -> f64 {
        (self.ahead - now.duration_since(self.sent).as_secs_f64() * RATE).max(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::super::body::streams;
    use super::super::piece::push;
    use super::*;

    const NOW_NS: i64 = 1_709_287_200_000_000_000;
    const OLD: i64 = NOW_NS - 2 * LATE_NS;

    /// One entry of each stream, with its time and so many bytes.
    fn pieces(entries: &[(&str, i64, usize)]) -> Pieces {
        let mut pieces = Pieces::default();
        for (app, time_ns, bytes) in entries {
            push(&mut pieces.bytes, &format!("{{\"app\":\"{app}\"}}"), &[], *time_ns, &"x".repeat(*bytes));
            pieces.add(1);
        }
        pieces
    }

    struct Sender(Hidden, Instant);

    impl Sender {
        fn at(&self, seconds: u64) -> Moment {
            Moment { now: self.1 + Duration::from_secs(seconds), time_ns: NOW_NS }
        }

        /// The applications in the order in which they are sent.
        fn send(&self, seconds: u64, pieces: &Pieces) -> String {
            let mut streams = streams(pieces);
            self.0.last_is_told_of("", &mut streams, pieces, self.at(seconds));
            streams.iter().map(|stream| stream.labels[8] as char).collect()
        }

        fn apart(&self, seconds: u64, pieces: &Pieces) -> Vec<u32> {
            self.0.apart("", pieces, self.at(seconds)).map_or(Vec::new(), |apart| apart.requests)
        }

        fn others_wait(&self, seconds: u64, pieces: &Pieces) -> Option<bool> {
            self.0.apart("", pieces, self.at(seconds)).map(|apart| apart.others_wait)
        }
    }

    fn sender() -> Sender {
        Sender(Hidden::default(), Instant::now())
    }

    #[test]
    fn late_streams_are_apart_until_loki_has_taken_what_is_so_old() {
        let sender = sender();
        let (both, a) =
            (pieces(&[("a", OLD, 1), ("n", NOW_NS, 1), ("b", OLD + 1, 1), ("a", OLD, 1)]), pieces(&[("a", OLD, 1)]));
        assert_eq!(sender.apart(0, &both), [0, 0, 1, 0]);
        assert_eq!(sender.others_wait(0, &both), Some(true));
        assert_eq!(sender.apart(0, &pieces(&[("a", OLD, 1), ("n", NOW_NS, 1)])), [0; 0], "one may be the last");
        assert_eq!(sender.send(0, &a), "a");
        assert_eq!(sender.apart(0, &both), [0, 0, 1, 0], "no answer yet");
        sender.0.taken("", &a, sender.at(0));
        assert_eq!(sender.apart(1, &both), [0; 0]);
        assert!(sender.0.apart("other", &both, sender.at(1)).is_some(), "of another tenant nothing is known");
        assert_eq!(sender.send(1, &both), "anb", "of the others");
        assert_eq!(sender.apart(1, &pieces(&[("a", OLD - 1, 1), ("b", OLD, 1)])), [0, 1], "older still");
        assert_eq!(sender.apart(61, &both), [0, 0, 1, 0], "others may have written");
        sender.0.refused("", sender.at(1).now);
        assert_eq!(sender.apart(2, &both), [0, 1, 2, 0], "any may be refused");
        assert_eq!(sender.others_wait(2, &both), Some(false), "an answer would change nothing");
        assert_eq!(sender.apart(2, &pieces(&[("a", NOW_NS, 1), ("a", NOW_NS, 1)])), [0; 0]);
    }

    #[test]
    fn streams_at_their_limit_are_apart_until_they_are_beyond_it() {
        let sender = sender();
        let both = pieces(&[("a", NOW_NS, 1 << 20), ("b", NOW_NS, 1 << 20)]);
        for _ in 0..9 {
            assert_eq!(sender.apart(0, &both), [0; 0]);
            sender.send(0, &both);
        }
        sender.send(0, &both);
        assert_eq!(sender.apart(0, &both), [0, 1]);
        assert_eq!(sender.apart(1, &both), [0; 0], "the limit lets 3 MB pass in a second");
        for _ in 0..15 {
            sender.send(0, &pieces(&[("a", NOW_NS, 1 << 20)]));
        }
        assert_eq!(sender.apart(0, &both), [0; 0], "Loki's limits are not the usual ones");
        sender.0.refused("", sender.at(0).now);
        assert_eq!(sender.apart(0, &both), [0, 1], "or they are, after all");
    }

    #[test]
    fn the_last_is_the_new_one_or_the_largest() {
        let sender = sender();
        assert_eq!(sender.send(0, &pieces(&[("a", NOW_NS, 9), ("b", NOW_NS, 1)])), "ab");
        assert_eq!(sender.send(0, &pieces(&[("c", NOW_NS, 1), ("a", NOW_NS, 9), ("b", NOW_NS, 1)])), "abc");
        assert_eq!(sender.send(0, &pieces(&[("a", NOW_NS, 9), ("b", NOW_NS, 1), ("c", NOW_NS, 1)])), "bca");
        assert_eq!(sender.send(2000, &pieces(&[("c", NOW_NS, 9), ("b", NOW_NS, 1)])), "cb");
        assert_eq!(sender.send(0, &Pieces::default()), "");
    }
}
