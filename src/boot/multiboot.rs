//! Multiboot, version 0.6.96: kernels that a header within the file's first 8 KiB describes, entered in 32-bit
//! protected mode without paging. The numbers of its sections are those of the specification.

use crate::boot::elf;
use crate::boot::files::Initrd;
use crate::boot::kernel::{Piece, Plan, Protocol, Read, Refused, What, map, number, put};
use crate::cli::Options;
use crate::error::Error;
use crate::layout::*;
use crate::memory::Memory;
use crate::words;

/// 3.1.2: the header's magic number.
const HEADER_MAGIC: u64 = 0x1bad_b002;
/// 3.2: what EAX holds when the kernel starts.
pub const MAGIC: u64 = 0x2bad_b002;
/// How much of the file is searched.
const SEARCHED: usize = 8192;
/// Flags of the header: requirements that we know (pages for modules, memory, and the screen, of which we say nothing),
/// and that the header has addresses.
const KNOWN: u64 = 0x7;
const REQUIRED: u64 = 0xffff;
const ADDRESSES: u64 = 1 << 16;

// 3.3: flags of the information, and what they stand for: memory, command line, modules, memory map, loader's name.
const FLAGS: u64 = 1 << 0 | 1 << 2 | 1 << 3 | 1 << 6 | 1 << 9;
const INFO: usize = 88;
const MEM_LOWER: usize = 4;
const MEM_UPPER: usize = 8;
const CMDLINE: usize = 16;
const MODS_COUNT: usize = 20;
const MODS_ADDR: usize = 24;
const MMAP_LENGTH: usize = 44;
const MMAP_ADDR: usize = 48;
const BOOT_LOADER_NAME: usize = 64;
const MODULE: usize = 16;
const RANGE: usize = 24;

/// Plans a Multiboot kernel; `false` where the file is none.
#[inline(never)]
pub fn plan(plan: &mut Plan, size: u64, read: Read) -> Result<bool, Refused> {
    let mut header = [0; 32];
    let Some(at) = find(&mut header, size, read) else { return Ok(false) };
    let word = |index: usize| number(&header, 4 * index, 4);
    let flags = word(1);
    if flags & REQUIRED & !KNOWN != 0 {
        return Err(Refused(What::Wants, flags));
    }
    if flags & ADDRESSES != 0 {
        // 3.1.3.
        let [place, load, load_end, bss_end, entry] = [3, 4, 5, 6, 7].map(word);
        let from = at.checked_sub(place.wrapping_sub(load));
        let from = from.filter(|_| load <= place).ok_or(Refused(What::BadHeader, 0))?;
        let size = match load_end {
            0 => size - from,
            end => end.checked_sub(load).ok_or(Refused(What::BadHeader, 0))?,
        };
        plan.add(Piece { from, size, to: load, room: bss_end.saturating_sub(load) })?;
        plan.entry = entry;
    } else {
        let mut class = [0; 5];
        // Of 64 bits it is no Multiboot kernel but by its addresses; Linux may have such bytes by chance.
        if !read(0, &mut class) || class != *b"\x7fELF\x01" {
            return Ok(false);
        }
        elf::pieces(plan, size, read)?;
    }
    plan.protocol = Protocol::Multiboot;
    // What is left of the page shows when it is written.
    plan.command_line = PAGE_SIZE;
    Ok(true)
}

/// 3.1.1: the header, at a multiple of four. Gives where.
#[inline(never)]
fn find(header: &mut [u8; 32], size: u64, read: Read) -> Option<u64> {
    let mut bytes = [0; SEARCHED];
    let len = (size as usize).min(SEARCHED);
    let bytes = bytes.get_mut(..len).filter(|_| size >= 12)?;
    if !read(0, bytes) {
        return None;
    }
    let at = (0..len).step_by(4).find(|&at| {
        let [magic, flags, sum] = [0, 4, 8].map(|field| number(bytes, at + field, 4));
        magic == HEADER_MAGIC && (magic + flags + sum) & 0xffff_ffff == 0
    })?;
    let rest = bytes.get(at..)?;
    words::put(header, 0, rest.get(..32).unwrap_or(rest));
    Some(at as u64)
}

/// The page of information under construction.
struct Page {
    bytes: [u8; PAGE_SIZE as usize],
    len: usize,
}

impl Page {
    fn word(&mut self, at: usize, value: u64) {
        put(&mut self.bytes, at, value, 4);
    }

    /// Appends bytes, and gives the address of the first. What is behind the page's end only counts.
    #[inline(never)]
    fn append(&mut self, bytes: &[u8]) -> u64 {
        let at = self.len;
        self.len += bytes.len();
        words::put(&mut self.bytes, at, bytes);
        MULTIBOOT_INFO + at as u64
    }

    /// Appends a text and its zero.
    fn text(&mut self, text: &[u8]) -> u64 {
        let at = self.append(text);
        self.len += 1;
        at
    }
}

/// Writes the page of information. Refused where it does not fit.
#[inline(never)]
pub fn write(
    memory: &Memory,
    options: &Options,
    [low, high]: [u64; 2],
    modules: &[Initrd],
) -> Result<Result<(), Refused>, Error> {
    let mut page = Page { bytes: [0; PAGE_SIZE as usize], len: INFO };
    map(low, high, &mut |start, length, kind| {
        let at = page.len;
        page.word(at, RANGE as u64 - 4);
        put(&mut page.bytes, at + 4, start, 8);
        put(&mut page.bytes, at + 12, length, 8);
        page.word(at + 20, kind);
        page.len += RANGE;
    });
    let modules_at = page.len;
    page.word(MMAP_LENGTH, (modules_at - INFO) as u64);
    page.word(MMAP_ADDR, MULTIBOOT_INFO + INFO as u64);
    page.word(MODS_ADDR, MULTIBOOT_INFO + modules_at as u64);
    let count = options.initrds().count();
    page.word(MODS_COUNT, count as u64);
    page.len += MODULE * count;
    for ((path, module), at) in options.initrds().zip(modules).zip((modules_at..).step_by(MODULE)) {
        let name = page.text(path.to_bytes());
        page.word(at, module.at);
        page.word(at + 4, module.at + module.size);
        page.word(at + 8, name);
    }
    let name = page.text(b"KOB-2M");
    page.word(BOOT_LOADER_NAME, name);
    let line = page.append(options.image().to_bytes());
    page.append(b" ");
    page.text(options.command_line(Protocol::Multiboot));
    page.word(CMDLINE, line);
    page.word(0, FLAGS);
    page.word(MEM_LOWER, LOW_END >> 10);
    page.word(MEM_UPPER, low.saturating_sub(MIB) >> 10);
    if page.len > page.bytes.len() {
        let by = page.len - page.bytes.len();
        return Ok(Err(Refused(What::CommandLine, by as u64)));
    }
    memory.write(MULTIBOOT_INFO, &page.bytes).map(Ok)
}
