//! The kernel's error numbers, by name.

use crate::words;

/// An error number: `include/uapi/asm-generic/errno-base.h` and `errno.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub i32);

/// The names of 1 to 40, in order.
const NAMES: &str = "EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM \
    EACCES EFAULT ENOTBLK EBUSY EEXIST EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY \
    ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM ERANGE EDEADLK ENAMETOOLONG ENOLCK \
    ENOSYS ENOTEMPTY ELOOP";

impl Errno {
    /// The C name; "error" for the numbers from 41 on, which are rare here and shown by number.
    pub fn name(self) -> &'static [u8] {
        match words::word(NAMES, (self.0 as usize).wrapping_sub(1)) {
            b"" => b"error",
            name => name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_stands_at_its_own_number() {
        for (number, name) in [
            (libc::EPERM, "EPERM"),
            (libc::EINTR, "EINTR"),
            (libc::ENOMEM, "ENOMEM"),
            (libc::EACCES, "EACCES"),
            (libc::ENOTTY, "ENOTTY"),
            (libc::EPIPE, "EPIPE"),
            (libc::ELOOP, "ELOOP"),
        ] {
            assert_eq!(Errno(number).name(), name.as_bytes());
        }
        assert_eq!(Errno(0).name(), b"error");
        assert_eq!(Errno(-1).name(), b"error");
        assert_eq!(Errno(41).name(), b"error");
    }
}
