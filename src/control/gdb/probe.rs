//! Which breakpoints this host's KVM has. QEMU's emulated SVM has none: it takes INT3 for a software interrupt, which KVM does not
//! intercept, and VMRUN does not switch on what DR7 says.

use crate::boot;
use crate::config::Backing;
use crate::control::gdb::breakpoints::{Access, Breakpoints, Hardware, INT3};
use crate::kvm::{self, Kvm, Vcpu};
use crate::machine::Error;
use crate::memory::GuestMemory;
use crate::sys::debug::{KVM_GUESTDBG_USE_HW_BP, KVM_GUESTDBG_USE_SW_BP};
use crate::sys::exit::KVM_EXIT_DEBUG;
use crate::sys::regs::kvm_regs;
use crate::x86::HLT;
use alloc::sync::Arc;

// A page: the interrupt vectors, an INT3, and a handler for it that halts.
const SIZE: u64 = 4096;
const VECTOR: u64 = 3 * 4;
const CODE: u64 = 0x400;
const HANDLER: u64 = 0x500;
const STACK: u64 = 0x800;
// Real mode's `mov %al, 0x600` and HLT, and what it writes to.
const WRITING: u64 = 0x540;
const WRITE: [u8; 4] = [0xa2, 0x00, 0x06, HLT];
const WRITTEN: u64 = 0x600;

/// What there is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Kinds {
    /// `KVM_GUESTDBG_USE_SW_BP`: KVM leaves the guest at INT3.
    pub software: bool,
    /// `KVM_GUESTDBG_USE_HW_BP`: it leaves where DR7 says.
    pub hardware: bool,
    /// Likewise at an access to memory.
    pub watch: bool,
}

/// Tries all in a VM of its own.
pub fn kinds() -> Result<Kinds, Error> {
    let memory = Arc::new(GuestMemory::map(Backing::Anonymous, &[(0, SIZE)])?);
    let handler = (HANDLER as u32).to_le_bytes();
    let all = [(VECTOR, &handler[..]), (CODE, &[INT3]), (HANDLER, &[HLT]), (WRITING, &WRITE)];
    for (at, bytes) in all {
        memory.write(at, bytes).map_err(boot::Error::from)?;
    }
    let kvm = Kvm::open()?;
    let vm = Arc::new(kvm.create_vm()?.with_memory(memory.clone()));
    let region = &memory.regions()[0];
    vm.set_user_memory_region(0, 0, 0, region, region.size)?;
    let mut vcpu = Vcpu::create(vm, 0, kvm.vcpu_mmap_size()?)?;
    let before = vcpu.sregs()?;
    let mut sregs = before;
    (sregs.cs.base, sregs.cs.selector) = (0, 0);
    vcpu.set_sregs(&sregs, &before)?;
    let mut leaves_at = |rip, what, registers| -> Result<bool, kvm::Error> {
        let regs = vcpu.regs()?;
        vcpu.set_regs(&kvm_regs { rip, rsp: STACK, ..regs })?;
        vcpu.set_guest_debug(what, registers)?;
        while let Err(error) = vcpu.run() {
            match error {
                // A signal.
                kvm::Error::Ioctl { error, .. } if error.is(libc::EINTR) => {}
                error => return Err(error),
            }
        }
        Ok(vcpu.page().exit_reason() == KVM_EXIT_DEBUG)
    };
    let at_code = Breakpoints::default().debug_registers(Some(HANDLER)).unwrap_or_default();
    let mut watching = Breakpoints::default();
    if let Some(written) = Hardware::new(WRITTEN, Access::Write, 1) {
        // None of the four is taken.
        let _ = watching.insert_hardware(written);
    }
    let at_write = watching.debug_registers(None).unwrap_or_default();
    Ok(Kinds {
        software: leaves_at(CODE, KVM_GUESTDBG_USE_SW_BP, [0; 8])?,
        hardware: leaves_at(HANDLER, KVM_GUESTDBG_USE_HW_BP, at_code)?,
        watch: leaves_at(WRITING, KVM_GUESTDBG_USE_HW_BP, at_write)?,
    })
}
