//! Single-step: `KVM_EXIT_DEBUG` follows each instruction. The bytes are read before the instruction is executed, the
//! registers after that.

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
    /// Where the guest was at an exit since then, if HLT is there.
    hlt_behind_exit: Option<u64>,
}

impl Stepper {
    /// Switches single-step on.
    pub fn start(vcpu: &mut Vcpu, memory: &GuestMemory) -> Result<Stepper, kvm::Error> {
        vcpu.page_mut().request_registers();
        vcpu.single_step()?;
        let (regs, sregs) = (vcpu.regs()?, vcpu.sregs()?);
        let before = kvm_sync_regs { regs, sregs, ..Default::default() };
        let mut stepper =
            Stepper { before, address: 0, bytes: [0; 8], len: 0, hlt_behind_exit: None };
        stepper.read_instruction(vcpu, memory);
        Ok(stepper)
    }

    /// Goes on to the next instruction, in the state that the last exit left. Single-step is asked for anew: IRET, POPF and KVM's
    /// emulator load RFLAGS, and KVM keeps TF there only at the instruction where it was asked for it.
    pub fn advance(&mut self, vcpu: &Vcpu, memory: &GuestMemory) -> Result<(), kvm::Error> {
        vcpu.single_step()?;
        self.before = *vcpu.page().registers();
        self.hlt_behind_exit = None;
        self.read_instruction(vcpu, memory);
        Ok(())
    }

    /// The instruction exits, and is not complete.
    pub fn note_exit(&mut self, vcpu: &Vcpu, memory: &GuestMemory) {
        let now = vcpu.page().registers();
        let mut byte = [0];
        let address = mode::instruction(&now.regs, &now.sregs);
        let len = GuestView { vcpu, memory }.read_linear(address, &mut byte);
        self.hlt_behind_exit = (len == 1 && byte[0] == HLT).then_some(now.regs.rip);
    }

    fn read_instruction(&mut self, vcpu: &Vcpu, memory: &GuestMemory) {
        self.address = mode::instruction(&self.before.regs, &self.before.sregs);
        self.bytes = [0; 8];
        self.len = GuestView { vcpu, memory }.read_linear(self.address, &mut self.bytes);
    }

    /// Whether the instruction was HLT. A software backend of KVM steps over it as over any other, and after an instruction
    /// that exits it steps over the next one too.
    pub fn was_hlt(&self, now: &kvm_sync_regs) -> bool {
        let is_behind = |rip: u64| now.regs.rip == rip.wrapping_add(1);
        self.len > 0 && self.bytes[0] == HLT && is_behind(self.before.regs.rip)
            || self.hlt_behind_exit.is_some_and(is_behind)
    }
}
