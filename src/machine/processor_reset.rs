//! What firmware does when the processors alone were reset (INIT) by port 0x92 or the keyboard controller.
//!
//! The processors start at the reset vector, where a PC has its firmware. That looks at a byte of the real-time clock's RAM,
//! the shutdown code: the guest may have said there that it wants to go on, and left the address at 40:67. Programs of the
//! 80286's time came back from protected mode in this way. Without such a code the machine starts from its beginning.

use crate::boot::{self, firmware};
use crate::config::Config;
use crate::kvm::{self, Vcpu};
use crate::layout::{FIRMWARE_RESUME, LOCAL_APIC};
use crate::machine::Error;
use crate::machine::board::Board;
use crate::machine::vcpu_thread::VcpuRunner;
use crate::memory::GuestMemory;
use crate::sys::irqchip::kvm_irq_routing_msi;
use crate::sys::regs::kvm_regs;
use crate::x86::{APIC_BASE_ENABLE, RFLAGS_1};

// Shutdown codes, as the IBM PC/AT's firmware defined them (Technical Reference, 1984).
/// Tell the interrupt controllers that the interrupt is over, and jump.
const END_OF_INTERRUPT_AND_JUMP: u8 = 0x05;
/// Jump.
const JUMP: u8 = 0x0a;

/// In a message's data: INIT.
const DELIVERY_INIT: u32 = 5 << 8;

/// Resets the processors, whose threads do not run. Returns false where the guest has left no shutdown code, or where INIT can't be
/// delivered: then the machine is to be reset.
pub fn resume(
    config: &Config,
    runners: &mut [VcpuRunner],
    board: &Board,
    memory: &GuestMemory,
) -> Result<bool, Error> {
    let code = board.rtc.take_shutdown_code();
    if !matches!(code, END_OF_INTERRUPT_AND_JUMP | JUMP) || !config.has_lapic_in_kernel() {
        return Ok(false);
    }
    for runner in &mut *runners {
        if !init(&mut runner.vcpu)? {
            return Ok(false);
        }
        runner.restart();
    }
    let boot_processor = &mut runners[0].vcpu;
    firmware::set_up_lapic(boot_processor)?;
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

/// INIT, as KVM does it: its local APIC takes a message, and KVM carries it out when the vCPU's state is asked for. Returns false where
/// no local APIC has taken it: the guest may have changed the APIC's id.
fn init(vcpu: &mut Vcpu) -> Result<bool, kvm::Error> {
    vcpu.complete_exit()?;
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
