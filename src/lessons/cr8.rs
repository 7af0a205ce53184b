//! The task priority without a local APIC in the kernel: user space sets `kvm_run.cr8` before KVM_RUN, and reads it after each exit. When
//! the guest lowers it, KVM exits, because an interrupt that waits may be delivered now.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::exit::{KVM_EXIT_HLT, KVM_EXIT_SET_TPR};

guest!(
    cr8,
    "
    .code64
    mov     %cr8, %rax
    out     %eax, $0x11
    mov     $9, %eax
    mov     %rax, %cr8              # higher
    mov     $3, %eax
    mov     %rax, %cr8              # lower
    hlt
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    let vm = lab.vm(cr8())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Long)?;
    vcpu.page_mut().set_cr8(5);
    say!(lab, "kvm_run.cr8 = 5: the guest reads CR8 = {}", lab.value(&mut vcpu)?);
    lab.expect(&mut vcpu, KVM_EXIT_SET_TPR)?;
    say!(lab, "KVM_EXIT_SET_TPR: the guest has set it to 9, and then to {}", vcpu.page().cr8());
    lab.expect(&mut vcpu, KVM_EXIT_HLT)
}
