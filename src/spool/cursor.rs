//! How far the front of a log is settled: a small file, `cursor.v1`, with two slots that are written in turn.
//!
//! ```text
//! 0      CRC32C u32, length u32, then as many bytes: generation u64, segment u64, offset u64, next sequence u64, totals
//! 16 KiB the same
//! ```
//! The whole slot with the higher generation holds. A write that is torn spoils the older one only. Written in place, because a
//! new file under a new name needs room: on a full disk the cursor has to move, or nothing would ever be freed. And it is one
//! sync instead of two. A later version takes another name, so that none writes over what it does not know.

use std::fs::File;
use std::io;
use std::path::Path;

use super::disk;
use super::totals::{TOTALS_BYTES_MAX, Totals};
use super::wire::Taker;

pub(super) const NAME: &str = "cursor.v1";
const SLOT_BYTES: usize = 16 << 10;
const HEAD_BYTES: usize = 8;
const FIXED_BYTES: usize = 4 * 8;
const _: () = assert!(HEAD_BYTES + FIXED_BYTES + TOTALS_BYTES_MAX <= SLOT_BYTES);

/// A place between two frames, and what stands before it in the log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Place {
    /// The first sequence number of the segment.
    pub(super) segment: u64,
    pub(super) offset: u64,
    pub(super) before: Totals,
}

/// The stored cursor.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    file: Option<File>,
    generation: u64,
    /// As it is stored.
    pub(super) place: Option<Place>,
    /// A sequence number that was not given out when this was stored.
    pub(super) next: u64,
}

impl Cursor {
    /// Reads the cursor of a log. A damaged one is as good as none: the log is read from its beginning then.
    ///
    /// One that cannot be read is emptied. If it came to light again later it would be taken for the newer one, and what it
    /// knows nothing of for settled.
    pub(super) fn load(folder: &Path) -> io::Result<Cursor> {
        let path = folder.join(NAME);
        match read(&path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Cursor::default()),
            Err(error) => {
                disk::truncate(&path, 0)?;
                tracing::warn!("{}: all of the spool is sent again: {error}", path.display());
                Ok(Cursor::default())
            }
            Ok(cursor) => Ok(cursor),
        }
    }

    /// The stored place, for people; nothing is changed.
    pub(super) fn look(folder: &Path) -> Option<Place> {
        read(&folder.join(NAME)).ok()?.place
    }

    /// Stores a place, durable when this returns.
    pub(super) fn save(&mut self, folder: &Path, place: &Place, next: u64) -> io::Result<()> {
        let generation = self.generation + 1;
        let bytes = slot(generation, place, next);
        let new = self.file.is_none();
        let file = match self.file.take() {
            Some(file) => file,
            None => disk::open_or_create(&folder.join(NAME))?,
        };
        disk::write_at(&file, &bytes, (generation % 2) * SLOT_BYTES as u64)?;
        disk::sync(&file)?;
        if new {
            disk::sync_folder(folder)?;
        }
        *self = Cursor { file: Some(file), generation, place: Some(place.clone()), next };
        Ok(())
    }
}

fn read(path: &Path) -> io::Result<Cursor> {
    let file = disk::open(path)?;
    let mut bytes = vec![0; 2 * SLOT_BYTES];
    let len = disk::read_at(&file, &mut bytes, 0)?;
    let slots = bytes[..len].chunks(SLOT_BYTES).filter_map(read_slot);
    Ok(slots.max_by_key(|cursor| cursor.generation).unwrap_or_default())
}

fn slot(generation: u64, place: &Place, next: u64) -> Vec<u8> {
    let mut bytes = vec![0; HEAD_BYTES];
    for long in [generation, place.segment, place.offset, next] {
        bytes.extend_from_slice(&long.to_le_bytes());
    }
    place.before.push_to(&mut bytes);
    let len = (bytes.len() - HEAD_BYTES) as u32;
    bytes[4..HEAD_BYTES].copy_from_slice(&len.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[4..]);
    bytes[..4].copy_from_slice(&crc.to_le_bytes());
    bytes
}

fn read_slot(bytes: &[u8]) -> Option<Cursor> {
    let mut rest = Taker(bytes);
    let (crc, len) = (rest.word()?, rest.word()? as usize);
    let mut fields = Taker(rest.bytes(len)?);
    if crc != crc32c::crc32c(&bytes[4..HEAD_BYTES + len]) {
        return None;
    }
    let (generation, segment, offset, next) = (fields.long()?, fields.long()?, fields.long()?, fields.long()?);
    let place = Place { segment, offset, before: Totals::take_from(&mut fields)? };
    Some(Cursor { file: None, generation, place: Some(place), next })
}
