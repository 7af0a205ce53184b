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
use crate::board;
use crate::boot::files::Files;
use crate::boot::flat::Image;
use crate::boot::mode::{self, Mode};
use crate::cli::{self, DIRTY_LOG, Options, REPLAY, STATS, STEP, TRACE_CALLS, TRACE_EXITS};
use crate::device::board::{Board, Event};
use crate::device::console::Console;
use crate::errno::Errno;
use crate::error::{Call, Error};
use crate::exit::{self, Death};
use crate::fd::Fd;
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
use crate::thread::{Lock, both};
use crate::vcpu::Vcpu;
use crate::view::View;
use crate::vm::{DirtyBitmap, Vm};
use crate::x86;

/// Builds the machine, runs it to its end, and takes it apart again; where the guest resets it and the user wants that, anew;
/// where the guest dies and `--replay` asks for it, once more.
pub fn run(options: &Options) -> Result<End, Error> {
    loop {
        let end = live(options, None)?;
        match end {
            End::Reset if options.restart => {}
            End::Died if options.wants(REPLAY) => {
                return match replay(options)? {
                    stopped @ End::Stopped(_) => Ok(stopped),
                    _ => Ok(end),
                };
            }
            _ => return Ok(end),
        }
    }
}

/// Runs the guest again, single-stepped, to show its last instructions.
#[inline(never)]
fn replay(options: &Options) -> Result<End, Error> {
    let again = options.kernel.is_some() || Image::is_file(options.image());
    report::message(options.program, &mut |text| {
        text.plain(match (options.cpus, again) {
            (2.., _) => t!("replay: with several vCPUs no run is like another"),
            (_, true) => t!("replay: again, step by step; that can take long, Ctrl-C ends it"),
            (_, false) => t!("replay: the image is no file, and can't be read again"),
        });
    });
    if options.cpus > 1 || !again {
        return Ok(End::Died);
    }
    live(options, Some(&mut Replay::default()))
}

/// A machine's life. With a `replay`, the guest is single-stepped and nothing of it is shown but its end.
#[inline(never)]
fn live(options: &Options, replay: Option<&mut Replay>) -> Result<End, Error> {
    // 1. The image or the kernel, before anything is changed: a bad one costs nothing.
    let mut files = Files::default();
    files.open(options)?;
    let image = match files.is_kernel() {
        true => None,
        false => Some(Image::open(options.image(), options.image_room())?),
    };

    // 2. KVM, and the interface that we know. No capability is asked for: Linux 5.0 has all that the
    // default run uses.
    let kvm = Kvm::open()?;
    kvm.api_version()?;

    // 3. RAM, and the image in it, and the tables that the mode needs; or the kernel, and what it is told. Reading a kernel takes
    // about as long as making a VM, in which KVM mostly waits: it is read meanwhile, by a thread of its own, since KVM
    // names a VM after the thread that makes it.
    let memory = Memory::map(options.backing, options.memory)?;
    let mut image = image;
    let mut loaded = Ok(());
    let mut load = || {
        let (read, mode) = match image.take() {
            Some(image) => {
                let at = options.load - options.base;
                (image.load(&memory, at, options.image_end()), options.mode)
            }
            None => (files.load(options, &memory), files.mode()),
        };
        loaded = read.and_then(|()| match mode {
            Mode::Real => Ok(()),
            _ => mode::write_tables(&memory, options.base, options.low_size()),
        });
    };
    // A trace has the calls in order.
    let apart = files.is_kernel() && !options.wants(TRACE_CALLS);
    // SAFETY: they share the options and KVM, which nobody changes.
    let vm = unsafe { both(apart, &mut load, || kvm.create_vm()) };
    loaded?;
    files.close();

    // 4. The VM. Real mode on older Intel processors is a trick of KVM's that needs room. Interrupt controllers
    // come before the vCPUs, since each of these has a part of them.
    let vm = vm?;
    vm.set_tss_address(layout::TSS)?;
    vm.set_identity_map_address(layout::IDENTITY_MAP)?;
    if options.board() {
        board::interrupts(&vm)?;
    }

    // 5. RAM becomes the guest's; what is past the hole, from 4 GiB on.
    let flags = if options.wants(DIRTY_LOG) { KVM_MEM_LOG_DIRTY_PAGES } else { 0 };
    let (low, all) = (options.low_size(), memory.size());
    vm.set_memory(0, flags, options.base, &memory, 0, low)?;
    if all > low {
        vm.set_memory(layout::HIGH_SLOT, flags, layout::HIGH, &memory, low, all - low)?;
    }

    go(options, &kvm, &memory, vm, &files, replay)
}

