//! From a `kvm_run` page to a value. Nothing here makes a system call.

use crate::sys::exit::*;
use crate::sys::run::{KVM_EXIT_IO_OUT, KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES};
use crate::vcpu::RunPage;

/// Why `KVM_RUN` came back, with what the guest wants. Data of an access lies in the run page: what
/// is written there before the next `KVM_RUN` is the answer to a read.
#[derive(Debug, PartialEq)]
pub enum Exit<'a> {
    /// `out`, `outs`: packed items of `size` bytes (1, 2 or 4).
    Out { port: u16, size: usize, data: &'a [u8] },
    /// `in`, `ins`.
    In { port: u16, size: usize, data: &'a mut [u8] },
    /// A write of 1 to 8 bytes to a guest-physical address that no slot covers.
    MmioWrite { address: u64, data: &'a [u8] },
    /// A read of as many, likewise.
    MmioRead { address: u64, data: &'a mut [u8] },
    /// The guest waits for an interrupt.
    Halt,
    /// A signal. `KVM_RUN` fails with EINTR then, so that the page is not looked at; were it to
    /// succeed, the guest would go on.
    Interrupted,
    /// The guest can't go on.
    Dead(Death),
}

/// How a guest died, or the machine under it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Death {
    /// A triple fault.
    Shutdown,
    /// The hardware refused to enter the guest.
    FailEntry { reason: u64 },
    /// KVM met an instruction that it can't emulate; `size` of the bytes are known, perhaps none.
    Emulation { bytes: [u8; 15], size: usize },
    /// Another internal error.
    Internal { suberror: u32 },
    /// `KVM_EXIT_UNKNOWN`.
    Unknown { hardware_exit_reason: u64 },
    /// A reason that nothing here asked for, or that Linux 6.1 does not have.
    Unexpected { reason: u32 },
    /// KVM described an access that can't be: a size, or a place for its data.
    Malformed { reason: u32 },
}

/// Decodes the page that a successful `KVM_RUN` left.
#[inline(never)]
pub fn decode(page: &mut RunPage) -> Exit<'_> {
    let reason = page.exit_reason();
    let malformed = Exit::Dead(Death::Malformed { reason });
    match reason {
        KVM_EXIT_IO => {
            let io = page.io();
            let size = usize::from(io.size);
            let data = page.data(io.data_offset, size * io.count as usize);
            match (size, data) {
                (1 | 2 | 4, Some(data)) if io.direction == KVM_EXIT_IO_OUT => {
                    Exit::Out { port: io.port, size, data }
                }
                (1 | 2 | 4, Some(data)) => Exit::In { port: io.port, size, data },
                _ => malformed,
            }
        }
        KVM_EXIT_MMIO => {
            let mmio = page.mmio();
            let address = mmio.phys_addr;
            match page.mmio_data(mmio.len as usize) {
                Some(data) if mmio.is_write != 0 => Exit::MmioWrite { address, data },
                Some(data) => Exit::MmioRead { address, data },
                None => malformed,
            }
        }
        KVM_EXIT_HLT => Exit::Halt,
        KVM_EXIT_INTR => Exit::Interrupted,
        KVM_EXIT_SHUTDOWN => Exit::Dead(Death::Shutdown),
        KVM_EXIT_FAIL_ENTRY => {
            Exit::Dead(Death::FailEntry { reason: page.fail_entry().hardware_entry_failure_reason })
        }
        KVM_EXIT_INTERNAL_ERROR => Exit::Dead(internal_error(page)),
        KVM_EXIT_UNKNOWN => {
            Exit::Dead(Death::Unknown { hardware_exit_reason: page.hw().hardware_exit_reason })
        }
        _ => Exit::Dead(Death::Unexpected { reason }),
    }
}

fn internal_error(page: &RunPage) -> Death {
    let suberror = page.internal().suberror;
    if suberror != KVM_INTERNAL_ERROR_EMULATION {
        return Death::Internal { suberror };
    }
    let failure = page.emulation_failure();
    // Kernels before 5.14 fill in nothing, and say so with `ndata`; `flags` is the first of the data.
    let known = failure.ndata >= 1
        && failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES != 0;
    let size = if known { usize::from(failure.insn_size).min(failure.insn_bytes.len()) } else { 0 };
    Death::Emulation { bytes: failure.insn_bytes, size }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::run::*;

    /// As large as Linux 6.1 makes it: `kvm_run`, the I/O data, the coalesced ring.
    const PAGES: usize = 3 * 4096;

    fn page(reason: u32, arm: kvm_run_exit) -> RunPage {
        let mut page = RunPage::map(-1, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, PAGES).unwrap();
        page.fake(reason, arm);
        page
    }

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
        assert_eq!(decode(&mut page), Exit::Out { port: 0x10, size: 2, data: b"He" });
    }

    #[test]
    fn a_string_out_carries_all_items() {
        let mut page = page(KVM_EXIT_IO, io(KVM_EXIT_IO_OUT, 4, 3, 4096));
        assert_eq!(decode(&mut page), Exit::Out { port: 0x10, size: 4, data: &[0; 12] });
    }

    #[test]
    fn an_in_is_answered_in_the_page() {
        let mut page = page(KVM_EXIT_IO, io(KVM_EXIT_IO_IN, 1, 2, 4096));
        let Exit::In { port: 0x10, size: 1, data } = decode(&mut page) else { panic!() };
        data.copy_from_slice(&[7, 8]);
        assert_eq!(page.data(4096, 2).unwrap(), &[7, 8]);
    }

    #[test]
    fn io_that_cannot_be_is_malformed() {
        let malformed = Exit::Dead(Death::Malformed { reason: KVM_EXIT_IO });
        let end = PAGES as u64;
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
            Exit::Out { port: 0x10, size: 4, data: &[0; 4] }
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
            Exit::MmioWrite { address: 0xd000_0000, data: &[1, 2, 3, 4] }
        );
    }

    #[test]
    fn a_read_of_an_address_is_answered_in_the_page() {
        let mut page = page(KVM_EXIT_MMIO, mmio(8, 0));
        let Exit::MmioRead { address: 0xd000_0000, data } = decode(&mut page) else { panic!() };
        data.fill(0xff);
        assert_eq!(page.mmio().data, [0xff; 8]);
    }

    #[test]
    fn an_access_of_more_than_eight_bytes_is_malformed() {
        assert_eq!(
            decode(&mut page(KVM_EXIT_MMIO, mmio(9, 0))),
            Exit::Dead(Death::Malformed { reason: KVM_EXIT_MMIO })
        );
    }

    #[test]
    fn exits_without_data_are_told_apart() {
        for (reason, exit) in [
            (KVM_EXIT_HLT, Exit::Halt),
            (KVM_EXIT_INTR, Exit::Interrupted),
            (KVM_EXIT_SHUTDOWN, Exit::Dead(Death::Shutdown)),
        ] {
            assert_eq!(decode(&mut page(reason, nothing())), exit);
        }
    }

    #[test]
    fn a_failed_entry_carries_the_hardware_s_reason() {
        let fail_entry = kvm_run_fail_entry { hardware_entry_failure_reason: 0x8000_0021, cpu: 3 };
        assert_eq!(
            decode(&mut page(KVM_EXIT_FAIL_ENTRY, kvm_run_exit { fail_entry })),
            Exit::Dead(Death::FailEntry { reason: 0x8000_0021 })
        );
    }

    #[test]
    fn an_unknown_exit_carries_the_hardware_s_reason() {
        let hw = kvm_run_hw { hardware_exit_reason: 77 };
        assert_eq!(
            decode(&mut page(KVM_EXIT_UNKNOWN, kvm_run_exit { hw })),
            Exit::Dead(Death::Unknown { hardware_exit_reason: 77 })
        );
    }

    fn emulation(ndata: u32, flags: u64, insn_size: u8) -> Death {
        let emulation_failure = kvm_run_emulation_failure {
            suberror: KVM_INTERNAL_ERROR_EMULATION,
            ndata,
            flags,
            insn_size,
            insn_bytes: [0xdb; 15],
        };
        match decode(&mut page(KVM_EXIT_INTERNAL_ERROR, kvm_run_exit { emulation_failure })) {
            Exit::Dead(death) => death,
            exit => panic!("{exit:?}"),
        }
    }

    #[test]
    fn an_emulation_failure_carries_the_bytes_that_kvm_knows() {
        let death = |size| Death::Emulation { bytes: [0xdb; 15], size };
        assert_eq!(emulation(3, 1, 15), death(15));
        assert_eq!(emulation(3, 1, 2), death(2));
        assert_eq!(emulation(3, 1, 200), death(15), "no more than there is room for");
        assert_eq!(emulation(3, 0, 15), death(0), "the flag says that there are none");
        assert_eq!(emulation(0, 1, 15), death(0), "an old kernel leaves what was there before");
    }

    #[test]
    fn other_internal_errors_are_told_apart() {
        for suberror in [KVM_INTERNAL_ERROR_SIMUL_EX, KVM_INTERNAL_ERROR_DELIVERY_EV, 4, 5] {
            let internal = kvm_run_internal { suberror, ndata: 0, data: [0; 16] };
            assert_eq!(
                decode(&mut page(KVM_EXIT_INTERNAL_ERROR, kvm_run_exit { internal })),
                Exit::Dead(Death::Internal { suberror })
            );
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
            KVM_EXIT_INTERNAL_ERROR,
        ];
        let known = REASONS.iter().map(|&(_, reason)| reason);
        for reason in known.chain([38, 1000, u32::MAX]).filter(|r| !handled.contains(r)) {
            assert_eq!(
                decode(&mut page(reason, nothing())),
                Exit::Dead(Death::Unexpected { reason })
            );
        }
    }

    #[test]
    fn names_stand_at_their_own_numbers() {
        for (index, &(expected, number)) in REASONS.iter().enumerate() {
            assert_eq!(number as usize, index, "no gap before {expected}");
            assert_eq!(name(number), expected.strip_prefix("KVM_EXIT_"));
        }
        assert_eq!(name(REASONS.len() as u32), None);
        assert_eq!(name(u32::MAX), None);
    }
}
