//! `KVM_SET_NR_MMU_PAGES`: how many pages KVM's own tables for a guest may take.

use crate::host::errno::Errno;
use crate::kvm;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, say};
use crate::sys::cap::KVM_CAP_MMU_SHADOW_CACHE_CONTROL;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_MMU_SHADOW_CACHE_CONTROL)?;
    let vm = lab.vm(&[])?;
    // Linux 6.12 does not have the other request any more.
    let limit = || match vm.mmu_pages() {
        Err(error) if error.is_unknown_request() => say!(lab, "KVM_GET_NR_MMU_PAGES: {}", Errno(libc::ENOTTY)),
        Ok(pages) => say!(lab, "KVM_GET_NR_MMU_PAGES: {pages}"),
        Err(error) => say!(lab, "{error}"),
    };
    limit();
    vm.set_mmu_pages(128)?;
    say!(lab, "KVM_SET_NR_MMU_PAGES: 128");
    limit();
    match vm.set_mmu_pages(10) {
        Err(kvm::Error::Ioctl { error, .. }) => say!(lab, "KVM_SET_NR_MMU_PAGES: 10: {}", error.errno),
        result => result?,
    }
    Ok(())
}
