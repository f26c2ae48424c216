//! Any bytes as lines of a CRI log: what is taken apart lies within its line, nothing of the text is lost, and joining the pieces
//! loses nothing either.
#![no_main]

use drave::parse::{Joiner, cri};
use drave::record::time::Rfc3339;
use drave::record::{Batch, Source, SourceDraft, Stream};
use libfuzzer_sys::fuzz_target;
use std::sync::Arc;

/// Small, so that the limit is met.
const JOINED_BYTES_MAX: usize = 64;

fuzz_target!(|data: &[u8]| {
    let mut batch = Batch::new(Arc::new(Source::new(SourceDraft::default(), Vec::new())));
    batch.text.extend_from_slice(data);
    let (mut clock, mut joiner) = (Rfc3339::default(), Joiner::new(JOINED_BYTES_MAX));
    let (mut at, mut pieces, mut text_bytes, mut source_bytes) = (0, 0, 0, 0);
    for line in data.split(|byte| *byte == b'\n') {
        let start = at;
        at += line.len() + 1;
        let Some(piece) = cri::piece(line, start, &mut clock) else { continue };
        assert_ne!(piece.stream, Stream::None);
        assert_eq!(piece.partial, piece.tag == b'P');
        assert_eq!(piece.time_text.start as usize, start);
        assert!(piece.time_text.len < piece.text.start - start as u32);
        assert_eq!(piece.text.start as usize + piece.text.len as usize, start + line.len());
        // The same line again gives the same, whatever the clock remembers.
        let again = cri::piece(line, start, &mut Rfc3339::default()).expect("it was one before");
        assert_eq!((again.time_ns, again.text), (piece.time_ns, piece.text));
        joiner.add(&mut batch, &piece, start as u64, line.len() as u32 + 1, false);
        (pieces, text_bytes) = (pieces + 1, text_bytes + piece.text.len as usize);
        source_bytes += line.len() + 1;
    }
    joiner.flush(&mut batch);
    assert!(!joiner.is_open());
    let texts: usize = batch.records.iter().map(|record| batch.bytes(record.text).len()).sum();
    let sources: usize = batch.records.iter().map(|record| record.bytes as usize).sum();
    assert_eq!((texts, sources), (text_bytes, source_bytes));
    assert_eq!(pieces, batch.records.len() as u64 + batch.counts.joined);
    assert_eq!((batch.counts.open, batch.counts.open_bytes), (0, 0));
});
