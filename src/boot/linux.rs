//! Linux: a bzImage, or the vmlinux that is in it, entered in 64-bit mode. `Documentation/arch/x86/boot.rst` (until 6.5
//! `Documentation/x86/boot.rst`), "The Real-Mode Kernel Header" and "64-bit Boot Protocol"; `zero-page.rst` beside it.
//!
//! The real-mode half of a bzImage, which would ask the BIOS for all this, is left out: we fill its answers in.

use crate::boot::kernel::{Piece, Plan, Protocol, Read, Refused, What, map, number, put};
use crate::error::Error;
use crate::fd::Fd;
use crate::layout::*;
use crate::memory::Memory;

/// How far `struct setup_header` can reach, in the file and in the zero page.
const HEADER: usize = 0x290;

// Offsets in the file, and in the zero page.
const ACPI_RSDP_ADDR: usize = 0x070;
const E820_ENTRIES: usize = 0x1e8;
const SETUP_SECTS: usize = 0x1f1;
const SYSSIZE: usize = 0x1f4;
const BOOT_FLAG: usize = 0x1fe;
/// The distance from behind this byte to the header's end.
const HEADER_LENGTH: usize = 0x201;
const MAGIC: usize = 0x202;
const VERSION: usize = 0x206;
const TYPE_OF_LOADER: usize = 0x210;
const LOADFLAGS: usize = 0x211;
const RAMDISK_IMAGE: usize = 0x218;
const RAMDISK_SIZE: usize = 0x21c;
const CMD_LINE_PTR: usize = 0x228;
const INITRD_ADDR_MAX: usize = 0x22c;
const KERNEL_ALIGNMENT: usize = 0x230;
const XLOADFLAGS: usize = 0x236;
const CMDLINE_SIZE: usize = 0x238;
const PREF_ADDRESS: usize = 0x258;
const INIT_SIZE: usize = 0x260;
const E820_TABLE: usize = 0x2d0;

/// `boot_flag`.
const FLAG: u64 = 0xaa55;
/// `header`: "HdrS".
const HDRS: u64 = 0x5372_6448;
/// The first that tells of a 64-bit entry: 2.12, Linux 3.8.
const OLDEST: u64 = 0x020c;
/// `loadflags`: the kernel goes to 1 MiB or above.
const LOADED_HIGH: u64 = 1 << 0;
/// `xloadflags`: it has an entry for 64-bit mode, 0x200 behind where it was loaded.
const XLF_KERNEL_64: u64 = 1 << 0;
const ENTRY_64: u64 = 0x200;
/// A loader without a number of its own.
const UNDEFINED_LOADER: u64 = 0xff;

/// Plans a bzImage; `false` where the file is none.
#[inline(never)]
pub fn plan(plan: &mut Plan, size: u64, read: Read) -> Result<bool, Refused> {
    let bytes = &mut [0; HEADER];
    if !read(0, bytes) || number(bytes, MAGIC, 4) != HDRS || number(bytes, BOOT_FLAG, 2) != FLAG {
        return Ok(false);
    }
    let [version, flags] = [VERSION, XLOADFLAGS].map(|at| number(bytes, at, 2));
    if version < OLDEST {
        return Err(Refused(What::OldLinux, version));
    }
    if flags & XLF_KERNEL_64 == 0 {
        return Err(Refused(What::Narrow, 0));
    }
    // 0 means 4, and the boot sector comes first.
    let sectors = match number(bytes, SETUP_SECTS, 1) {
        0 => 4,
        sectors => sectors,
    };
    let from = (sectors + 1) * 512;
    let [paragraphs, init_size, alignment] =
        [SYSSIZE, INIT_SIZE, KERNEL_ALIGNMENT].map(|at| number(bytes, at, 4));
    let missing = (from + paragraphs * 16).saturating_sub(size);
    // The last paragraph need not be whole.
    if missing >= 16 || size <= from {
        return Err(Refused(What::Truncated, missing.max(1)));
    }
    if !alignment.is_power_of_two() || number(bytes, LOADFLAGS, 1) & LOADED_HIGH == 0 {
        return Err(Refused(What::BadHeader, 0));
    }

    // Where it wants to be: from lower it would move itself there (arch/x86/boot/compressed/head_64.S, LOAD_PHYSICAL_ADDR).
    let (size, to) = (size - from, number(bytes, PREF_ADDRESS, 8));
    let room = init_size.max(size);

    plan.protocol = Protocol::Linux;
    plan.has_header = true;
    plan.entry = to.saturating_add(ENTRY_64);
    // An older kernel says nothing, and means 255.
    plan.command_line = match number(bytes, CMDLINE_SIZE, 4) {
        0 => 255,
        size => size.min(MULTIBOOT_INFO - COMMAND_LINE - 1),
    };
    plan.initrd_limit = plan.initrd_limit.min(number(bytes, INITRD_ADDR_MAX, 4) + 1);
    plan.add(Piece { from, size, to, room })?;
    Ok(true)
}

