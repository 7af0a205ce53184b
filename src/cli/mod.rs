//! The command line.

mod help;
mod option;
mod usage_error;
mod value;

pub use help::Help;
pub use usage_error::{Reason, UsageError};

use crate::config::*;
use crate::layout::{HIGH, HOLE, MAX_VCPUS, PAGE_SIZE};
use crate::lessons::Lesson;
use alloc::vec::Vec;
use core::ffi::CStr;
use option::{Found, Opt, Takes};

/// What the user wants.
#[derive(Clone, Debug, PartialEq)]
pub enum Command {
    /// To run a machine.
    Run(Config),
    /// To know whether such a machine would run.
    Check(Config),
    /// To let a saved machine go on.
    Restore(Restore),
    /// To be given a lesson; of the machine's options only the trace counts.
    Lesson(Lesson, Config),
    /// To know which lessons there are.
    LessonList,
    /// To know which features of a processor there are.
    CpuHelp,
    Help,
    Version,
}

/// A saved machine that is to go on.
#[derive(Clone, Debug, PartialEq)]
pub struct Restore {
    /// The snapshot.
    pub path: &'static CStr,
    /// The user only wants to know whether it could.
    pub is_check: bool,
    /// Where RAM is to be, if the user says so.
    backing: Option<Backing>,
    /// How long the guest may take to switch off, if the user says so.
    grace: Option<u64>,
    /// Options of this run.
    run: Config,
}

impl Restore {
    /// `--check` shall answer in JSON.
    pub fn wants_json(&self) -> bool {
        self.run.instruments.json
    }

    /// The machine: as these words of a snapshot say, but for what is this run's.
    pub fn config(&self, words: Vec<&'static CStr>) -> Result<Config, UsageError> {
        let (Command::Run(machine) | Command::Check(machine)) = parse(words.into_iter())? else {
            return Err(UsageError::NoMachine);
        };
        let run = self.run.clone();
        let backing = self.backing.unwrap_or(Backing::Private);
        let grace = self.grace.unwrap_or(machine.grace);
        let config = Config { backing, grace, words: machine.words.clone(), ..machine };
        let Config { gdb, gdb_wait, save, instruments, .. } = run;
        let snapshot = Some(self.path);
        Ok(Config { gdb, gdb_wait, save, instruments, snapshot, ..config })
    }
}

/// Reads the words behind the program's name.
pub fn parse(words: impl Iterator<Item = &'static CStr>) -> Result<Command, UsageError> {
    let all: Vec<&'static CStr> = words.collect();
    let mut words = all.iter().copied().peekable();
    let mut said = Said::default();
    said.config.words = all.clone();
    let mut only_operands = false;
    while let Some(word) = words.next() {
        let bytes = word.to_bytes();
        if only_operands || bytes.first() != Some(&b'-') || bytes.len() == 1 {
            if word.is_empty() {
                return Err(UsageError::NoValue("IMAGE"));
            }
            said.set_guest(Guest::Image(word), word)?;
            continue;
        }
        if bytes == b"--" {
            only_operands = true;
            continue;
        }
        let Found { option, name, takes, attached } = option::find(word)?;
        let value = match (takes, attached) {
            (Takes::Value | Takes::ValueOr(_) | Takes::OneOf(_), Some(value)) => value,
            (Takes::Value, None) => words.next().ok_or(UsageError::NoValue(name))?,
            (Takes::ValueOr(default), None) => default,
            (Takes::OneOf(these), None) => {
                words.next_if(|word| these.contains(word)).unwrap_or(these[0])
            }
            (Takes::Nothing, Some(_)) => return Err(UsageError::UnwantedValue(name)),
            (Takes::Nothing, None) => c"",
        };
        let wants_value = matches!(takes, Takes::Value | Takes::OneOf(_));
        if wants_value && value.is_empty() && option != Opt::Append {
            return Err(UsageError::NoValue(name));
        }
        match option {
            Opt::Lesson if value == c"list" => return Ok(Command::LessonList),
            Opt::Cpu if value == c"help" => return Ok(Command::CpuHelp),
            Opt::Help => return Ok(Command::Help),
            Opt::Version => return Ok(Command::Version),
            _ => {
                if !option.is_of_a_lesson() {
                    said.not_for_a_lesson.get_or_insert(name);
                }
                if !option.is_of_the_run() {
                    said.of_the_machine.get_or_insert(name);
                }
                said.set(option, name, value)?;
            }
        }
    }
    said.finish()
}

