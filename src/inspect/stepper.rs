//! Single-step: `KVM_EXIT_DEBUG` follows each instruction. What the instruction was is seen before it is executed, and what
//! it did afterwards.

use crate::inspect::guest_view::GuestView;
use crate::kvm::{self, Vcpu};
use crate::memory::GuestMemory;
use crate::sys::run::kvm_sync_regs;
use crate::x86::{HLT, mode};

/// The next instruction of a vCPU that is single-stepped.
pub struct Stepper {
    /// The state before it.
    pub before: kvm_sync_regs,
    /// Its linear address.
    pub address: u64,
    /// The bytes there, as many as can be read.
    pub bytes: [u8; 8],
    pub len: usize,
}

impl Stepper {
    /// Switches single-step on.
    pub fn start(vcpu: &mut Vcpu, memory: &GuestMemory) -> Result<Stepper, kvm::Error> {
        vcpu.page_mut().request_registers();
        vcpu.single_step()?;
        let (regs, sregs) = (vcpu.regs()?, vcpu.sregs()?);
        let before = kvm_sync_regs { regs, sregs, ..Default::default() };
        let mut stepper = Stepper { before, address: 0, bytes: [0; 8], len: 0 };
        stepper.read_instruction(vcpu, memory);
        Ok(stepper)
    }

    /// Goes on to the next instruction, in the state that the last exit left.
    pub fn advance(&mut self, vcpu: &Vcpu, memory: &GuestMemory) {
        self.before = *vcpu.page().registers();
        self.read_instruction(vcpu, memory);
    }

    fn read_instruction(&mut self, vcpu: &Vcpu, memory: &GuestMemory) {
        self.address = mode::instruction(&self.before.regs, &self.before.sregs);
        self.bytes = [0; 8];
        self.len = GuestView { vcpu, memory }.read_linear(self.address, &mut self.bytes);
    }

    /// Whether the instruction was HLT. A software backend of KVM steps over it as over any other.
    pub fn was_hlt(&self, now: &kvm_sync_regs) -> bool {
        self.len > 0 && self.bytes[0] == HLT && now.regs.rip == self.before.regs.rip.wrapping_add(1)
    }
}
