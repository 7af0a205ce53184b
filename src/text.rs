//! Text without allocation. What `core::fmt` would do costs several KiB of program; this, some
//! hundred bytes.

use crate::errno::Errno;
use crate::fd::Output;
use core::ffi::c_int;

/// Text on its way to a descriptor, written in one piece where it fits into [`Output`].
pub struct Text(Output);

impl Text {
    /// Nothing yet, for this descriptor, which stays the caller's.
    pub fn new(fd: c_int) -> Text {
        Text(Output::new(fd))
    }

    /// Appends `template`, in which a `%` with a letter stands for
    /// - `%s`: the next of `words`; a control character in it, which a terminal might obey, as `?`
    /// - `%d`, `%x`: the next of `numbers`, in decimal, or in hexadecimal with `0x`
    /// - `%z`: the next of `numbers`, a size in bytes, in the largest unit that divides it
    pub fn say(&mut self, template: &str, words: &[&[u8]], numbers: &[u64]) {
        let mut words = words.iter();
        let mut numbers = numbers.iter();
        let mut template = template.bytes();
        while let Some(byte) = template.next() {
            if byte != b'%' {
                self.byte(byte);
                continue;
            }
            let letter = template.next();
            if letter == Some(b's') {
                self.raw(words.next().unwrap_or(&&b""[..]));
                continue;
            }
            let number = numbers.next().copied().unwrap_or(0);
            match letter {
                Some(b'd') => self.number(number, 10),
                Some(b'x') => {
                    self.raw(b"0x");
                    self.number(number, 16);
                }
                _ => {
                    let units = [" bytes", " KiB", " MiB", " GiB"];
                    // As many times as 1024 divides it; 0 is 0 bytes.
                    let unit = (number.trailing_zeros() as usize / 10 % 6).min(3);
                    self.number(number >> (10 * unit), 10);
                    self.raw(units.get(unit).map_or(b"", |unit| unit.as_bytes()));
                }
            }
        }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn said(template: &str, words: &[&[u8]], numbers: &[u64]) -> String {
        let mut text = Text::new(-1);
        text.say(template, words, numbers);
        text.shown().to_string()
    }

    #[test]
    fn numbers_are_shown_whole() {
        assert_eq!(said("%d %d", &[], &[0, u64::MAX]), "0 18446744073709551615");
        assert_eq!(said("%x %x", &[], &[0, u64::MAX]), "0x0 0xffffffffffffffff");
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
            assert_eq!(said("%z", &[], &[size]), text);
        }
    }

    #[test]
    fn words_and_numbers_take_their_places_and_words_are_not_looked_into() {
        assert_eq!(said("%s: %d%s", &[b"100%d", b"!"], &[7]), "100%d: 7!");
        assert_eq!(said("%s%d", &[], &[]), "0");
        assert_eq!(said("%s\n", &[b"\x1b[2J\n\x7f"], &[]), "?[2J??\n");
    }

    #[test]
    fn a_dump_has_two_digits_a_byte() {
        let mut text = Text::new(-1);
        text.dump(&[0x0f, 0xb0, 0, 0xff]);
        assert_eq!(text.shown(), " 0f b0 00 ff");
    }
}
