//! Parses the command line, runs it, ends with its exit code.

use std::process::ExitCode;

/// The allocator of musl takes one lock for all threads.
#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::keep_threshold();
    ExitCode::from(drave::cli::main())
}

/// Large buffers get memory of their own from glibc, and give it back when they are freed. But with each that is freed it takes larger
/// ones for small: those of requests then lie between others in a heap that does not shrink, twice as much memory as is in use.
/// Setting the threshold, to what it is in the beginning, keeps it there.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod glibc {
    use std::ffi::c_int;

    /// `malloc.h`
    const M_MMAP_THRESHOLD: c_int = -3;
    const BYTES: c_int = 128 << 10;

    #[allow(unsafe_code, reason = "whoever declares a function of C answers for its types")]
    unsafe extern "C" {
        /// Takes two numbers, and is harmless whatever they are.
        safe fn mallopt(parameter: c_int, value: c_int) -> c_int;
    }

    /// Before there are threads.
    pub(super) fn keep_threshold() {
        // It says whether it knows the parameter.
        let _ = mallopt(M_MMAP_THRESHOLD, BYTES);
    }
}
