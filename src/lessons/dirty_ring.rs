//! The dirty ring: each vCPU's written pages one after another, instead of a bit for every page; and what each costs.

use crate::config::Mode;
use crate::host::clock;
use crate::kvm::dirty_log::DirtyRing;
use crate::layout::LOW_SLOT;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::{KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL};
use crate::sys::exit::{KVM_EXIT_DIRTY_RING_FULL, KVM_EXIT_HLT};
use crate::sys::memory::{KVM_MEM_LOG_DIRTY_PAGES, kvm_dirty_gfn};

guest!(
    dirty_ring,
    "
    .code16
    mov     $0x2000, %ax            # from page 0x20 to the end of the first MiB: 224 pages
dirty_ring_next:
    mov     %ax, %ds
    incb    0
    add     $0x100, %ax
    jnc     dirty_ring_next
    hlt
    "
);

/// As small as a ring can be where the processor keeps no log of its own: 256 entries. KVM leaves 64 of them free.
const SIZE: usize = 4096;

/// On Intel KVM leaves as many more free as that log has, 512.
const SIZE_ON_INTEL: usize = 16384;

pub fn run(lab: &Lab) -> Result<(), Error> {
    let capability = match lab.require(KVM_CAP_DIRTY_LOG_RING_ACQ_REL) {
        Ok(_) => KVM_CAP_DIRTY_LOG_RING_ACQ_REL,
        Err(_) => {
            lab.require(KVM_CAP_DIRTY_LOG_RING)?;
            KVM_CAP_DIRTY_LOG_RING
        }
    };
    let vm = lab.empty_vm(dirty_ring())?;
    let size = match vm.enable(capability, SIZE as u64) {
        Ok(()) => SIZE,
        Err(_) => {
            vm.enable(capability, SIZE_ON_INTEL as u64)?;
            SIZE_ON_INTEL
        }
    };
    say!(lab, "A ring of {} entries for each vCPU", size / size_of::<kvm_dirty_gfn>());
    lab.show_ram(&vm, KVM_MEM_LOG_DIRTY_PAGES)?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    let mut ring = DirtyRing::map(&vcpu, size)?;

    let mut nanoseconds = 0;
    loop {
        let reason = lab.run(&mut vcpu)?;
        let start = clock::monotonic();
        let (mut first, mut last, mut count) = (None, 0, 0);
        while let Some((_, page)) = ring.collect() {
            first.get_or_insert(page);
            (last, count) = (page, count + 1);
        }
        let reset = vm.reset_dirty_rings()?;
        nanoseconds += clock::monotonic() - start;
        let first = first.unwrap_or_default();
        match reason {
            KVM_EXIT_DIRTY_RING_FULL => say!(lab, "KVM_EXIT_DIRTY_RING_FULL"),
            KVM_EXIT_HLT => say!(lab, "KVM_EXIT_HLT"),
            reason => return Err(Error::OtherExit { expected: KVM_EXIT_HLT, reason }),
        }
        say!(lab, "  collected {count} pages, {first:#x} to {last:#x}; KVM_RESET_DIRTY_RINGS: {reset}");
        if reason == KVM_EXIT_HLT {
            break;
        }
    }
    if size == SIZE {
        say!(lab, "One page is there twice: the ring was full before its write was made, and logged it again");
    } else {
        say!(lab, "On this processor, which keeps a log of its own, the smallest ring is too large for this guest to fill");
    }
    if vm.dirty_log(LOW_SLOT).is_err() {
        say!(lab, "Beside a ring there is no bitmap: KVM_GET_DIRTY_LOG fails");
    }
    let bitmap = bitmap(lab)?;
    say!(lab, "Ring: 16 bytes for each written page; {} ns", nanoseconds);
    say!(lab, "Bitmap: a bit for each page of the slot; {} ns", bitmap);
    Ok(())
}

/// The same guest with a bitmap: how long it takes to read it, in nanoseconds.
fn bitmap(lab: &Lab) -> Result<u64, Error> {
    let vm = lab.empty_vm(dirty_ring())?;
    lab.show_ram(&vm, KVM_MEM_LOG_DIRTY_PAGES)?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    lab.expect(&mut vcpu, KVM_EXIT_HLT)?;
    let start = clock::monotonic();
    let count = vm.dirty_log(LOW_SLOT)?.count();
    let nanoseconds = clock::monotonic() - start;
    say!(lab, "The same guest with a bitmap: KVM_GET_DIRTY_LOG has {count} pages");
    Ok(nanoseconds)
}
