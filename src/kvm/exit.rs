//! From a `kvm_run` page to a value: why `KVM_RUN` came back. Nothing here makes a system call.

use crate::kvm::run_page::RunPage;
use crate::sys::debug::kvm_debug_exit_arch;
use crate::sys::exit::*;
use crate::sys::run::{KVM_EXIT_IO_OUT, KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES};
use crate::sys::run::{kvm_run_emulation_failure, kvm_run_hypercall, kvm_run_msr};

/// Why `KVM_RUN` came back, with what the guest wants. The data of an access lies in the run page: what is written there
/// before the next `KVM_RUN` is the answer to a read.
#[derive(Debug)]
#[cfg_attr(test, derive(PartialEq))]
pub enum Exit<'a> {
    /// `out` and `outs` (a write), `in` and `ins`: packed items of `size` bytes (1, 2 or 4).
    Port { write: bool, port: u16, size: usize, data: &'a mut [u8] },
    /// An access of 1 to 8 bytes to a guest-physical address that no slot covers, or that can't be written.
    Mmio { write: bool, address: u64, data: &'a mut [u8] },
    /// A hypercall that KVM leaves to user space; `ret` is to be filled.
    Hypercall(&'a mut kvm_run_hypercall),
    /// An access to an MSR that KVM does not know, that a filter denies, or whose value KVM refuses. To be filled: `data` for a read, and
    /// `error`, where 1 gives the guest a #GP.
    Msr { write: bool, msr: &'a mut kvm_run_msr },
    /// A vCPU has ended a level-triggered interrupt with this vector, and the I/O APIC is not in the kernel.
    EndOfInterrupt { vector: u8 },
    /// An instruction was executed, under single-step; or a breakpoint was met.
    Debug(kvm_debug_exit_arch),
    /// The guest waits for an interrupt; `takes_interrupts`: it has RFLAGS.IF set. It exits where the local APIC is not in the
    /// kernel.
    Halt { takes_interrupts: bool },
    /// Nothing to do. The guest would take an interrupt now; it has lowered its task priority, where the local APIC is not in the
    /// kernel; or a signal came, for which `KVM_RUN` fails with EINTR instead.
    Reenter,
    /// The guest can't go on.
    Died(Death),
}

impl Exit<'_> {
    /// Whether the guest gets something back: then the exit is whole only when it has been answered.
    pub fn needs_reply(&self) -> bool {
        match self {
            Exit::Port { write, .. } | Exit::Mmio { write, .. } | Exit::Msr { write, .. } => !write,
            Exit::Hypercall(_) => true,
            Exit::EndOfInterrupt { .. }
            | Exit::Debug(_)
            | Exit::Halt { .. }
            | Exit::Reenter
            | Exit::Died(_) => false,
        }
    }
}

/// Why the guest can't go on. The details stay in the run page.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Death {
    /// A triple fault.
    Shutdown,
    /// The hardware refused to enter the guest.
    FailEntry,
    /// KVM met an instruction that it can't emulate: [`emulation_bytes`] are its bytes.
    Emulation,
    /// Another internal error.
    Internal,
    /// `KVM_EXIT_UNKNOWN`.
    Unknown,
    /// An exit that the program did not ask for, or that Linux 6.12 does not have.
    Unexpected,
    /// KVM described an access that is impossible: its size, or the place of its data.
    Malformed,
}

/// Decodes the page that a successful `KVM_RUN` left.
#[inline]
pub fn decode(page: &mut RunPage) -> Exit<'_> {
    let death = match page.exit_reason() {
        KVM_EXIT_IO => {
            let &io = page.io();
            let (write, port, size) = (io.direction == KVM_EXIT_IO_OUT, io.port, io.size.into());
            match page.data(io.data_offset, size * io.count as usize) {
                Some(data) if matches!(size, 1 | 2 | 4) => {
                    return Exit::Port { write, port, size, data };
                }
                _ => Death::Malformed,
            }
        }
        KVM_EXIT_MMIO => {
            let &mmio = page.mmio();
            let (write, address) = (mmio.is_write != 0, mmio.phys_addr);
            match page.mmio_data(mmio.len as usize) {
                Some(data) => return Exit::Mmio { write, address, data },
                None => Death::Malformed,
            }
        }
        KVM_EXIT_HYPERCALL => return Exit::Hypercall(page.hypercall_mut()),
        KVM_EXIT_X86_RDMSR => return Exit::Msr { write: false, msr: page.msr_mut() },
        KVM_EXIT_X86_WRMSR => return Exit::Msr { write: true, msr: page.msr_mut() },
        KVM_EXIT_DEBUG => return Exit::Debug(page.debug().arch),
        KVM_EXIT_HLT => return Exit::Halt { takes_interrupts: page.has_interrupts_on() },
        KVM_EXIT_IOAPIC_EOI => return Exit::EndOfInterrupt { vector: page.eoi().vector },
        KVM_EXIT_IRQ_WINDOW_OPEN | KVM_EXIT_INTR | KVM_EXIT_SET_TPR => return Exit::Reenter,
        KVM_EXIT_SHUTDOWN => Death::Shutdown,
        KVM_EXIT_FAIL_ENTRY => Death::FailEntry,
        KVM_EXIT_INTERNAL_ERROR => match page.internal().suberror {
            KVM_INTERNAL_ERROR_EMULATION => Death::Emulation,
            _ => Death::Internal,
        },
        KVM_EXIT_UNKNOWN => Death::Unknown,
        _ => Death::Unexpected,
    };
    Exit::Died(death)
}

