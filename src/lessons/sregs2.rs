//! `KVM_GET_SREGS2`: as `KVM_GET_SREGS`, with the four entries of PAE paging. An Intel processor loads them with CR3 and keeps them, and
//! `KVM_SET_SREGS` would read memory again, where they may have changed since. AMD's, with nested paging, keeps none.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, memory, outcome, say};
use crate::sys::cap::KVM_CAP_SREGS2;
use crate::x86::{CR0_PG, CR4_PAE, PTE_P, PTE_PS, PTE_RW};

guest!(
    sregs2,
    "
    .code32
    out     %al, $0x11
    "
);

/// Where the four entries are, and the table that the first one points to.
const ENTRIES: u64 = 0x8000;
const TABLE: u64 = 0x9000;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_SREGS2)?;
    let vm = lab.vm(sregs2())?;
    let memory = memory(&vm);
    memory.write_value(ENTRIES, &[TABLE | PTE_P, 0, 0, 0])?;
    memory.write_value(TABLE, &(PTE_P | PTE_RW | PTE_PS))?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Protected)?;
    let before = vcpu.sregs()?;
    let mut sregs = before;
    (sregs.cr3, sregs.cr4, sregs.cr0) = (ENTRIES, before.cr4 | CR4_PAE, before.cr0 | CR0_PG);
    vcpu.set_sregs(&sregs, &before)?;
    say!(lab, "KVM_SET_SREGS: PAE paging, CR3 = {ENTRIES:#x}");
    lab.value(&mut vcpu)?;

    let mut sregs2 = vcpu.sregs2()?;
    say!(lab, "KVM_GET_SREGS2: flags {:#x}, pdptrs[0] = {:#x}", sregs2.flags, sregs2.pdptrs[0]);
    memory.write_value(ENTRIES, &[0u64; 4])?;
    vcpu.set_sregs2(&sregs2)?;
    say!(lab, "The entries in memory are gone. KVM_SET_SREGS2 with what they were: taken");
    sregs2.pdptrs[0] = u64::MAX;
    say!(lab, "With reserved bits, of which KVM looks at none: {}", outcome(vcpu.set_sregs2(&sregs2)));
    Ok(())
}
