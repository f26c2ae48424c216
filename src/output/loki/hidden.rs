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
use super::lock;
use crate::output::Pieces;
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

/// What is known of the streams of one output.
#[derive(Debug, Default)]
pub(super) struct Hidden(Mutex<Inner>);

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
    /// The request that each piece belongs to, by number, in their order; empty where all may share one.
    pub(super) fn apart(&self, pieces: &Pieces, moment: Moment) -> Vec<u32> {
        let inner = lock(&self.0);
        if is_recent(pieces, moment) && !moment.is_before(inner.careful_until) && !moment.is_before(inner.quick_until) {
            return Vec::new();
        }
        let mut of_piece = Vec::with_capacity(pieces.list.len());
        let streams = summaries(pieces, |stream| of_piece.push(stream as u32));
        let mut requests = 0;
        let of_stream: Vec<u32> = streams
            .iter()
            .map(|stream| {
                let may_be_refused = inner.may_be_refused(stream, moment);
                requests += u32::from(may_be_refused);
                if may_be_refused { requests - 1 } else { 0 }
            })
            .collect();
        if requests < 2 {
            return Vec::new();
        }
        of_piece.iter_mut().for_each(|number| *number = of_stream[*number as usize]);
        of_piece
    }

    /// Puts the stream to the end that Loki is to tell of. They are about to be sent.
    pub(super) fn last_is_told_of(&self, streams: &mut Vec<Stream<'_>>, moment: Moment) {
        let inner = &mut *lock(&self.0);
        let summaries: Vec<Summary<'_>> = streams.iter().map(Stream::summary).collect();
        let indices = 0..streams.len();
        let refused = indices.clone().filter(|at| inner.may_be_refused(&summaries[*at], moment));
        let last = refused
            .min_by_key(|at| summaries[*at].oldest)
            .or_else(|| indices.clone().rfind(|at| inner.is_new(&summaries[*at], moment.now)))
            .or_else(|| indices.max_by_key(|at| summaries[*at].bytes));
        if let Some(at) = last {
            let last = streams.remove(at);
            streams.push(last);
        }
        summaries.iter().for_each(|stream| inner.send(stream, moment));
        inner.forget(moment.now);
    }

    /// Loki took a request.
    pub(super) fn taken(&self, pieces: &Pieces, moment: Moment) {
        if is_recent(pieces, moment) {
            return;
        }
        let inner = &mut *lock(&self.0);
        let streams = summaries(pieces, |_| {});
        let mut late = streams.iter().filter(|stream| inner.is_late(stream, moment));
        if let (Some(stream), None) = (late.next(), late.next()) {
            let (hash, oldest) = (hash(stream), stream.oldest);
            if let Some(known) = inner.known.get_mut(&hash) {
                known.takes = Some((oldest, moment.now + MINUTE));
            }
        }
    }

    /// Loki refused something of a stream.
    pub(super) fn refused(&self, now: Instant) {
        let inner = &mut *lock(&self.0);
        inner.careful_until = Some(now + MINUTE);
        inner.generous_until = None;
        for known in inner.known.values_mut() {
            known.ahead = 0.0;
            known.takes = None;
        }
    }
}

/// Is nothing of it late? Of what was taken out of a request that is not known.
fn is_recent(pieces: &Pieces, moment: Moment) -> bool {
    pieces.filled.times.is_some_and(|(oldest, _)| !moment.is_late(oldest))
}

fn hash(stream: &Summary<'_>) -> u64 {
    xxh3_64(stream.labels)
}

impl Inner {
    fn may_be_refused(&self, stream: &Summary<'_>, moment: Moment) -> bool {
        moment.is_before(self.careful_until) || self.is_quick(stream, moment) || self.is_late(stream, moment)
    }

    fn is_quick(&self, stream: &Summary<'_>, moment: Moment) -> bool {
        moment.is_before(self.quick_until)
            && !moment.is_before(self.generous_until)
            && self.known.get(&hash(stream)).is_some_and(|known| QUICK.contains(&known.ahead_at(moment.now)))
    }

    fn is_late(&self, stream: &Summary<'_>, moment: Moment) -> bool {
        let oldest = stream.oldest;
        let takes = || {
            let takes = self.known.get(&hash(stream)).and_then(|known| known.takes);
            takes.is_some_and(|(time_ns, until)| oldest >= time_ns && moment.now < until)
        };
        moment.is_late(oldest) && !takes()
    }

    fn is_new(&self, stream: &Summary<'_>, now: Instant) -> bool {
        self.known.get(&hash(stream)).is_none_or(|known| now.duration_since(known.sent) >= IDLE)
    }

    fn send(&mut self, stream: &Summary<'_>, Moment { now, .. }: Moment) {
        let known = self.known.entry(hash(stream)).or_insert(Known { sent: now, ahead: 0.0, takes: None });
        known.ahead = known.ahead_at(now) + stream.bytes as f64;
        known.sent = now;
        if QUICK.contains(&known.ahead) {
            self.quick_until = Some(now + MINUTE);
        } else if known.ahead >= QUICK.end {
            known.ahead = QUICK.end;
            self.generous_until = Some(now + MINUTE);
        }
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
    use super::super::piece::{push_labels, time};
    use super::*;

    const NOW_NS: i64 = 1_709_287_200_000_000_000;
    const OLD: i64 = NOW_NS - 2 * LATE_NS;

    /// One entry of each stream, with its time and so many bytes.
    fn pieces(entries: &[(&str, i64, usize)]) -> Pieces {
        let mut pieces = Pieces::default();
        for (app, time_ns, bytes) in entries {
            pieces.bytes.extend_from_slice(&time(*time_ns));
            push_labels(&mut pieces.bytes, format!("{{\"app\":\"{app}\"}}").as_bytes(), b"");
            pieces.bytes.resize(pieces.bytes.len() + bytes, b'x');
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
            self.0.last_is_told_of(&mut streams, self.at(seconds));
            streams.iter().map(|stream| stream.labels[8] as char).collect()
        }

        fn apart(&self, seconds: u64, pieces: &Pieces) -> Vec<u32> {
            self.0.apart(pieces, self.at(seconds))
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
        assert_eq!(sender.apart(0, &pieces(&[("a", OLD, 1), ("n", NOW_NS, 1)])), [0; 0], "one may be the last");
        assert_eq!(sender.send(0, &a), "a");
        assert_eq!(sender.apart(0, &both), [0, 0, 1, 0], "no answer yet");
        sender.0.taken(&a, sender.at(0));
        assert_eq!(sender.apart(1, &both), [0; 0]);
        assert_eq!(sender.send(1, &both), "anb", "of the others");
        assert_eq!(sender.apart(1, &pieces(&[("a", OLD - 1, 1), ("b", OLD, 1)])), [0, 1], "older still");
        assert_eq!(sender.apart(61, &both), [0, 0, 1, 0], "others may have written");
        sender.0.refused(sender.at(1).now);
        assert_eq!(sender.apart(2, &both), [0, 1, 2, 0], "any may be refused");
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
        sender.0.refused(sender.at(0).now);
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
