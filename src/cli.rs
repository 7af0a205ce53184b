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
                write!(f, "{}: no such option", Text(word.to_bytes()))
            }
            UsageError::NoValue(option) => write!(f, "{option}: needs a value"),
            UsageError::UnwantedValue(option) => write!(f, "{option}: takes no value"),
            UsageError::SecondImage(word) => {
                write!(f, "{}: a second image", Text(word.to_bytes()))
            }
            UsageError::BadValue { option, value, reason } => {
                write!(f, "{option} {}: ", Text(value.to_bytes()))?;
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
        let image = Text(DEFAULT_IMAGE.to_bytes());
        let backing = Text(DEFAULT_BACKING.to_bytes());
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
mod tests {
    use super::*;
    use crate::layout::RAM_LIMIT;

    fn parsed(words: &[&'static CStr]) -> Result<Command, UsageError> {
        parse(words.iter().copied())
    }

    fn config(words: &[&'static CStr]) -> Config {
        match parsed(words) {
            Ok(Command::Run(config)) => config,
            other => panic!("{words:?}: {other:?}"),
        }
    }

    fn wrong(words: &[&'static CStr]) -> String {
        parsed(words).unwrap_err().to_string()
    }

    #[test]
    fn without_words_it_is_kob_2m() {
        assert_eq!(config(&[]), Config::default());
        let kob = Config::default();
        assert_eq!((kob.memory, kob.base, kob.load, kob.entry), (16 << 20, 0, 0x1000, 0x1000));
        assert_eq!(kob.backing, Backing::File(c"/mnt/HugePagefs/BiscuitOS_HugePage"));
        assert_eq!(kob.guest, Guest::Image(c"/usr/bin/firmware/_BiscuitOS-VM.iso"));
        assert_eq!((kob.pause, kob.mode), (6_000_000_000, Mode::Real));
    }

    #[test]
    fn instruments_are_asked_for_one_by_one() {
        let none = Instruments::default();
        let both = Instruments { trace_calls: true, trace_exits: true, ..none };
        for (word, instruments) in [
            (c"--trace", both),
            (c"--trace=exits,calls", both),
            (c"--trace=calls", Instruments { trace_calls: true, ..none }),
            (c"--trace=exits", Instruments { trace_exits: true, ..none }),
            (c"--step", Instruments { step: true, ..none }),
            (c"--stats", Instruments { stats: true, ..none }),
            (c"--dirty-log", Instruments { dirty_log: true, ..none }),
            (c"--replay", Instruments { replay: true, ..none }),
        ] {
            assert_eq!(config(&[word]).instruments, instruments, "{word:?}");
        }
        assert_eq!(config(&[c"--trace", c"image"]).guest, Guest::Image(c"image"));
        assert!(matches!(parsed(&[c"--check", c"x"]), Ok(Command::Check(_))));
    }

    #[test]
    fn modes_registers_and_backings() {
        for (name, mode) in [
            (c"real", Mode::Real),
            (c"protected", Mode::Protected),
            (c"long", Mode::Long),
            (c"user", Mode::User),
        ] {
            assert_eq!(config(&[c"--mode", name]).mode, mode);
        }
        let set = config(&[c"--set", c"rax=1", c"--set=cs.type=0x3"]).set;
        let settings = [Setting::new("rax", 1).unwrap(), Setting::new("cs.type", 3).unwrap()];
        assert_eq!(set, settings);
        for text in [c"rax", c"=1", c"", c"rbx.base=1", c"cs=1", c"cs.type=16", c"\xff=1"] {
            assert!(wrong(&[c"--set", text]).contains("not a register"));
        }
        assert!(wrong(&[c"--set", c"rax="]).contains("not a number"));
        for (name, backing) in [
            (c"anon", Backing::Anonymous),
            (c"thp", Backing::Transparent),
            (c"memfd", Backing::Memfd),
            (c"/x=y", Backing::File(c"/x=y")),
            (c"", Backing::File(c"")),
        ] {
            assert_eq!(config(&[c"--backing", name]).backing, backing);
        }
    }

    #[test]
    fn a_value_may_follow_or_be_attached() {
        for words in [&[c"-m", c"2M"][..], &[c"-m2M"], &[c"--memory", c"2M"], &[c"--memory=2M"]] {
            assert_eq!(config(words).memory, 2 << 20, "{words:?}");
        }
        assert_eq!(config(&[c"-b=x"]).backing, Backing::File(c"=x"));
    }

    #[test]
    fn a_kernel_has_defaults_of_its_own() {
        let kernel = config(&[c"--kernel", c"k", c"--initrd", c"a", c"--initrd=b"]);
        assert_eq!((kernel.memory, kernel.pause), (256 << 20, 0));
        assert_eq!(kernel.initrds, [c"a", c"b"]);
        let kernel = config(&[c"--pause", c"1", c"-m", c"64M", c"--kernel", c"k"]);
        assert_eq!((kernel.memory, kernel.pause), (64 << 20, 1_000_000_000));
    }

    #[test]
    fn entry_is_where_the_image_went_unless_said() {
        assert_eq!(config(&[c"--load", c"0x2000"]).entry, 0x2000);
        assert_eq!(config(&[c"--entry", c"0x2000"]).load, 0x1000);
        assert_eq!(config(&[c"--entry", c"0x2000", c"--load", c"64K"]).entry, 0x2000);
    }

    #[test]
    fn options_end_at_two_dashes_and_the_last_of_two_counts() {
        assert_eq!(config(&[c"--", c"-m"]).guest, Guest::Image(c"-m"));
        assert_eq!(config(&[c"-"]).guest, Guest::Image(c"-"));
        assert_eq!(config(&[c"a", c"-m", c"2M", c"-m", c"4M"]).memory, 4 << 20);
    }

    #[test]
    fn numbers() {
        for (text, value) in [
            (&b"0"[..], 0),
            (b"4096", 4096),
            (b"0x1000", 0x1000),
            (b"0XfF", 255),
            (b"16k", 16 << 10),
            (b"0x10M", 16 << 20),
            (b"3G", 3 << 30),
            (b"18446744073709551615", u64::MAX),
        ] {
            assert_eq!(number(text), Ok(value));
        }
        for text in ["", "x", "0x", "M", "1MM", "1 ", " 1", "-1", "+1", "1.5M", "0b1", "1T"]
            .map(str::as_bytes)
        {
            assert_eq!(number(text), Err(Reason::NotANumber), "{text:?}");
        }
        for text in [&b"18446744073709551616"[..], b"0x10000000000000000", b"17179869184G"] {
            assert_eq!(number(text), Err(Reason::TooLarge), "{text:?}");
        }
        assert_eq!(number(b"99999999999999999999x"), Err(Reason::NotANumber));
    }

    #[test]
    fn pauses() {
        for (text, nanoseconds) in [
            (&b"0"[..], 0),
            (b"6", 6_000_000_000),
            (b"0.25", 250_000_000),
            (b".5", 500_000_000),
            (b"1.", 1_000_000_000),
            (b"0.0000000019", 1),
        ] {
            assert_eq!(seconds(text), Ok(nanoseconds));
        }
        for text in ["", ".", "-1", "1e3", "1.2.3", "0x1", "inf", "1s", "1.0000000000x"] {
            assert_eq!(seconds(text.as_bytes()), Err(Reason::NotANumber), "{text}");
        }
        assert_eq!(seconds(b"99999999999"), Err(Reason::TooLarge));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (words, message) in [
            (&[c"-m"][..], "--memory: needs a value"),
            (&[c"--paws"], "--paws: no such option"),
            (&[c"-x"], "-x: no such option"),
            (&[c"- "], "- : no such option"),
            (&[c"-="], "-=: no such option"),
            (&[c"--="], "--=: no such option"),
            (&[c"--mem=2M"], "--mem=2M: no such option"),
            (&[c"-hx"], "--help: takes no value"),
            (&[c"--help=x"], "--help: takes no value"),
            (&[c"--step=1"], "--step: takes no value"),
            (&[c"a", c"b"], "b: a second image"),
            (&[c"--kernel", c"a", c"b"], "b: a second image"),
            (&[c"--kernel="], "--kernel: needs a value"),
            (&[c"-m", c"0"], "--memory 0: must not be 0"),
            (&[c"--cpus", c"0"], "--cpus 0: must not be 0"),
            (&[c"--cpus", c"5000"], "--cpus 5000: at most 4096"),
            (&[c"--base=x"], "--base x: not a number"),
            (&[c"--pause="], "--pause : not a number"),
            (&[c"--trace=x"], "--trace x: not one of calls, exits"),
            (&[c"--trace=calls,"], "--trace calls,: not one of calls, exits"),
            (&[c"--mode", c"vm86"], "--mode vm86: not one of real, protected"),
            (&[c"--reset", c"x"], "--reset x: not one of end, restart"),
            (&[c"--append", c"x"], "--append: without --kernel"),
            (&[c"--initrd", c"x"], "--initrd: without --kernel"),
            (&[c"--kernel", c"k", c"--base", c"4K"], "--base 0x1000: must be 0 for a kernel"),
            (&[c"--base", c"0x1234"], "--base 0x1234: not a multiple of 4 KiB"),
            (&[c"-m", c"5000"], "--memory 5000 bytes: not a multiple of 4 KiB"),
            (&[c"--base", c"0xfffffffffffff000"], "RAM must end at 0xfffbc000 or below"),
            (&[c"--load", c"16M"], "--load 0x1000000: outside RAM, which is 0x0 to 0xffffff"),
            (&[c"--entry", c"16M"], "--entry 0x1000000: outside RAM"),
            (&[c"--base", c"0x2000"], "--load 0x1000: outside RAM, which is 0x2000 to 0x1001fff"),
        ] {
            assert!(wrong(words).contains(message), "{words:?}: {}", wrong(words));
        }
    }

    #[test]
    fn ram_may_go_on_behind_the_hole_or_end_where_kvm_s_own_pages_begin() {
        assert_eq!(config(&[c"-m", c"5G"]).high_size(), 2 << 30);
        let base = c"0xff000000";
        let words = [c"--base", base, c"--load", base, c"-m"];
        let most = config(&[&words[..], &[c"0xfbc000"]].concat());
        assert_eq!(most.low_end(), RAM_LIMIT);
        assert!(wrong(&[&words[..], &[c"0xfbd000"]].concat()).contains("RAM must end"));
        assert!(wrong(&[c"-m", c"8388608G"]).contains("RAM must end"));
    }

    #[test]
    fn help_and_version() {
        for word in [c"-h", c"--help"] {
            assert_eq!(parsed(&[word]), Ok(Command::Help));
        }
        for word in [c"-V", c"--version"] {
            assert_eq!(parsed(&[word]), Ok(Command::Version));
        }
    }
}
