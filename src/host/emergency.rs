//! Exits that run no destructor: out of memory, a panic (a bug of ours), and a vCPU thread that can't be stopped. Before each of
//! them the terminal is restored and RAM's file is undone.

use crate::host::errno::Errno;
use crate::host::{fd, syscall, terminal};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicPtr, Ordering::SeqCst};

/// Undoes something. It takes no lock and no memory; the calls that it makes are not traced.
type Undo = fn();

/// What [`undo`] calls; null for nothing.
static UNDO: AtomicPtr<()> = AtomicPtr::new(core::ptr::null_mut());

/// From now on the function is called on these ways out.
pub fn set_undo(undo: Undo) {
    UNDO.store(undo as *mut (), SeqCst);
}

fn undo() {
    terminal::restore();
    syscall::stop_observing();
    // Once: what it does may fail for the same reason.
    let undo = UNDO.swap(core::ptr::null_mut(), SeqCst);
    if !undo.is_null() {
        // SAFETY: `set_undo` alone stores a pointer here.
        let undo = unsafe { core::mem::transmute::<*mut (), Undo>(undo) };
        undo();
    }
}

/// Standard error, written to at once and without memory of its own.
struct StandardError;

impl Write for StandardError {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        fd::write(libc::STDERR_FILENO, text.as_bytes()).map(drop).map_err(|_| fmt::Error)
    }
}

/// Ends the program after a panic, which is a bug of ours: says what and where.
pub fn panic(info: &core::panic::PanicInfo) -> ! {
    undo();
    // Where that can't be written, there is nobody to tell.
    let _ = writeln!(StandardError, "KOB-2M: {info}\nThis is a bug of KOB-2M; please report it");
    // SAFETY: ends the process.
    unsafe { libc::abort() }
}

/// Ends the program where it can't have `size` bytes of memory for itself.
pub(super) fn out_of_memory(size: usize) -> ! {
    let errno = Errno::last();
    exit_with_error(format_args!(
        "KOB-2M: malloc: {errno}: out of memory: the program could not allocate {size} bytes\n  Raise ulimit -v or -d"
    ))
}

/// Says what has failed, and ends the program with status 1.
pub fn exit_with_error(text: fmt::Arguments) -> ! {
    undo();
    let _ = writeln!(StandardError, "{text}");
    // SAFETY: ends the process.
    unsafe { libc::_exit(1) }
}
