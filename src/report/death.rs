//! How a guest died: in words, and with all that is left to be seen.

use super::{name, registers};
use crate::exit::{Death, emulation_bytes};
use crate::sys::regs::{kvm_regs, kvm_sregs};
use crate::sys::run::kvm_sync_regs;
use crate::text::Text;
use crate::vcpu::RunPage;
use crate::view::{Paging, View};
use crate::words;
use crate::words::{Lines, Prose};
use crate::x86;
use crate::{lines, t};
use core::arch::x86_64::__cpuid;

/// What a guest can die of, in the order of [`Death`].
const DEATHS: Lines<1, 1> = lines!(
    "KVM_EXIT_SHUTDOWN: triple fault: no handler for an exception, nor for the double fault",
    "KVM_EXIT_FAIL_ENTRY: the hardware refused the guest: %x",
    "KVM_EXIT_INTERNAL_ERROR: suberror %d, KVM_INTERNAL_ERROR_",
    "KVM_EXIT_INTERNAL_ERROR: suberror %d, KVM_INTERNAL_ERROR_",
    "KVM_EXIT_UNKNOWN: the hardware's reason is unknown to KVM: %x",
    "exit %d, KVM_EXIT_%s: not asked for, so not answered",
    "exit %d, KVM_EXIT_%s: of an access that can't be",
);

/// What commonly causes it.
const CAUSES: Lines<0, 0> = lines!(
    "an IDT that is missing or can't be reached; a stack without RAM; page tables that map nothing. \
--replay shows the way there",
    "registers that contradict each other, as --mode and --set or the guest itself left them",
    "an instruction on an address without RAM that KVM's emulator does not have; or a jump to where no RAM is",
    "of 3, an IDT, TSS or stack where no RAM is; of the others, a processor newer than its kernel",
    "an enclave of Intel's SGX; in Linux 6.1 nothing else does this",
    "a kernel that is newer than this program",
    "a kernel that is newer than this program",
);

/// What `KVM_INTERNAL_ERROR_*` mean, by number.
const SUBERRORS: Lines<0, 0> = lines!(
    "(not in Linux 6.1)",
    "EMULATION: KVM met an instruction that it can't emulate",
    "SIMUL_EX: two exceptions at once",
    "DELIVERY_EV: the delivery of an exception or interrupt left the guest",
    "UNEXPECTED_EXIT_REASON: an exit that KVM never asked for",
    "(not in Linux 6.1)",
);

/// Says what the guest died of, and what commonly causes that.
#[inline(never)]
pub fn cause(text: &mut Text, death: Death, page: &RunPage) {
    let reason = page.exit_reason();
    let internal = page.internal();
    let mut word: &[u8] = b"";
    let mut number = reason.into();
    match death {
        Death::FailEntry => number = page.fail_entry().hardware_entry_failure_reason,
        Death::Emulation | Death::Internal => number = internal.suberror.into(),
        Death::Unknown => number = page.hw().hardware_exit_reason,
        Death::Shutdown | Death::Unexpected | Death::Malformed => word = name(reason),
    }
    text.say(DEATHS.get(death as usize), &[word], &[number]);
    if death == Death::FailEntry {
        text.plain(entry_failure(is_amd(), number));
    }
    if let Death::Emulation | Death::Internal = death {
        text.plain(SUBERRORS.get((number as usize).min(5)));
    }
    text.plain(t!("\n  commonly: "));
    text.plain(CAUSES.get(death as usize));
    match (death, emulation_bytes(page.emulation_failure())) {
        (Death::Emulation, bytes @ [_, ..]) => {
            text.plain(t!("\n  its bytes and what follows:"));
            text.dump(bytes);
        }
        (Death::Internal, _) => {
            text.plain(t!("\n  KVM's data:"));
            for &word in internal.data.iter().take(internal.ndata as usize) {
                text.say(t!(" %x"), &[], &[word]);
            }
        }
        _ => {}
    }
}

/// CPUID leaf 0 spells the vendor: "AuthenticAMD", or "HygonGenuine" of the same design.
fn is_amd() -> bool {
    matches!(&__cpuid(0).ebx.to_le_bytes(), b"Auth" | b"Hygo")
}

