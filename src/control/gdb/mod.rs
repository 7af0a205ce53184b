//! `--gdb`: a stub for the remote protocol of gdb and lldb. gdb's manual, appendix E.
//!
//! Threads are vCPUs; number N of gdb's is vCPU N - 1. All stop together, and either all go on, or one does while the others are held.
//! While they are stopped, gdb asks and changes what it likes, in packets, and each has an answer. While they run, only Ctrl-C can come.

pub mod breakpoints;
mod connection;
mod monitor;
pub mod packet;
mod packets;
mod probe;
mod registers;
mod step;

use crate::config::{Config, GdbAddress};
use crate::host::socket::{Listener, Stream};
use crate::kvm;
use crate::lifecycle::{DebugStop, End};
use crate::machine::debugger::{self, Debugger, Resume, Why};
use crate::machine::keys::Input;
use crate::machine::{Error, Machine};
use crate::output::Output;
use crate::sys::debug::*;
use crate::sys::events::{KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_UNINITIALIZED};
use crate::x86::DR6_BS;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use breakpoints::{Access, Breakpoints, Hardware};
use connection::Client;
use core::ffi::c_int;
use core::fmt;
use packet::Message;
use packets::Answer;
use probe::Kinds;
use registers::Code;
use step::Step;

/// Vectors of exceptions, as `KVM_EXIT_DEBUG` tells them.
const DEBUG: u32 = 1;
const BREAKPOINT: u32 = 3;

const NOT_STARTED: &str = "this vCPU is not started, and only another one can start it\n";

/// What a vCPU has stopped for.
#[derive(Clone, Copy)]
enum Met {
    /// The debugger's INT3.
    Software,
    Hardware(Hardware),
    /// The end of a step.
    Step,
}

/// Signals, by which gdb says why a thread has stopped: those of its own, not the host's.
const SIGINT: u8 = 2;
const SIGTRAP: u8 = 5;
const SIGABRT: u8 = 6;

/// The stub.
pub struct Gdb {
    address: GdbAddress,
    listener: Listener,
    client: Option<Client>,
    /// The last one that was refused. Its connection stays until the next refusal: if it ended at once, that gdb would die of SIGPIPE.
    refused: Option<Stream>,
    output: Arc<Output>,
    breakpoints: Breakpoints,
    /// Which breakpoints KVM has; `None` before the first machine starts. Where it has none in software, those have the hardware's
    /// places.
    kinds: Option<Kinds>,
    /// The guest waits for a debugger before its first instruction.
    waits: bool,
    /// Where the next machine begins, the guest stops: `monitor stop-at-reset`.
    stops_at_reset: bool,
    /// Memory is read and written by guest-physical address: `monitor phys`.
    is_physical: bool,
    /// The thread that packets are about.
    thread: u32,
    /// The kind of code that gdb was told of.
    code: Code,
    /// Why the vCPUs have stopped: the answer to `?`.
    reason: Vec<u8>,
    /// gdb has let the guest go on, and waits to hear why it stops.
    is_awaited: bool,
    /// The step that is being made.
    step: Option<Step>,
    /// How the vCPUs went on the last time.
    resumed: Resume,
    /// Watchpoints that other vCPUs have met at the same time: gdb is told of them next, since they would not be met again.
    pending: Vec<(u32, Hardware)>,
    /// The guest's own #DB, which it gets when that vCPU goes on.
    to_inject: Vec<DebugStop>,
    /// The debugger has asked the vCPUs to stop.
    has_asked: bool,
    /// The debugger that has set the breakpoints has gone.
    is_new_client: bool,
    /// The program ends.
    is_over: bool,
}

impl Gdb {
    /// Listens at the address that the user wants; `None` if no debugger is wanted.
    pub fn listen(config: &Config, output: &Arc<Output>) -> Result<Option<Gdb>, Error> {
        let Some(address) = config.gdb else { return Ok(None) };
        let listener = debugger::listen(address)?;
        Ok(Some(Gdb {
            address,
            listener,
            client: None,
            refused: None,
            output: output.clone(),
            breakpoints: Breakpoints::default(),
            kinds: None,
            waits: config.gdb_wait,
            stops_at_reset: false,
            is_physical: false,
            thread: 0,
            code: Code::Bits64,
            reason: Vec::new(),
            is_awaited: false,
            step: None,
            resumed: Resume::All,
            pending: Vec::new(),
            to_inject: Vec::new(),
            has_asked: false,
            is_new_client: false,
            is_over: false,
        }))
    }

