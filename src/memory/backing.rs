//! The memory behind guest RAM: hugetlbfs, a memfd, transparent huge pages, anonymous memory, or a device.

use crate::config::Backing;
use crate::host::fd::{self, Fd};
use crate::host::mapping::Mapping;
use crate::host::mutex::Mutex;
use crate::host::syscall::CallError;
use crate::layout::{HUGE_PAGE, PAGE_SIZE};
use crate::memory::Error;
use crate::memory::pool::Pool;
use crate::memory::ram_file::{FileIdentity, GuardedFile, RamFile};
use alloc::ffi::CString;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::{CStr, c_int};
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Mapped memory, a whole number of pages.
pub struct Ram {
    pub mapping: Mapping,
    pub backing: Backing,
    /// The size of the pages that the host backs it with, in bytes. `None` where the host does not tell: it makes transparent
    /// huge pages where it can, and a device maps as it likes.
    pub page_size: Option<u64>,
    /// All its pages were zeros before anybody touched them.
    pub(super) began_as_zeros: bool,
    /// It is a saved machine's file, in which no guest has run since then.
    is_taken_over: AtomicBool,
    /// A guest has run in it.
    pub(super) is_used: AtomicBool,
    /// The parts that have moved to small pages, first byte and size: `small_pages.rs`.
    pub(super) moved: Mutex<Vec<(usize, usize)>>,
    /// The file from which it is mapped privately, locked.
    pub(super) source: Option<Fd>,
    /// Closed and perhaps undone last.
    pub(super) file: Option<GuardedFile>,
}

impl Ram {
    /// Memory in which no guest has run, in its first pages.
    fn new(
        mapping: Mapping,
        backing: Backing,
        page_size: Option<u64>,
        file: Option<GuardedFile>,
    ) -> Ram {
        let (is_used, moved) = (AtomicBool::new(false), Mutex::default());
        let began_as_zeros = page_size.is_some() || backing == Backing::Transparent;
        let is_taken_over = AtomicBool::new(false);
        let source = None;
        Ram {
            mapping,
            backing,
            page_size,
            began_as_zeros,
            is_taken_over,
            is_used,
            moved,
            source,
            file,
        }
    }

    /// Memory with a guest's contents.
    pub(super) fn restored(
        mapping: Mapping,
        backing: Backing,
        page_size: Option<u64>,
        file: Option<GuardedFile>,
    ) -> Ram {
        let mut ram = Ram::new(mapping, backing, page_size, file);
        (ram.is_used, ram.began_as_zeros) = (AtomicBool::new(true), false);
        ram
    }

    /// Maps `size` bytes.
    pub fn map(backing: Backing, size: u64) -> Result<Ram, Error> {
        match backing {
            Backing::Anonymous => anonymous(size),
            // Cleared RAM, after a cold reset.
            Backing::Private => transparent(size),
            Backing::Transparent => transparent(size),
            Backing::Memfd => memfd(size),
            Backing::File(path) => {
                let (file, page_size) = open(path)?;
                fill(file, backing, page_size, size)
            }
        }
    }

    /// The address of a byte of the mapping.
    pub(super) fn at(&self, offset: usize) -> *mut u8 {
        self.mapping.start().wrapping_add(offset)
    }

    /// How its file will be known again, if that is a file on hugetlbfs, where it can stay when the program ends.
    /// Its path is absolute. `None` also where nobody else would find all of RAM there: the file was removed, or a part has moved to small
    /// pages.
    pub fn own_file(&self) -> Option<Result<(Vec<u8>, FileIdentity), CallError>> {
        match (self.backing, &self.file) {
            (Backing::File(_), Some(file)) if !self.is_device() && !self.has_moved() => {
                let path = file.fd.path().ok().filter(|path| is_path_of(path, &file.fd))?;
                Some(FileIdentity::of(&file.fd).map(|identity| (path, identity)))
            }
            _ => None,
        }
    }

    /// From now on the contents are the guest's, and stay for users to look at when it has gone. An error: the snapshot that the file
    /// belongs to would not notice, so the guest must not run.
    pub fn keep(&self) -> Result<(), Error> {
        self.is_used.store(true, SeqCst);
        let Some(file) = &self.file else { return Ok(()) };
        file.keep();
        if self.is_taken_over.load(SeqCst) {
            file.fd.touch().map_err(|error| Error::Call { backing: self.backing, error })?;
            self.is_taken_over.store(false, SeqCst);
        }
        Ok(())
    }

