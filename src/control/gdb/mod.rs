//! `--gdb`: a stub for the remote protocol of gdb and lldb. gdb's manual, appendix E.
//!
//! Threads are vCPUs; number N of gdb's is vCPU N - 1. All stop together, and either all go on, or one does while the others are held.
//! While they stand, gdb asks and changes what it likes, in packets; each has an answer. While they run, only Ctrl-C can come.

pub mod breakpoints;
mod monitor;
pub mod packet;
mod probe;
mod registers;
mod step;

use crate::config::{Config, GdbAddress};
use crate::host::errno::Errno;
use crate::host::socket::{Listener, Stream};
use crate::kvm::{self, Vcpu};
use crate::layout::PAGE_SIZE;
use crate::lifecycle::{DebugStop, End};
use crate::machine::debugger::{self, Debugger, Resume, Why};
use crate::machine::{Error, Machine};
use crate::output::Output;
use crate::sys::debug::*;
use crate::sys::irqchip::{KVM_MP_STATE_HALTED, KVM_MP_STATE_RUNNABLE};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use breakpoints::{Access, Breakpoints, DR6_STEP, Hardware, Refused};
use core::ffi::c_int;
use core::fmt;
use packet::{Decoder, LARGEST, Message, bytes_of, frame, number, push_hex};
use probe::Kinds;
use registers::{Code, Registers};
use step::Step;

/// Vectors of exceptions, as `KVM_EXIT_DEBUG` tells them.
const DEBUG: u32 = 1;
const BREAKPOINT: u32 = 3;

/// Signals, by which gdb says why a thread has stopped: those of its own, not the host's.
const SIGINT: u8 = 2;
const SIGTRAP: u8 = 5;
const SIGABRT: u8 = 6;

/// The stub.
pub struct Gdb {
    address: GdbAddress,
    listener: Listener,
    client: Option<Client>,
    /// The last one that was refused. Closed at once, gdb would die of SIGPIPE.
    refused: Option<Stream>,
    output: Arc<Output>,
    breakpoints: Breakpoints,
    /// Which breakpoints KVM has. Where it has none in software, those have the hardware's places.
    kinds: Kinds,
    /// No machine has begun yet.
    is_new: bool,
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
    /// Why the vCPUs stand: the answer to `?`.
    reason: Vec<u8>,
    /// gdb has let the guest go on, and waits to hear why it stops.
    is_awaited: bool,
    /// The step that is being made.
    step: Option<Step>,
    /// How the vCPUs went on the last time.
    resumed: Resume,
    /// What other vCPUs have met at the same time, and would not meet again.
    pending: Vec<DebugStop>,
}

/// The debugger that is connected.
struct Client {
    stream: Stream,
    decoder: Decoder,
    /// It wants each packet acknowledged.
    acknowledges: bool,
    /// The last answer, if it is asked for again.
    last: Vec<u8>,
}

/// What comes of a packet.
enum Answer {
    Contents(Vec<u8>),
    /// It is not known here: gdb takes that for an answer.
    Unknown,
    /// A number of errno.
    Error(c_int),
    Resume(Resume),
    /// gdb leaves, and the guest goes on.
    Detached,
    Killed,
}