/// Makes vCPU `number` as the options ask for it. The first one begins the run; others wait until it sends for them.
#[inline(never)]
pub fn make_cpu<'m>(
    options: &Options,
    kvm: &Kvm,
    vm: &Vm<'m>,
    number: u32,
    files: &Files,
    silent: bool,
) -> Result<Cpu<'m>, Error> {
    // 6. What it shares with us is as large as KVM says. In real mode CPUID is left empty, since such code
    // can do without.
    let mut cpu = Cpu::new(number, vm.create_vcpu(number, kvm.vcpu_mmap_size()?)?);
    if options.board() {
        cpu.vcpu.set_cpuid(kvm, Some((number, options.cpus)))?;
        cpu.vcpu.set_up(number == 0)?;
    } else if options.mode != Mode::Real {
        cpu.vcpu.set_cpuid(kvm, None)?;
        offer(options, vm, silent);
    }

    // 7. The rest of its state is the processor's after reset.
    if number == 0 {
        set_registers(options, files, &mut cpu)?;
    }
    Ok(cpu)
}

/// Whether a VM can be made, and a vCPU in the state that the options ask for.
pub fn try_vcpu(options: &Options, kvm: &Kvm) -> Result<(), Error> {
    let vm = kvm.create_vm()?;
    if options.board() {
        board::interrupts(&vm)?;
    }
    board::enough_cpus(options, kvm)?;
    make_cpu(options, kvm, &vm, 0, &Files::default(), true).map(drop)
}

/// What a guest outside real mode may want: that MSRs and hypercalls unknown to KVM come to us.
#[inline(never)]
fn offer(options: &Options, vm: &Vm, silent: bool) {
    for &(capability, value) in &[
        (KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_UNKNOWN as u64),
        (KVM_CAP_EXIT_HYPERCALL, 1 << KVM_HC_MAP_GPA_RANGE),
    ] {
        if vm.enable(capability, value).is_err() && !silent {
            report::note(options.program, Note::NoCapability(capability));
        }
    }
}

/// Sets the registers with which the guest starts.
#[inline(never)]
fn set_registers(options: &Options, files: &Files, cpu: &mut Cpu) -> Result<(), Error> {
    let Cpu { vcpu, before: kvm_sync_regs { regs, sregs, .. }, .. } = cpu;
    vcpu.sregs(sregs)?;
    let reset = *sregs;
    *regs = match files.is_kernel() {
        true => files.registers(options, sregs),
        false => mode::registers(options.mode, options.entry, options.low_end(), sregs),
    };
    for text in options.set {
        // What is wrong with it, the command line has said.
        let _ = cli::set_register(text, regs, sregs);
    }
    let refused = |_: &Error| report::bad_state(options.program, regs, sregs);
    vcpu.set_sregs(sregs, &reset).inspect_err(refused)?;
    vcpu.run_page().set_cr8(sregs.cr8);
    vcpu.set_regs(regs)
}

/// Runs a machine that has RAM, and tells how it went.
#[inline(never)]
fn go<'m>(
    options: &'m Options<'m>,
    kvm: &Kvm,
    memory: &'m Memory<'m>,
    vm: Vm<'m>,
    files: &Files,
    replay: Option<&'m mut Replay>,
) -> Result<End, Error> {
    let silent = replay.is_some();
    let console = Console::new(libc::STDOUT_FILENO, options.pause);
    let mut machine = Machine {
        options,
        memory,
        vm,
        window: false,
        watched: false,
        coalesced: false,
        stats: None,
        dirty: None,
        wake: None,
        end: None,
        line: false,
        told: false,
        starving: false,
        devices: Devices::new(console, options.program, report::note, silent),
        replay,
    };
    if options.board() {
        return board::run(machine, kvm, files);
    }
    let mut cpu = make_cpu(options, kvm, &machine.vm, 0, files, silent)?;
    cpu.vcpu.heed_signals();
    machine.watch(&mut cpu)?;
    // 8. Go.
    memory.keep();
    let shared = Lock::new(machine);
    let end = cpu.run(&shared);
    shared.lock().finish(end, &mut cpu)
}

