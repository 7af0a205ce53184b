//! A flat image: a file whose bytes are code.

use crate::boot::Error;
use crate::host::fd::Fd;
use crate::memory::GuestMemory;
use core::ffi::CStr;

/// An image file, open, and as far as can be told good.
pub struct Image {
    path: &'static CStr,
    file: Fd,
}

impl Image {
    /// Opens an image. Refuses a directory, an empty file, and one of more than `room` bytes. The size of a pipe or a
    /// device shows only when it is read.
    pub fn open(path: &'static CStr, room: u64) -> Result<Image, Error> {
        // O_NONBLOCK: to open a pipe that nobody writes to would wait. `load` waits.
        let file = Fd::open(path, libc::O_RDONLY | libc::O_NONBLOCK, 0)
            .map_err(|error| Error::Open { path, error })?;
        let stat = file.stat().map_err(|error| Error::Call { path, error })?;
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFDIR => Err(Error::Directory { path }),
            libc::S_IFREG if stat.st_size == 0 => Err(Error::Empty { path }),
            libc::S_IFREG if stat.st_size as u64 > room => Err(Error::TooLarge { path, room }),
            _ => Ok(Image { path, file }),
        }
    }

    /// Whether this is a regular file, which can be read a second time.
    pub fn can_be_read_again(path: &CStr) -> bool {
        Fd::open(path, libc::O_PATH, 0)
            .and_then(|file| file.stat())
            .is_ok_and(|stat| stat.st_mode & libc::S_IFMT == libc::S_IFREG)
    }

    /// Reads all of it to `gpa`. It must end at `end` or before.
    pub fn load(&self, memory: &GuestMemory, gpa: u64, end: u64) -> Result<(), Error> {
        let path = self.path;
        let mut at = gpa;
        while at < end {
            let read = memory.read_stream(&self.file, at, end - at);
            match read.map_err(|error| Error::read(path, error))? {
                0 if at == gpa => return Err(Error::Empty { path }),
                0 => return Ok(()),
                count => at += count,
            }
        }
        // There is no more room. That is right only if the image ends here too.
        match self.file.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Error::TooLarge { path, room: end.saturating_sub(gpa) }),
            Err(error) => Err(Error::Call { path, error }),
        }
    }
}
