//! Multiboot: kernels that a header within the file's first 8 KiB describes, entered in 32-bit protected mode without
//! paging. The numbers of its sections are those of the specification.

use crate::boot::Error;
use crate::boot::elf;
use crate::boot::plan::{KernelFile, Piece, Plan, Refusal, memory_map};
use crate::config::Protocol;
use crate::layout::*;
use crate::memory::GuestMemory;
use crate::memory::plain::Plain;
use crate::show::number;
use crate::sys::multiboot::*;
use alloc::vec;
use alloc::vec::Vec;
use core::ffi::CStr;

// SAFETY: made of integers without gaps.
unsafe impl Plain for multiboot_info {}

/// Requirements that this loader meets.
const KNOWN: u32 = MULTIBOOT_PAGE_ALIGN | MULTIBOOT_MEMORY_INFO;
/// The flags that are requirements.
const REQUIREMENTS: u32 = 0xffff;

/// Plans a Multiboot kernel; `None` where the file is none.
pub fn plan(file: &KernelFile) -> Result<Option<Plan>, Refusal> {
    let Some((at, header)) = find(file) else { return Ok(None) };
    if header.flags & MULTIBOOT_VIDEO_MODE != 0 {
        return Err(Refusal::Video);
    }
    if header.flags & REQUIREMENTS & !KNOWN != 0 {
        return Err(Refusal::UnknownFlags { flags: header.flags.into() });
    }
    let (entry, pieces) = if header.flags & MULTIBOOT_AOUT_KLUDGE != 0 {
        (header.entry_addr.into(), vec![piece(at, &header, file.size)?])
    } else {
        // A 64-bit file is no Multiboot kernel without addresses in its header; Linux may have such bytes by chance.
        if file.bytes(0) != Some(*b"\x7fELF\x01") {
            return Ok(None);
        }
        let elf = elf::read(file)?;
        (elf.entry, elf.pieces)
    };
    Ok(Some(Plan {
        protocol: Protocol::Multiboot,
        entry,
        pieces,
        end: 0,
        ram_end: 0,
        initrd_max: u64::MAX,
        // How much room is left in the page shows when it is made.
        command_line: PAGE_SIZE,
        header: None,
    }))
}

/// 3.1.3: what a header with addresses says is loaded.
fn piece(at: u64, header: &multiboot_header, file_size: u64) -> Result<Piece, Refusal> {
    let [place, load, load_end, bss_end] =
        [header.header_addr, header.load_addr, header.load_end_addr, header.bss_end_addr]
            .map(u64::from);
    let before_header = place.checked_sub(load).ok_or(Refusal::BadHeader)?;
    let from = at.checked_sub(before_header).ok_or(Refusal::BadHeader)?;
    let size = match load_end {
        0 => file_size - from,
        end => end.checked_sub(load).ok_or(Refusal::BadHeader)?,
    };
    Ok(Piece { from, size, to: load, room: bss_end.saturating_sub(load) })
}

/// 3.1.1: the header, and where it lies in the file.
fn find(file: &KernelFile) -> Option<(u64, multiboot_header)> {
    let mut bytes = vec![0; MULTIBOOT_SEARCH.min(file.size as usize)];
    if !(file.read)(0, &mut bytes) {
        return None;
    }
    let words: Vec<u32> =
        bytes.chunks_exact(MULTIBOOT_HEADER_ALIGN).map(|word| number(word) as u32).collect();
    let is_header = |word: &[u32]| {
        let sum = word.iter().fold(0, |sum: u32, &word| sum.wrapping_add(word));
        word[0] == MULTIBOOT_HEADER_MAGIC && sum == 0
    };
    let place = words.windows(3).position(is_header)?;
    // The addresses may lie behind the end of a short file, where they are zeros.
    let word = |index: usize| words.get(place + index).copied().unwrap_or(0);
    let header = multiboot_header {
        magic: word(0),
        flags: word(1),
        checksum: word(2),
        header_addr: word(3),
        load_addr: word(4),
        load_end_addr: word(5),
        bss_end_addr: word(6),
        entry_addr: word(7),
    };
    Some(((place * MULTIBOOT_HEADER_ALIGN) as u64, header))
}