/// What the command line has said. What it leaves open depends on the rest.
#[derive(Default)]
struct Said {
    config: Config,
    guest: Option<Guest>,
    memory: Option<u64>,
    load: Option<u64>,
    entry: Option<u64>,
    mode: Option<Mode>,
    pause: Option<u64>,
    is_check: bool,
    backing: Option<Backing>,
    grace: Option<u64>,
    restore: Option<&'static CStr>,
    /// The first option that a snapshot has already.
    of_the_machine: Option<&'static str>,
    lesson: Option<Lesson>,
    /// The first option that a lesson does not take.
    not_for_a_lesson: Option<&'static str>,
}

impl Said {
    /// Takes an option, by this name, and its value.
    fn set(
        &mut self,
        option: Opt,
        name: &'static str,
        value: &'static CStr,
    ) -> Result<(), UsageError> {
        let bad = |reason| UsageError::BadValue { option: name, value, reason };
        let text = value.to_bytes();
        let number = |text: &[u8]| value::number(text).map_err(bad);
        let not_zero = |text: &[u8]| match number(text)? {
            0 => Err(bad(Reason::Zero)),
            number => Ok(number),
        };
        let config = &mut self.config;
        match option {
            Opt::Memory => self.memory = Some(not_zero(text)?),
            Opt::Backing => self.backing = Some(value::backing(value)),
            Opt::Base => config.base = number(text)?,
            Opt::Load => self.load = Some(number(text)?),
            Opt::Entry => self.entry = Some(number(text)?),
            Opt::Mode => self.mode = Some(value::MODES.find(text).map_err(bad)?),
            Opt::Set => config.set.push(value::setting(value).map_err(bad)?),
            Opt::Pause => self.pause = Some(value::seconds(text).map_err(bad)?),
            Opt::Kernel => self.set_guest(Guest::Kernel(value), value)?,
            Opt::Initrd => config.initrds.push(value),
            Opt::Append => config.command_line = Some(value),
            Opt::Protocol => config.protocol = Some(value::PROTOCOLS.find(text).map_err(bad)?),
            // QEMU's -smp takes `cpus=2` too.
            Opt::Cpus => match not_zero(text.strip_prefix(b"cpus=").unwrap_or(text))? {
                number if number > MAX_VCPUS.into() => return Err(bad(Reason::TooManyVcpus)),
                number => config.cpus = number as u32,
            },
            Opt::Reset => config.on_reset = value::RESETS.find(text).map_err(bad)?,
            Opt::Irqchip => config.irqchip = Some(value::IRQCHIPS.find(text).map_err(bad)?),
            Opt::Cpu => config.cpu = value::cpu(value).map_err(bad)?,
            Opt::TscKhz => match not_zero(text)? {
                khz if khz > u32::MAX.into() => return Err(bad(Reason::TooFast)),
                khz => config.tsc_khz = Some(khz as u32),
            },
            Opt::Pit => config.pit = Some(value::PIT_PLACES.find(text).map_err(bad)?),
            Opt::NoPit => config.pit = Some(PitPlace::Absent),
            Opt::NoApic => config.apic = false,
            Opt::NoAcpi => config.acpi = false,
            Opt::NoHpet => config.hpet = false,
            Opt::FwCfg => config.fw_cfg.push(value::fw_cfg(value).map_err(bad)?),
            Opt::Grace => self.grace = Some(value::seconds(text).map_err(bad)?),
            Opt::Gdb => config.gdb = Some(value::gdb(value).map_err(bad)?),
            Opt::GdbWait => config.gdb_wait = true,
            Opt::Trace => value::trace(&mut config.instruments, value).map_err(bad)?,
            Opt::TraceFile => config.instruments.trace_file = Some(value),
            Opt::TraceFormat => {
                config.instruments.timeline = value::TRACE_FORMATS.find(text).map_err(bad)?;
            }
            Opt::Step => config.instruments.step = true,
            Opt::Stats => {
                config.instruments.stats = true;
                config.instruments.live |= value::STATISTICS.find(text).map_err(bad)?;
            }
            Opt::Json => config.instruments.json = true,
            Opt::Map => config.instruments.map = true,
            Opt::DirtyLog => config.instruments.dirty_log = true,
            Opt::Replay => config.instruments.replay = true,
            Opt::Save | Opt::SaveRam => {
                let with_ram = option == Opt::SaveRam;
                if config.save.is_some_and(|save| save.with_ram != with_ram) {
                    return Err(UsageError::SavedTwice);
                }
                config.save = Some(Save { path: value, with_ram });
            }
            Opt::Restore => self.restore = Some(value),
            Opt::Lesson => {
                self.lesson = Some(Lesson::find(text).ok_or(UsageError::NoLesson(value))?)
            }
            Opt::Check => self.is_check = true,
            Opt::Help | Opt::Version => unreachable!("they end the command line"),
        }
        Ok(())
    }

