//! Memory accesses that may fail.
//!
//! The host may be unable to provide a page of guest memory: a hugetlb cgroup has reached its limit, or a device's driver
//! refuses. The kernel then sends SIGBUS to whoever touches the page. The kernel itself meets the same problem with user
//! memory, and solves it with a table of the instructions that may fault (`arch/x86/mm/extable.c`). Here are two such
//! instructions, each followed by the place where a failed one goes on.
//!
//! `rep movsb` and `rep stosb` count RCX down, so that RCX says after a fault how many bytes are missing. The signal handler
//! leaves in RDX why.

use core::arch::naked_asm;

/// What the two functions return, in RAX and RDX.
#[repr(C)]
struct Outcome {
    /// How many bytes were not reached: 0 for success.
    missing: usize,
    /// `si_code` of the SIGBUS, if there was one.
    code: usize,
}

/// Copies `len` bytes.
///
/// # Safety
/// `from` may be read and `to` written, except for pages that the host can't provide; nobody else has a reference to them.
#[unsafe(naked)]
unsafe extern "C" fn copy_bytes(to: *mut u8, from: *const u8, len: usize) -> Outcome {
    naked_asm!(
        "mov rcx, rdx",
        "xor edx, edx",
        ".globl kob_guarded_copy",
        "kob_guarded_copy: rep movsb",
        "mov rax, rcx",
        "ret",
    )
}

/// Sets `len` bytes to `value`.
///
/// # Safety
/// As for [`copy_bytes`].
#[unsafe(naked)]
unsafe extern "C" fn set_bytes(to: *mut u8, value: u8, len: usize) -> Outcome {
    naked_asm!(
        "mov rcx, rdx",
        "xor edx, edx",
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
    /// The page had contents, which a failure of the hardware has destroyed (`BUS_MCEERR_AR`). Otherwise there never was a page.
    pub is_lost: bool,
}

impl Outcome {
    fn result(self) -> Result<(), Unavailable> {
        let Outcome { missing, code } = self;
        let is_lost = code == libc::BUS_MCEERR_AR as usize;
        if missing == 0 { Ok(()) } else { Err(Unavailable { missing, is_lost }) }
    }
}

/// Copies `len` bytes.
///
/// # Safety
/// As for [`copy_bytes`]. Where a page may be unavailable, [`crate::host::signal::install`] was called.
pub unsafe fn copy(to: *mut u8, from: *const u8, len: usize) -> Result<(), Unavailable> {
    // SAFETY: the caller's promise.
    unsafe { copy_bytes(to, from, len) }.result()
}

/// Sets `len` bytes to zero.
///
/// # Safety
/// As for [`copy`].
pub unsafe fn zero(to: *mut u8, len: usize) -> Result<(), Unavailable> {
    // SAFETY: the caller's promise.
    unsafe { set_bytes(to, 0, len) }.result()
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
            let without = |missing| Err(Unavailable { missing, is_lost: false });
            assert_eq!(copy(start.add(4088), bytes.as_ptr(), 16), without(8));
            assert_eq!(copy(bytes.as_mut_ptr(), start.add(4092), 16), without(12));
            assert_eq!(zero(start.add(4096), 1), without(1));
            // What came before the bad page was copied.
            assert_eq!(copy(bytes.as_mut_ptr(), start.add(4080), 16), Ok(()));
            assert_eq!(bytes, [0, 0, 0, 0, 0, 0, 0, 0, 7, 7, 7, 7, 7, 7, 7, 7]);
            assert_eq!(zero(start.add(4080), 16), Ok(()));
            assert_eq!(copy(bytes.as_mut_ptr(), start.add(4080), 16), Ok(()));
            assert_eq!(bytes, [0; 16]);
        }
    }
}
