//! `alloc` on the C library's malloc. An exit that no instrument observes and that shows no message
//! allocates nothing.

use core::alloc::{GlobalAlloc, Layout};

/// The program's global allocator.
pub struct Malloc;

// SAFETY: malloc and posix_memalign return blocks of the size asked for, or null, and free takes what either returned.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // System V ABI, x86-64: malloc aligns to 16 bytes.
        if layout.align() <= 16 {
            // SAFETY: takes no memory.
            return unsafe { libc::malloc(layout.size()) }.cast();
        }
        let mut block = core::ptr::null_mut();
        // SAFETY: an alignment above 16 is a power of two and a multiple of a pointer's size.
        match unsafe { libc::posix_memalign(&raw mut block, layout.align(), layout.size()) } {
            0 => block.cast(),
            _ => core::ptr::null_mut(),
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: `alloc` returned it.
        unsafe { libc::free(block.cast()) };
    }
}
