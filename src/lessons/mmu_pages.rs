//! `KVM_SET_NR_MMU_PAGES`: how many pages KVM's shadow page tables for a guest may take. Those of the TDP MMU do not count.

use crate::host::errno::Errno;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, outcome, say};
use crate::sys::cap::KVM_CAP_MMU_SHADOW_CACHE_CONTROL;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_MMU_SHADOW_CACHE_CONTROL)?;
    let vm = lab.vm(&[])?;
    // Linux 6.1 has this request, 6.12 only its number.
    let limit = || match vm.mmu_pages() {
        Err(error) if error.is_unknown_request() => say!(lab, "KVM_GET_NR_MMU_PAGES: {}", Errno(libc::ENOTTY)),
        Ok(pages) => say!(lab, "KVM_GET_NR_MMU_PAGES: {pages}"),
        Err(error) => say!(lab, "{error}"),
    };
    limit();
    vm.set_mmu_pages(128)?;
    say!(lab, "KVM_SET_NR_MMU_PAGES: 128");
    limit();
    say!(lab, "KVM_SET_NR_MMU_PAGES: 10: {}; 64 is the least", outcome(vm.set_mmu_pages(10)));
    Ok(())
}
