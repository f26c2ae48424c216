//! The format of frames and of numbers.

use proptest::prelude::*;

use super::super::frame::{Encoder, FRAME_BYTES_MAX, HEAD_BYTES, Head};
use super::super::wire::{Taker, push_number};
use super::*;

fn encoded(frame: &Frame) -> Vec<u8> {
    let mut encoder = Encoder::new();
    let head = encoder.encode(&frame.draft()).unwrap();
    encoder.stamp(head, 7, 1, 2);
    encoder.bytes().to_vec()
}

#[test]
fn what_is_written_is_read() {
    let many = Frame {
        key: "naïve/λ".into(),
        parts: vec![Part { input: "tail".into(), source: "".into(), pieces: 1 }],
        pieces: (0..1000).map(|i| Piece { end: i * 3, source_bytes: u32::MAX - i }).collect(),
        bytes: b"abc".repeat(999),
    };
    for frame in [Frame::default(), frame(1, 0), frame(2, 5000), many] {
        let bytes = encoded(&frame);
        let (found, skipped) = read_frames(&bytes);
        assert_eq!((&found[..], skipped), (std::slice::from_ref(&frame), 0));
    }
}

#[test]
fn a_frame_has_nothing_of_the_one_before() {
    let mut encoder = Encoder::new();
    let large =
        Frame { pieces: vec![Piece { end: 9 << 20, source_bytes: 1 }], bytes: vec![b'x'; 9 << 20], ..Frame::default() };
    for frame in [frame(2, 5000), large, frame(1, 0), frame(3, 100)] {
        let head = encoder.encode(&frame.draft()).unwrap();
        encoder.stamp(head, 7, 1, 2);
        assert_eq!(encoder.bytes(), encoded(&frame));
        assert_eq!(read_frames(encoder.bytes()), (vec![frame], 0));
    }
}

#[test]
fn text_gets_smaller() {
    let frame = Frame {
        pieces: vec![Piece { end: 40_000, source_bytes: 1 }],
        bytes: b"logs".repeat(10_000),
        ..Frame::default()
    };
    assert!(encoded(&frame).len() < 4000);
}

#[test]
fn records_count_for_their_inputs() {
    let totals = frame(1, 5).totals();
    let of = |name: &str| totals.inputs[name];
    assert_eq!((totals.frames, totals.all), (1, Amount { records: 2, bytes: 300 }));
    assert_eq!((of("tail.0"), of("tail.1")), (Amount { records: 1, bytes: 100 }, Amount { records: 1, bytes: 200 }));
    let nameless = Frame { parts: Vec::new(), ..frame(1, 5) };
    assert_eq!(nameless.totals().inputs[""], Amount { records: 2, bytes: 300 });
}

#[test]
fn inputs_without_number_are_counted_together() {
    let mut totals = Totals::default();
    for input in 0..1000 {
        totals.count(&format!("{input}{}", "ä".repeat(150)).into(), Amount { records: 1, bytes: 10 });
    }
    assert_eq!(totals.all, Amount { records: 1000, bytes: 10_000 });
    assert_eq!(totals.inputs.values().map(|amount| amount.records).sum::<u64>(), 1000);
    assert_eq!(totals.inputs["(others)"].records, 1000 - 64);
    let mut bytes = Vec::new();
    totals.push_to(&mut bytes);
    assert!(bytes.len() <= super::super::totals::TOTALS_BYTES_MAX);
    assert_eq!(Totals::take_from(&mut Taker(&bytes)), Some(totals));
}

#[test]
fn what_is_no_frame_is_not_written() {
    let mut encoder = Encoder::new();
    let mut check = |frame: &Frame, expect: SpoolError| assert_eq!(encoder.encode(&frame.draft()), Err(expect));
    let piece = |end: usize| Piece { end: end as u32, source_bytes: 0 };
    let of = |pieces: &[Piece], len: usize| Frame { pieces: pieces.to_vec(), bytes: vec![0; len], ..Frame::default() };
    check(&of(&[piece(FRAME_BYTES_MAX + 1)], FRAME_BYTES_MAX + 1), SpoolError::TooLarge);
    check(&of(&vec![piece(1); FRAME_PIECES_MAX + 1], 1), SpoolError::TooLarge);
    check(&Frame { key: "k".repeat(9 << 20), ..Frame::default() }, SpoolError::TooLarge);
    check(&of(&[piece(3)], 4), SpoolError::Unsound);
    check(&of(&[piece(4), piece(3), piece(4)], 4), SpoolError::Unsound);
    check(&of(&[], 4), SpoolError::Unsound);
}

#[test]
fn a_frame_in_the_text_of_a_frame_is_text() {
    let inner = encoded(&frame(1, 300));
    let mut outer = Frame { pieces: vec![Piece { end: inner.len() as u32, source_bytes: 1 }], ..Frame::default() };
    outer.bytes = inner;
    let folder = TempDir::new().unwrap();
    let mut spool = open(folder.path());
    spool.append(&outer.draft()).unwrap();
    fill(&mut spool, 5..6);
    let file = &segments(folder.path())[0];
    let mut bytes = fs::read(file).unwrap();
    let Kind::Ours(header) = Kind::read(&bytes) else { panic!("a header") };
    bytes[header.len as usize + 20] ^= 1;
    fs::write(file, bytes).unwrap();
    assert_eq!(ids(&mut spool), [5], "the search for the next frame finds none that the log's text brought");
}

proptest! {
    #[test]
    fn numbers(number in any::<u64>(), shift in 0..64_u32) {
        let mut bytes = Vec::new();
        push_number(&mut bytes, number >> shift);
        prop_assert_eq!(Taker(&bytes).number(), Some(number >> shift));
        prop_assert_eq!(Taker(&bytes[..bytes.len() - 1]).number(), None);
    }

    #[test]
    fn no_bytes_make_the_reader_fall(mut bytes in proptest::collection::vec(any::<u8>(), 0..300), at in any::<prop::sample::Index>(), cut in any::<prop::sample::Index>()) {
        // A good frame somewhere in it, cut and with a byte changed, comes closer than noise.
        let mut whole = encoded(&frame(3, 40));
        let place = at.index(bytes.len() + 1);
        let flipped = cut.index(whole.len());
        bytes.splice(place..place, whole.clone());
        let (found, skipped) = read_frames(&bytes);
        prop_assert_eq!(found, vec![frame(3, 40)]);
        prop_assert_eq!(skipped as usize, bytes.len() - whole.len());
        whole[flipped] ^= 0x10;
        prop_assert_eq!(read_frames(&whole), (vec![], whole.len() as u64));
        // Whatever the checksum says.
        let head: [u8; HEAD_BYTES] = whole[..HEAD_BYTES].try_into().unwrap();
        if let Some(head) = Head::read(&head) {
            let _ = head.frame(&whole[HEAD_BYTES..]);
        }
    }
}
