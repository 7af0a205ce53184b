//! The host's clocks.

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

/// Nanoseconds in a second.
pub const NANOSECONDS: u64 = 1_000_000_000;

/// So many nanoseconds, as system calls take them.
pub fn timespec(nanoseconds: u64) -> libc::timespec {
    libc::timespec {
        tv_sec: (nanoseconds / NANOSECONDS) as i64,
        tv_nsec: (nanoseconds % NANOSECONDS) as i64,
    }
}
