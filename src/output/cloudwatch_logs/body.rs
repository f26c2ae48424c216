//! The bodies of `PutLogEvents`, written once: events sorted by time, cut into as many puts as the limits ask for.
//!
//! ```text
//! length u32 │ events u32, two bits of it for how │ {"logGroupName":"…","logStreamName":"…","logEvents":[…,…]}      and so on
//! length u32 │ events u32, IN_PLACE               │ {"logGroupName":"…","logStreamName":"…","logEvents":[  ]}         around the pieces
//! ```
//! The pipeline fills a request exactly, so that it is one put as a rule, and times ascend as a rule: then the pieces are in the
//! body as they stand, and are not copied. It is more puts for a backlog that spans days, for a record that is longer than a put, and
//! for pieces that were made under other limits. Numbers are little-endian.

use super::super::{Filled, Piece, Pieces};
use super::event::{EVENT_OVERHEAD, HEAD, MESSAGE, unescaped_len};
use crate::net::gzip;
use crate::record::json;
use bytes::{Buf, Bytes};
use memchr::memmem;

// https://docs.aws.amazon.com/AmazonCloudWatchLogs/latest/APIReference/API_PutLogEvents.html
/// Bytes of one put, each message with what is added to it.
pub(super) const PUT_BYTES_MAX: usize = 1_048_576;
/// Events of one put.
pub(super) const PUT_EVENTS_MAX: usize = 10_000;
/// First to last, in milliseconds: 24 hours.
const PUT_SPAN_MAX: i64 = 86_400_000;

const GZIP: u32 = 1 << 31;
/// The pieces are not in the body: they belong between its parts.
const IN_PLACE: u32 = 1 << 30;
/// What stands behind the events.
const BACK: &[u8] = b"]}";
/// What stands before pieces fills whole blocks of SHA-256.
const FRONT_STEP: usize = 64;

/// A put as it is kept in a request's body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Put {
    /// One behind the other. The first fills whole blocks of SHA-256.
    pub(super) body: [Bytes; 3],
    pub(super) events: usize,
    pub(super) gzip: bool,
}

/// Pieces that hold events, sorted by time, stably, each with its time and its number.
pub(super) fn in_order(pieces: &Pieces) -> Vec<(i64, u32)> {
    let mut order: Vec<(i64, u32)> = Vec::with_capacity(pieces.list.len());
    let mut start = 0;
    for (number, Piece { end, .. }) in pieces.list.iter().enumerate() {
        let piece = bare(&pieces.bytes[start..*end as usize]);
        if piece.starts_with(HEAD) {
            order.push((time_of(piece), number as u32));
        }
        start = *end as usize;
    }
    order.sort();
    order
}

/// How many events a piece is.
pub(super) fn event_count(piece: &[u8]) -> usize {
    memmem::find_iter(piece, HEAD).count()
}

/// The bytes of a piece.
pub(super) fn piece(pieces: &Pieces, number: u32) -> &[u8] {
    let number = number as usize;
    let start = number.checked_sub(1).map_or(0, |before| pieces.list[before].end as usize);
    bare(&pieces.bytes[start..pieces.list[number].end as usize])
}

/// Without the comma that joins it to the one before.
pub(super) fn bare(piece: &[u8]) -> &[u8] {
    piece.strip_prefix(b",").unwrap_or(piece)
}

/// Are pieces that fill a request so one put, as they stand?
pub(super) fn is_one_put(filled: &Filled) -> bool {
    filled.ascending && fits(filled)
}

fn fits(filled: &Filled) -> bool {
    let span = filled.times.map_or(i64::MAX, |(first, last)| last.saturating_sub(first));
    (1..=PUT_BYTES_MAX).contains(&filled.bytes) && filled.entries <= PUT_EVENTS_MAX && span <= PUT_SPAN_MAX
}

