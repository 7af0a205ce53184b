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
//! The program never reads or writes RAM itself; files are read into it by the kernel. So a page
//! that the host can't provide after all (a hugetlb cgroup's limit, a device that refuses) shows as
//! EFAULT from read(2) or `KVM_RUN`, not as a SIGBUS. And no Rust reference to it ever exists,
//! which the guest would break.

use crate::errno::Errno;
use crate::error::{Call, Error};
use crate::fd::{self, Fd, Mapping};
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
            Undo::Empty => drop(self.fd.set_size(0)),
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

    /// read(2) from `file` straight to `offset` in RAM, to its end at most.
    pub fn read_from(&self, file: &Fd, offset: u64) -> Result<u64, Errno> {
        let room = self.size().saturating_sub(offset) as usize;
        // SAFETY: the `room` bytes from `offset` on are inside the mapping; only the guest, which
        // is no Rust code, ever looks at them.
        unsafe { file.read_at(self.mapping.start().wrapping_byte_add(offset as usize), room) }
            .map(|count| count as u64)
    }
}

fn map_anonymous(size: u64) -> Result<Memory<'static>, Error> {
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let mapping = Mapping::new(-1, size as usize, flags).map_err(Call::MAP_BACKING.failed())?;
    mapping.no_huge_pages();
    Ok(Memory { mapping, file: None })
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
    // A symbolic link is not followed: what it leads to would be emptied.
    let flags = libc::O_RDWR | libc::O_NOFOLLOW;
    let (fd, undo) = match Fd::open(path, flags, 0) {
        Err(Errno(libc::ENOENT)) => {
            (Fd::open(path, flags | libc::O_CREAT | libc::O_EXCL, 0o600), Undo::Remove)
        }
        opened => (opened, Undo::Nothing),
    };
    let fd = fd.map_err(Call::OPEN_BACKING.failed())?;
    let file = RamFile { fd, path, undo: Cell::new(undo) };

    let kind = file.fd.stat().map_err(Call::STAT_BACKING.failed())?.st_mode & libc::S_IFMT;
    if kind != libc::S_IFREG && kind != libc::S_IFCHR {
        return Err(Call::STAT_BACKING.error(libc::ENODEV));
    }
    if let Err(errno) = file.fd.lock() {
        // Whoever has it uses the file, also if we have made it.
        file.undo.set(Undo::Nothing);
        return Err(Error { call: Call::LOCK_BACKING, errno });
    }
    let mut map = Call::MAP_BACKING;
    if kind == libc::S_IFREG {
        let statfs = file.fd.statfs().map_err(Call::STATFS_BACKING.failed())?;
        // The types of both differ between C libraries.
        #[allow(clippy::unnecessary_cast)]
        let (system, page_size) = (statfs.f_type as u64, statfs.f_bsize as u64);
        if system != libc::HUGETLBFS_MAGIC as u64 {
            return Err(Call::STATFS_BACKING.error(libc::EXDEV));
        }
        map = match page_size {
            0x4000_0000 => Call::MAP_BACKING_1G,
            _ => Call::MAP_BACKING_2M,
        };
        file.fd.set_size(size).map_err(Call::SIZE_BACKING.failed())?;
        if let Undo::Nothing = undo {
            file.undo.set(Undo::Empty);
        }
        file.fd.empty(size).map_err(Call::EMPTY_BACKING.failed())?;
    }
    let mapping =
        Mapping::new(file.fd.raw(), size as usize, libc::MAP_SHARED).map_err(map.failed())?;
    Ok(Memory { mapping, file: Some(file) })
}

/// A pool of huge pages, as sysfs tells of it.
#[derive(Clone, Copy, Default)]
pub struct Pool {
    /// All pages of the pool.
    pub total: u64,
    /// Those that hold nothing now, promised ones included.
    pub free: u64,
    /// How many of the free ones are promised to mappings.
    pub reserved: u64,
}

impl Pool {
    /// The pool of pages of 1 GiB, or of 2 MiB; all 0 where sysfs does not tell.
    pub fn read(page_size: u64) -> Pool {
        let path = match page_size {
            0x4000_0000 => c"/sys/kernel/mm/hugepages/hugepages-1048576kB",
            _ => c"/sys/kernel/mm/hugepages/hugepages-2048kB",
        };
        let Ok(directory) = Fd::open(path, libc::O_PATH, 0) else {
            return Pool::default();
        };
        Pool {
            total: figure(&directory, c"nr_hugepages"),
            free: figure(&directory, c"free_hugepages"),
            reserved: figure(&directory, c"resv_hugepages"),
        }
    }
}

/// The number that a file holds.
#[inline(never)]
fn figure(directory: &Fd, name: &CStr) -> u64 {
    let mut text = [0; 20];
    let _ = directory.open_in(name).and_then(|file| file.read(&mut text));
    let digits = text.iter().take_while(|byte| byte.is_ascii_digit());
    digits.fold(0, |number, digit| number * 10 + u64::from(digit - b'0'))
}
