//! The host's pools of huge pages, as sysfs describes them.

use crate::host::procfs;
use crate::show::Bytes;
use alloc::format;
use core::fmt;

/// A pool.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pool {
    /// The size of its pages, in bytes.
    pub page_size: u64,
    /// All pages of the pool.
    pub total: u64,
    /// Those that hold nothing now, reserved ones included.
    pub free: u64,
    /// How many of the free ones are promised to mappings.
    pub reserved: u64,
}

impl Pool {
    /// The pool of pages of this size; `None` where sysfs does not describe it.
    pub fn read(page_size: u64) -> Option<Pool> {
        let figure = |name: &str| {
            let size = page_size >> 10;
            procfs::number(&format!("/sys/kernel/mm/hugepages/hugepages-{size}kB/{name}_hugepages"))
        };
        let (total, free, reserved) = (figure("nr")?, figure("free")?, figure("resv")?);
        Some(Pool { page_size, total, free, reserved })
    }

    /// Pages that a new mapping can have.
    pub fn available(&self) -> u64 {
        self.free.saturating_sub(self.reserved)
    }

    /// Says why the pool can't give `needed` pages, and what helps.
    pub fn explain(&self, needed: u64, f: &mut fmt::Formatter) -> fmt::Result {
        let Pool { page_size, total, free, reserved } = *self;
        write!(
            f,
            "\n  {needed} pages of {} are needed; the pool has {total}, {free} free, of which {reserved} are reserved\n  ",
            Bytes(page_size),
        )?;
        match needed.saturating_sub(self.available()) {
            0 => f.write_str(
                "The pool has enough. Check the size= option of the mount, and ulimit -v",
            ),
            missing => {
                write!(
                    f,
                    "As root: echo {} > /sys/kernel/mm/hugepages/hugepages-{}kB/nr_hugepages",
                    total + missing,
                    page_size >> 10
                )?;
                // A file keeps its pages, and what was reserved for it, when the guest has gone.
                f.write_str(if self.available() < total {
                    "\n  Or rm files on hugetlbfs that no VM uses any more"
                } else {
                    ""
                })
            }
        }
    }
}
