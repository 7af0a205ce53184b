//! The dirty ring: each vCPU's written pages one after another, instead of a bit for every page; and what each costs.

use crate::config::Mode;
use crate::host::clock;
use crate::inspect::trace::reason_name;
use crate::kvm::dirty_log::DirtyRing;
use crate::layout::LOW_SLOT;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::{KVM_CAP_DIRTY_LOG_RING, KVM_CAP_DIRTY_LOG_RING_ACQ_REL};
use crate::sys::exit::{KVM_EXIT_DIRTY_RING_FULL, KVM_EXIT_HLT};
use crate::sys::memory::{KVM_MEM_LOG_DIRTY_PAGES, kvm_dirty_gfn};
use alloc::vec::Vec;

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

    let start = clock::monotonic();
    let (mut pages, mut rounds) = (Vec::new(), Vec::new());
    loop {
        let reason = lab.run(&mut vcpu)?;
        let known = pages.len();
        while let Some((_, page)) = ring.collect() {
            pages.push(page);
        }
        let reset = vm.reset_dirty_rings()?;
        let new = &pages[known..];
        let (count, first, last) = (new.len(), new.first().copied().unwrap_or_default(), new.last().copied().unwrap_or_default());
        rounds.push((reason, count, first, last, reset));
        match reason {
            KVM_EXIT_DIRTY_RING_FULL => {}
            KVM_EXIT_HLT => break,
            reason => return Err(Error::OtherExit { expected: KVM_EXIT_HLT, reason }),
        }
    }
    let with_ring = clock::monotonic() - start;
    for (reason, count, first, last, reset) in rounds {
        say!(lab, "{}", reason_name(reason));
        say!(lab, "  collected {count} pages, {first:#x} to {last:#x}; KVM_RESET_DIRTY_RINGS: {reset}");
    }
    let twice = pages.iter().enumerate().filter(|(at, page)| pages[..*at].contains(page)).count();
    if twice > 0 {
        say!(lab, "Pages that are there twice: {twice}. The ring was full before the write was made, and logged it again");
    }
    if size != SIZE {
        say!(lab, "On this processor, which keeps a log of its own, the smallest ring is too large for this guest to fill");
    }
    if vm.dirty_log(LOW_SLOT).is_err() {
        say!(lab, "Beside a ring there is no bitmap: KVM_GET_DIRTY_LOG fails");
    }
    let with_bitmap = without_ring(lab, true)?;
    let alone = without_ring(lab, false)?;
    say!(lab, "The guest without a log: {alone} ns");
    say!(lab, "Bitmap, a bit for each page of the slot: {with_bitmap} ns");
    say!(lab, "Ring, 16 bytes for each written page: {with_ring} ns");
    Ok(())
}

/// How long the same guest takes with a bitmap and its reading, or without a log, in nanoseconds.
fn without_ring(lab: &Lab, has_bitmap: bool) -> Result<u64, Error> {
    let vm = lab.empty_vm(dirty_ring())?;
    lab.show_ram(&vm, if has_bitmap { KVM_MEM_LOG_DIRTY_PAGES } else { 0 })?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    let start = clock::monotonic();
    lab.expect(&mut vcpu, KVM_EXIT_HLT)?;
    let log = if has_bitmap { Some(vm.dirty_log(LOW_SLOT)?.count()) } else { None };
    let nanoseconds = clock::monotonic() - start;
    if let Some(count) = log {
        say!(lab, "The same guest with a bitmap: KVM_GET_DIRTY_LOG has {count} pages");
    }
    Ok(nanoseconds)
}
