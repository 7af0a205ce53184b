//! Guest RAM: a mapping that KVM shows to the guest.
//!
//! ```text
//!   guest-physical      --base                    --base + --memory
//!                          |  slot 0                     |
//!   host-virtual       mapping                 mapping + --memory
//!                          |  mmap(MAP_SHARED)           |
//!   file offset            0                         --memory      (anonymous memory has none)
//! ```
//!
//! The program never reads or writes RAM itself; files are read into it by the kernel, and what the
//! instruments look at comes out by way of a pipe. So a page that the host can't provide after all (a
//! hugetlb cgroup's limit, a device that refuses) shows as EFAULT from a call or `KVM_RUN`, not as a
//! SIGBUS. And no Rust reference to it ever exists, which the guest would break.

use crate::errno::Errno;
use crate::error::{Call, Error};
use crate::fd::{self, Fd, Mapping};
use crate::layout;
use crate::look;
use crate::t;
use core::cell::Cell;
use core::ffi::CStr;

/// Where RAM comes from.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Backing<'a> {
    /// A file on hugetlbfs, or a character device.
    File(&'a CStr),
    /// 4 KiB pages without a name.
    Anonymous,
}

/// A whole number of pages, unmapped on drop.
pub struct Memory<'a> {
    mapping: Mapping,
    file: Option<RamFile<'a>>,
    page_size: u64,
}

/// The file behind RAM, locked while it is open. Dropping it undoes what was done to it, but for what
/// [`Memory::keep`] has kept.
struct RamFile<'a> {
    fd: Fd,
    path: &'a CStr,
    undo: Cell<Undo>,
}

#[derive(Clone, Copy)]
enum Undo {
    Nothing,
    /// The file was there before; its contents are gone already.
    Empty,
    /// We made it.
    Remove,
}

impl Drop for RamFile<'_> {
    fn drop(&mut self) {
        match self.undo.get() {
            Undo::Nothing => {}
            // Its pages, and those that it has reserved, go back to the pool.
            Undo::Empty => drop(self.fd.set_size(Call::LOOK, 0)),
            Undo::Remove => fd::remove(self.path),
        }
    }
}

