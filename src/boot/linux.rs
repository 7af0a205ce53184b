//! Linux: a bzImage, or the ELF vmlinux that is in it, entered in 64-bit mode. `Documentation/arch/x86/boot.rst`, "64-bit
//! Boot Protocol".
//!
//! A bzImage begins with real-mode code that would ask the BIOS for what the kernel must know. It is left out: the loader
//! fills its answers into the zero page.

use crate::boot::Error;
use crate::boot::companions::Companions;
use crate::boot::elf::Elf;
use crate::boot::plan::{KernelFile, Piece, Plan, Refusal, memory_map};
use crate::config::Protocol;
use crate::layout::*;
use crate::memory::GuestMemory;
use crate::memory::plain::Plain;
use crate::sys::bootparam::*;
use alloc::vec;
use core::mem::offset_of;

// SAFETY: packed, and made of integers.
unsafe impl Plain for setup_header {}
// SAFETY: packed, and made of integers.
unsafe impl Plain for boot_params {}

/// The first boot protocol that tells of a 64-bit entry: 2.12, Linux 3.8.
const OLDEST: u16 = 0x020c;
/// Where that entry lies behind the start of the kernel.
const ENTRY_64: u64 = 0x200;
/// A loader without a number of its own.
const UNDEFINED_LOADER: u8 = 0xff;

/// The header of a bzImage; `None` where the file ends within it.
fn header(file: &KernelFile) -> Option<setup_header> {
    let bytes = file.bytes::<{ size_of::<setup_header>() }>(SETUP_HEADER_OFFSET as u64)?;
    // SAFETY: any bytes are a `setup_header`, which has this size and no alignment.
    Some(unsafe { core::mem::transmute::<[u8; size_of::<setup_header>()], setup_header>(bytes) })
}

/// Plans a bzImage; `None` where the file is none.
pub fn plan(file: &KernelFile) -> Result<Option<Plan>, Refusal> {
    let magic = file.bytes(SETUP_HEADER_OFFSET as u64 + offset_of!(setup_header, header) as u64);
    if magic.map(u32::from_le_bytes) != Some(HEADER_MAGIC) {
        return Ok(None);
    }
    let header = header(file).ok_or(Refusal::Truncated { missing: 1 })?;
    if header.boot_flag != BOOT_FLAG {
        return Err(Refusal::BadHeader);
    }
    if header.version < OLDEST {
        return Err(Refusal::OldLinux { version: header.version.into() });
    }
    if header.xloadflags & XLF_KERNEL_64 == 0 {
        return Err(Refusal::Narrow);
    }
    let sectors = if header.setup_sects == 0 { 4 } else { u64::from(header.setup_sects) };
    // The boot sector comes first.
    let from = (sectors + 1) * 512;
    let missing = (from + u64::from(header.syssize) * 16).saturating_sub(file.size);
    // The last 16 bytes need not be whole.
    if missing >= 16 || file.size <= from {
        return Err(Refusal::Truncated { missing: missing.max(1) });
    }
    let alignment = header.kernel_alignment;
    if !alignment.is_power_of_two() || header.loadflags & LOADED_HIGH == 0 {
        return Err(Refusal::BadHeader);
    }
    // Where it wants to be: from a lower address it would move itself there (arch/x86/boot/compressed/head_64.S,
    // LOAD_PHYSICAL_ADDR).
    let (size, to) = (file.size - from, header.pref_address);
    let room = size.max(header.init_size.into());
    Ok(Some(Plan {
        protocol: Protocol::Linux,
        entry: to.saturating_add(ENTRY_64),
        pieces: vec![Piece { from, size, to, room }],
        end: 0,
        ram_end: 0,
        initrd_max: u64::from(header.initrd_addr_max) + 1,
        command_line: match header.cmdline_size {
            // An older kernel says nothing, and means this.
            0 => 255,
            size => LONGEST_LINE.min(size.into()),
        },
        header: Some(header),
    }))
}

/// Plans a vmlinux: its entry expects what the code of a bzImage would hand on.
pub fn plan_elf(file: &KernelFile, elf: Elf) -> Result<Plan, Refusal> {
    if !elf.is_64_bit {
        // The Multiboot header may lie in what is missing.
        let end = elf.pieces.iter().map(|piece| piece.from.saturating_add(piece.size)).max();
        let missing = end.unwrap_or(0).saturating_sub(file.size);
        return Err(if missing > 0 { Refusal::Truncated { missing } } else { Refusal::Narrow });
    }
    Ok(Plan {
        protocol: Protocol::Linux,
        entry: elf.entry,
        pieces: elf.pieces,
        end: 0,
        ram_end: 0,
        initrd_max: u64::MAX,
        command_line: LONGEST_LINE,
        header: None,
    })
}

/// Writes the zero page, the command line and the GDT.
pub fn write(plan: &Plan, memory: &GuestMemory, companions: &Companions) -> Result<(), Error> {
    let mut page = zero_page();
    if let Some(header) = plan.header {
        page.hdr = header;
        clear_behind_header(&mut page.hdr);
    } else {
        page.hdr.boot_flag = BOOT_FLAG;
        page.hdr.header = HEADER_MAGIC;
        page.hdr.version = OLDEST;
        page.hdr.loadflags = LOADED_HIGH;
        page.hdr.kernel_alignment = 2 << 20;
        page.hdr.initrd_addr_max = HOLE as u32 - 1;
    }
    let [low, high] = companions.ram;
    for (place, (addr, size, usable)) in memory_map(low, high).enumerate() {
        let r#type = if usable { 1 } else { 2 };
        page.e820_table[place] = boot_e820_entry { addr, size, r#type };
        page.e820_entries = place as u8 + 1;
    }
    page.acpi_rsdp_addr = companions.acpi.unwrap_or(0);
    page.hdr.type_of_loader = UNDEFINED_LOADER;
    let (first, end) = companions.initrd;
    page.hdr.ramdisk_image = if end > first { first as u32 } else { 0 };
    page.hdr.ramdisk_size = (end - first) as u32;
    page.hdr.cmd_line_ptr = COMMAND_LINE as u32;
    memory.write_value(ZERO_PAGE, &page)?;
    companions.write_command_line(memory)?;
    memory.write_value(LINUX_GDT, &GDT)?;
    Ok(())
}

fn zero_page() -> boot_params {
    // SAFETY: a structure of integers, for which zeros are values.
    unsafe { core::mem::zeroed() }
}

/// A header may be shorter than this program's, and behind it is code: what is not the header's is zero in the zero page.
fn clear_behind_header(header: &mut setup_header) {
    // The distance counts from behind the jump.
    let after_jump = offset_of!(setup_header, jump) + 2;
    let end = after_jump + usize::from(header.jump.to_le_bytes()[1]);
    let size = size_of::<setup_header>();
    // SAFETY: any bytes are a `setup_header`, which has this size.
    let bytes = unsafe { core::slice::from_raw_parts_mut((&raw mut *header).cast::<u8>(), size) };
    bytes[end.min(size)..].fill(0);
}

/// Two empty descriptors, then 64-bit code and flat data, as the boot protocol wants them.
const GDT: [u64; 4] = [0, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff];
/// How many bytes that is, less one.
pub const GDT_LIMIT: u16 = size_of_val(&GDT) as u16 - 1;
/// `__BOOT_CS` and `__BOOT_DS`.
pub const BOOT_CS: u16 = 0x10;
pub const BOOT_DS: u16 = 0x18;
