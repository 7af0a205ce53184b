//! One instruction, also where the processor's own single-step does not stop.
//!
//! KVM steps by RFLAGS.TF, as `KVM_GUESTDBG_SINGLESTEP` says. That has two holes. An instruction that enters a handler (SYSCALL, INT)
//! switches TF off, so that the processor would only stop when the handler has returned: a breakpoint at the handler stops it
//! there. And what such an instruction, or PUSHF, saves of RFLAGS has TF set, which the guest must not see: it is cleared.

use crate::inspect::guest_view::GuestView;
use crate::kvm::{self, Vcpu};
use crate::memory::GuestMemory;
use crate::sys::regs::{kvm_regs, kvm_sregs};
use crate::x86::mode::{self, OperatingMode};
use crate::x86::{MSR_CSTAR, MSR_IA32_SYSENTER_EIP, MSR_LSTAR, RFLAGS_TF};

/// Where the instruction leaves a copy of RFLAGS.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Copy {
    Nowhere,
    /// SYSCALL's.
    InR11,
    /// On the new stack, so many bytes above its top, with so many bytes.
    OnStack {
        above: u64,
    },
}

/// A step that is being made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub vcpu: u32,
    /// The linear address of the handler that the instruction enters.
    pub handler: Option<u64>,
    copy: Copy,
}

impl Step {
    /// Of a vCPU's next instruction.
    pub fn of(vcpu: &Vcpu, memory: &GuestMemory) -> Result<Step, kvm::Error> {
        let (regs, sregs) = (vcpu.regs()?, vcpu.sregs()?);
        let view = GuestView { vcpu, memory };
        let mut bytes = [0; 4];
        let len = view.read_linear(mode::instruction(&regs, &sregs), &mut bytes);
        let instruction = Instruction::of(&bytes[..len]);
        let mode = OperatingMode::of(&regs, &sregs);
        let handler = match instruction {
            Instruction::Syscall if mode == OperatingMode::Long64 => Some(vcpu.msr(MSR_LSTAR)?),
            Instruction::Syscall if mode == OperatingMode::Compatibility => {
                Some(vcpu.msr(MSR_CSTAR)?)
            }
            Instruction::Sysenter => Some(vcpu.msr(MSR_IA32_SYSENTER_EIP)?),
            Instruction::Interrupt(vector) => handler(view, &regs, &sregs, vector),
            Instruction::Syscall | Instruction::PushFlags | Instruction::Other => None,
        };
        // In a frame of an interrupt, RFLAGS lies above the address and the code segment.
        let copy = match (instruction, mode) {
            (Instruction::Syscall, _) => Copy::InR11,
            (Instruction::PushFlags, _) => Copy::OnStack { above: 0 },
            (Instruction::Interrupt(_), OperatingMode::Long64 | OperatingMode::Compatibility) => {
                Copy::OnStack { above: 16 }
            }
            (Instruction::Interrupt(_), OperatingMode::Protected32) => Copy::OnStack { above: 8 },
            (Instruction::Interrupt(_), _) => Copy::OnStack { above: 4 },
            _ => Copy::Nowhere,
        };
        Ok(Step { vcpu: vcpu.number(), handler, copy })
    }

    /// It has been made: the guest must not see that.
    pub fn clean_up(self, vcpu: &Vcpu, memory: &GuestMemory) -> Result<(), kvm::Error> {
        let (mut regs, sregs) = (vcpu.regs()?, vcpu.sregs()?);
        match self.copy {
            Copy::Nowhere => {}
            Copy::InR11 => {
                regs.r11 &= !RFLAGS_TF;
                vcpu.set_regs(&regs)?;
            }
            Copy::OnStack { above } => {
                // TF is in the second byte.
                let at = mode::stack(&regs, &sregs).wrapping_add(above).wrapping_add(1);
                let mut byte = [0];
                if let Some(gpa) = vcpu.translate(at)
                    && memory.read(gpa, &mut byte).is_ok()
                {
                    byte[0] &= !((RFLAGS_TF >> 8) as u8);
                    // It could be read, and so it can be written.
                    let _ = memory.write(gpa, &byte);
                }
            }
        }
        Ok(())
    }
}

/// What matters of an instruction here.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Instruction {
    Syscall,
    Sysenter,
    Interrupt(u8),
    PushFlags,
    Other,
}

impl Instruction {
    fn of(bytes: &[u8]) -> Instruction {
        match bytes {
            // The prefixes for operands of 16 bits, and of 64.
            [0x66 | 0x40..=0x4f, 0x9c, ..] | [0x9c, ..] => Instruction::PushFlags,
            [0x0f, 0x05, ..] => Instruction::Syscall,
            [0x0f, 0x34, ..] => Instruction::Sysenter,
            [0xcd, vector, ..] => Instruction::Interrupt(*vector),
            [0xcc, ..] => Instruction::Interrupt(3),
            [0xf1, ..] => Instruction::Interrupt(1),
            _ => Instruction::Other,
        }
    }
}

/// The linear address of a vector's handler, where the descriptor can be read and a flat code segment takes it there: SDM volume 3,
/// 7.11 and 21.1.4.
fn handler(view: GuestView, regs: &kvm_regs, sregs: &kvm_sregs, vector: u8) -> Option<u64> {
    let mode = OperatingMode::of(regs, sregs);
    let read = |size: usize| {
        let mut bytes = [0; 16];
        let at = sregs.idt.base.wrapping_add(u64::from(vector) * size as u64);
        (view.read_linear(at, &mut bytes[..size]) == size).then_some(bytes)
    };
    let word = |bytes: &[u8], at: usize| u64::from(u16::from_le_bytes([bytes[at], bytes[at + 1]]));
    match mode {
        OperatingMode::Real => {
            let entry = read(4)?;
            Some((word(&entry, 2) << 4) + word(&entry, 0))
        }
        OperatingMode::Long64 | OperatingMode::Compatibility => {
            let entry = read(16)?;
            let high = word(&entry, 8) | word(&entry, 10) << 16;
            Some(word(&entry, 0) | word(&entry, 6) << 16 | high << 32)
        }
        _ => {
            let entry = read(8)?;
            Some(word(&entry, 0) | word(&entry, 6) << 16)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_that_save_flags_are_known() {
        for (bytes, instruction) in [
            (&[0x0f, 0x05][..], Instruction::Syscall),
            (&[0x0f, 0x34], Instruction::Sysenter),
            (&[0xcd, 0x80], Instruction::Interrupt(0x80)),
            (&[0xcc], Instruction::Interrupt(3)),
            (&[0xf1], Instruction::Interrupt(1)),
            (&[0x9c], Instruction::PushFlags),
            (&[0x66, 0x9c], Instruction::PushFlags),
            (&[0x48, 0x9c], Instruction::PushFlags),
            (&[0x9d], Instruction::Other),
            (&[0x0f], Instruction::Other),
            (&[], Instruction::Other),
        ] {
            assert_eq!(Instruction::of(bytes), instruction, "{bytes:x?}");
        }
    }
}
