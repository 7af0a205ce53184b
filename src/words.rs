//! Pieces of text that is laid out flat: a table of names as one string costs no pointer, and so no
//! relocation, for each.

use core::ffi::CStr;

/// The word at `index` in `words`, which have one space between them.
pub fn word(words: &'static str, index: usize) -> Option<&'static str> {
    piece(words, b' ', index)
}

/// The line at `index` in `lines`.
pub fn line(lines: &'static str, index: usize) -> Option<&'static str> {
    piece(lines, b'\n', index)
}

#[inline(never)]
fn piece(text: &'static str, separator: u8, mut index: usize) -> Option<&'static str> {
    let mut start = 0;
    for (at, &byte) in text.as_bytes().iter().enumerate() {
        if byte == separator {
            if index == 0 {
                return text.get(start..at);
            }
            index -= 1;
            start = at + 1;
        }
    }
    if index == 0 { text.get(start..) } else { None }
}

/// A C string without its first bytes, as many as `skip` or all.
pub fn tail(string: &CStr, skip: usize) -> &CStr {
    let bytes = string.to_bytes_with_nul();
    let skip = skip.min(bytes.len() - 1);
    // SAFETY: what is left ends in the string's zero byte and has no other.
    unsafe { CStr::from_bytes_with_nul_unchecked(bytes.get(skip..).unwrap_or(b"\0")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_counted_from_0() {
        assert_eq!(word("a bc d", 0), Some("a"));
        assert_eq!(word("a bc d", 1), Some("bc"));
        assert_eq!(word("a bc d", 2), Some("d"));
        assert_eq!(word("a bc d", 3), None);
        assert_eq!(word("a bc d", usize::MAX), None);
    }

    #[test]
    fn a_tail_keeps_its_end() {
        assert_eq!(tail(c"abc", 0), c"abc");
        assert_eq!(tail(c"abc", 2), c"c");
        assert_eq!(tail(c"abc", 3), c"");
        assert_eq!(tail(c"abc", 9), c"");
    }
}
