//! The machine: how it is put together, and the loop that runs it.
//!
//! ```text
//!   image ───┐                          registers
//!            ▼                              │
//!   backing ─▶ RAM ─▶ slot 0 ─┐             ▼
//!                             ├─▶ VM ──▶ vCPU ──▶ KVM_RUN ◀──┐
//!   /dev/kvm ─────────────────┘                     │        │
//!                                                 exit       │
//!                                                   ▼        │
//!                                        decode ─▶ answer ───┘
//! ```

use crate::answer::{Devices, Next, answer};
use crate::boot::flat::Image;
use crate::boot::mode::{self, Mode};
use crate::cli::{self, DIRTY_LOG, Options, REPLAY, STATS, STEP, TRACE_EXITS};
use crate::device::console::Console;
use crate::errno::Errno;
use crate::error::{Call, Error};
use crate::exit::{self, Death};
use crate::kvm::Kvm;
use crate::layout;
use crate::memory::Memory;
use crate::report::death::Replay;
use crate::report::stats::Stats;
use crate::report::trace;
use crate::report::{self, End, Note};
use crate::signal;
use crate::sys::cap::*;
use crate::sys::ioctl::KVM_RUN;
use crate::sys::memory::{KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY};
use crate::sys::run::kvm_sync_regs;
use crate::t;
use crate::vcpu::Vcpu;
use crate::view::View;
use crate::vm::{DirtyBitmap, Vm};
use crate::x86;

/// Builds the machine, runs it to its end, and takes it apart again; where the guest dies and `--replay` asks for
/// it, once more.
pub fn run(options: &Options) -> Result<End, Error> {
    let end = live(options, None)?;
    if end != End::Died || !options.wants(REPLAY) {
        return Ok(end);
    }
    match replay(options)? {
        stopped @ End::Stopped(_) => Ok(stopped),
        _ => Ok(end),
    }
}

/// Runs the guest again, single-stepped, to show its last instructions.
#[inline(never)]
fn replay(options: &Options) -> Result<End, Error> {
    let is_file = Image::is_file(options.image);
    report::message(options.program, &mut |text| match is_file {
        true => text.plain(t!("replay: again, step by step; that can take long, Ctrl-C ends it")),
        false => text.plain(t!("replay: the image is no file, and can't be read again")),
    });
    if !is_file {
        return Ok(End::Died);
    }
    live(options, Some(&mut Replay::default()))
}

/// A machine's life. With a `replay`, the guest is single-stepped and nothing of it is shown but its end.
#[inline(never)]
fn live(options: &Options, replay: Option<&mut Replay>) -> Result<End, Error> {
    // 1. The image, before anything is changed: a bad one costs nothing.
    let image = Image::open(options.image, options.image_room())?;

    // 2. KVM, and the interface that we know. No capability is asked for: Linux 5.0 has all that the
    // default run uses.
    let kvm = Kvm::open()?;
    kvm.api_version()?;

    // 3. RAM, and the image in it; and the tables that the mode needs.
    let memory = Memory::map(options.backing, options.memory)?;
    image.load(&memory, options.load - options.base, options.image_end())?;
    drop(image);
    if options.mode != Mode::Real {
        mode::write_tables(&memory, options.base)?;
    }

    // 4. The VM. Real mode on older Intel processors is a trick of KVM's that needs room.
    let vm = kvm.create_vm()?;
    vm.set_tss_address(layout::TSS)?;
    vm.set_identity_map_address(layout::IDENTITY_MAP)?;

    // 5. RAM becomes the guest's.
    let flags = if options.wants(DIRTY_LOG) { KVM_MEM_LOG_DIRTY_PAGES } else { 0 };
    vm.set_memory(0, flags, options.base, &memory, memory.size())?;

    // 6. and 7. The vCPU, and where it starts.
    let mut start = kvm_sync_regs::default();
    let vcpu = make_vcpu(options, &kvm, &vm, replay.is_some(), &mut start)?;

    // 8. Go.
    memory.keep();
    go(options, &memory, vm, vcpu, &start, replay)
}

