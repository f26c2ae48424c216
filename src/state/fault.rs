//! Where tests make the disk fail: [`check`] stands before each call that can. Nothing in a real build.

#[cfg(not(test))]
pub(super) const fn check() -> rusqlite::Result<()> {
    Ok(())
}

#[cfg(test)]
pub(super) use injected::{check, plan};

#[cfg(test)]
mod injected {
    use std::cell::Cell;

    thread_local! {
        /// Calls to let through, then the SQLite code of one failure.
        static PLAN: Cell<Option<(u32, i32)>> = const { Cell::new(None) };
    }

    /// Lets `calls` calls of this thread pass and fails the next one. Tells if an earlier plan is still to come.
    pub(in crate::state) fn plan(next: Option<(u32, i32)>) -> bool {
        PLAN.replace(next).is_some()
    }

    pub(in crate::state) fn check() -> rusqlite::Result<()> {
        match PLAN.take() {
            Some((0, code)) => Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(code), None)),
            Some((calls, code)) => {
                PLAN.set(Some((calls - 1, code)));
                Ok(())
            }
            None => Ok(()),
        }
    }
}
