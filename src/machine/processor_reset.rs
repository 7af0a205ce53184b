//! What firmware does when the processors alone were reset (INIT) by port 0x92 or the keyboard controller.
//!
//! The processors start at the reset vector, where a PC has its firmware. That looks at a byte of the real-time clock's RAM,
//! the shutdown code: the guest may have said there that it wants to go on, and left the address at 40:67. Programs of the
//! 80286's time came back from protected mode in this way. Without such a code the machine starts from its beginning.

use crate::boot::{self, firmware};
use crate::kvm::{self, Vcpu};
use crate::layout::{FIRMWARE_RESUME, LOCAL_APIC};
use crate::machine::Error;
use crate::machine::board::Board;
use crate::machine::vcpu_thread::VcpuRunner;
use crate::memory::GuestMemory;
use crate::sys::irqchip::kvm_irq_routing_msi;
use crate::sys::regs::{kvm_regs, kvm_sregs};
use crate::x86::{APIC_BASE_ENABLE, CR0_CD, CR0_NW, RFLAGS_1};

// Shutdown codes, as the IBM PC/AT's firmware defined them (Technical Reference, 1984).
/// Tell the interrupt controllers that the interrupt is over, and jump.
const END_OF_INTERRUPT_AND_JUMP: u8 = 0x05;
/// Jump.
const JUMP: u8 = 0x0a;

/// In a message's data: INIT.
const DELIVERY_INIT: u32 = 5 << 8;

/// Resets the processors, whose threads do not run; `after_reset`: the registers of a fresh one. Returns false where the guest has left
/// no shutdown code, or where INIT can't be delivered: then the machine is to be reset.
pub fn resume(
    after_reset: &kvm_sregs,
    runners: &mut [VcpuRunner],
    board: &Board,
    memory: &GuestMemory,
) -> Result<bool, Error> {
    let code = board.rtc.take_shutdown_code();
    if !matches!(code, END_OF_INTERRUPT_AND_JUMP | JUMP) {
        return Ok(false);
    }
    for runner in &mut *runners {
        if !board.has_lapics {
            init_by_hand(&mut runner.vcpu, after_reset)?;
        } else if !init(&mut runner.vcpu)? {
            return Ok(false);
        }
        // A vector that the program's 8259s have given KVM, and that the guest has not taken, KVM keeps over INIT.
        runner.vcpu.page_mut().set_not_ready_for_interrupt();
        runner.waits_at_hlt = false;
    }
    let boot_processor = &mut runners[0].vcpu;
    if board.has_lapics {
        firmware::set_up_lapic(boot_processor)?;
    }
    if code == END_OF_INTERRUPT_AND_JUMP {
        match &board.controllers {
            Some(controllers) => controllers.pic.end_of_interrupt(),
            None => boot_processor.vm().end_of_interrupt()?,
        }
    }
    let [offset, segment]: [u16; 2] =
        memory.read_value(FIRMWARE_RESUME).map_err(boot::Error::from)?;
    let before = boot_processor.sregs()?;
    let mut sregs = before;
    sregs.cs.selector = segment;
    sregs.cs.base = u64::from(segment) << 4;
    boot_processor.set_sregs(&sregs, &before)?;
    boot_processor.set_regs(&kvm_regs {
        rip: offset.into(),
        rflags: RFLAGS_1,
        ..boot_processor.regs()?
    })?;
    Ok(true)
}

/// INIT where KVM has no local APIC that would take it: registers as after a reset, but caches as they were; the FPU and MSRs
/// stay. SDM volume 3, table 10-1.
fn init_by_hand(vcpu: &mut Vcpu, after_reset: &kvm_sregs) -> Result<(), kvm::Error> {
    const CACHES: u64 = CR0_CD | CR0_NW;
    vcpu.drop_exit()?;
    let before = vcpu.sregs()?;
    let cr0 = after_reset.cr0 & !CACHES | before.cr0 & CACHES;
    let sregs = kvm_sregs { cr0, apic_base: before.apic_base, ..*after_reset };
    vcpu.set_sregs(&sregs, &before)?;
    vcpu.set_regs(&kvm_regs { rflags: RFLAGS_1, ..kvm_regs::default() })
}

/// INIT, as KVM does it: its local APIC takes a message, and KVM carries it out when the vCPU's state is asked for. Returns false where
/// no local APIC has taken it: the guest may have changed the APIC's id.
fn init(vcpu: &mut Vcpu) -> Result<bool, kvm::Error> {
    vcpu.drop_exit()?;
    let before = vcpu.sregs()?;
    // A local APIC that is switched off takes no message.
    let mut enabled = before;
    enabled.apic_base |= APIC_BASE_ENABLE;
    vcpu.set_sregs(&enabled, &before)?;
    let address_lo = LOCAL_APIC as u32 | vcpu.number() << 12;
    let message = kvm_irq_routing_msi { address_lo, data: DELIVERY_INIT, ..Default::default() };
    if !vcpu.vm().signal_msi(message)? {
        return Ok(false);
    }
    vcpu.mp_state()?;
    let after = vcpu.sregs()?;
    let mut sregs = after;
    sregs.apic_base = before.apic_base;
    vcpu.set_sregs(&sregs, &after)?;
    Ok(true)
}
