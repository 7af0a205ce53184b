//! What the operating system gives, owned and safe: descriptors, mappings, threads, locks, signals, the terminal.
//!
//! Nothing here knows about virtual machines. Whatever is acquired here is released when its owner is dropped.

pub mod clock;
pub mod emergency;
pub mod errno;
pub mod event;
pub mod fd;
pub mod guarded;
pub mod heap;
pub mod json_array;
pub mod mapping;
pub mod missing_pages;
pub mod mutex;
pub mod process;
pub mod procfs;
pub mod random;
pub mod replacement;
pub mod signal;
pub mod socket;
pub mod syscall;
pub mod terminal;
pub mod thread;
pub mod timer;
