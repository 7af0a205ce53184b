//! The file behind RAM, and what becomes of it if the guest does not run.

use crate::host::emergency;
use crate::host::fd::{self, Fd};
use crate::host::syscall::CallError;
use crate::memory::plain::Plain;
use alloc::sync::Arc;
use core::ffi::CStr;
use core::mem::MaybeUninit;
use core::ops::Deref;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed, Ordering::SeqCst};

/// Identifies a RAM file. It changes when a guest has run in the file.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct FileIdentity {
    inode: u64,
    /// When it was changed last: seconds, and nanoseconds.
    changed: [i64; 2],
}

// SAFETY: made of integers without gaps.
unsafe impl Plain for FileIdentity {}

impl FileIdentity {
    /// Of an open file, as it is now.
    pub fn of(fd: &Fd) -> Result<FileIdentity, CallError> {
        fd.stat().map(FileIdentity::from)
    }
}

impl From<libc::stat> for FileIdentity {
    fn from(stat: libc::stat) -> FileIdentity {
        FileIdentity { inode: stat.st_ino, changed: [stat.st_ctime, stat.st_ctime_nsec] }
    }
}

/// The file behind RAM, locked while it is open. What was done to it is undone, unless the guest has run.
pub struct RamFile {
    pub fd: Fd,
    /// `None` for a memfd.
    path: Option<&'static CStr>,
    /// We made it: it is removed.
    is_ours: bool,
    /// It was there before, and has been emptied and given its size: it becomes empty again.
    was_emptied: AtomicBool,
    /// The contents are the guest's, or the file is somebody else's: nothing is undone.
    is_kept: AtomicBool,
}

impl RamFile {
    /// A file by its path, which `is_ours` if it was not there before.
    pub fn named(fd: Fd, path: &'static CStr, is_ours: bool) -> RamFile {
        RamFile { path: Some(path), is_ours, ..RamFile::unnamed(fd) }
    }

    /// A memfd, which goes by itself.
    pub fn unnamed(fd: Fd) -> RamFile {
        let (was_emptied, is_kept) = (AtomicBool::new(false), AtomicBool::new(false));
        RamFile { fd, path: None, is_ours: false, was_emptied, is_kept }
    }

    /// Whether others can open it.
    pub fn is_named(&self) -> bool {
        self.path.is_some()
    }

    /// Whether we made it.
    pub fn is_ours(&self) -> bool {
        self.is_ours
    }

    /// To be called as soon as it has its new size.
    pub fn note_emptied(&self) {
        self.was_emptied.store(true, Relaxed);
    }

    /// From now on nothing is undone.
    pub fn keep(&self) {
        self.is_kept.store(true, Relaxed);
    }

    fn undo(&self) {
        if self.is_kept.load(Relaxed) {
            return;
        }
        match self.path {
            Some(path) if self.is_ours => fd::remove(path),
            Some(_) if self.was_emptied.load(Relaxed) => {
                // Its pages, and those that it has reserved, go back to the pool.
                let _ = self.fd.set_size(0);
            }
            _ => {}
        }
    }
}

/// The file of the machine, for [`undo_in_emergency`]; null for none.
static IN_EMERGENCY: AtomicPtr<RamFile> = AtomicPtr::new(null_mut());

/// Undoes what was done to the file, where nothing is dropped any more.
fn undo_in_emergency() {
    // SAFETY: the address of a live `RamFile` in an `Arc`, of which only `&RamFile` exist; it is taken back before that is
    // dropped.
    if let Some(file) = unsafe { IN_EMERGENCY.load(SeqCst).as_ref() } {
        file.undo();
    }
}

/// A [`RamFile`] that is undone when this is dropped, and in an emergency too.
pub struct GuardedFile(Arc<RamFile>);

impl GuardedFile {
    /// `place` was allocated before the file was made: an allocation that fails is such an emergency.
    pub fn new(mut place: Arc<MaybeUninit<RamFile>>, file: RamFile) -> GuardedFile {
        Arc::get_mut(&mut place).expect("nobody else has it yet").write(file);
        // SAFETY: it was written just now.
        let file = unsafe { place.assume_init() };
        IN_EMERGENCY.store(Arc::as_ptr(&file).cast_mut(), SeqCst);
        emergency::set_undo(undo_in_emergency);
        GuardedFile(file)
    }
}

impl Deref for GuardedFile {
    type Target = RamFile;
    fn deref(&self) -> &RamFile {
        &self.0
    }
}

impl Drop for GuardedFile {
    fn drop(&mut self) {
        IN_EMERGENCY.store(null_mut(), SeqCst);
        self.0.undo();
    }
}
