//! All that can go wrong on this side of the guest: a call, and the error number that it gave.
//!
//! Where the program itself refuses something, it does so in the name of the call that brought it to
//! light, with the number that the kernel would use. So an error is always the same two numbers,
//! which travel up to `main` in registers; which image and which backing it was about, the options
//! tell. The words for it are in [`crate::report`].

use crate::errno::Errno;
use crate::sys::ioctl;
use crate::words;
use core::num::NonZeroU32;

/// Why there is no machine, or no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Error {
    /// What was called.
    pub call: Call,
    /// What came back.
    pub errno: Errno,
}

/// A system call with what it was about, by a small number; or an ioctl, by its request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call(NonZeroU32);

impl Call {
    /// open(2) of `/dev/kvm`.
    pub const OPEN_KVM: Call = Call::new(1);
    /// mmap(2) of a vCPU's `kvm_run`.
    pub const MAP_RUN: Call = Call::new(2);
    /// open(2) of the image. EISDIR: a directory, which opens but can't be read.
    pub const OPEN_IMAGE: Call = Call::new(3);
    /// fstat(2) of the image.
    pub const STAT_IMAGE: Call = Call::new(4);
    /// read(2) of the image. EFBIG: RAM ends before the image does. ENOEXEC: it is empty.
    pub const READ_IMAGE: Call = Call::new(5);
    /// open(2) of the file behind RAM.
    pub const OPEN_BACKING: Call = Call::new(6);
    /// fstat(2) of it. ENODEV: neither a file nor a character device.
    pub const STAT_BACKING: Call = Call::new(7);
    /// fstatfs(2) of it. EXDEV: a file, but not on hugetlbfs.
    pub const STATFS_BACKING: Call = Call::new(8);
    /// flock(2) of it. EAGAIN: another process has it.
    pub const LOCK_BACKING: Call = Call::new(9);
    /// ftruncate(2) of it. EINVAL: the size is not a multiple of the page size.
    pub const SIZE_BACKING: Call = Call::new(10);
    /// fallocate(2) of it.
    pub const EMPTY_BACKING: Call = Call::new(11);
    /// mmap(2) of a device, or of anonymous memory. ENOMEM: more than the host gives.
    pub const MAP_BACKING: Call = Call::new(12);
    /// mmap(2) of a file in 2 MiB pages. ENOMEM: their pool can't give as many.
    pub const MAP_BACKING_2M: Call = Call::new(13);
    /// mmap(2) of a file in 1 GiB pages. ENOMEM: their pool can't give as many.
    pub const MAP_BACKING_1G: Call = Call::new(14);
    /// write(2) to standard output.
    pub const WRITE_OUTPUT: Call = Call::new(15);
    /// Any call that only looks at something, and whose failure is no error of the program.
    pub const LOOK: Call = Call::new(16);

    /// open(2) of the kernel. ESPIPE: no file.
    pub const OPEN_KERNEL: Call = Call::new(17);
    /// pread(2) of it. EIO: it has become shorter.
    pub const READ_KERNEL: Call = Call::new(19);
    /// open(2) of an initrd or module.
    pub const OPEN_INITRD: Call = Call::new(20);
    /// pread(2) of it, likewise.
    pub const READ_INITRD: Call = Call::new(22);
    /// clone(2): a vCPU's thread.
    pub const CLONE: Call = Call::new(23);
    /// eventfd2(2).
    pub const EVENTFD: Call = Call::new(24);
    /// A kernel that can't be run: the number is one of [`crate::boot::kernel::What`].
    pub const KERNEL: Call = Call::new(25);

    const NAMES: &str = "- open mmap open fstat read open fstat fstatfs flock ftruncate fallocate \
        mmap mmap mmap write look open fstat pread64 open fstat pread64 clone eventfd2 kernel";

    /// The call of a KVM request. Requests are larger than the numbers above: they hold KVM's 0xae.
    pub const fn ioctl(request: u32) -> Call {
        Call::new(request)
    }

    const fn new(number: u32) -> Call {
        match NonZeroU32::new(number) {
            Some(number) => Call(number),
            None => Call(NonZeroU32::MAX),
        }
    }

    /// What the call is called.
    pub fn name(self) -> &'static [u8] {
        let number = self.0.get();
        match (ioctl::name(number), words::word(Call::NAMES, number as usize)) {
            (b"", b"") => b"ioctl",
            (b"", name) | (name, _) => name,
        }
    }

    /// Whether what it returns is an address.
    pub fn is_map(self) -> bool {
        self.name() == b"mmap"
    }

    /// The error that this call failed with a number, or would have.
    pub fn error(self, errno: i32) -> Error {
        Error { call: self, errno: Errno(errno) }
    }

    /// For `map_err`: the error that this call failed.
    pub fn failed(self) -> impl Fn(Errno) -> Error {
        move |errno| Error { call: self, errno }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_knows_its_name() {
        for (call, name) in [
            (Call::OPEN_KVM, "open"),
            (Call::MAP_RUN, "mmap"),
            (Call::READ_IMAGE, "read"),
            (Call::STATFS_BACKING, "fstatfs"),
            (Call::EMPTY_BACKING, "fallocate"),
            (Call::MAP_BACKING_1G, "mmap"),
            (Call::WRITE_OUTPUT, "write"),
            (Call::ioctl(ioctl::KVM_RUN), "KVM_RUN"),
            (Call::ioctl(ioctl::KVM_CREATE_PIT), "ioctl"),
        ] {
            assert_eq!(call.name(), name.as_bytes());
        }
    }
}
