//! The user's terminal while the guest has it: each key comes at once and unchanged, Ctrl-C too. However the program ends,
//! except by SIGKILL, the terminal becomes what it was.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// What the terminal was. Written before [`TAKEN`] is set, and read only while it is set; a signal handler reads it too.
struct Before(UnsafeCell<MaybeUninit<libc::termios>>);
// SAFETY: see above.
unsafe impl Sync for Before {}
static BEFORE: Before = Before(UnsafeCell::new(MaybeUninit::uninit()));
/// Whether there is something to restore.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Standard input's terminal, if it is one, in raw mode for as long as this value lives.
pub struct Terminal;

impl Terminal {
    /// Takes the terminal: as cfmakeraw(3), but a newline that the program prints still begins a line.
    pub fn take() -> Terminal {
        // SAFETY: nobody reads it before the flag is set.
        let before = unsafe { &mut *BEFORE.0.get() };
        // SAFETY: the C library fills the structure where it returns 0.
        if unsafe { libc::tcgetattr(libc::STDIN_FILENO, before.as_mut_ptr()) } == 0 {
            // SAFETY: it returned 0.
            let mut raw = unsafe { before.assume_init() };
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
        Terminal
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        restore();
    }
}

/// Makes the terminal what it was. A signal handler may call it.
pub fn restore() {
    if TAKEN.swap(false, SeqCst) {
        // SAFETY: it was written before the flag was set.
        set(unsafe { (*BEFORE.0.get()).assume_init_ref() });
    }
}

fn set(termios: &libc::termios) {
    // SAFETY: the C library reads the structure. POSIX lets a signal handler call it.
    unsafe { libc::tcsetattr(libc::STDIN_FILENO, libc::TCSANOW, termios) };
}
