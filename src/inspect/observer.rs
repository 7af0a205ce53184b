//! Observers of exits. Each vCPU has its own; a run without instruments has none.

use crate::inspect::stepper::Stepper;
use crate::kvm::Vcpu;
use crate::lifecycle::VcpuControl;
use alloc::sync::Arc;

/// An exit: a read with its answer, anything else before it is answered.
pub struct ObservedExit<'a> {
    pub vcpu: &'a mut Vcpu,
    pub control: &'a Arc<VcpuControl>,
    /// When it happened: see [`crate::inspect::trace::time`].
    pub time: u64,
    /// Who answers, as a trace calls it; empty for nobody.
    pub answered_by: &'static str,
    /// Under single-step: the instruction that was executed.
    pub step: Option<&'a Stepper>,
}

/// An exit that was handled. The next thing is to enter the guest.
pub struct HandledExit {
    pub vcpu: u32,
    /// `KVM_EXIT_*`.
    pub reason: u32,
    /// When the guest had left, and when it was handled, in nanoseconds of the monotonic clock.
    pub began: u64,
    pub ended: u64,
    /// Who answered: see [`ObservedExit::answered_by`].
    pub answered_by: &'static str,
}

/// An instrument that sees every exit of a vCPU.
pub trait ExitObserver: Send {
    fn exit(&mut self, exit: &mut ObservedExit);

    /// The exit that [`ExitObserver::exit`] has seen last was handled.
    fn handled(&mut self, _exit: &HandledExit) {}

    /// The vCPU is about to enter the guest: at first, or after a pause.
    fn goes_on(&mut self) {}

    /// The vCPU has left the guest without an exit, since it was kicked.
    fn paused(&mut self, _vcpu: u32) {}
}
