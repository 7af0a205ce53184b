//! `KVM_GET_FPU` and `KVM_SET_FPU`: the registers of x87 and SSE.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::exit::KVM_EXIT_HLT;

guest!(
    fpu,
    "
    .code64
    mov     $0x1111, %eax
    movd    %eax, %xmm1
    out     %eax, $0x11
    movd    %xmm1, %eax
    out     %eax, $0x11
    fld1
    hlt
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    let vm = lab.vm(fpu())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Long)?;
    say!(lab, "The guest has set XMM1 to {:#x}", lab.value(&mut vcpu)?);
    let mut fpu = vcpu.fpu()?;
    let xmm1 = crate::show::number(&fpu.xmm[1][..4]);
    say!(lab, "KVM_GET_FPU: XMM1 = {xmm1:#x}, the control word is {:#x}", fpu.fcw);
    // In a vCPU that has not used SSE yet this would be lost: XSAVE's header, which KVM_SET_FPU does not change, says that these registers
    // are as after a reset. KVM_SET_XSAVE sets the header too.
    fpu.xmm[1][..4].copy_from_slice(&0x1234_5678u32.to_le_bytes());
    vcpu.set_fpu(&fpu)?;
    say!(lab, "KVM_SET_FPU: XMM1 = 0x12345678; the guest has {:#x}", lab.value(&mut vcpu)?);
    lab.expect(&mut vcpu, KVM_EXIT_HLT)?;
    let fpu = vcpu.fpu()?;
    let top = fpu.fsw >> 11 & 7;
    say!(lab, "The guest has loaded 1.0: the top of the stack is register {top}, and of the registers {:#010b} are used", fpu.ftwx);
    Ok(())
}