impl<'a> Memory<'a> {
    /// Maps `size` bytes, which are zeros but for a device's own contents.
    pub fn map(backing: Backing<'a>, size: u64) -> Result<Memory<'a>, Error> {
        match backing {
            Backing::Anonymous => map_anonymous(size),
            Backing::File(path) => map_file(path, size),
        }
    }

    /// From now on the contents are the guest's, and users may look at them when it has gone.
    pub fn keep(&self) {
        if let Some(file) = &self.file {
            file.undo.set(Undo::Nothing);
        }
    }

    /// In bytes.
    pub fn size(&self) -> u64 {
        self.mapping.size() as u64
    }

    /// The host-virtual address.
    pub fn host_address(&self) -> u64 {
        self.mapping.start().expose_provenance() as u64
    }

    /// The size of the pages that the host backs it with, in bytes: 0 where only a device knows.
    pub fn page_size(&self) -> u64 {
        self.page_size
    }

    /// read(2) from `file` straight to `offset` in RAM, as far as `end` at most, which is in RAM too.
    pub fn read_from(&self, file: &Fd, offset: u64, end: u64) -> Result<u64, Error> {
        let room = self.size().min(end).saturating_sub(offset) as usize;
        // SAFETY: the `room` bytes from `offset` on are inside the mapping; only the guest, which
        // is no Rust code, ever looks at them.
        unsafe { file.read_at(Call::READ_IMAGE, self.at(offset), room) }.map(|count| count as u64)
    }

    /// Copies from `offset` in RAM; all of it or nothing. EFAULT where that is not all in RAM, or where
    /// the host can't provide it.
    pub fn read(&self, offset: u64, bytes: &mut [u8]) -> Result<(), Error> {
        self.check(offset, bytes.len())?;
        // SAFETY: from inside the mapping to `bytes`.
        unsafe { fd::copy(false, self.at(offset), bytes.as_mut_ptr().cast(), bytes.len()) }
    }

    /// Copies to `offset` in RAM likewise.
    pub fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Error> {
        self.check(offset, bytes.len())?;
        // SAFETY: to inside the mapping, of which no Rust reference exists.
        unsafe { fd::copy(true, self.at(offset), bytes.as_ptr().cast_mut().cast(), bytes.len()) }
    }

    /// pread(2) of `size` bytes of `file`, from `from` on, straight to `offset` in RAM. EIO where the file ends
    /// before, EFAULT where RAM does.
    #[inline(never)]
    pub fn read_file(
        &self,
        call: Call,
        file: &Fd,
        mut from: u64,
        mut offset: u64,
        mut size: u64,
    ) -> Result<(), Error> {
        self.check(offset, size as usize).map_err(|error| call.error(error.errno.0))?;
        while size > 0 {
            // SAFETY: the bytes from `offset` on are inside the mapping; only the guest ever looks at them.
            let count = unsafe { file.pread(call, self.at(offset), size as usize, from) }? as u64;
            if count == 0 {
                return Err(call.error(libc::EIO));
            }
            from += count;
            offset += count;
            size -= count.min(size);
        }
        Ok(())
    }

    /// Takes the host's mapping of a page away and gives it back: what KVM has mapped of it is dropped, and comes back by
    /// a fault. Its contents stay.
    pub fn drop_page(&self, offset: u64) {
        if self.check(offset, 1).is_ok() {
            let size = self.page_size.max(layout::PAGE_SIZE);
            self.mapping.protect_again(offset & !(size - 1), size);
        }
    }

    fn check(&self, offset: u64, len: usize) -> Result<(), Error> {
        match self.size().checked_sub(len as u64) {
            Some(last) if offset <= last => Ok(()),
            _ => Err(Call::LOOK.error(libc::EFAULT)),
        }
    }

    fn at(&self, offset: u64) -> *mut core::ffi::c_void {
        self.mapping.start().wrapping_byte_add(offset as usize)
    }
}

fn map_anonymous(size: u64) -> Result<Memory<'static>, Error> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let mapping = Mapping::new(Call::MAP_BACKING, -1, size as usize, flags)?;
    mapping.no_huge_pages();
    Ok(Memory { mapping, file: None, page_size: layout::PAGE_SIZE })
}

/// A hugetlbfs file or a character device:
/// 1. open it, or make it
/// 2. lock it: a second VM would share this RAM
/// 3. a file must be on hugetlbfs: on another file system the guest would get 4 KiB pages silently
/// 4. give the file its size, which hugetlbfs refuses where it is not a multiple of its pages
/// 5. empty it, since hugetlbfs keeps contents: its pages go back to the pool
/// 6. map it: the mapping reserves all its pages at once
///
/// Nothing that was there is touched before the fourth step.
fn map_file(path: &CStr, size: u64) -> Result<Memory<'_>, Error> {
    let (file, page_size) = open_file(path)?;
    fill(file, page_size, size)
}

/// The first three steps. The page size is 0 for a device.
#[inline(never)]
fn open_file(path: &CStr) -> Result<(RamFile<'_>, u64), Error> {
    // A symbolic link is not followed: what it leads to would be emptied.
    let flags = libc::O_RDWR | libc::O_NOFOLLOW;
    let open = |flags| Fd::open(Call::OPEN_BACKING, path, flags, 0o600);
    let (fd, undo) = match open(flags) {
        Err(Error { errno: Errno(libc::ENOENT), .. }) => {
            (open(flags | libc::O_CREAT | libc::O_EXCL)?, Undo::Remove)
        }
        opened => (opened?, Undo::Nothing),
    };
    let file = RamFile { fd, path, undo: Cell::new(undo) };

    let kind = file.fd.stat(Call::STAT_BACKING)?.st_mode & libc::S_IFMT;
    if kind != libc::S_IFREG && kind != libc::S_IFCHR {
        return Err(Call::STAT_BACKING.error(libc::ENODEV));
    }
    if let Err(error) = file.fd.lock(Call::LOCK_BACKING) {
        // Whoever has it uses the file, also if we have made it.
        file.undo.set(Undo::Nothing);
        return Err(error);
    }
    let page_size = if kind == libc::S_IFREG { huge_page_size(&file.fd)? } else { 0 };
    Ok((file, page_size))
}

