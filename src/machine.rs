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

use crate::boot::flat::Image;
use crate::boot::mode::{self, Mode};
use crate::cli::{self, DIRTY_LOG, Options, REPLAY, STATS, STEP, TRACE_EXITS};
use crate::device::console::Console;
use crate::device::lesson::Lesson;
use crate::errno::Errno;
use crate::error::{Call, Error};
use crate::exit::{self, Death, Exit};
use crate::kvm::Kvm;
use crate::layout::{self, SCRATCH_PORT, SCRATCH_PORT_END};
use crate::memory::Memory;
use crate::report::death::Replay;
use crate::report::stats::Stats;
use crate::report::trace::{self, Reply};
use crate::report::{self, End, Note};
use crate::signal;
use crate::sys::KVM_API_VERSION;
use crate::sys::cap::*;
use crate::sys::ioctl::{KVM_GET_API_VERSION, KVM_RUN};
use crate::sys::memory::{KVM_MEM_LOG_DIRTY_PAGES, KVM_MEM_READONLY};
use crate::sys::run::kvm_sync_regs;
use crate::t;
use crate::vcpu::Vcpu;
use crate::view::View;
use crate::vm::{DirtyBitmap, Vm};
use crate::x86;
use core::ffi::CStr;

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
    let offset = options.load - options.base;
    let end = options.memory.saturating_sub(mode::tables_size(options.mode));
    let image = Image::open(options.image, end.saturating_sub(offset))?;

    // 2. KVM, and the interface that we know. No capability is asked for: Linux 5.0 has all that the
    // default run uses.
    let kvm = Kvm::open()?;
    let version = kvm.api_version()?;
    if version != KVM_API_VERSION {
        return Err(Call::ioctl(KVM_GET_API_VERSION).error(libc::ENOSYS));
    }

    // 3. RAM, and the image in it; and the tables that the mode needs.
    let memory = Memory::map(options.backing, options.memory)?;
    image.load(&memory, offset, end)?;
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

    // 6. The vCPU. What it shares with us is as large as KVM says. In real mode CPUID is left empty, since
    // such code can do without.
    let mut vcpu = vm.create_vcpu(0, kvm.vcpu_mmap_size()?)?;
    if options.mode != Mode::Real {
        vcpu.set_cpuid(&kvm)?;
        offer(options, &vm, replay.is_some());
    }

    // 7. Where it starts. The rest of its state is the processor's after reset.
    let mut start = kvm_sync_regs::default();
    set_registers(options, &mut vcpu, &mut start)?;

    // 8. Go.
    memory.keep();
    go(options, &memory, vm, vcpu, &start, replay)
}

/// Whether a VM can be made, and a vCPU in the state that the options ask for.
#[inline(never)]
pub fn try_vcpu(options: &Options, kvm: &Kvm) -> Result<(), Error> {
    let vm = kvm.create_vm()?;
    let mut vcpu = vm.create_vcpu(0, kvm.vcpu_mmap_size()?)?;
    if options.mode != Mode::Real {
        vcpu.set_cpuid(kvm)?;
    }
    set_registers(options, &mut vcpu, &mut kvm_sync_regs::default())
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
        let address = self.before.sregs.cs.base.wrapping_add(self.before.regs.rip);
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

/// What an exit is answered with.
#[repr(C)]
struct Devices<'m> {
    lesson: Lesson,
    /// Writes to the window come here, and are told apart from those to nowhere.
    window_is_readonly: bool,
    program: &'m CStr,
    say: fn(&CStr, Note),
    /// Notes that are said once: of ports, addresses, the read-only window.
    noted: [bool; 3],
    /// The last answer, for a trace.
    reply: Reply,
    console: Console,
}

/// What to do after an exit.
#[derive(Debug, PartialEq)]
enum Next {
    Enter,
    /// Likewise, an instruction further.
    Stepped,
    /// The doorbell was rung.
    Ring(u32),
    Halted,
    Died(Death),
}

