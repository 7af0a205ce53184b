//! guest_memfd: memory that user space can't touch, pages that are private or shared, and the exit where a private page has no
//! guest_memfd. The VM is of a type that is made for tests of just that; nothing is encrypted.

use crate::config::Mode;
use crate::host::syscall::CallError;
use crate::kvm;
use crate::layout::LOW_SLOT;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, memory, say};
use crate::sys::cap::{KVM_CAP_GUEST_MEMFD, KVM_CAP_VM_TYPES};
use crate::sys::exit::KVM_EXIT_MEMORY_FAULT;
use crate::sys::memory::KVM_X86_SW_PROTECTED_VM;

guest!(
    guest_memfd,
    "
    .code16
    movb    $0x11, 0x8000
    out     %al, $0x11
    mov     0x8000, %al
    out     %al, $0x11
    movb    $0x22, 0x8000
    out     %al, $0x11
    mov     0x8000, %al
    out     %al, $0x11
    "
);

/// The page that the guest writes.
const PAGE: u64 = 0x8000;

pub fn run(lab: &Lab) -> Result<(), Error> {
    let types = lab.require(KVM_CAP_VM_TYPES)?;
    if types >> KVM_X86_SW_PROTECTED_VM & 1 == 0 {
        return Err(Error::Lacks(
            "KVM_CAP_VM_TYPES has no KVM_X86_SW_PROTECTED_VM: this kernel was built without CONFIG_KVM_SW_PROTECTED_VM, or kvm.tdp_mmu is off",
        ));
    }
    let vm = lab.vm_of_type(KVM_X86_SW_PROTECTED_VM, guest_memfd())?;
    if vm.check_extension(KVM_CAP_GUEST_MEMFD)? == 0 {
        return Err(Error::Missing(KVM_CAP_GUEST_MEMFD));
    }
    let region = memory(&vm).regions()[0];
    let file = vm.create_guest_memfd(region.size)?;
    vm.set_user_memory_region2(LOW_SLOT, 0, &region, Some(&file))?;
    say!(lab, "KVM_SET_USER_MEMORY_REGION2: a slot of two memories: ours, and a guest_memfd");
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    let ours = || memory(&vm).read_value::<u8>(PAGE);

    lab.value(&mut vcpu)?;
    say!(lab, "The guest writes 0x11 to a shared page; user space finds {:#x}", ours()?);
    vm.set_private(PAGE, 4096, true)?;
    say!(lab, "KVM_SET_MEMORY_ATTRIBUTES: now the page is private");
    let value = lab.value(&mut vcpu)?;
    say!(lab, "The guest reads the guest_memfd's page: {value:#x}; user space finds {:#x}", ours()?);
    lab.value(&mut vcpu)?;
    say!(lab, "The guest writes 0x22; user space finds {:#x}", ours()?);
    vm.set_private(PAGE, 4096, false)?;
    say!(lab, "Shared again: the guest reads {:#x}", lab.value(&mut vcpu)?);

    // A slot without a guest_memfd can't have a private page.
    let vm = lab.vm_of_type(KVM_X86_SW_PROTECTED_VM, guest_memfd())?;
    lab.show_ram(&vm, 0)?;
    vm.set_private(PAGE, 4096, true)?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    match Lab::enter(&mut vcpu) {
        Err(kvm::Error::Ioctl { error: CallError { errno, .. }, .. })
            if vcpu.page().exit_reason() == KVM_EXIT_MEMORY_FAULT =>
        {
            let fault = vcpu.page().memory_fault();
            say!(lab, "KVM_RUN: {errno}, KVM_EXIT_MEMORY_FAULT: GPA {:#x}, flags {:#x}", fault.gpa, fault.flags);
            Ok(())
        }
        Err(error) => Err(error.into()),
        Ok(()) => Err(Error::OtherExit {
            expected: KVM_EXIT_MEMORY_FAULT,
            reason: vcpu.page().exit_reason(),
        }),
    }
}
