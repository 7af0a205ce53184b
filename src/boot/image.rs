//! A flat image: a file whose bytes are code.

use crate::boot::Error;
use crate::config::Backing;
use crate::host::fd::{self, Fd};
use crate::memory::GuestMemory;
use crate::sys::bootparam::{HEADER_MAGIC, SETUP_HEADER_OFFSET, setup_header};
use core::ffi::CStr;
use core::mem::offset_of;

/// An image file, open, and as far as can be told good.
pub struct Image {
    path: &'static CStr,
    file: Fd,
    room: ImageRoom,
}

/// What errors call the image: the operand of the command line.
pub const IMAGE_OPERAND: &str = "IMAGE";

/// Where an image may lie.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ImageRoom {
    /// The guest-physical address where it is loaded.
    pub load: u64,
    /// The one before which it must end.
    pub end: u64,
    /// Where RAM starts.
    pub base: u64,
    /// What the mode's tables need behind it.
    pub tables: u64,
    /// What RAM is made of.
    pub backing: Backing,
}

impl ImageRoom {
    /// In bytes.
    pub fn size(&self) -> u64 {
        self.end.saturating_sub(self.load)
    }

    /// How much RAM an image of this size needs.
    pub fn needed_memory(&self, size: u64) -> u64 {
        let needed = (self.load - self.base).saturating_add(size).saturating_add(self.tables);
        self.backing.rounded_up(needed)
    }
}

/// Behind the magic numbers of both formats. No kernel is shorter.
const MAGIC_END: usize = SETUP_HEADER_OFFSET + offset_of!(setup_header, header) + 4;

/// What kind of kernel a file is that was taken for raw code.
fn kernel_format(file: &Fd, size: u64) -> Option<&'static str> {
    let mut start = [0; MAGIC_END];
    if size < MAGIC_END as u64 || file.read_at(0, &mut start) != Ok(MAGIC_END) {
        None
    } else if start.starts_with(b"\x7fELF") {
        Some("an ELF file")
    } else if start.ends_with(&HEADER_MAGIC.to_le_bytes()) {
        Some("a Linux bzImage")
    } else {
        None
    }
}

impl Image {
    /// Opens an image. Refuses a directory, an empty file, and one that is too large. The size of a pipe or a device shows
    /// only when it is read.
    pub fn open(path: &'static CStr, room: ImageRoom) -> Result<Image, Error> {
        // O_NONBLOCK: to open a pipe that nobody writes to would wait. `load` waits.
        let file = Fd::open(path, libc::O_RDONLY | libc::O_NONBLOCK, 0)
            .map_err(|error| Error::Open { path, option: IMAGE_OPERAND, error })?;
        let stat = file.stat().map_err(|error| Error::Call { path, error })?;
        match stat.st_mode & libc::S_IFMT {
            libc::S_IFDIR => Err(Error::Directory { path }),
            libc::S_IFREG if stat.st_size == 0 => Err(Error::Empty { path }),
            libc::S_IFREG if stat.st_size as u64 > room.size() => {
                Err(Error::TooLarge { path, size: Some(stat.st_size as u64), room })
            }
            libc::S_IFREG => match kernel_format(&file, stat.st_size as u64) {
                None => Ok(Image { path, file, room }),
                Some(format) => Err(Error::IsKernel { path, format }),
            },
            _ => Ok(Image { path, file, room }),
        }
    }

    /// Whether this is a regular file, which can be read a second time.
    pub fn can_be_read_again(path: &CStr) -> bool {
        fd::stat(path).is_ok_and(|stat| fd::is_regular(&stat))
    }

    /// Reads all of it into RAM.
    pub fn load(&self, memory: &GuestMemory) -> Result<(), Error> {
        let &Image { path, room, .. } = self;
        let ImageRoom { load, end, .. } = room;
        let mut at = load;
        while at < end {
            let read = memory.read_stream(&self.file, at, end - at);
            match read.map_err(|error| Error::read(path, error))? {
                0 if at == load => return Err(Error::Empty { path }),
                0 => return Ok(()),
                count => at += count,
            }
        }
        // There is no more room. That is right only if the image ends here too.
        match self.file.read(&mut [0]) {
            Ok(0) => Ok(()),
            Ok(_) => Err(Error::TooLarge { path, size: None, room }),
            Err(error) => Err(Error::Call { path, error }),
        }
    }
}
