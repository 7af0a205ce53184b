//! The one way to make a system call: a [`Call`] names it, so that an error and a trace can show it.
//!
//! All calls that build, run or examine the machine go through here, except those that make threads. Waiting, clocks, signals and
//! output do not: a trace would trace itself.

use crate::host::errno::Errno;
use crate::sys::ioctl;
use alloc::boxed::Box;
use core::ffi::c_int;
use core::fmt;
use core::ptr::null_mut;
use core::sync::atomic::{AtomicPtr, Ordering::Acquire, Ordering::Release};

/// What a call is called: a function of the C library, or a request of ioctl(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Name {
    Function(&'static str),
    Request(u32),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Name::Function(name) => f.write_str(name),
            Name::Request(request) => match ioctl::name(request) {
                Some(name) => f.write_str(name),
                None => write!(f, "ioctl {request:#x}"),
            },
        }
    }
}

/// A call that failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CallError {
    pub call: Name,
    pub errno: Errno,
}

impl CallError {
    /// Whether it failed with this number: `error.is(libc::ENOENT)`.
    pub fn is(&self, errno: c_int) -> bool {
        self.errno.0 == errno
    }
}

/// A call about to be made.
#[derive(Clone, Copy)]
pub struct Call<'a> {
    pub name: Name,
    /// The descriptor that the call is made on.
    pub fd: Option<c_int>,
    /// The other arguments, as a trace shows them.
    pub arguments: fmt::Arguments<'a>,
}

impl<'a> Call<'a> {
    /// A call that is made on no descriptor.
    pub fn new(name: &'static str, arguments: fmt::Arguments<'a>) -> Call<'a> {
        Call { name: Name::Function(name), fd: None, arguments }
    }

    /// A call on a descriptor.
    pub fn on(fd: c_int, name: &'static str, arguments: fmt::Arguments<'a>) -> Call<'a> {
        Call { name: Name::Function(name), fd: Some(fd), arguments }
    }

    /// Takes what the C library's function returned, where -1 is a failure and the reason is in errno, and shows the
    /// call to the observer.
    pub fn returned(self, result: isize) -> Result<usize, CallError> {
        let result = match result {
            -1 => Err(Errno::last()),
            result => Ok(result.cast_unsigned()),
        };
        let observer = OBSERVER.load(Acquire);
        if !observer.is_null() {
            // SAFETY: `observe` alone stores a pointer here, and leaks what it points to.
            let observer = unsafe { &*observer };
            observer(&self, result);
        }
        result.map_err(|errno| CallError { call: self.name, errno })
    }
}

/// A function that is shown every call after it was made. It must not wait: the caller may hold a lock.
type Observer = Box<dyn Fn(&Call, Result<usize, Errno>) + Send + Sync>;

/// Global, since the alternative is a reference to it in every value that owns a descriptor.
static OBSERVER: AtomicPtr<Observer> = AtomicPtr::new(null_mut());

/// From now on no call is shown any more.
pub(super) fn stop_observing() {
    OBSERVER.store(null_mut(), Release);
}

/// From now on, until the program ends, `observer` is shown every call.
pub fn observe(observer: impl Fn(&Call, Result<usize, Errno>) + Send + Sync + 'static) {
    let observer: Observer = Box::new(observer);
    OBSERVER.store(Box::into_raw(Box::new(observer)), Release);
}
