//! Guest RAM: where it comes from, and access to it by guest-physical address.
//!
//! ```text
//!   guest-physical      base           low end             4 GiB
//!                        |   region 0    |                    |  region 1  |
//!   host-virtual      mapping ....................................... mapping + memory
//!                        |                   mmap(2)                       |
//!   file offset          0                                              memory     (anonymous memory has no file)
//! ```
//!
//! No Rust reference to guest RAM ever exists, for the guest would break it. The program copies in and out, and a page that
//! the host can't provide is an error.

pub mod backing;
pub mod guest_memory;
mod made_pages;
pub mod plain;
pub mod pool;
pub mod ram_file;
pub mod saved_ram;
mod small_pages;

pub use guest_memory::GuestMemory;

use crate::config::Backing;
use crate::host::errno::TOO_MANY_FILES;
use crate::host::syscall::CallError;
use crate::show::{Bytes, OptionSize, Text};
use core::ffi::CStr;
use core::fmt;
use pool::Pool;

/// Why there is no RAM.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Error {
    /// The file behind RAM can't be opened or made.
    Open { path: &'static CStr, error: CallError },
    /// The path leads to something that is neither a file nor a character device.
    Kind { path: &'static CStr },
    /// A file that is not on hugetlbfs: the guest would silently get pages of 4 KiB.
    NotHugetlbfs { path: &'static CStr },
    /// Another open file has locked it: two VMs would share this RAM.
    Locked { path: &'static CStr, error: CallError },
    /// A machine runs in the file from which RAM is to be mapped privately.
    PrivateLocked { error: CallError },
    /// Another machine has run in the file of a saved machine's RAM.
    Changed,
    /// The file behind a saved machine's RAM has another size than that had.
    OtherSize { path: &'static CStr },
    /// `memory` is not a multiple of the size of the backing's pages.
    Size { backing: Backing, memory: u64, page_size: u64 },
    /// The pool of huge pages can't give as many; `error` is mmap(2)'s, if it was tried.
    Pool { backing: Backing, needed: u64, page_size: u64, error: Option<CallError> },
    /// Another call failed.
    Call { backing: Backing, error: CallError },
}

/// What a [`Backing`] is called in messages.
pub struct BackingName(pub Backing);

impl fmt::Display for BackingName {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0 {
            Backing::File(path) => Text::from(path).fmt(f),
            Backing::Anonymous | Backing::Transparent => f.write_str("anonymous memory"),
            Backing::Memfd => f.write_str("a memfd"),
            Backing::Private => f.write_str("a snapshot's RAM"),
        }
    }
}

impl Error {
    /// Whether the command line is to blame, and not the host.
    pub fn is_usage(&self) -> bool {
        matches!(self, Error::Size { .. })
    }
}

/// Whether it is in the directory where BiscuitOS mounts hugetlbfs.
fn is_in_mount(path: &CStr) -> bool {
    path.to_bytes().strip_prefix(b"/mnt/HugePagefs/").is_some_and(|name| !name.contains(&b'/'))
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Error::Open { path, error } => {
                write!(f, "open {}: {}", Text::from(path), error.errno)?;
                f.write_str(match error.errno.0 {
                    libc::ENOENT if is_in_mount(path) => {
                        ": no such directory\n  As root: mkdir -p /mnt/HugePagefs && \
                         mount -t hugetlbfs none /mnt/HugePagefs\n  \
                         Or, without huge pages: --backing anon"
                    }
                    libc::ENOENT | libc::ENOTDIR => {
                        ": no such directory\n  Check the path of --backing"
                    }
                    libc::EACCES | libc::EPERM => {
                        ": permission denied\n  Be root, or name a --backing that you may open"
                    }
                    libc::EROFS => ": mounted read-only\n  Remount it, or name another --backing",
                    libc::EISDIR => ": a directory\n  Name a file in it",
                    libc::ELOOP => ": a symbolic link\n  Name the file itself",
                    libc::EMFILE => TOO_MANY_FILES,
                    _ => "",
                })
            }
            Error::Kind { path } => {
                write!(f, "{}: neither a file nor a character device", Text::from(path))
            }
            Error::NotHugetlbfs { path } => write!(
                f,
                "{}: not on hugetlbfs, so RAM would be in 4 KiB pages\n  {}",
                Text::from(path),
                if is_in_mount(path) {
                    "As root: mount -t hugetlbfs none /mnt/HugePagefs; or --backing memfd, which needs no mount"
                } else {
                    "--backing takes a file on hugetlbfs, a character device, memfd, thp or anon"
                }
            ),
            Error::Locked { path, error } => write!(
                f,
                "flock {}: {}: another VM has it\n  End that VM, or name another --backing",
                Text::from(path),
                error.errno
            ),
            Error::PrivateLocked { error } => {
                write!(
                    f,
                    "flock: {}: another VM runs in this RAM\n  End that VM first",
                    error.errno
                )
            }
            Error::Changed => f.write_str("another machine has run in the saved machine's RAM"),
            Error::OtherSize { path } => {
                write!(f, "{}: not as large as the saved machine's RAM", Text::from(path))
            }
            Error::Size { backing, memory, page_size } => write!(
                f,
                "--memory {}: not a multiple of {}, the page size of {}\n  Next: --memory {}",
                OptionSize(memory),
                Bytes(page_size),
                BackingName(backing),
                OptionSize(memory.next_multiple_of(page_size))
            ),
            Error::Pool { backing, needed, page_size, error } => {
                match error {
                    Some(error) => {
                        write!(f, "{} {}: {}", error.call, BackingName(backing), error.errno)?;
                    }
                    None => write!(f, "{}: too few huge pages", BackingName(backing))?,
                }
                match Pool::read(page_size) {
                    Some(pool) => pool.explain(needed, f)?,
                    None => write!(
                        f,
                        "\n  {needed} pages of {} are needed; the kernel does not say what its pool has",
                        Bytes(page_size)
                    )?,
                }
                match backing {
                    Backing::Private => f.write_str(
                        "\n  Or let the machine go on in its own RAM, which ends the snapshot: --backing with the file that RAM is in; \
                         or --backing anon",
                    ),
                    _ => Ok(()),
                }
            }
            Error::Call { backing, error } => {
                write!(f, "{} {}: {}", error.call, BackingName(backing), error.errno)?;
                f.write_str(match (backing, error.errno.0) {
                    (_, libc::EMFILE) => TOO_MANY_FILES,
                    (Backing::Private, libc::ENOMEM) => {
                        ": more memory than the host has, or than ulimit -v allows"
                    }
                    (_, libc::ENOMEM) => {
                        ": more memory than the host has, or than ulimit -v allows\n  Lower --memory, or raise ulimit -v"
                    }
                    (Backing::Memfd, libc::EINVAL | libc::ENOSYS) => {
                        ": this kernel has no memory files in huge pages (Linux 4.14)"
                    }
                    (_, libc::ENODEV | libc::EINVAL | libc::EACCES | libc::EPERM) => {
                        ": it can't be mapped as RAM\n  Name another --backing"
                    }
                    _ => "",
                })
            }
        }
    }
}
