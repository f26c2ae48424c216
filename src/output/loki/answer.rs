//! What Loki's answers mean. With 400 it says which entries it did not take; the others it has stored.
//!
//! ```text
//! entry for stream '{app="web"}' has timestamp too old: 2024-03-01T10:00:00Z, oldest acceptable timestamp is: …
//! entry with timestamp 2024-03-01 10:00:00.123 +0000 UTC ignored, reason: 'entry too far behind, …',
//! user 'shop', total ignored: 7 out of 10 for stream: {app="web"}
//! Max entry size '262144' bytes exceeded for stream '{app="web"}' while adding an entry with length '300000' bytes
//! entry for stream '{app="web", …}' has 16 label names; limit 15
//! ```
//! (Loki 3: `pkg/validation/validate.go`, `pkg/ingester/stream.go`.)

use super::asked::{Asked, Labels};
use super::piece::{Entry, entries};
use crate::output::{Outcome, Pieces, Refusal, endpoint};
use crate::record::time::{Rfc3339, days_from_civil};
use http::HeaderMap;
use regex::{Captures, Match, Regex};
use std::collections::{BTreeSet, HashSet};
use std::sync::LazyLock;

const SECOND: i64 = 1_000_000_000;

/// What an answer means for the pieces of its request.
pub(super) fn judge(status: u16, headers: &HeaderMap, body: &[u8], pieces: &Pieces) -> Outcome {
    let text = String::from_utf8_lossy(body);
    let (hint, lasting) = match status {
        260 => {
            let message = format!(
                "{}; hint: the tenant is blocked there, or its logs are not wanted: see `block_ingestion_until` of its limits",
                endpoint::answered(status, body)
            );
            return Outcome::Unfit { reason: "http_260", message };
        }
        200..=299 => return Outcome::Delivered,
        413 => return Outcome::TooLarge,
        // An answer of Loki's inner parts to a request that its front let pass.
        400 | 500 if text.contains("larger than max") => return Outcome::TooLarge,
        429 if pieces.list.len() > 1 && is_over_a_second(&text) => return Outcome::TooLarge,
        400 => return refused(&text, body, pieces),
        // It takes this for its own failure, but it is a name of an entry's metadata, and stays one.
        500 if text.contains("label name") => {
            return Outcome::Refused { cause: "http_500".into(), message: endpoint::answered(status, body) };
        }
        408 | 425 | 429 | 500..=599 => ("", false),
        401 | 403 => ("; hint: check the credentials, and `tenant_id` where Loki has tenants", true),
        404 | 405 => ("; hint: check `uri`, which is /loki/api/v1/push unless a gateway has another", true),
        300..=399 => ("; hint: redirects are not followed, put the final address into `host` and `uri`", true),
        _ => ("; hint: Loki does not take this, its answer says why", true),
    };
    let message = format!("{}{hint}", endpoint::answered(status, body));
    Outcome::Again { after: endpoint::asked_wait(headers), cause: format!("http_{status}"), message, lasting }
}

/// Has a throttled request more bytes than its tenant may send in a second? Then it may be more than the tenant may ever send at once.
fn is_over_a_second(text: &str) -> bool {
    let number = |found: &Captures<'_>, name| found.name(name).and_then(|m| m.as_str().parse::<u64>().ok());
    RATE.captures(text).is_some_and(|found| number(&found, "bytes") > number(&found, "limit"))
}

/// Is an answer about one stream, be it too late, too fast or one too many? Then Loki may have refused others as well, and not said it.
pub(super) fn is_of_a_stream(status: u16, body: &[u8]) -> bool {
    let text = String::from_utf8_lossy(body);
    matches!(status, 400 | 429) && (text.contains("total ignored: ") || text.contains("active stream limit exceeded"))
}

/// Of the entries of one stream that came too fast, the first that is not there. Where Loki takes entry by entry, those before it are.
pub(super) fn first_ignored(body: &[u8], pieces: &Pieces) -> Option<usize> {
    let text = String::from_utf8_lossy(body);
    let total = TOTAL.captures(&text)?;
    if total["count"] == total["all"] {
        return None;
    }
    let time_ns = go_time(&IGNORED.captures(&text)?["time"])?;
    entries(pieces).position(|entry| entry.time_ns == time_ns).filter(|first| *first > 0)
}

/// Does a refusal say that the tenant is none?
pub(super) fn is_no_tenant(message: &str) -> bool {
    [" 400: tenant ID ", " 400: multiple org IDs "].into_iter().any(|said| message.contains(said))
}

