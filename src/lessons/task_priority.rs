//! The task priority of a local APIC in the kernel: accesses exit to user space; a copy in guest memory can be used without an exit.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, memory, say};
use crate::sys::cap::KVM_CAP_VAPIC;
use crate::sys::exit::{KVM_EXIT_IO, KVM_EXIT_TPR_ACCESS};
use crate::sys::irqchip::kvm_irq_routing_msi;

guest!(
    task_priority,
    "
    .code32
    movl    $0x1ff, 0xfee000f0      # the local APIC is on
    movl    $0x30, 0xfee00080       # its task priority
    movb    $0x50, 0x8000           # the copy
    out     %al, $0x11
    mov     0xfee00080, %eax
    out     %eax, $0x11
    out     %eax, $0x11
    "
);

/// Where the guest keeps its copy.
const COPY: u64 = 0x8000;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_VAPIC)?;
    let vm = lab.vm(task_priority())?;
    vm.create_irqchip()?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Protected)?;

    vcpu.report_tpr_accesses(true)?;
    say!(lab, "KVM_TPR_ACCESS_REPORTING is on");
    match lab.run(&mut vcpu)? {
        KVM_EXIT_TPR_ACCESS => {
            let access = *vcpu.page().tpr_access();
            say!(lab, "KVM_EXIT_TPR_ACCESS: is_write = {}, rip = {:#x}", access.is_write, access.rip);
        }
        KVM_EXIT_IO => return Err(Error::Lacks("the access did not exit; perhaps the processor has the task priority by itself (kvm_intel's flexpriority, kvm_amd's avic)")),
        reason => return Err(Error::OtherExit { expected: KVM_EXIT_TPR_ACCESS, reason }),
    }
    vcpu.report_tpr_accesses(false)?;

    memory(&vm).write_value(COPY, &0x30u32)?;
    vcpu.set_vapic_address(COPY)?;
    say!(lab, "KVM_SET_VAPIC_ADDR: a copy of it is at {COPY:#x}");
    lab.value(&mut vcpu)?;
    say!(lab, "The guest has written 0x50 to the copy, without an exit");
    say!(lab, "It reads its APIC, to which KVM has carried it: {:#x}", lab.value(&mut vcpu)?);

    // Before it enters the guest, KVM looks for an interrupt that the guest could take now, and brings the copy up to date: byte 0 is the
    // priority, byte 3 the vector that waits.
    vm.signal_msi(kvm_irq_routing_msi { address_lo: 0xfee0_0000, data: 0x41, ..Default::default() })?;
    lab.value(&mut vcpu)?;
    let copy = memory(&vm).read_value::<u32>(COPY)?;
    say!(lab, "KVM_SIGNAL_MSI, vector 0x41, which the priority keeps off. The copy is {copy:#x}");
    Ok(())
}
