//! The packets that gdb sends while the vCPUs are stopped, and their answers: gdb's manual, appendix E.

use crate::control::gdb::Gdb;
use crate::control::gdb::breakpoints::{Access, Hardware, Refused};
use crate::control::gdb::packet::{LARGEST, bytes_of, number, push_hex};
use crate::control::gdb::registers::{self, Code, Registers};
use crate::kvm::{self, Vcpu};
use crate::layout::PAGE_SIZE;
use crate::machine::Machine;
use crate::machine::debugger::Resume;
use crate::machine::keys::Input;
use crate::sys::events::{KVM_MP_STATE_HALTED, KVM_MP_STATE_RUNNABLE};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::ffi::c_int;

/// How a packet is answered.
pub enum Answer {
    Contents(Vec<u8>),
    /// It is not known here: gdb takes that for an answer.
    Unknown,
    /// A number of errno.
    Error(c_int),
    Resume(Resume),
    /// gdb has been told of the next stop already, and the guest does not run.
    StopReported,
    /// gdb leaves, and the guest goes on.
    Detached,
    Killed,
}

pub fn ok() -> Answer {
    Answer::Contents(b"OK".into())
}

/// Two digits for each byte.
fn digits(bytes: &[u8]) -> Answer {
    let mut contents = Vec::new();
    push_hex(&mut contents, bytes);
    Answer::Contents(contents)
}

impl Gdb {
    /// The vCPU that packets are about.
    pub(super) fn vcpu<'a>(&self, machine: &'a Machine) -> &'a Vcpu {
        &machine.runners[self.thread as usize].vcpu
    }

    pub(super) fn answer(&mut self, machine: &Machine, input: &Input, packet: &[u8]) -> Answer {
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
            b'q' | b'Q' => Ok(self.answer_query(machine, input, packet)),
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
        let before = Registers::of(vcpu, self.code)?;
        let wrong = Ok(Answer::Error(libc::EINVAL));
        match kind {
            b'g' => return Ok(digits(&before.all())),
            b'p' => {
                let value = number(rest).and_then(|number| before.one(number as usize));
                return value.map_or(wrong, |value| Ok(digits(&value)));
            }
            _ => {}
        }
        let mut registers = before.clone();
        let is_set = match kind {
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
        registers.write_to(vcpu, &before)?;
        Ok(ok())
    }

    fn answer_memory(&mut self, machine: &Machine, kind: u8, rest: &[u8]) -> Answer {
        let (place, data) = split(rest, b':').unwrap_or((rest, b""));
        let Some((address, len)) = two_numbers(place) else {
            return Answer::Error(libc::EINVAL);
        };
        let data = match kind {
            b'm' => {
                let len = len.min(LARGEST as u64 / 2) as usize;
                let mut bytes = alloc::vec![0; len];
                let read = self.read(machine, address, &mut bytes);
                if read == 0 && len > 0 {
                    return Answer::Error(libc::EFAULT);
                }
                return digits(&bytes[..read]);
            }
            b'M' => bytes_of(data),
            _ => Some(data.into()),
        };
        match data {
            Some(mut data) if data.len() as u64 == len => {
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
        self.read_by(machine, address, bytes, |at| self.physical(machine, at))
    }

    /// Likewise; `to_gpa` finds the guest-physical address of an address.
    pub(super) fn read_by(
        &self,
        machine: &Machine,
        address: u64,
        bytes: &mut [u8],
        to_gpa: impl Fn(u64) -> Option<u64>,
    ) -> usize {
        let mut done = 0;
        for (at, part) in pages(address, bytes) {
            let Some(gpa) = to_gpa(at) else { break };
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
            b"0" if self.kinds().software => None,
            b"0" | b"1" => Some(Access::Execute),
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
            Some(Access::Execute) if !self.kinds().hardware => Err(Refused::Full),
            Some(Access::Write | Access::Any) if !self.kinds().watch => Err(Refused::Full),
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
            // `k` has no answer.
            self.send(b"OK");
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
            if one.is_none() && !matches!(id, b"" | b"-1" | b"0") {
                return Answer::Error(libc::EINVAL);
            }
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

    fn answer_query(&mut self, machine: &Machine, input: &Input, packet: &[u8]) -> Answer {
        let (name, rest) = split(packet, b':').unwrap_or((packet, b""));
        let contents = match name {
            b"qSupported" => {
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
            // lldb's: it takes the processor from here, since it does not know gdb's name for 16-bit code.
            b"qHostInfo" => {
                let mut triple = Vec::new();
                push_hex(&mut triple, self.find_code(machine).triple().as_bytes());
                format!("triple:{};endian:little;", String::from_utf8_lossy(&triple))
            }
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
                let text = description_of(&machine.runners[vcpu as usize].vcpu);
                return digits(text.as_bytes());
            }
            name if name.starts_with(b"qRcmd,") => {
                let Some(line) = bytes_of(&name[b"qRcmd,".len()..]) else {
                    return Answer::Error(libc::EINVAL);
                };
                return self.monitor(machine, input, &line);
            }
            _ => return Answer::Unknown,
        };
        Answer::Contents(contents.into())
    }

    /// What the debugger is told of from now on: the code that this thread executes.
    fn find_code(&mut self, machine: &Machine) -> Code {
        let vcpu = self.vcpu(machine);
        if let (Ok(regs), Ok(sregs)) = (vcpu.regs(), vcpu.sregs()) {
            self.code = Code::of(&regs, &sregs);
        }
        self.code
    }

    /// `qXfer:features:read:target.xml:OFFSET,LENGTH`.
    fn answer_description(&mut self, machine: &Machine, rest: &[u8]) -> Answer {
        let Some(part) = rest.strip_prefix(b"features:read:target.xml:") else {
            return Answer::Unknown;
        };
        let Some((from, len)) = two_numbers(part) else {
            return Answer::Error(libc::EINVAL);
        };
        if from == 0 {
            self.find_code(machine);
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

/// What a vCPU does, for gdb's list of threads.
fn description_of(vcpu: &Vcpu) -> String {
    let state = match vcpu.mp_state() {
        Ok(KVM_MP_STATE_RUNNABLE) => "runs",
        Ok(KVM_MP_STATE_HALTED) => "halted",
        Ok(_) => "not started",
        // KVM did not tell.
        Err(_) => "",
    };
    format!("vCPU {}: {state}", vcpu.number())
}

/// The vCPU that a thread's number stands for.
fn thread(machine: &Machine, id: &[u8]) -> Option<u32> {
    let vcpu = u32::try_from(number(id)?.checked_sub(1)?).ok()?;
    (vcpu < machine.config.cpus).then_some(vcpu)
}

/// Two numbers with a comma between them.
fn two_numbers(bytes: &[u8]) -> Option<(u64, u64)> {
    let (one, other) = split(bytes, b',')?;
    number(one).zip(number(other))
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
