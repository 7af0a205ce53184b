//! The frames of gdb's remote protocol: `$`, the contents, `#`, and a sum of two hexadecimal digits. gdb's manual, appendix E.

use alloc::vec::Vec;

/// The largest contents that are taken, in bytes. gdb is told so, and sends no more.
pub const LARGEST: usize = 0x4000;

/// How much may wait to be cut: more than any debugger sends before it waits for an answer.
const MOST: usize = 4 * LARGEST;

/// What has come.
#[derive(Debug, PartialEq)]
pub enum Message {
    Packet(Vec<u8>),
    /// Ctrl-C.
    Interrupt,
    /// A frame whose sum is wrong. It is to be asked for again.
    Damaged,
    /// gdb has not understood the last answer.
    AskedAgain,
}

/// Cuts what comes into frames.
#[derive(Default)]
pub struct Decoder {
    bytes: Vec<u8>,
}

impl Decoder {
    /// Takes what has come. Returns false where it can't be gdb that sends: a frame does not end.
    pub fn take(&mut self, bytes: &[u8]) -> bool {
        self.bytes.extend_from_slice(bytes);
        self.drop_junk();
        self.bytes.len() <= MOST
    }

    /// What is not part of a frame means nothing; `+` says that an answer was understood.
    fn drop_junk(&mut self) {
        let means_something = |byte: &u8| matches!(byte, b'$' | b'-' | 0x03);
        let junk = self.bytes.iter().position(means_something).unwrap_or(self.bytes.len());
        self.bytes.drain(..junk);
    }

    /// The next message, if it is complete.
    pub fn next_message(&mut self) -> Option<Message> {
        self.drop_junk();
        match *self.bytes.first()? {
            b'$' => {}
            byte => {
                self.bytes.remove(0);
                return Some(if byte == b'-' { Message::AskedAgain } else { Message::Interrupt });
            }
        }
        let end = self.bytes.iter().position(|&byte| byte == b'#')?;
        if self.bytes.len() < end + 3 {
            return None;
        }
        let frame: Vec<u8> = self.bytes.drain(..end + 3).collect();
        let contents = &frame[1..end];
        Some(match number(&frame[end + 1..]) {
            Some(sum) if sum == u64::from(sum_of(contents)) => Message::Packet(unescaped(contents)),
            _ => Message::Damaged,
        })
    }
}

fn sum_of(contents: &[u8]) -> u8 {
    contents.iter().fold(0, |sum: u8, &byte| sum.wrapping_add(byte))
}

/// `}` stands before a byte that has its bit 5 changed.
fn unescaped(contents: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut left = contents.iter();
    while let Some(&byte) = left.next() {
        match byte {
            b'}' => bytes.extend(left.next().map(|byte| byte ^ 0x20)),
            byte => bytes.push(byte),
        }
    }
    bytes
}

/// The frame around these contents.
pub fn frame(contents: &[u8]) -> Vec<u8> {
    let mut frame = Vec::from(b"$");
    for &byte in contents {
        match byte {
            b'$' | b'#' | b'}' | b'*' => frame.extend([b'}', byte ^ 0x20]),
            byte => frame.push(byte),
        }
    }
    let sum = sum_of(&frame[1..]);
    frame.push(b'#');
    push_hex(&mut frame, &[sum]);
    frame
}

/// Two digits for each byte.
pub fn push_hex(to: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        to.extend([byte >> 4, byte & 15].map(|digit| DIGITS[usize::from(digit)]));
    }
}

/// The bytes that the digits stand for; `None` where there is something else, or half a byte.
pub fn bytes_of(digits: &[u8]) -> Option<Vec<u8>> {
    let pairs = digits.chunks_exact(2);
    if !pairs.remainder().is_empty() {
        return None;
    }
    pairs.map(|pair| number(pair).map(|number| number as u8)).collect()
}