/// Makes the vCPU that the options ask for, and leaves the registers with which it starts in `start`.
#[inline(never)]
fn make_vcpu<'m>(
    options: &Options,
    kvm: &Kvm,
    vm: &Vm<'m>,
    silent: bool,
    start: &mut kvm_sync_regs,
) -> Result<Vcpu<'m>, Error> {
    // 6. What it shares with us is as large as KVM says. In real mode CPUID is left empty, since such code
    // can do without.
    let mut vcpu = vm.create_vcpu(0, kvm.vcpu_mmap_size()?)?;
    if options.mode != Mode::Real {
        vcpu.set_cpuid(kvm)?;
        offer(options, vm, silent);
    }

    // 7. The rest of its state is the processor's after reset.
    set_registers(options, &mut vcpu, start)?;
    Ok(vcpu)
}

/// Whether a VM can be made, and a vCPU in the state that the options ask for.
pub fn try_vcpu(options: &Options, kvm: &Kvm) -> Result<(), Error> {
    let vm = kvm.create_vm()?;
    make_vcpu(options, kvm, &vm, true, &mut kvm_sync_regs::default()).map(drop)
}

/// What a guest outside real mode may want: that MSRs and hypercalls unknown to KVM come to us.
#[inline(never)]
fn offer(options: &Options, vm: &Vm, silent: bool) {
    for (capability, value) in [
        (KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_UNKNOWN.into()),
        (KVM_CAP_EXIT_HYPERCALL, 1 << KVM_HC_MAP_GPA_RANGE),
    ] {
        if vm.enable(capability, value).is_err() && !silent {
            report::note(options.program, Note::NoCapability(capability));
        }
    }
}

/// Sets the registers with which the guest starts, and leaves them in `start`.
#[inline(never)]
fn set_registers(
    options: &Options,
    vcpu: &mut Vcpu,
    start: &mut kvm_sync_regs,
) -> Result<(), Error> {
    let kvm_sync_regs { regs, sregs, .. } = start;
    vcpu.sregs(sregs)?;
    let reset = *sregs;
    let ram_end = options.base + options.memory;
    *regs = mode::registers(options.mode, options.entry, ram_end, sregs);
    for text in options.set {
        // What is wrong with it, the command line has said.
        let _ = cli::set_register(text, regs, sregs);
    }
    let refused = |_: &Error| report::bad_state(options.program, regs, sregs);
    vcpu.set_sregs(sregs, &reset).inspect_err(refused)?;
    vcpu.run_page().set_cr8(sregs.cr8);
    vcpu.set_regs(regs)
}

/// Runs a machine that is complete, and tells how it went.
#[inline(never)]
fn go<'m>(
    options: &'m Options<'m>,
    memory: &'m Memory<'m>,
    vm: Vm<'m>,
    vcpu: Vcpu<'m>,
    start: &kvm_sync_regs,
    replay: Option<&'m mut Replay>,
) -> Result<End, Error> {
    let console = Console::new(libc::STDOUT_FILENO, options.pause);
    let mut machine = Machine {
        options,
        memory,
        vm,
        vcpu,
        death: None,
        window: false,
        watched: false,
        stats: None,
        dirty: None,
        before: *start,
        bytes: [0; 8],
        len: 0,
        devices: Devices::new(console, options.program, report::note, replay.is_some()),
        replay,
    };
    machine.watch()?;
    let end = machine.run_loop();
    // What the guest said comes before what is said about it.
    let end = match machine.devices.console.flush() {
        Err(errno) if end.is_ok() => without_output(errno),
        _ => end,
    };
    machine.tell(end)
}

