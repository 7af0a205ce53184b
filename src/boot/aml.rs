//! ACPI's byte code, as far as a description of devices needs it: ACPI 6.4, chapter 20, and resources, 6.4.

use alloc::vec::Vec;

/// A term: a named object, or a value.
pub type Term = Vec<u8>;

/// Several terms, one behind the other.
fn join(terms: &[Term]) -> Vec<u8> {
    terms.concat()
}

/// 20.2.4: a length, which counts itself, before what it is the length of.
fn with_length(content: Vec<u8>) -> Vec<u8> {
    let mut bytes = match content.len() {
        len @ 0..0x3f => Vec::from([len as u8 + 1]),
        len @ 0x3f..0xffe => {
            let len = len + 2;
            Vec::from([0x40 | (len & 15) as u8, (len >> 4) as u8])
        }
        len => {
            let len = len + 3;
            assert!(len < 1 << 20, "too long for what is written here");
            Vec::from([0x80 | (len & 15) as u8, (len >> 4) as u8, (len >> 12) as u8])
        }
    };
    bytes.extend_from_slice(&content);
    bytes
}

/// An operator, and behind it its length and content.
fn block(operator: &[u8], content: Vec<u8>) -> Term {
    [operator, &with_length(content)].concat()
}

/// 20.2.3: a number, as short as it goes.
pub fn integer(value: u64) -> Term {
    let bytes = value.to_le_bytes();
    let (prefix, size) = match value {
        0..=1 => return Vec::from([value as u8]),
        2..=0xff => (0x0a, 1),
        0x100..=0xffff => (0x0b, 2),
        0x1_0000..=0xffff_ffff => (0x0c, 4),
        _ => (0x0e, 8),
    };
    [&[prefix], &bytes[..size]].concat()
}

/// A text of ASCII.
pub fn string(text: &str) -> Term {
    [b"\x0d", text.as_bytes(), b"\0"].concat()
}

/// `Name(name, value)`. The name has four characters; a backslash before them means the root.
pub fn name(name: &str, value: Term) -> Term {
    [&[0x08], name.as_bytes(), &value].concat()
}

/// `Package() { … }`.
pub fn package(elements: &[Term]) -> Term {
    let content = [&[elements.len() as u8], &*join(elements)].concat();
    block(&[0x12], content)
}

/// `Scope(name) { … }`.
pub fn scope(name: &str, terms: &[Term]) -> Term {
    block(&[0x10], [name.as_bytes(), &join(terms)].concat())
}

/// `Device(name) { … }`.
pub fn device(name: &str, terms: &[Term]) -> Term {
    block(&[0x5b, 0x82], [name.as_bytes(), &join(terms)].concat())
}

/// `Method(name, 0) { … }`.
pub fn method(name: &str, terms: &[Term]) -> Term {
    const NO_ARGUMENTS: u8 = 0;
    block(&[0x14], [name.as_bytes(), &[NO_ARGUMENTS], &join(terms)].concat())
}

/// `Notify(\scope.device, value)`: 20.2.5.3.
pub fn notify([scope, device]: &[&str; 2], value: u8) -> Term {
    // From the root, a path of two names.
    [b"\x86\\\x2e", scope.as_bytes(), device.as_bytes(), &integer(value.into())].concat()
}

/// The number by which the standard knows a kind of device: `EisaId("PNP0501")` for 0x0501. 19.6.37.
pub fn pnp(product: u16) -> Term {
    // Three letters of five bits each, `A` is 1; then the number, all of it big-endian.
    const PNP: u16 = (b'P' as u16 & 31) << 10 | (b'N' as u16 & 31) << 5 | b'P' as u16 & 31;
    integer((u32::from(PNP) << 16 | u32::from(product)).swap_bytes().into())
}

/// `Name(_CRS, ResourceTemplate() { … })`: the resources that a device has.
pub fn resources(descriptors: &[Vec<u8>]) -> Term {
    /// The end of the list, with a checksum that nobody needs to look at.
    const END: [u8; 2] = [0x79, 0];
    let bytes = [&*join(descriptors), &END].concat();
    let content = [integer(bytes.len() as u64), bytes].concat();
    name("_CRS", block(&[0x11], content))
}