/// What the hardware's code means: Intel's SDM volume 3, appendix C and 31.4; AMD's APM volume 2, appendix C.
fn entry_failure(amd: bool, reason: u64) -> Prose<0, 0> {
    match (amd, reason) {
        // KVM hands on 32 bits of it, or all 64.
        (true, 0xffff_ffff | u64::MAX) => t!(", AMD's VMEXIT_INVALID: the state is inconsistent"),
        (false, 0x8000_0021) => t!(", Intel's invalid guest state"),
        (false, 0x8000_0022) => t!(", Intel's failure to load MSRs"),
        (false, 0x8000_0029) => t!(", Intel's machine check during entry"),
        (false, 7) => t!(", Intel's VM-instruction error: invalid control fields, a bug of KVM's"),
        (false, 8) => t!(", Intel's VM-instruction error: invalid host state, a bug of KVM's"),
        _ => t!(""),
    }
}

/// All that is left to be seen: registers, broken rules, code, stack, and the way through the page tables. After
/// a replay the vCPU's own registers are gone, and `view` is asked by those that are given.
#[inline(never)]
pub fn state(text: &mut Text, view: &View, regs: &kvm_regs, sregs: &kvm_sregs, replayed: bool) {
    registers::show(text, regs, sregs);
    // SDM volume 3, "First Instruction Executed": where that is after a reset.
    if (regs.rip, sregs.cs.base) == (0xfff0, 0xffff_0000) {
        text.plain(t!(
            "\n  This is the state after a reset: AMD's hardware keeps nothing of a shutdown"
        ));
        return;
    }
    rules(text, regs, sregs);

    let (mode, paging) = x86::mode(regs, sregs);
    let paging = Paging::new(paging, sregs);
    let rip = x86::instruction(regs, sregs);
    // A push in 16-bit code counts SP alone, and beyond what the mode has there is nothing.
    let mask = if mode == x86::MODE_64 { u64::MAX } else { 0xffff << (16 * sregs.ss.db) | 0xffff };
    let rsp = x86::linear(mode, sregs.ss.base, regs.rsp & mask);
    // After a replay the vCPU would translate by tables that are not these.
    if !replayed {
        let mut bytes = [0; 32];
        text.say(t!("\n  code at %x:"), &[], &[rip]);
        let before = bytes.get_mut(..16).unwrap_or_default();
        if view.linear(rip.wrapping_sub(16), before) == 16 {
            text.dump(before);
        }
        text.plain(t!(" |"));
        found(text, view, rip, before);
        text.say(t!("\n  stack at %x:"), &[], &[rsp]);
        found(text, view, rsp, &mut bytes);
    }

    walk(text, view, paging, b"rip", rip);
    walk(text, view, paging, b"rsp", rsp);
    if sregs.cr2 != 0 {
        walk(text, view, paging, b"cr2, the last page fault", sregs.cr2);
    }
}

fn found(text: &mut Text, view: &View, address: u64, bytes: &mut [u8]) {
    let len = view.linear(address, bytes);
    dump(text, bytes, len);
}

/// Bytes of which `len` could be read.
#[inline(never)]
fn dump(text: &mut Text, bytes: &[u8], len: usize) {
    text.dump(bytes.get(..len).unwrap_or_default());
    if len < bytes.len() {
        text.plain(t!(" (no RAM)"));
    }
}

/// The rules of the manual that these registers break.
#[inline(never)]
pub fn rules(text: &mut Text, regs: &kvm_regs, sregs: &kvm_sregs) {
    let broken = x86::broken_rules(regs, sregs);
    for rule in (0..64).filter(|rule| broken >> rule & 1 != 0) {
        text.plain(t!("\n  rule broken: "));
        text.plain(x86::RULES.get(rule));
    }
}

fn walk(text: &mut Text, view: &View, paging: Paging, what: &[u8], linear: u64) {
    if paging.levels == 0 {
        return;
    }
    text.say(t!("\n  page tables for %s:"), &[what], &[]);
    let end = view.walk(paging, linear, &mut |level, place, entry| {
        let name = words::word(x86::ENTRIES, level as usize);
        text.say(t!("\n    %s at %x: "), &[name], &[place]);
        match entry {
            None => text.plain(t!("no RAM there")),
            Some(entry) => {
                text.say(t!("%x"), &[], &[entry]);
                text.bits(entry & 0x1ff, if level == 1 { x86::PTE } else { x86::PDE });
                text.bits(entry >> 63, b"NX");
            }
        }
    });
    match end {
        None => text.plain(t!("\n    it maps nothing")),
        Some(address) => {
            let there = view.physical(address, &mut [0]);
            let verdict = if there { "" } else { ", where no RAM is" };
            text.say(t!("\n    GPA %x%s"), &[verdict.as_bytes()], &[address]);
        }
    }
}

/// `--replay`: the last instructions of a guest that was run again, single-stepped.
#[derive(Default)]
pub struct Replay {
    /// Linear addresses, the bytes there, and how many of them could be read, in a ring.
    addresses: [(u64, [u8; 8], usize); 32],
    /// How many there were.
    count: u64,
}

