//! Parses the command line, runs it, ends with its exit code.

use std::process::ExitCode;

#[cfg(target_env = "musl")]
#[global_allocator]
static ALLOCATOR: musl::Allocator = musl::Allocator;

fn main() -> ExitCode {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    glibc::keep_threshold();
    ExitCode::from(drave::cli::main())
}

/// The allocator of musl takes one lock for all threads, and mimalloc keeps large buffers that were freed: 110 MB instead of 36 with
/// OpenSearch. So each has what it does well.
#[cfg(target_env = "musl")]
mod musl {
    use mimalloc::MiMalloc;
    use std::alloc::{GlobalAlloc, Layout, System};

    /// From here on musl takes memory from the system, and gives it back when it is freed, as glibc does.
    const LARGE: usize = 128 << 10;

    pub(super) struct Allocator;

    fn is_large(size: usize) -> bool {
        size >= LARGE
    }

    // A layout stays the same until it is freed or changed, and so does who has its memory.
    #[allow(unsafe_code, reason = "what is asked for is passed on as it is")]
    unsafe impl GlobalAlloc for Allocator {
        unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
            if is_large(layout.size()) { unsafe { System.alloc(layout) } } else { unsafe { MiMalloc.alloc(layout) } }
        }

        unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
            if is_large(layout.size()) {
                unsafe { System.alloc_zeroed(layout) }
            } else {
                unsafe { MiMalloc.alloc_zeroed(layout) }
            }
        }

        unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
            if is_large(layout.size()) {
                unsafe { System.dealloc(memory, layout) }
            } else {
                unsafe { MiMalloc.dealloc(memory, layout) }
            }
        }

        unsafe fn realloc(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            match (is_large(layout.size()), is_large(size)) {
                (true, true) => unsafe { System.realloc(memory, layout, size) },
                (false, false) => unsafe { MiMalloc.realloc(memory, layout, size) },
                _ => unsafe { self.change_owner(memory, layout, size) },
            }
        }
    }

    impl Allocator {
        #[allow(unsafe_code, reason = "the same words as for realloc")]
        unsafe fn change_owner(&self, memory: *mut u8, layout: Layout, size: usize) -> *mut u8 {
            let new = unsafe { self.alloc(Layout::from_size_align_unchecked(size, layout.align())) };
            if !new.is_null() {
                unsafe {
                    memory.copy_to_nonoverlapping(new, size.min(layout.size()));
                    self.dealloc(memory, layout);
                }
            }
            new
        }
    }
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
