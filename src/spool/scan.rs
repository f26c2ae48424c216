//! Reads frame after frame, and finds the next good one behind damage.
//!
//! ```text
//!  head good ─┬─ body good ─▶ a frame
//!             └─ body bad ──▶ skip it, exactly
//!  head bad, or behind the end ─▶ search the magic and behind it a good head; skip to there, or to the end
//! ```
//! One frame is held at a time, and while searching 64 KiB.

use std::fs::File;
use std::io;

use memchr::memmem;

use super::disk;
use super::frame::{Frame, HEAD_BYTES, Head, MAGIC, Meta};

/// How much is searched at once.
const SEARCH_BYTES: usize = 64 << 10;
const _: () = assert!(SEARCH_BYTES > 2 * HEAD_BYTES);
/// A buffer that one huge frame needed is not kept.
const KEPT_BYTES_MAX: usize = 4 << 20;

/// Bytes that are read from any place: a file, or bytes in memory.
pub(super) trait ReadAt {
    /// Less than asked for only at the end.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;
}

impl ReadAt for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        disk::read_at(self, bytes, offset)
    }
}

impl ReadAt for &[u8] {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(offset).ok().and_then(|offset| self.get(offset..)).unwrap_or_default();
        let len = rest.len().min(bytes.len());
        bytes[..len].copy_from_slice(&rest[..len]);
        Ok(len)
    }
}

/// What stood at the scan's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// A whole frame; ask [`Scan::frame`] or [`Scan::meta`] for what is in it.
    Frame(Head),
    /// Bytes that are none; with the head if that was good.
    Skipped(u64, Option<Head>),
    /// Nothing.
    End,
}

/// A place in a segment.
#[derive(Debug)]
pub(super) struct Scan {
    /// Where it began.
    pub(super) begin: u64,
    /// Where the next frame begins.
    pub(super) offset: u64,
    /// Nothing is read from here on.
    pub(super) end: u64,
    /// Of the segment; if that is not known, of its first good frame.
    salt: Option<u64>,
    /// The next frame has this sequence number or a higher one.
    lowest: u64,
    body: Vec<u8>,
}

impl Scan {
    pub(super) fn new(offset: u64, end: u64, salt: Option<u64>) -> Scan {
        Scan { begin: offset, offset, end, salt, lowest: 0, body: Vec::new() }
    }

    /// Reads what comes next and goes behind it. After an error the place is the same.
    pub(super) fn step(&mut self, file: &impl ReadAt) -> io::Result<Step> {
        if self.offset >= self.end {
            return Ok(Step::End);
        }
        let head = self.head_at(file, self.offset)?;
        let Some(head) = head.filter(|head| self.end_of(head) <= self.end) else {
            let next = self.search(file)?.unwrap_or(self.end);
            let skipped = Step::Skipped(next - self.offset, head);
            self.offset = next;
            return Ok(skipped);
        };
        let after = self.end_of(&head);
        if !self.read_body(file, &head)? {
            let skipped = Step::Skipped(after - self.offset, Some(head));
            self.offset = after;
            return Ok(skipped);
        }
        self.offset = after;
        self.lowest = head.sequence + 1;
        self.salt = Some(head.salt);
        Ok(Step::Frame(head))
    }

    /// The frame that the last step found.
    pub(super) fn frame(&self, head: &Head) -> Option<Frame> {
        head.frame(&self.body)
    }

    /// The same, without the pieces' bytes.
    pub(super) fn meta(&self, head: &Head) -> Option<Meta<'_>> {
        head.meta(&self.body)
    }

    fn end_of(&self, head: &Head) -> u64 {
        self.offset + (HEAD_BYTES + head.body_len()) as u64
    }

    fn head_at(&self, file: &impl ReadAt, offset: u64) -> io::Result<Option<Head>> {
        let mut bytes = [0; HEAD_BYTES];
        if self.end - offset < HEAD_BYTES as u64 || file.read_at(&mut bytes, offset)? < HEAD_BYTES {
            return Ok(None);
        }
        Ok(Head::read(&bytes).filter(|head| self.is_expected(head)))
    }

    fn is_expected(&self, head: &Head) -> bool {
        self.salt.is_none_or(|salt| salt == head.salt) && head.sequence >= self.lowest && head.sequence < u64::MAX
    }

    fn read_body(&mut self, file: &impl ReadAt, head: &Head) -> io::Result<bool> {
        if self.body.capacity() > KEPT_BYTES_MAX {
            self.body = Vec::new();
        }
        self.body.resize(head.body_len(), 0);
        let read = file.read_at(&mut self.body, self.offset + HEAD_BYTES as u64)?;
        Ok(read == self.body.len() && head.is_whole(&self.body))
    }

    /// The next place behind this one where a good head stands.
    fn search(&self, file: &impl ReadAt) -> io::Result<Option<u64>> {
        let mut window = vec![0; SEARCH_BYTES];
        let mut at = self.offset + 1;
        while at + (HEAD_BYTES as u64) <= self.end {
            let room = usize::try_from(self.end - at).unwrap_or(usize::MAX).min(SEARCH_BYTES);
            let read = file.read_at(&mut window[..room], at)?;
            for found in memmem::find_iter(&window[..read], &MAGIC) {
                if self.head_at(file, at + found as u64)?.is_some() {
                    return Ok(Some(at + found as u64));
                }
            }
            if read < SEARCH_BYTES {
                break;
            }
            // A magic may lie across the edge.
            at += (read - MAGIC.len() + 1) as u64;
        }
        Ok(None)
    }
}

/// The frames in any bytes, with how many of the bytes were skipped: what the fuzzer throws at the reader.
pub fn read_frames(bytes: &[u8]) -> (Vec<Frame>, u64) {
    let (mut frames, mut skipped) = (Vec::new(), 0);
    let mut scan = Scan::new(0, bytes.len() as u64, None);
    loop {
        // Memory cannot fail to be read.
        match scan.step(&bytes).unwrap_or(Step::End) {
            Step::Frame(head) => match scan.frame(&head) {
                Some(frame) => frames.push(frame),
                None => skipped += (HEAD_BYTES + head.body_len()) as u64,
            },
            Step::Skipped(bytes, _) => skipped += bytes,
            Step::End => return (frames, skipped),
        }
    }
}
