//! Dead letters: pieces that a destination refused for good, with the reason. A log as the spool's, in a folder of its own, without
//! a cursor; when it is full, its oldest segment goes.

use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::SpoolError;
use super::frame::{Draft, Frame, Label};
use super::log::Log;
use super::totals::Totals;
use super::walk::Walk;

/// Where refused pieces go.
#[derive(Debug)]
pub struct DeadLetters {
    log: Log,
    dropped: Totals,
}

/// A frame of refused pieces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Letter {
    /// Ascending over the whole log.
    pub sequence: u64,
    /// When it was refused.
    pub time: SystemTime,
    /// The output's name.
    pub output: String,
    /// Why.
    pub reason: String,
    /// What; its parts say where from.
    pub frame: Frame,
}

impl DeadLetters {
    /// Opens the folder, or makes it, with those above. It never has more than `bytes_max` bytes on disk.
    ///
    /// # Errors
    /// The folder cannot be made or listed.
    pub fn open(folder: &Path, bytes_max: u64) -> Result<DeadLetters, SpoolError> {
        Ok(DeadLetters { log: Log::open(folder, bytes_max)?, dropped: Totals::default() })
    }

    /// Keeps refused pieces, with the time of now. Durable after the next [`DeadLetters::sync`].
    ///
    /// # Errors
    /// As of [`Spool::append`](super::Spool::append), but never [`SpoolError::Full`].
    pub fn append(&mut self, draft: &Draft<'_>, output: &str, reason: &str) -> Result<u64, SpoolError> {
        loop {
            match self.log.append(draft, Some(Label { output, reason })) {
                Err(SpoolError::Full { .. }) if self.log.segments().next().is_some() => self.drop_oldest(),
                done => return done,
            }
        }
    }

    /// See [`Spool::sync`](super::Spool::sync).
    ///
    /// # Errors
    /// The same.
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        self.log.sync()
    }

    /// What had to go, since this was opened, because there was no room for it.
    pub fn dropped(&self) -> &Totals {
        &self.dropped
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.log.bytes()
    }

    fn drop_oldest(&mut self) {
        let mut segments = self.log.segments();
        let (oldest, next) = (segments.next(), segments.next());
        drop(segments);
        let before = oldest.and_then(|oldest| self.log.header(oldest.first)).map(|header| header.before);
        let behind = match next {
            Some(next) => self.log.header(next.first).map(|header| header.before),
            None => Some(self.log.end.clone()),
        };
        if let (Some(before), Some(behind)) = (before, behind) {
            self.dropped.add(&behind.since(&before));
        }
        self.log.remove_oldest();
    }
}

/// All letters of a folder, oldest first; reading changes nothing there.
#[derive(Debug)]
pub struct Letters(Walk);

impl Letters {
    /// # Errors
    /// The folder cannot be listed.
    pub fn read(folder: &Path) -> Result<Letters, SpoolError> {
        Walk::new(folder).map(Letters)
    }

    /// Bytes that were skipped so far because they are damaged.
    pub fn damaged_bytes(&self) -> u64 {
        self.0.damaged_bytes
    }
}

impl Iterator for Letters {
    type Item = Result<Letter, SpoolError>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.next(|head, scan| {
            let label = scan.meta(head)?.label?;
            Some(Letter {
                sequence: head.sequence,
                time: UNIX_EPOCH.checked_add(Duration::from_millis(head.time_ms))?,
                output: label.output.to_owned(),
                reason: label.reason.to_owned(),
                frame: scan.frame(head)?,
            })
        })
    }
}
