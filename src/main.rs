//! Arguments in, exit status out. The program itself is in the library: see `lib.rs`.

#![no_std]
#![no_main]
// The program's name is BiscuitOS'.
#![allow(non_snake_case)]

mod copy;
mod start;

use core::ffi::{CStr, c_char, c_int};
use kob_2m::cli::{self, Blame, Command, Options, STATS, STEP, TRACE_CALLS, TRACE_EXITS};
use kob_2m::report::check::check;
use kob_2m::report::{End, trace};
use kob_2m::{fd, machine, report, signal, words};

// Where `start` is not the entry, the C library is, which Rust's own standard library would have asked for.
#[link(name = "c")]
unsafe extern "C" {}

/// `start` calls this, or, where the linker was told no other entry, the C library.
///
/// # Safety
/// `argv` holds `argc` pointers to strings that end in a zero byte and live as long as the process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    // SAFETY: the caller's promise.
    let words = unsafe { core::slice::from_raw_parts(argv, argc.max(0) as usize) };
    // SAFETY: the caller's promise.
    let mut words = words.iter().map(|&word| unsafe { CStr::from_ptr(word) });
    let (mut options, mut blame) = (Options::DEFAULT, Blame::default());
    if let Some(path) = words.next().filter(|path| !path.is_empty()) {
        options.program = file_name(path);
    }
    fd::reserve_standard();

    let result = match cli::parse(words, &mut options, &mut blame) {
        Err(wrong) => return report::usage(options.program, wrong, &blame),
        Ok(Command::Run) => {
            if options.wants(TRACE_CALLS | TRACE_EXITS | STEP) {
                trace::begin(options.wants(TRACE_CALLS));
            }
            signal::install(options.wants(STATS));
            machine::run(&options)
        }
        Ok(Command::Check) => {
            check(&options, machine::try_vcpu).map(|good| if good { End::Done } else { End::Unfit })
        }
        Ok(command) => report::information(options.program, command).map(|()| End::Done),
    };
    match (result, signal::caught()) {
        (Ok(end), _) => report::status(end),
        // A call that a signal cut short is not what went wrong.
        (Err(_), Some(signal)) => 128 + i32::from(signal),
        (Err(error), None) => report::error(&options, error),
    }
}

/// The last part of a path.
fn file_name(path: &CStr) -> &CStr {
    let slash = path.to_bytes().iter().rposition(|&byte| byte == b'/');
    words::tail(path, slash.map_or(0, |slash| slash + 1))
}

/// A bug of ours: say so, and end without a core dump's alarm.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    let _ = fd::write_all(2, b"KOB-2M: internal error; please report it\n");
    loop {
        // SAFETY: ends the process.
        let _ = unsafe { kob_2m::syscall!(libc::SYS_exit_group, report::FAILED) };
    }
}

/// Debug builds ask for this name; nothing calls it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
