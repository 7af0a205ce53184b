//! Arguments in, exit status out. The program itself is in the library: see `lib.rs`.

#![no_std]
#![no_main]
// The program's name is BiscuitOS'.
#![allow(non_snake_case)]

use core::ffi::{CStr, c_char, c_int};
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use kob_2m::cli::{self, Blame, Command, Options};
use kob_2m::machine::{self, End, Note};
use kob_2m::{fd, report, signal, words};

// The C library, linked statically: Rust's own standard library would have asked for it.
#[link(name = "c")]
unsafe extern "C" {}

/// The name under which the program was called: BiscuitOS gives it the package's.
static PROGRAM: AtomicPtr<c_char> = AtomicPtr::new(c"BiscuitOS_app".as_ptr().cast_mut());

fn program() -> &'static CStr {
    // SAFETY: a literal or argv[0]; both end in a zero byte and live as long as the process.
    unsafe { CStr::from_ptr(PROGRAM.load(Relaxed)) }
}

/// The C library calls this.
///
/// # Safety
/// `argv` holds `argc` pointers to strings that end in a zero byte and live as long as the process.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn main(argc: c_int, argv: *const *const c_char) -> c_int {
    // SAFETY: the C library's promise.
    let words = unsafe { core::slice::from_raw_parts(argv, argc.max(0) as usize) };
    // SAFETY: the C library's promise.
    let mut words = words.iter().map(|&word| unsafe { CStr::from_ptr(word) });
    if let Some(path) = words.next().filter(|path| !path.is_empty()) {
        PROGRAM.store(file_name(path).as_ptr().cast_mut(), Relaxed);
    }
    fd::reserve_standard();

    let (mut options, mut blame) = (Options::DEFAULT, Blame::default());
    let result = match cli::parse(words, &mut options, &mut blame) {
        Err(wrong) => return report::usage(program(), wrong, &blame),
        Ok(Command::Run) => {
            signal::install();
            machine::run(&options, note)
        }
        Ok(command) => report::information(program(), command).map(|()| End::Informed),
    };
    match (result, signal::caught()) {
        (Ok(end), _) => report::end(program(), &end),
        // A call that a signal cut short is not what went wrong.
        (Err(_), Some(signal)) => 128 + signal,
        (Err(error), None) => report::error(program(), &options, error),
    }
}

/// The last part of a path.
fn file_name(path: &CStr) -> &CStr {
    let slash = path.to_bytes().iter().rposition(|&byte| byte == b'/');
    words::tail(path, slash.map_or(0, |slash| slash + 1))
}

fn note(note: Note) {
    report::note(program(), note);
}

/// A bug of ours: say so, and end without a core dump's alarm.
#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    let _ = fd::write_all(2, b"KOB-2M: internal error; please report it\n");
    // SAFETY: ends the process.
    unsafe { libc::_exit(report::FAILED) }
}

/// Debug builds ask for this name; nothing calls it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
