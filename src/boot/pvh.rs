//! PVH: ELF files with a note that names an entry in 32-bit protected mode without paging. FreeBSD, unikernels and Linux have
//! it. Xen's `docs/misc/pvh.pandoc`.

use crate::boot::Error;
use crate::boot::companions::Companions;
use crate::boot::elf::Elf;
use crate::boot::plan::{Plan, memory_map};
use crate::config::Protocol;
use crate::layout::{COMMAND_LINE, LONGEST_LINE, PVH_INFO};
use crate::memory::GuestMemory;
use crate::memory::plain::Plain;
use crate::show::number;
use crate::sys::pvh::*;

// SAFETY: made of integers without gaps.
unsafe impl Plain for hvm_start_info {}
// SAFETY: as above.
unsafe impl Plain for hvm_modlist_entry {}
// SAFETY: as above.
unsafe impl Plain for hvm_memmap_table_entry {}

/// The entry that a file's note names.
fn entry(elf: &Elf) -> Option<u64> {
    elf.notes().find_map(|note| {
        let is_entry = note.name == b"Xen\0" && note.kind == XEN_ELFNOTE_PHYS32_ENTRY;
        (is_entry && matches!(note.value.len(), 4 | 8)).then(|| number(note.value))
    })
}

/// Whether the file is Linux, which has its own protocol too.
pub fn is_linux(elf: &Elf) -> bool {
    elf.notes().any(|note| note.name == b"Linux\0")
}

/// Plans a kernel with that note; `None` where the file has none.
pub fn plan(elf: &Elf) -> Option<Plan> {
    Some(Plan {
        protocol: Protocol::Pvh,
        entry: entry(elf)?,
        pieces: elf.pieces.clone(),
        end: 0,
        ram_end: 0,
        initrd_max: u64::MAX,
        command_line: LONGEST_LINE,
        header: None,
    })
}

/// Writes the start information, and behind it the list of modules and the memory map.
pub fn write(memory: &GuestMemory, companions: &Companions) -> Result<(), Error> {
    let modules = PVH_INFO + size_of::<hvm_start_info>() as u64;
    let map = modules + size_of::<hvm_modlist_entry>() as u64;
    // One module: all initrds.
    let (first, end) = companions.initrd;
    let mut info = hvm_start_info {
        magic: XEN_HVM_START_MAGIC_VALUE,
        version: 1,
        nr_modules: u32::from(end > first),
        modlist_paddr: modules,
        cmdline_paddr: COMMAND_LINE,
        rsdp_paddr: companions.acpi.unwrap_or(0),
        memmap_paddr: map,
        ..Default::default()
    };
    let module = hvm_modlist_entry { paddr: first, size: end - first, ..Default::default() };
    memory.write_value(modules, &module)?;
    let [low, high] = companions.ram;
    for (addr, size, usable) in memory_map(low, high) {
        let at = map + u64::from(info.memmap_entries) * size_of::<hvm_memmap_table_entry>() as u64;
        let r#type = if usable { XEN_HVM_MEMMAP_TYPE_RAM } else { XEN_HVM_MEMMAP_TYPE_RESERVED };
        memory.write_value(at, &hvm_memmap_table_entry { addr, size, r#type, reserved: 0 })?;
        info.memmap_entries += 1;
    }
    memory.write_value(PVH_INFO, &info)?;
    companions.write_command_line(memory)
}
