//! What a debugger needs of the machine, and how the machine stops for it.
//!
//! While the guest runs, the event loop waits for the debugger's descriptors too. When the vCPUs stop for it, their threads wait: the
//! main thread has all vCPUs then, and the debugger may ask and change them. How they go on is the debugger's choice.

use crate::config::GdbAddress;
use crate::host::socket::Listener;
use crate::lifecycle::{DebugStop, End};
use crate::machine::keys::Input;
use crate::machine::{Error, Machine};
use core::ffi::c_int;

/// Drives the machine from outside.
pub trait Debugger {
    /// The descriptors that it reads; -1 stands for none.
    fn descriptors(&self) -> [c_int; 2];

    /// A machine is about to run: the first one, or one after a reset or sleep. Returns whether it shall stop before its first instruction.
    fn starts(&mut self, machine: &Machine) -> Result<bool, Error>;

    /// One of its descriptors is ready while the guest runs: looks what has come. Returns whether the vCPUs shall stop.
    fn attend(&mut self) -> bool;

    /// Whether it wants to see the machine after such an end.
    fn wants_end(&self, end: End) -> bool;

    /// The vCPUs have stopped. Returns how they go on, if that is known at once.
    fn stopped(&mut self, machine: &Machine, why: Why) -> Result<Option<Resume>, Error>;

    /// One of its descriptors is ready while they are stopped. Returns how they go on, as soon as that is known.
    /// `input`: what the guest has not taken, for a snapshot.
    fn serve(&mut self, machine: &Machine, input: &Input) -> Option<Resume>;

    /// Whether RAM has breakpoints that are not the guest's.
    fn has_breakpoints_in_code(&self) -> bool;

    /// Another machine follows this one, after a reset or sleep.
    fn another_machine_follows(&mut self, machine: &Machine, end: End);

    /// The program ends with this status.
    fn ended(&mut self, status: i32);
}

/// Why the vCPUs have stopped.
#[derive(Clone, Copy)]
pub enum Why<'a> {
    /// The guest has not begun.
    Start,
    /// The debugger wanted it; or some have met a breakpoint, or have made a step.
    Stopped(&'a [DebugStop]),
    /// The run has ended, on this vCPU, for this reason.
    Ended(u32, &'a str),
}

/// How the vCPUs go on.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Resume {
    All,
    /// This one. The others are held.
    One(u32),
    /// The run ends.
    End,
}

impl Resume {
    /// Whether this vCPU runs then.
    pub fn includes(self, vcpu: u32) -> bool {
        match self {
            Resume::All => true,
            Resume::One(number) => number == vcpu,
            Resume::End => false,
        }
    }
}

/// Listens for a debugger.
pub fn listen(address: GdbAddress) -> Result<Listener, Error> {
    match address {
        GdbAddress::Path(path) => Listener::on_path(path),
        GdbAddress::Port(port) => Listener::on_port(port),
    }
    .map_err(|error| Error::Debugger { address, error })
}