/// Answers an exit, in the run page where it is a read. An error is one of standard output.
fn answer(exit: Exit<'_>, devices: &mut Devices) -> Result<Next, Errno> {
    let lesson = &mut devices.lesson;
    let mut next = Next::Enter;
    devices.reply = match exit {
        Exit::Port { write: true, port: layout::CONSOLE_PORT, size, data } => {
            // x86 is little-endian: the first byte of an item is its low one.
            for &byte in data.iter().step_by(size.max(1)) {
                devices.console.put(byte)?;
            }
            Reply::Console
        }
        Exit::Port { write, port: port @ SCRATCH_PORT..SCRATCH_PORT_END, size, data } => {
            lesson.port((port - SCRATCH_PORT).into(), write, size, data);
            Reply::Scratch
        }
        Exit::Port { write: true, port: layout::DOORBELL_PORT, size, data } => {
            let last = data.len().saturating_sub(size);
            next = Next::Ring(x86::number(data.get(last..).unwrap_or_default()) as u32);
            Reply::Doorbell
        }
        Exit::Port { write: false, port: layout::DOORBELL_PORT, size, data } => {
            lesson.time(size, data);
            Reply::Time
        }
        Exit::Port { write, port, data, .. } => {
            ones(write, data);
            match port {
                layout::CONSOLE_PORT => Reply::Nobody,
                _ => devices.unanswered(Note::UnansweredPort(port))?,
            }
        }
        Exit::Mmio { write, address, data } => match address & !(layout::PAGE_SIZE - 1) {
            layout::LESSON_PAGE => match lesson.page(address - layout::LESSON_PAGE, write, data) {
                Some(value) => {
                    next = Next::Ring(value);
                    Reply::Doorbell
                }
                None => Reply::Scratch,
            },
            page => {
                ones(write, data);
                let in_window = page.wrapping_sub(layout::WINDOW) < layout::WINDOW_SIZE;
                devices.unanswered(match in_window && devices.window_is_readonly {
                    true => Note::ReadOnly(address),
                    false => Note::UnansweredAddress(address),
                })?
            }
        },
        Exit::Hypercall(call) => {
            // KVM_HC_MAP_GPA_RANGE alone comes here, and 0 is its success: we have no private memory.
            call.ret = 0;
            Reply::Hypercall
        }
        Exit::Msr { write, msr } => {
            msr.error = (msr.index != layout::LESSON_MSR).into();
            let (from, to) = match write {
                true => (msr.data, &mut lesson.msr),
                false => (lesson.msr, &mut msr.data),
            };
            if msr.error != 0 {
                Reply::Fault
            } else {
                *to = from;
                Reply::Msr
            }
        }
        Exit::Interrupted => Reply::Nothing,
        Exit::Step => {
            next = Next::Stepped;
            Reply::Nothing
        }
        Exit::Halt => {
            next = Next::Halted;
            Reply::End
        }
        Exit::Dead(death) => {
            next = Next::Died(death);
            Reply::End
        }
    };
    Ok(next)
}

/// What is read where nobody answers.
fn ones(write: bool, data: &mut [u8]) {
    if !write {
        data.fill(0xff);
    }
}