impl Replay {
    /// An instruction begins at this linear address, with these bytes, of which `len` could be read.
    pub fn at(&mut self, address: u64, bytes: &[u8; 8], len: usize) {
        if let Some(place) = self.addresses.get_mut((self.count % 32) as usize) {
            *place = (address, *bytes, len);
        }
        self.count += 1;
    }

    /// Shows them, and the state before the last one.
    #[inline(never)]
    pub fn show(&self, text: &mut Text, view: &View, before: &kvm_sync_regs, died: bool) {
        let shown = self.count.min(32);
        text.say(t!("replay: the last %d of %d instructions"), &[], &[shown, self.count]);
        if !died {
            text.plain(t!("; this time it did not die: steps change RFLAGS.TF, and take time"));
        }
        for number in self.count - shown..self.count {
            if let Some((address, bytes, len)) = self.addresses.get((number % 32) as usize) {
                text.say(t!("\n  %x:"), &[], &[*address]);
                dump(text, bytes, *len);
            }
        }
        text.plain(t!("\nbefore the last of them:"));
        state(text, view, &before.regs, &before.sregs, true);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::run::*;
    use crate::text::said;

    fn page(reason: u32, arm: kvm_run_exit) -> RunPage {
        let mut page = RunPage::map(-1, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, 3 * 4096).unwrap();
        page.fake(reason, arm);
        page
    }

    #[test]
    fn each_death_has_its_own_words() {
        let internal = |suberror| kvm_run_exit {
            internal: kvm_run_internal {
                suberror,
                ndata: 2,
                data: [0x51, 0x52, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
            },
        };
        let entry = |code| kvm_run_exit {
            fail_entry: kvm_run_fail_entry { hardware_entry_failure_reason: code, cpu: 0 },
        };
        let emulation_failure = kvm_run_emulation_failure {
            suberror: 1,
            ndata: 3,
            flags: 1,
            insn_size: 2,
            insn_bytes: [15; 15],
        };
        for (death, reason, arm, words) in [
            (Death::Shutdown, 8, internal(0), "KVM_EXIT_SHUTDOWN: triple fault"),
            (Death::Shutdown, 8, internal(0), "commonly: an IDT that is missing"),
            (Death::FailEntry, 9, entry(0x77), "the hardware refused the guest: 0x77"),
            (
                Death::Emulation,
                17,
                kvm_run_exit { emulation_failure },
                "suberror 1, KVM_INTERNAL_ERROR_EMULATION: KVM met",
            ),
            (Death::Emulation, 17, kvm_run_exit { emulation_failure }, "what follows: 0f 0f\n"),
            (Death::Internal, 17, internal(2), "suberror 2, KVM_INTERNAL_ERROR_SIMUL_EX: two"),
            (Death::Internal, 17, internal(3), "suberror 3, KVM_INTERNAL_ERROR_DELIVERY_EV: the"),
            (Death::Internal, 17, internal(4), "4, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: an"),
            (Death::Internal, 17, internal(9), "9, KVM_INTERNAL_ERROR_(not in Linux 6.1)"),
            (Death::Internal, 17, internal(9), "KVM's data: 0x51 0x52\n"),
            (
                Death::Unknown,
                0,
                entry(77),
                "KVM_EXIT_UNKNOWN: the hardware's reason is unknown to KVM: 0x4d",
            ),
            (Death::Unexpected, 28, internal(0), "exit 28, KVM_EXIT_ARM_NISV: not asked for"),
            (Death::Unexpected, 99, internal(0), "exit 99, KVM_EXIT_(not in Linux 6.1): not asked"),
            (Death::Malformed, 2, internal(0), "exit 2, KVM_EXIT_IO: of an access that can't be"),
        ] {
            let said = said(|text| cause(text, death, &page(reason, arm))) + "\n";
            assert!(said.contains(words), "{death:?}: {said}");
        }
    }

    #[test]
    fn each_code_of_a_failed_entry_is_its_vendor_s() {
        for (amd, code, words) in [
            (true, u64::MAX, ", AMD's VMEXIT_INVALID"),
            (true, 0xffff_ffff, ", AMD's VMEXIT_INVALID"),
            (true, 0x8000_0021, ""),
            (false, 0x8000_0021, ", Intel's invalid guest state"),
            (false, 7, ", Intel's VM-instruction error"),
            (false, u64::MAX, ""),
        ] {
            let meaning = said(|text| text.plain(entry_failure(amd, code)));
            assert!(meaning.starts_with(words));
            assert_eq!(meaning.is_empty(), words.is_empty());
        }
    }
}
