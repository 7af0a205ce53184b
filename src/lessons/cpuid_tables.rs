//! What CPUID can say, and what it says: the lists that KVM offers, and those that it takes.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
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
    say!(lab, "KVM_GET_SUPPORTED_CPUID: {} leaves that this host can run", supported.entries().len());
    lab.require(KVM_CAP_EXT_EMUL_CPUID)?;
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

    // Linux 5.16 and later refuse another list now.
    say!(lab, "Once more: EBX {:#x}", lab.value(&mut vcpu)?);
    lab.expect(&mut vcpu, KVM_EXIT_HLT)
}
