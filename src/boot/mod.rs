//! What the guest starts with: an image or a kernel in RAM, the tables that it needs, and the vCPU's first state.
//!
//! A file is opened and checked completely before anything is changed: a bad one costs nothing.

pub mod acpi;
pub mod aml;
pub mod companions;
pub mod elf;
pub mod firmware;
pub mod format;
pub mod image;
pub mod kernel;
pub mod linux;
pub mod mode;
pub mod multiboot;
pub mod plan;
pub mod pvh;

use crate::config::{Config, Guest, Mode, Protocol};
use crate::devices::fw_cfg::Items;
use crate::host::errno::TOO_MANY_FILES;
use crate::host::syscall::CallError;
use crate::memory::GuestMemory;
use crate::memory::guest_memory::{AccessError, ReadError};
use crate::show::{Amount, Bytes, OptionSize, Text};
use crate::sys::regs::{kvm_regs, kvm_sregs};
use acpi::WakingVector;
use alloc::boxed::Box;
use core::ffi::CStr;
use core::fmt;
use image::{Image, ImageRoom};
use kernel::Kernel;
use plan::Refusal;

/// What is run, open and checked.
pub enum Payload {
    Image(Image),
    Kernel(Box<Kernel>),
    /// What is in RAM already, after sleep.
    WakeUp(WakingVector),
    /// What a snapshot had in RAM.
    Restored,
}

impl Payload {
    /// Opens what the configuration names.
    pub fn open(config: &Config) -> Result<Payload, Error> {
        match config.guest {
            Guest::Image(path) => {
                let Config { load, base, mode, backing, .. } = *config;
                let end = config.image_end();
                let room = ImageRoom { load, end, base, tables: mode.tables_size(), backing };
                Image::open(path, room).map(Payload::Image)
            }
            Guest::Kernel(path) => {
                Kernel::open(path, config).map(|kernel| Payload::Kernel(Box::new(kernel)))
            }
        }
    }

    /// Loads it, and the tables that its mode needs.
    pub fn load(&self, config: &Config, memory: &GuestMemory) -> Result<(), Error> {
        match self {
            Payload::Image(image) => {
                image.load(memory)?;
                mode::write_tables(config.mode, memory, config.low_end())
            }
            Payload::Kernel(kernel) => kernel.load(config, memory),
            Payload::WakeUp(_) | Payload::Restored => Ok(()),
        }
    }

    /// Whether it is Linux, as far as is known.
    pub fn is_linux(&self) -> bool {
        matches!(self, Payload::Kernel(kernel) if kernel.protocol() == Protocol::Linux)
    }

    /// Adds what fw_cfg tells of it.
    pub fn describe(&self, config: &Config, items: &mut Items) {
        if let Payload::Kernel(kernel) = self {
            kernel.describe(config, items);
        }
    }

    /// The registers with which it starts; `sregs` are those of a fresh vCPU.
    pub fn registers(&self, config: &Config, sregs: &mut kvm_sregs) -> kvm_regs {
        match self {
            Payload::Image(_) => {
                mode::registers(config.mode, config.entry, config.low_end(), sregs)
            }
            Payload::Kernel(kernel) => kernel.registers(config.low_end(), sregs),
            Payload::WakeUp(WakingVector::Real(entry)) => mode::wake_up(*entry, sregs),
            Payload::WakeUp(WakingVector::Protected(entry)) => {
                mode::registers(Mode::Protected, *entry, config.low_end(), sregs)
            }
            // They come with the rest of its vCPU.
            Payload::Restored => kvm_regs::default(),
        }
    }
}

/// Where BiscuitOS has the lessons.
const FIRMWARE: &[u8] = b"/usr/bin/firmware/";

/// Why nothing can be started.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Error {
    /// `option` is `--kernel`, `--initrd`, `--fw-cfg`, or [`image::IMAGE_OPERAND`].
    Open {
        path: &'static CStr,
        option: &'static str,
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
    /// A file that must be regular, and is not.
    NotRegular {
        path: &'static CStr,
        option: &'static str,
    },
    Empty {
        path: &'static CStr,
    },
    /// An item of fw_cfg whose size does not fit in 32 bits.
    LargeItem {
        path: &'static CStr,
    },
    /// An image that is a kernel's file, and not raw code.
    IsKernel {
        path: &'static CStr,
        format: &'static str,
    },
    /// An image, and how large it is, if that is known.
    TooLarge {
        path: &'static CStr,
        size: Option<u64>,
        room: ImageRoom,
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
    pub fn read(path: &'static CStr, error: ReadError) -> Error {
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
            Error::Open { path, option, error } => {
                write!(f, "open {}: {}", Text::from(path), error.errno)?;
                match error.errno.0 {
                    libc::ENOENT if path.to_bytes().starts_with(FIRMWARE) => {
                        f.write_str(": no such file\n  `make install` puts it there in a BiscuitOS tree; `make` leaves ./_BiscuitOS-VM.iso")
                    }
                    libc::ENOENT | libc::ENOTDIR | libc::ELOOP | libc::ENAMETOOLONG => {
                        f.write_str(match error.errno.0 {
                            libc::ENOENT => ": no such file",
                            libc::ENOTDIR => ": a part of the path is not a directory",
                            libc::ELOOP => ": a symbolic link to itself",
                            _ => ": the name is too long",
                        })?;
                        write!(f, "\n  Check the path of {option}")
                    }
                    libc::ENXIO => {
                        write!(f, ": a socket, or a device without a driver\n  Name a file for {option}")
                    }
                    libc::EACCES | libc::EPERM => {
                        write!(f, ": permission denied\n  chmod a+r {}", Text::from(path))
                    }
                    libc::EMFILE => f.write_str(TOO_MANY_FILES),
                    _ => Ok(()),
                }
            }
            Error::Call { path, error } => {
                write!(f, "{} {}: {}", error.call, Text::from(path), error.errno)
            }
            Error::Directory { path } => {
                write!(f, "{}: a directory\n  Name a file in it", Text::from(path))
            }
            Error::NotRegular { path, option } => {
                write!(f, "{}: not a regular file, which {option} needs", Text::from(path))
            }
            Error::IsKernel { path, format } => {
                let path = Text::from(path);
                write!(f, "{path}: {format}, and not raw code\n  Boot it with --kernel {path}")
            }
            Error::LargeItem { path } => {
                write!(f, "{}: 4 GiB or more: too large for an item of fw_cfg", Text::from(path))
            }
            Error::Empty { path } => write!(f, "{}: the file is empty", Text::from(path)),
            Error::TooLarge { path, size, room } => {
                write!(f, "{}: too large for ", Text::from(path))?;
                write!(f, "the {} of RAM from {:#x} on", Amount(room.size()), room.load)?;
                match size.map(|size| room.needed_memory(size)) {
                    Some(needed) => write!(f, "; needs at least --memory {}", OptionSize(needed))?,
                    None => f.write_str("\n  Raise --memory or lower --load")?,
                }
                match room.tables {
                    0 => Ok(()),
                    tables => write!(f, "\n  This --mode keeps the last {} of RAM", Bytes(tables)),
                }
            }
            Error::Short { path } => {
                write!(f, "{}: it has become shorter since it was checked", Text::from(path))
            }
            Error::Refused { path, refusal } => write!(f, "{}: {refusal}", Text::from(path)),
            Error::Memory(error) => error.fmt(f),
        }
    }
}
