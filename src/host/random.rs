//! Random bytes.

use crate::host::clock;

/// Bytes that nobody can foresee: getrandom(2). Where a very old or early kernel has none, the time stands in for them.
pub fn bytes() -> [u8; 16] {
    let mut bytes = [0; 16];
    // SAFETY: the kernel writes at most as many bytes.
    let count =
        unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), bytes.len(), libc::GRND_NONBLOCK) };
    if count != bytes.len() as isize {
        bytes[..8].copy_from_slice(&clock::real().to_le_bytes());
        bytes[8..].copy_from_slice(&clock::monotonic().to_le_bytes());
    }
    bytes
}
