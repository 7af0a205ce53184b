//! From the kernel to `main`. What the C library would do before, and this program has no use for, is left
//! out: threads' storage, the environment, functions to be called at exit.

use core::ffi::{c_char, c_int};
use kob_2m::syscall;

// Tags of the dynamic section: System V ABI, "Dynamic Section", and "RELR".
const DT_RELRSZ: usize = 35;
const DT_RELR: usize = 36;

/// The program's entry, by `--entry` in the Makefile. The stack holds the number of arguments, pointers to
/// them, and more; the other two symbols are the linker's.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn begin() -> ! {
    core::arch::naked_asm!(
        "mov rdi, rsp",
        "lea rsi, [rip + __ehdr_start]",
        "lea rdx, [rip + _DYNAMIC]",
        "and rsp, -16",
        "call {}",
        sym start,
    )
}

/// # Safety
/// As `begin` calls it.
unsafe extern "C" fn start(stack: *const usize, base: *mut u8, dynamic: *const [usize; 2]) -> ! {
    // SAFETY: nothing that would need it has been used yet.
    unsafe { relocate(base, dynamic) };
    // SAFETY: the kernel put the arguments there: x86-64 Architecture Supplement of the System V ABI, 3.4.1.
    let status = unsafe {
        let words = stack.add(1).cast::<*const c_char>();
        crate::main(*stack as c_int, words)
    };
    loop {
        // SAFETY: ends the process.
        let _ = unsafe { syscall!(libc::SYS_exit_group, status) };
    }
}

/// The program is linked for address 0 and runs at `base`: adds that to each pointer in its data. They are
/// listed as an address, and words whose bit 0 is set and whose other bits stand for the 63 places behind.
///
/// # Safety
/// `base` is where the program lies, and `dynamic` its dynamic section; it has not been called before.
unsafe fn relocate(base: *mut u8, mut dynamic: *const [usize; 2]) {
    let (mut list, mut size) = (0, 0);
    // SAFETY: the linker ends the section with tag 0, and its list is right.
    unsafe {
        loop {
            match *dynamic {
                [0, _] => break,
                [DT_RELR, value] => list = value,
                [DT_RELRSZ, value] => size = value,
                _ => {}
            }
            dynamic = dynamic.add(1);
        }
        let list = base.add(list).cast::<usize>();
        let mut place = base.cast::<usize>();
        for index in 0..size / size_of::<usize>() {
            let mut word = *list.add(index);
            if word & 1 == 0 {
                place = base.add(word).cast();
                *place += base.addr();
                place = place.add(1);
                continue;
            }
            let mut next = place;
            while word > 1 {
                word >>= 1;
                if word & 1 != 0 {
                    *next += base.addr();
                }
                next = next.add(1);
            }
            place = place.add(63);
        }
    }
}
