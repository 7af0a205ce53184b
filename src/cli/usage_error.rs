//! What can be wrong with a command line, in words.

use crate::config::FW_CFG_PREFIX;
use crate::host::clock::NANOSECONDS;
use crate::layout::MAX_VCPUS;
use crate::show::{OptionSize, Text};
use crate::sys::fw_cfg::FW_CFG_MAX_FILE_PATH;
use crate::x86::features;
use crate::x86::registers::WrongSetting;
use core::ffi::CStr;
use core::fmt;

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq)]
pub enum UsageError {
    /// A word that begins with a dash and is no option.
    UnknownOption(&'static CStr),
    /// The beginning of both of these options, at least.
    Ambiguous {
        word: &'static CStr,
        two: [&'static str; 2],
        are_more: bool,
    },
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
    OddSize {
        memory: u64,
        /// What would do.
        next: u64,
    },
    /// RAM ends where the image goes, or before.
    TooLittleRam {
        memory: u64,
        needed: u64,
    },
    OddBase(u64),
    /// RAM would begin where none can be.
    BaseTooHigh {
        base: u64,
        limit: u64,
    },
    /// RAM would reach further than it can from this base.
    TooMuchRam {
        memory: u64,
        base: u64,
        most: u64,
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
    /// Two items of fw_cfg with one name.
    SameName(&'static [u8]),
    /// An option that needs the board.
    NoBoard(&'static str),
    /// Several vCPUs without local APICs, by which they would start each other.
    NoApic(&'static str, u32),
    /// The kernel's interval timer without the kernel's 8259s.
    PitWithoutPic,
    /// A death that restarts the machine can't be replayed.
    ReplayOrReset,
    /// The debugger and this option both use single-step.
    DebuggerOr(&'static str),
    /// `--gdb-wait` without `--gdb`.
    NoDebugger,
    /// Both `--save` and `--save-ram`.
    SavedTwice,
    /// `--restore` with an option that the snapshot has already.
    NotWithRestore(&'static str),
    /// The words of a snapshot are no machine's.
    NoMachine,
    /// `--json` without anything that it could show.
    NothingAsJson,
    /// `--stats=live` with `--json`.
    LiveJson,
    /// `--trace-format timeline` without `--trace-file`.
    TimelineWithoutFile,
    /// `--trace-format timeline` with `--step`.
    StepsOnTimeline,
    /// There is no such lesson.
    NoLesson(&'static CStr),
    /// An option that a lesson does not take.
    NotForALesson(&'static str),
}

/// What is wrong with an option's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    NotANumber,
    NotSeconds,
    Zero,
    TooLarge,
    /// More seconds than 64 bits of nanoseconds have.
    TooLong,
    /// More than [`MAX_VCPUS`].
    TooManyVcpus,
    /// Not one of these.
    NotOneOf(&'static str),
    /// Without `=`.
    NotASetting,
    Setting(WrongSetting),
    /// No feature of a processor has this name.
    NoSuchFeature(&'static [u8]),
    /// The local APIC has an option of its own.
    OptionForApic,
    /// Nothing stands between two commas.
    EmptyPart,
    /// This part of a processor's description means nothing.
    NotACpu(&'static [u8]),
    /// More kHz than fit into 32 bits.
    TooFast,
    /// Neither a path nor a port of the loopback interface.
    NotALocalAddress,
    /// Not NAME=FILE.
    NotAnItem,
    /// The name of an item is longer than fw_cfg allows.
    LongName,
}

/// The option that this word would be a value of, behind `=`.
fn option_of_value(word: &CStr) -> Option<&'static str> {
    match word.to_bytes() {
        b"calls" | b"exits" | b"calls,exits" => Some("--trace"),
        b"live" | b"end" => Some("--stats"),
        _ => None,
    }
}

impl fmt::Display for UsageError {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            UsageError::UnknownOption(word) => {
                write!(f, "{}: no such option", Text::from(word))
            }
            UsageError::Ambiguous { word, two: [one, other], are_more } => {
                let word = Text::from(word);
                match are_more {
                    false => write!(f, "{word}: could be {one} or {other}"),
                    true => write!(f, "{word}: could be {one}, {other}, ..."),
                }
            }
            UsageError::NoValue(option) => write!(f, "{option}: needs a value"),
            UsageError::UnwantedValue(option) => write!(f, "{option}: takes no value"),
            UsageError::SecondImage(word, first) => {
                write!(
                    f,
                    "{}: only one guest can run: one IMAGE or one --kernel; {} is the first",
                    Text::from(word),
                    Text::from(first)
                )?;
                // Where the `=` was forgotten.
                let forgotten =
                    [word, first].into_iter().find_map(|word| Some((option_of_value(word)?, word)));
                match forgotten {
                    Some((option, value)) => write!(f, "\n  Or {option}={}", Text::from(value)),
                    None => Ok(()),
                }
            }
            UsageError::BadValue { option, value, reason } => {
                // Their value is optional, and so can't be the next word.
                let between = if matches!(option, "--trace" | "--stats") { '=' } else { ' ' };
                write!(f, "{option}{between}{}: ", Text::from(value))?;
                match reason {
                    Reason::NotANumber if option == "--cpus" => {
                        f.write_str("not a number such as 1 or 4")
                    }
                    Reason::NotANumber => f.write_str("not a number such as 4096, 0x1000 or 16M"),
                    Reason::NotSeconds => f.write_str("not a number of seconds such as 6 or 0.25"),
                    Reason::Zero => f.write_str("must not be 0"),
                    Reason::TooLarge => f.write_str("does not fit in 64 bits"),
                    Reason::TooLong => write!(f, "at most {} seconds", u64::MAX / NANOSECONDS),
                    Reason::TooManyVcpus => {
                        write!(
                            f,
                            "at most {MAX_VCPUS}: an APIC id has 8 bits, and 255 is the broadcast id"
                        )
                    }
                    Reason::NotOneOf(these) => {
                        write!(f, "not one of {}", these.trim_end_matches(", "))
                    }
                    Reason::NotASetting => f.write_str("not REG=VALUE; an example: cs.type=3"),
                    Reason::NoSuchFeature(name) => {
                        let made_of = features::made_of(name);
                        let name = Text(name);
                        match made_of {
                            Some(of) => write!(
                                f,
                                "{name} has no bit of its own: Linux makes it of one of these: {of}"
                            ),
                            None => {
                                write!(f, "no feature is called {name}\n  --cpu help lists them")
                            }
                        }
                    }
                    Reason::OptionForApic => f.write_str(
                        "the APIC bit follows the local APIC\n  Switch that off with --no-apic",
                    ),
                    Reason::EmptyPart => {
                        f.write_str("something is missing between its commas, or behind + or -")
                    }
                    Reason::NotACpu(part) => write!(
                        f,
                        "{} means nothing\n  First host, max or baseline; then +FEATURE, -FEATURE, vendor= (1 to 12 characters of ASCII), \
                         family= (up to 270), model= (255), stepping= (15), brand= (1 to 48)",
                        Text(part)
                    ),
                    Reason::TooFast => f.write_str("does not fit in 32 bits"),
                    Reason::NotALocalAddress => f.write_str(
                        "not a path such as /tmp/gdb, or a port of this host such as :1234",
                    ),
                    Reason::NotAnItem => {
                        f.write_str("not NAME=FILE; an example: org.example/seed=seed.bin")
                    }
                    Reason::LongName => {
                        let prefix = Text(FW_CFG_PREFIX);
                        let most = FW_CFG_MAX_FILE_PATH - 1 - FW_CFG_PREFIX.len();
                        write!(f, "NAME may have at most {most} bytes ({prefix} is put before it)")
                    }
                    Reason::Setting(WrongSetting::NoSuchRegister) => {
                        f.write_str("no such register; --help lists them")
                    }
                    Reason::Setting(WrongSetting::TooLarge) => {
                        f.write_str("the value has more bits than the register")
                    }
                }
            }
            UsageError::OddSize { memory, next } => {
                write!(f, "--memory {}: not a multiple of 4 KiB\n  ", OptionSize(memory))?;
                match memory {
                    // kvmtool and QEMU take a number of MiB.
                    1..4096 => write!(f, "For {memory} MiB: --memory {memory}M"),
                    _ => write!(f, "Next: --memory {}", OptionSize(next)),
                }
            }
            UsageError::TooLittleRam { memory, needed } => write!(
                f,
                "--memory {}: too little for an image; needs at least {}",
                OptionSize(memory),
                OptionSize(needed)
            ),
            UsageError::OddBase(base) => write!(f, "--base {base:#x}: not a multiple of 4 KiB"),
            UsageError::BaseTooHigh { base, limit } => {
                write!(f, "--base {base:#x}: RAM must begin below {limit:#x}")
            }
            UsageError::TooMuchRam { memory, base, most } => write!(
                f,
                "--memory {}: too much; from --base {base:#x} on at most {}",
                OptionSize(memory),
                OptionSize(most)
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
            UsageError::SameName(name) => {
                write!(f, "--fw-cfg {}: this name was given before", Text(name))
            }
            UsageError::NoBoard(option) => {
                write!(f, "{option}: only with --kernel, --irqchip or more --cpus")
            }
            UsageError::NoApic(option, cpus) => write!(
                f,
                "{option}: not with --cpus {cpus}: processors start each other by their local APICs"
            ),
            UsageError::PitWithoutPic => f.write_str(
                "--pit kernel: only with --irqchip full: KVM's interval timer needs KVM's 8259s",
            ),
            UsageError::ReplayOrReset => f.write_str(
                "--replay: not with --reset=restart or cold: a guest that dies starts again there",
            ),
            UsageError::DebuggerOr(option) => {
                write!(f, "--gdb: not with {option}: a debugger steps by itself")
            }
            UsageError::NoDebugger => f.write_str("--gdb-wait: only with --gdb"),
            UsageError::SavedTwice => {
                f.write_str("--save: not with --save-ram: one file is written")
            }
            UsageError::NotWithRestore(option) => write!(
                f,
                "{option}: not with --restore: the snapshot says what the machine is\n  \
                 --backing and the instruments may be given"
            ),
            UsageError::NoMachine => f.write_str("the snapshot's options are not those of a run"),
            UsageError::NothingAsJson => f.write_str("--json: only with --stats or --check"),
            UsageError::LiveJson => {
                f.write_str("--stats=live: a screen for people; take --stats with --json")
            }
            UsageError::TimelineWithoutFile => f.write_str(
                "--trace-format timeline: only with --trace-file FILE, which a browser then reads",
            ),
            UsageError::StepsOnTimeline => {
                f.write_str("--step: its lines are no events of --trace-format timeline")
            }
            UsageError::NoLesson(name) => write!(
                f,
                "--lesson {}: no such lesson\n  --lesson list lists them",
                Text::from(name)
            ),
            UsageError::NotForALesson(option) => {
                write!(
                    f,
                    "{option}: a lesson has its own machine; --trace and --trace-file are all it takes"
                )
            }
        }
    }
}
