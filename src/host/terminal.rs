//! The user's terminal while the guest has it: each key comes at once and unchanged, Ctrl-C too. However the program ends,
//! except by SIGKILL or a real-time signal, the terminal becomes what it was.
//!
//! The terminal is the program's only while the program is in the foreground: the shell has it while the program is stopped
//! (SIGSTOP, SIGTSTP) or in the background (`&`, `bg`). A program that changes or reads it from there is stopped by the
//! kernel (SIGTTOU, SIGTTIN).

use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Whether the descriptor is a terminal.
pub fn is_terminal(fd: c_int) -> bool {
    // SAFETY: takes no memory.
    unsafe { libc::isatty(fd) == 1 }
}

/// Whether both descriptors, which are terminals, are the same one.
pub fn are_one_terminal(one: c_int, other: c_int) -> bool {
    let device = |fd: c_int| {
        let mut stat = MaybeUninit::<libc::stat>::uninit();
        // SAFETY: the kernel fills the structure, wholly where it returns 0.
        unsafe { (libc::fstat(fd, stat.as_mut_ptr()) == 0).then(|| stat.assume_init().st_rdev) }
    };
    device(one) == device(other)
}

/// Of how many lines, and characters a line, a terminal is; `None` where it does not say.
pub fn size(fd: c_int) -> Option<(usize, usize)> {
    let mut size = MaybeUninit::<libc::winsize>::zeroed();
    // SAFETY: tty_ioctl(4): the kernel fills the structure, whose bytes are a value whatever they are.
    let size = unsafe {
        libc::ioctl(fd, libc::TIOCGWINSZ as _, size.as_mut_ptr());
        size.assume_init()
    };
    let (lines, columns) = (size.ws_row.into(), size.ws_col.into());
    (lines > 0 && columns > 0).then_some((lines, columns))
}

/// What the terminal was. The main thread writes it once, before it sets [`TAKEN`] for the first time. A signal handler reads it only
/// where [`TAKEN`] was set.
struct Before(UnsafeCell<MaybeUninit<libc::termios>>);
// SAFETY: see above.
unsafe impl Sync for Before {}
static BEFORE: Before = Before(UnsafeCell::new(MaybeUninit::uninit()));
/// Whether there is something to restore.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Standard input, if it is a terminal.
pub struct Terminal {
    is_terminal: bool,
    /// Whether it is to be in raw mode.
    is_raw: bool,
    is_foreground: bool,
    /// [`BEFORE`] has been written.
    is_known: bool,
}

impl Terminal {
    /// Takes the terminal, now or as soon as the program is in the foreground: where `is_raw`, as cfmakeraw(3) has it, but
    /// a newline that the program prints still begins a line. Otherwise it stays as it is.
    pub fn take(is_raw: bool) -> Terminal {
        let is_terminal = is_terminal(libc::STDIN_FILENO);
        let mut terminal =
            Terminal { is_terminal, is_raw, is_foreground: !is_terminal, is_known: false };
        terminal.reacquire(false);
        terminal
    }

    /// Takes the terminal again where the program was stopped and `has_continued`, or has come to the foreground.
    pub fn reacquire(&mut self, has_continued: bool) {
        if !self.is_terminal || self.is_foreground && !has_continued {
            return;
        }
        self.is_foreground = is_foreground();
        if self.is_foreground && self.is_raw {
            self.make_raw();
        }
    }

    /// Whether standard input may be read. While it may not, [`Terminal::reacquire`] must be called again and again: a shell
    /// that brings the program to the foreground does not say so.
    pub fn is_foreground(&self) -> bool {
        self.is_foreground
    }

    fn make_raw(&mut self) {
        // SAFETY: written by the main thread, and only while the flag is clear: then nobody reads it.
        unsafe {
            let before = BEFORE.0.get();
            if !self.is_known && libc::tcgetattr(libc::STDIN_FILENO, before.cast()) != 0 {
                return;
            }
        }
        self.is_known = true;
        // SAFETY: tcgetattr has returned 0, so that it was filled.
        let mut raw = unsafe { (*BEFORE.0.get()).assume_init() };
        raw.c_iflag &= !(libc::IGNBRK
            | libc::BRKINT
            | libc::PARMRK
            | libc::ISTRIP
            | libc::INLCR
            | libc::IGNCR
            | libc::ICRNL
            | libc::IXON);
        raw.c_lflag &= !(libc::ECHO | libc::ECHONL | libc::ICANON | libc::ISIG | libc::IEXTEN);
        raw.c_cflag = raw.c_cflag & !(libc::CSIZE | libc::PARENB) | libc::CS8;
        // read(2) returns as soon as there is one byte.
        raw.c_cc[libc::VMIN] = 1;
        raw.c_cc[libc::VTIME] = 0;
        TAKEN.store(true, SeqCst);
        set(&raw);
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Makes the terminal what it was, if it was changed and the program still has it. A signal handler may call it.
pub fn restore() {
    if TAKEN.swap(false, SeqCst) && is_foreground() {
        // SAFETY: it was written before the flag was set.
        set(unsafe { (*BEFORE.0.get()).assume_init_ref() });
    }
}

/// Whether the program has the terminal. One that no shell controls is anybody's.
fn is_foreground() -> bool {
    // SAFETY: these take no memory. A signal handler may call them.
    match unsafe { libc::tcgetpgrp(libc::STDIN_FILENO) } {
        -1 => true,
        // SAFETY: as above.
        group => group == unsafe { libc::getpgrp() },
    }
}

fn set(termios: &libc::termios) {
    // SAFETY: the C library reads the structure. POSIX lets a signal handler call it.
    unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, termios) };
}
