//! The connection of a debugger.

use crate::control::gdb::Gdb;
use crate::control::gdb::packet::{Decoder, LARGEST, Message, frame, push_hex};
use crate::host::errno::Errno;
use crate::host::socket::Stream;
use alloc::vec::Vec;

/// The debugger that is connected.
pub struct Client {
    pub stream: Stream,
    pub decoder: Decoder,
    /// It wants each packet acknowledged.
    pub acknowledges: bool,
    /// The last answer, if it is asked for again.
    pub last: Vec<u8>,
    /// It has closed the connection. What it sent before that is still to be answered.
    pub has_left: bool,
}

impl Gdb {
    /// Takes a debugger that connects, unless there is one. Returns whether it is a new one.
    pub(super) fn accept(&mut self) -> bool {
        // The next one's turn comes when the last packet of the one before was answered.
        if self.client.as_ref().is_some_and(|client| client.has_left) {
            return false;
        }
        let Some(stream) = self.listener.accept() else { return false };
        if self.client.is_some() {
            stream.end();
            self.refused = Some(stream);
            self.say(format_args!("another debugger is refused"));
            return false;
        }
        let (decoder, acknowledges) = (Decoder::default(), true);
        let (last, has_left) = (Vec::new(), false);
        self.client = Some(Client { stream, decoder, acknowledges, last, has_left });
        (self.is_awaited, self.is_physical, self.is_new_client) = (false, false, true);
        self.say(format_args!("connected"));
        true
    }

    /// Reads what has come. Returns false if nothing more will come.
    pub(super) fn receive(&mut self) -> bool {
        let Some(client) = &mut self.client else { return true };
        let mut bytes = [0; 4096];
        loop {
            match client.stream.read(&mut bytes) {
                Err(Errno(libc::EAGAIN)) => return true,
                Err(Errno(libc::EINTR)) => {}
                Ok(len) if len > 0 && client.decoder.take(&bytes[..len]) => {}
                _ => break,
            }
        }
        client.has_left = true;
        false
    }

    /// The connection is gone, and all that came by it was answered.
    pub(super) fn lose(&mut self) {
        (self.client, self.is_new_client) = (None, true);
        if !self.is_over {
            let address = self.address;
            self.say(format_args!(
                "the connection is lost; the guest waits for the next one at {address}"
            ));
        }
    }

    pub(super) fn send(&mut self, contents: &[u8]) {
        let Some(client) = &mut self.client else { return };
        client.last = frame(contents);
        client.has_left |= client.stream.write(&client.last).is_err();
    }

    /// Text for the user of gdb.
    pub(super) fn print(&mut self, text: &str) {
        // A part at a time: a packet has an end.
        for part in text.as_bytes().chunks(LARGEST / 4) {
            let mut contents = Vec::from(b"O");
            push_hex(&mut contents, part);
            self.send(&contents);
        }
    }

    /// Writes something that is no new answer: an acknowledgement, or the last answer again.
    pub(super) fn write_raw(&mut self, bytes: &[u8]) {
        if let Some(client) = &mut self.client {
            client.has_left |= client.stream.write(bytes).is_err();
        }
    }

    /// Whether Ctrl-C has come right behind the last packet.
    pub(super) fn has_interrupt(&mut self) -> bool {
        let Some(client) = &mut self.client else { return false };
        core::iter::from_fn(|| client.decoder.next_message())
            .any(|message| message == Message::Interrupt)
    }
}
