//! `--trace` and `--step`: a line for each call, each exit, each instruction, with the time. docs/course.md describes the format.

use crate::host::clock;
use crate::host::errno::Errno;
use crate::host::syscall::{self, Call, Name};
use crate::inspect::observer::{ExitObserver, ObservedExit};
use crate::kvm::Vcpu;
use crate::kvm::exit::{self, Exit};
use crate::lifecycle::VcpuControl;
use crate::output::Output;
use crate::show::{Bits, Dump, number};
use crate::sys::exit::{KVM_EXIT_DEBUG, KVM_EXIT_HLT, name};
use crate::x86::mode;
use crate::x86::registers::Changes;
use alloc::sync::Arc;
use core::fmt::{self, Display};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// When the program began, in nanoseconds of the monotonic clock.
static START: AtomicU64 = AtomicU64::new(0);

/// Times count from here.
pub fn start_clock() {
    START.store(clock::monotonic(), Relaxed);
}

/// When that was, in nanoseconds of the monotonic clock.
pub fn start() -> u64 {
    START.load(Relaxed)
}

/// Microseconds since then.
pub fn time() -> u64 {
    time_at(clock::monotonic())
}

/// Likewise, at a time of the monotonic clock.
pub fn time_at(nanoseconds: u64) -> u64 {
    (nanoseconds - START.load(Relaxed)) / 1000
}

/// The time of the last line.
static LAST: AtomicU64 = AtomicU64::new(0);

/// What a line of a trace begins with: milliseconds since the program began, and since the line before, in columns.
struct Stamp {
    time: u64,
    since_last: u64,
}

impl Stamp {
    /// `time` is in microseconds.
    fn new(time: u64) -> Stamp {
        // Lines of several vCPUs may come in another order than their times.
        let since_last = time.saturating_sub(LAST.swap(time, Relaxed));
        Stamp { time, since_last }
    }
}

impl fmt::Display for Stamp {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let &Stamp { time, since_last } = self;
        let (whole, part) = (since_last / 1000, since_last % 1000);
        write!(f, "{:>6}.{:03} ms {whole:>+5}.{part:03}", time / 1000, time % 1000)
    }
}

/// From now on each call is shown, until the program ends.
pub fn trace_calls(output: Arc<Output>) {
    syscall::observe(move |call, result| {
        let stamp = Stamp::new(time());
        output.trace_line(format_args!("{stamp}\t{}", ShownCall(call, result)), None);
    });
}

/// Holds a vCPU at its next exit while the reader of its calls is behind. A call itself can't wait: its caller may hold a
/// lock.
pub struct CallTraceBrake(pub Arc<Output>);

impl ExitObserver for CallTraceBrake {
    fn exit(&mut self, exit: &mut ObservedExit) {
        self.0.wait_for_room(exit.control);
    }
}

struct ShownCall<'a>(&'a Call<'a>, Result<usize, Errno>);

impl fmt::Display for ShownCall<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let &ShownCall(Call { name, fd, arguments }, result) = self;
        write!(f, "{name}(")?;
        match (fd, arguments.as_str()) {
            (Some(fd), Some("")) => write!(f, "{fd}")?,
            (Some(fd), _) => write!(f, "{fd}, {arguments}")?,
            (None, _) => write!(f, "{arguments}")?,
        }
        match result {
            Ok(address) if matches!(name, Name::Function("mmap" | "mremap")) => {
                write!(f, ") = {address:#x}")
            }
            Ok(result) => write!(f, ") = {result}"),
            Err(errno) => write!(f, ") = -1 {errno}"),
        }
    }
}

/// The C name of an exit reason, also of one that Linux 6.12 does not have.
pub fn reason_name(reason: u32) -> &'static str {
    name(reason).unwrap_or("KVM_EXIT_(not in Linux 6.12)")
}

/// Shows each exit: vCPU (if there are several), number, name, RIP, data, and the device that handled it. Writes are shown before
/// they are handled, reads after that.
pub struct ExitTrace {
    pub output: Arc<Output>,
    /// Whether there are several vCPUs.
    pub shows_vcpu: bool,
}

impl ExitObserver for ExitTrace {
    fn exit(&mut self, exit: &mut ObservedExit) {
        let vcpu = self.shows_vcpu.then(|| exit.control.number());
        let line = ExitLine { time: exit.time, vcpu, answered_by: exit.answered_by };
        line.write(&self.output, exit.vcpu, Some(exit.control));
    }
}

/// A line of a trace for an exit.
pub struct ExitLine {
    /// When it happened: see [`time`].
    pub time: u64,
    /// The vCPU's number, where there are several.
    pub vcpu: Option<u32>,
    /// Who answers; empty for nobody.
    pub answered_by: &'static str,
}

