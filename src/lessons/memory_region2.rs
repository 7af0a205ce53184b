//! `KVM_SET_USER_MEMORY_REGION2`: a slot, with the newer request, which can also name a guest_memfd.

use crate::config::Mode;
use crate::layout::LOW_SLOT;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, memory, say};
use crate::sys::cap::*;
use crate::sys::exit::KVM_EXIT_HLT;

guest!(
    memory_region2,
    "
    .code16
    movb    $0x42, 0x8000
    hlt
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_USER_MEMORY2)?;
    let vm = lab.empty_vm(memory_region2())?;
    let memory = memory(&vm);
    vm.set_user_memory_region2(LOW_SLOT, 0, &memory.regions()[0], None)?;
    say!(lab, "KVM_SET_USER_MEMORY_REGION2 without a guest_memfd: as the older request");
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    lab.expect(&mut vcpu, KVM_EXIT_HLT)?;
    say!(lab, "The guest has written {:#x}", memory.read_value::<u8>(0x8000)?);
    say!(lab, "KVM_CAP_VM_TYPES: {:#b}; bit 0 is KVM_X86_DEFAULT_VM", lab.require(KVM_CAP_VM_TYPES)?);
    Ok(())
}
