//! Writes positions.

use crate::state::{Change, State};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};

/// Commits on a thread of its own: a slow disk must not stop the reading.
pub(in crate::input) struct Committer {
    changes: mpsc::Sender<Vec<Change>>,
    busy: Arc<AtomicBool>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Committer {
    pub(in crate::input) fn start(state: Arc<State>) -> Self {
        let (changes, received) = mpsc::channel::<Vec<Change>>();
        let busy = Arc::new(AtomicBool::new(false));
        let shared = Arc::clone(&busy);
        let work = move || {
            for changes in received {
                // What cannot be written is said by the state, kept there and written later.
                let _ = state.commit(changes);
                state.beat();
                shared.store(false, Ordering::Release);
            }
        };
        let thread = std::thread::Builder::new().name("positions".into()).spawn(work);
        if let Err(error) = &thread {
            tracing::error!("no thread for positions, they are not kept: {error}");
        }
        Self { changes, busy, thread: thread.ok() }
    }

    /// Is the commit before still under way?
    pub(in crate::input) fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    pub(in crate::input) fn commit(&self, changes: Vec<Change>) {
        self.busy.store(true, Ordering::Release);
        let _ = self.changes.send(changes);
    }

    /// Waits until everything is written.
    pub(in crate::input) fn finish(mut self) {
        let thread = self.thread.take();
        drop(self);
        if let Some(thread) = thread {
            let _ = thread.join();
        }
    }
}