impl ExitLine {
    /// Shows the exit that `vcpu` has left in its page.
    pub fn write(self, output: &Output, vcpu: &mut Vcpu, control: Option<&Arc<VcpuControl>>) {
        let page = vcpu.page();
        let (reason, rip) = (page.exit_reason(), page.registers().regs.rip);
        let number = Shown(|f| match self.vcpu {
            Some(number) => write!(f, "vCPU {number} "),
            None => Ok(()),
        });
        let answer = Shown(|f| match self.answered_by {
            "" => Ok(()),
            name => write!(f, " -> {name}"),
        });
        let details = Details(&exit::decode(vcpu.page_mut()));
        output.trace_line(
            format_args!(
                "{}\t{number}exit {reason} {}, rip {rip:#x}{details}{answer}",
                Stamp::new(self.time),
                reason_name(reason)
            ),
            control,
        );
    }
}

/// A closure that prints.
struct Shown<F: Fn(&mut fmt::Formatter) -> fmt::Result>(F);

impl<F: Fn(&mut fmt::Formatter) -> fmt::Result> fmt::Display for Shown<F> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        (self.0)(f)
    }
}

/// What an exit wants.
struct Details<'a>(&'a Exit<'a>);

/// Items of a string instruction that are shown.
const ITEMS: usize = 8;

impl fmt::Display for Details<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match self.0 {
            Exit::Port { write, port, size, data } => {
                let direction = if *write { "OUT" } else { "IN" };
                let count = data.len() / size;
                write!(f, ": {direction} port {port:#x} size {size} count {count}:")?;
                data.chunks(*size).take(ITEMS).try_for_each(|item| Value(item).fmt(f))?;
                if count > ITEMS { f.write_str(" ...") } else { Ok(()) }
            }
            Exit::Mmio { write, address, data } => {
                let direction = if *write { "write" } else { "read" };
                write!(f, ": MMIO {direction} {address:#x} len {}:{}", data.len(), Value(data))
            }
            Exit::Hypercall(call) => {
                let [a, b, c, ..] = call.args;
                write!(f, ": {}({a:#x}, {b:#x}, {c:#x}) = {:#x}", call.nr, call.ret)
            }
            Exit::Msr { msr, .. } => {
                let reasons = Bits(msr.reason.into(), "INVAL UNKNOWN FILTER");
                write!(f, ": MSR {:#x} {:#x}, reason{reasons}", msr.index, msr.data)
            }
            Exit::EndOfInterrupt { vector } => write!(f, ": vector {vector:#x}"),
            _ => Ok(()),
        }
    }
}

/// A number in all its digits, and, where it is short, the character in its low byte.
struct Value<'a>(&'a [u8]);

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let number = number(self.0);
        write!(f, " {number:#0width$x}", width = 2 + 2 * self.0.len())?;
        match number as u8 {
            letter @ 0x20..0x7f if self.0.len() <= 2 => write!(f, " '{}'", char::from(letter)),
            _ => Ok(()),
        }
    }
}

/// Shows each instruction that was executed: its linear address, its bytes, and what it changed. Its length shows from the
/// next one's address. Of a jump it is not known, and the first six bytes are shown.
pub struct StepTrace(pub Arc<Output>);

impl ExitObserver for StepTrace {
    fn exit(&mut self, exit: &mut ObservedExit) {
        let page = exit.vcpu.page();
        let Some(step) = exit.step else { return };
        if !matches!(page.exit_reason(), KVM_EXIT_DEBUG | KVM_EXIT_HLT) {
            return;
        }
        let (before, after) = (&step.before, page.registers());
        let to = mode::instruction(&after.regs, &after.sregs);
        let bytes = &step.bytes[..step.len];
        let length = to.wrapping_sub(step.address);
        let instruction = Shown(|f| match bytes.get(..length as usize) {
            Some(instruction) if length > 0 => Dump(instruction).fmt(f),
            _ => write!(f, "{}.. -> {to:#x}", Dump(&bytes[..bytes.len().min(6)])),
        });
        let changes =
            Changes { before: (&before.regs, &before.sregs), after: (&after.regs, &after.sregs) };
        self.0.trace_line(
            format_args!(
                "{}\tstep {:#x}:{instruction}\t{changes}",
                Stamp::new(exit.time),
                step.address
            ),
            Some(exit.control),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_shown_with_descriptor_arguments_and_result() {
        let shown = |call: &Call, result| ShownCall(call, result).to_string();
        assert_eq!(shown(&Call::on(3, "fstat", format_args!("")), Ok(0)), "fstat(3) = 0");
        let mmap = Call::on(5, "mmap", format_args!("16 MiB"));
        assert_eq!(shown(&mmap, Ok(0x7000)), "mmap(5, 16 MiB) = 0x7000");
        let open = Call::new("open", format_args!("\"x\""));
        let failed = shown(&open, Err(Errno(libc::ENOENT)));
        assert_eq!(failed, "open(\"x\") = -1 ENOENT (2)");
    }

    #[test]
    fn a_line_begins_with_its_time_and_the_time_since_the_line_before() {
        let stamp = Stamp { time: 12345, since_last: 12 }.to_string();
        assert_eq!(stamp, "    12.345 ms    +0.012");
    }

    #[test]
    fn values_have_all_their_digits() {
        assert_eq!(Value(b"H").to_string(), " 0x48 'H'");
        assert_eq!(Value(&[0x48, 0x65]).to_string(), " 0x6548 'H'");
        assert_eq!(Value(&[1, 0, 0, 0]).to_string(), " 0x00000001");
    }
}
