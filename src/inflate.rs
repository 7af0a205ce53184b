//! Deflated bytes made whole: RFC 1951. What is inflated is a part of this program, so that its length is
//! known and nothing in it can be wrong: `pack/main.rs` makes it, and inflates it once to see.

use core::ops::Range;

/// An entry for each value that the next bits can have: bits 3:0 are the length of the code, bit 7 says that the symbol is 256
/// or more, and bits 15:8 are its low byte.
pub type Table = [u16; 1 << 15];

/// Inflates `from` to `to`, until there is nothing more or `until` has been reached, and gives the place behind the last byte:
/// that can lie some hundred bytes behind `until`. In assembly, as it runs at each start before anything
/// else, and is no part of what it unpacks: what the compiler makes of it is twice as large, and slower.
///
/// # Safety
/// `from` is a whole stream, in which nothing is stored (kind 0: a program's bytes can be packed), with eight bytes behind it; there is
/// room at `to`.
#[unsafe(naked)]
pub unsafe extern "C" fn inflate(
    from: *const u8,
    to: *mut u8,
    tables: &mut [Table; 2],
    until: *mut u8,
) -> *mut u8 {
    core::arch::naked_asm!(
        // RSI: the stream; RDX: its next bits, and a 1 above them; RDI: where the next byte goes.
        // RBP: the tables, of literals and of distances; R14D, R15D: masks as long as their longest codes.
        // R12: room for the lengths of all codes; R13D: whether this block is the last.
        "push rbx",
        "push rbp",
        "push r12",
        "push r13",
        "push r14",
        "push r15",
        "sub rsp, 320",
        "mov r12, rsp",
        "push rcx",
        "xchg rdi, rsi",
        "mov rbp, rdx",
        "push 1",
        "pop rdx",
        // A block: 3.2.3. Bit 0 says whether it is the last, the next two are its kind.
        "20: push 1",
        "pop rcx",
        "call 80f",
        "mov r13d, eax",
        "inc ecx",
        "call 80f",
        "push rdi",
        "mov rdi, r12",
        "dec eax",
        "jnz 30f",
        // Kind 1: the lengths of the codes are fixed: 3.2.6.
        "mov al, 8",
        "mov cl, 144",
        "rep stosb",
        "inc eax",
        "mov cl, 112",
        "rep stosb",
        "mov al, 7",
        "mov cl, 24",
        "rep stosb",
        "inc eax",
        "mov cl, 8",
        "rep stosb",
        "mov al, 5",
        "mov cl, 32",
        "rep stosb",
        "mov r8d, 288",
        "push 32",
        "pop r9",
        "jmp 40f",
        // Kind 2: they come first, coded themselves: 3.2.7. R8D: literals and lengths; R9D: distances; R10D: lengths
        // of the lengths' codes, in an order of their own.
        "30: mov cl, 5",
        "call 80f",
        "lea r8d, [rax + 257]",
        "call 80f",
        "lea r9d, [rax + 1]",
        "dec ecx",
        "call 80f",
        "lea r10d, [rax + 4]",
        "push 19",
        "pop rcx",
        "xor eax, eax",
        "rep stosb",
        "lea rdi, [rip + 99f]",
        "31: mov cl, 3",
        "call 80f",
        "movzx ecx, byte ptr [rdi]",
        "mov [r12 + rcx], al",
        "inc rdi",
        "dec r10d",
        "jnz 31b",
        "mov r10, r12",
        "push 19",
        "pop rcx",
        "mov rbx, rbp",
        "call 90f",
        "xchg r15d, eax",
        "mov rdi, r12",
        "lea r10, [r8 + r9]",
        "add r10, r12",
        // Up to 15 is a length; 16 repeats the last one 3 times and more; 17 and 18 repeat 0, 3 and 11 times and more.
        "32: call 70f",
        "mov eax, edx",
        "and eax, r15d",
        "movzx ecx, word ptr [rbp + rax * 2]",
        "shr rdx, cl",
        "movzx eax, ch",
        "push 1",
        "pop r11",
        "cmp al, 16",
        "jb 34f",
        "push 2",
        "pop rcx",
        "mov r11b, 3",
        "je 33f",
        "inc ecx",
        "xor r14d, r14d",
        "cmp al, 17",
        "je 33f",
        "mov cl, 7",
        "mov r11b, 11",
        "33: call 80f",
        "add r11d, eax",
        "jmp 35f",
        "34: mov r14d, eax",
        "35: mov eax, r14d",
        "mov ecx, r11d",
        "rep stosb",
        "cmp rdi, r10",
        "jb 32b",
        // The tables of both kinds of codes.
        "40: mov ecx, r8d",
        "mov r10, r12",
        "mov rbx, rbp",
        "call 90f",
        "push rax",
        "mov ecx, r9d",
        "lea r10, [r12 + r8]",
        "lea rbx, [rbp + 0x10000]",
        "call 90f",
        "mov r15d, eax",
        "pop r14",
        "pop rdi",
        // At least 32 bits: R10; and a code, and its symbol: a byte, or more.
        "push 1",
        "pop r10",
        "shl r10, 32",
        "jmp 52f",
        "50: call 71f",
        "51: mov eax, edx",
        "and eax, r14d",
        "movzx ecx, word ptr [rbp + rax * 2]",
        "shr rdx, cl",
        "test cl, cl",
        "js 53f",
        "mov [rdi], ch",
        "inc rdi",
        "52: cmp rdx, r10",
        "jae 51b",
        "jmp 50b",
        // 3.2.5: 256 ends the block; the next 8 are the lengths 3 to 10; then each four have one more bit; the 29th is 258.
        "53: movzx eax, ch",
        "dec eax",
        "js 60f",
        "lea r9d, [rax + 3]",
        "cmp al, 8",
        "jb 54f",
        "mov r9d, 258",
        "cmp al, 28",
        "je 54f",
        "mov ecx, eax",
        "shr ecx, 2",
        "dec ecx",
        "and eax, 3",
        "lea r9d, [rax + 4]",
        "shl r9d, cl",
        "call 82f",
        "lea r9d, [r9 + rax + 3]",
        // 0 to 3 are the distances 1 to 4; then each two have one more bit.
        "54: cmp rdx, r10",
        "jae 55f",
        "call 71f",
        "55: mov eax, edx",
        "and eax, r15d",
        "movzx ecx, word ptr [rbp + rax * 2 + 0x10000]",
        "shr rdx, cl",
        "movzx eax, ch",
        "cmp al, 4",
        "jb 56f",
        "mov ecx, eax",
        "shr ecx, 1",
        "dec ecx",
        "and eax, 1",
        "lea r8d, [rax + 2]",
        "shl r8d, cl",
        "call 82f",
        "add eax, r8d",
        // Byte by byte: what is copied may begin within what the copy makes.
        "56: not rax",
        "add rax, rdi",
        "xchg rax, rsi",
        "mov ecx, r9d",
        "rep movsb",
        "xchg rax, rsi",
        "cmp rdi, [rsp]",
        "jb 52b",
        "jmp 61f",
        "60: test r13d, r13d",
        "jz 20b",
        "61: xchg rax, rdi",
        "add rsp, 328",
        "pop r15",
        "pop r14",
        "pop r13",
        "pop r12",
        "pop rbp",
        "pop rbx",
        "ret",
        // Sees to it that RDX has at least 32 bits.
        "70: mov rax, rdx",
        "shr rax, 32",
        "jnz 72f",
        "71: lodsd",
        "bsr ecx, edx",
        "btr edx, ecx",
        "bts rax, 32",
        "shl rax, cl",
        "or rdx, rax",
        "72: ret",
        // EAX: the next ECX bits, which are taken; from 82 on, where there are as many.
        "80: push rcx",
        "call 70b",
        "pop rcx",
        "82: xor eax, eax",
        "bts eax, ecx",
        "dec eax",
        "and eax, edx",
        "shr rdx, cl",
        "ret",
        // Fills the table at RBX from the ECX lengths at R10; EAX: a mask of the longest. 3.2.2: among codes of one length those of
        // lower symbols come first, behind all that are shorter.
        "90: mov r11d, ecx",
        "lea rdi, [r10 + rcx]",
        "xor r15d, r15d",
        "91: dec rdi",
        "movzx eax, byte ptr [rdi]",
        "cmp r15d, eax",
        "cmovb r15d, eax",
        "cmp rdi, r10",
        "ja 91b",
        // R14D: the code as it comes in, its first bit lowest, so that it can grow in length without a change. ECX: the length.
        "xor r14d, r14d",
        "xor ecx, ecx",
        "92: cmp ecx, r15d",
        "je 96f",
        // With one bit more, shorter codes are followed by 0 or by 1: the table a second time behind itself.
        "push rcx",
        "push rsi",
        "mov rsi, rbx",
        "xor eax, eax",
        "bts eax, ecx",
        "lea rdi, [rbx + rax * 2]",
        "xchg ecx, eax",
        "rep movsw",
        "pop rsi",
        "inc eax",
        "mov rdi, r10",
        "mov ecx, r11d",
        "93: repne scasb",
        "jne 95f",
        "push rax",
        "push rcx",
        "lea rcx, [rdi - 1]",
        "sub rcx, r10",
        "mov ah, cl",
        "shl ch, 7",
        "or al, ch",
        "mov [rbx + r14 * 2], ax",
        "pop rcx",
        "pop rax",
        // The next code of this length, in this order of the bits.
        "push rax",
        "94: dec eax",
        "btc r14d, eax",
        "jnc 97f",
        "test eax, eax",
        "jnz 94b",
        "97: pop rax",
        "test ecx, ecx",
        "jnz 93b",
        "95: pop rcx",
        "inc ecx",
        "jmp 92b",
        "96: xor eax, eax",
        "bts eax, ecx",
        "dec eax",
        "ret",
        "99: .byte 16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15",
    )
}

