//! What the operating system gives, owned and safe: descriptors, mappings, threads, locks, signals, the terminal.
//!
//! Nothing here knows about virtual machines. Whatever is acquired here is released when its owner is dropped.

pub mod clock;
pub mod errno;
pub mod event;
pub mod fd;
pub mod guarded;
pub mod heap;
pub mod mapping;
pub mod mutex;
pub mod procfs;
pub mod signal;
pub mod syscall;
pub mod terminal;
pub mod thread;

use core::fmt::{self, Write};

/// Standard error, written to at once and without memory of its own.
struct StandardError;

impl Write for StandardError {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        fd::write(libc::STDERR_FILENO, text.as_bytes()).map(drop).map_err(|_| fmt::Error)
    }
}

/// Ends the program at once, with all its threads. Nothing is dropped.
pub fn exit(status: i32) -> ! {
    // SAFETY: ends the process.
    unsafe { libc::_exit(status) }
}

/// Ends the program after a panic, which is a bug of ours: says what and where, with the terminal as it was.
pub fn panic(info: &core::panic::PanicInfo) -> ! {
    terminal::restore();
    // Where that can't be written, there is nobody to tell.
    let _ = writeln!(StandardError, "KOB-2M: {info}\nThis is a bug of KOB-2M; please report it");
    // SAFETY: ends the process.
    unsafe { libc::abort() }
}
