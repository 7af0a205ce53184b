//! Every guest-physical address and every port that the program chooses, each with its reason.
//!
//! ```text
//!   0xffff_ffff  +------------------------+
//!                |  nothing: ones         |
//!   0xfffc_0000  +------------------------+
//!                |  TSS, 3 pages          |  KVM's own, for Intel's real mode
//!   0xfffb_d000  +------------------------+
//!                |  identity map, 1 page  |  likewise
//!   0xfffb_c000  +------------------------+  RAM_LIMIT
//!                |  nothing: ones         |
//!                +------------------------+  --base + --memory
//!                |  RAM, slot 0           |
//!   0x0000_1000  |  - the image, --load   |
//!   0x0000_0000  +------------------------+  --base
//! ```

/// Where the slot starts. KVM uses 2 MiB pages only where guest-physical and host-virtual addresses
/// agree modulo 2 MiB. A hugetlbfs mapping starts at a multiple of 2 MiB, so the slot does too.
/// (The original's slot started at 0x1000 and was mapped by 4 KiB pages alone.)
pub const RAM_BASE: u64 = 0;

/// How much RAM there is by default: 8 pages of 2 MiB.
pub const RAM_SIZE: u64 = 16 << 20;

/// Where the image goes and the vCPU starts. It is linked for this address; page 0 stays free for
/// the interrupt vectors of real mode (SDM volume 3, "8086 Emulation").
pub const IMAGE: u64 = 0x1000;

/// The three pages of `KVM_SET_TSS_ADDR`: the last ones below what would be a PC's 256 KiB of ROM
/// that end at 4 GiB.
pub const TSS: u64 = 0x1_0000_0000 - (256 << 10) - 3 * PAGE_SIZE;

/// The page of `KVM_SET_IDENTITY_MAP_ADDR`, just below.
pub const IDENTITY_MAP: u64 = TSS - PAGE_SIZE;

/// RAM ends here at the latest. On Intel hosts without unrestricted guest the pages above are slots
/// of KVM's own, and slots must not overlap (EEXIST); elsewhere it is so for the same guests to run.
pub const RAM_LIMIT: u64 = IDENTITY_MAP;

/// What slots are aligned to, and what KVM falls back to: x86's smallest page.
pub const PAGE_SIZE: u64 = 4096;

/// A byte, or the low byte of a word or doubleword, that is written here goes to standard output.
/// The original guest's port; on a PC the first DMA controller ends just below, at 0x0f.
pub const CONSOLE_PORT: u16 = 0x10;