    /// Only one guest can run. `word` names it.
    fn set_guest(&mut self, guest: Guest, word: &'static CStr) -> Result<(), UsageError> {
        match self.guest.replace(guest) {
            None => Ok(()),
            Some(Guest::Image(first) | Guest::Kernel(first)) => {
                Err(UsageError::SecondImage(word, first))
            }
        }
    }

    /// Fills in what was left open, and checks that it all fits together.
    fn finish(self) -> Result<Command, UsageError> {
        let Said {
            mut config,
            guest,
            memory,
            load,
            entry,
            mode,
            pause,
            is_check,
            backing,
            grace,
            restore,
            of_the_machine,
            lesson,
            not_for_a_lesson,
        } = self;
        if let Some(lesson) = lesson {
            return match not_for_a_lesson.or(guest.map(|_| "IMAGE")) {
                Some(option) => Err(UsageError::NotForALesson(option)),
                None => {
                    finish_instruments(&mut config.instruments, false)?;
                    Ok(Command::Lesson(lesson, config))
                }
            };
        }
        if let Some(path) = restore {
            let of_the_machine = of_the_machine.or(guest.map(|_| "IMAGE"));
            return finish_restore(config, path, backing, grace, of_the_machine, is_check);
        }
        config.backing = backing.unwrap_or(config.backing);
        config.grace = grace.unwrap_or(config.grace);
        config.guest = guest.unwrap_or(config.guest);
        config.load = load.unwrap_or(config.load);
        config.entry = entry.unwrap_or(config.load);
        config.mode = mode.unwrap_or(config.mode);
        config.memory = memory.unwrap_or(Config::default_memory(config.guest));
        if config.is_kernel() {
            let given = [
                ("--load", load.is_some()),
                ("--entry", entry.is_some()),
                ("--mode", mode.is_some()),
            ];
            if let Some(option) = first_given(given) {
                return Err(UsageError::NotForKernel(option));
            }
        }
        // Without controllers in the kernel there are no local APICs, and without these no I/O APIC.
        config.apic &= config.irqchip() != Irqchip::Program;
        // A kernel does not pause after its lines, as a lesson does.
        config.pause = pause.unwrap_or(if config.is_kernel() { 0 } else { config.pause });
        finish_instruments(&mut config.instruments, is_check)?;
        check(&config, load.is_some())?;
        Ok(if is_check { Command::Check(config) } else { Command::Run(config) })
    }
}

/// What is left open of a run that goes on from a snapshot.
fn finish_restore(
    mut run: Config,
    path: &'static CStr,
    backing: Option<Backing>,
    grace: Option<u64>,
    of_the_machine: Option<&'static str>,
    is_check: bool,
) -> Result<Command, UsageError> {
    if let Some(option) = of_the_machine {
        return Err(UsageError::NotWithRestore(option));
    }
    finish_instruments(&mut run.instruments, is_check)?;
    if run.gdb_wait && run.gdb.is_none() {
        return Err(UsageError::NoDebugger);
    }
    Ok(Command::Restore(Restore { path, is_check, backing, grace, run }))
}