    fn say(&self, text: fmt::Arguments) {
        self.output.message(format_args!("gdb: {text}"), None);
    }

    /// Notes why the vCPUs have stopped, and tells gdb if it waits for that.
    fn note_stop(&mut self, signal: u8, vcpu: u32, why: &str) {
        self.thread = vcpu;
        self.reason = format!("T{signal:02x}thread:{:x};{why}", vcpu + 1).into();
        if core::mem::take(&mut self.is_awaited) {
            let reason = self.reason.clone();
            self.send(&reason);
        }
    }

    /// What one vCPU has met; `None`: it is the guest's own affair.
    fn meaning(&self, machine: &Machine, stop: DebugStop) -> Option<Met> {
        let DebugStop { vcpu, event } = stop;
        if event.exception == BREAKPOINT {
            let gpa = machine.runners[vcpu as usize].vcpu.translate(event.pc);
            return gpa.filter(|&gpa| self.breakpoints.is_ours(gpa)).map(|_| Met::Software);
        }
        let met = (0..4).filter(|number| event.dr6 >> number & 1 != 0);
        let met = met.filter_map(|number| self.breakpoints.hardware(number)).next();
        let is_step = self.step.is_some_and(|step| {
            step.vcpu == vcpu && (event.dr6 & DR6_BS != 0 || step.handler() == Some(event.pc))
        });
        met.map(Met::Hardware).or(is_step.then_some(Met::Step))
    }

    /// In gdb's words.
    fn reason(&self, met: Met) -> String {
        match met {
            Met::Software => "swbreak:;".into(),
            Met::Hardware(Hardware { access, address, .. }) => match access {
                // gdb may have asked for one in software here, and finds out by the address.
                Access::Execute if !self.kinds().software => "".into(),
                Access::Execute => "hwbreak:;".into(),
                Access::Write => format!("watch:{address:x};"),
                Access::Any => format!("awatch:{address:x};"),
            },
            Met::Step => "".into(),
        }
    }

    /// Tells gdb of the first of these that it wants to know. Returns false if there is none.
    fn report_first(&mut self, machine: &Machine, stops: &[DebugStop]) -> bool {
        let mut first = None;
        // One vCPU that meets a breakpoint again and again does not hide another one's.
        let (same, others): (Vec<DebugStop>, Vec<DebugStop>) =
            stops.iter().partition(|stop| stop.vcpu == self.thread);
        for stop in others.into_iter().chain(same) {
            match self.meaning(machine, stop) {
                Some(met) if first.is_none() => first = Some((stop.vcpu, met)),
                // The instruction that met a watchpoint has been executed. One at a breakpoint has not, and meets that again.
                Some(Met::Hardware(watched)) if watched.access != Access::Execute => {
                    self.pending.push((stop.vcpu, watched));
                }
                Some(_) => {}
                // The guest's own #DB would not come again either. Its INT3 does.
                None if stop.event.exception == DEBUG => self.to_inject.push(stop),
                None => {}
            }
        }
        if let Some((vcpu, met)) = first {
            self.note_stop(SIGTRAP, vcpu, &self.reason(met));
        }
        first.is_some()
    }

    /// Tells gdb of a watchpoint that was met before. Returns false if there is none.
    fn report_pending(&mut self) -> bool {
        while !self.pending.is_empty() {
            let (vcpu, watched) = self.pending.remove(0);
            if self.breakpoints.has_hardware(watched) {
                self.note_stop(SIGTRAP, vcpu, &self.reason(Met::Hardware(watched)));
                return true;
            }
        }
        false
    }

