//! An output's disk buffer: an append-only log of encoded pieces, with a cursor. What it is asked is done when it returns: all
//! calls block, so it belongs on a thread that may.
//!
//! ```text
//! STORAGE.PATH/OUTPUT/          0700; what is not plain in the output's name is written as %2F
//!   00000000000000000001.seg    0600; header, frame, frame, …           (segment.rs, frame.rs)
//!   00000000000000000093.seg    named by its first frame's sequence number
//!   cursor.v1                   how far all is settled                  (cursor.rs)
//!
//!  append ─▶ sync ─▶ read ─▶ settle ─▶ the front moves ─▶ save_cursor
//!            durable  │         │                └─ past a segment's end: the file is deleted
//!                     └ again after a restart, if it was not settled, or the cursor not saved
//! ```
//! Frames are read in order and may be settled in any order. A frame that is torn, or in which a bit flipped, is skipped and
//! counted ([`Damage`]); those behind it are read. Opening reads the last segment, whatever the log holds: the header of each
//! segment says what stands before it. Who owns the state folder owns its spools too: there is no lock of its own here.

mod totals;
mod error;
mod frame;
mod scan;
mod segment;
mod log;
mod cursor;
mod reading;
mod walk;
mod listing;
mod wire;
mod disk;
#[cfg(not(test))]
mod fault;
#[cfg(test)]
pub(crate) mod fault;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

pub use disk::{Space, space};
pub use error::SpoolError;
pub use frame::{Draft, FRAME_BYTES_MAX, FRAME_PIECES_MAX, Frame, Part, Piece};
pub use listing::{Backlog, Listed, ListedSegment, SegmentState, folder_name};
pub use reading::Taken;
pub use scan::read_frames;
pub use totals::{Amount, Totals};

use cursor::Cursor;
use log::Log;
use reading::Reading;

/// `storage.sync normal`: what may be lost by a power failure is not older than this; positions wait for it.
const SYNC_AFTER: Duration = Duration::from_secs(1);
/// And not more bytes on disk than these.
const SYNC_BYTES: u64 = 4 << 20;

/// When the caller should sync: `storage.sync`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Sync {
    /// Each second, or 4 MiB.
    #[default]
    Normal,
    /// Each group of frames.
    Full,
}

/// What a spool is opened with.
#[derive(Debug, Clone, Copy)]
pub struct SpoolOptions {
    /// `storage.total_limit_size`, in bytes on disk.
    pub bytes_max: u64,
    /// `storage.sync`.
    pub sync: Sync,
}

/// What could not be read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Damage {
    /// Bytes of the files that were skipped, the torn end of the last segment among them.
    pub bytes: u64,
    /// Frames, records and their inputs, as far as they are known to have been there. A segment's are known when the reading
    /// has come to the next one, or to the end. Rather too much than too little: where no cursor was stored and the header of
    /// the oldest segment is damaged, what was settled before it counts, too.
    pub lost: Totals,
}

/// One output's spool.
#[derive(Debug)]
pub struct Spool {
    log: Log,
    cursor: Cursor,
    reading: Reading,
    damage: Damage,
    sync: Sync,
}

impl Spool {
    /// Opens the folder of an output, or makes it, with the folders above. Damage is no error.
    ///
    /// # Errors
    /// The folder cannot be made or listed, or the cursor is neither to be read nor to be emptied.
    pub fn open(folder: &Path, options: SpoolOptions) -> Result<Spool, SpoolError> {
        let mut log = Log::open(folder, options.bytes_max)?;
        let cursor = Cursor::load(folder).map_err(|e| SpoolError::from_io(&folder.join(cursor::NAME), &e))?;
        // A number that the cursor knows must not come again: what bears it would count as settled.
        log.next = log.next.max(cursor.next);
        let damage = Damage { bytes: log.torn_bytes, ..Damage::default() };
        let reading = Reading::new(&mut log, cursor.place.clone());
        Ok(Spool { log, cursor, reading, damage, sync: options.sync })
    }

    /// Appends a frame and gives its sequence number, which is higher than all before. Tickets wait for [`Spool::sync`].
    ///
    /// # Errors
    /// See [`SpoolError`]. After [`SpoolError::TakenBack`] this frame, and all since the last sync, are to be appended again.
    pub fn append(&mut self, draft: &Draft<'_>) -> Result<u64, SpoolError> {
        self.log.append(draft)
    }

    /// Is it time to sync, as `storage.sync` wants it?
    pub fn needs_sync(&self, now: Instant) -> bool {
        self.log.unsynced_since().is_some_and(|since| {
            self.sync == Sync::Full
                || now.saturating_duration_since(since) >= SYNC_AFTER
                || self.log.unsynced_bytes() >= SYNC_BYTES
        })
    }

    /// Is everything durable that was appended?
    pub fn is_synced(&self) -> bool {
        self.log.unsynced_since().is_none()
    }

    /// Everything that was appended survives a power failure when this returns, and can be read.
    ///
    /// # Errors
    /// [`SpoolError::TakenBack`]: what was appended since the last sync that succeeded is to be appended again.
    pub fn sync(&mut self) -> Result<(), SpoolError> {
        self.log.sync()
    }

    /// The next durable frame, oldest first; `None` if all were given out.
    ///
    /// # Errors
    /// A file cannot be opened or read. After three in a row at the same place the rest of the segment counts as damage.
    pub fn read(&mut self) -> Result<Option<Taken>, SpoolError> {
        self.reading.next(&mut self.log, &mut self.damage)
    }

    /// A frame needs no further care: delivered, or refused or dropped and counted. Any order will do. False if it is not known.
    pub fn settle(&mut self, sequence: u64) -> bool {
        self.reading.settle(&mut self.log, sequence)
    }

    /// Stores how far the front is settled, if it moved; to be called each second and at the end. Deletes the last segment, too,
    /// once all of it is settled.
    ///
    /// # Errors
    /// A crash now sends again what was settled since the last success. Nothing else comes of it.
    pub fn save_cursor(&mut self) -> Result<(), SpoolError> {
        self.reading.tidy(&mut self.log, &mut self.damage);
        let place = self.reading.front();
        if self.cursor.place.as_ref() == Some(place) {
            return Ok(());
        }
        let folder = &self.log.folder;
        let saved = self.cursor.save(folder, place, self.log.next);
        saved.map_err(|e| SpoolError::from_io(&folder.join(cursor::NAME), &e))
    }

    /// Gives up the oldest segment and says what was lost by it. Not lost are frames that were read and not settled yet: their
    /// end is still to come. Only a crash before that would lose them, as they are no longer on disk. `None` if there is no segment.
    pub fn drop_oldest(&mut self) -> Option<Totals> {
        self.reading.drop_oldest(&mut self.log)
    }

    /// What is in the log and not settled.
    pub fn pending(&self) -> Totals {
        self.reading.pending(&self.log)
    }

    /// Since when the oldest pending frame is in the log; of frames that no one has read yet in this run, when their segment began.
    pub fn oldest(&self) -> Option<SystemTime> {
        self.reading.oldest(&self.log)
    }

    /// Bytes on disk.
    pub fn bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// What could not be read since it was opened.
    pub fn damage(&self) -> &Damage {
        &self.damage
    }

    /// Segments of a later version of drave. They are left alone, count for nothing, and should be said.
    pub fn newer(&self) -> &[PathBuf] {
        &self.log.newer
    }
}
