//! Mappings of memory, unmapped when their owner is dropped.

use crate::host::fd::Fd;
use crate::host::syscall::{Call, CallError};
use crate::show::Bytes;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

/// A mapping, to read and, unless it is made by [`Mapping::to_read`], to write.
#[derive(Debug)]
pub struct Mapping {
    start: *mut u8,
    size: usize,
}

// SAFETY: the value only owns the address range; whoever uses the memory does so through raw pointers and answers for it.
unsafe impl Send for Mapping {}
// SAFETY: as above.
unsafe impl Sync for Mapping {}

impl Mapping {
    /// mmap(2) of `size` bytes: from the start of `fd`, or of nothing. `flags` are `MAP_*`.
    pub fn new(fd: Option<&Fd>, size: usize, flags: c_int) -> Result<Mapping, CallError> {
        Mapping::map(fd, 0, size, flags)
    }

    /// mmap(2) of `size` bytes of a file from `offset` on, shared with all who map it.
    pub fn of_file(fd: &Fd, offset: usize, size: usize) -> Result<Mapping, CallError> {
        Mapping::map(Some(fd), offset, size, libc::MAP_SHARED)
    }

    /// mmap(2) of `size` bytes of a file from `offset` on. What is written there, nobody else sees.
    pub fn private(fd: &Fd, offset: usize, size: usize) -> Result<Mapping, CallError> {
        Mapping::map(Some(fd), offset, size, libc::MAP_PRIVATE)
    }

    /// mmap(2) of a file only to read it, with all its pages at once.
    pub fn to_read(fd: &Fd, offset: usize, size: usize) -> Result<Mapping, CallError> {
        let flags = libc::MAP_PRIVATE | libc::MAP_POPULATE;
        Mapping::map_with(Some(fd), offset, size, libc::PROT_READ, flags)
    }

    fn map(
        fd: Option<&Fd>,
        offset: usize,
        size: usize,
        flags: c_int,
    ) -> Result<Mapping, CallError> {
        Mapping::map_with(fd, offset, size, libc::PROT_READ | libc::PROT_WRITE, flags)
    }

    fn map_with(
        fd: Option<&Fd>,
        offset: usize,
        size: usize,
        protection: c_int,
        flags: c_int,
    ) -> Result<Mapping, CallError> {
        let fd = fd.map(Fd::raw);
        let offset = offset as libc::off_t;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other.
        let start =
            unsafe { libc::mmap(null_mut(), size, protection, flags, fd.unwrap_or(-1), offset) };
        let shown = format_args!("{}", Bytes(size as u64));
        let call = match fd {
            Some(fd) => Call::on(fd, "mmap", shown),
            None => Call::new("mmap", shown),
        };
        call.returned(start as isize)?;
        Ok(Mapping { start: start.cast(), size })
    }

    /// Anonymous memory that starts at a multiple of `alignment`, which is a power of two.
    pub fn aligned(size: usize, alignment: usize) -> Result<Mapping, CallError> {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        let wide = Mapping::new(None, size + alignment, flags)?;
        let before = wide.start.align_offset(alignment);
        // What is left of it before and behind goes back.
        for (offset, size) in [(0, before), (before + size, alignment - before)] {
            if size > 0 {
                let start = wide.start.wrapping_add(offset);
                // SAFETY: a part of the new mapping that nobody knows yet.
                let result = unsafe { libc::munmap(start.cast(), size) };
                let shown = format_args!("{start:p}, {}", Bytes(size as u64));
                // A part that stays does no harm.
                let _ = Call::new("munmap", shown).returned(result as isize);
            }
        }
        let start = wide.start.wrapping_add(before);
        core::mem::forget(wide);
        Ok(Mapping { start, size })
    }

    /// madvise(2) for all of it. A kernel that does not know the advice ignores it, which does no harm.
    pub fn advise(&self, advice: c_int) {
        // SAFETY: the mapping is ours, and no advice used here changes its contents.
        let result = unsafe { libc::madvise(self.start.cast(), self.size, advice) };
        let _ = Call::new("madvise", format_args!("{}, {advice}", Bytes(self.size as u64)))
            .returned(result as isize);
    }

    /// madvise(2) with MADV_DONTNEED for a part of shared memory, whose bounds are multiples of the page size: it is not mapped
    /// until somebody touches it. The contents stay.
    pub fn take_out(&self, offset: usize, size: usize) -> Result<(), CallError> {
        let start = self.start.wrapping_add(offset);
        // SAFETY: whoever uses the mapping does so by raw pointer or through the kernel, and finds the same contents.
        let result = unsafe { libc::madvise(start.cast(), size, libc::MADV_DONTNEED) };
        let shown = format_args!("{start:p}, {}, MADV_DONTNEED", Bytes(size as u64));
        Call::new("madvise", shown).returned(result as isize).map(drop)
    }

    /// mremap(2): puts another mapping in the place of a part that is as large. Whoever uses that part meanwhile waits for the
    /// new memory. If it fails, nothing may be mapped there any more.
    pub fn replace(&self, offset: usize, other: Mapping) -> Result<(), CallError> {
        let Mapping { start, size } = other;
        let place = self.start.wrapping_add(offset);
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: both ranges are ours; whoever uses them does so by raw pointer or through the kernel.
        let result =
            unsafe { libc::mremap(start.cast(), size, size, flags, place.cast::<c_void>()) };
        let shown = format_args!("{start:p}, {}, {place:p}", Bytes(size as u64));
        Call::new("mremap", shown).returned(result as isize)?;
        // It is a part of this one now.
        core::mem::forget(other);
        Ok(())
    }

    /// Its first byte.
    pub fn start(&self) -> *mut u8 {
        self.start
    }

    /// In bytes.
    pub fn size(&self) -> usize {
        self.size
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and whoever could still use it keeps its owner alive.
        let result = unsafe { libc::munmap(self.start.cast::<c_void>(), self.size) };
        let _ = Call::new("munmap", format_args!("{}", Bytes(self.size as u64)))
            .returned(result as isize);
    }
}