fn ok() -> Answer {
    Answer::Contents(b"OK".into())
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
            kinds: Kinds::BOTH,
            is_new: true,
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
        }))
    }

    fn say(&self, text: fmt::Arguments) {
        self.output.message(format_args!("gdb: {text}"), None);
    }

    // ---- the connection

    /// Takes a debugger that connects, unless there is one. Returns whether it is a new one.
    fn accept(&mut self) -> bool {
        let Some(stream) = self.listener.accept() else { return false };
        if self.client.is_some() {
            stream.end();
            self.refused = Some(stream);
            self.say(format_args!("another debugger is refused"));
            return false;
        }
        let (decoder, acknowledges) = (Decoder::default(), true);
        self.client = Some(Client { stream, decoder, acknowledges, last: Vec::new() });
        (self.is_awaited, self.is_physical) = (false, false);
        self.say(format_args!("connected"));
        true
    }

    /// Reads what has come. Returns false if the connection is lost.
    fn receive(&mut self) -> bool {
        let Some(client) = &mut self.client else { return true };
        let mut bytes = [0; 4096];
        loop {
            match client.stream.read(&mut bytes) {
                Err(Errno(libc::EAGAIN)) => return true,
                Err(Errno(libc::EINTR)) => {}
                Ok(len) if len > 0 && client.decoder.take(&bytes[..len]) => {}
                _ => break,
            }
        }
        self.lose();
        false
    }

    fn lose(&mut self) {
        self.client = None;
        self.say(format_args!(
            "the connection is lost; the guest waits for the next one at {}",
            self.address
        ));
    }

    fn send(&mut self, contents: &[u8]) {
        let Some(client) = &mut self.client else { return };
        client.last = frame(contents);
        if client.stream.write(&client.last).is_err() {
            self.lose();
        }
    }

    /// Text for the user of gdb.
    fn print(&mut self, text: &str) {
        // A part at a time: a packet has an end.
        for part in text.as_bytes().chunks(LARGEST / 4) {
            let mut contents = Vec::from(b"O");
            push_hex(&mut contents, part);
            self.send(&contents);
        }
    }

    // ---- stops

    /// Notes why the vCPUs stand, and tells gdb if it waits for that.
    fn note_stop(&mut self, signal: u8, vcpu: u32, why: &str) {
        self.thread = vcpu;
        self.reason = format!("T{signal:02x}thread:{:x};{why}", vcpu + 1).into();
        if core::mem::take(&mut self.is_awaited) {
            let reason = self.reason.clone();
            self.send(&reason);
        }
    }

    /// What one vCPU has met, in gdb's words; `None`: it is the guest's own affair.
    fn meaning(&self, machine: &Machine, stop: DebugStop) -> Option<String> {
        let DebugStop { vcpu, event } = stop;
        if event.exception == BREAKPOINT {
            let gpa = machine.runners[vcpu as usize].vcpu.translate(event.pc);
            return gpa
                .is_some_and(|gpa| self.breakpoints.is_ours(gpa))
                .then(|| "swbreak:;".into());
        }
        let met = (0..4).filter(|number| event.dr6 >> number & 1 != 0);
        let met = met.filter_map(|number| self.breakpoints.hardware(number)).next();
        if let Some(Hardware { access, address, .. }) = met {
            return Some(match access {
                // gdb may have asked for one in software here, and finds out by the address.
                Access::Execute if !self.kinds.software => "".into(),
                Access::Execute => "hwbreak:;".into(),
                Access::Write => format!("watch:{address:x};"),
                Access::Any => format!("awatch:{address:x};"),
            });
        }
        let is_step = self.step.is_some_and(|step| {
            step.vcpu == vcpu && (event.dr6 & DR6_STEP != 0 || step.handler == Some(event.pc))
        });
        is_step.then(String::new)
    }

    /// Tells gdb of the first of these that it wants to know. Returns false if there is none.
    fn tell_first(&mut self, machine: &Machine, stops: &[DebugStop]) -> bool {
        let mut stops = stops.iter();
        let told = stops.by_ref().find_map(|stop| Some((stop.vcpu, self.meaning(machine, *stop)?)));
        let Some((vcpu, why)) = told else { return false };
        // The instruction that met a watchpoint has been executed. One at a breakpoint has not, and meets that again.
        let is_watched = |stop: &&DebugStop| {
            self.meaning(machine, **stop).is_some_and(|why| why.contains("watch"))
        };
        self.pending = stops.filter(is_watched).copied().collect();
        self.note_stop(SIGTRAP, vcpu, &why);
        true
    }

    /// Has each vCPU that goes on meet what gdb wants. `injected`: the guest gets its own exceptions back.
    fn prepare(
        &mut self,
        machine: &Machine,
        resume: Resume,
        injected: &[DebugStop],
    ) -> Result<(), kvm::Error> {
        for runner in &machine.runners {
            let number = runner.vcpu.number();
            if !resume.includes(number) {
                continue;
            }
            let step = self.step.filter(|step| step.vcpu == number);
            let mut what = 0;
            if self.breakpoints.has_software() {
                what |= KVM_GUESTDBG_USE_SW_BP;
            }
            let registers = self.breakpoints.debug_registers(step.and_then(|step| step.handler));
            if registers.is_some() {
                what |= KVM_GUESTDBG_USE_HW_BP;
            }
            if step.is_some() {
                // An interrupt's handler is not what gdb wants to step through.
                what |= KVM_GUESTDBG_SINGLESTEP | KVM_GUESTDBG_BLOCKIRQ;
            }
            match injected.iter().find(|stop| stop.vcpu == number).map(|stop| stop.event.exception)
            {
                Some(BREAKPOINT) => what |= KVM_GUESTDBG_INJECT_BP,
                Some(DEBUG) => what |= KVM_GUESTDBG_INJECT_DB,
                _ => {}
            }
            match what {
                0 => runner.vcpu.stop_guest_debug()?,
                what => runner.vcpu.set_guest_debug(what, registers.unwrap_or_default())?,
            }
        }
        self.resumed = resume;
        Ok(())
    }

    /// gdb lets the guest go on. What else has been met is told first.
    fn resume(&mut self, machine: &Machine, resume: Resume, steps: bool) -> Answer {
        self.is_awaited = true;
        let pending = core::mem::take(&mut self.pending);
        if self.tell_first(machine, &pending) {
            return Answer::Resume(Resume::Nothing);
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

    /// The vCPU that packets are about.
    fn vcpu<'a>(&self, machine: &'a Machine) -> &'a Vcpu {
        &machine.runners[self.thread as usize].vcpu
    }

    // ---- packets

    fn answer(&mut self, machine: &Machine, packet: &[u8]) -> Answer {
        let Some((&kind, rest)) = packet.split_first() else { return Answer::Unknown };
        let result = match kind {
            b'?' => Ok(Answer::Contents(self.reason.clone())),
            b'g' | b'G' | b'p' | b'P' => self.answer_registers(machine, kind, rest),
            b'm' | b'M' | b'X' => Ok(self.answer_memory(machine, kind, rest)),
            b'z' | b'Z' => Ok(self.answer_breakpoint(machine, kind == b'Z', rest)),
            b'H' | b'T' => Ok(self.answer_thread(machine, kind, rest)),
            b'c' | b'C' => Ok(self.resume(machine, Resume::All, false)),
            b's' | b'S' => Ok(self.resume(machine, Resume::One(self.thread), true)),
            b'D' => Ok(Answer::Detached),
            b'k' => Ok(Answer::Killed),
            b'v' => Ok(self.answer_v(machine, rest)),
            b'q' | b'Q' => Ok(self.answer_query(machine, packet)),
            _ => Ok(Answer::Unknown),
        };
        result.unwrap_or_else(|error: kvm::Error| match error {
            kvm::Error::Ioctl { error, .. } => Answer::Error(error.errno.0),
            _ => Answer::Error(libc::EIO),
        })
    }

    fn answer_registers(
        &mut self,
        machine: &Machine,
        kind: u8,
        rest: &[u8],
    ) -> Result<Answer, kvm::Error> {
        let vcpu = self.vcpu(machine);
        let mut registers = Registers::of(vcpu, self.code)?;
        let show = |bytes: &[u8]| {
            let mut contents = Vec::new();
            push_hex(&mut contents, bytes);
            Answer::Contents(contents)
        };
        let wrong = Ok(Answer::Error(libc::EINVAL));
        let is_set = match kind {
            b'g' => return Ok(show(&registers.all())),
            b'p' => {
                let value = number(rest).and_then(|number| registers.one(number as usize));
                return value.map_or(wrong, |value| Ok(show(&value)));
            }
            b'G' => bytes_of(rest).is_some_and(|bytes| registers.set_all(&bytes)),
            _ => split(rest, b'=').is_some_and(|(which, value)| {
                number(which)
                    .zip(bytes_of(value))
                    .is_some_and(|(number, bytes)| registers.set_one(number as usize, &bytes))
            }),
        };
        if !is_set {
            return wrong;
        }
        registers.write_to(vcpu)?;
        Ok(ok())
    }

    fn answer_memory(&mut self, machine: &Machine, kind: u8, rest: &[u8]) -> Answer {
        let (place, data) = split(rest, b':').unwrap_or((rest, b""));
        let Some((address, len)) =
            split(place, b',').and_then(|(address, len)| number(address).zip(number(len)))
        else {
            return Answer::Error(libc::EINVAL);
        };
        let len = len.min(LARGEST as u64) as usize;
        let data = match kind {
            b'm' => {
                let mut bytes = alloc::vec![0; len];
                let read = self.read(machine, address, &mut bytes);
                if read == 0 && len > 0 {
                    return Answer::Error(libc::EFAULT);
                }
                let mut contents = Vec::new();
                push_hex(&mut contents, &bytes[..read]);
                return Answer::Contents(contents);
            }
            b'M' => bytes_of(data),
            _ => Some(data.into()),
        };
        match data {
            Some(mut data) if data.len() == len => {
                if self.write(machine, address, &mut data) {
                    ok()
                } else {
                    Answer::Error(libc::EFAULT)
                }
            }
            _ => Answer::Error(libc::EINVAL),
        }
    }

    /// The guest-physical address that the current thread's tables, or `monitor phys`, give.
    fn physical(&self, machine: &Machine, address: u64) -> Option<u64> {
        match self.is_physical {
            true => Some(address),
            false => self.vcpu(machine).translate(address),
        }
    }

    /// Reads what the guest has there, without breakpoints. Returns how many bytes there are.
    fn read(&self, machine: &Machine, address: u64, bytes: &mut [u8]) -> usize {
        let mut done = 0;
        for (at, part) in pages(address, bytes) {
            let Some(gpa) = self.physical(machine, at) else { break };
            if machine.memory.read(gpa, part).is_err() {
                break;
            }
            self.breakpoints.hide(gpa, part);
            done += part.len();
        }
        done
    }

    /// Writes it behind the breakpoints. Returns false where not all of it is RAM.
    fn write(&mut self, machine: &Machine, address: u64, bytes: &mut [u8]) -> bool {
        pages(address, bytes).into_iter().all(|(at, part)| {
            self.physical(machine, at)
                .is_some_and(|gpa| self.breakpoints.write(&machine.memory, gpa, part).is_ok())
        })
    }

    /// `Z` and `z`: kind, address, and a size or a kind of instruction.
    fn answer_breakpoint(&mut self, machine: &Machine, inserts: bool, rest: &[u8]) -> Answer {
        let mut words = rest.split(|&byte| matches!(byte, b',' | b';'));
        let (Some(kind), Some(address), Some(size)) =
            (words.next(), words.next().and_then(number), words.next().and_then(number))
        else {
            return Answer::Error(libc::EINVAL);
        };
        let access = match kind {
            b"0" if self.kinds.software => None,
            b"0" => Some(Access::Execute),
            b"1" => Some(Access::Execute),
            b"2" => Some(Access::Write),
            b"4" => Some(Access::Any),
            // Reads alone are nothing that the processor could watch.
            _ => return Answer::Unknown,
        };
        let memory = &machine.memory;
        let result = match access {
            None if !inserts => {
                self.breakpoints.remove(memory, address);
                Ok(())
            }
            None => match self.vcpu(machine).translate(address) {
                Some(gpa) => self.breakpoints.insert(memory, address, gpa),
                None => Err(Refused::NoRam),
            },
            Some(_) if !self.kinds.hardware => Err(Refused::Full),
            Some(access) => match Hardware::new(address, access, size) {
                None => return Answer::Error(libc::EINVAL),
                Some(breakpoint) if inserts => self.breakpoints.insert_hardware(breakpoint),
                Some(breakpoint) => {
                    self.breakpoints.remove_hardware(breakpoint);
                    Ok(())
                }
            },
        };
        match result {
            Ok(()) => ok(),
            Err(Refused::NoRam) => Answer::Error(libc::EFAULT),
            Err(Refused::Full) => Answer::Error(libc::ENOSPC),
        }
    }

    /// `Hg` chooses a thread; `T` asks whether there is one.
    fn answer_thread(&mut self, machine: &Machine, kind: u8, rest: &[u8]) -> Answer {
        let id = if kind == b'H' { rest.get(1..).unwrap_or(b"") } else { rest };
        match (id, thread(machine, id)) {
            // All of them, or any.
            (b"-1" | b"0", _) => ok(),
            (_, Some(vcpu)) => {
                if rest.first() == Some(&b'g') {
                    self.thread = vcpu;
                }
                ok()
            }
            (_, None) => Answer::Error(libc::EINVAL),
        }
    }

    fn answer_v(&mut self, machine: &Machine, rest: &[u8]) -> Answer {
        if rest == b"Cont?" {
            return Answer::Contents(b"vCont;c;C;s;S".into());
        }
        if rest.starts_with(b"Kill") {
            return Answer::Killed;
        }
        let Some(actions) = rest.strip_prefix(b"Cont;") else { return Answer::Unknown };
        // A step is one thread's; the others are held meanwhile, whatever else is said of them.
        let actions = actions.split(|&byte| byte == b';').map(|action| {
            let (what, id) = split(action, b':').unwrap_or((action, b""));
            (what.first().copied(), id)
        });
        let mut resume = None;
        for (what, id) in actions {
            let one = thread(machine, id);
            match what {
                Some(b's' | b'S') => {
                    let vcpu = one.unwrap_or(self.thread);
                    return self.resume(machine, Resume::One(vcpu), true);
                }
                Some(b'c' | b'C') => {
                    let this = one.map_or(Resume::All, Resume::One);
                    resume = Some(if resume.is_none() { this } else { Resume::All });
                }
                _ => return Answer::Unknown,
            }
        }
        match resume {
            Some(resume) => self.resume(machine, resume, false),
            None => Answer::Error(libc::EINVAL),
        }
    }

    fn answer_query(&mut self, machine: &Machine, packet: &[u8]) -> Answer {
        let (name, rest) = split(packet, b':').unwrap_or((packet, b""));
        let contents = match name {
            b"qSupported" => {
                // A new conversation: the kind of code is what the guest executes now.
                format!(
                    "PacketSize={LARGEST:x};qXfer:features:read+;QStartNoAckMode+;vContSupported+;swbreak+;hwbreak+"
                )
            }
            b"QStartNoAckMode" => {
                if let Some(client) = &mut self.client {
                    client.acknowledges = false;
                }
                "OK".into()
            }
            b"qXfer" => return self.answer_description(machine, rest),
            b"qAttached" => "1".into(),
            b"qC" => format!("QC{:x}", self.thread + 1),
            b"qfThreadInfo" => {
                let ids: Vec<String> = machine
                    .runners
                    .iter()
                    .map(|runner| format!("{:x}", runner.vcpu.number() + 1))
                    .collect();
                format!("m{}", ids.join(","))
            }
            b"qsThreadInfo" => "l".into(),
            name if name.starts_with(b"qThreadExtraInfo,") => {
                let Some(vcpu) = thread(machine, &name[b"qThreadExtraInfo,".len()..]) else {
                    return Answer::Error(libc::EINVAL);
                };
                let mut contents = Vec::new();
                push_hex(
                    &mut contents,
                    description_of(&machine.runners[vcpu as usize].vcpu).as_bytes(),
                );
                return Answer::Contents(contents);
            }
            name if name.starts_with(b"qRcmd,") => {
                let Some(line) = bytes_of(&name[b"qRcmd,".len()..]) else {
                    return Answer::Error(libc::EINVAL);
                };
                return self.monitor(machine, &line);
            }
            _ => return Answer::Unknown,
        };
        Answer::Contents(contents.into())
    }

    /// `qXfer:features:read:target.xml:OFFSET,LENGTH`.
    fn answer_description(&mut self, machine: &Machine, rest: &[u8]) -> Answer {
        let Some(part) = rest.strip_prefix(b"features:read:target.xml:") else {
            return Answer::Unknown;
        };
        let Some((from, len)) =
            split(part, b',').and_then(|(from, len)| number(from).zip(number(len)))
        else {
            return Answer::Error(libc::EINVAL);
        };
        if from == 0 {
            let vcpu = self.vcpu(machine);
            if let (Ok(regs), Ok(sregs)) = (vcpu.regs(), vcpu.sregs()) {
                self.code = Code::of(&regs, &sregs);
            }
        }
        let text = registers::description(self.code);
        let rest = text.as_bytes().get(from as usize..).unwrap_or_default();
        let len = (len as usize).min(LARGEST / 2).min(rest.len());
        // `l`: the last part; `m`: there is more.
        let mut contents = Vec::from(if len == rest.len() { b"l" } else { b"m" });
        contents.extend_from_slice(&rest[..len]);
        Answer::Contents(contents)
    }
}

