//! A machine's saved state: a file with everything that is not RAM, and perhaps with RAM too.
//!
//! ```text
//!   0      header, 64 bytes          magic, version, sizes, where RAM is: all that is needed to know whether the file is whole
//!   64     sections                  a tag of four letters, flags, a size and a checksum; then the section's bytes, and zeros
//!                                    up to a multiple of eight
//!   ...    zeros                     up to a multiple of 2 MiB, where RAM follows
//!   ...    RAM, if it is in here     as it is; pages that were never written are holes of the file
//! ```
//!
//! All numbers are little-endian. A section whose tag a program does not know is refused, or skipped where its flags say that one can do
//! without it. `machine/sections.rs` lists them; `docs/snapshot.md` describes the format for others.

pub mod fields;
pub mod file;

pub use fields::{Field, Fields, Invalid, Saved};
pub use file::{Header, RamPlace, Sections, Snapshot};

use crate::host::errno::TOO_MANY_FILES;
use crate::host::syscall::CallError;
use crate::show::Text;
use core::ffi::CStr;
use core::fmt;

/// Four letters that say what a section is.
pub type Tag = [u8; 4];

/// Why a snapshot was not written, or can't be restored.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Error {
    /// A call on the file failed.
    Call { path: &'static CStr, error: CallError },
    /// It is not a snapshot of ours.
    NotASnapshot { path: &'static CStr },
    /// It was written by another version of the program, in another format.
    Version { path: &'static CStr, version: u32 },
    /// Its size or a checksum says that it is not what was written.
    Damaged { path: &'static CStr, what: &'static str },
    /// A section of which this program knows nothing.
    UnknownSection { path: &'static CStr, tag: Tag },
    /// A section is missing.
    Missing { path: &'static CStr, tag: Tag },
    /// A section's contents make no sense.
    Invalid { path: &'static CStr, tag: Tag, why: Invalid },
    /// Another maker's processor.
    Vendor { path: &'static CStr, saved: [u8; 12], host: [u8; 12] },
    /// This host's KVM can't offer a feature of the guest's processor.
    NoFeature { path: &'static CStr, name: &'static str },
    /// Saving would replace a file that is no snapshot.
    WouldBeLost { path: &'static CStr },
    /// The file with RAM is not what it was.
    Ram { path: &'static CStr, ram: &'static CStr, why: &'static str },
    /// A call on that file failed.
    RamCall { path: &'static CStr, ram: &'static CStr, error: CallError },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Error::Call { path, error } => {
                write!(f, "{} {}: {}", error.call, Text::from(path), error.errno)?;
                f.write_str(match error.errno.0 {
                    libc::ENOENT => ": no such file or directory\n  Check the path",
                    libc::ENOTDIR => ": a part of the path is not a directory\n  Check the path",
                    libc::EACCES | libc::EPERM => ": permission denied\n  Be root, or name another file",
                    libc::EHWPOISON => ": the host has lost a page of RAM",
                    libc::EINTR => ": the program was asked to end meanwhile",
                    libc::EEXIST => ": a file is in the way that an earlier program has left beside it\n  Remove FILE.*.new",
                    libc::EROFS => ": mounted read-only\n  Name a file elsewhere",
                    libc::ENAMETOOLONG => ": the name is too long; of a file to save to, .PID.new must fit behind it\n  Name a shorter one",
                    libc::EMFILE => TOO_MANY_FILES,
                    libc::ENOSPC => ": the file system is full\n  Name a file elsewhere",
                    libc::EISDIR => ": a directory\n  Name a file in it",
                    libc::EFBIG => ": larger than a file may be\n  Raise ulimit -f",
                    libc::EINVAL | libc::ELOOP | libc::EBUSY => {
                        ": such a file can't hold a snapshot\n  Name a regular file on a disk or on tmpfs, and no link to one"
                    }
                    _ => "",
                })
            }
            Error::NotASnapshot { path } => {
                write!(f, "{}: not a snapshot of this program's", Text::from(path))
            }
            Error::WouldBeLost { path } => write!(
                f,
                "{}: this file is no snapshot, and would be lost\n  Remove it, or name another file",
                Text::from(path)
            ),
            Error::Version { path, version } => write!(
                f,
                "{}: a snapshot in format {version}, and this program knows format {}\n  \
                 Restore it with the version of the program that saved it",
                Text::from(path),
                file::VERSION
            ),
            Error::Damaged { path, what } => {
                write!(f, "{}: damaged or incomplete: {what}", Text::from(path))
            }
            Error::UnknownSection { path, tag } => write!(
                f,
                "{}: has a section `{}`, which this program does not know and must not skip\n  \
                 Restore it with the version of the program that saved it",
                Text::from(path),
                Text(&tag)
            ),
            Error::Missing { path, tag } => {
                write!(f, "{}: has no section `{}`", Text::from(path), Text(&tag))
            }
            Error::Invalid { path, tag, why: Invalid(why) } => {
                write!(f, "{}: section `{}`: {why}", Text::from(path), Text(&tag))
            }
            Error::Vendor { path, saved, host } => write!(
                f,
                "{}: saved on a processor of {}, and this one is of {}\n  \
                 Restore it on a host with a processor of the same maker",
                Text::from(path),
                Text(&saved),
                Text(&host)
            ),
            Error::NoFeature { path, name } => write!(
                f,
                "{}: the guest's processor has {name}, which this host's KVM can't offer\n  \
                 Restore it on a host that can; or save a machine with --cpu ...,-{name}",
                Text::from(path)
            ),
            Error::Ram { path, ram, why } => {
                write!(f, "{}: RAM in {}: {why}", Text::from(path), Text::from(ram))
            }
            Error::RamCall { path, ram, error } => {
                let (path, ram) = (Text::from(path), Text::from(ram));
                write!(f, "{path}: RAM: {} {ram}: {}", error.call, error.errno)
            }
        }
    }
}