fn refused(text: &str, body: &[u8], pieces: &Pieces) -> Outcome {
    let message = endpoint::answered(400, body);
    let asked = Asked::of(pieces);
    let named = Named::read(text, &asked);
    if !named.understood {
        return Outcome::Refused { cause: "http_400".into(), message };
    }
    let refusal = Refusal { reason: "http_400".into(), message };
    let again: Vec<usize> = named.again.difference(&named.entries).copied().collect();
    let left = asked.entries.len() - named.entries.len() - again.len();
    let unnamed = Some((named.unnamed.min(left), refusal.clone())).filter(|(count, _)| *count > 0);
    let refused = named.entries.into_iter().map(|index| (index, refusal.clone())).collect();
    Outcome::Partly { again, refused, unnamed, empty: Box::default() }
}

/// The entries that an answer is about.
#[derive(Debug, Default)]
struct Named {
    entries: BTreeSet<usize>,
    /// Of these the time was no fault of theirs: there were too many at once.
    again: BTreeSet<usize>,
    /// Told by number only.
    unnamed: usize,
    /// Anything in it was understood.
    understood: bool,
}

macro_rules! pattern {
    ($name:ident, $text:literal) => {
        #[allow(clippy::expect_used, reason = "a constant, which a test compiles")]
        static $name: LazyLock<Regex> = LazyLock::new(|| Regex::new($text).expect("a pattern"));
    };
}

pattern!(
    RATE,
    r"ingestion rate limit exceeded .*?\(limit: (?<limit>\d+) bytes/sec\).*? totaling '(?<bytes>\d+)' bytes"
);
pattern!(AGE, r"stream '(?<stream>\{.*?\})' has timestamp too (?<age>old|new): (?<time>[-0-9T:.]+Z)");
pattern!(
    IGNORED,
    r"entry with timestamp (?<time>\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(?:\.\d+)?) \+0000 UTC ignored(?:, reason: '(?<why>[^',]*))?"
);
pattern!(BEHIND, r"too far behind.*?oldest acceptable timestamp is: (?<time>[-0-9T:.]+Z)");
pattern!(TOTAL, r"total ignored: (?<count>\d+) out of (?<all>\d+) for stream: (?<stream>\{.*\})");
pattern!(LONG, r"(?i)max entry size '(?<max>\d+)' bytes exceeded for stream '(?<stream>\{.*?\})'");
pattern!(
    STREAM,
    r"(?i)stream '(?<a>\{.*?\})' has (?:\d+ label names|label name too long|label value too long|duplicate label)|error parsing labels '(?<b>.*?)' with error|missing required labels .*? for stream '?(?<c>\{.*?\})"
);
pattern!(
    METADATA,
    r"stream '(?<stream>\{.*?\})' (?:has structured metadata too large: '\d+' bytes, limit: '(?<bytes>\d+)'|has too many structured metadata labels: '\d+', limit: '(?<count>\d+)'|includes structured metadata)"
);

impl Named {
    /// An answer of 1 MiB holds thousands of errors, most of them alike but for one word: each is looked for once.
    fn read(text: &str, asked: &Asked<'_>) -> Self {
        let mut named = Self::default();
        named.age(text, asked);
        named.behind(text, asked);
        let long: BTreeSet<_> = LONG.captures_iter(text).map(|f| (f.name("stream"), f.name("max"))).map(both).collect();
        for (stream, max) in long {
            let max = max.parse().unwrap_or(usize::MAX);
            named.of_stream(stream, asked, |entry| entry.line.len() > max);
        }
        let of_streams = STREAM
            .captures_iter(text)
            .map(|found| ["a", "b", "c"].into_iter().find_map(|name| found.name(name)).map_or("", |m| m.as_str()));
        for stream in of_streams.collect::<BTreeSet<_>>() {
            named.of_stream(stream, asked, |_| true);
        }
        named.metadata(text, asked);
        // It says no, so there is one at least.
        if named.understood && named.entries.is_empty() && named.again.is_empty() {
            named.unnamed = named.unnamed.max(1);
        }
        named
    }

