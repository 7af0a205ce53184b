//! RAM in a snapshot: how it is written, and how it becomes RAM again.
//!
//! There are three ways back. RAM can be *mapped privately*: pages are read when they are touched, and copied when they are written, so that
//! many machines can begin from one file, which stays as it is. It can be *read* into memory of another kind, such as huge pages. And a
//! hugetlbfs file can be *taken over*: the guest goes on in the same pages.

use crate::config::Backing;
use crate::crc32;
use crate::host::errno::Errno;
use crate::host::fd::Fd;
use crate::host::guarded;
use crate::host::mapping::Mapping;
use crate::host::signal;
use crate::host::syscall::{CallError, Name};
use crate::layout::{HUGE_PAGE, PAGE_SIZE};
use crate::memory::Error;
use crate::memory::backing::{self, Ram};
use crate::memory::guest_memory::{GuestMemory, ReadError};
use crate::memory::ram_file::FileIdentity;
use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

const PAGE: usize = PAGE_SIZE as usize;
/// How much is copied at once.
const CHUNK: usize = 64 << 10;

/// The checksums of RAM, one for each 2 MiB: of each page that is not all zeros, its number and its bytes.
#[derive(Clone, Debug, PartialEq)]
pub struct Sums(pub Vec<u32>);

impl Sums {
    /// Of RAM of this size that is all zeros.
    pub fn of_zeros(size: u64) -> Sums {
        Sums(vec![0; size.div_ceil(HUGE_PAGE) as usize])
    }

    /// Adds a stretch of whole pages, which lies behind those before.
    fn add(&mut self, start: usize, chunk: &[u8]) {
        for (page, at) in chunk.chunks(PAGE).zip((start..).step_by(PAGE)) {
            if page.iter().any(|&byte| byte != 0) {
                let sum = &mut self.0[at / HUGE_PAGE as usize];
                let number = (at / PAGE) as u64;
                *sum = crc32::more(crc32::more(*sum, &number.to_le_bytes()), page);
            }
        }
    }

    /// Of RAM in a file.
    pub fn of_file(fd: &Fd, offset: u64, size: u64) -> Result<Sums, CallError> {
        let mut sums = Sums::of_zeros(size);
        let mut buffer = vec![0; CHUNK];
        let mut at = 0;
        while let Some((start, end)) = next_data(fd, offset, at, size)? {
            // The file system's blocks may be smaller than a page.
            at = start & !(PAGE_SIZE - 1);
            while at < end {
                let len = CHUNK.min((size - at) as usize);
                let mut done = 0;
                while done < len {
                    match fd.read_at(offset + at + done as u64, &mut buffer[done..len])? {
                        0 => break,
                        count => done += count,
                    }
                }
                buffer[done..len].fill(0);
                sums.add(at as usize, &buffer[..len]);
                at += len as u64;
            }
        }
        Ok(sums)
    }
}

/// Where data of RAM lie next in its file, from `at` on: beginning and end.
fn next_data(fd: &Fd, offset: u64, at: u64, size: u64) -> Result<Option<(u64, u64)>, CallError> {
    if at >= size {
        return Ok(None);
    }
    match fd.seek_data(offset + at) {
        // Only holes follow.
        Err(error) if error.is(libc::ENXIO) => Ok(None),
        // A file system without holes.
        Err(_) => Ok(Some((at, size))),
        Ok(start) => {
            let end = fd.seek_hole(start)? - offset;
            Ok(Some((start - offset, end.min(size))).filter(|(start, _)| *start < size))
        }
    }
}

/// Where a snapshot's RAM is.
#[derive(Clone, Copy, Debug)]
pub struct SavedRam<'a> {
    pub fd: &'a Fd,
    /// Where it begins in the file, in bytes: a multiple of [`HUGE_PAGE`].
    pub offset: u64,
    /// It is a file on hugetlbfs, in which RAM has stayed, and how that was known.
    pub own_file: Option<FileIdentity>,
}

