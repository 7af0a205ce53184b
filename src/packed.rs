//! The program as it ships, packed as a kernel's bzImage is: this small program holds the real one deflated,
//! inflates it, and goes to its entry (`start.rs`). `make` builds both; `pack/main.rs` makes the one's memory image
//! into a part of the other.
//!
//! ```text
//!   ROOM    0    TEXT  DATA             COLD    END
//!           │ text │    │ data │ bss │   │ .cold │
//!           └── at the start ──┘         └ later ┘
//!   IMAGE:  text and data (HOT bytes), .cold: without gaps
//! ```
//!
//! What a plain run does without (.cold in `program.ld`) is paged in on demand, all of it at once: until then nothing there can be
//! executed, and SIGSEGV says that it is wanted. A second SIGSEGV is what it always is.

#![no_std]
#![no_main]

use kob_2m::inflate::{Table, inflate};
use kob_2m::signal::SA_RESTORER;
use kob_2m::syscall;

/// What `pack` found of the program: its places, as above, in bytes from its start; `ENTRY`; and `IMAGE`, deflated.
mod plain {
    include!(env!("KOB_PLAIN"));
}

/// Where the program will be.
#[repr(align(4096))]
struct Page(#[expect(dead_code, reason = "written through a pointer")] [u8; 4096]);
const PAGES: usize = plain::END.div_ceil(4096);
static mut ROOM: [Page; PAGES] = [const { Page([0; 4096]) }; PAGES];
/// Where it is inflated for the second time, since the first part has changed by then.
static mut AGAIN: [Page; PAGES] = [const { Page([0; 4096]) }; PAGES];
static mut TABLES: [Table; 2] = [[0; 1 << 15]; 2];

/// The dynamic section, which says that this is a position-independent program, with all that it needs: DT_FLAGS_1,
/// DF_1_NOW and DF_1_PIE; and its end. The linker would list empty tables too.
#[unsafe(no_mangle)]
#[unsafe(link_section = ".flags")]
static FLAGS: [u64; 4] = [0x6fff_fffb, 0x0800_0001, 0, 0];

/// The entry: what the kernel left on the stack is the program's. It calls by distance: nothing relocates this program.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn begin() -> ! {
    core::arch::naked_asm!(
        "lea rbx, [rip + {room}]",
        "mov rsi, rbx",
        "lea rcx, [rbx + {hot}]",
        "call 10f",
        "lea rsi, [rbx + {text}]",
        "lea rdi, [rbx + {data}]",
        "mov ecx, {hot} - {text}",
        "rep movsb",
        "mov rdi, rbx",
        "mov esi, {text}",
        "call 20f",
        // rt_sigaction(2) of SIGSEGV: this once, and no other signal meanwhile. The structure is made from its end.
        "push -1",
        "lea rax, [rip + 8f]",
        "push rax",
        "mov eax, {flags}",
        "push rax",
        "lea rax, [rip + 9f]",
        "push rax",
        "push {segv}",
        "pop rdi",
        "mov rsi, rsp",
        "xor edx, edx",
        "push 8",
        "pop r10",
        "push {sigaction}",
        "pop rax",
        "syscall",
        "add rsp, 32",
        "lea rax, [rbx + {entry}]",
        "jmp rax",
        "8: push {sigreturn}",
        "pop rax",
        "syscall",
        // SIGSEGV. What was interrupted gets all its registers back from the kernel.
        "9: lea rbx, [rip + {room}]",
        "lea rsi, [rip + {again}]",
        "push -1",
        "pop rcx",
        "call 10f",
        "lea rsi, [rax - {later}]",
        "lea rdi, [rbx + {cold}]",
        "mov ecx, {later}",
        "rep movsb",
        "lea rdi, [rbx + {page}]",
        "mov esi, {rest}",
        "jmp 20f",
        // Inflates the image to RSI, until RCX.
        "10: lea rdi, [rip + {image}]",
        "lea rdx, [rip + {tables}]",
        "jmp {inflate}",
        // Makes RSI bytes at RDI, where a page begins, ready to be executed: first what `inflate::move_targets` has done, backwards.
        "20: mov al, 0x8d",
        "call 21f",
        "mov al, 0xe8",
        "call 21f",
        // mprotect(2): nothing is written there any more.
        "push {rights}",
        "pop rdx",
        "push {mprotect}",
        "pop rax",
        "syscall",
        "test eax, eax",
        "jz 25f",
        // This system forbids to execute what was written: it says so, and dies.
        "push 2",
        "pop rdi",
        "lea rsi, [rip + 19f]",
        "push 17",
        "pop rdx",
        "push {write}",
        "pop rax",
        "syscall",
        "hlt",
        "19: .ascii \"KOB-2M: mprotect\\n\"",
        // AL: the operation; RDI goes through the code, ECX is what is left of it.
        "21: push rdi",
        "mov ecx, esi",
        "22: repne scasb",
        "jne 24f",
        "cmp ecx, 5",
        "jb 24f",
        "cmp al, 0xe8",
        "je 23f",
        "mov dl, [rdi]",
        "and dl, 0xc7",
        "cmp dl, 5",
        "jne 22b",
        "inc rdi",
        "dec ecx",
        "23: mov edx, edi",
        "sub edx, ebx",
        "push rax",
        "mov eax, [rdi]",
        "bswap eax",
        "sub eax, edx",
        "stosd",
        "pop rax",
        "sub ecx, 4",
        "jnz 22b",
        "24: pop rdi",
        "25: ret",
        room = sym ROOM,
        again = sym AGAIN,
        tables = sym TABLES,
        image = sym plain::IMAGE,
        inflate = sym inflate,
        text = const plain::TEXT,
        data = const plain::DATA,
        hot = const plain::HOT,
        cold = const plain::COLD,
        later = const plain::END - plain::COLD,
        page = const plain::COLD / 4096 * 4096,
        rest = const plain::END - plain::COLD / 4096 * 4096,
        entry = const plain::ENTRY,
        segv = const libc::SIGSEGV,
        flags = const SA_RESTORER as u32 | libc::SA_RESETHAND as u32,
        sigaction = const libc::SYS_rt_sigaction,
        sigreturn = const libc::SYS_rt_sigreturn,
        rights = const libc::PROT_READ | libc::PROT_EXEC,
        mprotect = const libc::SYS_mprotect,
        write = const libc::SYS_write,
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
