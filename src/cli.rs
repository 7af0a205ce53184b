//! The command line.

use crate::config::*;
use crate::layout::{HIGH, PAGE_SIZE};
use crate::show::{Bytes, Text};
use crate::x86::registers::Setting;
use core::ffi::CStr;
use core::fmt;

/// What the user wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// To run a machine.
    Run(Config),
    /// To know whether such a machine would run.
    Check(Config),
    Help,
    Version,
}

/// The most vCPUs that any kernel allows; what this one allows, KVM says.
const MAX_CPUS: u64 = 4096;

/// What is wrong with a command line.
#[derive(Clone, Debug, PartialEq)]
pub enum UsageError {
    /// A word that begins with a dash and is no option.
    UnknownOption(&'static CStr),
    NoValue(&'static str),
    /// The option takes no value and has one: `--help=x`.
    UnwantedValue(&'static str),
    SecondImage(&'static CStr),
    /// The option's value is not what it takes.
    BadValue {
        option: &'static str,
        value: &'static CStr,
        reason: Reason,
    },
    /// Not a multiple of 4 KiB.
    OddSize(u64),
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
    /// `--initrd` or `--append` without `--kernel`.
    NoKernel(&'static str),
    /// `--base` with a kernel.
    MovedKernel(u64),
}

/// What is wrong with an option's value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Reason {
    NotANumber,
    Zero,
    TooLarge,
    /// More than this.
    TooMany(u64),
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
            UsageError::NoValue(option) => write!(f, "{option}: needs a value"),
            UsageError::UnwantedValue(option) => write!(f, "{option}: takes no value"),
            UsageError::SecondImage(word) => {
                write!(f, "{}: a second image", Text::from(word))
            }
            UsageError::BadValue { option, value, reason } => {
                write!(f, "{option} {}: ", Text::from(value))?;
                match reason {
                    Reason::NotANumber => {
                        f.write_str("not a number such as 4096, 0x1000, 16M, or for --pause 0.25")
                    }
                    Reason::Zero => f.write_str("must not be 0"),
                    Reason::TooLarge => f.write_str("more than 64 bits hold"),
                    Reason::TooMany(most) => write!(f, "at most {most}"),
                    Reason::NotOneOf(these) => write!(f, "not one of {these}"),
                    Reason::NoSuchRegister => {
                        f.write_str("not a register and a value that fits, such as cs.type=3")
                    }
                }
            }
            UsageError::OddSize(size) => {
                write!(f, "--memory {}: not a multiple of 4 KiB", Bytes(size))
            }
            UsageError::OddBase(base) => write!(f, "--base {base:#x}: not a multiple of 4 KiB"),
            UsageError::RamTooHigh { memory, base, limit } => write!(
                f,
                "--memory {}, --base {base:#x}: RAM must end at {limit:#x} or below",
                Bytes(memory)
            ),
            UsageError::OutsideRam { option, address, first, last } => {
                write!(f, "{option} {address:#x}: outside RAM, which is {first:#x} to {last:#x}")
            }
            UsageError::NoKernel(option) => write!(f, "{option}: without --kernel"),
            UsageError::MovedKernel(base) => {
                write!(f, "--base {base:#x}: must be 0 for a kernel")
            }
        }
    }
}

/// The options, each with its long name, its short one, and what it takes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Opt {
    Memory,
    Backing,
    Base,
    Load,
    Entry,
    Mode,
    Set,
    Pause,
    Kernel,
    Initrd,
    Append,
    Cpus,
    Reset,
    Irqchip,
    Trace,
    Step,
    Stats,
    DirtyLog,
    Replay,
    Check,
    Help,
    Version,
}

#[derive(Clone, Copy, PartialEq)]
enum Takes {
    Value,
    /// A value only where one is attached: `--trace=calls`.
    PerhapsValue,
    Nothing,
}

const OPTIONS: [(Opt, &str, Option<u8>, Takes); 22] = [
    (Opt::Memory, "--memory", Some(b'm'), Takes::Value),
    (Opt::Backing, "--backing", Some(b'b'), Takes::Value),
    (Opt::Base, "--base", None, Takes::Value),
    (Opt::Load, "--load", None, Takes::Value),
    (Opt::Entry, "--entry", None, Takes::Value),
    (Opt::Mode, "--mode", None, Takes::Value),
    (Opt::Set, "--set", None, Takes::Value),
    (Opt::Pause, "--pause", None, Takes::Value),
    (Opt::Kernel, "--kernel", None, Takes::Value),
    (Opt::Initrd, "--initrd", None, Takes::Value),
    (Opt::Append, "--append", None, Takes::Value),
    (Opt::Cpus, "--cpus", None, Takes::Value),
    (Opt::Reset, "--reset", None, Takes::Value),
    (Opt::Irqchip, "--irqchip", None, Takes::Nothing),
    (Opt::Trace, "--trace", None, Takes::PerhapsValue),
    (Opt::Step, "--step", None, Takes::Nothing),
    (Opt::Stats, "--stats", None, Takes::Nothing),
    (Opt::DirtyLog, "--dirty-log", None, Takes::Nothing),
    (Opt::Replay, "--replay", None, Takes::Nothing),
    (Opt::Check, "--check", None, Takes::Nothing),
    (Opt::Help, "--help", Some(b'h'), Takes::Nothing),
    (Opt::Version, "--version", Some(b'V'), Takes::Nothing),
];

/// Reads the words behind the program's name.
pub fn parse(mut words: impl Iterator<Item = &'static CStr>) -> Result<Command, UsageError> {
    let mut config = Config::default();
    let mut guest = None;
    let (mut entry, mut memory, mut pause) = (None, None, None);
    let mut is_check = false;
    let mut only_operands = false;
    while let Some(word) = words.next() {
        let bytes = word.to_bytes();
        if only_operands || bytes.first() != Some(&b'-') || bytes.len() == 1 {
            set_guest(&mut guest, Guest::Image(word), word)?;
            continue;
        }
        if bytes == b"--" {
            only_operands = true;
            continue;
        }
        let (option, name, takes, attached) =
            find_option(word).ok_or(UsageError::UnknownOption(word))?;
        let value = match (takes, attached) {
            (Takes::Value, Some(value)) | (Takes::PerhapsValue, Some(value)) => value,
            (Takes::Value, None) => words.next().ok_or(UsageError::NoValue(name))?,
            (Takes::Nothing, Some(_)) => return Err(UsageError::UnwantedValue(name)),
            (Takes::PerhapsValue | Takes::Nothing, None) => c"",
        };
        let bad = |reason| UsageError::BadValue { option: name, value, reason };
        let as_number = || number(value.to_bytes()).map_err(bad);
        let not_zero = || match as_number()? {
            0 => Err(bad(Reason::Zero)),
            number => Ok(number),
        };
        match option {
            Opt::Memory => memory = Some(not_zero()?),
            Opt::Backing => config.backing = backing(value),
            Opt::Base => config.base = as_number()?,
            Opt::Load => config.load = as_number()?,
            Opt::Entry => entry = Some(as_number()?),
            Opt::Mode => {
                let these = Reason::NotOneOf("real, protected, long, user");
                config.mode = mode(value).ok_or(bad(these))?;
            }
            Opt::Set => config.set.push(setting(value).map_err(bad)?),
            Opt::Pause => pause = Some(seconds(value.to_bytes()).map_err(bad)?),
            Opt::Kernel | Opt::Initrd if value.is_empty() => return Err(UsageError::NoValue(name)),
            Opt::Kernel => set_guest(&mut guest, Guest::Kernel(value), value)?,
            Opt::Initrd => config.initrds.push(value),
            Opt::Append => config.command_line = Some(value),
            Opt::Cpus => match not_zero()? {
                number if number > MAX_CPUS => return Err(bad(Reason::TooMany(MAX_CPUS))),
                number => config.cpus = number as u32,
            },
            Opt::Reset => {
                config.on_reset = match value.to_bytes() {
                    b"end" => OnReset::End,
                    b"restart" => OnReset::Restart,
                    _ => return Err(bad(Reason::NotOneOf("end, restart"))),
                };
            }
            Opt::Irqchip => config.irqchip = true,
            Opt::Trace => trace(&mut config.instruments, attached).map_err(bad)?,
            Opt::Step => config.instruments.step = true,
            Opt::Stats => config.instruments.stats = true,
            Opt::DirtyLog => config.instruments.dirty_log = true,
            Opt::Replay => config.instruments.replay = true,
            Opt::Check => is_check = true,
            Opt::Help => return Ok(Command::Help),
            Opt::Version => return Ok(Command::Version),
        }
    }
    config.guest = guest.unwrap_or(config.guest);
    config.entry = entry.unwrap_or(config.load);
    config.memory = memory.unwrap_or(Config::default_memory(config.guest));
    // A kernel does not pause after its lines, as a lesson does.
    let is_kernel = matches!(config.guest, Guest::Kernel(_));
    config.pause = pause.unwrap_or(if is_kernel { 0 } else { config.pause });
    check(&config)?;
    Ok(if is_check { Command::Check(config) } else { Command::Run(config) })
}

fn set_guest(guest: &mut Option<Guest>, new: Guest, word: &'static CStr) -> Result<(), UsageError> {
    match guest.replace(new) {
        None => Ok(()),
        Some(_) => Err(UsageError::SecondImage(word)),
    }
}

/// Splits `--name`, `--name=value`, `-n` and `-nvalue`.
fn find_option(word: &'static CStr) -> Option<(Opt, &'static str, Takes, Option<&'static CStr>)> {
    let bytes = word.to_bytes();
    let is_long = bytes.get(1) == Some(&b'-');
    let name_len = match is_long {
        true => bytes.iter().position(|&byte| byte == b'=').unwrap_or(bytes.len()),
        false => 2,
    };
    let is = |&(_, long, short, _): &(Opt, &str, Option<u8>, Takes)| match is_long {
        true => long.as_bytes() == &bytes[..name_len],
        false => short == Some(bytes[1]),
    };
    let (option, name, _, takes) = OPTIONS.into_iter().find(is)?;
    let attached = bytes.len() > name_len;
    let value = attached.then(|| tail(word, name_len + usize::from(is_long)));
    Some((option, name, takes, value))
}

/// A C string without its first `skip` bytes, of which it has as many.
fn tail(string: &'static CStr, skip: usize) -> &'static CStr {
    let bytes = &string.to_bytes_with_nul()[skip..];
    CStr::from_bytes_until_nul(bytes).unwrap_or(c"")
}

fn backing(value: &'static CStr) -> Backing {
    match value.to_bytes() {
        b"anon" => Backing::Anonymous,
        b"thp" => Backing::Transparent,
        b"memfd" => Backing::Memfd,
        _ => Backing::File(value),
    }
}

fn mode(value: &CStr) -> Option<Mode> {
    match value.to_bytes() {
        b"real" => Some(Mode::Real),
        b"protected" => Some(Mode::Protected),
        b"long" => Some(Mode::Long),
        b"user" => Some(Mode::User),
        _ => None,
    }
}

/// `name=value`.
fn setting(value: &'static CStr) -> Result<Setting, Reason> {
    let text = value.to_str().map_err(|_| Reason::NoSuchRegister)?;
    let (name, value) = text.split_once('=').ok_or(Reason::NoSuchRegister)?;
    Setting::new(name, number(value.as_bytes())?).ok_or(Reason::NoSuchRegister)
}

/// `calls`, `exits`, or both with a comma between them; both without a value.
fn trace(instruments: &mut Instruments, value: Option<&CStr>) -> Result<(), Reason> {
    let value = value.map_or(&b"calls,exits"[..], CStr::to_bytes);
    for part in value.split(|&byte| byte == b',') {
        match part {
            b"calls" => instruments.trace_calls = true,
            b"exits" => instruments.trace_exits = true,
            _ => return Err(Reason::NotOneOf("calls, exits, calls,exits")),
        }
    }
    Ok(())
}

/// Checks that it all fits together.
fn check(config: &Config) -> Result<(), UsageError> {
    let &Config { memory, base, load, entry, guest, .. } = config;
    if !base.is_multiple_of(PAGE_SIZE) {
        return Err(UsageError::OddBase(base));
    }
    if !memory.is_multiple_of(PAGE_SIZE) {
        return Err(UsageError::OddSize(memory));
    }
    if let Guest::Image(_) = guest {
        if config.command_line.is_some() {
            return Err(UsageError::NoKernel("--append"));
        }
        if !config.initrds.is_empty() {
            return Err(UsageError::NoKernel("--initrd"));
        }
    } else if base != 0 {
        return Err(UsageError::MovedKernel(base));
    }
    let limit = config.low_limit();
    if base >= limit || base.saturating_add(config.low_size()) > limit {
        return Err(UsageError::RamTooHigh { memory, base, limit });
    }
    // What does not fit below the hole lies above 4 GiB.
    if config.high_size() > ADDRESS_LIMIT - HIGH {
        return Err(UsageError::RamTooHigh { memory, base, limit: ADDRESS_LIMIT });
    }
    for (option, address) in [("--load", load), ("--entry", entry)] {
        if address < base || address >= config.low_end() {
            let (first, last) = (base, config.low_end() - 1);
            return Err(UsageError::OutsideRam { option, address, first, last });
        }
    }
    Ok(())
}

/// Guest-physical addresses have 52 bits at most.
const ADDRESS_LIMIT: u64 = 1 << 52;

/// Decimal, or hexadecimal behind `0x`; then perhaps K, M or G, for 2^10, 2^20 or 2^30.
fn number(text: &[u8]) -> Result<u64, Reason> {
    let (text, shift) = match text {
        [number @ .., b'k' | b'K'] => (number, 10),
        [number @ .., b'm' | b'M'] => (number, 20),
        [number @ .., b'g' | b'G'] => (number, 30),
        number => (number, 0),
    };
    let (digits, radix) = match text {
        [b'0', b'x' | b'X', digits @ ..] => (digits, 16),
        digits => (digits, 10),
    };
    whole(digits, radix)?.checked_mul(1 << shift).ok_or(Reason::TooLarge)
}

/// Digits and nothing else, at least one.
fn whole(digits: &[u8], radix: u32) -> Result<u64, Reason> {
    if digits.is_empty() {
        return Err(Reason::NotANumber);
    }
    // All digits are looked at, so that 99999999999999999999x is no number, and not one that is too large.
    let mut number = Some(0u64);
    for &byte in digits {
        let digit = char::from(byte).to_digit(radix).ok_or(Reason::NotANumber)?;
        number = number
            .and_then(|number| number.checked_mul(radix.into()))
            .and_then(|number| number.checked_add(digit.into()));
    }
    number.ok_or(Reason::TooLarge)
}

/// Nanoseconds of decimal seconds, perhaps with a fraction, of which nine digits count: `6`, `0.25`, `.5`. At most what 64
/// bits hold, 584 years.
fn seconds(text: &[u8]) -> Result<u64, Reason> {
    let (before, behind) = match text.iter().position(|&byte| byte == b'.') {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, &[][..]),
    };
    if before.is_empty() && behind.is_empty() {
        return Err(Reason::NotANumber);
    }
    // Without digits on one side of the point, that side is 0.
    let part = |digits: &[u8]| if digits.is_empty() { Ok(0) } else { whole(digits, 10) };
    let counted = &behind[..behind.len().min(9)];
    if behind.iter().any(|byte| !byte.is_ascii_digit()) {
        return Err(Reason::NotANumber);
    }
    let nanoseconds = part(counted)? * 10u64.pow(9 - counted.len() as u32);
    part(before)?
        .checked_mul(1_000_000_000)
        .and_then(|whole| whole.checked_add(nanoseconds))
        .ok_or(Reason::TooLarge)
}

/// `--help`.
pub struct Help<'a>(pub Text<'a>);