impl Debugger for Gdb {
    fn descriptors(&self) -> [c_int; 2] {
        [self.listener.raw(), self.client.as_ref().map_or(-1, |client| client.stream.raw())]
    }

    fn starts(&mut self, machine: &Machine) -> Result<bool, Error> {
        let waits = core::mem::take(&mut self.waits);
        if core::mem::take(&mut self.is_new) {
            self.kinds = probe::kinds()?;
            match self.kinds {
                Kinds { software: true, .. } => {}
                Kinds { hardware: true, .. } => self.say(format_args!(
                    "this KVM does not leave the guest at INT3: all breakpoints are the hardware's, of which there are four"
                )),
                _ => self.say(format_args!("this KVM has no breakpoints: a step and Ctrl-C stop the guest")),
            }
        }
        if waits && self.client.is_none() {
            self.say(format_args!(
                "the guest waits for a debugger: target remote {}",
                self.address
            ));
        }
        self.breakpoints.forget_software();
        self.step = None;
        self.prepare(machine, Resume::All, &[])?;
        Ok(waits || self.stops_at_reset && self.client.is_some())
    }

    fn wants_stop(&mut self) -> bool {
        if self.accept() {
            return true;
        }
        let had_client = self.client.is_some();
        let is_here = self.receive();
        // Without a debugger nobody would tell the guest to stop again.
        if had_client && !is_here {
            return true;
        }
        let mut wants = false;
        while let Some(message) =
            self.client.as_mut().and_then(|client| client.decoder.next_message())
        {
            wants |= message == Message::Interrupt;
        }
        wants
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
        let step = self.step;
        if let Some(step) = step
            && stops.iter().any(|stop| stop.vcpu == step.vcpu && stop.event.exception == DEBUG)
        {
            step.clean_up(&machine.runners[step.vcpu as usize].vcpu, &machine.memory)?;
        }
        if self.tell_first(machine, stops) {
            self.step = None;
            return Ok(None);
        }
        if stops.is_empty() {
            // Ctrl-C, a debugger that has just come, or one that has gone.
            self.step = None;
            self.note_stop(SIGINT, self.thread, "");
            return Ok(None);
        }
        self.prepare(machine, self.resumed, stops)?;
        Ok(Some(self.resumed))
    }