    /// Says to KVM where each vCPU is to stop when it goes on, and gives the guest its own exceptions back. `met`: what has stopped it, of
    /// which an INT3 can be the guest's.
    ///
    /// INT1 on Intel's processors is a hole: KVM leaves RIP at it, and the guest's handler would return there.
    fn prepare(
        &mut self,
        machine: &Machine,
        resume: Resume,
        met: &[DebugStop],
    ) -> Result<(), kvm::Error> {
        for runner in &machine.runners {
            let vcpu = &runner.vcpu;
            let number = vcpu.number();
            if !resume.includes(number) {
                // What it was to do is no longer wanted.
                vcpu.stop_guest_debug()?;
                continue;
            }
            let step = self.step.filter(|step| step.vcpu == number);
            let mut what = 0;
            if self.breakpoints.has_software() {
                what |= KVM_GUESTDBG_USE_SW_BP;
            }
            let registers = self.breakpoints.debug_registers(step.and_then(|step| step.handler()));
            if registers.is_some() {
                what |= KVM_GUESTDBG_USE_HW_BP;
            }
            if step.is_some() {
                // An interrupt's handler is not what gdb wants to step through.
                what |= KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ;
            }
            let own = |stops: &[DebugStop], exception| {
                let is_own =
                    |stop: &&DebugStop| (stop.vcpu, stop.event.exception) == (number, exception);
                stops.iter().find(is_own).map(|stop| stop.event)
            };
            if let Some(event) = own(&self.to_inject, DEBUG) {
                // While KVM's debug registers are in use, it does not tell the guest why.
                vcpu.set_dr6(event.dr6)?;
                what |= KVM_GUESTDBG_INJECT_DB;
            } else if own(met, BREAKPOINT).is_some() {
                what |= KVM_GUESTDBG_INJECT_BP;
            }
            match what {
                0 => vcpu.stop_guest_debug()?,
                what => vcpu.set_guest_debug(what, registers.unwrap_or_default())?,
            }
        }
        self.to_inject.retain(|stop| !resume.includes(stop.vcpu));
        self.resumed = resume;
        Ok(())
    }

    /// Another debugger knows nothing of the breakpoints of the one before.
    fn forget_the_one_before(&mut self, machine: &Machine) {
        if core::mem::take(&mut self.is_new_client) {
            self.breakpoints.clear(&machine.memory);
            self.pending.clear();
        }
    }

    /// gdb lets the guest go on. What else has been met is told first.
    fn resume(&mut self, machine: &Machine, resume: Resume, steps: bool) -> Answer {
        self.is_awaited = true;
        if self.report_pending() {
            return Answer::StopReported;
        }
        if let Resume::One(vcpu) = resume
            && matches!(
                machine.runners[vcpu as usize].vcpu.mp_state(),
                Ok(KVM_MP_STATE_UNINITIALIZED | KVM_MP_STATE_INIT_RECEIVED)
            )
        {
            self.print(NOT_STARTED);
            self.note_stop(SIGTRAP, vcpu, "");
            return Answer::StopReported;
        }
        let prepared = || -> Result<(), kvm::Error> {
            self.step = match resume {
                Resume::One(vcpu) if steps => {
                    Some(Step::of(&machine.runners[vcpu as usize].vcpu, &machine.memory)?)
                }
                _ => None,
            };
            self.prepare(machine, resume, &[])
        }();
        match prepared {
            Ok(()) => Answer::Resume(resume),
            Err(error) => {
                self.is_awaited = false;
                self.say(format_args!("{error}"));
                Answer::Error(libc::EIO)
            }
        }
    }
}

impl Debugger for Gdb {
    fn descriptors(&self) -> [c_int; 2] {
        [self.listener.raw(), self.client.as_ref().map_or(-1, |client| client.stream.raw())]
    }

    fn starts(&mut self, machine: &Machine) -> Result<bool, Error> {
        let waits = core::mem::take(&mut self.waits);
        // It was asked for when the machine before this one had ended already.
        let has_asked = core::mem::take(&mut self.has_asked);
        if self.kinds.is_none() {
            self.find_kinds()?;
        }
        if waits && self.client.is_none() {
            let address = self.address;
            self.say(format_args!("the guest waits for a debugger: target remote {address}"));
        }
        self.step = None;
        self.prepare(machine, Resume::All, &[])?;
        Ok(waits || has_asked || self.stops_at_reset && self.client.is_some())
    }

    fn another_machine_follows(&mut self, machine: &Machine, end: End) {
        // After sleep the guest goes on with the same RAM. After a reset some of it is loaded anew.
        if end != End::Woken {
            self.breakpoints.clear_software(&machine.memory);
        }
        self.pending.clear();
        self.to_inject.clear();
    }

    fn attend(&mut self) -> bool {
        // Is the old one still there? The next one may have come already.
        let is_lost = self.client.is_some() && !self.receive();
        let has_come = self.accept();
        // Of one who has just come, the packets wait until the vCPUs have stopped.
        self.has_asked |= is_lost || has_come || self.has_interrupt();
        self.has_asked
    }

    fn wants_end(&self, end: End) -> bool {
        let is_death = matches!(end, End::Died(_) | End::NeverWakes | End::Failed(_));
        self.client.is_some() && (is_death || end == End::Reset && self.stops_at_reset)
    }

