//! What can be wrong with a command line, in words.

use crate::layout::MAX_VCPUS;
use crate::show::{OptionSize, Text};
use core::ffi::CStr;
use core::fmt;

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq)]
pub enum UsageError {
    /// A word that begins with a dash and is no option.
    UnknownOption(&'static CStr),
    /// The beginning of both of these options, at least.
    Ambiguous(&'static CStr, [&'static str; 2]),
    NoValue(&'static str),
    /// The option takes no value and has one: `--help=x`.
    UnwantedValue(&'static str),
    /// A second guest, and the first one.
    SecondImage(&'static CStr, &'static CStr),
    /// The option's value is not what it takes.
    BadValue {
        option: &'static str,
        value: &'static CStr,
        reason: Reason,
    },
    /// Not a multiple of 4 KiB.
    OddSize(u64),
    /// RAM ends where the image goes, or before.
    TooLittleRam {
        memory: u64,
        needed: u64,
    },
    OddBase(u64),
    /// RAM ends above the limit.
    RamTooHigh {
        memory: u64,
        base: u64,
        limit: u64,
    },
    /// `--load` or `--entry` is outside low RAM.
    OutsideRam {
        option: &'static str,
        address: u64,
        first: u64,
        last: u64,
    },
    /// RAM does not start at 0, and nobody said where the image goes.
    BaseWithoutLoad {
        base: u64,
        load: u64,
    },
    /// `--initrd` or `--append` without `--kernel`.
    NoKernel(&'static str),
    /// `--base` with a kernel.
    MovedKernel(u64),
    /// An option that a kernel's file decides.
    NotForKernel(&'static str),
    /// `--json` without anything that it could show.
    NothingAsJson,
}

/// What is wrong with an option's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    NotANumber,
    NotSeconds,
    Zero,
    TooLarge,
    /// More than [`MAX_VCPUS`].
    TooManyVcpus,
    /// Not one of these.
    NotOneOf(&'static str),
    NoSuchRegister,
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            UsageError::UnknownOption(word) => {
                write!(f, "{}: no such option", Text::from(word))
            }
            UsageError::Ambiguous(word, [one, other]) => {
                write!(f, "{}: could be {one} or {other}", Text::from(word))
            }
            UsageError::NoValue(option) => write!(f, "{option}: needs a value"),
            UsageError::UnwantedValue(option) => write!(f, "{option}: takes no value"),
            UsageError::SecondImage(word, first) => write!(
                f,
                "{}: only one guest can run: one IMAGE or one --kernel; {} is the first",
                Text::from(word),
                Text::from(first)
            ),
            UsageError::BadValue { option, value, reason } => {
                write!(f, "{option} {}: ", Text::from(value))?;
                match reason {
                    Reason::NotANumber => f.write_str("not a number such as 4096, 0x1000 or 16M"),
                    Reason::NotSeconds => f.write_str("not a number of seconds such as 6 or 0.25"),
                    Reason::Zero => f.write_str("must not be 0"),
                    Reason::TooLarge => f.write_str("does not fit in 64 bits"),
                    Reason::TooManyVcpus => {
                        write!(
                            f,
                            "at most {MAX_VCPUS}: an APIC id has 8 bits, and 255 is the broadcast id"
                        )
                    }
                    Reason::NotOneOf(these) => write!(f, "not one of {these}"),
                    Reason::NoSuchRegister => f.write_str(
                        "unknown register, or the value does not fit; an example: cs.type=3",
                    ),
                }
            }
            UsageError::OddSize(size) => {
                write!(f, "--memory {}: not a multiple of 4 KiB", OptionSize(size))?;
                match size {
                    // kvmtool and QEMU take a number of MiB.
                    1..4096 => write!(f, "\n  For {size} MiB: --memory {size}M"),
                    _ => Ok(()),
                }
            }
            UsageError::TooLittleRam { memory, needed } => write!(
                f,
                "--memory {}: too little for an image; needs at least {}",
                OptionSize(memory),
                OptionSize(needed)
            ),
            UsageError::OddBase(base) => write!(f, "--base {base:#x}: not a multiple of 4 KiB"),
            UsageError::RamTooHigh { memory, base, limit } => write!(
                f,
                "--memory {}, --base {base:#x}: RAM must end at {limit:#x} or below",
                OptionSize(memory)
            ),
            UsageError::OutsideRam { option, address, first, last } => {
                write!(f, "{option} {address:#x}: outside RAM, which is {first:#x} to {last:#x}")
            }
            UsageError::BaseWithoutLoad { base, load } => write!(
                f,
                "--base {base:#x}: address {load:#x}, where an image is loaded, is outside RAM\n  \
                 Add --load {:#x}",
                base + load
            ),
            UsageError::NoKernel(option) => write!(f, "{option}: only with --kernel"),
            UsageError::MovedKernel(base) => {
                write!(f, "--base {base:#x}: not with --kernel, whose RAM starts at 0")
            }
            UsageError::NotForKernel(option) => {
                write!(f, "{option}: not with --kernel: the kernel file determines it")
            }
            UsageError::NothingAsJson => f.write_str("--json: only with --stats or --check"),
        }
    }
}
