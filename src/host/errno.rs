//! The kernel's error numbers, by name.

use core::ffi::c_int;
use core::fmt;

/// What is said behind EMFILE, with the remedy.
pub const TOO_MANY_FILES: &str = ": too many open files\n  Raise ulimit -n";

/// An error number: `include/uapi/asm-generic/errno-base.h` and `errno.h`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Errno(pub c_int);

impl Errno {
    /// What the last C library call of this thread that failed has left.
    pub fn last() -> Errno {
        // SAFETY: the C library returns the address of this thread's own errno.
        Errno(unsafe { *libc::__errno_location() })
    }

    /// Makes it the last one again, for a signal handler that was called meanwhile.
    pub(super) fn restore(self) {
        // SAFETY: as above.
        unsafe { *libc::__errno_location() = self.0 };
    }

    /// The C name; "error" for a number that has none here.
    pub fn name(self) -> &'static str {
        name(self.0)
    }
}

/// `ENOENT (2)`.
impl fmt::Display for Errno {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{} ({})", self.name(), self.0)
    }
}

macro_rules! names {
    ($($name:ident)*) => {
        fn name(number: c_int) -> &'static str {
            match number {
                $(libc::$name => stringify!($name),)*
                _ => "error",
            }
        }
    };
}

names! {
    EPERM ENOENT ESRCH EINTR EIO ENXIO E2BIG ENOEXEC EBADF ECHILD EAGAIN ENOMEM EACCES EFAULT ENOTBLK EBUSY EEXIST
    EXDEV ENODEV ENOTDIR EISDIR EINVAL ENFILE EMFILE ENOTTY ETXTBSY EFBIG ENOSPC ESPIPE EROFS EMLINK EPIPE EDOM EADDRINUSE EADDRNOTAVAIL
    ERANGE EDEADLK ENAMETOOLONG ENOLCK ENOSYS ENOTEMPTY ELOOP EOVERFLOW EOPNOTSUPP ETIMEDOUT EHWPOISON
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_shown_with_its_name() {
        assert_eq!(Errno(libc::ENOENT).to_string(), "ENOENT (2)");
        assert_eq!(Errno(libc::EHWPOISON).to_string(), "EHWPOISON (133)");
        assert_eq!(Errno(4000).to_string(), "error (4000)");
    }
}