    /// What is too old, or too new, is so for all streams of a tenant: the widest of these bounds. Times are told in whole seconds.
    fn age(&mut self, text: &str, asked: &Asked<'_>) {
        let (mut old, mut new) = (i64::MIN, i64::MAX);
        for found in AGE.captures_iter(text) {
            let Some(time) = Rfc3339::default().parse(found["time"].as_bytes()) else { continue };
            self.understood = true;
            match &found["age"] {
                "old" => old = old.max(time.saturating_add(SECOND)),
                _ => new = new.min(time),
            }
        }
        if (old, new) != (i64::MIN, i64::MAX) {
            let is_meant = |(_, entry): &(usize, &Entry<'_>)| entry.time_ns < old || entry.time_ns >= new;
            self.entries.extend(asked.entries.iter().enumerate().filter(is_meant).map(|(index, _)| index));
        }
    }

    /// Entries that are too far behind the newest of their stream, or too many at once: some with their time, the others by their number.
    /// Most of those are older than what is told to be acceptable.
    fn behind(&mut self, text: &str, asked: &Asked<'_>) {
        let mut before = 0;
        for total in TOTAL.captures_iter(text) {
            self.understood = true;
            let part = &text[before..total.get_match().start()];
            before = total.get_match().end();
            let count: usize = total["count"].parse().unwrap_or(0);
            let of_stream = asked.of_stream(&Labels::read(&total["stream"]));
            let (mut late, mut throttled) = (HashSet::new(), HashSet::new());
            for found in IGNORED.captures_iter(part) {
                let is_throttled = found.name("why").is_some_and(|why| why.as_str().contains("rate limit"));
                let times = if is_throttled { &mut throttled } else { &mut late };
                times.extend(go_time(&found["time"]));
            }
            let with = |times: &HashSet<i64>| {
                let is_meant = |index: &&usize| times.contains(&asked.entries[**index].time_ns);
                of_stream.iter().filter(is_meant).copied().take(count).collect::<BTreeSet<usize>>()
            };
            let again = with(&throttled);
            let mut meant: BTreeSet<usize> = with(&late).difference(&again).copied().collect();
            let oldest = BEHIND.captures(part).and_then(|f| Rfc3339::default().parse(f["time"].as_bytes()));
            for index in
                of_stream.iter().rev().filter(|index| oldest.is_some_and(|o| asked.entries[**index].time_ns < o))
            {
                if meant.len() + again.len() < count && !again.contains(index) {
                    meant.insert(*index);
                }
            }
            self.unnamed += count.saturating_sub(meant.len() + again.len());
            self.entries.extend(meant);
            self.again.extend(again);
        }
    }

    fn metadata(&mut self, text: &str, asked: &Asked<'_>) {
        let limit = |found: &Captures<'_>, name| found.name(name).and_then(|m| m.as_str().parse::<usize>().ok());
        let told: BTreeSet<(String, Option<usize>, Option<usize>)> = METADATA
            .captures_iter(text)
            .map(|found| (found["stream"].to_owned(), limit(&found, "bytes"), limit(&found, "count")))
            .collect();
        if told.is_empty() {
            return;
        }
        let sizes = asked.metadata_sizes();
        for (stream, bytes, count) in told {
            self.of_stream(&stream, asked, |entry| {
                let size = sizes.get(entry.metadata).copied().unwrap_or_default();
                match (bytes, count) {
                    (Some(max), _) => size.bytes > max,
                    (_, Some(max)) => size.count > max,
                    _ => !entry.metadata.is_empty(),
                }
            });
        }
    }

    fn of_stream(&mut self, stream: &str, asked: &Asked<'_>, is_meant: impl Fn(&Entry<'_>) -> bool) {
        let mut meant = asked.of_stream(&Labels::read(stream));
        meant.retain(|index| is_meant(&asked.entries[*index]));
        self.understood = true;
        self.unnamed += usize::from(meant.is_empty());
        self.entries.extend(meant);
    }
}

fn both<'t>((a, b): (Option<Match<'t>>, Option<Match<'t>>)) -> (&'t str, &'t str) {
    let text = |found: Option<Match<'t>>| found.map_or("", |found| found.as_str());
    (text(a), text(b))
}

/// `2024-03-01 10:00:00.123456789` in UTC, as Go prints times.
fn go_time(text: &str) -> Option<i64> {
    let number = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let days = days_from_civil(number(0..4)?, number(5..7)?, number(8..10)?);
    let seconds = days * 86_400 + number(11..13)? * 3_600 + number(14..16)? * 60 + number(17..19)?;
    let fraction = text.get(20..).unwrap_or_default();
    let nanos: i64 = format!("{fraction:0<9.9}").parse().ok()?;
    seconds.checked_mul(SECOND)?.checked_add(nanos)
}