    fn stopped(&mut self, machine: &Machine, why: Why) -> Result<Option<Resume>, Error> {
        let stops = match why {
            Why::Start => {
                self.note_stop(SIGTRAP, 0, "");
                return Ok(None);
            }
            Why::Ended(vcpu, report) => {
                self.print(&format!("{report}\n"));
                self.note_stop(SIGABRT, vcpu, "");
                return Ok(None);
            }
            Why::Stopped(stops) => stops,
        };
        // What a step has left is taken away before anybody looks.
        if let Some(step) = self.step
            && let Some(stop) = stops.iter().find(|stop| stop.vcpu == step.vcpu)
            && stop.event.exception == DEBUG
        {
            let vcpu = &machine.runners[step.vcpu as usize].vcpu;
            step.clean_up(vcpu, &machine.memory, stop.event.pc)?;
        }
        let has_asked = core::mem::take(&mut self.has_asked);
        let is_reported = self.report_first(machine, stops);
        self.forget_the_one_before(machine);
        if is_reported {
            self.step = None;
            return Ok(None);
        }
        if has_asked || stops.is_empty() {
            self.step = None;
            self.note_stop(SIGINT, self.thread, "");
            return Ok(None);
        }
        self.prepare(machine, self.resumed, stops)?;
        Ok(Some(self.resumed))
    }

    fn has_breakpoints_in_code(&self) -> bool {
        self.breakpoints.has_software()
    }

    fn serve(&mut self, machine: &Machine, input: &Input) -> Option<Resume> {
        // As in `attend`.
        self.receive();
        self.accept();
        self.forget_the_one_before(machine);
        loop {
            let Some(message) = self.client.as_mut()?.decoder.next_message() else {
                if self.client.as_ref()?.has_left {
                    self.lose();
                    self.accept();
                    self.receive();
                    self.forget_the_one_before(machine);
                    continue;
                }
                return None;
            };
            let packet = match message {
                Message::Packet(packet) => packet,
                Message::Damaged => {
                    self.write_raw(b"-");
                    continue;
                }
                Message::AskedAgain => {
                    let last = self.client.as_ref()?.last.clone();
                    self.write_raw(&last);
                    continue;
                }
                // The guest is stopped already.
                Message::Interrupt => continue,
            };
            if self.client.as_ref()?.acknowledges {
                self.write_raw(b"+");
            }
            match self.answer(machine, input, &packet) {
                Answer::Contents(contents) => self.send(&contents),
                Answer::Unknown => self.send(b""),
                Answer::Error(errno) => self.send(format!("E{errno:02x}").as_bytes()),
                Answer::StopReported => {}
                // Ctrl-C came right behind: the guest need not run first.
                Answer::Resume(_) if self.has_interrupt() => {
                    self.note_stop(SIGINT, self.thread, "");
                }
                Answer::Resume(resume) => return Some(resume),
                Answer::Detached => {
                    self.detach(machine);
                    return Some(Resume::All);
                }
                Answer::Killed => {
                    self.is_over = true;
                    return Some(Resume::End);
                }
            }
        }
    }

    fn ended(&mut self, status: c_int) {
        self.is_over = true;
        if core::mem::take(&mut self.is_awaited) {
            self.send(format!("W{:02x}", status & 0xff).as_bytes());
        }
    }
}

impl Gdb {
    fn kinds(&self) -> Kinds {
        self.kinds.expect("a machine has started")
    }

    /// Finds out which breakpoints there are, and says what is missing.
    fn find_kinds(&mut self) -> Result<(), Error> {
        let kinds = *self.kinds.insert(probe::kinds()?);
        match kinds {
            Kinds { software: true, .. } => {}
            Kinds { hardware: true, .. } => self.say(format_args!(
                "this KVM does not leave the guest at INT3: all breakpoints are the hardware's, of which there are four"
            )),
            _ => self.say(format_args!(
                "this KVM has no breakpoints: a step and Ctrl-C stop the guest"
            )),
        }
        if kinds.hardware && !kinds.watch {
            self.say(format_args!("this KVM does not watch memory: watch and awatch are refused"));
        }
        Ok(())
    }

    /// gdb leaves, and nothing of it stays in the guest.
    fn detach(&mut self, machine: &Machine) {
        self.breakpoints.clear(&machine.memory);
        self.step = None;
        self.pending.clear();
        if let Err(error) = self.prepare(machine, Resume::All, &[]) {
            self.say(format_args!("{error}"));
        }
        self.send(b"OK");
        self.client = None;
        self.say(format_args!("it has left"));
    }
}
