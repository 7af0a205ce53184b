//! What the user types: the guest's keys, and the program's own behind Ctrl-A.

use crate::devices::serial::Serial;
use crate::host::errno::Errno;
use crate::host::fd;
use crate::host::terminal;
use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Ctrl-A, as QEMU's.
const ESCAPE: u8 = 1;

/// How much may be typed before the guest listens; more is lost, as on any terminal.
const TYPED_AHEAD: usize = 1024;
/// How much of a pipe or file is read ahead. What does not fit stays in the pipe.
const READ_AHEAD: usize = 64 << 10;

/// What Ctrl-A ? says.
pub const HELP: &str = "\
keys behind Ctrl-A:
  X       leave
  P       press the power button
  ?       show this
  Ctrl-A  send Ctrl-A to the guest";

/// What a byte is.
#[derive(Debug, PartialEq)]
pub enum Key {
    /// The guest's.
    Guest(u8),
    /// The program's own, or the first of two.
    Nothing,
    /// The user wants to leave: Ctrl-A X.
    Leave,
    /// The user presses the power button: Ctrl-A P.
    PowerButton,
    /// The user wants to know the keys: Ctrl-A ?.
    Help,
}

/// Looks at the next byte. Ctrl-A Ctrl-A is one Ctrl-A for the guest; behind Ctrl-A, keys that mean nothing are ignored.
fn key(is_escaped: &mut bool, byte: u8) -> Key {
    match (core::mem::take(is_escaped), byte) {
        (false, ESCAPE) => {
            *is_escaped = true;
            Key::Nothing
        }
        (true, b'x' | b'X') => Key::Leave,
        (true, b'p' | b'P') => Key::PowerButton,
        (true, b'?' | b'h' | b'H') => Key::Help,
        (true, byte) if byte != ESCAPE => Key::Nothing,
        (_, byte) => Key::Guest(byte),
    }
}

/// Standard input. It is always read, for Ctrl-A X; what the guest has no room for is held.
pub struct Input {
    is_escaped: bool,
    held: VecDeque<u8>,
    is_open: bool,
    is_terminal: bool,
}

impl Input {
    /// `is_open`: whether there is anything to read.
    pub fn new(is_open: bool) -> Input {
        let is_terminal = is_open && terminal::is_terminal(libc::STDIN_FILENO);
        Input { is_escaped: false, held: VecDeque::new(), is_open, is_terminal }
    }

    /// What was typed, and the guest has not taken.
    pub fn held(&self) -> Vec<u8> {
        self.held.iter().copied().collect()
    }

    /// Those bytes come first.
    pub fn hold(&mut self, bytes: &[u8]) {
        bytes.iter().rev().for_each(|&byte| self.held.push_front(byte));
    }

    /// Whether standard input is to be read.
    pub fn is_wanted(&self) -> bool {
        self.is_open && (self.is_terminal || self.held.len() < READ_AHEAD)
    }

    /// Reads what there is, and returns a key of the program's own if there was one.
    pub fn read(&mut self) -> Option<Key> {
        let mut bytes = [0; 256];
        match fd::read(libc::STDIN_FILENO, &mut bytes) {
            Ok(0) => self.is_open = false,
            Ok(count) => return self.take(&bytes[..count]),
            // Nothing there after all; or nothing that can be read.
            Err(Errno(libc::EAGAIN | libc::EINTR)) => {}
            Err(_) => self.is_open = false,
        }
        None
    }

    fn take(&mut self, bytes: &[u8]) -> Option<Key> {
        let mut own = None;
        for &byte in bytes {
            match key(&mut self.is_escaped, byte) {
                Key::Leave => return Some(Key::Leave),
                key @ (Key::PowerButton | Key::Help) => own = Some(key),
                Key::Guest(byte) if !self.is_terminal || self.held.len() < TYPED_AHEAD => {
                    self.held.push_back(byte);
                }
                Key::Guest(_) | Key::Nothing => {}
            }
        }
        own
    }

    /// Gives the guest as much as it has room for. Returns after how many nanoseconds to try again, if it will not ask for
    /// more itself.
    pub fn deliver(&mut self, serial: &Serial) -> Option<u64> {
        while !self.held.is_empty() {
            let (first, _) = self.held.as_slices();
            let received = serial.receive(first);
            if received.count == 0 {
                return received.wait;
            }
            self.held.drain(..received.count);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_the_guest_s_but_for_those_behind_ctrl_a() {
        let mut is_escaped = false;
        let seen: Vec<Key> = b"x\x03\x01\x01\x01q\x01?\x01p\x01X"
            .iter()
            .map(|&byte| key(&mut is_escaped, byte))
            .collect();
        use Key::*;
        assert_eq!(
            seen,
            [
                Guest(b'x'),
                Guest(3),
                Nothing,
                Guest(1),
                Nothing,
                Nothing,
                Nothing,
                Help,
                Nothing,
                PowerButton,
                Nothing,
                Leave
            ]
        );
    }

    #[test]
    fn ctrl_a_x_is_seen_behind_any_number_of_keys() {
        for (is_terminal, held) in [(true, TYPED_AHEAD), (false, 5000)] {
            let mut input = Input { is_terminal, ..Input::new(false) };
            assert_eq!(input.take(&[b'a'; 5000]), None);
            assert_eq!(input.held.len(), held);
            assert_eq!(input.take(b"\x01"), None);
            assert_eq!(input.take(b"?ab"), Some(Key::Help));
            assert_eq!(input.take(b"\x01x"), Some(Key::Leave));
        }
    }
}
