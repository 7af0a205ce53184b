//! Deflated bytes made whole: RFC 1951. What is inflated is a part of this program, so that its length is
//! known and nothing in it can be wrong: `pack/main.rs` makes it, and inflates it once to see.

use core::mem::MaybeUninit;

/// An entry for each value that the next bits can have: the length of the code in bits 3:0, bits 7:0 of the
/// symbol above 8, and bit 6 where the symbol is 256 or more.
pub type Table = [u16; 1 << 15];

/// Bits in the order in which the format packs them: from bit 0 of each byte up.
struct Bits {
    bytes: *const u8,
    /// How many have been taken.
    taken: usize,
    /// The next ones, from bit 0 up.
    held: u64,
}

impl Bits {
    /// Holds 57 bits at least.
    ///
    /// # Safety
    /// Eight bytes can be read from where the next bit is.
    #[inline(always)]
    unsafe fn fill(&mut self) {
        // SAFETY: the caller's promise.
        let bytes = unsafe { self.bytes.add(self.taken / 8).cast::<u64>().read_unaligned() };
        self.held = bytes >> (self.taken % 8);
    }

    #[inline(always)]
    fn take(&mut self, count: usize) -> usize {
        let bits = self.held as usize & ((1 << count) - 1);
        self.skip(count);
        bits
    }

    #[inline(always)]
    fn skip(&mut self, count: usize) {
        self.held >>= count;
        self.taken += count;
    }

    /// The entry of the symbol whose code is next; `mask` is what [`build`] gave.
    ///
    /// # Safety
    /// The table is built.
    #[inline(always)]
    unsafe fn symbol(&mut self, table: *const u16, mask: usize) -> u16 {
        // SAFETY: it has an entry for each value.
        let entry = unsafe { *table.add(self.held as usize & mask) };
        self.skip(usize::from(entry & 15));
        entry
    }
}

/// Fills a table from the lengths of the symbols' codes, and gives the mask of the longest. Section 3.2.2: among codes
/// of one length those of lower symbols come first, behind all that are shorter.
///
/// # Safety
/// `table` has room for two to the power of the longest, which is 15 at most.
unsafe fn build(table: *mut u16, lengths: &[u8]) -> usize {
    let longest = lengths.iter().copied().max().unwrap_or(0);
    // The code as it comes in, its first bit lowest: it can grow in length without a change.
    let mut code = 0;
    for length in 1..=longest {
        let half = 1 << (length - 1);
        // SAFETY: both halves are within two to the power of `longest`.
        unsafe {
            // With one bit more, shorter codes are followed by 0 or by 1.
            core::arch::asm!("rep movsw", inout("rsi") table => _, inout("rdi") table.add(half) => _,
                inout("rcx") half => _, options(nostack));
        }
        let mut at = 0;
        while let Some(symbol) = find(lengths, at, length) {
            // SAFETY: a code of so many bits.
            unsafe {
                *table.add(code) = (symbol << 8 | symbol >> 8 << 6) as u16 | u16::from(length)
            };
            at = symbol + 1;
            // The next code, in this order of the bits.
            let mut bit = half;
            while code & bit != 0 {
                code ^= bit;
                bit >>= 1;
            }
            code |= bit;
        }
    }
    (1 << longest) - 1
}

/// Where `byte` is next, from `at` on: one instruction a byte, where a loop has five.
fn find(bytes: &[u8], at: usize, byte: u8) -> Option<usize> {
    let rest = bytes.get(at..)?;
    let (left, found): (usize, u8);
    // SAFETY: it reads within `rest`; with nothing to read, `sete` sees the flags of the `test`.
    unsafe {
        core::arch::asm!("test rsp, rsp", "repne scasb", "sete {}", out(reg_byte) found,
            inout("rdi") rest.as_ptr() => _, inout("rcx") rest.len() => left, in("al") byte,
            options(nostack, readonly));
    }
    (found != 0).then(|| bytes.len() - left - 1)
}

/// Sets bytes, and gives the place behind the last. `write_bytes` would be a call of `memset`, and the packed program
/// has no C library.
///
/// # Safety
/// They may be written.
unsafe fn fill(mut to: *mut u8, byte: u8, count: usize) -> *mut u8 {
    // SAFETY: the caller's promise.
    unsafe {
        core::arch::asm!("rep stosb", inout("rdi") to, in("al") byte, inout("rcx") count => _, options(nostack));
    }
    to
}

/// Room for the lengths of all codes, of both kinds.
const LENGTHS: usize = 320;

