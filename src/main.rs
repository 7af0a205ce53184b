//! Arguments in, exit status out. The program itself is in the library: see `lib.rs`.

#![no_std]
#![no_main]
// The program's name is BiscuitOS'.
#![allow(non_snake_case)]

extern crate alloc;

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::{CStr, c_char, c_int};
use kob_2m::cli::{self, Command, Help, Restore};
use kob_2m::config::Config;
use kob_2m::control::gdb::Gdb;
use kob_2m::host::heap::Malloc;
use kob_2m::host::{emergency, fd, signal, thread};
use kob_2m::inspect::{timeline, trace};
use kob_2m::json::JsonText;
use kob_2m::lessons::{self, Lesson};
use kob_2m::machine::debugger::Debugger;
use kob_2m::machine::restore::Restored;
use kob_2m::machine::{self, Error, check, trace_file};
use kob_2m::output::Output;
use kob_2m::show::Text;

// Rust's standard library, which is not there, would ask for the C library.
#[link(name = "c")]
unsafe extern "C" {}

#[global_allocator]
static HEAP: Malloc = Malloc;

/// The C library calls this.
///
/// # Safety
/// `argv` holds `argc` pointers to strings that end in a zero byte and live as long as the process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    let words = unsafe { core::slice::from_raw_parts(argv, argc.max(0) as usize) };
    // SAFETY: the caller's promise.
    let words = words.iter().map(|&word| unsafe { CStr::from_ptr(word) }).collect();
    thread::with_enough_stack(|| run(words))
}

/// Not inlined, since `main` must do with very little stack.
#[inline(never)]
fn run(words: Vec<&'static CStr>) -> c_int {
    let mut words = words.into_iter();
    let program = words.next().map(file_name).filter(|name| !name.is_empty());
    let program = program.unwrap_or(c"BiscuitOS_app");
    emergency::set_program(program);
    fd::reserve_standard_descriptors();
    let output = Output::new(program, libc::STDOUT_FILENO, libc::STDERR_FILENO);
    if let Err(error) = signal::let_large_files_fail() {
        return machine::fail(&output, Error::Host(error));
    }
    let command = match cli::parse(words) {
        Ok(command) => command,
        Err(error) => {
            let program = output.program();
            output.message(format_args!("{error}\nTry: {program} --help"), None);
            return machine::BAD_USAGE;
        }
    };
    let answered = match command {
        Command::Help => output.answer(format_args!("{}", Help(output.program()))),
        Command::CpuHelp => match machine::cpu_model::help(&output) {
            Ok(()) => Ok(()),
            Err(error) => return machine::fail(&output, error),
        },
        Command::LessonList => output.answer(format_args!("{}", lessons::List)),
        Command::Lesson(lesson, config) => return give_lesson(lesson, &config, output),
        Command::Version => {
            output.answer(format_args!(concat!("KOB-2M ", env!("CARGO_PKG_VERSION"), "\n")))
        }
        Command::Check(config) => {
            let checked = signal::install().map_err(Error::Host);
            return match checked.and_then(|()| check::check(&config, &output)) {
                Ok(true) => machine::SUCCESS,
                Ok(false) => machine::FAILED,
                Err(error) => machine::fail(&output, error),
            };
        }
        Command::Run(config) => return run_machine(&config, output, None),
        Command::Restore(restore) => return restore_machine(&restore, output),
    };
    match answered {
        Ok(()) => machine::SUCCESS,
        Err(errno) => machine::fail(&output, Error::Output(errno)),
    }
}

/// Lets a saved machine go on.
fn restore_machine(restore: &Restore, output: Output) -> c_int {
    if restore.is_check {
        return check_snapshot(restore, output);
    }
    match open_snapshot(restore) {
        Ok((restored, config)) => run_machine(&config, output, Some(restored)),
        Err(Refusal { message, status }) => {
            output.message(format_args!("{message}"), None);
            status
        }
    }
}

/// Why a saved machine does not go on.
struct Refusal {
    message: String,
    status: c_int,
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Refusal {
        Refusal { message: format!("{error}"), status: machine::failure_status(&error) }
    }
}

/// The saved machine, and what it shall be by its own options and this run's.
fn open_snapshot(restore: &Restore) -> Result<(Restored, Config), Refusal> {
    let restored = Restored::open(restore.path).map_err(Error::from)?;
    let words = restored.words().map_err(Error::from)?;
    let path = Text::from(restore.path);
    let config = restore.config(words).map_err(|error| Refusal {
        message: format!("{path}: its options: {error}"),
        status: machine::FAILED,
    })?;
    Ok((restored, config))
}

