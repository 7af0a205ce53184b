//! How a guest died: in words, and with all that is left to be seen.

use crate::inspect::guest_view::{GuestView, walk};
use crate::inspect::registers::Registers;
use crate::inspect::trace::reason_name;
use crate::kvm::exit::{Death, emulation_bytes};
use crate::kvm::run_page::RunPage;
use crate::memory::GuestMemory;
use crate::show::{Bits, Dump};
use crate::sys::exit::*;
use crate::sys::regs::{kvm_regs, kvm_sregs};
use crate::x86::mode::{self, Paging};
use crate::x86::{PDE, PTE, is_amd, rules};
use core::arch::x86_64::__cpuid;
use core::fmt::{self, Display};

/// What the guest died of, and what commonly causes that.
pub struct Cause<'a>(pub Death, pub &'a RunPage);

impl fmt::Display for Cause<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let &Cause(death, page) = self;
        let (number, name) = (page.exit_reason(), reason_name(page.exit_reason()));
        match death {
            Death::Shutdown => f.write_str(
                "KVM_EXIT_SHUTDOWN: triple fault: an exception had no handler, and the double fault had none either",
            )?,
            Death::FailEntry => {
                let code = page.fail_entry().hardware_entry_failure_reason;
                write!(f, "KVM_EXIT_FAIL_ENTRY: the hardware refused the guest: {code:#x}")?;
                f.write_str(entry_failure(is_amd(__cpuid(0).ebx), code))?;
            }
            Death::Emulation | Death::Internal => {
                let suberror = page.internal().suberror;
                write!(f, "KVM_EXIT_INTERNAL_ERROR: suberror {suberror}, KVM_INTERNAL_ERROR_")?;
                f.write_str(suberror_meaning(suberror))?;
            }
            Death::Unknown => {
                let code = page.hw().hardware_exit_reason;
                write!(f, "KVM_EXIT_UNKNOWN: the hardware's reason is unknown to KVM: {code:#x}")?;
            }
            Death::Unexpected => write!(f, "exit {number}, {name}: KVM was not asked for such exits, and nothing answers them")?,
            Death::Malformed => write!(f, "exit {number}, {name}: the access that it describes is impossible")?,
        }
        write!(f, "\n  commonly: {}", common_cause(death))?;
        match death {
            Death::Emulation => {
                let bytes = emulation_bytes(page.emulation_failure());
                if !bytes.is_empty() {
                    write!(f, "\n  its bytes and what follows:{}", Dump(bytes))?;
                }
                Ok(())
            }
            Death::Internal => {
                let internal = page.internal();
                f.write_str("\n  KVM's data:")?;
                let data = internal.data.iter().take(internal.ndata as usize);
                data.into_iter().try_for_each(|word| write!(f, " {word:#x}"))
            }
            _ => Ok(()),
        }
    }
}

fn common_cause(death: Death) -> &'static str {
    match death {
        Death::Shutdown => {
            "the IDT is missing or not mapped; the stack is not in RAM; the page tables map nothing. \
             --replay shows the last instructions"
        }
        Death::FailEntry => {
            "the registers contradict each other, because of --mode, --set or the guest itself"
        }
        Death::Emulation => {
            "an instruction that KVM's emulator does not know, with an operand outside RAM; or a jump out of RAM"
        }
        Death::Internal => {
            "for suberror 3, the IDT, TSS or stack is not in RAM; for others, the processor is newer than the kernel"
        }
        Death::Unknown => "an enclave of Intel's SGX, or a path in KVM that gave no reason",
        Death::Unexpected | Death::Malformed => {
            "an exit that only old processors or newer kernels than this program know"
        }
    }
}

fn suberror_meaning(suberror: u32) -> &'static str {
    match suberror {
        KVM_INTERNAL_ERROR_EMULATION => {
            "EMULATION: KVM had to emulate an instruction that its emulator does not know"
        }
        KVM_INTERNAL_ERROR_SIMUL_EX => "SIMUL_EX: two exceptions at once",
        KVM_INTERNAL_ERROR_DELIVERY_EV => {
            "DELIVERY_EV: the delivery of an exception or interrupt left the guest"
        }
        KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON => {
            "UNEXPECTED_EXIT_REASON: an exit that KVM never asked for"
        }
        _ => "(not in Linux 6.12)",
    }
}

/// What the hardware's code means: Intel's SDM volume 3, appendix C and 31.4; AMD's APM volume 2, appendix C.
fn entry_failure(amd: bool, code: u64) -> &'static str {
    match (amd, code) {
        // KVM passes on 32 bits of it, or all 64.
        (true, 0xffff_ffff | u64::MAX) => ", AMD's VMEXIT_INVALID: the state is inconsistent",
        (false, 0x8000_0021) => ", Intel's invalid guest state",
        (false, 0x8000_0022) => ", Intel's failure to load MSRs",
        (false, 0x8000_0029) => ", Intel's machine check during entry",
        (false, 7) => ", Intel's VM-instruction error: invalid control fields, a bug of KVM's",
        (false, 8) => ", Intel's VM-instruction error: invalid host state, a bug of KVM's",
        _ => "",
    }
}

/// All that is left to be seen: registers, broken rules, code, stack, and the way through the page tables.
pub struct State<'a> {
    pub regs: &'a kvm_regs,
    pub sregs: &'a kvm_sregs,
    pub memory: &'a GuestMemory,
    /// Translates addresses for code and stack; `None` where the vCPU's own registers are not those above any more.
    pub view: Option<GuestView<'a>>,
}

