//! Text without allocation. What `core::fmt` would do costs several KiB of program; this, some
//! hundred bytes.

use crate::errno::Errno;
use crate::fd::Output;
use crate::t;
use crate::words::{self, Prose};
use core::ffi::{CStr, c_int};

/// Text on its way to a descriptor, written in one piece where it fits into [`Output`].
pub struct Text(Output);

impl Text {
    /// Nothing yet, for this descriptor, which stays the caller's.
    pub fn new(fd: c_int) -> Text {
        Text(Output::new(fd))
    }

    /// Appends a text.
    #[inline(never)]
    pub fn plain(&mut self, text: Prose<0, 0>) {
        self.say(text, &[], &[]);
    }

    /// Appends `template`, in which a `%` with a letter stands for
    /// - `%s`: the next of `words`; a control character in it, which a terminal might obey, as `?`
    /// - `%d`, `%x`: the next of `numbers`, in decimal, or in hexadecimal with `0x`
    /// - `%z`: the next of `numbers`, a size in bytes, in the largest unit that divides it
    /// - `%b`: the number that was last, as the names of its bits: the next of `words` holds them, from bit 0
    ///   up, with one space between; of one that has no name, or a dash, the number
    pub fn say<const W: usize, const N: usize>(
        &mut self,
        template: Prose<W, N>,
        words: &[&[u8]; W],
        numbers: &[u64; N],
    ) {
        // SAFETY: the template takes as many, or less.
        unsafe { self.emit(template.start(), words.as_ptr(), numbers.as_ptr()) };
    }

    /// # Safety
    /// The template ends in a zero, and there are as many words and numbers as it takes.
    #[inline(never)]
    unsafe fn emit(
        &mut self,
        mut text: *const u8,
        mut words: *const &[u8],
        mut numbers: *const u64,
    ) {
        // SAFETY: the caller's promise. It reads up to the zero, and behind each `%` is a letter.
        let mut next = || unsafe {
            let byte = *text;
            text = text.add(1);
            byte
        };
        // SAFETY: the caller's promise.
        let mut word = || unsafe {
            let word = *words;
            words = words.add(1);
            word
        };
        let mut number = 0;
        loop {
            let byte = next();
            if byte != b'%' {
                match byte {
                    0 => return,
                    _ => self.byte(byte),
                }
                continue;
            }
            let letter = next();
            if matches!(letter, b'd' | b'x' | b'z') {
                // SAFETY: the caller's promise.
                unsafe {
                    number = *numbers;
                    numbers = numbers.add(1);
                }
            }
            match letter {
                b's' => self.raw(word()),
                b'b' => self.bits(number, word()),
                b'd' => self.number(number, 10),
                b'x' => {
                    self.raw(b"0x");
                    self.number(number, 16);
                }
                _ => {
                    // As many times as 1024 divides it; 0 is 0 bytes.
                    let unit = (number.trailing_zeros() as usize / 10 % 6).min(3);
                    self.number(number >> (10 * unit), 10);
                    self.byte(b' ');
                    self.raw(words::word("bytes KiB MiB GiB", unit));
                }
            }
        }
    }

    /// Appends the names of the bits that are set, a space before each; see `%b`.
    #[inline(never)]
    pub fn bits(&mut self, mut value: u64, names: &[u8]) {
        let mut bit = 0;
        while value != 0 {
            if value & 1 != 0 {
                self.byte(b' ');
                match words::field(names, b' ', bit) {
                    None | Some(b"-") => self.say(t!("bit%d"), &[], &[bit as u64]),
                    Some(name) => self.raw(name),
                }
            }
            value >>= 1;
            bit += 1;
        }
    }

    /// Appends a number as `0x` and two hexadecimal digits for each of its `size` bytes.
    pub fn value(&mut self, value: u64, size: usize) {
        self.raw(b"0x");
        for place in (0..2 * size).rev() {
            self.number(value >> (4 * place) & 15, 16);
        }
    }

