//! `--map`: guest RAM as a picture of characters: which pages the host has, and of which size. The host's side comes from
//! `/proc/self/pagemap` and `/proc/kpageflags` (Documentation/admin-guide/mm/pagemap.rst); what KVM maps of it, its statistics say.

use crate::host::fd::Fd;
use crate::host::syscall::CallError;
use crate::layout::PAGE_SIZE;
use crate::memory::GuestMemory;
use crate::memory::plain::bytes_of_mut;
use crate::show::Bytes;
use core::fmt;

/// Characters in a row, and rows at most.
const COLUMNS: u64 = 64;
const ROWS: u64 = 16;

/// A page of 2 MiB has so many of 4 KiB.
const PAGES_OF_LARGE: u64 = (2 << 20) / PAGE_SIZE;

// An entry of pagemap: the page is there, and its frame's number, which only root is told.
const PRESENT: u64 = 1 << 63;
const FRAME: u64 = (1 << 55) - 1;

// A frame's flags: it is the first part of a compound page, or another part; and it is a part of a transparent huge page, of 2 MiB or
// smaller.
const KPF_COMPOUND_HEAD: u64 = 1 << 15;
const KPF_COMPOUND_TAIL: u64 = 1 << 16;
const KPF_THP: u64 = 1 << 22;

/// What a character stands for.
#[derive(Clone, Copy, Default)]
struct Cell {
    /// Pages of 4 KiB of it that the host has, and how many of them are parts of larger ones.
    present: u64,
    in_large: u64,
}

impl Cell {
    fn character(self, pages: u64) -> char {
        match (self.present, self.in_large) {
            (0, _) => '.',
            (present, large) if large == present && present == pages => '#',
            (present, large) if large == present => '+',
            (present, 0) if present == pages => '=',
            (_, 0) => '-',
            _ => '%',
        }
    }
}

/// The host's page map of this process.
struct PageMap {
    pages: Fd,
    /// `None`: only root may read it.
    flags: Option<Fd>,
}

impl PageMap {
    fn open() -> Result<PageMap, CallError> {
        let open = |path| Fd::open(path, libc::O_RDONLY, 0);
        Ok(PageMap { pages: open(c"/proc/self/pagemap")?, flags: open(c"/proc/kpageflags").ok() })
    }

    /// The entries of the pages of 4 KiB from a host-virtual address on. Past the file's end there are no pages.
    fn read(&self, address: u64, entries: &mut [u64]) -> Result<(), CallError> {
        entries.fill(0);
        self.pages.read_at(address / PAGE_SIZE * 8, bytes_of_mut(entries)).map(drop)
    }

    /// Whether a frame belongs to a transparent huge page of 2 MiB. A smaller one would end before the middle of these 2 MiB.
    fn is_huge(&self, entry: u64) -> bool {
        let frame = entry & FRAME;
        let first = frame - frame % PAGES_OF_LARGE;
        frame != 0
            && self.has_flags(first, KPF_THP | KPF_COMPOUND_HEAD)
            && self.has_flags(first + PAGES_OF_LARGE / 2, KPF_THP | KPF_COMPOUND_TAIL)
    }

    fn has_flags(&self, frame: u64, wanted: u64) -> bool {
        let mut flags = [0u64];
        let Some(file) = &self.flags else { return false };
        file.read_at(frame * 8, bytes_of_mut(&mut flags)).is_ok() && flags[0] & wanted == wanted
    }
}

/// The picture.
pub struct RamMap<'a>(pub &'a GuestMemory);

impl fmt::Display for RamMap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let memory = self.0;
        let cell_size = (memory.size() / (COLUMNS * ROWS)).next_power_of_two().max(PAGE_SIZE);
        let map = match PageMap::open() {
            Ok(map) => map,
            Err(error) => return write!(f, "--map: open /proc/self/pagemap: {}", error.errno),
        };
        write!(f, "guest RAM, {}, {} a character:", Bytes(memory.size()), Bytes(cell_size))?;
        let is_in_large_pages = memory.ram().page_size.is_some_and(|size| size > PAGE_SIZE);
        for region in memory.regions() {
            let address = memory.host_address(region);
            for row in 0..region.size.div_ceil(cell_size * COLUMNS) {
                write!(f, "\n  {:#012x} ", region.gpa + row * COLUMNS * cell_size)?;
                for column in 0..COLUMNS {
                    let offset = (row * COLUMNS + column) * cell_size;
                    let size = region.size.saturating_sub(offset).min(cell_size);
                    if size == 0 {
                        break;
                    }
                    let Ok(mut cell) = cell(&map, address + offset, size) else {
                        return f.write_str(" can't be read");
                    };
                    if is_in_large_pages {
                        cell.in_large = cell.present;
                    }
                    write!(f, "{}", cell.character(size / PAGE_SIZE))?;
                }
            }
        }
        f.write_str(
            "\n  # in pages of 2 MiB or more   = in pages of 4 KiB   . not in the host's RAM\n  \
             + partly there, in large pages   - partly there, in pages of 4 KiB   % both",
        )?;
        match map.flags {
            None if !is_in_large_pages => f.write_str(
                "\n  Without root, large pages can't be told apart: = and - stand for them too",
            ),
            _ => Ok(()),
        }
    }
}

/// What the host has of `size` bytes from a host-virtual address on.
fn cell(map: &PageMap, address: u64, size: u64) -> Result<Cell, CallError> {
    let mut cell = Cell::default();
    let mut is_huge = false;
    let mut entries = [0; PAGES_OF_LARGE as usize];
    let mut page = 0;
    while page < size / PAGE_SIZE {
        let count = (size / PAGE_SIZE - page).min(PAGES_OF_LARGE);
        let entries = &mut entries[..count as usize];
        map.read(address + page * PAGE_SIZE, entries)?;
        for (page, entry) in (address / PAGE_SIZE + page..).zip(entries.iter().copied()) {
            if entry & PRESENT == 0 {
                is_huge = false;
                continue;
            }
            // All parts of a page of 2 MiB are alike: its first one is asked for, or the first that is in this cell.
            if cell.present == 0 || page.is_multiple_of(PAGES_OF_LARGE) {
                is_huge = map.is_huge(entry);
            }
            cell.present += 1;
            cell.in_large += u64::from(is_huge);
        }
        page += count;
    }
    Ok(cell)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Backing;

    #[test]
    fn a_character_says_what_is_there() {
        let shown = |present, in_large| Cell { present, in_large }.character(4);
        assert_eq!([shown(0, 0), shown(4, 4), shown(2, 2)], ['.', '#', '+']);
        assert_eq!([shown(4, 0), shown(1, 0), shown(4, 2)], ['=', '-', '%']);
    }

    #[test]
    fn what_was_touched_is_on_the_picture() {
        let memory = GuestMemory::map(Backing::Anonymous, &[(0, 4 << 20)]).unwrap();
        memory.write(0, &[1]).unwrap();
        memory.write((4 << 20) - 1, &[1]).unwrap();
        let picture = RamMap(&memory).to_string();
        let rows: Vec<&str> = picture.lines().collect();
        assert_eq!(rows[0], "guest RAM, 4 MiB, 4 KiB a character:");
        assert_eq!(rows[1], format!("  0x0000000000 ={}", ".".repeat(63)));
        assert_eq!(rows[2], format!("  0x0000040000 {}", ".".repeat(64)));
        assert_eq!(rows[16], format!("  0x00003c0000 {}=", ".".repeat(63)));
    }
}
