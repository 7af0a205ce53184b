//! `KVM_X86_SET_MSR_FILTER`, from both sides: what the guest sees of an MSR that it may not touch, and what user space does.

use crate::config::Mode;
use crate::kvm::exit::{self, Exit};
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::show::Bits;
use crate::sys::cap::*;
use crate::sys::exit::{KVM_EXIT_HLT, KVM_EXIT_X86_RDMSR};

guest!(
    msr_filter,
    "
    .code16
    movw    $msr_filter_fault - msr_filter_base, 4 * 13
    mov     $3, %bx
msr_filter_again:
    mov     $0x174, %ecx            # IA32_SYSENTER_CS
    rdmsr
    out     %eax, $0x11
    dec     %bx
    jnz     msr_filter_again
    hlt

msr_filter_fault:                   # #GP: goes on behind RDMSR, which has two bytes
    mov     $0xdead, %eax
    mov     %sp, %bp
    addw    $2, (%bp)
    iret
    "
);

const IA32_SYSENTER_CS: u32 = 0x174;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_X86_MSR_FILTER)?;
    let vm = lab.vm(msr_filter())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    vcpu.set_msrs([(IA32_SYSENTER_CS, 0x18)])?;
    say!(lab, "KVM_SET_MSRS: IA32_SYSENTER_CS = 0x18");
    say!(lab, "No filter: the guest reads {:#x}", lab.value(&mut vcpu)?);

    vm.deny_msrs(IA32_SYSENTER_CS, 1)?;
    say!(lab, "KVM_X86_SET_MSR_FILTER: denied");
    say!(lab, "The guest gets a #GP; its handler reports {:#x}", lab.value(&mut vcpu)?);
    say!(lab, "KVM_GET_MSRS is not filtered: {:#x}", vcpu.msr(IA32_SYSENTER_CS)?);

    lab.require(KVM_CAP_X86_USER_SPACE_MSR)?;
    vm.enable(KVM_CAP_X86_USER_SPACE_MSR, KVM_MSR_EXIT_REASON_FILTER.into())?;
    say!(lab, "KVM_CAP_X86_USER_SPACE_MSR: a denied access now exits to user space");
    lab.expect(&mut vcpu, KVM_EXIT_X86_RDMSR)?;
    if let Exit::Msr { msr, .. } = exit::decode(vcpu.page_mut()) {
        say!(lab, "KVM_EXIT_X86_RDMSR: MSR {:#x}, reason{}", msr.index, Bits(msr.reason.into(), "INVAL UNKNOWN FILTER"));
        (msr.data, msr.error) = (0x28, 0);
    }
    say!(lab, "The guest reads what user space answers: {:#x}", lab.value(&mut vcpu)?);
    lab.expect(&mut vcpu, KVM_EXIT_HLT)
}