impl fmt::Display for State<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let &State { regs, sregs, .. } = self;
        Registers(regs, sregs).fmt(f)?;
        // SDM volume 3, "First Instruction Executed": where that is after a reset.
        if (regs.rip, sregs.cs.base) == (0xfff0, 0xffff_0000) {
            return f.write_str(
                "\n  This is the state after a reset: AMD's hardware keeps nothing of a shutdown",
            );
        }
        BrokenRules(regs, sregs).fmt(f)?;
        let (rip, rsp) = (mode::instruction(regs, sregs), mode::stack(regs, sregs));
        if let Some(view) = self.view {
            write!(f, "\n  code at {rip:#x}:")?;
            let mut before = [0; 16];
            if view.read_linear(rip.wrapping_sub(16), &mut before) == before.len() {
                Dump(&before).fmt(f)?;
            }
            f.write_str(" |")?;
            found(f, view, rip, &mut before)?;
            write!(f, "\n  stack at {rsp:#x}:")?;
            found(f, view, rsp, &mut [0; 32])?;
        }
        self.walk(f, "rip", rip)?;
        self.walk(f, "rsp", rsp)?;
        if sregs.cr2 != 0 {
            self.walk(f, "cr2, the last page fault", sregs.cr2)?;
        }
        Ok(())
    }
}

/// Shows the bytes at a linear address, and where there are fewer, that there is no RAM.
fn found(f: &mut fmt::Formatter, view: GuestView, address: u64, bytes: &mut [u8]) -> fmt::Result {
    let len = view.read_linear(address, bytes);
    Known(bytes, len).fmt(f)
}

/// Bytes of which `len` could be read.
pub struct Known<'a>(pub &'a [u8], pub usize);

impl fmt::Display for Known<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let &Known(bytes, len) = self;
        Dump(&bytes[..len]).fmt(f)?;
        if len < bytes.len() { f.write_str(" (no RAM)") } else { Ok(()) }
    }
}

/// The rules of the manual that registers break, a line each, with a newline before it.
pub struct BrokenRules<'a>(pub &'a kvm_regs, pub &'a kvm_sregs);

impl fmt::Display for BrokenRules<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        rules::broken(self.0, self.1)
            .try_for_each(|rule| write!(f, "\n  rule broken: {}", rule.text))
    }
}

impl State<'_> {
    fn walk(&self, f: &mut fmt::Formatter, what: &str, linear: u64) -> fmt::Result {
        let &State { memory, sregs, .. } = self;
        if Paging::of(sregs) == Paging::Off {
            return Ok(());
        }
        write!(f, "\n  page tables for {what}:{}", Walk { memory, sregs, linear })
    }
}

/// The way of a linear address through the page tables: a line for each entry, with a newline before it, and where it ends.
pub struct Walk<'a> {
    pub memory: &'a GuestMemory,
    pub sregs: &'a kvm_sregs,
    pub linear: u64,
}

impl fmt::Display for Walk<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let &Walk { memory, sregs, linear } = self;
        let mut result = Ok(());
        let end = walk(memory, sregs, linear, &mut |entry| {
            let name = ["PTE", "PDE", "PDPTE", "PML4E", "PML5E"][entry.level as usize - 1];
            let names = if entry.level == 1 { PTE } else { PDE };
            let shown = match entry.value {
                None => write!(f, "\n    {name} at {:#x}: no RAM there", entry.gpa),
                Some(value) => write!(
                    f,
                    "\n    {name} at {:#x}: {value:#x}{}{}",
                    entry.gpa,
                    Bits(value & 0x1ff, names),
                    Bits(value >> 63, "NX")
                ),
            };
            result = result.and(shown);
        });
        result?;
        match end {
            None => f.write_str("\n    it maps nothing"),
            Some(gpa) if memory.contains(gpa) => write!(f, "\n    GPA {gpa:#x}"),
            Some(gpa) => write!(f, "\n    GPA {gpa:#x}, where no RAM is"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kvm::run_page::fake::page;
    use crate::sys::run::*;

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
        let emulation = kvm_run_exit { emulation_failure };
        let not_known = REASONS.len() as u32;
        for (death, reason, arm, words) in [
            (Death::Shutdown, 8, internal(0), "KVM_EXIT_SHUTDOWN: triple fault"),
            (Death::Shutdown, 8, internal(0), "commonly: the IDT is missing"),
            (Death::FailEntry, 9, entry(0x77), "the hardware refused the guest: 0x77"),
            (Death::Emulation, 17, emulation, "suberror 1, KVM_INTERNAL_ERROR_EMULATION: KVM had"),
            (Death::Emulation, 17, emulation, "what follows: 0f 0f\n"),
            (Death::Internal, 17, internal(2), "suberror 2, KVM_INTERNAL_ERROR_SIMUL_EX: two"),
            (Death::Internal, 17, internal(3), "suberror 3, KVM_INTERNAL_ERROR_DELIVERY_EV: the"),
            (Death::Internal, 17, internal(4), "4, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: an"),
            (Death::Internal, 17, internal(9), "9, KVM_INTERNAL_ERROR_(not in Linux 6.12)"),
            (Death::Internal, 17, internal(9), "KVM's data: 0x51 0x52\n"),
            (Death::Unknown, 0, entry(77), "the hardware's reason is unknown to KVM: 0x4d"),
            (Death::Unexpected, 28, internal(0), "exit 28, KVM_EXIT_ARM_NISV: KVM was not asked"),
            (
                Death::Unexpected,
                not_known,
                internal(0),
                "KVM_EXIT_(not in Linux 6.12): KVM was not",
            ),
            (Death::Malformed, 2, internal(0), "exit 2, KVM_EXIT_IO: the access that it describes"),
        ] {
            let said = Cause(death, &page(reason, arm)).to_string() + "\n";
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
            let meaning = entry_failure(amd, code);
            assert!(meaning.starts_with(words));
            assert_eq!(meaning.is_empty(), words.is_empty());
        }
    }
}
