//! What CPUID can say, and what it says: the lists that KVM offers, and those that it takes.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, outcome, say};
use crate::sys::cap::KVM_CAP_EXT_EMUL_CPUID;
use crate::sys::cpuid::kvm_cpuid_entry;
use crate::sys::exit::KVM_EXIT_HLT;

guest!(
    cpuid_tables,
    "
    .code16
    mov     $2, %di
cpuid_tables_again:
    xor     %eax, %eax
    cpuid
    mov     %ebx, %eax
    out     %eax, $0x11
    dec     %di
    jnz     cpuid_tables_again
    hlt
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    let supported = lab.kvm().supported_cpuid()?;
    say!(lab, "KVM_GET_SUPPORTED_CPUID: {} entries that a guest's CPUID may have here", supported.entries().len());
    lab.require(KVM_CAP_EXT_EMUL_CPUID)?;
    // ECX bit 22 is MOVBE in leaf 1, and RDPID in leaf 7.
    for entry in lab.kvm().emulated_cpuid()?.entries() {
        let (leaf, ebx, ecx, edx) = (entry.function, entry.ebx, entry.ecx, entry.edx);
        say!(lab, "KVM_GET_EMULATED_CPUID: leaf {leaf:#x}: EBX {ebx:#x} ECX {ecx:#x} EDX {edx:#x}");
    }

    let vm = lab.vm(cpuid_tables())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    let maker = u32::from_le_bytes(*b"KOB-");
    vcpu.set_old_cpuid([kvm_cpuid_entry { eax: 1, ebx: maker, ..Default::default() }])?;
    say!(lab, "KVM_SET_CPUID: leaf 0 has EBX {maker:#x}");
    say!(lab, "The guest's CPUID says EBX {:#x}", lab.value(&mut vcpu)?);
    for entry in vcpu.cpuid()?.entries() {
        say!(lab, "KVM_GET_CPUID2: leaf {:#x}: EBX {:#x}", entry.function, entry.ebx);
    }

    let other = kvm_cpuid_entry { eax: 1, ebx: maker + 1, ..Default::default() };
    say!(lab, "Another list, now that the guest has run: {}", outcome(vcpu.set_old_cpuid([other])));
    say!(lab, "The guest's CPUID says EBX {:#x}", lab.value(&mut vcpu)?);
    lab.expect(&mut vcpu, KVM_EXIT_HLT)
}