/// A vCPU, and what the instruments remember of it.
pub struct Cpu<'m> {
    pub number: u32,
    pub vcpu: Vcpu<'m>,
    /// What the guest died of, where it died here.
    death: Option<Death>,
    /// Single-step: the bytes of the next instruction, as many as can be read.
    bytes: [u8; 8],
    len: usize,
    /// The state before it; without single-step, that in which the guest starts.
    before: kvm_sync_regs,
}

impl<'m> Cpu<'m> {
    fn new(number: u32, vcpu: Vcpu<'m>) -> Cpu<'m> {
        let before = kvm_sync_regs::default();
        Cpu { number, vcpu, death: None, bytes: [0; 8], len: 0, before }
    }

    /// Enters the guest again and again, until it or a signal or the reader ends the run.
    #[inline(never)]
    fn run(&mut self, shared: &Lock<Machine<'m>>) -> Result<End, Error> {
        loop {
            while signal::asked() {
                let mut machine = shared.lock();
                machine.show_stats();
                if let Err(errno) = machine.devices.console.rest() {
                    return without_output(errno);
                }
            }
            // A signal between this look and the ioctl has set immediate_exit: KVM_RUN returns EINTR.
            if let Some(signal) = signal::caught() {
                return Ok(End::Stopped(signal));
            }
            if let Some(end) = self.enter(shared)? {
                return Ok(end);
            }
        }
    }

    /// Enters the guest once, and answers the exit.
    #[inline]
    pub fn enter(&mut self, shared: &Lock<Machine<'m>>) -> Result<Option<End>, Error> {
        match self.vcpu.run() {
            // EAGAIN: it waited for another vCPU to send for it, and something else came.
            Err(Error { errno: Errno(libc::EINTR | libc::EAGAIN), .. }) => Ok(None),
            Err(error) => Err(error),
            Ok(()) => shared.lock().handle(self),
        }
    }
}

/// What the vCPUs share, and the instruments that look at it. The largest comes last: what is before is
/// reached by shorter instructions.
#[repr(C)]
pub struct Machine<'m> {
    pub options: &'m Options<'m>,
    pub memory: &'m Memory<'m>,
    /// Whether slot 1 is there.
    window: bool,
    /// Whether an instrument wants to see each exit. A run that has none pays for this one look.
    watched: bool,
    /// Whether the ring of coalesced writes may hold some.
    coalesced: bool,
    /// The serial port's interrupt line, as KVM was told last.
    line: bool,
    /// The first thread has been told that the serial port has output.
    told: bool,
    /// It waits for room in the serial port.
    pub starving: bool,
    /// With the board: what wakes the first thread.
    pub wake: Option<Fd>,
    /// With the board: how the machine ended, and on which vCPU.
    pub end: Option<(u32, Result<End, Error>)>,
    pub vm: Vm<'m>,
    dirty: Option<DirtyBitmap>,
    replay: Option<&'m mut Replay>,
    pub devices: Devices<'m>,
    stats: Option<Stats>,
}

impl<'m> Machine<'m> {
    /// Turns the instruments on, for this vCPU; those of the machine, with the first.
    #[inline(never)]
    pub fn watch(&mut self, cpu: &mut Cpu) -> Result<(), Error> {
        let step = self.options.wants(STEP) || self.replay.is_some();
        self.watched = step || self.options.wants(TRACE_EXITS | STATS);
        if cpu.number == 0 && self.options.wants(STATS) && self.replay.is_none() {
            self.stats = Some(Stats::begin(&self.vm, self.options.cpus)?);
        }
        if let Some(stats) = &mut self.stats {
            stats.watch(cpu.vcpu.stats())?;
        }
        if cpu.number == 0 && self.options.wants(DIRTY_LOG) {
            self.dirty = Some(DirtyBitmap::new(self.memory)?);
        }
        if step || self.options.wants(TRACE_EXITS) {
            cpu.vcpu.run_page().want_registers();
        }
        if step {
            cpu.vcpu.single_step()?;
            cpu.vcpu.registers(&mut cpu.before)?;
            self.begin_step(cpu);
        }
        Ok(())
    }

    /// Answers an exit. Gives how the run ends, where it does.
    fn handle(&mut self, cpu: &mut Cpu) -> Result<Option<End>, Error> {
        let time = if self.watched { trace::time() } else { 0 };
        // What the guest wrote before comes before this exit: coalesced writes are older.
        while self.coalesced
            && let Some(write) = cpu.vcpu.run_page().coalesced()
        {
            self.devices.lesson.events.log(write, true);
        }
        let mut next = match answer(exit::decode(cpu.vcpu.run_page()), &mut self.devices) {
            Ok(next) => next,
            Err(errno) => return without_output(errno).map(Some),
        };
        if self.watched {
            self.see(time, cpu, &mut next);
        }
        Ok(Some(match next {
            Next::Enter | Next::Stepped => return Ok(None),
            Next::Ring(layout::RING_END) => End::Done,
            Next::Ring(value) => return self.ring(value).map(|()| None),
            Next::Board(event) => return self.heed(event),
            Next::Exit(status) => End::Status(status),
            Next::Halted => End::Halted,
            Next::Died(death) => {
                cpu.death = Some(death);
                End::Died
            }
        }))
    }

