//! ELF: System V's object file format, 32 and 64 bits. Only what says where to load what is read.

use crate::boot::plan::{KernelFile, MAX_PIECES, Piece, Refusal};
use crate::show::number;
use alloc::vec;
use alloc::vec::Vec;

/// `e_machine`: x86, and x86-64.
const EM_386: u64 = 3;
const EM_X86_64: u64 = 62;
/// `e_type`: a program, or one that may be loaded anywhere.
const ET_EXEC: u64 = 2;
const ET_DYN: u64 = 3;
/// `p_type`: to be loaded; and notes to whoever loads it.
const PT_LOAD: u64 = 1;
const PT_NOTE: u64 = 4;
/// Notes behind so many bytes of a segment are not looked at.
const MOST_NOTES: u64 = 64 << 10;

/// The larger of the two headers' sizes.
const HEADER: usize = 64;
/// The larger of the two program headers' sizes.
const PROGRAM_HEADER: usize = 56;

/// What an ELF file says.
pub struct Elf {
    pub is_64_bit: bool,
    pub entry: u64,
    pub pieces: Vec<Piece>,
    /// The bytes of its notes, of each segment of them.
    notes: Vec<Vec<u8>>,
}

/// Reads an ELF file's headers.
pub fn read(file: &KernelFile) -> Result<Elf, Refusal> {
    // A file of 32 bits may be shorter than this, but none that is of use.
    let missing = (HEADER as u64).saturating_sub(file.size);
    let header = file.bytes::<HEADER>(0).ok_or(Refusal::Truncated { missing })?;
    let field = |at: usize, size: usize| number(&header[at..at + size]);
    let machine = field(18, 2);
    // Byte 4: 1 is 32 bits, 2 is 64 bits; byte 5: 1 is little-endian.
    let is_64_bit = match (field(4, 2), machine) {
        (0x0101, EM_386) => false,
        (0x0102, EM_X86_64) => true,
        (kind, _) => {
            let (is_64_bit, is_big_endian) = (kind & 0xff == 2, kind >> 8 == 2);
            let machine = if is_big_endian { machine.swap_bytes() >> 48 } else { machine };
            return Err(Refusal::NotOurs { machine, is_64_bit, is_big_endian });
        }
    };
    if !matches!(field(16, 2), ET_EXEC | ET_DYN) {
        return Err(Refusal::NotAProgram);
    }
    // e_entry and e_phoff have the size of a word; e_phentsize and e_phnum lie behind other fields.
    let word = if is_64_bit { 8 } else { 4 };
    let sizes = if is_64_bit { 54 } else { 42 };
    let (entry, first) = (field(24, word), field(24 + word, word));
    let (entry_size, count) = (field(sizes, 2), field(sizes + 2, 2));
    // Linux has five segments. Notes and the like count here too.
    if count == 0 || count > 4 * MAX_PIECES as u64 {
        return Err(Refusal::Segments { count });
    }
    let header_size = if is_64_bit { PROGRAM_HEADER } else { 32 };
    if entry_size < header_size as u64 {
        return Err(Refusal::BadHeader);
    }
    // All program headers at once, as far as the file has them.
    let size = (count * entry_size).min(file.size.saturating_sub(first));
    let mut table = vec![0; size as usize];
    if !(file.read)(first, &mut table) {
        return Err(Refusal::Truncated { missing: 0 });
    }
    let (mut pieces, mut notes) = (Vec::new(), Vec::new());
    for at in (0..count * entry_size).step_by(entry_size as usize) {
        let end = at + header_size as u64;
        let Some(header) = table.get(at as usize..end as usize) else {
            let end = first.saturating_add(end);
            return Err(Refusal::Truncated { missing: end.saturating_sub(file.size) });
        };
        // p_offset, p_paddr, p_filesz and p_memsz are words 1, 3, 4 and 5 of both kinds.
        let word = |index: usize| number(&header[word * index..word * (index + 1)]);
        let piece = Piece { from: word(1), to: word(3), size: word(4), room: word(5) };
        let kind = number(&header[..4]);
        if kind == PT_NOTE {
            let mut bytes = vec![0; piece.size.min(MOST_NOTES) as usize];
            if (file.read)(piece.from, &mut bytes) {
                notes.push(bytes);
            }
        }
        if kind == PT_LOAD && piece.size.max(piece.room) > 0 {
            if pieces.len() == MAX_PIECES {
                return Err(Refusal::Segments { count: MAX_PIECES as u64 + 1 });
            }
            pieces.push(piece);
        }
    }
    Ok(Elf { is_64_bit, entry, pieces, notes })
}

/// A note: who defines its type, the type, and the value.
pub struct Note<'a> {
    /// With a final zero.
    pub name: &'a [u8],
    pub kind: u32,
    pub value: &'a [u8],
}

impl Elf {
    /// Its notes, one after the other. Left out are notes that are cut off, and segments of notes that the file does not wholly
    /// contain.
    pub fn notes(&self) -> impl Iterator<Item = Note<'_>> {
        self.notes.iter().flat_map(|bytes| {
            let mut left = &bytes[..];
            core::iter::from_fn(move || {
                let (note, rest) = split_note(left)?;
                left = rest;
                Some(note)
            })
        })
    }
}

/// The first note of several, and the rest.
fn split_note(bytes: &[u8]) -> Option<(Note<'_>, &[u8])> {
    // Three words: the sizes of name and value, and the type.
    let (header, rest) = bytes.split_at_checked(12)?;
    let word = |index: usize| number(&header[4 * index..4 * index + 4]);
    let (name, rest) = split_padded(rest, word(0))?;
    let (value, rest) = split_padded(rest, word(1))?;
    Some((Note { name, kind: word(2) as u32, value }, rest))
}

/// The first `len` bytes, and what comes behind them and their padding to a word.
fn split_padded(bytes: &[u8], len: u64) -> Option<(&[u8], &[u8])> {
    let (part, rest) = bytes.split_at_checked(len.next_multiple_of(4) as usize)?;
    Some((&part[..len as usize], rest))
}