/// Reads the lengths of a block's codes to `lengths`: 3.2.6 and 3.2.7. Gives how many are of literals, and how many all
/// are.
///
/// # Safety
/// The stream is whole; a block of kind 1 or 2 has begun, of which the kind has been taken; the table has its room.
#[inline(always)]
unsafe fn read_lengths(
    bits: &mut Bits,
    kind: usize,
    lengths: *mut u8,
    table: *mut u16,
) -> (usize, usize) {
    /// In which order the lengths of the lengths' codes come.
    const ORDER: [u8; 19] = [16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15];
    debug_assert!(kind == 1 || kind == 2, "zopfli stores only what can't be packed");
    // SAFETY: the caller's promise: a code is read where the format has one, and there are not more lengths than room.
    unsafe {
        if kind == 1 {
            let mut at = lengths;
            for (length, count) in [(8, 144), (9, 112), (7, 24), (8, 8), (5, 32)] {
                at = fill(at, length, count);
            }
            return (288, LENGTHS);
        }
        let literals = 257 + bits.take(5);
        let all = literals + 1 + bits.take(5);
        fill(lengths, 0, 19);
        for place in ORDER.iter().take(4 + bits.take(4)) {
            bits.fill();
            *lengths.add(usize::from(*place)) = bits.take(3) as u8;
        }
        let mask = build(table, &*lengths.cast::<[u8; 19]>());
        let mut at = lengths;
        let end = at.add(all);
        let mut before = 0;
        while at < end {
            bits.fill();
            let mut times = 1;
            match bits.symbol(table, mask) >> 8 {
                16 => times = 3 + bits.take(2),
                17 => (before, times) = (0, 3 + bits.take(3)),
                18 => (before, times) = (0, 11 + bits.take(7)),
                length => before = length as u8,
            }
            at = fill(at, before, times);
        }
        (literals, all)
    }
}

/// Inflates `from` to `to`, and gives the place behind the last byte.
///
/// # Safety
/// `from` is a whole stream, in which nothing is stored, with eight bytes behind it; there is room at `to`.
pub unsafe fn inflate(from: *const u8, mut to: *mut u8, tables: &mut [Table; 2]) -> *mut u8 {
    let [symbols, distances] = tables.each_mut().map(|table| table.as_mut_ptr());
    let mut bits = Bits { bytes: from, taken: 0, held: 0 };
    loop {
        // SAFETY: the caller's promise: a code is read where the format has one, a copy goes back to
        // what is there, and what is written has its room.
        unsafe {
            bits.fill();
            let last = bits.take(1);
            let kind = bits.take(2);
            let mut lengths = MaybeUninit::<[u8; LENGTHS]>::uninit();
            let lengths = lengths.as_mut_ptr().cast::<u8>();
            let (literals, all) = read_lengths(&mut bits, kind, lengths, symbols);
            let lengths = core::slice::from_raw_parts(lengths, all);
            let (lengths, far) = lengths.split_at_unchecked(literals);
            let mask = build(symbols, lengths);
            let far_mask = build(distances, far);
            loop {
                bits.fill();
                let entry = bits.symbol(symbols, mask);
                if entry & 64 == 0 {
                    to.write((entry >> 8) as u8);
                    to = to.add(1);
                    continue;
                }
                // 3.2.5, less 256: 1 to 8 are the lengths 3 to 10; then each four have one more bit; 29 is 258.
                let length = match usize::from(entry >> 8) {
                    0 => break,
                    29 => 258,
                    near @ 1..9 => near + 2,
                    symbol => {
                        let more = (symbol - 5) / 4;
                        ((4 + (symbol - 9) % 4) << more) + 3 + bits.take(more)
                    }
                };
                let distance = match usize::from(bits.symbol(distances, far_mask) >> 8) {
                    near @ 0..4 => near + 1,
                    symbol => {
                        let more = symbol / 2 - 1;
                        ((2 + symbol % 2) << more) + 1 + bits.take(more)
                    }
                };
                // Byte by byte: what is copied may begin within what the copy makes.
                core::arch::asm!("rep movsb", inout("rdi") to, inout("rsi") to.sub(distance) => _,
                    inout("rcx") length => _, options(nostack));
            }
            if last == 1 {
                return to;
            }
        }
    }
}

/// In machine code a call names its target by the distance to it. With the place of the target in its stead, calls of one function
/// are the same bytes wherever they stand, and pack better. `toward` makes targets of distances, else back.
pub fn move_calls(code: &mut [u8], toward: bool) {
    let mut at = 0;
    while let Some(found) = find(code, at, 0xe8) {
        at = found + 1;
        if let Some(operand) = code.get_mut(at..).and_then(|rest| rest.first_chunk_mut()) {
            let (value, place) = (u32::from_le_bytes(*operand), at as u32);
            let value = if toward { value.wrapping_add(place) } else { value.wrapping_sub(place) };
            *operand = value.to_le_bytes();
        }
        at += 4;
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
            // SAFETY: gzip's, with its eight bytes behind, and as much room as it was.
            let end = unsafe {
                inflate(packed.as_ptr(), out.as_mut_ptr(), tables.first_chunk_mut().unwrap())
            };
            assert_eq!(end.cast_const(), out.as_ptr_range().end);
            assert!(out == bytes, "{length}");
        }
    }

    #[test]
    fn a_call_s_target_is_made_of_its_distance_and_back() {
        let code = [0x90, 0xe8, 4, 0, 0, 0, 0x90, 0xe8, 0xfe, 0xff, 0xff, 0xff, 0xe8, 1];
        let mut moved = code;
        move_calls(&mut moved, true);
        assert_eq!(moved[..8], [0x90, 0xe8, 6, 0, 0, 0, 0x90, 0xe8]);
        assert_eq!(moved[8..], [6, 0, 0, 0, 0xe8, 1]);
        move_calls(&mut moved, false);
        assert_eq!(moved, code);
    }
}
