//! A system call.
//!
//! On x86-64 the kernel takes a call's number in RAX and up to six arguments in registers, and gives back a
//! result, or an error number below 0: "x86-64 Architecture Supplement" of the System V ABI, A.2. That is
//! one instruction; the C library's wrapper around it, with its `errno` and what it sets up before `main`,
//! is three KiB.

use crate::errno::Errno;

/// What can be an argument: an integer, or an address.
pub trait Argument {
    /// As the register holds it.
    fn register(self) -> usize;
}

macro_rules! arguments {
    ($($number:ty),*) => {
        $(impl Argument for $number {
            fn register(self) -> usize {
                self as usize
            }
        })*
    };
}
arguments!(i32, u32, u64, usize);

impl<T> Argument for *const T {
    fn register(self) -> usize {
        self.expose_provenance()
    }
}

impl<T> Argument for *mut T {
    fn register(self) -> usize {
        self.expose_provenance()
    }
}

/// `syscall!(libc::SYS_read, fd, bytes, len)`: a `Result<usize, Errno>`. Its safety is that of the call.
#[macro_export]
macro_rules! syscall {
    ($number:expr $(, $argument:expr)*) => {
        $crate::syscall!(@ [$($argument),*] ["rdi" "rsi" "rdx" "r10" "r8" "r9"] [] $number)
    };
    (@ [$first:expr $(, $more:expr)*] [$register:tt $($registers:tt)*] [$($done:tt)*] $number:expr) => {
        $crate::syscall!(@ [$($more),*] [$($registers)*] [$($done)* ($register $first)] $number)
    };
    (@ [] [$($rest:tt)*] [$(($register:tt $argument:expr))*] $number:expr) => {{
        let result: isize;
        core::arch::asm!(
            "syscall",
            inlateout("rax") $number as isize => result,
            $(in($register) $crate::syscall::Argument::register($argument),)*
            out("rcx") _,
            out("r11") _,
            options(nostack),
        );
        $crate::syscall::check(result)
    }};
}

/// Tells a result from an error: the last page of addresses is no result.
pub fn check(result: isize) -> Result<usize, Errno> {
    if result as usize > -4096_isize as usize {
        Err(Errno(-result as i32))
    } else {
        Ok(result as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_result_and_an_error_are_told_apart() {
        // SAFETY: one takes nothing, the other no such descriptor.
        let (process, closed) =
            unsafe { (syscall!(libc::SYS_getpid), syscall!(libc::SYS_close, -1)) };
        assert_eq!(process, Ok(std::process::id() as usize));
        assert_eq!(closed, Err(Errno(libc::EBADF)));
        assert_eq!(check(-4096), Ok(-4096_isize as usize));
        assert_eq!(check(-4095), Err(Errno(4095)));
    }

    #[test]
    fn all_six_arguments_arrive() {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe {
            syscall!(libc::SYS_mmap, 0usize, 4096usize, libc::PROT_READ, flags, -1, 0usize).unwrap()
        };
        assert_eq!(start & 0xfff, 0);
    }
}
