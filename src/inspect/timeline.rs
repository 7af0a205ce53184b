//! `--trace-format timeline`: the trace as events for Perfetto (ui.perfetto.dev) and chrome://tracing, in their "trace event format": a JSON
//! array with an object for each event. Each thread has a track. Times are in microseconds since the program began.

use crate::host::clock;
use crate::host::errno::Errno;
use crate::host::process;
use crate::host::syscall::{self, Call, Name};
use crate::inspect::json::JsonText;
use crate::inspect::observer::{ExitObserver, HandledExit, ObservedExit};
use crate::inspect::trace::{self, reason_name};
use crate::output::Output;
use crate::sys::ioctl::*;
use alloc::format;
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

/// Arguments of a call that are longer are cut: an event must not be longer than what is written at once.
const LONGEST: usize = 400;

/// The guest has been entered. Until then each call is a part of the set-up.
static HAS_STARTED: AtomicBool = AtomicBool::new(false);

/// When the last call of the set-up ended.
static LAST: AtomicU64 = AtomicU64::new(0);

/// From now on each call is an event, until the program ends. During the set-up it is a slice, which begins where the call before ended,
/// and so has what the program did in between; later, and in other threads, an instant.
pub fn trace_calls(output: Arc<Output>) {
    LAST.store(trace::start(), Relaxed);
    name_thread(&output, "program");
    syscall::observe(move |call, result| {
        let now = clock::monotonic();
        let begins = LAST.swap(now, Relaxed);
        let kind = match HAS_STARTED.load(Relaxed) {
            false => Kind::Slice { begins, ends: now },
            true => Kind::Instant(now),
        };
        let category = if is_interrupt(call.name) { "interrupt" } else { "call" };
        let shown = &format!("{}", Shown(call, result));
        write(&output, kind, category, JsonText(call.name), shown);
    });
}

/// Whether a call interrupts a guest.
fn is_interrupt(name: Name) -> bool {
    matches!(name, Name::Request(KVM_IRQ_LINE | KVM_SIGNAL_MSI | KVM_INTERRUPT | KVM_NMI | KVM_SMI))
}

struct Shown<'a>(&'a Call<'a>, Result<usize, Errno>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let arguments = format!("{}", self.0.arguments);
        let end = arguments.floor_char_boundary(LONGEST);
        f.write_str(&arguments[..end])?;
        match self.1 {
            Ok(result) => write!(f, " = {result}"),
            Err(errno) => write!(f, " = -1 {errno}"),
        }
    }
}

/// The track of a vCPU: when it is in the guest, and how each exit is handled, with the device that does.
pub struct VcpuTrack {
    output: Arc<Output>,
    /// When the guest was entered last.
    entered: u64,
    has_name: bool,
}

impl VcpuTrack {
    /// For a vCPU that is about to run.
    pub fn new(output: Arc<Output>) -> VcpuTrack {
        VcpuTrack { output, entered: clock::monotonic(), has_name: false }
    }
}

impl ExitObserver for VcpuTrack {
    fn exit(&mut self, exit: &mut ObservedExit) {
        HAS_STARTED.store(true, Relaxed);
        // The reader of the trace may be behind.
        self.output.wait_for_room(exit.control);
    }

    fn handled(&mut self, exit: &HandledExit) {
        let output = &self.output;
        if !core::mem::replace(&mut self.has_name, true) {
            name_thread(output, &format!("vCPU {}", exit.vcpu));
        }
        let guest = Kind::Slice { begins: self.entered, ends: exit.began };
        write(output, guest, "guest", JsonText("guest"), "");
        let handling = || Kind::Slice { begins: exit.began, ends: exit.ended };
        write(output, handling(), "exit", JsonText(reason_name(exit.reason)), "");
        if !exit.answered_by.is_empty() {
            write(output, handling(), "device", JsonText(exit.answered_by), "");
        }
        self.entered = exit.ended;
    }
}

/// Whether an event takes time. In nanoseconds of the monotonic clock.
enum Kind {
    Slice { begins: u64, ends: u64 },
    Instant(u64),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Kind::Slice { begins, ends } => {
                let ts = Micros(begins.saturating_sub(trace::start()));
                write!(
                    f,
                    "\"ph\": \"X\", \"ts\": {ts}, \"dur\": {}",
                    Micros(ends.saturating_sub(begins))
                )
            }
            Kind::Instant(at) => {
                let ts = Micros(at.saturating_sub(trace::start()));
                write!(f, "\"ph\": \"i\", \"s\": \"t\", \"ts\": {ts}")
            }
        }
    }
}

/// Nanoseconds, shown as microseconds.
struct Micros(u64);

impl fmt::Display for Micros {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

/// An event of this thread.
fn write(output: &Output, kind: Kind, category: &str, name: impl fmt::Display, what: &str) {
    let thread = process::thread_id();
    output.timeline_event(format_args!(
        "{{\"name\": {name}, \"cat\": \"{category}\", \"pid\": 1, \"tid\": {thread}, {kind}, \"args\": {{\"what\": {}}}}}",
        JsonText(what)
    ));
}

/// Says what this thread's track is called.
fn name_thread(output: &Output, name: &str) {
    let thread = process::thread_id();
    output.timeline_event(format_args!(
        "{{\"name\": \"thread_name\", \"ph\": \"M\", \"pid\": 1, \"tid\": {thread}, \"args\": {{\"name\": {}}}}}",
        JsonText(name)
    ));
}