/// 6.4.2.5: ports.
pub fn ports(first: u16, count: u8) -> Vec<u8> {
    let [low, high] = first.to_le_bytes();
    // All 16 bits are decoded; the range can't move; any alignment.
    Vec::from([0x47, 1, low, high, low, high, 1, count])
}

/// 6.4.2.1: an interrupt of ISA, edge-triggered and active high.
pub fn interrupt(line: u32) -> Vec<u8> {
    let [low, high] = (1u16 << line).to_le_bytes();
    Vec::from([0x22, low, high])
}

/// 6.4.3.4: addresses, to read and write.
pub fn addresses(first: u64, size: u64) -> Vec<u8> {
    let [first, size] = [first as u32, size as u32].map(u32::to_le_bytes);
    [&[0x86, 9, 0, 1][..], &first, &size].concat()
}

/// What a bridge hands on: 6.4.3.5.
#[derive(Clone, Copy)]
pub enum Window {
    Addresses { first: u64, size: u64 },
    Ports { first: u16, size: u16 },
    Buses { first: u16, count: u16 },
}

/// The descriptor of a bridge's window.
pub fn window(window: Window) -> Vec<u8> {
    /// First and last are fixed, and the bridge hands the range on.
    const FLAGS: u8 = 1 << 3 | 1 << 2;
    // The kind of range, and for that kind: whether it can be written; and that all ports of the range are meant.
    let word = |kind: u8, of_kind: u8, first: u16, size: u16| {
        let words = [0, first, first + (size - 1), 0, size];
        let head = [0x88, 13, 0, kind, FLAGS, of_kind];
        head.into_iter().chain(words.into_iter().flat_map(u16::to_le_bytes)).collect()
    };
    match window {
        Window::Buses { first, count } => word(2, 0, first, count),
        Window::Ports { first, size } => word(1, 3, first, size),
        Window::Addresses { first, size } => {
            let words = [0, first, first + (size - 1), 0, size].map(|word| word as u32);
            let head = [0x87, 23, 0, 0, FLAGS, 1];
            head.into_iter().chain(words.into_iter().flat_map(u32::to_le_bytes)).collect()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_and_lengths_are_as_short_as_they_go() {
        for (value, bytes) in [
            (0, &[0][..]),
            (1, &[1]),
            (2, &[0x0a, 2]),
            (0x1234, &[0x0b, 0x34, 0x12]),
            (0xfed0_0000, &[0x0c, 0, 0, 0xd0, 0xfe]),
            (1 << 32, &[0x0e, 0, 0, 0, 0, 1, 0, 0, 0]),
        ] {
            assert_eq!(integer(value), bytes);
        }
        for (size, length) in [
            (0, &[1][..]),
            (62, &[63]),
            (63, &[0x41, 4]),
            (4093, &[0x4f, 0xff]),
            (4094, &[0x81, 0x00, 0x01]),
        ] {
            assert_eq!(with_length(vec![7; size])[..length.len()], *length, "{size}");
        }
    }

    #[test]
    fn terms_are_those_that_a_compiler_makes() {
        assert_eq!(pnp(0x0a03), [0x0c, 0x41, 0xd0, 0x0a, 0x03]);
        assert_eq!(name("_UID", integer(1)), *b"\x08_UID\x01");
        let package = package(&[integer(5), integer(0)]);
        assert_eq!(name("\\_S5_", package), *b"\x08\\_S5_\x12\x05\x02\x0a\x05\x00");
        assert_eq!(device("COM1", &[name("_UID", integer(0))]), *b"\x5b\x82\x0bCOM1\x08_UID\x00");
        assert_eq!(
            resources(&[ports(0x3f8, 8), interrupt(4)]),
            *b"\x08_CRS\x11\x10\x0a\x0d\x47\x01\xf8\x03\xf8\x03\x01\x08\x22\x10\x00\x79\x00"
        );
    }
}