impl fmt::Display for Help<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let image = Text::from(DEFAULT_IMAGE);
        let backing = Text::from(DEFAULT_BACKING);
        write!(
            f,
            "\
Usage: {} [OPTIONS] [IMAGE]
Runs IMAGE (default {image}) in a KVM virtual machine:
one vCPU, RAM in huge pages, port 0x10 on standard output. Or a kernel, its
serial port on this terminal; Ctrl-A X leaves.

The machine:
  -m, --memory SIZE    RAM, default 16M; a multiple of the backing's page size
  -b, --backing WHAT   a file on hugetlbfs (default {backing}),
                       a character device (/dev/BiscuitOS), or one of
                       `memfd` 2 MiB pages without a mount
                       `thp`   anonymous memory in transparent huge pages
                       `anon`  anonymous memory in 4 KiB pages
      --base GPA       where the slot starts (default 0)
      --load GPA       where IMAGE goes (default 0x1000)
      --entry GPA      the first instruction (default: where IMAGE went)
      --mode MODE      the vCPU starts in real (default), protected, long or user mode
      --set REG=VALUE  and with this register: rax=1, cs.type=3
      --pause SECONDS  the pause after a newline (default 6)
A kernel (--memory is 256M then, --pause 0):
      --kernel FILE    a bzImage, a vmlinux, Multiboot; else as IMAGE
      --initrd FILE    for Linux, or a Multiboot module
      --append STRING  its command line (Linux: console=ttyS0)
      --cpus N         vCPUs
      --reset=restart  a reset starts it anew
      --irqchip        IMAGE has a kernel's board too
What it does, on standard error:
      --trace[=calls,exits]  each call, each exit
      --step           each instruction
      --stats          exits and KVM's statistics, at the end and on SIGUSR1
      --dirty-log      the pages written
      --replay         how a guest died, step by step
Instead of running:
      --check          what this host has, and whether it would start
  -h, --help   -V, --version

SIZE, GPA, VALUE: decimal, or hexadecimal with 0x; K, M, G: KiB, MiB, GiB.
Exit status: 0 the guest halted, switched off or reset; 1 the host or the program
failed; 2 the command line; 3 the guest died; 128+N signal N;
(V << 1) | 1 the guest wrote V to port 0xf4.
",
            self.0
        )
    }
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