/// A machine that is complete, and the instruments that look at it. The largest comes last: what is before is
/// reached by shorter instructions.
#[repr(C)]
struct Machine<'m> {
    options: &'m Options<'m>,
    memory: &'m Memory<'m>,
    /// What the guest died of.
    death: Option<Death>,
    /// Whether slot 1 is there.
    window: bool,
    /// Whether an instrument wants to see each exit. A run that has none pays for this one look.
    watched: bool,
    vcpu: Vcpu<'m>,
    vm: Vm<'m>,
    dirty: Option<DirtyBitmap>,
    replay: Option<&'m mut Replay>,
    /// Single-step: the bytes of the next instruction, as many as can be read.
    bytes: [u8; 8],
    len: usize,
    /// The state before it; without single-step, that in which the guest starts.
    before: kvm_sync_regs,
    stats: Option<Stats>,
    devices: Devices<'m>,
}

impl<'m> Machine<'m> {
    /// Turns the instruments on.
    #[inline(never)]
    fn watch(&mut self) -> Result<(), Error> {
        let step = self.options.wants(STEP) || self.replay.is_some();
        self.watched = step || self.options.wants(TRACE_EXITS | STATS);
        if self.options.wants(STATS) && self.replay.is_none() {
            self.stats = Some(Stats::begin(&self.vm, &self.vcpu)?);
        }
        if self.options.wants(DIRTY_LOG) {
            self.dirty = Some(DirtyBitmap::new()?);
        }
        if step || self.options.wants(TRACE_EXITS) {
            self.vcpu.run_page().want_registers();
        }
        if step {
            self.vcpu.single_step()?;
            self.vcpu.registers(&mut self.before)?;
            self.begin_step();
        }
        Ok(())
    }

    /// Enters the guest again and again, until it or a signal or the reader ends the run.
    #[inline(never)]
    fn run_loop(&mut self) -> Result<End, Error> {
        loop {
            while signal::asked() {
                self.show_stats();
                if let Err(errno) = self.devices.console.rest() {
                    return without_output(errno);
                }
            }
            // A signal between this look and the ioctl has set immediate_exit: KVM_RUN returns EINTR.
            if let Some(signal) = signal::caught() {
                return Ok(End::Stopped(signal));
            }
            match self.vcpu.run() {
                Err(Error { errno: Errno(libc::EINTR), .. }) => continue,
                Err(error) => return Err(error),
                Ok(()) => {}
            }
            let time = if self.watched { trace::time() } else { 0 };
            let mut next = match answer(exit::decode(self.vcpu.run_page()), &mut self.devices) {
                Ok(next) => next,
                Err(errno) => return without_output(errno),
            };
            if self.watched {
                self.see(time, &mut next);
            }
            match next {
                Next::Enter | Next::Stepped => {}
                Next::Ring(layout::RING_END) => return Ok(End::Done),
                Next::Ring(value) => self.ring(value)?,
                Next::Halted => return Ok(End::Halted),
                Next::Died(death) => {
                    self.death = Some(death);
                    return Ok(End::Died);
                }
            }
        }
    }

    /// The guest rang the doorbell.
    fn ring(&mut self, value: u32) -> Result<(), Error> {
        match value {
            layout::RING_CLOSE => self.set_window(None),
            layout::RING_OPEN => self.set_window(Some(0)),
            layout::RING_OPEN_READONLY => self.set_window(Some(KVM_MEM_READONLY)),
            layout::RING_DIRTY if self.dirty.is_some() => self.show_dirty(),
            _ => {
                self.devices.note(match value {
                    layout::RING_DIRTY => Note::NoDirtyLog,
                    _ => Note::UnknownRing(value),
                });
                Ok(())
            }
        }
    }

    /// Adds or removes slot 1 while the guest runs. KVM does not let a slot become read-only: it is made anew.
    fn set_window(&mut self, flags: Option<u32>) -> Result<(), Error> {
        if self.window {
            self.vm.set_memory(1, 0, layout::WINDOW, self.memory, 0)?;
        }
        self.window = flags.is_some();
        self.devices.window_is_readonly = flags == Some(KVM_MEM_READONLY);
        match flags {
            Some(flags) => {
                let size = layout::WINDOW_SIZE.min(self.memory.size());
                self.vm.set_memory(1, flags, layout::WINDOW, self.memory, size)
            }
            None => Ok(()),
        }
    }

