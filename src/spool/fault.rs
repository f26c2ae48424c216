//! Where tests make the disk fail: [`check`] stands before each call. Nothing in a real build.

/// What kind of call it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Call {
    Look,
    Make,
    Open,
    Read,
    Write,
    Sync,
    Remove,
}

#[cfg(not(test))]
pub(super) const fn check(_call: Call) -> std::io::Result<()> {
    Ok(())
}

#[cfg(not(test))]
pub(super) const fn syncs() -> bool {
    true
}

#[cfg(test)]
pub(crate) use injected::{Fault, plan};
#[cfg(test)]
pub(super) use injected::{calls, check, skip_syncs, syncs};

#[cfg(test)]
mod injected {
    use super::Call;
    use std::cell::{Cell, RefCell};
    use std::io;

    /// A failure to come.
    #[derive(Debug, Clone, Copy)]
    pub(crate) struct Fault {
        /// Calls to let through first.
        pub(crate) calls: u32,
        /// The error's number.
        pub(crate) errno: i32,
        /// All later calls fail too.
        pub(crate) lasting: bool,
    }

    thread_local! {
        static PLAN: Cell<Option<Fault>> = const { Cell::new(None) };
        static CALLS: RefCell<Vec<Call>> = const { RefCell::new(Vec::new()) };
        static SYNCS: Cell<bool> = const { Cell::new(true) };
    }

    /// Sets what fails on this thread. Tells if an earlier plan is still to come.
    pub(crate) fn plan(next: Option<Fault>) -> bool {
        PLAN.replace(next).is_some_and(|fault| !fault.lasting || fault.calls > 0)
    }

    /// The calls since it was last asked.
    pub(crate) fn calls() -> Vec<Call> {
        CALLS.take()
    }

    /// For tests of thousands of files, which have nothing to do with the platter.
    pub(crate) fn skip_syncs() {
        SYNCS.set(false);
    }

    pub(crate) fn syncs() -> bool {
        SYNCS.get()
    }

    pub(crate) fn check(call: Call) -> io::Result<()> {
        CALLS.with_borrow_mut(|calls| calls.push(call));
        let Some(fault) = PLAN.take() else { return Ok(()) };
        if fault.calls > 0 {
            PLAN.set(Some(Fault { calls: fault.calls - 1, ..fault }));
            return Ok(());
        }
        if fault.lasting {
            PLAN.set(Some(fault));
        }
        Err(io::Error::from_raw_os_error(fault.errno))
    }
}