    /// Whether it is all zeros, but for what the loader has written: no guest has run in it, and it is not a device's memory,
    /// which has contents of its own.
    pub fn is_fresh(&self) -> bool {
        !self.is_device() && !self.is_used.load(SeqCst)
    }

    /// Whether it is a device's memory.
    pub fn is_device(&self) -> bool {
        matches!((self.backing, self.page_size), (Backing::File(_), None))
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        self.copy_back();
    }
}

fn anonymous(size: u64) -> Result<Ram, Error> {
    let backing = Backing::Anonymous;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    let mapping =
        Mapping::new(None, size as usize, flags).map_err(|error| Error::Call { backing, error })?;
    // These pages shall be of 4 KiB, for comparison.
    mapping.advise(libc::MADV_NOHUGEPAGE);
    Ok(Ram::new(mapping, backing, Some(PAGE_SIZE), None))
}

/// The kernel makes a huge page only of 2 MiB that begin at a multiple of 2 MiB, and so does KVM.
fn transparent(size: u64) -> Result<Ram, Error> {
    let backing = Backing::Transparent;
    let mapping = Mapping::aligned(size as usize, HUGE_PAGE as usize)
        .map_err(|error| Error::Call { backing, error })?;
    mapping.advise(libc::MADV_HUGEPAGE);
    Ok(Ram::new(mapping, backing, None, None))
}

/// memfd_create(2) with MFD_HUGETLB, since Linux 4.14: a file on the kernel's own hugetlbfs.
fn memfd(size: u64) -> Result<Ram, Error> {
    let backing = Backing::Memfd;
    let fd = Fd::memfd(c"BiscuitOS_HugePage", libc::MFD_HUGETLB | libc::MFD_HUGE_2MB)
        .map_err(|error| Error::Call { backing, error })?;
    let file = GuardedFile::new(Arc::new_uninit(), RamFile::unnamed(fd));
    fill(file, backing, Some(HUGE_PAGE), size)
}

/// Whether that file is there.
fn is_path_of(path: &[u8], fd: &Fd) -> bool {
    CString::new(path).is_ok_and(|path| is_same_file(&path, fd))
}

/// Whether this is the path of that file.
pub(super) fn is_same_file(path: &CStr, fd: &Fd) -> bool {
    let inode = |stat: libc::stat| fd::inode(&stat);
    fd::stat(path).map(inode).ok() == fd.stat().map(inode).ok()
}

/// Maps a file on hugetlbfs with a saved machine's RAM, which goes on in the same pages. When the guest runs, the file is not
/// any more what was saved.
pub(super) fn take_over(
    path: &'static CStr,
    size: u64,
    identity: Option<FileIdentity>,
) -> Result<Ram, Error> {
    let backing = Backing::File(path);
    let failed = |error| Error::Call { backing, error };
    let (file, page_size) = open(path)?;
    if identity != Some(FileIdentity::of(&file.fd).map_err(failed)?) {
        return Err(Error::Changed);
    }
    if file.fd.stat().map_err(failed)?.st_size as u64 != size {
        return Err(Error::OtherSize { path });
    }
    let mapping = Mapping::new(Some(&file.fd), size as usize, libc::MAP_SHARED)
        .map_err(|error| map_failed(backing, page_size, size, error))?;
    let ram = Ram::restored(mapping, backing, page_size, Some(file));
    ram.is_taken_over.store(true, SeqCst);
    Ok(ram)
}

