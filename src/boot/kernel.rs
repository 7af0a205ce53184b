//! A kernel, in whichever format: what the file says is looked at and checked first, with nothing but its bytes
//! and the size of RAM; what comes out is a [`Plan`]. Then the plan is carried out: the files are read straight into RAM.
//!
//! A file is an enemy here. Each number in it is checked against the file's size and against RAM before it is used, so that
//! nothing is ever read or written elsewhere: `tests/fuzz` tries.

use crate::boot::{elf, linux, multiboot};
use crate::layout::{HIGH, LOW_END, MIB, MULTIBOOT_INFO, PAGE_SIZE, TABLES};
use crate::words;
use crate::x86;

/// A stretch of the file, and where in RAM it goes.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Piece {
    /// The offset in the file.
    pub from: u64,
    /// How many bytes.
    pub size: u64,
    /// The guest-physical address.
    pub to: u64,
    /// How many bytes are the kernel's there: behind the file's, zeros.
    pub room: u64,
}

/// More than any kernel has.
pub const PIECES: usize = 16;

/// How a kernel is entered.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Protocol {
    /// Bytes that are code, as without a format.
    #[default]
    Flat,
    /// Linux' 64-bit boot protocol: `Documentation/arch/x86/boot.rst`, "64-bit Boot Protocol".
    Linux,
    /// Multiboot 0.6.96, 3.2.
    Multiboot,
}

/// What is to be done with a kernel. `Flat` has neither pieces nor entry.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    pub protocol: Protocol,
    /// The guest-physical address of the first instruction.
    pub entry: u64,
    pieces: [Piece; PIECES],
    count: usize,
    /// Where what the kernel needs for itself ends.
    pub end: u64,
    /// Below this, an initrd must end.
    pub initrd_limit: u64,
    /// The most bytes that a command line may have, without its zero.
    pub command_line: u64,
    /// Of Linux: whether the file has a `struct setup_header`.
    pub has_header: bool,
}

/// What is wrong with a kernel or what goes with it, in the order of the messages in [`crate::report`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum What {
    /// The file ends so many bytes too early.
    Truncated,
    /// RAM has so many bytes too few.
    TooLarge,
    /// It is to be loaded where no RAM is free for it: the address.
    Place,
    /// Two of its parts would lie at one address: it.
    Overlap,
    /// The first instruction is not in what was loaded: its address.
    Entry,
    /// ELF: more segments than [`PIECES`], or than the file has: how many.
    Segments,
    /// ELF, but for another machine, or not a program: the machine.
    NotOurs,
    /// Linux: a boot protocol older than 2.12: its version.
    OldLinux,
    /// Of 32 bits, and not Multiboot's.
    Narrow,
    /// Linux: a header that contradicts itself.
    BadHeader,
    /// Multiboot: the flags ask for something that there is not: those.
    Wants,
    /// The initrd or the modules: so many bytes too many.
    Initrd,
    /// The command line: likewise.
    CommandLine,
}

/// A kernel is refused: why, and the number that goes with it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Refused(pub What, pub u64);

/// Reads bytes at an offset; `false` where the file does not have them all.
pub type Read<'a> = &'a mut dyn FnMut(u64, &mut [u8]) -> bool;

/// Looks at a kernel's file of `size` bytes, for a machine whose RAM below the hole ends at `ram_end`. `plan` is
/// the default.
#[inline(never)]
pub fn plan(plan: &mut Plan, size: u64, read: Read, ram_end: u64) -> Result<(), Refused> {
    plan.initrd_limit = ram_end.saturating_sub(TABLES);
    let mut magic = [0; 4];
    let is_elf = read(0, &mut magic) && magic == *b"\x7fELF";
    if linux::plan(plan, size, read)? || multiboot::plan(plan, size, read)? {
    } else if is_elf {
        if !elf::pieces(plan, size, read)? {
            return Err(Refused(What::Narrow, 0));
        }
        linux::of_elf(plan);
    } else {
        return Ok(());
    }
    plan.check(size)
}