impl<'m> Devices<'m> {
    fn new(
        mut console: Console,
        program: &'m CStr,
        say: fn(&CStr, Note),
        silent: bool,
    ) -> Devices<'m> {
        console.silent = silent;
        Devices {
            console,
            lesson: Lesson::default(),
            window_is_readonly: false,
            program,
            say,
            noted: [silent; 3],
            reply: Reply::Nothing,
        }
    }

    /// Says it, unless it has been said; what the guest said before comes first.
    #[inline(never)]
    fn unanswered(&mut self, note: Note) -> Result<Reply, Errno> {
        let [port, address, readonly] = &mut self.noted;
        let noted = match note {
            Note::UnansweredPort(_) => port,
            Note::ReadOnly(_) => readonly,
            _ => address,
        };
        if !core::mem::replace(noted, true) {
            self.console.flush()?;
            self.note(note);
        }
        Ok(Reply::Nobody)
    }

    fn note(&self, note: Note) {
        if !self.console.silent {
            (self.say)(self.program, note);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::run::kvm_run_msr;
    use std::cell::Cell;
    use std::io::{PipeReader, Read, pipe};
    use std::os::fd::IntoRawFd;

    thread_local!(static NOTED: Cell<(u32, Option<Note>)> = const { Cell::new((0, None)) });

    /// Devices whose console writes into the pipe that comes with them.
    fn devices() -> (Devices<'static>, PipeReader) {
        NOTED.set((0, None));
        let (reader, writer) = pipe().unwrap();
        let say = |_: &CStr, note| NOTED.set((NOTED.get().0 + 1, Some(note)));
        let console = Console::new(writer.into_raw_fd(), std::time::Duration::ZERO);
        (Devices::new(console, c"", say, false), reader)
    }

    #[test]
    fn the_console_takes_the_low_byte_of_each_item() {
        for (size, data, written) in [
            (1, &b"ab\n"[..], *b"ab\n"),
            (2, &b"a1b2\n3"[..], *b"ab\n"),
            (4, &b"a111b222\n333"[..], *b"ab\n"),
        ] {
            let (mut devices, mut reader) = devices();
            let exit = Exit::Port {
                write: true,
                port: layout::CONSOLE_PORT,
                size,
                data: &mut data.to_vec(),
            };
            assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
            let mut line = [0; 3];
            reader.read_exact(&mut line).unwrap();
            assert_eq!(line, written);
        }
    }

    #[test]
    fn a_port_that_nobody_answers_reads_ones_and_is_noted_once() {
        let (mut devices, _reader) = devices();
        for port in [0x80, 0x81] {
            let mut data = [0; 2];
            let exit = Exit::Port { write: false, port, size: 2, data: &mut data };
            assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
            assert_eq!(data, [0xff; 2]);
        }
        let exit = Exit::Port { write: true, port: 0x82, size: 1, data: &mut [1] };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        assert_eq!(NOTED.get(), (1, Some(Note::UnansweredPort(0x80))));
    }

    #[test]
    fn reading_the_console_port_gives_ones() {
        let (mut devices, _reader) = devices();
        let mut data = [0];
        let exit =
            Exit::Port { write: false, port: layout::CONSOLE_PORT, size: 1, data: &mut data };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        assert_eq!((data, NOTED.get()), ([0xff], (0, None)));
    }

    #[test]
    fn an_address_that_nobody_answers_reads_ones_and_is_noted_once() {
        let (mut devices, _reader) = devices();
        let exit = Exit::Mmio { write: true, address: 0xd000_0000, data: &mut [1, 2] };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        let mut data = [0; 8];
        let exit = Exit::Mmio { write: false, address: 0xd000_0008, data: &mut data };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        assert_eq!(data, [0xff; 8]);
        assert_eq!(NOTED.get(), (1, Some(Note::UnansweredAddress(0xd000_0000))));
    }

    #[test]
    fn the_lessons_ports_and_page_share_a_register() {
        let (mut devices, _reader) = devices();
        let exit = Exit::Port {
            write: true,
            port: layout::SCRATCH_PORT,
            size: 4,
            data: &mut [1, 2, 3, 4],
        };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        let mut data = [0; 2];
        let exit = Exit::Mmio { write: false, address: layout::LESSON_PAGE + 2, data: &mut data };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        assert_eq!((data, devices.reply, NOTED.get()), ([3, 4], Reply::Scratch, (0, None)));
    }

    #[test]
    fn the_doorbell_is_rung_by_the_last_item() {
        let (mut devices, _reader) = devices();
        let exit = Exit::Port {
            write: true,
            port: layout::DOORBELL_PORT,
            size: 2,
            data: &mut [1, 0, 3, 0],
        };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Ring(3)));
        let address = layout::LESSON_PAGE + layout::LESSON_DOORBELL;
        let exit = Exit::Mmio { write: true, address, data: &mut [4] };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Ring(layout::RING_END)));
    }

    #[test]
    fn the_lessons_msr_keeps_its_value_and_another_is_a_fault() {
        let (mut devices, _reader) = devices();
        let mut msr = |write, index, data| {
            let mut msr = kvm_run_msr { error: 9, pad: [0; 7], reason: 2, index, data };
            assert_eq!(answer(Exit::Msr { write, msr: &mut msr }, &mut devices), Ok(Next::Enter));
            (msr.error, msr.data, devices.reply)
        };
        assert_eq!(msr(true, layout::LESSON_MSR, 7), (0, 7, Reply::Msr));
        assert_eq!(msr(false, layout::LESSON_MSR, 0), (0, 7, Reply::Msr));
        assert_eq!(msr(false, 0x1234, 5), (1, 5, Reply::Fault));
    }

    #[test]
    fn a_write_to_the_window_is_told_apart_while_it_is_read_only() {
        let (mut devices, _reader) = devices();
        devices.window_is_readonly = true;
        let exit = Exit::Mmio { write: true, address: layout::WINDOW + 8, data: &mut [1] };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        assert_eq!(NOTED.get(), (1, Some(Note::ReadOnly(layout::WINDOW + 8))));
    }

    #[test]
    fn a_replay_shows_nothing_and_notes_nothing() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let say = |_: &CStr, _| panic!("something was said");
        let console = Console::new(writer.into_raw_fd(), std::time::Duration::MAX);
        let mut devices = Devices::new(console, c"", say, true);
        for port in [layout::CONSOLE_PORT, 0x80] {
            let exit = Exit::Port { write: true, port, size: 1, data: &mut [10] };
            assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        }
    }

    #[test]
    fn halt_and_death_end_the_run_and_an_interruption_does_not() {
        let (mut devices, _reader) = devices();
        assert_eq!(answer(Exit::Interrupted, &mut devices), Ok(Next::Enter));
        assert_eq!(answer(Exit::Halt, &mut devices), Ok(Next::Halted));
        let exit = Exit::Dead(Death::Shutdown);
        assert_eq!(answer(exit, &mut devices), Ok(Next::Died(Death::Shutdown)));
    }

    #[test]
    fn output_that_nobody_reads_ends_the_run() {
        let (mut devices, reader) = devices();
        drop(reader);
        let exit = Exit::Port { write: true, port: layout::CONSOLE_PORT, size: 1, data: &mut [10] };
        assert_eq!(answer(exit, &mut devices), Err(Errno(libc::EPIPE)));
        assert_eq!(without_output(Errno(libc::EPIPE)), Ok(End::OutputClosed));
        assert!(without_output(Errno(libc::ENOSPC)).is_err());
    }
}
