//! `KVM_CLEAR_DIRTY_LOG`: a dirty log that is read and cleared in two steps, so that it need not be cleared as a whole.

use crate::config::Mode;
use crate::kvm::Vm;
use crate::layout::LOW_SLOT;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2;
use crate::sys::memory::*;

guest!(
    clear_log,
    "
    .code16
    mov     $0x2000, %ax
    mov     %ax, %ds
clear_log_again:
    incb    0                       # page 0x20
    incb    0x3000                  # page 0x23
    out     %al, $0x11
    jmp     clear_log_again
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    let ways = lab.require(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2)?;
    let vm = lab.empty_vm(clear_log())?;
    vm.enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE.into())?;
    lab.show_ram(&vm, KVM_MEM_LOG_DIRTY_PAGES)?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;

    lab.value(&mut vcpu)?;
    // Page 1 is the guest's code: KVM has mapped it writable when the guest fetched it.
    say!(lab, "The guest has written two pages. KVM_GET_DIRTY_LOG:{}", Pages(&vm));
    say!(lab, "Once more, for reading does not clear:{}", Pages(&vm));
    vm.clear_dirty_log(LOW_SLOT, &vm.dirty_log(LOW_SLOT)?)?;
    say!(lab, "KVM_CLEAR_DIRTY_LOG with these bits, and then:{}", Pages(&vm));
    lab.value(&mut vcpu)?;
    say!(lab, "The guest has written them again:{}", Pages(&vm));

    if ways & u64::from(KVM_DIRTY_LOG_INITIALLY_SET) == 0 {
        say!(lab, "KVM_DIRTY_LOG_INITIALLY_SET: not in this kernel");
        return Ok(());
    }
    let vm = lab.empty_vm(clear_log())?;
    vm.enable(KVM_CAP_MANUAL_DIRTY_LOG_PROTECT2, ways)?;
    lab.show_ram(&vm, KVM_MEM_LOG_DIRTY_PAGES)?;
    let all = vm.dirty_log(LOW_SLOT)?.count();
    say!(lab, "With KVM_DIRTY_LOG_INITIALLY_SET a new log has all {all} pages");
    Ok(())
}

/// The pages that the log has now.
struct Pages<'a>(&'a Vm);

impl core::fmt::Display for Pages<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter) -> core::fmt::Result {
        let log = match self.0.dirty_log(LOW_SLOT) {
            Ok(log) => log,
            Err(error) => return write!(f, " {error}"),
        };
        if log.count() == 0 {
            return f.write_str(" none");
        }
        log.ranges().flat_map(|(first, end)| first..end).try_for_each(|page| write!(f, " {page:#x}"))
    }
}