impl SavedRam<'_> {
    /// Whether the guest would go on in the same pages.
    fn is_in(&self, backing: Backing) -> bool {
        self.own_file.is_some()
            && matches!(backing, Backing::File(path) if backing::is_same_file(path, self.fd))
    }

    /// Whether [`GuestMemory::restore`] would find memory for it, as far as can be told without changing anything.
    pub fn probe(self, backing: Backing, size: u64) -> Result<(), Error> {
        match backing {
            Backing::Private => map_privately(self, size).map(drop),
            Backing::File(path) if self.is_in(backing) => {
                self.fd.lock().map_err(|error| Error::Locked { path, error })
            }
            _ => backing::probe(backing, size),
        }
    }
}

/// Why RAM was not restored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum RestoreError {
    Memory(Error),
    Read(ReadError),
}

impl From<Error> for RestoreError {
    fn from(error: Error) -> RestoreError {
        RestoreError::Memory(error)
    }
}

impl GuestMemory {
    /// RAM again, for regions as [`GuestMemory::map`] takes them. [`Backing::Private`] maps it privately; its own file is taken over;
    /// into anything else it is read.
    pub fn restore(
        saved: SavedRam,
        backing: Backing,
        regions: &[(u64, u64)],
    ) -> Result<GuestMemory, RestoreError> {
        let size = regions.iter().map(|(_, size)| size).sum();
        match backing {
            Backing::Private => {
                let ram = map_privately(saved, size)?;
                Ok(GuestMemory::with_ram(ram, regions))
            }
            Backing::File(path) if saved.is_in(backing) => {
                Ok(GuestMemory::with_ram(backing::take_over(path, size, saved.own_file)?, regions))
            }
            _ => {
                lock_against_runs(saved)?;
                let memory = GuestMemory::map(backing, regions)?;
                read(&memory, saved, size).map_err(RestoreError::Read)?;
                Ok(memory)
            }
        }
    }

    /// Writes RAM to a file, from `offset` on. Pages that nobody has touched, or that are all zeros, become holes. No vCPU runs.
    /// `progress` is told how much is done. Returns the checksums.
    pub fn save(
        &self,
        fd: &Fd,
        offset: u64,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Sums, CallError> {
        let size = self.size() as usize;
        fd.set_size(offset + size as u64)?;
        let touched = Touched::of(self.ram());
        let mut buffer = vec![0; CHUNK];
        let mut sums = Sums::of_zeros(size as u64);
        for start in (0..size).step_by(CHUNK) {
            if start % HUGE_PAGE as usize == 0 {
                progress(start as u64);
                if signal::stopping().is_some() {
                    let call = Name::Function("pwrite");
                    return Err(CallError { call, errno: Errno(libc::EINTR) });
                }
            }
            let chunk = &mut buffer[..CHUNK.min(size - start)];
            if !touched.any(start, chunk.len()) {
                continue;
            }
            for (page, at) in chunk.chunks_mut(PAGE).zip((start..).step_by(PAGE)) {
                let from = self.ram().at(at);
                // SAFETY: inside the mapping, to which no Rust reference exists; the buffer has as much room.
                match unsafe { guarded::copy(page.as_mut_ptr(), from, page.len()) } {
                    Ok(()) => {}
                    // A hole in a file that the host can't fill now: nobody has written to it.
                    Err(error) if !error.is_lost && !touched.is_known() => page.fill(0),
                    Err(_) => {
                        let call = Name::Function("copy of RAM to");
                        return Err(CallError { call, errno: Errno(libc::EHWPOISON) });
                    }
                }
            }
            sums.add(start, chunk);
            for run in runs(chunk) {
                fd.write_all_at(offset + (start + run.start) as u64, &chunk[run])?;
            }
        }
        Ok(sums)
    }
}

/// The stretches of whole pages that are not all zeros.
fn runs(chunk: &[u8]) -> impl Iterator<Item = Range<usize>> + '_ {
    let is_used = |at: usize| chunk[at..(at + PAGE).min(chunk.len())].iter().any(|&byte| byte != 0);
    let mut at = 0;
    core::iter::from_fn(move || {
        let start = (at..chunk.len()).step_by(PAGE).find(|&at| is_used(at))?;
        let end = (start..chunk.len()).step_by(PAGE).find(|&at| !is_used(at));
        at = end.unwrap_or(chunk.len());
        Some(start..at)
    })
}

