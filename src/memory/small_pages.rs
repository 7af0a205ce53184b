//! How KVM is made to forget one page of RAM.
//!
//! KVM follows the host's page tables: where the host takes a page out, the kernel tells KVM (mmu_notifier), which forgets it
//! too. madvise(2) with MADV_DONTNEED does that. Contents of shared memory stay; those of anonymous memory would be lost. A huge
//! page can only be taken out as a whole. So the part of RAM that holds the page first moves into shared memory of 4 KiB pages,
//! which takes its place. The guest may not run meanwhile: what it writes during the copy would be lost.
//!
//! mprotect(2) would not need this, but it splits the mapping, and then the kernel makes KVM forget all of the 2 MiB around.

use crate::host::emergency;
use crate::host::errno::Errno;
use crate::host::fd::Fd;
use crate::host::guarded;
use crate::host::mapping::Mapping;
use crate::host::syscall::{CallError, Name};
use crate::layout::{HUGE_PAGE, PAGE_SIZE};
use crate::memory::backing::Ram;

const PAGE: usize = PAGE_SIZE as usize;

impl Ram {
    /// The part that moves with this byte: where it begins in the mapping, and its size. `None` where nothing must move: a
    /// device's memory, which can't, and what has moved.
    fn part(&self, offset: u64) -> Option<(usize, usize)> {
        if self.is_device() {
            return None;
        }
        let size = self.page_size.unwrap_or(HUGE_PAGE).max(HUGE_PAGE) as usize;
        let start = offset as usize & !(size - 1);
        let size = size.min(self.mapping.size() - start);
        (!self.moved.lock().contains(&(start, size))).then_some((start, size))
    }

    /// Whether [`Ram::move_to_small_pages`] must come before [`Ram::drop_page`].
    pub(super) fn must_move(&self, offset: u64) -> bool {
        self.part(offset).is_some()
    }

    /// Moves the part that holds this byte, if it must. The guest does not run meanwhile.
    pub(super) fn move_to_small_pages(&self, offset: u64) -> Result<(), CallError> {
        let Some((start, size)) = self.part(offset) else { return Ok(()) };
        let file = Fd::memfd(c"dropped pages", 0)?;
        file.set_size(size as u64)?;
        let small = Mapping::new(Some(&file), size, libc::MAP_SHARED)?;
        small.advise(libc::MADV_NOHUGEPAGE);
        let mut page = [0; PAGE];
        for at in (0..size).step_by(PAGE) {
            // SAFETY: inside the mapping, to which no Rust reference exists; `page` has as much room.
            let read = unsafe { guarded::copy(page.as_mut_ptr(), self.at(start + at), PAGE) };
            if read.is_err_and(|error| error.is_lost) {
                let call = Name::Function("copy of RAM");
                return Err(CallError { call, errno: Errno(libc::EHWPOISON) });
            }
            // Zeros are there already; and what the host could not provide, nobody has written.
            if read.is_ok() && page.iter().any(|&byte| byte != 0) {
                // SAFETY: inside the new mapping, which nobody else knows yet.
                unsafe { guarded::copy(small.start().add(at), page.as_ptr(), PAGE) }.map_err(
                    |_| CallError {
                        call: Name::Function("memfd_create"),
                        errno: Errno(libc::ENOMEM),
                    },
                )?;
            }
        }
        if let Err(CallError { call, errno }) = self.mapping.replace(start, small) {
            // The kernel takes out the old part first. Where nothing is, the guest could find memory of the program's.
            emergency::exit_with_error(format_args!("{call}: {errno}: a part of RAM may be lost"));
        }
        self.moved.lock().push((start, size));
        Ok(())
    }

    /// Whether a part has moved.
    pub(super) fn has_moved(&self) -> bool {
        !self.moved.lock().is_empty()
    }

    /// Makes KVM forget the page of this byte; it maps it again at the next access. The contents stay.
    pub(super) fn drop_page(&self, offset: u64) -> Result<(), CallError> {
        self.mapping.take_out(offset as usize & !(PAGE - 1), PAGE)
    }

    /// Copies what has moved back into the file, for users who look at it when the guest has gone. What can't be mapped again
    /// stays as it was when it moved.
    pub(super) fn copy_back(&self) {
        let Some(file) = self.file.as_ref().filter(|file| file.is_named()) else { return };
        for &(start, size) in self.moved.lock().iter() {
            if let Ok(part) = Mapping::of_file(&file.fd, start, size) {
                // SAFETY: both are as long, the guest has gone, and nobody has a reference to either.
                let _ = unsafe { guarded::copy(part.start(), self.at(start), size) };
            }
        }
    }
}
