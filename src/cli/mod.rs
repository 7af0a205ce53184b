//! The command line.

mod help;
mod usage_error;

pub use help::Help;
pub use usage_error::{Reason, UsageError};

use crate::config::*;
use crate::layout::{HIGH, HOLE, MAX_VCPUS, PAGE_SIZE};
use crate::x86::registers::Setting;
use core::ffi::CStr;

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
    TraceFile,
    Step,
    Stats,
    Json,
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

/// An option, its long name, its short one, and what it takes.
type Row = (Opt, &'static str, Option<u8>, Takes);

const OPTIONS: [Row; 25] = [
    (Opt::Memory, "--memory", Some(b'm'), Takes::Value),
    (Opt::Backing, "--backing", Some(b'b'), Takes::Value),
    (Opt::Base, "--base", None, Takes::Value),
    (Opt::Load, "--load", None, Takes::Value),
    (Opt::Entry, "--entry", None, Takes::Value),
    (Opt::Mode, "--mode", None, Takes::Value),
    (Opt::Set, "--set", None, Takes::Value),
    (Opt::Pause, "--pause", None, Takes::Value),
    (Opt::Kernel, "--kernel", Some(b'k'), Takes::Value),
    (Opt::Initrd, "--initrd", Some(b'i'), Takes::Value),
    (Opt::Append, "--append", None, Takes::Value),
    // kvmtool's name for it.
    (Opt::Append, "--params", Some(b'p'), Takes::Value),
    (Opt::Cpus, "--cpus", Some(b'c'), Takes::Value),
    (Opt::Reset, "--reset", None, Takes::Value),
    (Opt::Irqchip, "--irqchip", None, Takes::Nothing),
    (Opt::Trace, "--trace", None, Takes::PerhapsValue),
    (Opt::TraceFile, "--trace-file", None, Takes::Value),
    (Opt::Step, "--step", None, Takes::Nothing),
    (Opt::Stats, "--stats", None, Takes::Nothing),
    (Opt::Json, "--json", None, Takes::Nothing),
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
    let (mut load, mut entry, mut mode, mut memory, mut pause) = (None, None, None, None, None);
    let mut is_check = false;
    let mut only_operands = false;
    while let Some(word) = words.next() {
        let bytes = word.to_bytes();
        if only_operands || bytes.first() != Some(&b'-') || bytes.len() == 1 {
            if word.is_empty() {
                return Err(UsageError::NoValue("IMAGE"));
            }
            set_guest(&mut guest, Guest::Image(word), word)?;
            continue;
        }
        if bytes == b"--" {
            only_operands = true;
            continue;
        }
        let Found { option, name, takes, attached } = find_option(word)?;
        let value = match (takes, attached) {
            (Takes::Value | Takes::PerhapsValue, Some(value)) => value,
            (Takes::Value, None) => words.next().ok_or(UsageError::NoValue(name))?,
            (Takes::Nothing, Some(_)) => return Err(UsageError::UnwantedValue(name)),
            (Takes::PerhapsValue | Takes::Nothing, None) => c"",
        };
        if takes == Takes::Value && value.is_empty() && option != Opt::Append {
            return Err(UsageError::NoValue(name));
        }
        let bad = |reason| UsageError::BadValue { option: name, value, reason };
        let as_number = || number(value.to_bytes()).map_err(bad);
        let not_zero =
            |text: Option<&[u8]>| match number(text.unwrap_or(value.to_bytes())).map_err(bad)? {
                0 => Err(bad(Reason::Zero)),
                number => Ok(number),
            };
        match option {
            Opt::Memory => memory = Some(not_zero(None)?),
            Opt::Backing => config.backing = backing(value),
            Opt::Base => config.base = as_number()?,
            Opt::Load => load = Some(as_number()?),
            Opt::Entry => entry = Some(as_number()?),
            Opt::Mode => {
                let these = Reason::NotOneOf("real, protected, long, user");
                mode = Some(find_mode(value).ok_or(bad(these))?);
            }
            Opt::Set => config.set.push(setting(value).map_err(bad)?),
            Opt::Pause => pause = Some(seconds(value.to_bytes()).map_err(bad)?),
            Opt::Kernel => set_guest(&mut guest, Guest::Kernel(value), value)?,
            Opt::Initrd => config.initrds.push(value),
            Opt::Append => config.command_line = Some(value),
            // QEMU's -smp takes `cpus=2` too.
            Opt::Cpus => match not_zero(value.to_bytes().strip_prefix(b"cpus="))? {
                number if number > MAX_VCPUS.into() => return Err(bad(Reason::TooManyVcpus)),
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
            Opt::TraceFile => config.instruments.trace_file = Some(value),
            Opt::Step => config.instruments.step = true,
            Opt::Stats => config.instruments.stats = true,
            Opt::Json => config.instruments.json = true,
            Opt::DirtyLog => config.instruments.dirty_log = true,
            Opt::Replay => config.instruments.replay = true,
            Opt::Check => is_check = true,
            Opt::Help => return Ok(Command::Help),
            Opt::Version => return Ok(Command::Version),
        }
    }
    config.guest = guest.unwrap_or(config.guest);
    config.load = load.unwrap_or(config.load);
    config.entry = entry.unwrap_or(config.load);
    config.mode = mode.unwrap_or(config.mode);
    config.memory = memory.unwrap_or(Config::default_memory(config.guest));
    if config.is_kernel() {
        let given =
            [("--load", load.is_some()), ("--entry", entry.is_some()), ("--mode", mode.is_some())];
        if let Some((option, _)) = given.into_iter().find(|(_, is_given)| *is_given) {
            return Err(UsageError::NotForKernel(option));
        }
    }
    // A kernel does not pause after its lines, as a lesson does.
    config.pause = pause.unwrap_or(if config.is_kernel() { 0 } else { config.pause });
    let instruments = &mut config.instruments;
    if instruments.json && !instruments.stats && !is_check {
        return Err(UsageError::NothingAsJson);
    }
    // A file for a trace means that one is wanted.
    if instruments.trace_file.is_some() && !instruments.shows_trace() {
        (instruments.trace_calls, instruments.trace_exits) = (true, true);
    }
    check(&config, load.is_some())?;
    Ok(if is_check { Command::Check(config) } else { Command::Run(config) })
}

fn set_guest(guest: &mut Option<Guest>, new: Guest, word: &'static CStr) -> Result<(), UsageError> {
    match guest.replace(new) {
        None => Ok(()),
        Some(Guest::Image(first) | Guest::Kernel(first)) => {
            Err(UsageError::SecondImage(word, first))
        }
    }
}

/// An option as it stands on the command line.
struct Found {
    option: Opt,
    name: &'static str,
    takes: Takes,
    /// The value in the same word.
    attached: Option<&'static CStr>,
}

/// A row of [`OPTIONS`].
fn row(is: impl Fn(&Row) -> bool) -> Option<Row> {
    OPTIONS.into_iter().find(is)
}

impl Found {
    fn new((option, name, _, takes): Row, attached: Option<&'static CStr>) -> Found {
        Found { option, name, takes, attached }
    }
}

/// Finds the option that a word names.
fn find_option(word: &'static CStr) -> Result<Found, UsageError> {
    let bytes = word.to_bytes();
    // As QEMU has them: one dash before a long name, and -smp.
    let is_qemu_s = |(_, long, ..): &Row| {
        long.as_bytes()[1..] == *bytes || *long == "--cpus" && bytes == b"-smp"
    };
    match row(is_qemu_s) {
        Some(row) => Ok(Found::new(row, None)),
        None if bytes.starts_with(b"--") => find_long(word),
        None => find_short(word),
    }
}

/// Splits `-n` and `-nvalue`, or `-hV`: letters that take no value may stand together, and the first one counts.
fn find_short(word: &'static CStr) -> Result<Found, UsageError> {
    let letters = word.to_bytes();
    let find = |letter: u8| row(|(_, _, short, _)| *short == Some(letter));
    let takes_nothing =
        |&letter: &u8| find(letter).is_some_and(|(.., takes)| takes == Takes::Nothing);
    let row = find(letters[1]).ok_or(UsageError::UnknownOption(word))?;
    let rest = (letters.len() > 2).then(|| tail(word, 2));
    let (.., takes) = row;
    match takes {
        Takes::Nothing if letters[2..].iter().all(takes_nothing) => Ok(Found::new(row, None)),
        Takes::Nothing => Err(UsageError::UnknownOption(word)),
        Takes::Value | Takes::PerhapsValue => Ok(Found::new(row, rest)),
    }
}

/// Splits `--name` and `--name=value`. The beginning of a name will do if no other name begins so.
fn find_long(word: &'static CStr) -> Result<Found, UsageError> {
    let bytes = word.to_bytes();
    let name_len = bytes.iter().position(|&byte| byte == b'=').unwrap_or(bytes.len());
    let name = &bytes[..name_len];
    let value = (bytes.len() > name_len).then(|| tail(word, name_len + 1));
    if let Some(row) = row(|(_, long, ..)| long.as_bytes() == name) {
        return Ok(Found::new(row, value));
    }
    let begins_so = |(_, long, ..): &Row| name.len() > 2 && long.as_bytes().starts_with(name);
    let mut fitting = OPTIONS.into_iter().filter(begins_so);
    match (fitting.next(), fitting.next()) {
        (Some(row), None) => Ok(Found::new(row, value)),
        (Some((_, one, ..)), Some((_, other, ..))) => {
            Err(UsageError::Ambiguous(word, [one, other]))
        }
        (None, _) => Err(UsageError::UnknownOption(word)),
    }
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

fn find_mode(value: &CStr) -> Option<Mode> {
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
    let text = value.to_str().map_err(|_| Reason::NotASetting)?;
    let (name, value) = text.split_once('=').ok_or(Reason::NotASetting)?;
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

/// Checks that it all fits together. `has_load`: the user has said where the image goes.
fn check(config: &Config, has_load: bool) -> Result<(), UsageError> {
    let &Config { memory, base, load, entry, guest, .. } = config;
    if !base.is_multiple_of(PAGE_SIZE) {
        return Err(UsageError::OddBase(base));
    }
    if !memory.is_multiple_of(PAGE_SIZE) {
        return Err(UsageError::OddSize { memory, next: config.backing.whole_pages(memory) });
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
    if base >= limit {
        return Err(UsageError::BaseTooHigh { base, limit });
    }
    // What does not fit below the hole lies above 4 GiB.
    let most = (limit - base) + if base < HOLE { ADDRESS_LIMIT - HIGH } else { 0 };
    if memory > most {
        return Err(UsageError::TooMuchRam { memory, base, most });
    }
    if config.is_kernel() {
        return Ok(());
    }
    if !has_load && load < base {
        return Err(UsageError::BaseWithoutLoad { base, load });
    }
    if !has_load && load >= config.low_end() {
        let needed = config.backing.whole_pages(load + 1 - base);
        return Err(UsageError::TooLittleRam { memory, needed });
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
        return Err(Reason::NotSeconds);
    }
    let in_seconds =
        |reason| if reason == Reason::NotANumber { Reason::NotSeconds } else { reason };
    // Without digits on one side of the point, that side is 0.
    let part = |digits: &[u8]| {
        if digits.is_empty() { Ok(0) } else { whole(digits, 10).map_err(in_seconds) }
    };
    let counted = &behind[..behind.len().min(9)];
    if behind.iter().any(|byte| !byte.is_ascii_digit()) {
        return Err(Reason::NotSeconds);
    }
    let nanoseconds = part(counted)? * 10u64.pow(9 - counted.len() as u32);
    part(before)?
        .checked_mul(1_000_000_000)
        .and_then(|whole| whole.checked_add(nanoseconds))
        .ok_or(Reason::TooLarge)
}

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
