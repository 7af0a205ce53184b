//! timerfd(2): a descriptor that can be read when a certain time has come.

use crate::host::clock;
use crate::host::fd::{self, Fd};
use crate::host::syscall::{Call, CallError};
use core::ffi::c_int;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};

/// A timer of one of the host's clocks. It is not set at first.
#[derive(Debug)]
pub struct Timer {
    fd: Fd,
    flags: c_int,
    /// From a time of its clock to one of the host's.
    to_host: fn(u64) -> u64,
    /// What it is set to; 0 for never.
    at: AtomicU64,
}

impl Timer {
    /// A timer of [`clock::machine`].
    pub fn machine() -> Result<Timer, CallError> {
        let to_host = clock::machine_to_monotonic;
        Timer::new(libc::CLOCK_MONOTONIC, libc::TFD_TIMER_ABSTIME, to_host)
    }

    /// A timer of [`clock::real`]. It expires too when that clock is set.
    pub fn real() -> Result<Timer, CallError> {
        let flags = libc::TFD_TIMER_ABSTIME | libc::TFD_TIMER_CANCEL_ON_SET;
        Timer::new(libc::CLOCK_REALTIME, flags, |time| time)
    }

    fn new(
        clock: libc::clockid_t,
        flags: c_int,
        to_host: fn(u64) -> u64,
    ) -> Result<Timer, CallError> {
        // SAFETY: takes no memory.
        let fd = unsafe { libc::timerfd_create(clock, libc::TFD_CLOEXEC | libc::TFD_NONBLOCK) };
        let fd = Call::new("timerfd_create", format_args!("{clock}")).returned(fd as isize)?;
        // SAFETY: the kernel has just made it for us.
        let fd = unsafe { Fd::from_raw(fd as c_int) };
        Ok(Timer { fd, flags, to_host, at: AtomicU64::new(0) })
    }

    /// Sets it to a time of its clock, in nanoseconds; one that has passed expires at once. `None`: it does not expire. One
    /// thread at a time does this.
    pub fn set(&self, at: Option<u64>) {
        // For the kernel, 0 means never.
        let at = at.map_or(0, |at| (self.to_host)(at).max(1));
        if self.at.swap(at, SeqCst) == at {
            return;
        }
        let it_value = clock::timespec(at);
        let time = libc::itimerspec { it_interval: clock::timespec(0), it_value };
        // SAFETY: the kernel reads the time. ECANCELED says that the clock was set since the last call; the timer is set all
        // the same.
        unsafe { libc::timerfd_settime(self.fd.raw(), self.flags, &raw const time, null_mut()) };
    }

    /// Acknowledges the expiry: from now on it can't be read, until it is set and expires again.
    pub fn take(&self) {
        self.at.store(0, SeqCst);
        // ECANCELED: the clock was set.
        let _ = fd::read(self.fd.raw(), &mut [0; 8]);
    }

    /// The descriptor's number, for poll(2).
    pub fn raw(&self) -> c_int {
        self.fd.raw()
    }
}

#[cfg(all(test, not(miri)))]
mod tests {
    use super::*;

    fn is_ready(timer: &Timer, milliseconds: c_int) -> bool {
        let mut fd = libc::pollfd { fd: timer.raw(), events: libc::POLLIN, revents: 0 };
        unsafe { libc::poll(&raw mut fd, 1, milliseconds) == 1 }
    }

    #[test]
    fn a_timer_expires_once_at_its_time_or_at_once_where_that_has_passed() {
        for (timer, now) in [
            (Timer::machine().unwrap(), clock::machine as fn() -> u64),
            (Timer::real().unwrap(), clock::real),
        ] {
            assert!(!is_ready(&timer, 0), "not set");
            timer.set(Some(now() + 20_000_000));
            assert!(!is_ready(&timer, 0));
            assert!(is_ready(&timer, 60_000));
            timer.take();
            assert!(!is_ready(&timer, 0), "once");
            timer.set(Some(0));
            assert!(is_ready(&timer, 60_000));
            timer.set(None);
            assert!(!is_ready(&timer, 0), "an expiry that is not taken is gone");
        }
    }
}
