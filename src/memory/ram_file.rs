//! The file behind RAM, and what becomes of it if the guest does not run.

use crate::host::emergency;
use crate::host::fd::{self, Fd};
use alloc::boxed::Box;
use core::ffi::CStr;
use core::mem::MaybeUninit;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::Relaxed, Ordering::SeqCst};

/// The file behind RAM, locked while it is open. Dropping it undoes what was done to it, unless the guest has run.
pub struct RamFile {
    pub fd: Fd,
    /// `None` for a memfd.
    pub path: Option<&'static CStr>,
    pub undo: Undo,
    /// The contents are the guest's: nothing is undone.
    pub keep: AtomicBool,
}

/// How the file becomes what it was.
#[derive(Clone, Copy, PartialEq)]
pub enum Undo {
    Nothing,
    /// The file was there before, and has been emptied.
    Empty,
    /// We made it.
    Remove,
}

impl RamFile {
    fn undo(&self) {
        match (self.undo, self.path) {
            _ if self.keep.load(Relaxed) => {}
            (Undo::Empty, _) => {
                // Its pages, and those that it has reserved, go back to the pool.
                let _ = self.fd.set_size(0);
            }
            (Undo::Remove, Some(path)) => fd::remove(path),
            _ => {}
        }
    }
}

impl Drop for RamFile {
    fn drop(&mut self) {
        self.undo();
    }
}

/// The file behind RAM, for [`undo_in_emergency`]; null for none.
static IN_EMERGENCY: AtomicPtr<RamFile> = AtomicPtr::new(null_mut());

/// Undoes what was done to the file, where nothing is dropped any more.
fn undo_in_emergency() {
    // SAFETY: only the address of a live `RamFile` is stored, in a `Box`, and it is taken back before that is dropped.
    if let Some(file) = unsafe { IN_EMERGENCY.load(SeqCst).as_ref() } {
        file.undo();
    }
}

/// A [`RamFile`] that is undone in an emergency too.
pub struct GuardedFile(pub Box<RamFile>);

impl GuardedFile {
    /// `place` was allocated before the file was made: an allocation that fails is such an emergency.
    pub fn new(place: Box<MaybeUninit<RamFile>>, file: RamFile) -> GuardedFile {
        let file = Box::write(place, file);
        IN_EMERGENCY.store((&raw const *file).cast_mut(), SeqCst);
        emergency::set_undo(undo_in_emergency);
        GuardedFile(file)
    }
}

impl Drop for GuardedFile {
    fn drop(&mut self) {
        IN_EMERGENCY.store(null_mut(), SeqCst);
    }
}
