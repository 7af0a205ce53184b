//! Mappings of memory, unmapped when their owner is dropped.

use crate::host::fd::Fd;
use crate::host::syscall::{Call, CallError};
use crate::show::Bytes;
use core::ffi::{c_int, c_void};
use core::ptr::null_mut;

/// A mapping, to read and write.
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
        let fd = fd.map(Fd::raw);
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        // SAFETY: a new mapping at an address of the kernel's choice disturbs no other.
        let start = unsafe { libc::mmap(null_mut(), size, protection, flags, fd.unwrap_or(-1), 0) };
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
                // SAFETY: a part of the new mapping that nobody knows yet.
                unsafe { libc::munmap(wide.start.wrapping_add(offset).cast(), size) };
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

    /// mprotect(2) for a part, whose bounds are multiples of the page size.
    pub fn protect(&self, offset: usize, size: usize, rights: c_int) -> Result<(), CallError> {
        let start = self.start.wrapping_add(offset);
        // SAFETY: whoever uses the mapping does so by raw pointer or through the kernel, and expects faults.
        let result = unsafe { libc::mprotect(start.cast(), size, rights) };
        let shown = format_args!("{start:p}, {}, {rights}", Bytes(size as u64));
        Call::new("mprotect", shown).returned(result as isize).map(drop)
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