    /// The board asks for something.
    #[inline(never)]
    fn heed(&mut self, event: Event) -> Result<Option<End>, Error> {
        match event {
            Event::None => {}
            Event::Serial => self.serial()?,
            Event::Off => return Ok(Some(End::Off)),
            Event::Reset => return Ok(Some(End::Reset)),
            Event::Line(gsi, active) => self.vm.set_line(gsi.into(), active)?,
            Event::Drop(gpa) => {
                self.memory.drop_page(u64::from(gpa).wrapping_sub(self.options.base))
            }
        }
        Ok(None)
    }

    /// The serial port may want an interrupt, or the first thread.
    #[inline(never)]
    pub fn serial(&mut self) -> Result<(), Error> {
        let Some(Board { serial, .. }) = &self.devices.board else { return Ok(()) };
        let (active, room) = (serial.interrupt(), serial.room() > 0);
        if serial.waits && !self.told || self.starving && room {
            self.told = serial.waits;
            self.starving &= !room;
            if let Some(wake) = &self.wake {
                wake.ring();
            }
        }
        if active != core::mem::replace(&mut self.line, active) {
            self.vm.set_line(layout::SERIAL_LINE, active)?;
        }
        Ok(())
    }

    /// Writes out what the serial port has sent.
    #[inline(never)]
    pub fn flush(&mut self) -> Result<(), Errno> {
        self.told = false;
        match &mut self.devices.board {
            Some(board) => board.serial.flush(),
            None => Ok(()),
        }
    }

    /// The guest rang the doorbell.
    #[inline(never)]
    fn ring(&mut self, value: u32) -> Result<(), Error> {
        match value {
            layout::RING_CLOSE => self.set_window(None),
            layout::RING_OPEN => self.set_window(Some(0)),
            layout::RING_OPEN_READONLY => self.set_window(Some(KVM_MEM_READONLY)),
            layout::RING_DIRTY if self.dirty.is_some() => self.show_dirty(),
            layout::RING_DIRTY => {
                self.devices.note(Note::NoDirtyLog);
                Ok(())
            }
            _ => {
                let lesson = &mut self.devices.lesson;
                let scratch = lesson.scratch();
                self.coalesced |=
                    matches!(value, layout::RING_COALESCE | layout::RING_COALESCE_PORT);
                lesson.events.ring(value, &self.vm, scratch).unwrap_or_else(|| {
                    self.devices.note(Note::UnknownRing(value));
                    Ok(())
                })
            }
        }
    }

    /// Adds or removes slot 1 while the guest runs. KVM does not let a slot become read-only: it is made anew.
    fn set_window(&mut self, flags: Option<u32>) -> Result<(), Error> {
        if self.window {
            self.vm.set_memory(1, 0, layout::WINDOW, self.memory, 0, 0)?;
        }
        self.window = flags.is_some();
        let size = layout::WINDOW_SIZE.min(self.memory.size());
        self.devices.readonly = if flags == Some(KVM_MEM_READONLY) { size } else { 0 };
        match flags {
            Some(flags) => self.vm.set_memory(1, flags, layout::WINDOW, self.memory, 0, size),
            None => Ok(()),
        }
    }

    // ---- the instruments

    /// Whether it only shows the guest's way once more.
    pub fn replays(&self) -> bool {
        self.replay.is_some()
    }

    fn view<'v>(&'v self, cpu: &'v Cpu) -> View<'v> {
        let (base, low) = (self.options.base, self.options.low_size());
        View { vcpu: &cpu.vcpu, memory: self.memory, base, low }
    }

