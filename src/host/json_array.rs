//! A file with a JSON array that is complete after each write, so that it can be read whenever the program ends.

use crate::host::errno::Errno;
use crate::host::fd::{self, Fd};
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// What ends the array. The next elements are written over it.
const END: &[u8] = b"]\n";

/// The file. One thread at a time writes to it.
#[derive(Debug)]
pub struct JsonArrayFile {
    file: Fd,
    /// Where the next elements go.
    next: AtomicU64,
}

impl JsonArrayFile {
    /// Begins an array with this element in an empty file that can be sought in.
    pub fn new(file: Fd, first: &str) -> Result<JsonArrayFile, Errno> {
        let file = JsonArrayFile { file, next: AtomicU64::new(0) };
        file.write(alloc::format!("[{first}\n").as_bytes())?;
        Ok(file)
    }

    /// The descriptor's number, for poll(2).
    pub fn raw(&self) -> i32 {
        self.file.raw()
    }

    /// Writes the whole lines in `bytes`; in each a comma and an element. Returns how many bytes of them were written.
    pub fn write(&self, bytes: &[u8]) -> Result<usize, Errno> {
        let lines = bytes.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        let mut whole = Vec::with_capacity(lines + END.len());
        whole.extend_from_slice(&bytes[..lines]);
        whole.extend_from_slice(END);
        let next = self.next.load(Relaxed);
        let mut done = 0;
        while done < whole.len() {
            match fd::write_at(self.file.raw(), next + done as u64, &whole[done..]) {
                Ok(count) => done += count,
                Err(Errno(libc::EINTR)) => {}
                Err(errno) => {
                    // What is there in part goes, and the array ends where it did: the file had room for that before.
                    let _ = fd::write_at(self.file.raw(), next, END);
                    fd::cut(self.file.raw(), next + END.len() as u64);
                    return Err(errno);
                }
            }
        }
        self.next.store(next + lines as u64, Relaxed);
        Ok(lines)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::IntoRawFd;

    #[test]
    fn the_array_is_complete_after_each_write() {
        let path = std::env::temp_dir().join(format!("json-array-{}", std::process::id()));
        let file = std::fs::File::create(&path).unwrap();
        // SAFETY: nobody else closes it.
        let file = JsonArrayFile::new(unsafe { Fd::from_raw(file.into_raw_fd()) }, "{}").unwrap();
        let contents = || std::fs::read_to_string(&path).unwrap();
        assert_eq!(contents(), "[{}\n]\n");
        assert_eq!(file.write(b",1\n,2\n,3"), Ok(6), "a line that is not complete waits");
        assert_eq!(contents(), "[{}\n,1\n,2\n]\n");
        assert_eq!(file.write(b",3\n"), Ok(3));
        assert_eq!(contents(), "[{}\n,1\n,2\n,3\n]\n");
        std::fs::remove_file(path).unwrap();
    }
}
