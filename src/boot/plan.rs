//! What is to be done with a kernel: [`format::plan`](crate::boot::format::plan) makes a [`Plan`] of its file, with nothing but
//! its bytes and the size of RAM. [`Kernel::load`](crate::boot::kernel::Kernel::load) carries it out.

use crate::config::Protocol;
use crate::layout::*;
use crate::show::{Amount, OptionSize};
use crate::sys::bootparam::setup_header;
use alloc::vec::Vec;
use core::fmt;

/// A stretch of the file, and where in RAM it goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Piece {
    /// The offset in the file.
    pub from: u64,
    /// How many bytes of the file.
    pub size: u64,
    /// The guest-physical address.
    pub to: u64,
    /// How many bytes are the kernel's there. Behind those of the file they are zeros.
    pub room: u64,
}

impl Piece {
    /// The guest-physical address behind it.
    pub fn end(&self) -> u64 {
        self.to.saturating_add(self.room.max(self.size))
    }
}

/// More than any kernel has.
pub const MAX_PIECES: usize = 16;

/// What is to be done with a kernel.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub protocol: Protocol,
    /// The guest-physical address of the first instruction.
    pub entry: u64,
    /// What is loaded.
    pub pieces: Vec<Piece>,
    /// Where the kernel ends in RAM.
    pub end: u64,
    /// Where RAM for kernel and initrds ends.
    pub ram_end: u64,
    /// An initrd must end below this address, because the kernel wants it.
    pub initrd_max: u64,
    /// The most bytes that a command line may have, without its zero.
    pub command_line: u64,
    /// Of Linux: the header of a bzImage, for the zero page.
    pub header: Option<setup_header>,
}

/// Why a kernel, or what goes with it, can't be run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Refusal {
    /// The file ends so many bytes too early.
    Truncated { missing: u64 },
    /// RAM must reach this address at least.
    TooLarge { ram_end: u64 },
    /// It is to be loaded where no RAM is free for it.
    Place { gpa: u64 },
    /// Two of its parts would lie at one address.
    Overlap { gpa: u64 },
    /// The first instruction is in none of its parts.
    Entry { gpa: u64 },
    /// ELF: more segments than [`MAX_PIECES`], or none.
    Segments { count: u64 },
    /// In no format that is known.
    UnknownFormat,
    /// It can't be entered in the way that the user wants.
    NotFor(Protocol),
    /// ELF: for another machine, or of another kind than this machine's programs are.
    NotOurs { machine: u64, is_64_bit: bool, is_big_endian: bool },
    /// ELF: an object file, a core dump, or the like.
    NotAProgram,
    /// Linux: a boot protocol older than 2.12.
    OldLinux { version: u64 },
    /// 32-bit code, and not Multiboot.
    Narrow,
    /// A header that contradicts itself.
    BadHeader,
    /// Multiboot: flags that ask for something unknown.
    UnknownFlags { flags: u64 },
    /// Multiboot: it asks for a video mode.
    Video,
    /// For the initrds or modules, RAM must reach this address at least.
    Initrd { ram_end: u64 },
    /// The initrds must end below this address, whatever RAM there is.
    InitrdLimit { limit: u64 },
    /// The command line has so many bytes too many.
    CommandLine { excess: u64 },
    /// Multiboot: command line and names of modules have so many bytes too many for the page of information.
    InfoPage { excess: u64 },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Refusal::Truncated { missing } => {
                write!(f, "the file is cut off: it lacks at least {}", Amount(missing))
            }
            Refusal::TooLarge { ram_end } => NeededRam { ram_end, what: "it" }.fmt(f),
            Refusal::Initrd { ram_end } => {
                NeededRam { ram_end, what: "with its --initrd files it" }.fmt(f)
            }
            Refusal::InitrdLimit { limit } => write!(
                f,
                "its --initrd files are too large: this kernel wants their end below {limit:#x}"
            ),
            Refusal::Place { gpa } => {
                write!(f, "it is linked for address {gpa:#x}, where no RAM is free\n  Link it at 1M or above")
            }
            Refusal::Overlap { gpa } => write!(f, "two of its segments overlap at {gpa:#x}"),
            Refusal::Entry { gpa } => {
                write!(f, "its first instruction, at {gpa:#x}, is in none of its segments")
            }
            Refusal::Segments { count } => {
                write!(f, "it has {count} segments; 1 to {MAX_PIECES} can be loaded")
            }
            Refusal::UnknownFormat => f.write_str(
                "not a bzImage, ELF or Multiboot kernel\n  \
                 Give raw code as IMAGE, without --kernel; --irqchip adds interrupt controllers",
            ),
            Refusal::NotFor(protocol) => {
                let lacks = match protocol {
                    Protocol::Linux => "it is no bzImage and no ELF file of 64 bits",
                    Protocol::Multiboot => "it has no Multiboot header",
                    Protocol::Pvh => "it is no ELF file with a PVH entry among its notes",
                };
                write!(f, "not for --protocol {}: {lacks}", protocol.name())
            }
            Refusal::NotOurs { machine, is_64_bit, is_big_endian } => {
                let bits = if is_64_bit { 64 } else { 32 };
                let order = if is_big_endian { " big-endian" } else { "" };
                write!(f, "an ELF file of {bits} bits{order} for {}", Machine(machine))?;
                f.write_str(", which this machine cannot run")
            }
            Refusal::NotAProgram => f.write_str("an ELF file, but not a program"),
            Refusal::OldLinux { version } => {
                write!(f, "boot protocol {}.{} is too old", version >> 8, version & 0xff)?;
                f.write_str("\n  Take Linux 3.8 or later")
            }
            Refusal::Narrow => f.write_str(
                "a kernel of 32 bits without a Multiboot header\n  Take one of 64 bits, or Multiboot",
            ),
            Refusal::BadHeader => f.write_str("its header contradicts itself"),
            Refusal::UnknownFlags { flags } => {
                write!(f, "its Multiboot header asks for something unknown: flags {flags:#x}")
            }
            Refusal::Video => f.write_str(
                "its Multiboot header asks for a video mode (flag 2), but this machine has no screen",
            ),
            Refusal::CommandLine { excess } => {
                write!(f, "--append is {excess} bytes too long for this kernel")
            }
            Refusal::InfoPage { excess } => write!(
                f,
                "--append and the paths of the kernel and its --initrd files are {excess} bytes too long together"
            ),
        }
    }
}

