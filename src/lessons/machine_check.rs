//! `KVM_X86_SET_MCE`: a corrected error of the hardware, an uncorrected one, and one while CR4.MCE is off.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::KVM_CAP_MCE;
use crate::sys::exit::KVM_EXIT_SHUTDOWN;
use crate::sys::mce::kvm_x86_mce;

guest!(
    machine_check,
    "
    .code16
    movw    $machine_check_handler - machine_check_base, 4 * 18
    mov     %cr4, %eax
    or      $1 << 6, %eax           # CR4.MCE
    mov     %eax, %cr4
machine_check_again:
    mov     $0x405, %ecx            # IA32_MC1_STATUS
    rdmsr
    out     %eax, $0x11              # its lower half
    jmp     machine_check_again

machine_check_handler:
    mov     $0x406, %ecx            # IA32_MC1_ADDR
    rdmsr
    out     %eax, $0x11
    mov     $0x17a, %ecx            # IA32_MCG_STATUS: 0 ends the machine check
    xor     %eax, %eax
    xor     %edx, %edx
    wrmsr
    mov     %cr4, %eax
    and     $~(1 << 6), %eax
    mov     %eax, %cr4
    iret
    "
);

// MCi_STATUS: SDM volume 3, "IA32_MCi_STATUS MSRs".
const VALID: u64 = 1 << 63;
const UNCORRECTED: u64 = 1 << 61;
const ENABLED: u64 = 1 << 60;
const ADDRESS_VALID: u64 = 1 << 58;
/// MCG_STATUS: a machine check is in progress.
const IN_PROGRESS: u64 = 1 << 2;
/// How many banks the guest gets: bits 0-7 of MCG_CAP.
const BANKS: u64 = 4;
/// In MCG_CAP: there is MCG_CTL.
const MCG_CTL_P: u64 = 1 << 8;

pub fn run(lab: &Lab) -> Result<(), Error> {
    say!(lab, "KVM_CAP_MCE: {} banks at most", lab.require(KVM_CAP_MCE)?);
    let vm = lab.vm(machine_check())?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    let capabilities = lab.kvm().machine_check_capabilities()?;
    vcpu.set_up_machine_checks(capabilities & MCG_CTL_P | BANKS)?;
    say!(lab, "KVM_X86_SETUP_MCE: {BANKS} banks");
    say!(lab, "The guest reads IA32_MC1_STATUS: {:#x}", lab.value(&mut vcpu)?);

    let check = kvm_x86_mce { bank: 1, addr: 0xabc0, mcg_status: IN_PROGRESS, ..Default::default() };
    let status = VALID | ENABLED | ADDRESS_VALID;
    vcpu.machine_check(&kvm_x86_mce { status: status | 0x11, mcg_status: 0, ..check })?;
    say!(lab, "KVM_X86_SET_MCE, corrected: the bank has it: {:#x}", lab.value(&mut vcpu)?);

    let fatal = kvm_x86_mce { status: status | UNCORRECTED | 0x22, ..check };
    vcpu.machine_check(&fatal)?;
    say!(lab, "Uncorrected: the guest gets #MC, and reads IA32_MC1_ADDR: {:#x}", lab.value(&mut vcpu)?);
    say!(lab, "It clears CR4.MCE, and reads IA32_MC1_STATUS: {:#x}", lab.value(&mut vcpu)?);

    vcpu.machine_check(&fatal)?;
    lab.expect(&mut vcpu, KVM_EXIT_SHUTDOWN)?;
    say!(lab, "Once more, with CR4.MCE off: KVM_EXIT_SHUTDOWN");
    Ok(())
}