    // ---- the instruments

    fn view(&self) -> View<'_> {
        View { vcpu: &self.vcpu, memory: self.memory, base: self.options.base }
    }

    /// Shows an exit to the instruments that want it.
    #[inline(never)]
    fn see(&mut self, time: u64, next: &mut Next) {
        let silent = self.replay.is_some();
        if let Some(stats) = &mut self.stats {
            stats.count(self.vcpu.run_page().exit_reason());
        }
        if self.options.wants(TRACE_EXITS) && !silent {
            trace::exit(time, self.vcpu.run_page(), self.devices.reply);
        }
        if (self.options.wants(STEP) || silent) && matches!(next, Next::Stepped | Next::Halted) {
            let now = self.vcpu.run_page().registers();
            if !silent {
                trace::step(&self.before, now, &self.bytes);
            }
            // A software backend steps over HLT as over anything.
            if self.bytes[0] == HLT && now.regs.rip == self.before.regs.rip.wrapping_add(1) {
                *next = Next::Halted;
            }
            self.before = *now;
            self.begin_step();
        }
    }

    /// The next instruction begins, in the state `before`.
    fn begin_step(&mut self) {
        let address = x86::instruction(&self.before.regs, &self.before.sregs);
        let mut bytes = [0; 8];
        self.len = self.view().linear(address, &mut bytes);
        self.bytes = bytes;
        if let Some(replay) = &mut self.replay {
            replay.at(address, &bytes, self.len);
        }
    }

    /// What there is to be told at the end.
    #[inline(never)]
    fn tell(&mut self, end: Result<End, Error>) -> Result<End, Error> {
        let program = self.options.program;
        if let Some(replay) = &self.replay {
            let died = end == Ok(End::Died);
            report::message(program, &mut |text| {
                replay.show(text, &self.view(), &self.before, died);
            });
            return end;
        }
        self.show_dirty()?;
        self.show_stats();
        // Of a failed entry, what was set counts: what is there now, may be nobody's.
        if self.death != Some(Death::FailEntry) {
            self.vcpu.registers(&mut self.before)?;
        }
        let kvm_sync_regs { regs, sregs, .. } = &self.before;
        match end {
            Ok(End::Halted) => report::halted(program, regs, sregs),
            Ok(End::Died) | Err(Error { call: RUN, .. }) => report::message(program, &mut |text| {
                match self.death {
                    Some(death) => report::death::cause(text, death, self.vcpu.page()),
                    None => text.plain(t!("KVM_RUN failed")),
                }
                report::death::state(text, &self.view(), regs, sregs, false);
            }),
            _ => {}
        }
        end
    }

    #[inline(never)]
    fn show_stats(&mut self) {
        if let Some(stats) = &mut self.stats {
            report::message(self.options.program, &mut |text| {
                stats.show(text, self.options, self.memory, self.dirty.is_some());
            });
        }
    }

    fn show_dirty(&mut self) -> Result<(), Error> {
        if let Some(bitmap) = &mut self.dirty {
            self.vm.dirty_log(0, bitmap)?;
            report::dirty(self.options.program, self.options.base, self.memory.size(), bitmap);
        }
        Ok(())
    }
}

/// How a run ends whose output can't be written.
fn without_output(errno: Errno) -> Result<End, Error> {
    match (errno.0, signal::caught()) {
        (libc::EPIPE, _) => Ok(End::OutputClosed),
        (libc::EINTR, Some(signal)) => Ok(End::Stopped(signal)),
        _ => Err(Error { call: Call::WRITE_OUTPUT, errno }),
    }
}

/// The instruction's one byte.
const HLT: u8 = 0xf4;
/// Where it fails, there is a guest to look at.
const RUN: Call = Call::ioctl(KVM_RUN);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_that_nobody_reads_ends_the_run() {
        assert_eq!(without_output(Errno(libc::EPIPE)), Ok(End::OutputClosed));
        assert!(without_output(Errno(libc::ENOSPC)).is_err());
    }
}
