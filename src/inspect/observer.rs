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

/// An instrument that sees every exit of a vCPU.
pub trait ExitObserver: Send {
    fn exit(&mut self, exit: &mut ObservedExit);
}
