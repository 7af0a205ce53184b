//! Memory accesses that may fail.
//!
//! The host may be unable to provide a page of guest memory: a hugetlb cgroup has reached its limit, or a device's driver
//! refuses. The kernel then sends SIGBUS to whoever touches the page. The kernel itself meets the same problem with user
//! memory, and solves it with a table of the instructions that may fault (`arch/x86/mm/extable.c`). Here are two such
//! instructions, each followed by the place where a failed one goes on.
//!
//! `rep movsb` and `rep stosb` count RCX down, so that RCX says after a fault how many bytes are missing.

use core::arch::naked_asm;

/// Copies `len` bytes. Returns how many could not be copied: 0 for success.
///
/// # Safety
/// `from` may be read and `to` written, except for pages that the host can't provide; nobody else has a reference to them.
#[unsafe(naked)]
unsafe extern "C" fn copy_bytes(to: *mut u8, from: *const u8, len: usize) -> usize {
    naked_asm!(
        "mov rcx, rdx",
        ".globl kob_guarded_copy",
        "kob_guarded_copy: rep movsb",
        "mov rax, rcx",
        "ret",
    )
}

/// Sets `len` bytes to `value`. Returns how many could not be set.
///
/// # Safety
/// As for [`copy_bytes`].
#[unsafe(naked)]
unsafe extern "C" fn set_bytes(to: *mut u8, value: u8, len: usize) -> usize {
    naked_asm!(
        "mov rcx, rdx",
        "mov eax, esi",
        ".globl kob_guarded_set",
        "kob_guarded_set: rep stosb",
        "mov rax, rcx",
        "ret",
    )
}

unsafe extern "C" {
    static kob_guarded_copy: [u8; 2];
    static kob_guarded_set: [u8; 2];
}

/// Both instructions are two bytes long.
const LENGTH: usize = 2;

/// Where a faulting instruction goes on, if it is one of the two.
pub fn after_fault(rip: usize) -> Option<usize> {
    let [copy, set] = [&raw const kob_guarded_copy, &raw const kob_guarded_set].map(|at| at.addr());
    (rip == copy || rip == set).then_some(rip + LENGTH)
}

/// The host could not provide a page; so many bytes at the end of the range were not reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unavailable {
    pub missing: usize,
}

/// Copies `len` bytes.
///
/// # Safety
/// As for [`copy_bytes`]. Where a page may be unavailable, [`crate::host::signal::install`] was called.
pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) -> Result<(), Unavailable> {
    // SAFETY: the caller's promise.
    match unsafe { copy_bytes(to, from, len) } {
        0 => Ok(()),
        missing => Err(Unavailable { missing }),
    }
}

/// Sets `len` bytes to zero.
///
/// # Safety
/// As for [`copy`].
pub unsafe fn zero(to: *mut u8, len: usize) -> Result<(), Unavailable> {
    // SAFETY: the caller's promise.
    match unsafe { set_bytes(to, 0, len) } {
        0 => Ok(()),
        missing => Err(Unavailable { missing }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::fd::Fd;
    use crate::host::mapping::Mapping;
    use crate::host::signal;

    #[test]
    fn a_page_that_the_host_refuses_is_an_error_and_no_death() {
        signal::install().unwrap();
        let file = Fd::memfd(c"short", 0).unwrap();
        file.set_size(4096).unwrap();
        // The second page lies behind the end of the file: touching it is SIGBUS.
        let mapping = Mapping::new(Some(&file), 8192, libc::MAP_SHARED).unwrap();
        let (start, mut bytes) = (mapping.start(), [7u8; 16]);
        // SAFETY: the mapping is ours alone.
        unsafe {
            assert_eq!(copy(start.add(4088), bytes.as_ptr(), 16), Err(Unavailable { missing: 8 }));
            assert_eq!(
                copy(bytes.as_mut_ptr(), start.add(4092), 16),
                Err(Unavailable { missing: 12 })
            );
            assert_eq!(zero(start.add(4096), 1), Err(Unavailable { missing: 1 }));
            // What came before the bad page was copied.
            assert_eq!(copy(bytes.as_mut_ptr(), start.add(4080), 16), Ok(()));
            assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7]);
            assert_eq!(zero(start.add(4080), 16), Ok(()));
            assert_eq!(copy(bytes.as_mut_ptr(), start.add(4080), 16), Ok(()));
            assert_eq!(bytes, [0; 16]);
        }
    }
}