/// Opens a hugetlbfs file or a character device:
/// 1. open it, or make it
/// 2. lock it: a second VM would share this RAM
/// 3. a file must be on hugetlbfs
///
/// Nothing that was there is changed. The page size is `None` for a device.
fn open(path: &'static CStr) -> Result<(GuardedFile, Option<u64>), Error> {
    let backing = Backing::File(path);
    let failed = |error| Error::Call { backing, error };
    // A symbolic link is not followed: what it leads to would be emptied.
    let flags = libc::O_RDWR | libc::O_NOFOLLOW;
    let open = |flags| Fd::open(path, flags, 0o600);
    let place = Arc::new_uninit();
    let (fd, is_ours) = match open(flags) {
        Err(error) if error.is(libc::ENOENT) => (open(flags | libc::O_CREAT | libc::O_EXCL), true),
        opened => (opened, false),
    };
    let fd = fd.map_err(|error| Error::Open { path, error })?;
    let file = GuardedFile::new(place, RamFile::named(fd, path, is_ours));

    let kind = file.fd.stat().map_err(failed)?.st_mode & libc::S_IFMT;
    if kind != libc::S_IFREG && kind != libc::S_IFCHR {
        return Err(Error::Kind { path });
    }
    if let Err(error) = file.fd.lock() {
        // Whoever has locked it uses it, even if we have made it.
        file.keep();
        return Err(match error.is(libc::EAGAIN) {
            true => Error::Locked { path, error },
            false => failed(error),
        });
    }
    if kind == libc::S_IFCHR {
        return Ok((file, None));
    }
    match hugetlbfs_page_size(&file.fd).map_err(failed)? {
        Some(page_size) => Ok((file, Some(page_size))),
        None => Err(Error::NotHugetlbfs { path }),
    }
}

/// Gives an open backing its size and maps it:
/// 1. set the size, which must be a multiple of the pages'
/// 2. empty the file, since hugetlbfs keeps contents; its pages go back to the pool
/// 3. map it: the mapping reserves all its pages at once
fn fill(
    file: GuardedFile,
    backing: Backing,
    page_size: Option<u64>,
    size: u64,
) -> Result<Ram, Error> {
    let failed = |error| Error::Call { backing, error };
    if let Some(page_size) = page_size {
        check_size(backing, page_size, size)?;
        file.fd.set_size(size).map_err(failed)?;
        file.note_emptied();
        file.fd.punch_hole(size).map_err(failed)?;
    }
    match Mapping::new(Some(&file.fd), size as usize, libc::MAP_SHARED) {
        Ok(mapping) => Ok(Ram::new(mapping, backing, page_size, Some(file))),
        Err(error) => Err(map_failed(backing, page_size, size, error)),
    }
}

fn check_size(backing: Backing, page_size: u64, memory: u64) -> Result<(), Error> {
    match memory.is_multiple_of(page_size) {
        true => Ok(()),
        false => Err(Error::Size { backing, memory, page_size }),
    }
}

/// For ENOMEM of huge pages, the pool is to blame.
pub(super) fn map_failed(
    backing: Backing,
    page_size: Option<u64>,
    size: u64,
    error: CallError,
) -> Error {
    match page_size {
        Some(page_size) if error.is(libc::ENOMEM) => {
            Error::Pool { backing, needed: size / page_size, page_size, error: Some(error) }
        }
        _ => Error::Call { backing, error },
    }
}

/// Whether [`Ram::map`] would work, as far as can be told without changing anything; a lock is taken and given back.
pub fn probe(backing: Backing, size: u64) -> Result<(), Error> {
    let Backing::File(path) = backing else { return Ram::map(backing, size).map(drop) };
    let (file, page_size) = open(path)?;
    let Some(page_size) = page_size.filter(|_| !file.is_ours()) else {
        // A device has nothing to lose; and what was made just now is removed again.
        return fill(file, backing, page_size, size).map(drop);
    };
    check_size(backing, page_size, size)?;
    // A file of an earlier run holds pages, or their reservations, for its whole size. The run has them again.
    let held = file.fd.stat().map_err(|error| Error::Call { backing, error })?.st_size as u64;
    let needed = size / page_size;
    // A kernel that does not describe its pool lets the run try.
    match Pool::read(page_size).is_none_or(|pool| pool.available() + held / page_size >= needed) {
        true => Ok(()),
        false => Err(Error::Pool { backing, needed, page_size, error: None }),
    }
}

/// The page size of the hugetlbfs on which a file is; `None` where it is on another file system.
pub fn hugetlbfs_page_size(fd: &Fd) -> Result<Option<u64>, CallError> {
    let statfs = fd.statfs()?;
    // The types of both differ between C libraries.
    #[allow(clippy::unnecessary_cast)]
    let (system, page_size) = (statfs.f_type as c_int, statfs.f_bsize as u64);
    Ok((system == libc::HUGETLBFS_MAGIC as c_int).then_some(page_size))
}
