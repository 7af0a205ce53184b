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

/// Where a field stands, and its size: in 32 bits, in 64 bits.
struct Fields {
    entry: (usize, usize),
    headers: (usize, usize),
    size: usize,
    count: usize,
    /// Of a program header: offset, physical address, size in the file, size in memory.
    segment: [usize; 4],
    word: usize,
}

const FIELDS: [Fields; 2] = [
    Fields {
        entry: (24, 4),
        headers: (28, 4),
        size: 42,
        count: 44,
        segment: [4, 12, 16, 20],
        word: 4,
    },
    Fields {
        entry: (24, 8),
        headers: (32, 8),
        size: 54,
        count: 56,
        segment: [8, 24, 32, 40],
        word: 8,
    },
];

/// Adds the file's segments and its entry to the plan. Gives whether it is of 64 bits.
#[inline(never)]
pub fn pieces(plan: &mut Plan, size: u64, read: Read) -> Result<bool, Refused> {
    let mut header = [0; 64];
    // A file of 32 bits may be shorter than 64 bytes, but none that is of use.
    if !read(0, &mut header) {
        return Err(Refused(What::Truncated, 64u64.saturating_sub(size)));
    }
    let machine = number(&header, 18, 2);
    let [narrow, wide] = &FIELDS;
    // Byte 4: 1 is 32 bits, 2 is 64 bits; byte 5: 1 is little-endian.
    let fields = match (number(&header, 4, 2), machine) {
        (0x0101, EM_386) => narrow,
        (0x0102, EM_X86_64) => wide,
        _ => return Err(Refused(What::NotOurs, machine)),
    };
    if !matches!(number(&header, 16, 2), ET_EXEC | ET_DYN) {
        return Err(Refused(What::NotOurs, machine));
    }
    plan.entry = number(&header, fields.entry.0, fields.entry.1);
    let first = number(&header, fields.headers.0, fields.headers.1);
    let (each, count) = (number(&header, fields.size, 2), number(&header, fields.count, 2));
    // Linux has five. Notes and the like count here too.
    if count == 0 || count > 4 * PIECES as u64 {
        return Err(Refused(What::Segments, count));
    }
    for index in 0..count {
        let mut header = [0; 56];
        let at = first.saturating_add(index * each);
        let bytes = header.get_mut(..if fields.word == 4 { 32 } else { 56 }).unwrap_or_default();
        if !read(at, bytes) {
            return Err(Refused(What::Truncated, at.saturating_add(56).saturating_sub(size)));
        }
        let [from, to, size, room] = fields.segment.map(|at| number(bytes, at, fields.word));
        // `room` below `size` is nonsense that the larger of them covers.
        if number(bytes, 0, 4) == PT_LOAD && room.max(size) > 0 {
            plan.add(Piece { from, size, to, room })?;
        }
    }
    Ok(fields.word == 8)
}
