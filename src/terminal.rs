//! The user's terminal, while it is the guest's: each key comes at once and unchanged, also Ctrl-C. However the
//! program ends, but by SIGKILL, the terminal is as it was.

use crate::syscall;
use core::cell::UnsafeCell;
use core::ffi::c_int;
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// `struct termios`, as the kernel has it: include/uapi/asm-generic/termbits.h. The C library's has more.
#[repr(C)]
#[derive(Clone, Copy)]
struct Termios {
    c_iflag: u32,
    c_oflag: u32,
    c_cflag: u32,
    c_lflag: u32,
    c_line: u8,
    c_cc: [u8; 19],
}

/// How the terminal was. Written before [`TAKEN`] is set, and only then read, by a signal handler too.
struct Before(UnsafeCell<Termios>);
// SAFETY: see above.
unsafe impl Sync for Before {}
static BEFORE: Before = Before(UnsafeCell::new(Termios {
    c_iflag: 0,
    c_oflag: 0,
    c_cflag: 0,
    c_lflag: 0,
    c_line: 0,
    c_cc: [0; 19],
}));
/// Whether there is something to give back.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Standard input's terminal, if it is one, as long as this value lives.
pub struct Terminal;

impl Terminal {
    /// Takes it: cfmakeraw(3), but that a newline of ours still begins a line.
    pub fn take() -> Terminal {
        // SAFETY: the one thread that there is yet.
        let before = unsafe { &mut *BEFORE.0.get() };
        // SAFETY: the kernel fills the structure.
        let got = unsafe {
            syscall!(libc::SYS_ioctl, libc::STDIN_FILENO, libc::TCGETS, &raw mut *before)
        };
        if got.is_ok() {
            let mut raw = *before;
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
            TAKEN.store(true, SeqCst);
            set(&raw);
        }
        Terminal
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        give_back();
    }
}

/// Makes the terminal what it was. A signal handler may call it.
pub fn give_back() {
    if TAKEN.swap(false, SeqCst) {
        // SAFETY: it was written before the flag was set.
        set(unsafe { &*BEFORE.0.get() });
    }
}

fn set(termios: &Termios) {
    let at_once: c_int = libc::TCSETS as c_int;
    // SAFETY: the kernel reads the structure.
    let _ = unsafe { syscall!(libc::SYS_ioctl, libc::STDIN_FILENO, at_once, &raw const *termios) };
}

/// Ctrl-A, as QEMU's.
const ESCAPE: u8 = 1;

/// What the user typed, byte by byte.
#[derive(Default)]
pub struct Keys {
    escaped: bool,
}

/// What a byte is.
#[derive(Debug, PartialEq)]
pub enum Key {
    /// The guest's.
    Byte(u8),
    /// Ours, or the first of two.
    Nothing,
    /// The user wants to leave: Ctrl-A X.
    Leave,
}

impl Keys {
    /// Looks at the next byte. Ctrl-A Ctrl-A is one Ctrl-A for the guest; behind it, other keys than X mean nothing.
    pub fn look(&mut self, byte: u8) -> Key {
        match (core::mem::take(&mut self.escaped), byte) {
            (false, ESCAPE) => {
                self.escaped = true;
                Key::Nothing
            }
            (true, b'x' | b'X') => Key::Leave,
            (true, byte) if byte != ESCAPE => Key::Nothing,
            (_, byte) => Key::Byte(byte),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_guest_s_but_for_those_behind_ctrl_a() {
        let mut keys = Keys::default();
        let seen: Vec<Key> =
            b"x\x03\x01\x01\x01q\x01X".iter().map(|&byte| keys.look(byte)).collect();
        use Key::*;
        assert_eq!(seen, [Byte(b'x'), Byte(3), Nothing, Byte(1), Nothing, Nothing, Nothing, Leave]);
    }
}
