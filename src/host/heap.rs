//! `alloc` on the C library's malloc. An exit that no instrument observes and that shows no message
//! allocates nothing.

use crate::host::emergency;
use core::alloc::{GlobalAlloc, Layout};

/// The program's global allocator.
pub struct Malloc;

// SAFETY: malloc returns a block of the size asked for, and free takes it.
unsafe impl GlobalAlloc for Malloc {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // System V ABI, x86-64: malloc aligns to 16 bytes. Nothing here asks for more: pages are mapped.
        assert!(layout.align() <= 16, "malloc does not align to {}", layout.align());
        // SAFETY: takes no memory.
        let block = unsafe { libc::malloc(layout.size()) };
        if block.is_null() {
            emergency::out_of_memory(layout.size());
        }
        block.cast()
    }

    unsafe fn dealloc(&self, block: *mut u8, _: Layout) {
        // SAFETY: `alloc` returned it.
        unsafe { libc::free(block.cast()) };
    }
}
