//! The program as it ships, packed as a kernel's bzImage is: this small program holds the real one deflated,
//! inflates it, and goes to its entry (`start.rs`). `make` builds both; `pack/main.rs` makes the one's memory image
//! into a part of the other.

#![no_std]
#![no_main]

use kob_2m::inflate::{Table, inflate, move_targets};
use kob_2m::syscall;

/// What `pack` found of the program: `SIZE` in memory, `CODE` at its start that is read and executed only,
/// `ENTRY`, all in bytes; and `IMAGE`, its deflated bytes.
mod plain {
    include!(env!("KOB_PLAIN"));
}

/// Where the program will be.
#[repr(align(4096))]
struct Page(#[expect(dead_code, reason = "written through a pointer")] [u8; 4096]);
static mut ROOM: [Page; plain::SIZE / 4096] = [const { Page([0; 4096]) }; plain::SIZE / 4096];
static mut TABLES: [Table; 2] = [[0; 1 << 15]; 2];

/// The entry: what the kernel left on the stack is the program's. It calls by distance: nothing relocates this program.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn begin() -> ! {
    core::arch::naked_asm!(
        "mov rcx, rsp",
        "and rsp, -16",
        "push rcx",
        "push rcx",
        "lea rdi, [rip + {image}]",
        "lea rsi, [rip + {room}]",
        "lea rdx, [rip + {tables}]",
        "call {inflate}",
        "call {finish}",
        "pop rcx",
        "pop rsp",
        "jmp rax",
        image = sym plain::IMAGE,
        room = sym ROOM,
        tables = sym TABLES,
        inflate = sym inflate,
        finish = sym finish,
    )
}

/// The program is in its room: makes its code executable, and gives its entry.
extern "C" fn finish() -> *const u8 {
    let room = (&raw mut ROOM).cast::<u8>();
    // SAFETY: nothing else knows of it; `pack` has inflated the same bytes into as much room.
    move_targets(unsafe { core::slice::from_raw_parts_mut(room, plain::CODE) }, false);
    let rights = libc::PROT_READ | libc::PROT_EXEC;
    // SAFETY: whole pages of ours, in which nothing is written any more.
    if unsafe { syscall!(libc::SYS_mprotect, room, plain::CODE, rights) }.is_err() {
        let why = "KOB-2M: mprotect: the program may not unpack itself\n";
        // SAFETY: the bytes are there; then the process ends.
        let _ = unsafe { syscall!(libc::SYS_write, 2, why.as_ptr(), why.len()) };
        let _ = unsafe { syscall!(libc::SYS_exit_group, 1) };
    }
    room.wrapping_add(plain::ENTRY)
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo) -> ! {
    loop {
        // SAFETY: ends the process.
        let _ = unsafe { syscall!(libc::SYS_exit_group, 1) };
    }
}

/// Debug builds ask for this name; nothing calls it.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}