/// A module: its name, where it begins, and its size.
#[derive(Clone, Copy, Debug)]
pub struct Module {
    pub name: &'static CStr,
    pub gpa: u64,
    pub size: u64,
}

/// The page of information: the structure, and behind it the memory map, the module list and all texts.
pub struct InfoPage {
    bytes: Vec<u8>,
    /// Where the command line lies, a guest-physical address.
    command_line: u64,
}

impl InfoPage {
    /// Makes the page. The command line begins with the kernel's path. Refused where it does not all fit.
    pub fn new(
        path: &CStr,
        command_line: &[u8],
        modules: &[Module],
        [low, high]: [u64; 2],
    ) -> Result<InfoPage, Refusal> {
        let bytes = vec![0; size_of::<multiboot_info>()];
        let mut page = InfoPage { bytes, command_line: 0 };
        let mut info = multiboot_info {
            flags: MULTIBOOT_INFO_MEMORY
                | MULTIBOOT_INFO_CMDLINE
                | MULTIBOOT_INFO_MODS
                | MULTIBOOT_INFO_MEM_MAP
                | MULTIBOOT_INFO_BOOT_LOADER_NAME,
            mem_lower: (LOW_END >> 10) as u32,
            mem_upper: (low.saturating_sub(MIB) >> 10) as u32,
            mmap_addr: page.end(),
            ..Default::default()
        };
        for (addr, len, usable) in memory_map(low, high) {
            let size = size_of::<multiboot_mmap_entry>() as u32 - 4;
            let r#type: u32 = if usable { 1 } else { 2 };
            for field in [&size.to_le_bytes()[..], &addr.to_le_bytes(), &len.to_le_bytes()] {
                page.bytes.extend_from_slice(field);
            }
            page.bytes.extend_from_slice(&r#type.to_le_bytes());
        }
        info.mmap_length = page.end() - info.mmap_addr;
        (info.mods_addr, info.mods_count) = (page.end(), modules.len() as u32);
        // The list comes before the names, which follow from its length.
        let mut name = page.end() + (modules.len() * size_of::<multiboot_mod_list>()) as u32;
        for module in modules {
            let (start, end) = (module.gpa as u32, (module.gpa + module.size) as u32);
            for field in [start, end, name, 0] {
                page.bytes.extend_from_slice(&field.to_le_bytes());
            }
            name += module.name.to_bytes_with_nul().len() as u32;
        }
        for module in modules {
            page.bytes.extend_from_slice(module.name.to_bytes_with_nul());
        }
        info.boot_loader_name = page.end();
        page.bytes.extend_from_slice(b"KOB-2M\0");
        info.cmdline = page.end();
        page.command_line = info.cmdline.into();
        for part in [path.to_bytes(), b" ", command_line, b"\0"] {
            page.bytes.extend_from_slice(part);
        }
        page.put_info(&info);
        match (page.bytes.len() as u64).checked_sub(PAGE_SIZE) {
            None | Some(0) => Ok(page),
            Some(excess) => Err(Refusal::InfoPage { excess }),
        }
    }

    /// The guest-physical address of the command line.
    pub fn command_line(&self) -> u64 {
        self.command_line
    }

    /// The guest-physical address behind what there is.
    fn end(&self) -> u32 {
        MULTIBOOT_INFO as u32 + self.bytes.len() as u32
    }

    fn put_info(&mut self, info: &multiboot_info) {
        // SAFETY: a structure of integers without gaps, seen as its bytes.
        let bytes: &[u8; size_of::<multiboot_info>()] = unsafe { &*(&raw const *info).cast() };
        self.bytes[..bytes.len()].copy_from_slice(bytes);
    }

    /// Writes the page to where EBX will point.
    pub fn write(&self, memory: &GuestMemory) -> Result<(), Error> {
        Ok(memory.write(MULTIBOOT_INFO, &self.bytes)?)
    }

    #[cfg(test)]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}
