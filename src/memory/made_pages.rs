//! Huge pages made of a file's bytes: the kernel does not clear what is overwritten at once.

use crate::host::fd::Fd;
use crate::host::mapping::Mapping;
use crate::host::missing_pages::MissingPages;
use crate::layout::{HUGE_PAGE, PAGE_SIZE};
use crate::memory::backing::Ram;
use core::ops::Range;

impl Ram {
    /// Fills the whole, still untouched huge pages in `len` bytes of RAM from `start` on with a file's bytes from `offset` on. Returns
    /// the part of the range that it filled; it is empty where the host can't do that. The guest does not run yet.
    pub(super) fn make_pages(&self, file: &Fd, offset: u64, start: u64, len: u64) -> Range<u64> {
        let none = 0..0;
        let Some(page) = self.page_size.filter(|&page| page >= HUGE_PAGE && self.is_fresh()) else {
            return none;
        };
        let first = start.next_multiple_of(page);
        let size = (start + len).saturating_sub(first) / page * page;
        if size == 0 {
            return none;
        }
        let from = first - start;
        let Ok(pages) = MissingPages::of(&self.mapping, first as usize, size as usize) else {
            return none;
        };
        // A mapping of a file begins at a whole page of it.
        let before = (offset + from) % PAGE_SIZE;
        let mapped = (offset + from - before) as usize;
        let Ok(source) = Mapping::to_read(file, mapped, (before + size) as usize) else {
            return none;
        };
        let source = source.start().wrapping_add(before as usize);
        from..from + pages.copy(source, size as usize) as u64
    }
}
