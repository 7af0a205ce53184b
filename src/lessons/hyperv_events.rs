//! Hyper-V's synthetic interrupt controller, and its hypercalls: one that KVM turns into an event, and one for user space.

use crate::config::Mode;
use crate::host::event::Event;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::*;
use crate::sys::exit::KVM_EXIT_HYPERV;
use crate::sys::hyperv::{KVM_EXIT_HYPERV_HCALL, KVM_EXIT_HYPERV_SYNIC};

/// Hyper-V's number for this vCPU, its virtual-processor index.
const HV_X64_MSR_VP_INDEX: u32 = 0x4000_0002;

guest!(
    hyperv_events,
    "
    .code64
    mov     $0x40000002, %ecx       # HV_X64_MSR_VP_INDEX: which processor this is
    rdmsr
    out     %eax, $0x11
    mov     $0x40000000, %ecx       # HV_X64_MSR_GUEST_OS_ID: who runs here; hypercalls need it
    mov     $1, %eax
    xor     %edx, %edx
    wrmsr
    mov     $0x40000080, %ecx       # HV_X64_MSR_SCONTROL: the interrupt controller on
    wrmsr
    mov     $0x1005d, %ecx          # HvSignalEvent, its argument in a register
    mov     $7, %edx                # connection 7
    vmmcall                         # a real guest calls through a page of Hyper-V's; on Intel KVM makes this a VMCALL
    out     %eax, $0x11
    mov     $0x1005d, %ecx
    mov     $8, %edx                # one that nobody waits for
    vmmcall
    out     %eax, $0x11
    mov     $0x5c, %ecx             # HvPostMessage, its argument in memory
    mov     $0x8000, %edx
    vmmcall
    out     %eax, $0x11
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_HYPERV_SYNIC2)?;
    lab.require(KVM_CAP_SYS_HYPERV_CPUID)?;
    lab.require(KVM_CAP_HYPERV_EVENTFD)?;
    lab.require(KVM_CAP_HYPERV_VP_INDEX)?;
    let vm = lab.vm(hyperv_events())?;
    vm.create_irqchip()?;
    let event = Event::new()?;
    vm.set_hyperv_event(7, &event)?;
    let mut vcpu = lab.hyperv_vcpu(&vm, Mode::Long)?;
    vcpu.enable(KVM_CAP_HYPERV_SYNIC2, 0)?;
    vcpu.set_msrs([(HV_X64_MSR_VP_INDEX, 5)])?;
    say!(lab, "KVM_CAP_HYPERV_VP_INDEX: user space has numbered the processor 5; the guest reads {}", lab.value(&mut vcpu)?);

    lab.expect(&mut vcpu, KVM_EXIT_HYPERV)?;
    let is_synic = vcpu.page().hyperv().r#type == KVM_EXIT_HYPERV_SYNIC;
    let synic = *vcpu.page().hyperv_synic();
    say!(lab, "KVM_EXIT_HYPERV; KVM_EXIT_HYPERV_SYNIC: {is_synic}: MSR {:#x}, control {:#x}", synic.msr, synic.control);

    let status = lab.value(&mut vcpu)?;
    say!(lab, "HvSignalEvent, connection 7: status {status}; the eventfd has counted {}", event.take());
    lab.expect(&mut vcpu, KVM_EXIT_HYPERV)?;
    let is_hypercall = vcpu.page().hyperv().r#type == KVM_EXIT_HYPERV_HCALL;
    let call = vcpu.page_mut().hyperv_hypercall_mut();
    say!(lab, "Connection 8: KVM_EXIT_HYPERV_HCALL: {is_hypercall}: input {:#x}, {:#x}", call.input, call.params[0]);
    call.result = 0x12;
    say!(lab, "User space answers 0x12, invalid connection: the guest has {:#x}", lab.value(&mut vcpu)?);
    lab.expect(&mut vcpu, KVM_EXIT_HYPERV)?;
    let call = vcpu.page_mut().hyperv_hypercall_mut();
    say!(lab, "HvPostMessage: input {:#x}, its argument at GPA {:#x}", call.input, call.params[0]);
    call.result = 0;
    say!(lab, "User space answers 0: the guest has {:#x}", lab.value(&mut vcpu)?);
    Ok(())
}
