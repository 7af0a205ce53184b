//! The console: bytes that the guest writes to [`crate::layout::CONSOLE_PORT`] go to standard
//! output, unchanged.

use crate::errno::Errno;
use crate::fd::{self, Output};
use crate::signal;
use core::ffi::c_int;

/// Output gathers until a newline, a pause, the end of the run, or until there is no more room; on a
/// terminal each byte goes out at once.
#[repr(C)]
pub struct Console {
    at_once: bool,
    /// Nothing is shown, and nothing waited for.
    pub silent: bool,
    /// In nanoseconds.
    pause: u64,
    /// What is left of a pause that SIGUSR1 has cut short.
    left: u64,
    output: Output,
}

impl Console {
    /// A console on `fd` that sleeps for `pause` nanoseconds after each newline.
    pub fn new(fd: c_int, pause: u64) -> Console {
        Console {
            at_once: fd::is_terminal(fd),
            silent: false,
            pause,
            left: 0,
            output: Output::new(fd),
        }
    }

    /// Takes a byte. EPIPE where the reader has gone, EINTR where a signal asked to stop.
    pub fn put(&mut self, byte: u8) -> Result<(), Errno> {
        if self.silent {
            return Ok(());
        }
        if self.left != 0 {
            self.rest()?;
        }
        self.output.put(byte)?;
        match byte {
            b'\n' => {
                self.flush()?;
                self.left = self.left.saturating_add(self.pause);
                self.rest()
            }
            _ if self.at_once => self.flush(),
            _ => Ok(()),
        }
    }

    /// Sleeps for what is left of a pause. EINTR as above.
    pub fn rest(&mut self) -> Result<(), Errno> {
        if self.left != 0 {
            self.left = signal::pause(self.left)?;
        }
        Ok(())
    }

    /// Writes out what has gathered; what can't be written is dropped.
    pub fn flush(&mut self) -> Result<(), Errno> {
        self.output.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, pipe};
    use std::os::fd::AsRawFd;

    #[test]
    fn bytes_come_out_unchanged_at_a_newline_and_at_the_end() {
        let (mut reader, writer) = pipe().unwrap();
        let mut console = Console::new(writer.as_raw_fd(), 0);
        let mut line = [0; 4];
        for byte in [0, 0xff, b'H', b'\n', b'x'] {
            console.put(byte).unwrap();
        }
        reader.read_exact(&mut line).unwrap();
        assert_eq!(line, [0, 0xff, b'H', b'\n']);
        console.flush().unwrap();
        drop(writer);
        let mut rest = Vec::new();
        reader.read_to_end(&mut rest).unwrap();
        assert_eq!(rest, b"x");
    }

    #[test]
    fn a_full_buffer_is_written() {
        let (mut reader, writer) = pipe().unwrap();
        let mut console = Console::new(writer.as_raw_fd(), 0);
        for _ in 0..4096 {
            console.put(b'a').unwrap();
        }
        reader.read_exact(&mut [0; 4096]).unwrap();
    }

    #[test]
    fn a_reader_that_has_gone_is_told() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let mut console = Console::new(writer.as_raw_fd(), 0);
        assert_eq!(console.put(b'\n'), Err(Errno(libc::EPIPE)));
    }
}