impl Plan {
    /// What is to be loaded.
    pub fn pieces(&self) -> &[Piece] {
        self.pieces.get(..self.count).unwrap_or_default()
    }

    /// One more.
    pub fn add(&mut self, piece: Piece) -> Result<(), Refused> {
        let place = self.pieces.get_mut(self.count);
        *place.ok_or(Refused(What::Segments, PIECES as u64 + 1))? = piece;
        self.count += 1;
        Ok(())
    }

    /// Whether all pieces lie in the file, and apart from each other in RAM, where it is free.
    fn check(&mut self, size: u64) -> Result<(), Refused> {
        let top = self.initrd_limit;
        for (index, piece) in self.pieces().iter().enumerate() {
            let missing = piece.from.saturating_add(piece.size).saturating_sub(size);
            if missing > 0 {
                return Err(Refused(What::Truncated, missing));
            }
            let end = piece.to.saturating_add(piece.room.max(piece.size));
            let low = piece.to >= MULTIBOOT_INFO + PAGE_SIZE && end <= LOW_END;
            if !low && piece.to < MIB {
                return Err(Refused(What::Place, piece.to));
            }
            if end > top {
                return Err(Refused(What::TooLarge, end - top));
            }
            let other = |other: &&Piece| {
                piece.to < other.to.saturating_add(other.room.max(other.size)) && other.to < end
            };
            if self.pieces().iter().take(index).any(|piece| other(&piece)) {
                return Err(Refused(What::Overlap, piece.to));
            }
        }
        for piece in self.pieces {
            self.end = self.end.max(piece.to + piece.room.max(piece.size));
        }
        match self.pieces().iter().any(|piece| self.entry.wrapping_sub(piece.to) < piece.size) {
            true => Ok(()),
            false => Err(Refused(What::Entry, self.entry)),
        }
    }

    /// Where initrds or modules go that together have so many bytes. Linux wants them as one, as high as may be; modules
    /// come behind the kernel.
    pub fn place(&self, total: u64) -> Result<u64, Refused> {
        // What is reserved below 1 MiB has its own use.
        let first = self.end.next_multiple_of(PAGE_SIZE).max(MIB);
        let room = self.initrd_limit.saturating_sub(first);
        if total > room {
            return Err(Refused(What::Initrd, total - room));
        }
        Ok(match self.protocol {
            Protocol::Linux => (self.initrd_limit - total) & !(PAGE_SIZE - 1),
            _ => first,
        })
    }

    /// Where the next one begins, behind one that ends here: modules each on a page of its own.
    pub fn next(&self, end: u64) -> u64 {
        // Linux reads archives one behind the other, at multiples of four.
        let last = if self.protocol == Protocol::Linux { 3 } else { PAGE_SIZE - 1 };
        end.saturating_add(last) & !last
    }
}

/// A little-endian number of `size` bytes in a part of the file that was read; 0 outside of it.
#[inline(never)]
pub fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    x86::number(bytes.get(at..at.saturating_add(size)).unwrap_or_default())
}

/// Puts a number there likewise.
#[inline(never)]
pub fn put(bytes: &mut [u8], at: usize, number: u64, size: usize) {
    words::put(bytes, at, number.to_le_bytes().get(..size).unwrap_or_default());
}

/// Tells a kernel of the ranges of RAM: the first address, the length, and its type: 1 may be used, 2 not.
pub fn map(low: u64, high: u64, tell: &mut dyn FnMut(u64, u64, u64)) {
    tell(0, LOW_END, 1);
    tell(LOW_END, MIB - LOW_END, 2);
    tell(MIB, low.saturating_sub(MIB), 1);
    if high > 0 {
        tell(HIGH, high, 1);
    }
}

#[cfg(test)]
#[path = "kernel_tests.rs"]
mod tests;
