//! Small files in which the kernel describes itself: a number in each, or lines.

use crate::host::fd::Fd;
use alloc::ffi::CString;
use alloc::vec::Vec;

/// The bytes of a file; `None` where it can't be read.
pub fn read(path: &str) -> Option<Vec<u8>> {
    let path = CString::new(path).ok()?;
    let file = Fd::open(&path, libc::O_RDONLY, 0).ok()?;
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        match file.read(&mut chunk).ok()? {
            0 => return Some(bytes),
            count => bytes.extend_from_slice(&chunk[..count]),
        }
    }
}

/// The decimal number that a file holds.
pub fn number(path: &str) -> Option<u64> {
    decimal(read(path)?.trim_ascii())
}

/// A decimal number.
pub fn decimal(digits: &[u8]) -> Option<u64> {
    core::str::from_utf8(digits).ok()?.parse().ok()
}

/// The lines of a file.
pub fn lines(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    bytes.split(|&byte| byte == b'\n')
}
