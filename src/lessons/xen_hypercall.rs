//! Xen's page of hypercalls: the guest asks for it with an MSR, KVM writes it, and each call exits with `KVM_EXIT_XEN`.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::KVM_CAP_XEN_HVM;
use crate::sys::exit::KVM_EXIT_XEN;
use crate::sys::xen::KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL;

guest!(
    xen_hypercall,
    "
    .code64
    mov     $0x40000000, %ecx       # the MSR that KVM_XEN_HVM_CONFIG names
    mov     $0x8000, %eax           # the page
    xor     %edx, %edx
    wrmsr
    xor     %edi, %edi              # XENVER_version
    mov     $2, %esi
    mov     $0x8000 + 17 * 32, %eax # call 17, xen_version
    call    *%rax
    out     %eax, $0x11
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    // Linux 5.12, built with CONFIG_KVM_XEN.
    let intercept = u64::from(KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL);
    lab.require_bit(KVM_CAP_XEN_HVM, intercept, "KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL")?;
    let vm = lab.vm(xen_hypercall())?;
    vm.set_xen_config(0x4000_0000, KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL)?;
    say!(lab, "KVM_XEN_HVM_CONFIG: MSR 0x40000000, and hypercalls leave");
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Long)?;
    lab.expect(&mut vcpu, KVM_EXIT_XEN)?;
    let call = vcpu.page_mut().xen_hypercall_mut();
    let [first, second, ..] = call.params;
    say!(lab, "KVM_EXIT_XEN: call {}({first}, {second}), ring {}, longmode {}", call.input, call.cpl, call.longmode);
    call.result = 0x4_0011;
    say!(lab, "User space answers Xen 4.17: the guest has {:#x}", lab.value(&mut vcpu)?);
    Ok(())
}