/// Pages that were ever written or read, according to `/proc/self/pagemap`: Documentation/admin-guide/mm/pagemap.rst.
struct Touched<'a> {
    ram: &'a Ram,
    /// `None` where it does not tell: RAM has not begun as zeros, or parts of it are mapped elsewhere.
    pagemap: Option<Fd>,
}

impl Touched<'_> {
    fn of(ram: &Ram) -> Touched<'_> {
        let tells = ram.began_as_zeros && !ram.has_moved();
        let pagemap = tells.then(|| Fd::open(c"/proc/self/pagemap", libc::O_RDONLY, 0).ok());
        Touched { ram, pagemap: pagemap.flatten() }
    }

    /// Whether the page map tells.
    fn is_known(&self) -> bool {
        self.pagemap.is_some()
    }

    /// Whether one of these pages may have been touched.
    fn any(&self, start: usize, len: usize) -> bool {
        /// In an entry: the page is in RAM, or in swap space.
        const PRESENT_OR_SWAPPED: u64 = 1 << 63 | 1 << 62;
        let Some(pagemap) = &self.pagemap else { return true };
        let mut entries = [0; 8 * CHUNK / PAGE];
        let entries = &mut entries[..8 * len.div_ceil(PAGE)];
        let page = self.ram.at(start).addr() / PAGE;
        match pagemap.read_at(8 * page as u64, entries) {
            Ok(count) if count == entries.len() => {
                let is_there = |entry: &[u8]| crate::show::number(entry) & PRESENT_OR_SWAPPED != 0;
                entries.chunks_exact(8).any(is_there)
            }
            _ => true,
        }
    }
}

/// A machine that goes on in the file itself, or empties it, must not do so while others read it.
fn lock_against_runs(saved: SavedRam) -> Result<(), Error> {
    saved.fd.lock_shared().map_err(|error| Error::PrivateLocked { error })?;
    // One may have done so before the lock.
    match saved.own_file {
        Some(identity) if FileIdentity::of(saved.fd) != Ok(identity) => Err(Error::Changed),
        _ => Ok(()),
    }
}

/// Maps it privately. Of huge pages, as many are reserved as the guest could write to.
fn map_privately(saved: SavedRam, size: u64) -> Result<Ram, Error> {
    let SavedRam { fd, offset, .. } = saved;
    let backing = Backing::Private;
    let failed = |error| Error::Call { backing, error };
    let huge = backing::hugetlbfs_page_size(fd).map_err(failed)?;
    lock_against_runs(saved)?;
    // The lock lives as long as the mapping.
    let fd = fd.duplicate().map_err(failed)?;
    match Mapping::private(&fd, offset as usize, size as usize) {
        Ok(mapping) => {
            let page_size = Some(huge.unwrap_or(PAGE_SIZE));
            let mut ram = Ram::restored(mapping, backing, page_size, None);
            ram.source = Some(fd);
            Ok(ram)
        }
        Err(error) => Err(backing::map_failed(backing, huge, size, error)),
    }
}

/// Reads it. Holes of the file are left out.
fn read(memory: &GuestMemory, saved: SavedRam, size: u64) -> Result<(), ReadError> {
    let mut at = 0;
    while let Some((start, end)) =
        next_data(saved.fd, saved.offset, at, size).map_err(ReadError::Call)?
    {
        memory.fill(saved.fd, saved.offset + start, start, end - start)?;
        at = end;
    }
    Ok(())
}
