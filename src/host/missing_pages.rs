//! Missing pages of a mapping, made of copies: userfaultfd(2). When a page is touched for the first time, the kernel clears it.
//! A page that is made of a copy is not cleared first.

use crate::host::fd::Fd;
use crate::host::mapping::Mapping;
use crate::host::syscall::{Call, CallError};
use crate::sys::userfaultfd::*;
use core::ffi::c_int;

/// A part of a mapping. While this value lives, its missing pages are filled by [`MissingPages::copy`] alone. A thread that touches
/// one in user mode blocks.
pub struct MissingPages {
    fd: Fd,
    start: u64,
}

impl MissingPages {
    /// Of `size` bytes of a mapping from `offset` on: whole pages. The kernel gets EFAULT where it touches one that is missing. It fails
    /// before Linux 5.11, and where userfaultfd(2) is forbidden.
    pub fn of(mapping: &Mapping, offset: usize, size: usize) -> Result<MissingPages, CallError> {
        MissingPages::with(mapping, offset, size, UFFD_USER_MODE_ONLY)
    }

    /// Likewise, also before Linux 5.11; the kernel, and so KVM, waits for the page too. That takes CAP_SYS_PTRACE, unless
    /// vm.unprivileged_userfaultfd is 1.
    pub fn that_kvm_waits_for(
        mapping: &Mapping,
        offset: usize,
        size: usize,
    ) -> Result<MissingPages, CallError> {
        MissingPages::with(mapping, offset, size, 0)
    }

    fn with(
        mapping: &Mapping,
        offset: usize,
        size: usize,
        flags: u32,
    ) -> Result<MissingPages, CallError> {
        let flags = libc::O_CLOEXEC as u32 | flags;
        // SAFETY: takes no memory.
        let fd = unsafe { libc::syscall(libc::SYS_userfaultfd, flags) };
        let fd = Call::new("userfaultfd", format_args!("{flags:#x}")).returned(fd as isize)?;
        // SAFETY: the kernel has just made it for us.
        let fd = unsafe { Fd::from_raw(fd as c_int) };
        let start = mapping.start().wrapping_add(offset).expose_provenance() as u64;
        let pages = MissingPages { fd, start };
        let mut api = uffdio_api { api: UFFD_API, ..Default::default() };
        // SAFETY: the structure that the request takes.
        unsafe { pages.request(UFFDIO_API, "UFFDIO_API", &raw mut api) }?;
        let range = uffdio_range { start, len: size as u64 };
        let mode = UFFDIO_REGISTER_MODE_MISSING;
        let mut register = uffdio_register { range, mode, ioctls: 0 };
        // SAFETY: as above.
        unsafe { pages.request(UFFDIO_REGISTER, "UFFDIO_REGISTER", &raw mut register) }?;
        Ok(pages)
    }

    /// Makes the first `size` bytes of a copy. Returns how many were made, also where it fails.
    pub fn copy(&self, from: *const u8, size: usize) -> usize {
        let (src, len) = (from.expose_provenance() as u64, size as u64);
        let mut copy = uffdio_copy { dst: self.start, src, len, ..Default::default() };
        // SAFETY: as above. The kernel makes pages only where none are, and what it can't read is an error.
        let _ = unsafe { self.request(UFFDIO_COPY, "UFFDIO_COPY", &raw mut copy) };
        usize::try_from(copy.copy).unwrap_or(0)
    }

    /// # Safety
    /// `argument` is what the request takes.
    unsafe fn request<T>(
        &self,
        request: u32,
        name: &'static str,
        argument: *mut T,
    ) -> Result<(), CallError> {
        // SAFETY: the caller's promise.
        let result = unsafe { libc::ioctl(self.fd.raw(), request as libc::Ioctl, argument) };
        Call::on(self.fd.raw(), name, format_args!("")).returned(result as isize).map(drop)
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    #[test]
    fn missing_pages_are_made_of_a_copy_and_others_stay() {
        const PAGE: usize = 4096;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let mapping = Mapping::new(None, 4 * PAGE, flags).unwrap();
        let byte = |page: usize| unsafe { mapping.start().add(page * PAGE).read_volatile() };
        unsafe { mapping.start().add(3 * PAGE).write_volatile(7) };
        let pages = match MissingPages::of(&mapping, PAGE, 3 * PAGE) {
            Ok(pages) => pages,
            Err(error) => {
                // It is forbidden here, or this Linux is older than 5.11. The bed shows that it is used.
                assert!([libc::EPERM, libc::ENOSYS, libc::EINVAL].iter().any(|&no| error.is(no)));
                return;
            }
        };
        let bytes = [9; 3 * PAGE];
        assert_eq!(pages.copy(bytes.as_ptr(), bytes.len()), 2 * PAGE, "the third is there");
        drop(pages);
        assert_eq!([0, 1, 2, 3].map(byte), [0, 9, 9, 7]);
    }
}