/// A call (0xe8), and an address that is made from the program counter (lea: 0x8d, and a byte that says so).
const OPERATIONS: [u8; 2] = [0xe8, 0x8d];

/// In machine code these name their target by the distance to it. With the place of the target in its stead, those of one
/// function or text are the same bytes wherever they stand, and pack better; so they do with their zeros first, behind the operation.
/// `toward` makes places in the image of the distances in its `code`, else back, which is what `packed.rs` does too.
pub fn move_targets(image: &mut [u8], code: Range<usize>, toward: bool) {
    let (start, code) = (code.start, &mut image[..code.end]);
    let [first, second] = OPERATIONS;
    for operation in if toward { [first, second] } else { [second, first] } {
        let mut at = start;
        while let Some(found) = code[at..].iter().position(|&byte| byte == operation) {
            at += found + 1;
            if code.len() - at < 5 {
                break;
            }
            if operation == second {
                if code[at] & 0xc7 != 5 {
                    continue;
                }
                at += 1;
            }
            if let Some(operand) = code.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
                let place = at as u32;
                *operand = match toward {
                    true => u32::from_le_bytes(*operand).wrapping_add(place).to_be_bytes(),
                    false => u32::from_be_bytes(*operand).wrapping_sub(place).to_le_bytes(),
                };
            }
            at += 4;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Of gzip, whose format is ten bytes of header, and eight behind.
    fn deflated(bytes: &[u8]) -> Vec<u8> {
        use std::io::Write;
        use std::process::{Command, Stdio};
        let mut gzip = Command::new("gzip")
            .args(["-9", "-n", "-c"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = gzip.stdin.take().unwrap();
        let output = std::thread::scope(|scope| {
            scope.spawn(move || input.write_all(bytes).unwrap());
            gzip.wait_with_output().unwrap()
        });
        assert!(output.status.success());
        output.stdout[10..].to_vec()
    }

    #[test]
    fn what_gzip_deflates_comes_out_whole() {
        let source = include_bytes!("inflate.rs");
        let mut seed = 1_u32;
        let mut random = |below: usize| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (seed >> 8) as usize % below
        };
        for length in [30, 300, 5000, source.len()] {
            // Runs, copies from near and far, and bytes that nothing foretells.
            let mut bytes = source[..length].to_vec();
            for _ in 0..length / 50 {
                let (at, run) = (random(bytes.len()), 1 + random(300));
                match random(3) {
                    0 => bytes.extend(std::iter::repeat_n(at as u8, run)),
                    1 => bytes.extend_from_within(at..(at + run).min(bytes.len())),
                    _ => bytes.extend((0..run / 10).map(|_| random(256) as u8)),
                }
            }
            let packed = deflated(&bytes);
            let mut out = vec![0; bytes.len()];
            let mut tables = vec![[0; 1 << 15]; 2];
            let mut inflate = |out: &mut [u8], until| {
                let to = out.as_mut_ptr();
                // SAFETY: gzip's, with its eight bytes behind, and as much room as it was.
                let end = unsafe {
                    let until = to.wrapping_add(until);
                    inflate(packed.as_ptr(), to, tables.first_chunk_mut().unwrap(), until)
                };
                end.addr() - to.addr()
            };
            let mut part = vec![0; bytes.len()];
            let half = inflate(&mut part, bytes.len() / 2);
            assert!(half >= bytes.len() / 2, "{length}: {half}");
            assert!(part[..half] == bytes[..half], "{length}");
            assert!(part[half..].iter().all(|&byte| byte == 0), "{length}");
            assert_eq!(inflate(&mut out, bytes.len()), bytes.len());
            assert!(out == bytes, "{length}");
        }
    }

    #[test]
    fn a_target_is_made_of_its_distance_and_back() {
        let code = [
            0x90, 0xe8, 4, 0, 0, 0, 0x8d, 0x05, 0xfe, 0xff, 0xff, 0xff, 0x8d, 0x44, 0xe8, 0x8d,
            0x05, 0, 0, 0x8d, 0x0d, 1, 0, 0xe8, 1,
        ];
        let mut moved = code;
        move_targets(&mut moved, 1..25, true);
        assert_eq!(moved[..12], [0x90, 0xe8, 0, 0, 0, 6, 0x8d, 0x05, 0, 0, 0, 6]);
        assert_ne!(moved[12..], code[12..]);
        move_targets(&mut moved, 1..25, false);
        assert_eq!(moved, code);
    }
}
