//! `--trace`, `--step`: a line for each call and each exit, with the time. README.md describes the format.

use super::registers::Changes;
use crate::errno::Errno;
use crate::error::Call;
use crate::exit::{self, Exit};
use crate::fd::{self, Argument};
use crate::sys::cap;
use crate::sys::ioctl;
use crate::sys::regs::kvm_regs;
use crate::sys::run::kvm_sync_regs;
use crate::text::Text;
use crate::vcpu::RunPage;
use crate::words::Lines;
use crate::x86;
use crate::{lines, t};
use core::ffi::c_int;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// When the program began, in nanoseconds of the monotonic clock.
static START: AtomicU64 = AtomicU64::new(0);

/// From now on, times count from here; and with `calls`, each call is shown.
pub fn begin(calls: bool) {
    START.store(fd::now(), Relaxed);
    if calls {
        fd::watch(call);
    }
}

/// Microseconds since the beginning.
pub fn time() -> u64 {
    (fd::now() - START.load(Relaxed)) / 1000
}

/// A line on standard error: a time, and what `say` adds.
#[inline(never)]
fn line(time: u64, say: &mut dyn FnMut(&mut Text)) {
    // Whether it could be written: there is nobody to tell.
    let _ = super::print(libc::STDERR_FILENO, &mut |text| {
        text.say(t!("%d\t"), &[], &[time]);
        say(text);
        text.plain(t!("\n"));
    });
}

/// Shows a call. Those are left out that only look at the vCPU.
fn call(call: Call, fd: c_int, argument: &Argument, result: Result<usize, Errno>) {
    let looks = [ioctl::KVM_GET_REGS, ioctl::KVM_TRANSLATE].map(Call::ioctl);
    if looks.contains(&call) {
        return;
    }
    line(time(), &mut |text| {
        text.say(t!("%s("), &[call.name()], &[]);
        // open and mmap of anonymous memory have none.
        if fd >= 0 {
            text.say(t!("%d"), &[], &[fd as u64]);
            if !matches!(argument, Argument::None | Argument::Out(_)) {
                text.plain(t!(", "));
            }
        }
        about(text, argument);
        match result {
            Ok(address) if call.is_map() => text.say(t!(") = %x"), &[], &[address as u64]),
            Ok(result) => text.say(t!(") = %d"), &[], &[result as u64]),
            Err(errno) => text.say(t!(") = -1 %s (%d)"), &[errno.name()], &[errno.0 as u64]),
        }
    });
}

fn about(text: &mut Text, argument: &Argument) {
    match *argument {
        Argument::None | Argument::Out(_) => {}
        Argument::Number(number) => text.say(t!("%d"), &[], &[number]),
        Argument::Size(size) => text.say(t!("%z"), &[], &[size]),
        Argument::GpaValue(gpa) | Argument::Gpa(&gpa) => text.say(t!("GPA %x"), &[], &[gpa]),
        Argument::Path(path) => text.say(t!("\"%s\""), &[path.to_bytes()], &[]),
        Argument::Capability(number) => capability(text, number as u32),
        Argument::Region(region) => {
            let numbers = [
                region.slot.into(),
                region.guest_phys_addr,
                region.memory_size,
                region.userspace_addr,
                region.flags.into(),
            ];
            text.say(t!("slot %d, GPA %x, %z, HVA %x, flags %d"), &[], &numbers);
            text.bits(region.flags.into(), b"LOG_DIRTY_PAGES READONLY");
        }
        Argument::Regs(regs) => {
            let zeros = kvm_regs::default();
            let changes = &mut Changes::new(text, t!(", "));
            changes.general(&zeros, regs);
            text.say(t!(", rip %x"), &[], &[regs.rip]);
        }
        Argument::Sregs(sregs, before) => Changes::new(text, t!(", ")).special(before, sregs),
        Argument::Enable(enable) => {
            capability(text, enable.cap);
            text.say(t!(", %x"), &[], &[enable.args[0]]);
        }
        Argument::Debug(debug) => text.bits(debug.control.into(), b"ENABLE SINGLESTEP"),
        Argument::Cpuid(cpuid) => text.say(t!("%d entries"), &[], &[cpuid.nent.into()]),
        Argument::Entries(count, _) => text.say(t!("%d entries"), &[], &[count.into()]),
        Argument::Line(line) => {
            text.say(t!("GSI %d, level %d"), &[], &[line.irq.into(), line.level.into()]);
        }
        Argument::IoEvent(event) => {
            let numbers = [
                event.fd as u64,
                event.addr,
                event.len.into(),
                event.datamatch,
                event.flags.into(),
            ];
            text.say(t!("fd %d, at %x, len %d, value %x, flags %d"), &[], &numbers);
            text.bits(event.flags.into(), b"DATAMATCH PIO DEASSIGN");
        }
        Argument::IrqEvent(event) => {
            text.say(
                t!("fd %d, GSI %d, flags %d"),
                &[],
                &[event.fd.into(), event.gsi.into(), event.flags.into()],
            );
            text.bits(event.flags.into(), b"DEASSIGN RESAMPLE");
        }
        Argument::Message(message) => {
            text.say(
                t!("address %x, data %x"),
                &[],
                &[message.address_lo.into(), message.data.into()],
            );
        }
        Argument::Zone(zone) => {
            text.say(t!("at %x, %z"), &[], &[zone.addr, zone.size.into()]);
        }
    }
}

