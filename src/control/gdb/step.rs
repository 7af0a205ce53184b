//! One instruction, also where the processor's own single-step does not stop.
//!
//! KVM steps by RFLAGS.TF, as `KVM_GUESTDBG_SINGLESTEP` says. That has two holes. An instruction that enters a handler (SYSCALL, INT)
//! switches TF off, so that the processor would only stop when the handler has returned: a breakpoint at the handler stops it
//! there. And what such an instruction, or PUSHF, saves of RFLAGS has TF set, which the guest must not see: it is cleared.
//!
//! A hole is left: an instruction that faults saves TF too, and if gdb lets the guest go on before its handler has returned, the guest gets
//! a #DB then.

use crate::inspect::guest_view::GuestView;
use crate::kvm::{self, Vcpu};
use crate::memory::GuestMemory;
use crate::sys::regs::kvm_sregs;
use crate::x86::mode::{self, OperatingMode};
use crate::x86::{MSR_CSTAR, MSR_IA32_SYSENTER_EIP, MSR_LSTAR, RFLAGS_TF};

/// Where the instruction leaves a copy of RFLAGS.
#[derive(Clone, Copy, Debug, PartialEq)]
enum SavedFlags {
    Nowhere,
    /// SYSCALL's.
    InR11,
    /// On the stack, so many bytes above its top.
    OnStack(u64),
}

/// The handler that an instruction enters: its linear address, and where RFLAGS lies in the frame that is pushed for it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Handler {
    address: u64,
    copy: SavedFlags,
}

/// A step that is being made.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step {
    pub vcpu: u32,
    handler: Option<Handler>,
    pushes_flags: bool,
}

impl Step {
    /// Of a vCPU's next instruction.
    pub fn of(vcpu: &Vcpu, memory: &GuestMemory) -> Result<Step, kvm::Error> {
        let (regs, sregs) = (vcpu.regs()?, vcpu.sregs()?);
        let view = GuestView { vcpu, memory };
        let mut bytes = [0; 4];
        let len = view.read_linear(mode::instruction(&regs, &sregs), &mut bytes);
        let mode = OperatingMode::of(&regs, &sregs);
        let instruction = Instruction::of(&bytes[..len], mode);
        let handler = match instruction {
            Instruction::Syscall => {
                let msr = if mode == OperatingMode::Long64 { MSR_LSTAR } else { MSR_CSTAR };
                Some(Handler { address: vcpu.msr(msr)?, copy: SavedFlags::InR11 })
            }
            Instruction::Sysenter => Some(Handler {
                address: vcpu.msr(MSR_IA32_SYSENTER_EIP)?,
                copy: SavedFlags::Nowhere,
            }),
            Instruction::Interrupt(vector) => handler(view, &sregs, mode, vector),
            Instruction::PushFlags | Instruction::Other => None,
        };
        let pushes_flags = instruction == Instruction::PushFlags;
        Ok(Step { vcpu: vcpu.number(), handler, pushes_flags })
    }

    /// The linear address of the handler that the instruction enters.
    pub fn handler(&self) -> Option<u64> {
        self.handler.map(|handler| handler.address)
    }

    /// The step has ended at this linear address: what is left of it in the guest is cleared.
    pub fn clean_up(self, vcpu: &Vcpu, memory: &GuestMemory, at: u64) -> Result<(), kvm::Error> {
        let copy = match self.handler {
            Some(handler) if handler.address == at => handler.copy,
            _ if self.pushes_flags => SavedFlags::OnStack(0),
            _ => SavedFlags::Nowhere,
        };
        let (mut regs, sregs) = (vcpu.regs()?, vcpu.sregs()?);
        match copy {
            SavedFlags::Nowhere => {}
            SavedFlags::InR11 => {
                regs.r11 &= !RFLAGS_TF;
                vcpu.set_regs(&regs)?;
            }
            SavedFlags::OnStack(above) => {
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
    fn of(bytes: &[u8], mode: OperatingMode) -> Instruction {
        let is_long = matches!(mode, OperatingMode::Long64 | OperatingMode::Compatibility);
        match bytes {
            // Behind the prefix for operands of 16 bits.
            [0x66, 0x9c, ..] | [0x9c, ..] => Instruction::PushFlags,
            // Behind REX, which 64-bit code alone has.
            [0x40..=0x4f, 0x9c, ..] if mode == OperatingMode::Long64 => Instruction::PushFlags,
            [0x0f, 0x05, ..] if is_long => Instruction::Syscall,
            [0x0f, 0x34, ..] => Instruction::Sysenter,
            [0xcd, vector, ..] => Instruction::Interrupt(*vector),
            [0xcc, ..] => Instruction::Interrupt(3),
            [0xf1, ..] => Instruction::Interrupt(1),
            _ => Instruction::Other,
        }
    }
}

/// In a gate's type: its frame has words of 32 bits, and not of 16.
const GATE_32: u64 = 1 << 3;

/// A vector's handler, where its descriptor can be read: SDM volume 3, 7.11 and 21.1.4. A code segment that it names is taken to begin at
/// 0. In the frame, RFLAGS lies above the address and the code segment.
fn handler(view: GuestView, sregs: &kvm_sregs, mode: OperatingMode, vector: u8) -> Option<Handler> {
    let size = match mode {
        OperatingMode::Real => 4,
        OperatingMode::Long64 | OperatingMode::Compatibility => 16,
        _ => 8,
    };
    let mut entry = [0; 16];
    let at = sregs.idt.base.wrapping_add(u64::from(vector) * size as u64);
    if view.read_linear(at, &mut entry[..size]) < size {
        return None;
    }
    let word = |at: usize| u64::from(u16::from_le_bytes([entry[at], entry[at + 1]]));
    let (address, above) = match size {
        4 => ((word(2) << 4) + word(0), 4),
        16 => (word(0) | word(6) << 16 | word(8) << 32 | word(10) << 48, 16),
        _ if word(4) >> 8 & GATE_32 != 0 => (word(0) | word(6) << 16, 8),
        _ => (word(0), 4),
    };
    Some(Handler { address, copy: SavedFlags::OnStack(above) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instructions_that_save_flags_are_known() {
        use OperatingMode::{Long64, Protected32, Real};
        for (bytes, mode, instruction) in [
            (&[0x0f, 0x05][..], Long64, Instruction::Syscall),
            (&[0x0f, 0x05], Protected32, Instruction::Other),
            (&[0x0f, 0x34], Protected32, Instruction::Sysenter),
            (&[0xcd, 0x80], Real, Instruction::Interrupt(0x80)),
            (&[0xcc], Real, Instruction::Interrupt(3)),
            (&[0xf1], Long64, Instruction::Interrupt(1)),
            (&[0x9c], Real, Instruction::PushFlags),
            (&[0x66, 0x9c], Real, Instruction::PushFlags),
            (&[0x48, 0x9c], Long64, Instruction::PushFlags),
            (&[0x48, 0x9c], Protected32, Instruction::Other),
            (&[0x9d], Real, Instruction::Other),
            (&[0x0f], Real, Instruction::Other),
            (&[], Real, Instruction::Other),
        ] {
            assert_eq!(Instruction::of(bytes, mode), instruction, "{bytes:x?}");
        }
    }
}
