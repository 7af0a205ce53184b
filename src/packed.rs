//! The program as it ships, packed as a kernel's bzImage is: this small program holds the real one deflated,
//! inflates it, and goes to its entry (`start.rs`). `make` builds both; `pack/main.rs` makes the one's memory image
//! into a part of the other.

#![no_std]
#![no_main]

use kob_2m::inflate::{Table, inflate};
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
        "lea rdi, [rip + {image}]",
        "lea rsi, [rip + {room}]",
        "lea rdx, [rip + {tables}]",
        "mov rbx, rsi",
        "call {inflate}",
        // What `inflate::move_targets` has done, backwards.
        "mov al, 0x8d",
        "call 20f",
        "mov al, 0xe8",
        "call 20f",
        // mprotect(2): whole pages, in which nothing is written any more.
        "mov rdi, rbx",
        "mov esi, {code}",
        "push {rights}",
        "pop rdx",
        "push {mprotect}",
        "pop rax",
        "syscall",
        "test eax, eax",
        "jnz 10f",
        "lea rax, [rbx + {entry}]",
        "jmp rax",
        // This system forbids to execute what was written.
        "10: push 2",
        "pop rdi",
        "lea rsi, [rip + 19f]",
        "push 21",
        "pop rdx",
        "push {write}",
        "pop rax",
        "syscall",
        "push 1",
        "pop rdi",
        "mov eax, {exit}",
        "syscall",
        "19: .ascii \"KOB-2M: mprotect: no\\n\"",
        // AL: the operation; RDI goes through the code, ECX is what is left of it.
        "20: mov rdi, rbx",
        "mov ecx, {code}",
        "21: repne scasb",
        "jne 24f",
        "cmp ecx, 5",
        "jb 24f",
        "cmp al, 0xe8",
        "je 22f",
        "mov dl, [rdi]",
        "and dl, 0xc7",
        "cmp dl, 5",
        "jne 21b",
        "inc rdi",
        "dec ecx",
        "22: mov edx, edi",
        "sub edx, ebx",
        "sub [rdi], edx",
        "add rdi, 4",
        "sub ecx, 4",
        "jnz 21b",
        "24: ret",
        image = sym plain::IMAGE,
        room = sym ROOM,
        tables = sym TABLES,
        inflate = sym inflate,
        code = const plain::CODE,
        entry = const plain::ENTRY,
        rights = const libc::PROT_READ | libc::PROT_EXEC,
        mprotect = const libc::SYS_mprotect,
        write = const libc::SYS_write,
        exit = const libc::SYS_exit_group,
    )
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