/// A hexadecimal number of 64 bits at most.
pub fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 16 {
        return None;
    }
    digits.iter().try_fold(0, |number, &digit| {
        let digit = char::from(digit).to_digit(16)?;
        Some(number << 4 | u64::from(digit))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Vec<Message> {
        let mut decoder = Decoder::default();
        assert!(decoder.take(bytes));
        std::iter::from_fn(|| decoder.next_message()).collect()
    }

    #[test]
    fn frames_are_cut_and_checked() {
        let packet = |text: &str| Message::Packet(text.into());
        assert_eq!(all(b"+$g#67"), [packet("g")]);
        assert_eq!(all(b"$g#67$?#3f\x03"), [packet("g"), packet("?"), Message::Interrupt]);
        assert_eq!(all(b"$g#68"), [Message::Damaged]);
        assert_eq!(all(b"$g#6x-"), [Message::Damaged, Message::AskedAgain]);
        assert_eq!(all(b"$}\x03#80"), [packet("#")]);
        for part in [&b"$"[..], b"$g", b"$g#", b"$g#6"] {
            assert_eq!(all(part), []);
        }
    }

    #[test]
    fn a_frame_that_comes_byte_by_byte_is_one() {
        let mut decoder = Decoder::default();
        let bytes = frame(b"qSupported:swbreak+");
        for byte in &bytes[..bytes.len() - 1] {
            assert!(decoder.take(&[*byte]));
            assert_eq!(decoder.next_message(), None);
        }
        decoder.take(&bytes[bytes.len() - 1..]);
        assert_eq!(decoder.next_message(), Some(Message::Packet(b"qSupported:swbreak+".into())));
    }

    #[test]
    fn a_frame_without_an_end_is_not_gdb_s() {
        let mut decoder = Decoder::default();
        let mut taken = 0;
        while decoder.take(b"$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa") {
            taken += 1;
        }
        assert!(taken > 1 && decoder.bytes.len() < 2 * MOST);
    }

    #[test]
    fn bytes_without_a_frame_do_not_pile_up() {
        let mut decoder = Decoder::default();
        assert!(decoder.take(&[b'x'; 2 * MOST]) && decoder.take(&frame(b"?")));
        assert_eq!(decoder.next_message(), Some(Message::Packet(b"?".into())));
    }

    #[test]
    fn whatever_comes_it_is_cut_and_what_is_framed_comes_out() {
        // Pseudo-random, of the bytes that mean something: Knuth's MMIX.
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
            (state >> 33) as usize
        };
        let mut decoder = Decoder::default();
        for round in 0..if cfg!(miri) { 200 } else { 100_000 } {
            let junk: Vec<u8> = (0..random() % 9).map(|_| b"$#+-}*\x03a0"[random() % 9]).collect();
            assert!(decoder.take(&junk));
            while decoder.next_message().is_some() {}
            // A frame that has begun ends with this.
            decoder.take(b"#00");
            while decoder.next_message().is_some() {}
            let sent = format!("m{round:x}");
            decoder.take(&frame(sent.as_bytes()));
            assert_eq!(decoder.next_message(), Some(Message::Packet(sent.into())), "{junk:?}");
        }
    }

    #[test]
    fn each_byte_comes_through_a_frame() {
        let contents: Vec<u8> = (0..=255).collect();
        assert_eq!(all(&frame(&contents)), [Message::Packet(contents)]);
        assert_eq!(frame(b"OK"), b"$OK#9a");
    }

    #[test]
    fn digits_are_bytes_and_numbers() {
        let mut digits = Vec::new();
        push_hex(&mut digits, &[0, 0x5a, 0xff]);
        assert_eq!(digits, b"005aff");
        assert_eq!(bytes_of(b"005Aff"), Some(vec![0, 0x5a, 0xff]));
        for wrong in [&b"0"[..], b"0g", b"-1"] {
            assert_eq!(bytes_of(wrong), None);
        }
        assert_eq!(number(b"ffffffffffffffff"), Some(u64::MAX));
        for wrong in [&b""[..], b"10000000000000000", b"+1"] {
            assert_eq!(number(wrong), None);
        }
    }
}