/// Completes the plan of a vmlinux, whose ELF header has told the rest: its entry takes what a bzImage's code would hand
/// on.
pub fn of_elf(plan: &mut Plan) {
    plan.protocol = Protocol::Linux;
    plan.command_line = MULTIBOOT_INFO - COMMAND_LINE - 1;
}

/// Writes the zero page, the command line, and the GDT. `file` is the kernel; `low` and `high` are the sizes of RAM below
/// and above the hole; `from` and `to` the initrd's place.
#[inline(never)]
pub fn write(
    plan: &Plan,
    file: &Fd,
    memory: &Memory,
    [low, high]: [u64; 2],
    (from, to): (u64, u64),
    command_line: &[u8],
) -> Result<(), Error> {
    let mut page = [0; PAGE_SIZE as usize];
    let mut end = 0;
    if plan.has_header {
        file.read_from(0, page.get_mut(..HEADER).unwrap_or_default())?;
        end = MAGIC + number(&page, HEADER_LENGTH, 1) as usize;
    } else {
        put(&mut page, BOOT_FLAG, FLAG, 2);
        put(&mut page, MAGIC, HDRS, 4);
        put(&mut page, VERSION, OLDEST, 2);
        put(&mut page, LOADFLAGS, LOADED_HIGH, 1);
        put(&mut page, KERNEL_ALIGNMENT, 2 << 20, 4);
        put(&mut page, INITRD_ADDR_MAX, HOLE - 1, 4);
    }
    // The header alone is the zero page's.
    page.get_mut(..SETUP_SECTS).unwrap_or_default().fill(0);
    page.get_mut(end.max(HEADER_LENGTH + 1)..)
        .filter(|_| plan.has_header)
        .unwrap_or_default()
        .fill(0);

    let mut entries = 0;
    map(low, high, &mut |start, length, kind| {
        let entry = E820_TABLE + 20 * entries;
        put(&mut page, entry, start, 8);
        put(&mut page, entry + 8, length, 8);
        put(&mut page, entry + 16, kind, 4);
        entries += 1;
    });
    put(&mut page, E820_ENTRIES, entries as u64, 1);
    put(&mut page, ACPI_RSDP_ADDR, ACPI, 8);
    put(&mut page, TYPE_OF_LOADER, UNDEFINED_LOADER, 1);
    put(&mut page, RAMDISK_IMAGE, if to > from { from } else { 0 }, 4);
    put(&mut page, RAMDISK_SIZE, to - from, 4);
    put(&mut page, CMD_LINE_PTR, COMMAND_LINE, 4);
    memory.write(ZERO_PAGE, &page)?;
    memory.write(COMMAND_LINE, command_line)?;
    // Behind it RAM is zero: the line's end.
    memory.write(LINUX_GDT, &GDT)
}

/// Two empty descriptors, then 64-bit code and flat data.
static GDT: [u8; 32] = [
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, //
    0xff, 0xff, 0, 0, 0, 0x9b, 0xaf, 0, 0xff, 0xff, 0, 0, 0, 0x93, 0xcf, 0,
];