fn capability(text: &mut Text, number: u32) {
    text.say(t!("KVM_CAP_%s"), &[cap::name(number)], &[]);
}

/// What the program did in reply to an exit, in the order of [`REPLIES`].
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum Reply {
    /// Nothing.
    #[default]
    Nothing,
    /// It went to standard output.
    Console,
    /// Nobody is there.
    Nobody,
    /// The scratch register.
    Scratch,
    /// The time.
    Time,
    /// The doorbell was rung.
    Doorbell,
    /// It answered the hypercall.
    Hypercall,
    /// The lessons' MSR.
    Msr,
    /// The board's.
    Board,
    /// The lessons' counter, or the log.
    Counter,
    /// A #GP in the guest.
    Fault,
    /// The end of the run.
    End,
}

/// A line each.
const REPLIES: Lines<0, 0> = lines!(
    "",
    " -> standard output",
    " -> nobody: ones, or lost",
    " -> scratch register",
    " -> time",
    " -> doorbell",
    " -> answered",
    " -> the lessons' MSR",
    " -> the board",
    " -> counter or log",
    " -> #GP in the guest",
    " -> the run ends",
);

/// Shows an exit after it was answered: of which vCPU, if there are several, its number and name, where, its
/// data, and the answer.
pub fn exit(time: u64, cpu: Option<u32>, page: &mut RunPage, reply: Reply) {
    line(time, &mut |text| {
        let number = page.exit_reason();
        let words = [super::name(number)];
        let rip = page.registers().regs.rip;
        if let Some(cpu) = cpu {
            text.say(t!("vCPU %d "), &[], &[cpu.into()]);
        }
        text.say(t!("exit %d KVM_EXIT_%s, rip %x"), &words, &[number.into(), rip]);
        match exit::decode(page) {
            Exit::Port { write, port, size, data } => {
                let direction: &[u8] = if write { b"OUT" } else { b"IN" };
                let count = data.len().checked_div(size).unwrap_or(0);
                let numbers = [port.into(), size as u64, count as u64];
                text.say(t!(": %s port %x size %d count %d:"), &[direction], &numbers);
                for item in data.chunks(size.max(1)).take(ITEMS) {
                    value(text, item);
                }
                if count > ITEMS {
                    text.plain(t!(" ..."));
                }
            }
            Exit::Mmio { write, address, data } => {
                let direction: &[u8] = if write { b"write" } else { b"read" };
                let numbers = [address, data.len() as u64];
                text.say(t!(": MMIO %s %x len %d:"), &[direction], &numbers);
                value(text, data);
            }
            Exit::Hypercall(call) => {
                let [a, b, c, ..] = call.args;
                text.say(t!(": %d(%x, %x, %x) = %x"), &[], &[call.nr, a, b, c, call.ret]);
            }
            Exit::Msr { msr, .. } => {
                text.say(t!(": MSR %x %x, reason"), &[], &[msr.index.into(), msr.data]);
                text.bits(msr.reason.into(), b"INVAL UNKNOWN FILTER");
            }
            _ => {}
        }
        text.plain(REPLIES.get(reply as usize));
    });
}

/// Items of a string that are shown.
const ITEMS: usize = 8;

/// A number, and, where it is short, the character in its low byte.
fn value(text: &mut Text, bytes: &[u8]) {
    let number = x86::number(bytes);
    text.plain(t!(" "));
    text.value(number, bytes.len());
    match number as u8 {
        letter @ 0x20..0x7f if bytes.len() <= 2 => text.say(t!(" '%s'"), &[&[letter]], &[]),
        _ => {}
    }
}

/// `--step`: an instruction that was executed: its linear address, its bytes, and what it changed. Its length
/// shows from the next one's place; of a jump it is not known, and of `bytes` the first are shown.
pub fn step(before: &kvm_sync_regs, after: &kvm_sync_regs, bytes: &[u8]) {
    let [from, to] = [before, after].map(|at| x86::instruction(&at.regs, &at.sregs));
    line(time(), &mut |text| {
        text.say(t!("step %x:"), &[], &[from]);
        match bytes.get(..to.wrapping_sub(from) as usize) {
            Some(instruction @ [_, ..]) => text.dump(instruction),
            _ => {
                text.dump(bytes.get(..6).unwrap_or(bytes));
                text.say(t!(".. -> %x"), &[], &[to]);
            }
        }
        text.plain(t!("\t"));
        let changes = &mut Changes::new(text, t!(", "));
        changes.general(&before.regs, &after.regs);
        changes.special(&before.sregs, &after.sregs);
    });
}
