//! Small files in which the kernel describes itself: a number in each, or lines.

use crate::host::fd::Fd;
use alloc::ffi::CString;
use alloc::string::String;
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

/// Likewise as text.
pub fn text(path: &str) -> Option<String> {
    String::from_utf8(read(path)?).ok()
}

/// The decimal number that a file holds.
pub fn number(path: &str) -> Option<u64> {
    text(path)?.trim_ascii().parse().ok()
}
