//! The host's clocks, and the machine's.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

fn read(clock: libc::clockid_t) -> libc::timespec {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel fills the structure, or leaves its zeros for a clock that does not exist.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time
}

/// What a clock says, in nanoseconds.
pub(super) fn nanoseconds(clock: libc::clockid_t) -> u64 {
    let time = read(clock);
    time.tv_sec as u64 * NANOSECONDS + time.tv_nsec as u64
}

/// CLOCK_MONOTONIC, in nanoseconds.
pub fn monotonic() -> u64 {
    nanoseconds(libc::CLOCK_MONOTONIC)
}

/// CLOCK_REALTIME, in nanoseconds since the beginning of 1970.
pub fn real() -> u64 {
    nanoseconds(libc::CLOCK_REALTIME)
}

/// What is added to the host's clock for the machine's, modulo 2^64.
static MACHINE: AtomicU64 = AtomicU64::new(0);

/// The machine's clock, by which its devices go: the host's monotonic one. In a machine that was restored it goes on from where it was,
/// on another host too.
pub fn machine() -> u64 {
    monotonic().wrapping_add(MACHINE.load(Relaxed))
}

/// Sets the machine's clock.
pub fn set_machine(now: u64) {
    MACHINE.store(now.wrapping_sub(monotonic()), Relaxed);
}

/// A time of the machine's clock on the host's monotonic clock.
pub fn machine_to_monotonic(time: u64) -> u64 {
    let ahead = MACHINE.load(Relaxed).cast_signed();
    // Times before the host's start have come.
    time.saturating_add_signed(ahead.saturating_neg())
}

/// Waits so many nanoseconds, or less where a signal comes.
pub fn sleep(nanoseconds: u64) {
    let time = timespec(nanoseconds);
    // SAFETY: the kernel reads the structure; null: the time that remains is not asked for.
    unsafe { libc::nanosleep(&raw const time, core::ptr::null_mut()) };
}

/// Nanoseconds in a second.
pub const NANOSECONDS: u64 = 1_000_000_000;

/// So many nanoseconds, as system calls take them.
pub fn timespec(nanoseconds: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: (nanoseconds / NANOSECONDS) as i64,
        tv_nsec: (nanoseconds % NANOSECONDS) as i64,
    }
}
