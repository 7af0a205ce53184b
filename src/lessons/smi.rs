//! `KVM_SMI`: system management mode, with an address space of its own. Here that shows the same RAM.

use crate::config::Mode;
use crate::layout::LOW_SLOT;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, RAM, guest, memory, say};
use crate::sys::cap::{KVM_CAP_MULTI_ADDRESS_SPACE, KVM_CAP_X86_SMM};
use crate::sys::exit::KVM_EXIT_HLT;
use crate::sys::run::KVM_RUN_X86_SMM;

guest!(
    smi,
    "
    .code16
    mov     $1, %ax
    out     %ax, $0x11
    out     %ax, $0x11              # AX is what it was: RSM has restored it
    hlt
    "
);

guest!(
    smi_handler,
    "
    .code16
    mov     $0x534d, %ax            # SM
    out     %ax, $0x11
    rsm
    "
);

/// Where a processor begins in system management mode: SDM volume 3, 32.4. SMBASE is 0x30000 after a reset, the code at SMBASE + 0x8000,
/// and the saved state up to SMBASE + 0xffff.
const HANDLER: u64 = 0x3_8000;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_X86_SMM)?;
    lab.require(KVM_CAP_MULTI_ADDRESS_SPACE)?;
    let vm = lab.vm(smi())?;
    let (memory, slot) = (memory(&vm), 1 << 16 | LOW_SLOT);
    memory.write(HANDLER, smi_handler())?;
    vm.set_user_memory_region(slot, 0, 0, &memory.regions()[0], RAM)?;
    say!(lab, "Slot {slot:#x}: system management mode has an address space of its own, number 1");
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;

    let in_smm = |vcpu: &crate::kvm::Vcpu| u8::from(vcpu.page().flags() & KVM_RUN_X86_SMM != 0);
    let ax = lab.value(&mut vcpu)?;
    say!(lab, "The guest runs: AX = {ax:#x}, KVM_RUN_X86_SMM = {}", in_smm(&vcpu));
    vcpu.smi()?;
    let ax = lab.value(&mut vcpu)?;
    say!(lab, "KVM_SMI: the handler runs: AX = {ax:#x}, KVM_RUN_X86_SMM = {}", in_smm(&vcpu));
    say!(lab, "KVM_GET_VCPU_EVENTS: smi.smm = {}", vcpu.events()?.smi.smm);
    let ax = lab.value(&mut vcpu)?;
    say!(lab, "RSM: the guest goes on: AX = {ax:#x}, KVM_RUN_X86_SMM = {}", in_smm(&vcpu));
    lab.expect(&mut vcpu, KVM_EXIT_HLT)
}
