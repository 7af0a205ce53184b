//! How sizes, names, bits and bytes are shown.

use core::ffi::CStr;
use core::fmt;

/// A number of bytes, in the largest unit that divides it: `16 MiB`, `83 bytes`.
#[derive(Clone, Copy)]
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let byte = if self.0 == 1 { " byte" } else { " bytes" };
        let (number, unit) = whole_units(self.0, [" GiB", " MiB", " KiB", byte]);
        write!(f, "{number}{unit}")
    }
}

/// A number of bytes for people: exact below 1 KiB, otherwise with one decimal.
#[derive(Clone, Copy)]
pub struct Amount(pub u64);

impl fmt::Display for Amount {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Amount(bytes) = *self;
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if bytes >> shift != 0 {
                let tenths = ((bytes >> (shift - 7)) * 10) >> 7;
                return match tenths % 10 {
                    0 => write!(f, "{} {unit}", tenths / 10),
                    tenth => write!(f, "{}.{tenth} {unit}", tenths / 10),
                };
            }
        }
        Bytes(bytes).fmt(f)
    }
}

/// A number of bytes as an option takes it, in the largest unit that divides it: `68M`.
#[derive(Clone, Copy)]
pub struct OptionSize(pub u64);

impl fmt::Display for OptionSize {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let (number, unit) = whole_units(self.0, ["G", "M", "K", ""]);
        write!(f, "{number}{unit}")
    }
}

/// How many of the largest unit that divides a number of bytes, and that unit's name, of these from GiB down to bytes.
fn whole_units(bytes: u64, [gib, mib, kib, byte]: [&str; 4]) -> (u64, &str) {
    let (shift, unit) = match bytes.trailing_zeros() {
        30.. if bytes > 0 => (30, gib),
        20.. if bytes > 0 => (20, mib),
        10.. if bytes > 0 => (10, kib),
        _ => (0, byte),
    };
    (bytes >> shift, unit)
}

/// Text from outside, such as a file's name: control characters are shown as `?`, so that they can't change the terminal,
/// and what is not UTF-8 as U+FFFD.
#[derive(Clone, Copy)]
pub struct Text<'a>(pub &'a [u8]);

impl<'a> From<&'a CStr> for Text<'a> {
    fn from(string: &'a CStr) -> Text<'a> {
        Text(string.to_bytes())
    }
}

impl fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for chunk in self.0.utf8_chunks() {
            for part in chunk.valid().split_inclusive(|c: char| c.is_control()) {
                let plain = part.trim_end_matches(|c: char| c.is_control());
                f.write_str(plain)?;
                if plain.len() < part.len() {
                    f.write_str("?")?;
                }
            }
            if !chunk.invalid().is_empty() {
                f.write_str("\u{fffd}")?;
            }
        }
        Ok(())
    }
}

/// The names of the bits that are set, each behind a space. The first name is that of bit 0; a dash stands for a bit
/// without a name.
#[derive(Clone, Copy)]
pub struct Bits(pub u64, pub &'static str);

impl fmt::Display for Bits {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Bits(value, names) = *self;
        for (bit, name) in names.split(' ').enumerate() {
            if value >> bit & 1 != 0 && name != "-" {
                write!(f, " {name}")?;
            }
        }
        Ok(())
    }
}

/// Bytes in hexadecimal, each behind a space.
#[derive(Clone, Copy)]
pub struct Dump<'a>(pub &'a [u8]);

impl fmt::Display for Dump<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, " {byte:02x}"))
    }
}

/// The number that up to eight little-endian bytes are.
pub fn number(bytes: &[u8]) -> u64 {
    let mut word = [0; 8];
    let len = bytes.len().min(word.len());
    word[..len].copy_from_slice(&bytes[..len]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (bytes, shown) in [
            (0, "0 bytes"),
            (1, "1 byte"),
            (83, "83 bytes"),
            (1024, "1 KiB"),
            (16380 << 10, "16380 KiB"),
            (16 << 20, "16 MiB"),
            (1 << 40, "1024 GiB"),
            (u64::MAX, "18446744073709551615 bytes"),
        ] {
            assert_eq!(Bytes(bytes).to_string(), shown);
        }
        assert_eq!(OptionSize(68 << 20).to_string(), "68M");
        assert_eq!(OptionSize((1 << 30) + 512).to_string(), "1073742336");
    }

    #[test]
    fn text_from_outside_does_no_harm() {
        assert_eq!(Text(b"a\x1b[2J\n\nb").to_string(), "a?[2J??b");
        assert_eq!(Text("ä\u{85}".as_bytes()).to_string(), "ä?");
        assert_eq!(Text(b"\xff\xfe").to_string(), "\u{fffd}\u{fffd}");
    }

    #[test]
    fn bits_and_bytes() {
        assert_eq!(Bits(0b1101, "A B - D").to_string(), " A D");
        assert_eq!(Dump(&[0xf, 0x90]).to_string(), " 0f 90");
        assert_eq!((number(&[1, 2]), number(&[])), (0x201, 0));
        assert_eq!(number(&[0xff; 9]), u64::MAX);
    }
}
