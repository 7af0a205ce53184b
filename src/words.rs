//! Pieces of text: names in one string, and the templates of what is printed.
//!
//! A table of names as one string costs no pointer, and so no relocation, for each.

use core::ffi::CStr;

/// The word at `index` in `words`, which have one space between them; empty where there are not as many.
pub fn word(words: &'static str, index: usize) -> &'static [u8] {
    field(words.as_bytes(), b' ', index).unwrap_or_default()
}

/// The piece at `index` of what `separator` separates.
#[inline(never)]
pub fn field(bytes: &[u8], separator: u8, mut index: usize) -> Option<&[u8]> {
    let mut start = 0;
    loop {
        let end = (start..bytes.len()).find(|&at| bytes.get(at) == Some(&separator));
        let end = end.unwrap_or(bytes.len());
        if index == 0 {
            return bytes.get(start..end);
        }
        if end == bytes.len() {
            return None;
        }
        index -= 1;
        start = end + 1;
    }
}

/// Where a word stands in `words`.
#[inline(never)]
pub fn place(words: &'static str, word: &[u8]) -> Option<usize> {
    let mut index = 0;
    while let Some(other) = field(words.as_bytes(), b' ', index) {
        if other == word {
            return Some(index);
        }
        index += 1;
    }
    None
}

/// Copies bytes to a place in others, if there is room for all; else `false`.
#[inline(never)]
pub fn put(to: &mut [u8], at: usize, from: &[u8]) -> bool {
    let Some(to) = to.get_mut(at..at.saturating_add(from.len())) else { return false };
    for (to, from) in to.iter_mut().zip(from) {
        *to = *from;
    }
    true
}

/// A text, with a zero at its end, in which `W` words and `N` numbers take their places:
/// [`crate::text::Text::say`] says how. The compiler counts them, so that a text never gets too few.
#[derive(Clone, Copy)]
pub struct Prose<const W: usize, const N: usize>(*const u8);

impl<const W: usize, const N: usize> Prose<W, N> {
    /// Its first byte.
    pub fn start(self) -> *const u8 {
        self.0
    }
}

/// Some of them, one behind the other; each takes so many at most.
pub struct Lines<const W: usize, const N: usize>(&'static [u8]);

impl<const W: usize, const N: usize> Lines<W, N> {
    /// # Safety
    /// The bytes are what [`lines!`](crate::lines!) makes: they end in a zero, and no text in them takes more.
    pub const unsafe fn new(bytes: &'static [u8]) -> Lines<W, N> {
        Lines(bytes)
    }

    /// The text at `index`; an empty one where there are not as many.
    pub fn get(&self, index: usize) -> Prose<W, N> {
        // Behind each there is a zero; behind the last zero there is no text.
        let end = self.0.as_ptr_range().end;
        let text = field(self.0, 0, index).filter(|text| text.as_ptr_range().end != end);
        Prose(text.unwrap_or(b"\0").as_ptr())
    }

    /// The first.
    pub const fn first(&self) -> Prose<W, N> {
        Prose(self.0.as_ptr())
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.0.iter().filter(|&&byte| byte == 0).count()
    }
}

/// Texts, counted at compile time: [`Lines`](crate::words::Lines).
#[macro_export]
macro_rules! lines {
    ($($text:expr),+ $(,)?) => {{
        const TEXT: &[u8] = concat!($($text, "\0"),+).as_bytes();
        const COUNTS: (usize, usize) = $crate::words::places(TEXT);
        // SAFETY: a zero stands behind each, and the places have been counted.
        const { unsafe { $crate::words::Lines::<{ COUNTS.0 }, { COUNTS.1 }>::new(TEXT) } }
    }};
}

/// A text: [`Prose`](crate::words::Prose).
#[macro_export]
macro_rules! t {
    ($text:expr) => {
        const { $crate::lines!($text).first() }
    };
}

/// How many words and how many numbers a text takes; of several, each with a zero behind, the most.
pub const fn places(text: &[u8]) -> (usize, usize) {
    let (mut most, mut now, mut at) = ((0, 0), (0, 0), 0);
    while at < text.len() {
        match text[at] {
            0 => now = (0, 0),
            b'%' => {
                at += 1;
                match text[at] {
                    b's' | b'b' => now.0 += 1,
                    b'd' | b'x' | b'z' => now.1 += 1,
                    _ => panic!("no such place"),
                }
            }
            _ => {}
        }
        if now.0 > most.0 {
            most.0 = now.0;
        }
        if now.1 > most.1 {
            most.1 = now.1;
        }
        at += 1;
    }
    most
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
    use crate::text::Text;

    #[test]
    fn words_are_counted_from_0() {
        assert_eq!(word("a bc d", 0), b"a");
        assert_eq!(word("a bc d", 1), b"bc");
        assert_eq!(word("a bc d", 2), b"d");
        assert_eq!(word("a bc d", 3), b"");
        assert_eq!(word("a bc d", usize::MAX), b"");
        assert_eq!(field(b"a::b", b':', 1), Some(&b""[..]));
        assert_eq!(field(b"", b':', 0), Some(&b""[..]));
        assert_eq!(field(b"a", b':', 1), None);
        assert_eq!(place("a bc d", b"d"), Some(2));
        assert_eq!(place("a bc d", b"b"), None);
        assert_eq!(place("a bc d", b""), None);
    }

    #[test]
    fn texts_stand_behind_one_another_and_behind_the_last_there_is_none() {
        let lines = lines!("KVM_EXIT_SHUTDOWN: the guest\n%s of 4 KiB pages", "%d %x", "");
        assert_eq!(lines.count(), 3);
        let mut text = Text::new(-1);
        text.say(lines.get(0), &[b"one"], &[0; 2]);
        text.say(lines.get(1), &[b""], &[1, 2]);
        text.say(lines.get(2), &[b""], &[0; 2]);
        text.say(lines.get(3), &[b""], &[0; 2]);
        assert_eq!(text.shown(), "KVM_EXIT_SHUTDOWN: the guest\none of 4 KiB pages1 0x2");
    }

    #[test]
    fn a_tail_keeps_its_end() {
        assert_eq!(tail(c"abc", 0), c"abc");
        assert_eq!(tail(c"abc", 2), c"c");
        assert_eq!(tail(c"abc", 3), c"");
        assert_eq!(tail(c"abc", 9), c"");
    }
}
