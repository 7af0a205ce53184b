//! eventfd(2): a counter that one side adds to and the other waits for.

use crate::host::errno::Errno;
use crate::host::fd::{self, Fd};
use crate::host::syscall::{Call, CallError};
use core::ffi::c_int;

/// An event counter. Reading it never waits.
#[derive(Debug)]
pub struct Event(Fd);

impl Event {
    /// A counter at 0.
    pub fn new() -> Result<Event, CallError> {
        // SAFETY: takes no memory.
        let fd = unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) };
        let fd = Call::new("eventfd", format_args!("0")).returned(fd as isize)?;
        // SAFETY: the kernel has just made it for us.
        Ok(Event(unsafe { Fd::from_raw(fd as c_int) }))
    }

    /// Adds 1.
    pub fn signal(&self) {
        // A signal that is lost would let another thread wait for ever, so a write that fails is made once more.
        for _ in 0..2 {
            match fd::write(self.0.raw(), &1u64.to_ne_bytes()) {
                // EAGAIN: the counter is full, and whoever waits was woken before.
                Ok(_) | Err(Errno(libc::EAGAIN)) => return,
                Err(_) => {}
            }
        }
    }

    /// Takes all that has been counted: 0 where nothing has.
    pub fn take(&self) -> u64 {
        let mut count = [0; 8];
        match fd::read(self.0.raw(), &mut count) {
            Ok(_) => u64::from_ne_bytes(count),
            Err(_) => 0,
        }
    }

    /// The descriptor's number, for poll(2) and for KVM.
    pub fn raw(&self) -> c_int {
        self.0.raw()
    }
}
