//! `--trace-format timeline`: the trace as events for Perfetto (ui.perfetto.dev) and chrome://tracing, in their "trace event format": a JSON
//! array with an object for each event. Each thread has a track. Times are in microseconds since the program began.

use crate::host::clock;
use crate::host::errno::Errno;
use crate::host::process;
use crate::host::syscall::{self, Call, Name};
use crate::inspect::observer::{ExitObserver, HandledExit, ObservedExit};
use crate::inspect::trace::{self, reason_name};
use crate::json::JsonText;
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

/// From now on each call is an event, until the program ends. During set-up a call of this thread is drawn as a slice. The slice starts at
/// the end of the previous call, so it includes the program's own work before the call. All others are instants.
pub fn trace_calls(output: Arc<Output>) {
    LAST.store(trace::start(), Relaxed);
    name_thread(&output, "program");
    let this_thread = process::thread_id();
    syscall::observe(move |call, result| {
        let now = clock::monotonic();
        let kind = if !HAS_STARTED.load(Relaxed) && process::thread_id() == this_thread {
            Kind::Slice { begins: LAST.swap(now, Relaxed), ends: now }
        } else {
            Kind::Instant(now)
        };
        let category = if is_interrupt(call.name) { "interrupt" } else { "call" };
        let shown = &format!("{}", Shown(call, result));
        write(&output, kind, category, JsonText(call.name), shown);
    });
}

/// A vCPU is about to enter the guest.
pub fn end_set_up() {
    HAS_STARTED.store(true, Relaxed);
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

    /// The time in `KVM_RUN`, which ends now: in the guest, and in KVM, where it handles an exit itself.
    fn left_guest(&mut self, vcpu: u32, now: u64) {
        if !core::mem::replace(&mut self.has_name, true) {
            name_thread(&self.output, &format!("vCPU {vcpu}"));
        }
        let guest = Kind::Slice { begins: self.entered, ends: now };
        write(&self.output, guest, "guest", JsonText("guest"), "");
    }
}

impl ExitObserver for VcpuTrack {
    fn exit(&mut self, exit: &mut ObservedExit) {
        // The reader of the trace may be behind.
        self.output.wait_for_room(exit.control);
    }

    fn handled(&mut self, exit: &HandledExit) {
        self.left_guest(exit.vcpu, exit.began);
        let output = &self.output;
        let handling = || Kind::Slice { begins: exit.began, ends: exit.ended };
        write(output, handling(), "exit", JsonText(reason_name(exit.reason)), "");
        if !exit.answered_by.is_empty() {
            write(output, handling(), "device", JsonText(exit.answered_by), "");
        }
        self.entered = exit.ended;
    }

    fn goes_on(&mut self) {
        self.entered = clock::monotonic();
    }

    fn paused(&mut self, vcpu: u32) {
        self.left_guest(vcpu, clock::monotonic());
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
