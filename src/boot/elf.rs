//! ELF: the object file format of System V, 32 and 64 bits. Only what says where to load what is read.

use crate::boot::kernel::{PIECES, Piece, Plan, Read, Refused, What, number};

/// x86, and x86-64: `e_machine`.
const EM_386: u64 = 3;
const EM_X86_64: u64 = 62;
/// A program: `e_type`; one that may be loaded anywhere counts too.
const ET_EXEC: u64 = 2;
const ET_DYN: u64 = 3;
/// To be loaded: `p_type`.
const PT_LOAD: u64 = 1;

/// Adds the file's segments and its entry to the plan. Gives whether it is of 64 bits.
#[inline(never)]
pub fn pieces(plan: &mut Plan, size: u64, read: Read) -> Result<bool, Refused> {
    let mut header = [0; 64];
    // A file of 32 bits may be shorter than 64 bytes, but none that is of use.
    if !read(0, &mut header) {
        return Err(Refused(What::Truncated, 64u64.saturating_sub(size)));
    }
    let machine = number(&header, 18, 2);
    // Byte 4: 1 is 32 bits, 2 is 64 bits; byte 5: 1 is little-endian. A word is 4 bytes or 8.
    let word = match (number(&header, 4, 2), machine) {
        (0x0101, EM_386) => 4,
        (0x0102, EM_X86_64) => 8,
        _ => return Err(Refused(What::NotOurs, machine)),
    };
    if !matches!(number(&header, 16, 2), ET_EXEC | ET_DYN) {
        return Err(Refused(What::NotOurs, machine));
    }
    // `e_entry`, `e_phoff`; then `e_phentsize`, `e_phnum`.
    plan.entry = number(&header, 24, word);
    let first = number(&header, 24 + word, word);
    let sizes = if word == 4 { 42 } else { 54 };
    let (each, count) = (number(&header, sizes, 2), number(&header, sizes + 2, 2));
    // Linux has five. Notes and the like count here too.
    if count == 0 || count > 4 * PIECES as u64 {
        return Err(Refused(What::Segments, count));
    }
    for index in 0..count {
        let mut header = [0; 56];
        let at = first.saturating_add(index * each);
        let bytes = header.get_mut(..if word == 4 { 32 } else { 56 }).unwrap_or_default();
        if !read(at, bytes) {
            return Err(Refused(What::Truncated, at.saturating_add(56).saturating_sub(size)));
        }
        // `p_offset`, `p_paddr`, `p_filesz`, `p_memsz`.
        let field = |index: usize| number(bytes, word * index, word);
        let (from, to, size, room) = (field(1), field(3), field(4), field(5));
        // `room` below `size` is nonsense that the larger of them covers.
        if number(bytes, 0, 4) == PT_LOAD && room.max(size) > 0 {
            plan.add(Piece { from, size, to, room })?;
        }
    }
    Ok(word == 8)
}