    fn serve(&mut self, machine: &Machine) -> Option<Resume> {
        self.accept();
        self.receive();
        loop {
            let message = self.client.as_mut()?.decoder.next_message()?;
            let packet = match message {
                Message::Packet(packet) => packet,
                Message::Damaged => {
                    self.acknowledge(b"-");
                    continue;
                }
                Message::AskedAgain => {
                    let last = core::mem::take(&mut self.client.as_mut()?.last);
                    self.acknowledge(&last);
                    continue;
                }
                // The guest stands already.
                Message::Interrupt => continue,
            };
            if self.client.as_ref()?.acknowledges {
                self.acknowledge(b"+");
            }
            match self.answer(machine, &packet) {
                Answer::Contents(contents) => self.send(&contents),
                Answer::Unknown => self.send(b""),
                Answer::Error(errno) => self.send(format!("E{errno:02x}").as_bytes()),
                // The next stop is told already.
                Answer::Resume(Resume::Nothing) => {}
                Answer::Resume(resume) => return Some(resume),
                Answer::Detached => {
                    self.breakpoints.clear(&machine.memory);
                    self.step = None;
                    let _ = self.prepare(machine, Resume::All, &[]);
                    self.send(b"OK");
                    self.client = None;
                    self.say(format_args!("it has left, and the guest goes on"));
                    return Some(Resume::All);
                }
                Answer::Killed => {
                    self.send(b"OK");
                    return Some(Resume::End);
                }
            }
        }
    }