/// Whether a saved machine could go on: what to say then.
fn try_snapshot(restore: &Restore) -> Result<String, Refusal> {
    let (restored, config) = open_snapshot(restore)?;
    restored.check(&config)?;
    restored.check_memory(&config)?;
    check::run_options(&config)?;
    Ok(format!("{}: can be restored here; {restored}", Text::from(restore.path)))
}

/// Says whether a saved machine could go on.
fn check_snapshot(restore: &Restore, output: Output) -> c_int {
    let checked = try_snapshot(restore);
    if restore.wants_json() {
        let (text, status) = match checked {
            Ok(_) => ("{\"would_start\": true}\n".into(), machine::SUCCESS),
            Err(Refusal { message, .. }) => {
                let problem = JsonText(message);
                let text = format!("{{\"would_start\": false, \"problem\": {problem}}}\n");
                (text, machine::FAILED)
            }
        };
        return match output.answer(format_args!("{text}")) {
            Ok(()) => status,
            Err(errno) => machine::fail(&output, Error::Output(errno)),
        };
    }
    let (message, status) = match checked {
        Ok(message) => (message, machine::SUCCESS),
        Err(Refusal { message, status }) => (message, status),
    };
    output.message(format_args!("{message}"), None);
    status
}

/// Runs a machine.
fn run_machine(config: &Config, output: Output, restored: Option<Restored>) -> c_int {
    with_trace(config, output, |output| {
        let run = || {
            signal::install()?;
            let debugger = Gdb::listen(config, output)?;
            let debugger = debugger.map(|gdb| Box::new(gdb) as Box<dyn Debugger>);
            machine::run(config, output, debugger, restored)
        };
        match run() {
            Ok(end) => machine::status(end),
            Err(error) => machine::fail(output, error),
        }
    })
}

/// Gives a lesson.
fn give_lesson(lesson: Lesson, config: &Config, output: Output) -> c_int {
    with_trace(config, output, |output| match lesson.run(output, &config.instruments) {
        Ok(()) => machine::SUCCESS,
        Err(error) => {
            output.message(format_args!("--lesson {lesson}: {error}"), None);
            machine::FAILED
        }
    })
}

/// Does something with the trace that the user wants, and gives the exit status.
fn with_trace(
    config: &Config,
    mut output: Output,
    run: impl FnOnce(&Arc<Output>) -> c_int,
) -> c_int {
    match trace_file::open(config) {
        Ok(None) => {}
        Ok(Some(file)) if config.instruments.timeline => {
            if let Err(errno) = output.set_timeline_file(file) {
                let path = config.instruments.trace_file;
                return machine::fail(&output, Error::Trace { path, errno });
            }
        }
        Ok(Some(file)) => output.set_trace_file(file),
        Err(error) => return machine::fail(&output, error),
    }
    let output = Arc::new(output);
    trace::start_clock();
    match (config.instruments.trace_calls, config.instruments.timeline) {
        (true, false) => trace::trace_calls(output.clone()),
        (true, true) => timeline::trace_calls(output.clone()),
        (false, _) => {}
    }
    let status = run(&output);
    if signal::stopping().is_some() {
        // Nobody has waited for slow readers. What they do not take now is lost.
        output.do_not_wait();
        let _ = output.flush();
    }
    match output.trace_failure() {
        Some(errno) => {
            let path = config.instruments.trace_file;
            output.message(format_args!("{}", Error::Trace { path, errno }), None);
            if status == machine::SUCCESS { machine::FAILED } else { status }
        }
        // What was asked for is lost, at least in part, and nobody can be told.
        None if status == machine::SUCCESS
            && config.instruments.report()
            && output.has_lost_messages() =>
        {
            machine::FAILED
        }
        _ => status,
    }
}

/// The last part of a path.
fn file_name(path: &'static CStr) -> &'static CStr {
    let bytes = path.to_bytes_with_nul();
    let start = bytes.iter().rposition(|&byte| byte == b'/').map_or(0, |slash| slash + 1);
    CStr::from_bytes_until_nul(&bytes[start..]).unwrap_or(c"")
}

/// A bug of ours: says where, with the terminal as it was.
#[cfg(not(test))]
#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    kob_2m::host::emergency::panic(info)
}

/// The compiled `alloc` and debug builds ask for these two names. A panic aborts, so that nothing ever calls them.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// See above.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    // SAFETY: ends the process.
    unsafe { libc::abort() }
}