    /// What has gathered, as the name of a file; empty where it is too long for one.
    pub fn path(&mut self) -> &CStr {
        self.byte(0);
        let path = self.0.gathered();
        if path.last() != Some(&0) {
            return c"";
        }
        // SAFETY: there is a zero byte, if not before.
        unsafe { CStr::from_ptr(path.as_ptr().cast()) }
    }

    /// What has gathered.
    #[cfg(test)]
    pub fn shown(&self) -> &str {
        std::str::from_utf8(self.0.gathered()).unwrap()
    }

    /// Appends bytes as pairs of hexadecimal digits, a space before each.
    pub fn dump(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.byte(b' ');
            self.number((byte >> 4).into(), 16);
            self.number((byte & 15).into(), 16);
        }
    }

    fn number(&mut self, value: u64, base: u64) {
        if value >= base {
            self.number(value / base, base);
        }
        let digit = (value % base) as u8;
        self.byte(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
    }

    fn raw(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            self.byte(if byte.is_ascii_control() { b'?' } else { byte });
        }
    }

    #[inline(never)]
    fn byte(&mut self, byte: u8) {
        // What can't be written of a long message is lost; `finish` tells of the rest.
        let _ = self.0.put(byte);
    }

    /// Writes what has gathered, and tells whether it could be.
    pub fn finish(&mut self) -> Result<(), Errno> {
        self.0.flush()
    }
}

/// What `say` says. No place of a template is left in it.
#[cfg(test)]
pub fn said(say: impl Fn(&mut Text)) -> String {
    let mut text = Text::new(-1);
    say(&mut text);
    let said = text.shown().to_string();
    assert!(!said.contains('%'), "{said}");
    said
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said_with<const W: usize, const N: usize>(
        template: Prose<W, N>,
        words: &[&[u8]; W],
        numbers: &[u64; N],
    ) -> String {
        let mut text = Text::new(-1);
        text.say(template, words, numbers);
        text.shown().to_string()
    }

    #[test]
    fn numbers_are_shown_whole() {
        assert_eq!(said_with(t!("%d %d"), &[], &[0, u64::MAX]), "0 18446744073709551615");
        assert_eq!(said_with(t!("%x %x"), &[], &[0, u64::MAX]), "0x0 0xffffffffffffffff");
    }

    #[test]
    fn a_size_takes_the_unit_that_divides_it() {
        for (size, text) in [
            (16 << 20, "16 MiB"),
            (1 << 30, "1 GiB"),
            (1 << 40, "1024 GiB"),
            ((1 << 20) + 4096, "1028 KiB"),
            (4097, "4097 bytes"),
            (0, "0 bytes"),
        ] {
            assert_eq!(said_with(t!("%z"), &[], &[size]), text);
        }
    }

    #[test]
    fn words_and_numbers_take_their_places_and_words_are_not_looked_into() {
        assert_eq!(said_with(t!("%s: %d%s"), &[b"100%d", b"!"], &[7]), "100%d: 7!");
        assert_eq!(said_with(t!("%s\n"), &[b"\x1b[2J\n\x7f"], &[]), "?[2J??\n");
    }

    #[test]
    fn bits_are_shown_by_name_or_by_number() {
        assert_eq!(
            said_with(t!("%x:%b %b"), &[b"PE - MP", b"A"], &[0x207]),
            "0x207: PE bit1 MP bit9  A bit1 bit2 bit9"
        );
    }

    #[test]
    fn a_value_has_all_its_digits() {
        let mut text = Text::new(-1);
        text.value(0x48, 2);
        assert_eq!(text.shown(), "0x0048");
    }

    #[test]
    fn a_dump_has_two_digits_a_byte() {
        let mut text = Text::new(-1);
        text.dump(&[0x0f, 0xb0, 0, 0xff]);
        assert_eq!(text.shown(), " 0f b0 00 ff");
    }
}