/// The other three.
#[inline(never)]
fn fill(file: RamFile<'_>, page_size: u64, size: u64) -> Result<Memory<'_>, Error> {
    if page_size != 0 {
        file.fd.set_size(Call::SIZE_BACKING, size)?;
        if let Undo::Nothing = file.undo.get() {
            file.undo.set(Undo::Empty);
        }
        file.fd.empty(Call::EMPTY_BACKING, size)?;
    }
    let map = map_call(page_size);
    let mapping = Mapping::new(map, file.fd.raw(), size as usize, libc::MAP_SHARED)?;
    Ok(Memory { mapping, file: Some(file), page_size })
}

/// mmap(2), as what is missing where it fails.
fn map_call(page_size: u64) -> Call {
    match page_size {
        0 => Call::MAP_BACKING,
        GIB => Call::MAP_BACKING_1G,
        _ => Call::MAP_BACKING_2M,
    }
}

/// Whether [`Memory::map`] would work, as far as can be told without changing anything; a lock is taken and
/// given back.
#[inline(never)]
pub fn probe(backing: Backing, size: u64) -> Result<(), Error> {
    let Backing::File(path) = backing else { return map_anonymous(size).map(drop) };
    let (file, page_size) = open_file(path)?;
    if page_size == 0 || matches!(file.undo.get(), Undo::Remove) {
        // A device has nothing to lose; and what was made now is undone when it is dropped.
        return fill(file, page_size, size).map(drop);
    }
    if size & (page_size - 1) != 0 {
        return Err(Call::SIZE_BACKING.error(libc::EINVAL));
    }
    // What the file has is given back before the run takes what it needs.
    let pool = Pool::read(page_size);
    let has = file.fd.stat(Call::STAT_BACKING)?.st_blocks as u64 * 512;
    match pool.free.saturating_sub(pool.reserved) * page_size + has >= size {
        true => Ok(()),
        false => Err(map_call(page_size).error(libc::ENOMEM)),
    }
}

/// The page size of the hugetlbfs on which this file or directory is. EXDEV: it is on none.
pub fn huge_page_size(fd: &Fd) -> Result<u64, Error> {
    let statfs = fd.statfs(Call::STATFS_BACKING)?;
    // The types of both differ between C libraries.
    #[allow(clippy::unnecessary_cast)]
    let (system, page_size) = (statfs.f_type as u64, statfs.f_bsize as u64);
    match system == libc::HUGETLBFS_MAGIC as u64 {
        true => Ok(page_size),
        false => Err(Call::STATFS_BACKING.error(libc::EXDEV)),
    }
}

const GIB: u64 = 1 << 30;

/// A pool of huge pages, as sysfs tells of it.
#[derive(Clone, Copy)]
pub struct Pool {
    /// All pages of the pool.
    pub total: u64,
    /// Those that hold nothing now, promised ones included.
    pub free: u64,
    /// How many of the free ones are promised to mappings.
    pub reserved: u64,
}

impl Pool {
    /// The pool of pages of this size, in bytes; all 0 where sysfs does not tell.
    #[inline(never)]
    pub fn read(page_size: u64) -> Pool {
        let figure = |name: &[u8]| {
            look::number(&mut |path| {
                let template = t!("/sys/kernel/mm/hugepages/hugepages-%dkB/%s_hugepages");
                path.say(template, &[name], &[page_size >> 10]);
            })
            .unwrap_or(0)
        };
        Pool { total: figure(b"nr"), free: figure(b"free"), reserved: figure(b"resv") }
    }
}
