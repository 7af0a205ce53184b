//! A flat image: bytes that are code.

use crate::error::{Call, Error};
use crate::fd::Fd;
use crate::memory::Memory;
use core::ffi::CStr;

/// An image file, open, and as far as can be told good.
pub struct Image(Fd);

impl Image {
    /// Opens the image. Refuses a directory, an empty file, and one that does not fit into `room`
    /// bytes; of a pipe or a device the size shows only when it is read.
    pub fn open(path: &CStr, room: u64) -> Result<Image, Error> {
        // Not to be kept waiting by a pipe that nobody writes to; `load` waits.
        let flags = libc::O_RDONLY | libc::O_NONBLOCK;
        let file = Fd::open(Call::OPEN_IMAGE, path, flags, 0)?;
        let stat = file.stat(Call::STAT_IMAGE)?;
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFDIR => Err(Call::OPEN_IMAGE.error(libc::EISDIR)),
            libc::S_IFREG if stat.st_size == 0 => Err(Call::READ_IMAGE.error(libc::ENOEXEC)),
            libc::S_IFREG if stat.st_size as u64 > room => Err(Call::READ_IMAGE.error(libc::EFBIG)),
            _ => Ok(Image(file)),
        }
    }

    /// Whether this is a file, which can be read a second time.
    pub fn is_file(path: &CStr) -> bool {
        Fd::open(Call::LOOK, path, libc::O_PATH, 0)
            .and_then(|file| file.stat(Call::LOOK))
            .is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFREG)
    }

    /// Reads all of it to `offset` in RAM. It must end before `end`, which is in RAM.
    #[inline(never)]
    pub fn load(&self, memory: &Memory, offset: u64, end: u64) -> Result<(), Error> {
        let mut at = offset;
        while at < end {
            match memory.read_from(&self.0, at, end)? {
                0 if at == offset => return Err(Call::READ_IMAGE.error(libc::ENOEXEC)),
                0 => return Ok(()),
                count => at += count,
            }
        }
        // There is no more room. That is right only if the image ends here too.
        match self.0.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Call::READ_IMAGE.error(libc::EFBIG)),
            Err(error) => Err(Call::READ_IMAGE.error(error.errno.0)),
        }
    }
}
