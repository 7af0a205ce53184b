//! Exits that run no destructor: out of memory, a panic (a bug of ours), and a vCPU thread that can't be stopped. Before each of
//! them the terminal is restored and RAM's file is undone.

use crate::host::errno::Errno;
use crate::host::{fd, syscall, terminal};
use crate::show::Text;
use core::ffi::{CStr, c_char};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicPtr, Ordering::SeqCst};

/// Undoes something. It takes no lock and no memory; the calls that it makes are not traced.
type Undo = fn();

/// The program's name, with which messages begin.
static PROGRAM: AtomicPtr<c_char> = AtomicPtr::new(c"KOB-2M".as_ptr().cast_mut());

/// From now on messages here begin with it.
pub fn set_program(name: &'static CStr) {
    PROGRAM.store(name.as_ptr().cast_mut(), SeqCst);
}

fn program() -> Text<'static> {
    // SAFETY: only pointers to C strings that stay are stored.
    Text::from(unsafe { CStr::from_ptr(PROGRAM.load(SeqCst)) })
}

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

/// Ends the program after a panic, which is a bug of ours; `info` says what and where.
pub fn panic(info: impl fmt::Display) -> ! {
    undo();
    // Where that can't be written, there is nobody to tell.
    let _ =
        writeln!(StandardError, "{}: {info}\nThis is a bug of KOB-2M; please report it", program());
    // SAFETY: ends the process.
    unsafe { libc::abort() }
}

/// Ends the program where it can't have `size` bytes of memory for itself.
pub(super) fn out_of_memory(size: usize) -> ! {
    let errno = Errno::last();
    exit_with_error(format_args!(
        "malloc: {errno}: out of memory: the program could not allocate {size} bytes\n  Raise ulimit -v or -d"
    ))
}

/// Says what has failed, and ends the program with status 1.
pub fn exit_with_error(text: fmt::Arguments) -> ! {
    undo();
    let _ = writeln!(StandardError, "{}: {text}", program());
    // SAFETY: ends the process.
    unsafe { libc::_exit(1) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::terminal::Terminal;
    use std::fs::File;
    use std::os::fd::{AsRawFd, FromRawFd};
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;
    use std::{env, ptr};

    /// In a process of its own, which is this test once more.
    #[test]
    fn a_panic_says_where_and_leaves_the_terminal_as_it_was() {
        const CHILD: &str = "KOB_PANICS";
        if env::var_os(CHILD).is_some() {
            let _terminal = Terminal::take(true);
            std::panic::set_hook(Box::new(|info| panic(info)));
            let numbers = [1];
            let _ = numbers[core::hint::black_box(numbers.len())];
        }
        let (mut master, mut slave) = (-1, -1);
        // SAFETY: openpty fills the two numbers; the null pointers ask for its defaults.
        let result = unsafe {
            libc::openpty(&mut master, &mut slave, ptr::null_mut(), ptr::null(), ptr::null())
        };
        assert_eq!(result, 0);
        // SAFETY: the kernel has just made both for us.
        let (_master, slave) = unsafe { (File::from_raw_fd(master), File::from_raw_fd(slave)) };
        let flags = || {
            let mut termios = core::mem::MaybeUninit::<libc::termios>::zeroed();
            // SAFETY: tcgetattr fills the structure, which is made of integers.
            let termios = unsafe {
                assert_eq!(libc::tcgetattr(slave.as_raw_fd(), termios.as_mut_ptr()), 0);
                termios.assume_init()
            };
            (termios.c_iflag, termios.c_lflag, termios.c_cflag)
        };
        let before = flags();
        let mut child = Command::new(env::current_exe().unwrap());
        child.args([
            "--exact",
            "host::emergency::tests::a_panic_says_where_and_leaves_the_terminal_as_it_was",
        ]);
        child.arg("--nocapture").env(CHILD, "1").stdin(slave.try_clone().unwrap());
        let output = child.output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.signal(), Some(libc::SIGABRT), "{said}");
        assert!(said.contains("index out of bounds") && said.contains("emergency.rs:"), "{said}");
        assert!(said.contains("This is a bug of KOB-2M"), "{said}");
        assert_eq!(flags(), before);
    }
}
