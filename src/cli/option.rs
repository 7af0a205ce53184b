//! The options: their names, and which one a word on the command line is.

use crate::cli::UsageError;
use crate::cli::value::tail;
use core::ffi::CStr;

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Opt {
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
    Protocol,
    Cpus,
    Cpu,
    TscKhz,
    Reset,
    Irqchip,
    Pit,
    NoPit,
    NoApic,
    NoAcpi,
    NoHpet,
    FwCfg,
    Grace,
    Gdb,
    GdbWait,
    Trace,
    TraceFile,
    TraceFormat,
    Step,
    Stats,
    Json,
    Map,
    DirtyLog,
    Replay,
    Save,
    SaveRam,
    Restore,
    Lesson,
    Check,
    Help,
    Version,
}

impl Opt {
    /// Whether it says how a run is watched and driven, and nothing of the machine itself. A snapshot has its machine's options; these
    /// are given anew when it is restored.
    pub fn is_of_the_run(self) -> bool {
        use Opt::*;
        matches!(
            self,
            Backing
                | Grace
                | Gdb
                | GdbWait
                | Trace
                | TraceFile
                | TraceFormat
                | Stats
                | Json
                | Map
                | DirtyLog
                | Save
                | SaveRam
                | Restore
                | Check
        )
    }

    /// Whether a lesson takes it.
    pub fn is_of_a_lesson(self) -> bool {
        matches!(self, Opt::Lesson | Opt::Trace | Opt::TraceFile)
    }
}

#[derive(Clone, Copy, PartialEq)]
pub enum Takes {
    Value,
    /// A value only where one is attached, as in `--trace=calls`; else this one.
    ValueOr(&'static CStr),
    /// One of these words, attached or the next one; without it the first.
    OneOf(&'static [&'static CStr]),
    Nothing,
}

/// An option, its long name, its short one, and what it takes.
type Row = (Opt, &'static str, Option<u8>, Takes);

const OPTIONS: [Row; 43] = [
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
    (Opt::Protocol, "--protocol", None, Takes::Value),
    (Opt::Cpus, "--cpus", Some(b'c'), Takes::Value),
    (Opt::Cpu, "--cpu", None, Takes::Value),
    (Opt::TscKhz, "--tsc-khz", None, Takes::Value),
    (Opt::Reset, "--reset", None, Takes::Value),
    (Opt::Irqchip, "--irqchip", None, Takes::OneOf(&[c"full", c"split", c"none"])),
    (Opt::Pit, "--pit", None, Takes::Value),
    (Opt::NoPit, "--no-pit", None, Takes::Nothing),
    (Opt::NoApic, "--no-apic", None, Takes::Nothing),
    (Opt::NoAcpi, "--no-acpi", None, Takes::Nothing),
    (Opt::NoHpet, "--no-hpet", None, Takes::Nothing),
    (Opt::FwCfg, "--fw-cfg", None, Takes::Value),
    (Opt::Grace, "--grace", None, Takes::Value),
    (Opt::Gdb, "--gdb", None, Takes::Value),
    (Opt::GdbWait, "--gdb-wait", None, Takes::Nothing),
    (Opt::Trace, "--trace", None, Takes::ValueOr(c"calls,exits")),
    (Opt::TraceFile, "--trace-file", None, Takes::Value),
    (Opt::TraceFormat, "--trace-format", None, Takes::Value),
    (Opt::Step, "--step", None, Takes::Nothing),
    (Opt::Stats, "--stats", None, Takes::ValueOr(c"end")),
    (Opt::Json, "--json", None, Takes::Nothing),
    (Opt::Map, "--map", None, Takes::Nothing),
    (Opt::DirtyLog, "--dirty-log", None, Takes::Nothing),
    (Opt::Replay, "--replay", None, Takes::Nothing),
    (Opt::Save, "--save", None, Takes::Value),
    (Opt::SaveRam, "--save-ram", None, Takes::Value),
    (Opt::Restore, "--restore", None, Takes::Value),
    (Opt::Lesson, "--lesson", None, Takes::Value),
    (Opt::Check, "--check", None, Takes::Nothing),
    (Opt::Help, "--help", Some(b'h'), Takes::Nothing),
    (Opt::Version, "--version", Some(b'V'), Takes::Nothing),
];

/// An option as it stands on the command line.
pub struct Found {
    pub option: Opt,
    pub name: &'static str,
    pub takes: Takes,
    /// The value in the same word.
    pub attached: Option<&'static CStr>,
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
pub fn find(word: &'static CStr) -> Result<Found, UsageError> {
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
        Takes::Value | Takes::ValueOr(_) | Takes::OneOf(_) => Ok(Found::new(row, rest)),
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
            let are_more = fitting.next().is_some();
            Err(UsageError::Ambiguous { word, two: [one, other], are_more })
        }
        (None, _) => Err(UsageError::UnknownOption(word)),
    }
}