    fn ended(&mut self, status: c_int) {
        if core::mem::take(&mut self.is_awaited) {
            self.send(format!("W{:02x}", status & 0xff).as_bytes());
        }
    }
}

impl Gdb {
    /// Writes something that is no frame, or a frame again.
    fn acknowledge(&mut self, bytes: &[u8]) {
        if let Some(client) = &mut self.client
            && client.stream.write(bytes).is_err()
        {
            self.lose();
        }
    }
}

/// What a vCPU does, for gdb's list of threads.
fn description_of(vcpu: &Vcpu) -> String {
    let state = match vcpu.mp_state() {
        Ok(KVM_MP_STATE_RUNNABLE) => "runs",
        Ok(KVM_MP_STATE_HALTED) => "halted",
        Ok(_) => "not started",
        // There are no local APICs.
        Err(_) => "",
    };
    format!("vCPU {}: {state}", vcpu.number())
}

/// The vCPU that a thread's number stands for.
fn thread(machine: &Machine, id: &[u8]) -> Option<u32> {
    let vcpu = u32::try_from(number(id)?.checked_sub(1)?).ok()?;
    (vcpu < machine.config.cpus).then_some(vcpu)
}

/// What stands before and behind the first such byte.
fn split(bytes: &[u8], at: u8) -> Option<(&[u8], &[u8])> {
    let at = bytes.iter().position(|&byte| byte == at)?;
    Some((&bytes[..at], &bytes[at + 1..]))
}

/// Bytes cut where pages end: each may lie somewhere else.
fn pages(mut address: u64, mut bytes: &mut [u8]) -> Vec<(u64, &mut [u8])> {
    let mut parts = Vec::new();
    while !bytes.is_empty() {
        let len = bytes.len().min((PAGE_SIZE - address % PAGE_SIZE) as usize);
        let (part, rest) = bytes.split_at_mut(len);
        parts.push((address, part));
        address = address.wrapping_add(len as u64);
        bytes = rest;
    }
    parts
}