/// Appends what goes around pieces that are one put.
pub(super) fn push_around(group: &str, stream: &str, events: usize, out: &mut Vec<u8>) {
    let mut front = head(group, stream);
    front.resize(front.len().next_multiple_of(FRONT_STEP), b' ');
    out.extend_from_slice(&((front.len() + BACK.len()) as u32).to_le_bytes());
    out.extend_from_slice(&(events as u32 | IN_PLACE).to_le_bytes());
    out.extend_from_slice(&front);
    out.extend_from_slice(BACK);
}

fn head(group: &str, stream: &str) -> Vec<u8> {
    let mut head = br#"{"logGroupName":"#.to_vec();
    json::push_utf8(&mut head, group.as_bytes());
    head.extend_from_slice(br#","logStreamName":"#);
    json::push_utf8(&mut head, stream.as_bytes());
    head.extend_from_slice(br#","logEvents":["#);
    head
}

/// Appends all puts of a request.
pub(super) fn push_puts(group: &str, stream: &str, pieces: &Pieces, compress: bool, out: &mut Vec<u8>) {
    let order = in_order(pieces);
    if order.is_empty() {
        return;
    }
    let mut writer = Writer::new(group, stream, compress, out);
    writer.out.reserve(pieces.bytes.len() + pieces.list.len() + 1024);
    if fits(&pieces.filled) {
        order.iter().for_each(|(_, number)| writer.push(piece(pieces, *number)));
        writer.events = pieces.filled.entries;
    } else {
        for (time, number) in &order {
            events(piece(pieces, *number)).for_each(|event| writer.push_where_it_fits(event, *time));
        }
    }
    writer.end();
}

/// The puts of a request, as [`push_puts`] or [`push_around`] wrote them.
pub(super) fn puts(body: &Bytes, pieces: Option<&Bytes>) -> Vec<Put> {
    let (mut rest, mut puts) = (body.clone(), Vec::new());
    while rest.len() >= 8 {
        let (len, events) = (rest.get_u32_le() as usize, rest.get_u32_le());
        let mut body = rest.split_to(len.min(rest.len()));
        let body = if events & IN_PLACE == 0 {
            [Bytes::new(), body, Bytes::new()]
        } else {
            let back = body.split_off(body.len().saturating_sub(BACK.len()));
            [body, pieces.cloned().unwrap_or_default(), back]
        };
        puts.push(Put { body, events: (events & !(GZIP | IN_PLACE)) as usize, gzip: events & GZIP != 0 });
    }
    puts
}

fn time_of(piece: &[u8]) -> i64 {
    let digits = piece.get(HEAD.len()..).unwrap_or_default().iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |time: i64, digit| time.wrapping_mul(10).wrapping_add(i64::from(digit - b'0')))
}

/// The events of a piece, without the commas between them.
fn events(piece: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut starts = memmem::find_iter(piece, HEAD).peekable();
    std::iter::from_fn(move || {
        let start = starts.next()?;
        let end = starts.peek().map_or(piece.len(), |next| next - 1);
        Some(&piece[start..end])
    })
}

/// What CloudWatch counts of an event.
fn size_of(event: &[u8]) -> usize {
    let message = memmem::find(event, MESSAGE).map_or(0, |at| at + MESSAGE.len() + 1);
    let inner = event.get(message..event.len().saturating_sub(2)).unwrap_or_default();
    unescaped_len(inner) + EVENT_OVERHEAD
}

struct Writer<'a> {
    head: Vec<u8>,
    compress: bool,
    out: &'a mut Vec<u8>,
    /// Where the put begins that is being written.
    start: usize,
    events: usize,
    bytes: usize,
    first: i64,
}

impl<'a> Writer<'a> {
    fn new(group: &str, stream: &str, compress: bool, out: &'a mut Vec<u8>) -> Self {
        let mut writer = Self { head: head(group, stream), compress, out, start: 0, events: 0, bytes: 0, first: 0 };
        writer.begin();
        writer
    }

    fn begin(&mut self) {
        (self.start, self.events, self.bytes) = (self.out.len(), 0, 0);
        self.out.extend_from_slice(&[0; 8]);
        self.out.extend_from_slice(&self.head);
    }