/// Says how much RAM is needed below the hole.
struct NeededRam {
    ram_end: u64,
    what: &'static str,
}

impl fmt::Display for NeededRam {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let &NeededRam { ram_end, what } = self;
        // A whole number of huge pages is right for each backing.
        match ram_end.checked_next_multiple_of(HUGE_PAGE) {
            Some(size) if size <= HOLE => {
                write!(f, "{what} needs at least --memory {}", OptionSize(size))
            }
            _ => write!(f, "{what} does not fit below {HOLE:#x}, where the hole begins"),
        }
    }
}

/// The name of an ELF machine.
struct Machine(u64);

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self.0 {
            2 | 18 | 43 => "SPARC",
            3 => "i386",
            8 => "MIPS",
            20 | 21 => "PowerPC",
            22 => "S390",
            40 => "ARM",
            62 => "x86-64",
            183 => "AArch64",
            243 => "RISC-V",
            258 => "LoongArch",
            other => return write!(f, "machine {other}"),
        })
    }
}

/// A kernel's file, or what stands for it in a test.
pub struct KernelFile<'a> {
    /// In bytes.
    pub size: u64,
    /// Reads bytes at an offset; `false` where the file does not have them all, or can't be read.
    pub read: &'a dyn Fn(u64, &mut [u8]) -> bool,
}

impl KernelFile<'_> {
    /// `N` bytes at an offset, if the file has them all.
    pub fn bytes<const N: usize>(&self, offset: u64) -> Option<[u8; N]> {
        let mut bytes = [0; N];
        (self.read)(offset, &mut bytes).then_some(bytes)
    }
}

impl Plan {
    /// Checks that all pieces lie in the file, and apart from each other in RAM below `ram_end`, where it is free.
    pub fn check(mut self, file_size: u64, ram_end: u64) -> Result<Plan, Refusal> {
        self.ram_end = ram_end;
        for (index, piece) in self.pieces.iter().enumerate() {
            let missing = piece.from.saturating_add(piece.size).saturating_sub(file_size);
            if missing > 0 {
                return Err(Refusal::Truncated { missing });
            }
            let end = piece.end();
            let is_low = piece.to >= LOADER_END && end <= LOW_END;
            if !is_low && piece.to < MIB {
                return Err(Refusal::Place { gpa: piece.to });
            }
            let mut before = self.pieces[..index].iter();
            if before.any(|other| piece.to < other.end() && other.to < end) {
                return Err(Refusal::Overlap { gpa: piece.to });
            }
        }
        self.end = self.pieces.iter().map(Piece::end).max().unwrap_or(0);
        // ACPI's tables lie below 1 MiB.
        let needed = self.end.max(MIB);
        if needed > ram_end {
            return Err(Refusal::TooLarge { ram_end: needed.saturating_add(TABLES) });
        }
        let holds_entry = |piece: &Piece| self.entry.wrapping_sub(piece.to) < piece.size;
        match self.pieces.iter().any(holds_entry) {
            true => Ok(self),
            false => Err(Refusal::Entry { gpa: self.entry }),
        }
    }

    /// The address below which initrds must end.
    pub fn initrd_limit(&self) -> u64 {
        self.ram_end.min(self.initrd_max)
    }

    /// Where initrds or modules go that have `total` bytes together. Linux takes them as one, as high as possible; modules
    /// follow the kernel.
    pub fn place(&self, total: u64) -> Result<u64, Refusal> {
        // What is reserved below 1 MiB has its own use.
        let first = self.end.next_multiple_of(PAGE_SIZE).max(MIB);
        let limit = self.initrd_limit();
        let room = limit.saturating_sub(first);
        if total > room {
            let end = first.saturating_add(total);
            return Err(match end > self.initrd_max {
                true => Refusal::InitrdLimit { limit: self.initrd_max },
                false => Refusal::Initrd { ram_end: end.saturating_add(TABLES) },
            });
        }
        Ok(match self.protocol {
            Protocol::Linux | Protocol::Pvh => (limit - total) & !(PAGE_SIZE - 1),
            Protocol::Multiboot => first,
        })
    }

    /// Where the next initrd or module begins if one ends at `end`.
    pub fn next(&self, end: u64) -> u64 {
        // Linux reads archives one behind the other, at multiples of four; and PVH passes all of them as one module. Each module of
        // Multiboot has pages of its own.
        let alignment = match self.protocol {
            Protocol::Linux | Protocol::Pvh => 4,
            Protocol::Multiboot => PAGE_SIZE,
        };
        end.saturating_add(alignment - 1) & !(alignment - 1)
    }
}

/// The memory map that a kernel is told: first address, size, and whether it may be used.
pub fn memory_map(low: u64, high: u64) -> impl Iterator<Item = (u64, u64, bool)> {
    [
        (0, LOW_END, true),
        (LOW_END, MIB - LOW_END, false),
        (MIB, low.saturating_sub(MIB), true),
        (PCI_ECAM, PCI_ECAM_SIZE, false),
        (HIGH, high, true),
    ]
    .into_iter()
    .filter(|&(first, size, _)| first != HIGH || size > 0)
}
