//! Where reading goes on after a restart: the number of the next message, among the positions of files.
//!
//! ```text
//! kmsg.0   /dev/kmsg   fingerprint: of the boot   offset: the number of the first message that is not settled
//! ```
//! Another boot has another fingerprint: its numbers begin anew. Without a state folder everything is read again.

use crate::state::{Change, Fingerprint, Position, State};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use xxhash_rust::xxh3::xxh3_64;

/// From one commit to the next.
const SECOND: Duration = Duration::from_secs(1);

/// The row of one section.
#[derive(Debug)]
pub(super) struct Place {
    input: String,
    device: PathBuf,
    boot: Fingerprint,
    committed: u64,
    due: Instant,
}

impl Place {
    /// Of the section of that name, in this boot.
    pub(super) fn new(input: String, device: PathBuf, boot: &[u8]) -> Self {
        let boot = Fingerprint { len: boot.len().min(64) as u32, hash: xxh3_64(boot) };
        Self { input, device, boot, committed: 0, due: Instant::now() + SECOND }
    }

    /// The number of the first message that is not settled; 0 where nothing of this boot was read.
    pub(super) fn load(&mut self, state: &State) -> u64 {
        let rows = state.positions(&self.input);
        let own = rows.iter().find(|row| row.path == self.device && row.fingerprint == self.boot);
        self.committed = own.map_or(0, |row| row.settled);
        self.committed
    }

    /// Commits once a second, and at the end.
    pub(super) fn commit(&mut self, settled: u64, state: &State, at_the_end: bool) {
        if settled == self.committed || !(at_the_end || Instant::now() >= self.due) {
            return;
        }
        let position = Position {
            path: self.device.clone(),
            device: 0,
            inode: 0,
            fingerprint: self.boot,
            settled,
            size: settled,
            open: Vec::new(),
            finished: false,
        };
        // What keeps it from the disk is said by the state, which writes it later.
        let _ = state.commit(vec![Change::Put { input: self.input.clone(), position }]);
        (self.committed, self.due) = (settled, Instant::now() + SECOND);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restart_goes_on_and_another_boot_begins_anew() {
        let folder = tempfile::tempdir().expect("a folder");
        let place = |boot: &str| Place::new("kmsg.0".into(), "/dev/kmsg".into(), boot.as_bytes());
        let state = State::open(Some(folder.path()));
        let mut first = place("boot-1");
        assert_eq!(first.load(&state), 0);
        first.commit(7, &state, false);
        assert_eq!(place("boot-1").load(&state), 0, "not yet");
        first.commit(7, &state, true);
        drop(state);
        let state = State::open(Some(folder.path()));
        assert_eq!((place("boot-1").load(&state), place("boot-2").load(&state)), (7, 0));
    }
}