    fn push(&mut self, events: &[u8]) {
        self.out.extend_from_slice(events);
        self.out.push(b',');
    }

    fn push_where_it_fits(&mut self, event: &[u8], time: i64) {
        let bytes = size_of(event);
        let full = self.events == PUT_EVENTS_MAX || self.bytes + bytes > PUT_BYTES_MAX;
        if self.events > 0 && (full || time - self.first > PUT_SPAN_MAX) {
            self.end();
            self.begin();
        }
        if self.events == 0 {
            self.first = time;
        }
        self.push(event);
        self.events += 1;
        self.bytes += bytes;
    }

    /// Closes the put, and says in front of it what it is.
    fn end(&mut self) {
        self.out.pop();
        self.out.extend_from_slice(BACK);
        let body = self.start + 8;
        let mut mark = 0;
        if self.compress {
            let mut small = Vec::new();
            gzip(1, &self.out[body..], &mut small);
            if small.len() < self.out.len() - body {
                self.out.truncate(body);
                self.out.extend_from_slice(&small);
                mark = GZIP;
            }
        }
        let len = (self.out.len() - body) as u32;
        self.out[self.start..self.start + 4].copy_from_slice(&len.to_le_bytes());
        self.out[self.start + 4..body].copy_from_slice(&(self.events as u32 | mark).to_le_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn pieces(list: &[String]) -> Pieces {
        let mut pieces = Pieces::default();
        for text in list {
            pieces.bytes.extend_from_slice(text.as_bytes());
            pieces.add(1);
        }
        pieces
    }

    fn event(time: i64, message: &str) -> String {
        format!(r#"{{"timestamp":{time},"message":{}}}"#, Value::from(message))
    }

    fn bodies(pieces: &Pieces) -> Vec<String> {
        let mut body = Vec::new();
        push_puts("/g", "s\"", pieces, false, &mut body);
        puts(&body.into(), None).iter().map(|put| String::from_utf8(put.body.concat()).unwrap()).collect()
    }

    /// Counts as CloudWatch does, and complains as it does.
    fn check_limits(body: &str) -> Vec<String> {
        let value: Value = serde_json::from_str(body).unwrap();
        let events: Vec<(i64, &str)> = value["logEvents"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| (e["timestamp"].as_i64().unwrap(), e["message"].as_str().unwrap()))
            .collect();
        assert!(events.is_sorted_by_key(|(time, _)| *time), "in order");
        assert!(events.len() <= PUT_EVENTS_MAX && !events.is_empty());
        assert!(events.iter().map(|(_, m)| m.len() + EVENT_OVERHEAD).sum::<usize>() <= PUT_BYTES_MAX);
        assert!(events[events.len() - 1].0 - events[0].0 <= PUT_SPAN_MAX);
        events.into_iter().map(|(_, message)| message.to_owned()).collect()
    }

    #[test]
    fn events_are_sorted_and_those_of_one_time_stay_in_order() {
        let list = [event(2, "b"), String::new(), event(1, "a"), format!(",{},{}", event(2, "c"), event(2, "d"))];
        insta::assert_snapshot!(bodies(&pieces(&list)).join("\n"), @r#"{"logGroupName":"/g","logStreamName":"s\"","logEvents":[{"timestamp":1,"message":"a"},{"timestamp":2,"message":"b"},{"timestamp":2,"message":"c"},{"timestamp":2,"message":"d"}]}"#);
        assert_eq!(in_order(&pieces(&list)), [(1, 2), (2, 0), (2, 3)]);
        assert_eq!(event_count(list[3].as_bytes()), 2);
        assert!(bodies(&pieces(&[String::new(), " ".into()])).is_empty());
    }

    #[test]
    fn what_is_too_much_for_one_put_becomes_several() {
        let day = PUT_SPAN_MAX;
        for (list, expect) in [
            (vec![event(0, "a"), event(day, "b"), event(day + 1, "c"), event(3 * day, "d")], 3),
            ((0..10_001).map(|n| event(n, "x")).collect(), 2),
            ((0..3).map(|n| event(n, &"\"".repeat(500_000))).collect(), 2),
            (vec![[event(7, &"a".repeat(900_000)), event(7, &"b".repeat(900_000))].join(",")], 2),
            (vec![event(0, &"\"".repeat(PUT_BYTES_MAX - EVENT_OVERHEAD))], 1),
        ] {
            let bodies = bodies(&pieces(&list));
            assert_eq!(bodies.len(), expect);
            let sent: usize = bodies.iter().map(|body| check_limits(body).len()).sum();
            assert_eq!(sent, list.iter().map(|piece| event_count(piece.as_bytes())).sum::<usize>());
        }
    }

    #[test]
    fn a_message_that_looks_like_an_event_is_none() {
        let looks = event(1, &event(2, "x},{\"timestamp\":3"));
        assert_eq!(event_count(looks.as_bytes()), 1);
        assert_eq!(check_limits(&bodies(&pieces(&[looks, event(0, "y")]))[0]).len(), 2);
    }

    #[test]
    fn what_goes_around_pieces_makes_a_put_of_them() {
        let events = [event(1, "a"), event(2, "b")].join(",");
        for stream in ["s".to_owned(), "s\"ü".repeat(30)] {
            let mut body = Vec::new();
            push_around("/g", &stream, 2, &mut body);
            let put = &puts(&body.into(), Some(&events.clone().into()))[0];
            assert_eq!((put.events, put.gzip, put.body[0].len() % FRONT_STEP), (2, false, 0));
            let body = String::from_utf8(put.body.concat()).unwrap();
            assert_eq!(serde_json::from_str::<Value>(&body).unwrap()["logStreamName"], *stream);
            assert_eq!(check_limits(&body), ["a", "b"]);
        }
    }

    #[test]
    fn only_what_ascends_and_fits_is_a_put_as_it_stands() {
        let good = Filled { bytes: 100, entries: 2, times: Some((1, 1 + PUT_SPAN_MAX)), ascending: true, full: false };
        assert!(is_one_put(&good));
        for bad in [
            Filled::default(),
            Filled { ascending: false, ..good },
            Filled { times: Some((0, 1 + PUT_SPAN_MAX)), ..good },
            Filled { entries: PUT_EVENTS_MAX + 1, ..good },
            Filled { bytes: PUT_BYTES_MAX + 1, ..good },
        ] {
            assert!(!is_one_put(&bad), "{bad:?}");
        }
    }

    #[test]
    fn a_body_is_compressed_where_that_helps() {
        let mut body = Vec::new();
        push_puts("g", "s", &pieces(&[event(1, &"a".repeat(5000))]), true, &mut body);
        let put = &puts(&body.into(), None)[0];
        assert!(put.gzip && put.events == 1);
        let mut back = String::new();
        std::io::Read::read_to_string(&mut flate2::read::GzDecoder::new(&put.body[1][..]), &mut back).unwrap();
        assert_eq!(check_limits(&back).len(), 1);
        let mut small = Vec::new();
        push_puts("g", "s", &pieces(&[event(1, "a")]), true, &mut small);
        assert!(!puts(&small.into(), None)[0].gzip);
    }

    #[test]
    fn nothing_is_lost_and_every_limit_is_kept() {
        let one = (0_i64..3 * PUT_SPAN_MAX, "[a\"\\\\ü🚀\n]{0,20}", 1_usize..200_000);
        proptest::proptest!(proptest::test_runner::Config::with_cases(16), |(list in proptest::collection::vec(one, 1..20))| {
            let list: Vec<String> = list.iter().map(|(time, text, times)| event(*time, &text.repeat(*times / (text.len() + 1) + 1))).collect();
            let mut sent: Vec<String> = bodies(&pieces(&list)).iter().flat_map(|body| check_limits(body)).collect();
            let mut all: Vec<String> = list.iter().map(|e| serde_json::from_str::<Value>(e).unwrap()["message"].as_str().unwrap().to_owned()).collect();
            sent.sort();
            all.sort();
            proptest::prop_assert_eq!(sent, all);
        });
    }
}
