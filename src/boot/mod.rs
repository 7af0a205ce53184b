//! What the guest starts with: an image or a kernel in RAM, the tables that it needs, and the vCPU's first state.
//!
//! A file is opened and checked completely before anything is changed: a bad one costs nothing.

pub mod acpi;
pub mod elf;
pub mod firmware;
pub mod format;
pub mod image;
pub mod kernel;
pub mod linux;
pub mod mode;
pub mod multiboot;
pub mod plan;

use crate::config::{Config, Guest};
use crate::host::syscall::CallError;
use crate::memory::GuestMemory;
use crate::memory::guest_memory::{AccessError, ReadError};
use crate::show::{Bytes, Text};
use crate::sys::regs::{kvm_regs, kvm_sregs};
use core::ffi::CStr;
use core::fmt;
use image::Image;
use kernel::Kernel;
use plan::Refusal;

/// What is run, open and checked.
pub enum Payload {
    Image(Image),
    Kernel(Kernel),
}

impl Payload {
    /// Opens what the configuration names.
    pub fn open(config: &Config) -> Result<Payload, Error> {
        if let Guest::Kernel(path) = config.guest
            && let Some(kernel) = Kernel::open(path, config)?
        {
            return Ok(Payload::Kernel(kernel));
        }
        Image::open(config.path(), config.image_room()).map(Payload::Image)
    }

    /// Whether it is a kernel in a known format.
    pub fn is_kernel(&self) -> bool {
        matches!(self, Payload::Kernel(_))
    }

    /// Loads it, and the tables that its mode needs.
    pub fn load(&self, config: &Config, memory: &GuestMemory) -> Result<(), Error> {
        match self {
            Payload::Image(image) => {
                image.load(memory, config.load, config.image_end())?;
                mode::write_tables(config.mode, memory, config.low_end())
            }
            Payload::Kernel(kernel) => kernel.load(config, memory),
        }
    }

    /// The registers with which it starts; `sregs` are those of a fresh vCPU.
    pub fn registers(&self, config: &Config, sregs: &mut kvm_sregs) -> kvm_regs {
        match self {
            Payload::Image(_) => {
                mode::registers(config.mode, config.entry, config.low_end(), sregs)
            }
            Payload::Kernel(kernel) => kernel.registers(config.low_end(), sregs),
        }
    }
}

/// Why nothing can be started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Error {
    Open {
        path: &'static CStr,
        error: CallError,
    },
    /// A call on the open file failed.
    Call {
        path: &'static CStr,
        error: CallError,
    },
    /// A directory.
    Directory {
        path: &'static CStr,
    },
    /// A kernel or initrd that is not a regular file.
    NotRegular {
        path: &'static CStr,
    },
    Empty {
        path: &'static CStr,
    },
    /// An image for which RAM has only so many bytes.
    TooLarge {
        path: &'static CStr,
        room: u64,
    },
    /// The file ended earlier than it did when it was checked.
    Short {
        path: &'static CStr,
    },
    /// A kernel that can't be run.
    Refused {
        path: &'static CStr,
        refusal: Refusal,
    },
    Memory(AccessError),
}

impl Error {
    fn read(path: &'static CStr, error: ReadError) -> Error {
        match error {
            ReadError::Access(error) => Error::Memory(error),
            ReadError::Call(error) => Error::Call { path, error },
            ReadError::Short => Error::Short { path },
        }
    }
}

impl From<AccessError> for Error {
    fn from(error: AccessError) -> Error {
        Error::Memory(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Error::Open { path, error } => {
                write!(f, "open {}: {}", Text::from(path), error.errno)?;
                f.write_str(match error.errno.0 {
                    libc::ENOENT => ": no such file\n  `make install` brings the lessons' images",
                    libc::EACCES | libc::EPERM => ": you may not read it\n  chmod +r",
                    _ => "",
                })
            }
            Error::Call { path, error } => {
                write!(f, "{} {}: {}", error.call, Text::from(path), error.errno)
            }
            Error::Directory { path } => {
                write!(f, "{}: a directory\n  Name a file in it", Text::from(path))
            }
            Error::NotRegular { path } => write!(f, "{}: not a regular file", Text::from(path)),
            Error::Empty { path } => write!(f, "{}: the file is empty", Text::from(path)),
            Error::TooLarge { path, room } => write!(
                f,
                "{}: too large, RAM has {} there\n  \
                 Raise --memory or lower --load; a --mode keeps the last 28 KiB",
                Text::from(path),
                Bytes(room)
            ),
            Error::Short { path } => {
                write!(f, "{}: it has become shorter since it was checked", Text::from(path))
            }
            Error::Refused { path, refusal } => write!(f, "{}: {refusal}", Text::from(path)),
            Error::Memory(error) => error.fmt(f),
        }
    }
}