#[cfg(test)]
mod tests {
    use super::super::piece::push;
    use super::*;

    const AT: i64 = 1_709_287_200 * SECOND;

    /// Entries of two streams: `web` at 0 and 10 s and a long one, `db` at 0 s and one hour later.
    fn pieces() -> Pieces {
        let mut pieces = Pieces::default();
        let (web, db) = (r#"{"job":"x","app":"w\"eb"}"#, r#"{"app":"db"}"#);
        let long = "l".repeat(100);
        for (labels, metadata, time_ns, line) in [
            (web, &[][..], AT + 5, "a"),
            (db, &[], AT, "b"),
            (web, &[("pod", "web-1"), ("n", "1")], AT + 10 * SECOND, "c"),
            (db, &[], AT + 3600 * SECOND, "d"),
            (web, &[], AT + 11 * SECOND, &long),
        ] {
            push(&mut pieces.bytes, labels, metadata, time_ns, line);
            pieces.add(1);
        }
        pieces
    }

    #[test]
    fn the_entries_that_an_answer_names_are_refused() {
        let web = r#"{app="w\"eb", job="x", service_name="web"}"#;
        let old = "has timestamp too old: 2024-03-01T10:00:00Z, oldest acceptable timestamp is: 2024-03-01T10:00:05Z";
        let ignored = "entry with timestamp 2024-03-01 10:00:00.000000005 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: 2024-03-01T10:00:00Z, oldest acceptable timestamp is: 2024-03-01T10:00:11Z',\n";
        for (text, named, unnamed) in [
            (format!("entry for stream '{web}' {old}"), vec![0, 1], 0),
            (
                "2 errors like: entry for stream '{app=\"db\"}' has timestamp too new: 2024-03-01T11:00:00Z".into(),
                vec![3],
                0,
            ),
            (format!("{ignored}user 'fake', total ignored: 1 out of 3 for stream: {web}"), vec![0], 0),
            (format!("{ignored}user 'fake', total ignored: 2 out of 3 for stream: {web}"), vec![0, 2], 0),
            (format!("{ignored}user 'fake', total ignored: 3 out of 3 for stream: {web}\n"), vec![0, 2], 1),
            (
                format!(
                    "Max entry size '99' bytes exceeded for stream '{web}' while adding an entry with length '100' bytes"
                ),
                vec![4],
                0,
            ),
            ("entry for stream '{app=\"db\"}' has 16 label names; limit 15".into(), vec![1, 3], 0),
            ("stream '{app=\"other\"}' has label value too long: 'x'".into(), vec![], 1),
            ("stream '{app=\"db\"}' has timestamp too new: 2030-03-01T11:00:00Z".into(), vec![], 1),
            (format!("Error parsing labels '{web}' with error: 1:2: parse error"), vec![0, 2, 4], 0),
            ("missing required labels 'team' for user 'fake' for stream '{app=\"db\", service_name=\"db\"}' (policy: '')".into(), vec![1, 3], 0),
            (format!("stream '{web}' has too many structured metadata labels: '2', limit: '1'. Please"), vec![2], 0),
            (format!("stream '{web}' has structured metadata too large: '15' bytes, limit: '8' bytes"), vec![2], 0),
            (format!("stream '{web}' includes structured metadata, but this feature is disallowed"), vec![2], 0),
        ] {
            let Outcome::Partly { again, refused, unnamed: other, .. } =
                judge(400, &HeaderMap::new(), text.as_bytes(), &pieces())
            else {
                panic!("{text}")
            };
            let refused: Vec<usize> = refused.into_iter().map(|(index, _)| index).collect();
            assert_eq!((refused, other.map_or(0, |(count, _)| count)), (named, unnamed), "{text}");
            assert!(again.is_empty());
        }
    }

    #[test]
    fn what_other_answers_mean() {
        let judge = |status, body: &str| judge(status, &HeaderMap::new(), body.as_bytes(), &pieces());
        assert!(matches!(judge(204, ""), Outcome::Delivered));
        assert!(matches!(judge(200, ""), Outcome::Delivered));
        assert!(matches!(judge(260, "ingestion blocked"), Outcome::Unfit { reason: "http_260", .. }));
        assert!(matches!(judge(413, ""), Outcome::TooLarge));
        assert!(matches!(judge(500, "received message larger than max (5 vs. 4)"), Outcome::TooLarge));
        assert!(matches!(judge(400, "unexpected EOF"), Outcome::Refused { .. }));
        assert!(matches!(judge(500, "label name is empty"), Outcome::Refused { .. }));
        let rate = |bytes| {
            format!(
                "ingestion rate limit exceeded for user fake (limit: 4194304 bytes/sec) while attempting to ingest '5' lines totaling '{bytes}' bytes, reduce"
            )
        };
        assert!(matches!(judge(429, &rate(4_194_305)), Outcome::TooLarge));
        assert!(matches!(judge(429, &rate(4_194_304)), Outcome::Again { .. }));
        for (status, expect) in [(503, false), (429, false), (401, true), (404, true), (302, true), (409, true)] {
            let Outcome::Again { lasting, message, cause, .. } = judge(status, "why") else { panic!("{status}") };
            assert_eq!((lasting, cause), (expect, format!("http_{status}")));
            assert!(message.contains("why"), "{message}");
        }
    }

    #[test]
    fn what_is_throttled_among_late_entries_is_sent_again() {
        let web = r#"{app="w\"eb", job="x"}"#;
        let text = format!(
            "entry with timestamp 2024-03-01 10:00:00.000000005 +0000 UTC ignored, reason: 'entry too far behind, entry timestamp is: 2024-03-01T10:00:00Z, oldest acceptable timestamp is: 2024-03-01T10:00:01Z',\n\
             entry with timestamp 2024-03-01 10:00:10 +0000 UTC ignored, reason: 'Per stream rate limit exceeded (limit: 3MB/sec) while attempting to ingest for stream {web} totaling 1B, consider splitting a stream',\n\
             user 'fake', total ignored: 2 out of 3 for stream: {web}"
        );
        let Outcome::Partly { again, refused, unnamed, .. } = judge(400, &HeaderMap::new(), text.as_bytes(), &pieces())
        else {
            panic!("{text}")
        };
        assert_eq!((again, refused.len(), refused[0].0, unnamed.is_none()), (vec![2], 1, 0, true));
    }

    #[test]
    fn of_a_stream_that_is_too_fast_what_was_before_is_there() {
        let first = |time: &str, count: usize| {
            let text = format!(
                "entry with timestamp 2024-03-01 10:00:{time} +0000 UTC ignored, reason: 'Per stream rate limit exceeded',\nuser 'fake', total ignored: {count} out of 3 for stream: {{app=\"x\"}}"
            );
            first_ignored(text.as_bytes(), &pieces())
        };
        assert_eq!(first("10", 2), Some(2));
        assert_eq!(first("10", 3), None, "in one piece");
        assert_eq!(first("00.000000005", 2), None, "the very first");
        assert_eq!(first("59", 2), None);
        assert_eq!(first_ignored(b"maximum active stream limit exceeded", &pieces()), None);
    }

    /// As many errors as an answer holds, about as many entries as a request holds.
    #[test]
    fn an_answer_of_many_errors_is_read_in_a_moment() {
        let (mut pieces, mut text) = (Pieces::default(), String::new());
        let metadata = [("pod", "web-1"), ("trace", "0123456789abcdef")];
        for n in 0..5000 {
            push(&mut pieces.bytes, &format!("{{\"app\":\"a{n}\"}}"), &metadata, AT + n, "");
            pieces.add(1);
            text += &format!(
                "stream '{{app=\"a{n}\", service_name=\"a{n}\"}}' has structured metadata too large: '{}' bytes, limit: '8' bytes\n",
                n + 40
            );
            text += &format!(
                "entry for stream '{{app=\"a{n}\"}}' has timestamp too old: 2024-02-01T10:00:{:02}Z, oldest\n",
                n % 60
            );
        }
        let begin = std::time::Instant::now();
        let Outcome::Partly { refused, .. } = judge(400, &HeaderMap::new(), text.as_bytes(), &pieces) else {
            panic!("partly")
        };
        assert_eq!(refused.len(), 5000);
        // One look at each entry for each error takes minutes.
        assert!(begin.elapsed() < std::time::Duration::from_secs(10), "{:?}", begin.elapsed());
    }

    #[test]
    fn no_answer_panics() {
        let (pieces, headers) = (pieces(), HeaderMap::new());
        proptest::proptest!(|(text in "(entry with timestamp |9999-99-99 99:99:99|stream '|total ignored: 99 out of 9 for stream: |too old: |\\PC|\\{a=\"b\"\\}'| has ){0,20}")| {
            judge(400, &headers, text.as_bytes(), &pieces);
        });
    }
}