/// Of [`Death::Emulation`]: the instruction's bytes, and some behind, as far as KVM tells; perhaps none.
pub fn emulation_bytes(failure: &kvm_run_emulation_failure) -> &[u8] {
    // Kernels before 5.14 fill in nothing, and say so with `ndata`; `flags` is the first of the data.
    let known = failure.ndata >= 1
        && failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES != 0;
    let size = if known { usize::from(failure.insn_size).min(failure.insn_bytes.len()) } else { 0 };
    &failure.insn_bytes[..size]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kvm::run_page::fake::{self, page};
    use crate::layout::PAGE_SIZE;
    use crate::sys::irqchip::KVM_COALESCED_MMIO_PAGE_OFFSET;
    use crate::sys::run::*;

    fn io(direction: u8, size: u8, count: u32, data_offset: u64) -> kvm_run_exit {
        kvm_run_exit { io: kvm_run_io { direction, size, port: 0x10, count, data_offset } }
    }

    fn nothing() -> kvm_run_exit {
        kvm_run_exit { padding: [0; 256] }
    }

    #[test]
    fn an_out_carries_its_bytes() {
        let mut page = page(KVM_EXIT_IO, io(KVM_EXIT_IO_OUT, 2, 1, 4096));
        page.data(4096, 2).unwrap().copy_from_slice(b"He");
        assert_eq!(
            decode(&mut page),
            Exit::Port { write: true, port: 0x10, size: 2, data: &mut b"He".clone() }
        );
    }

    #[test]
    fn a_string_out_carries_all_items() {
        let mut page = page(KVM_EXIT_IO, io(KVM_EXIT_IO_OUT, 4, 3, 4096));
        assert_eq!(
            decode(&mut page),
            Exit::Port { write: true, port: 0x10, size: 4, data: &mut [0; 12] }
        );
    }

    #[test]
    fn an_in_is_answered_in_the_page() {
        let mut page = page(KVM_EXIT_IO, io(KVM_EXIT_IO_IN, 1, 2, 4096));
        let Exit::Port { write: false, port: 0x10, size: 1, data } = decode(&mut page) else {
            panic!()
        };
        data.copy_from_slice(&[7, 8]);
        assert_eq!(page.data(4096, 2).unwrap(), &[7, 8]);
    }

    #[test]
    fn io_that_cannot_be_is_malformed() {
        let malformed = Exit::Died(Death::Malformed);
        // The coalesced ring begins there.
        let end = KVM_COALESCED_MMIO_PAGE_OFFSET as u64 * PAGE_SIZE;
        for arm in [
            io(KVM_EXIT_IO_OUT, 0, 1, 4096),
            io(KVM_EXIT_IO_OUT, 3, 1, 4096),
            io(KVM_EXIT_IO_IN, 8, 1, 4096),
            io(KVM_EXIT_IO_OUT, 4, 1, 0),
            io(KVM_EXIT_IO_OUT, 4, 1, end - 3),
            io(KVM_EXIT_IO_OUT, 4, u32::MAX, 4096),
            io(KVM_EXIT_IO_OUT, 1, 1, u64::MAX),
        ] {
            assert_eq!(decode(&mut page(KVM_EXIT_IO, arm)), malformed);
        }
        let last = io(KVM_EXIT_IO_OUT, 4, 1, end - 4);
        assert_eq!(
            decode(&mut page(KVM_EXIT_IO, last)),
            Exit::Port { write: true, port: 0x10, size: 4, data: &mut [0; 4] }
        );
    }

    fn mmio(len: u32, is_write: u8) -> kvm_run_exit {
        let data = [1, 2, 3, 4, 5, 6, 7, 8];
        kvm_run_exit { mmio: kvm_run_mmio { phys_addr: 0xd000_0000, data, len, is_write } }
    }

    #[test]
    fn a_write_to_an_address_carries_its_bytes() {
        assert_eq!(
            decode(&mut page(KVM_EXIT_MMIO, mmio(4, 1))),
            Exit::Mmio { write: true, address: 0xd000_0000, data: &mut [1, 2, 3, 4] }
        );
    }

    #[test]
    fn a_read_of_an_address_is_answered_in_the_page() {
        let mut page = page(KVM_EXIT_MMIO, mmio(8, 0));
        let Exit::Mmio { write: false, data, .. } = decode(&mut page) else { panic!() };
        data.fill(0xff);
        assert_eq!(page.mmio().data, [0xff; 8]);
    }

    #[test]
    fn an_access_of_more_than_eight_bytes_is_malformed() {
        assert_eq!(decode(&mut page(KVM_EXIT_MMIO, mmio(9, 0))), Exit::Died(Death::Malformed));
    }

    #[test]
    fn exits_without_data_are_told_apart() {
        for (reason, exit) in [
            (KVM_EXIT_HLT, Exit::Halt { takes_interrupts: false }),
            (KVM_EXIT_IRQ_WINDOW_OPEN, Exit::Reenter),
            (KVM_EXIT_INTR, Exit::Reenter),
            (KVM_EXIT_SET_TPR, Exit::Reenter),
            (KVM_EXIT_DEBUG, Exit::Debug(Default::default())),
        ] {
            assert_eq!(decode(&mut page(reason, nothing())), exit);
        }
    }

    #[test]
    fn an_end_of_interrupt_carries_its_vector() {
        let eoi = kvm_run_exit { eoi: kvm_run_eoi { vector: 0x3a } };
        let exit = Exit::EndOfInterrupt { vector: 0x3a };
        assert_eq!(decode(&mut page(KVM_EXIT_IOAPIC_EOI, eoi)), exit);
    }

    #[test]
    fn deaths_are_told_apart() {
        let internal = |suberror| kvm_run_internal { suberror, ndata: 2, data: [7; 16] };
        for (reason, suberror, death) in [
            (KVM_EXIT_FAIL_ENTRY, 0, Death::FailEntry),
            (KVM_EXIT_UNKNOWN, 0, Death::Unknown),
            (KVM_EXIT_SHUTDOWN, 0, Death::Shutdown),
            (KVM_EXIT_INTERNAL_ERROR, KVM_INTERNAL_ERROR_EMULATION, Death::Emulation),
            (KVM_EXIT_INTERNAL_ERROR, KVM_INTERNAL_ERROR_SIMUL_EX, Death::Internal),
            (KVM_EXIT_INTERNAL_ERROR, 9, Death::Internal),
        ] {
            let arm = kvm_run_exit { internal: internal(suberror) };
            assert_eq!(decode(&mut page(reason, arm)), Exit::Died(death));
        }
    }

    #[test]
    fn an_emulation_failure_carries_the_bytes_that_kvm_knows() {
        let bytes = |ndata, flags, insn_size| {
            let suberror = KVM_INTERNAL_ERROR_EMULATION;
            let insn_bytes = [0xdb; 15];
            let failure =
                kvm_run_emulation_failure { suberror, ndata, flags, insn_size, insn_bytes };
            emulation_bytes(&failure).len()
        };
        assert_eq!(bytes(3, 1, 15), 15);
        assert_eq!(bytes(3, 1, 2), 2);
        assert_eq!(bytes(3, 1, 200), 15, "no more than there is room for");
        assert_eq!(bytes(3, 0, 15), 0, "the flag says that there are none");
        assert_eq!(bytes(0, 1, 15), 0, "an old kernel leaves what was there before");
    }

    #[test]
    fn a_hypercall_and_an_msr_are_answered_in_the_page() {
        let hypercall = kvm_run_hypercall { nr: 12, args: [7; 6], ret: 0, flags: 0 };
        let mut page = page(KVM_EXIT_HYPERCALL, kvm_run_exit { hypercall });
        let Exit::Hypercall(call) = decode(&mut page) else { panic!() };
        assert_eq!((call.nr, call.args[3]), (12, 7));
        call.ret = 9;
        assert_eq!(page.hypercall_mut().ret, 9);
        for (reason, is_write) in [(KVM_EXIT_X86_RDMSR, false), (KVM_EXIT_X86_WRMSR, true)] {
            let msr = kvm_run_msr { error: 0, pad: [0; 7], reason: 2, index: 0x10, data: 5 };
            fake::set(&mut page, reason, kvm_run_exit { msr });
            let Exit::Msr { write, msr } = decode(&mut page) else { panic!() };
            assert_eq!((write, msr.index, msr.data), (is_write, 0x10, 5));
            msr.error = 1;
            assert_eq!(page.msr_mut().error, 1);
        }
    }

    #[test]
    fn every_other_reason_is_unexpected_with_its_number() {
        let handled = [
            KVM_EXIT_UNKNOWN,
            KVM_EXIT_IO,
            KVM_EXIT_HLT,
            KVM_EXIT_MMIO,
            KVM_EXIT_SHUTDOWN,
            KVM_EXIT_FAIL_ENTRY,
            KVM_EXIT_INTR,
            KVM_EXIT_SET_TPR,
            KVM_EXIT_INTERNAL_ERROR,
            KVM_EXIT_DEBUG,
            KVM_EXIT_HYPERCALL,
            KVM_EXIT_X86_RDMSR,
            KVM_EXIT_X86_WRMSR,
            KVM_EXIT_IOAPIC_EOI,
            KVM_EXIT_IRQ_WINDOW_OPEN,
        ];
        let known = REASONS.iter().map(|&(_, reason)| reason);
        for reason in
            known.chain([REASONS.len() as u32, 1000, u32::MAX]).filter(|r| !handled.contains(r))
        {
            assert_eq!(decode(&mut page(reason, nothing())), Exit::Died(Death::Unexpected));
        }
    }

    #[test]
    fn names_stand_at_their_own_numbers() {
        for (index, &(expected, number)) in REASONS.iter().enumerate() {
            assert_eq!(number as usize, index, "no gap before {expected}");
            assert_eq!(name(number), Some(expected));
        }
        assert_eq!(name(REASONS.len() as u32), None);
        assert_eq!(name(u32::MAX), None);
    }
}