    /// Shows an exit to the instruments that want it.
    #[inline(never)]
    fn see(&mut self, time: u64, cpu: &mut Cpu, next: &mut Next) {
        let silent = self.replay.is_some();
        if let Some(stats) = &mut self.stats {
            stats.count(cpu.vcpu.run_page().exit_reason());
        }
        if self.options.wants(TRACE_EXITS) && !silent {
            let number = (self.options.cpus > 1).then_some(cpu.number);
            trace::exit(time, number, cpu.vcpu.run_page(), self.devices.reply);
        }
        if (self.options.wants(STEP) || silent) && matches!(next, Next::Stepped | Next::Halted) {
            let now = cpu.vcpu.run_page().registers();
            if !silent {
                trace::step(&cpu.before, now, cpu.bytes.get(..cpu.len).unwrap_or_default());
            }
            // A software backend steps over HLT as over anything.
            if cpu.bytes[0] == HLT && now.regs.rip == cpu.before.regs.rip.wrapping_add(1) {
                *next = Next::Halted;
            }
            cpu.before = *now;
            self.begin_step(cpu);
        }
    }

    /// The next instruction begins, in the state `before`.
    fn begin_step(&mut self, cpu: &mut Cpu) {
        let address = x86::instruction(&cpu.before.regs, &cpu.before.sregs);
        let mut bytes = [0; 8];
        cpu.len = self.view(cpu).linear(address, &mut bytes);
        cpu.bytes = bytes;
        if let Some(replay) = &mut self.replay {
            replay.at(address, &bytes, cpu.len);
        }
    }

    /// The run has ended on this vCPU.
    #[inline(never)]
    pub fn finish(&mut self, end: Result<End, Error>, cpu: &mut Cpu) -> Result<End, Error> {
        // What the guest said comes before what is said about it.
        let flushed = self.flush().and(self.devices.console.flush());
        let end = match flushed {
            Err(errno) if end.is_ok() => without_output(errno),
            _ => end,
        };
        self.tell(end, cpu)
    }

    /// What there is to be told at the end.
    fn tell(&mut self, end: Result<End, Error>, cpu: &mut Cpu) -> Result<End, Error> {
        let program = self.options.program;
        if let Some(replay) = &self.replay {
            let died = end == Ok(End::Died);
            report::message(program, &mut |text| {
                replay.show(text, &self.view(cpu), &cpu.before, died);
            });
            return end;
        }
        self.show_dirty()?;
        self.show_stats();
        // Of a failed entry, what was set counts: what is there now, may be nobody's.
        if cpu.death != Some(Death::FailEntry) {
            cpu.vcpu.registers(&mut cpu.before)?;
        }
        let kvm_sync_regs { regs, sregs, .. } = &cpu.before;
        match end {
            Ok(End::Halted) => report::halted(program, regs, sregs),
            Ok(End::Reset) => report::message(program, &mut |text| {
                text.plain(match self.options.restart {
                    true => t!("the guest reset the machine: it starts anew"),
                    false => t!("the guest reset the machine"),
                });
            }),
            Ok(End::Died) | Err(Error { call: RUN, .. }) => report::message(program, &mut |text| {
                match cpu.death {
                    Some(death) => report::death::cause(text, death, cpu.vcpu.page()),
                    None => text.plain(t!("KVM_RUN failed")),
                }
                if self.options.cpus > 1 {
                    text.say(t!("\n  on vCPU %d"), &[], &[cpu.number.into()]);
                }
                report::death::state(text, &self.view(cpu), regs, sregs, false);
            }),
            _ => {}
        }
        end
    }

    #[inline(never)]
    pub fn show_stats(&mut self) {
        if let Some(stats) = &mut self.stats {
            report::message(self.options.program, &mut |text| {
                stats.show(text, self.options, self.memory, self.dirty.is_some());
                let events = &mut self.devices.lesson.events;
                events.read(layout::LESSON_COUNTER);
                if events.told + events.ringed > 0 {
                    let numbers = [events.told, events.ringed];
                    text.say(
                        t!("\n  exits saved: %d by ioeventfd, %d by the ring of coalesced writes"),
                        &[],
                        &numbers,
                    );
                }
            });
        }
    }

    fn show_dirty(&mut self) -> Result<(), Error> {
        if let Some(bitmap) = &mut self.dirty {
            let (low, all) = (self.options.low_size(), self.memory.size());
            for (slot, base, size) in
                [(0, self.options.base, low), (layout::HIGH_SLOT, layout::HIGH, all - low)]
            {
                if size != 0 {
                    self.vm.dirty_log(slot, bitmap)?;
                    report::dirty(self.options.program, base, size, bitmap);
                }
            }
        }
        Ok(())
    }
}

/// How a run ends whose output can't be written.
pub fn without_output(errno: Errno) -> Result<End, Error> {
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