fn finish_instruments(instruments: &mut Instruments, is_check: bool) -> Result<(), UsageError> {
    if instruments.json && !instruments.stats && !is_check {
        return Err(UsageError::NothingAsJson);
    }
    if instruments.live && instruments.json {
        return Err(UsageError::LiveJson);
    }
    if instruments.timeline && instruments.trace_file.is_none() {
        return Err(UsageError::TimelineWithoutFile);
    }
    if instruments.timeline && instruments.step {
        return Err(UsageError::StepsOnTimeline);
    }
    // A file for a trace means that one is wanted.
    if instruments.trace_file.is_some() && !instruments.shows_trace() {
        (instruments.trace_calls, instruments.trace_exits) = (true, true);
    }
    Ok(())
}

/// The first of these options that is given.
fn first_given<const N: usize>(options: [(&'static str, bool); N]) -> Option<&'static str> {
    options.into_iter().find(|(_, is_given)| *is_given).map(|(option, _)| option)
}

/// Checks what depends on several options. `has_load`: the user has said where the image goes.
fn check(config: &Config, has_load: bool) -> Result<(), UsageError> {
    let &Config { memory, base, load, entry, guest, .. } = config;
    if !base.is_multiple_of(PAGE_SIZE) {
        return Err(UsageError::OddBase(base));
    }
    if let Guest::Image(_) = guest {
        let of_a_kernel = [
            ("--append", config.command_line.is_some()),
            ("--protocol", config.protocol.is_some()),
            ("--no-acpi", !config.acpi),
            ("--initrd", !config.initrds.is_empty()),
        ];
        if let Some(option) = first_given(of_a_kernel) {
            return Err(UsageError::NoKernel(option));
        }
    } else if base != 0 {
        return Err(UsageError::MovedKernel(base));
    }
    for (index, item) in config.fw_cfg.iter().enumerate() {
        if config.fw_cfg[..index].iter().any(|before| before.name == item.name) {
            return Err(UsageError::SameName(item.name));
        }
    }
    let of_the_board = [
        ("--fw-cfg", !config.fw_cfg.is_empty()),
        ("--no-hpet", !config.hpet),
        ("--no-pit", config.pit == Some(PitPlace::Absent)),
        ("--pit", config.pit.is_some()),
        ("--no-apic", !config.apic),
        ("--grace", config.grace > 0),
    ];
    if let Some(option) = first_given(of_the_board)
        && !config.has_board()
    {
        return Err(UsageError::NoBoard(option));
    }
    if config.instruments.replay && config.on_reset != OnReset::End {
        return Err(UsageError::ReplayOrReset);
    }
    let instruments = &config.instruments;
    let steps = [("--step", instruments.step), ("--replay", instruments.replay)];
    match first_given(steps) {
        Some(option) if config.gdb.is_some() => return Err(UsageError::DebuggerOr(option)),
        _ if config.gdb_wait && config.gdb.is_none() => return Err(UsageError::NoDebugger),
        _ => {}
    }
    if config.pit == Some(PitPlace::Kernel) && config.irqchip() != Irqchip::Full {
        return Err(UsageError::PitWithoutPic);
    }
    if !config.apic && config.cpus > 1 {
        let option =
            if config.irqchip() == Irqchip::Program { "--irqchip none" } else { "--no-apic" };
        return Err(UsageError::NoApic(option, config.cpus));
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
    if !memory.is_multiple_of(PAGE_SIZE) {
        return Err(UsageError::OddSize { memory, next: config.backing.rounded_up(memory) });
    }
    if config.is_kernel() {
        return Ok(());
    }
    if !has_load && load < base {
        return Err(UsageError::BaseWithoutLoad { base, load });
    }
    if !has_load && load >= config.low_end() {
        let needed = config.backing.rounded_up(load + 1 - base);
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

#[cfg(test)]
#[path = "cli_tests.rs"]
mod tests;
