//! `--replay`: the last instructions of a guest that is run again, single-stepped.

use crate::inspect::death::{Known, State};
use crate::inspect::stepper::Stepper;
use crate::lifecycle::End;
use crate::memory::GuestMemory;
use crate::sys::run::kvm_sync_regs;
use alloc::collections::VecDeque;
use core::fmt;

/// How many instructions are shown.
const SHOWN: usize = 32;

/// An instruction: its linear address, the bytes there, and how many of them could be read.
type Instruction = (u64, [u8; 8], usize);

/// What a replay remembers.
#[derive(Default)]
pub struct Replay {
    last: VecDeque<Instruction>,
    count: u64,
    /// The state before the last one.
    before: kvm_sync_regs,
}

impl Replay {
    /// An instruction is about to be executed.
    pub fn add(&mut self, step: &Stepper) {
        if self.last.len() == SHOWN {
            self.last.pop_front();
        }
        self.last.push_back((step.address, step.bytes, step.len));
        self.count += 1;
        self.before = step.before;
    }
}

/// The last instructions, and the state before the last one.
pub struct Shown<'a> {
    pub replay: &'a Replay,
    pub memory: &'a GuestMemory,
    /// How it ended this time.
    pub end: End,
}

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Replay { last, count, before } = self.replay;
        write!(f, "replay: the last {} of {count} instructions", last.len())?;
        f.write_str(match self.end {
            End::Died(_) => "",
            End::Reset => {
                "; this time it was reset or slept: only a guest's first life is replayed"
            }
            _ => "; this time it did not die: single-stepping changes RFLAGS.TF and the timing",
        })?;
        for (address, bytes, len) in last {
            write!(f, "\n  {address:#x}:{}", Known(bytes, *len))?;
        }
        f.write_str("\nthe state before the last one:")?;
        // The vCPU would translate by page tables that are not these any more.
        let (regs, sregs) = (&before.regs, &before.sregs);
        State { regs, sregs, memory: self.memory, view: None }.fmt(f)
    }
}
