//! This process: its id and its environment.

use core::ffi::CStr;

/// Whether the environment has this variable, and not empty: https://no-color.org.
pub fn has_variable(name: &CStr) -> bool {
    // SAFETY: the name ends in a zero byte; nobody changes the environment. A value that is there ends in a zero byte too.
    unsafe {
        let value = libc::getenv(name.as_ptr());
        !value.is_null() && *value != 0
    }
}

/// The id of this thread.
pub fn thread_id() -> i32 {
    // SAFETY: takes no memory.
    unsafe { libc::syscall(libc::SYS_gettid) as i32 }
}

/// The id of this process.
pub fn process_id() -> i32 {
    // SAFETY: takes no memory.
    unsafe { libc::getpid() }
}
