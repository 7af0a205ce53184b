//! What an exit is answered with: one match, apart from the loop that runs the guest, so that exits can be made
//! up and tested.

use crate::device::board::{Board, Event};
use crate::device::console::Console;
use crate::device::lesson::Lesson;
use crate::errno::Errno;
use crate::exit::{Death, Exit};
use crate::layout::{self, SCRATCH_BYTES, SCRATCH_BYTES_END, SCRATCH_PORT, SCRATCH_PORT_END};
use crate::report::Note;
use crate::report::trace::Reply;
use crate::x86;
use core::ffi::CStr;

/// What an exit is answered with.
#[repr(C)]
pub struct Devices<'m> {
    pub lesson: Lesson,
    /// How much of the window can't be written: such writes are told apart from those to nowhere.
    pub readonly: u64,
    program: &'m CStr,
    say: fn(&CStr, Note),
    /// Notes that are said once: of ports, addresses, the read-only window.
    noted: [bool; 3],
    /// The last answer, for a trace.
    pub reply: Reply,
    /// What a PC has, where there is one.
    pub board: Option<Board>,
    /// Port 0x10. The largest come last: what is before is reached by shorter instructions.
    pub console: Console,
}

/// What to do after an exit.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// Enter the guest again.
    Enter,
    /// Likewise, an instruction further.
    Stepped,
    /// The doorbell was rung.
    Ring(u32),
    /// The board asks for something.
    Board(Event),
    /// The guest wants to end with this status.
    Exit(u8),
    /// The guest executed HLT.
    Halted,
    /// It can't go on.
    Died(Death),
}

/// Answers an exit, in the run page where it is a read. An error is one of standard output.
#[inline(never)]
pub fn answer(exit: Exit<'_>, devices: &mut Devices) -> Result<Next, Errno> {
    let mut next = Next::Enter;
    devices.reply = match exit {
        Exit::Port { write, port, size, data } => {
            // All items of a string go to the same place; the last one's answer is the exit's.
            for item in data.chunks_mut(size.max(1)) {
                next = devices.port(write, port, item)?;
            }
            return Ok(next);
        }
        Exit::Mmio { write, address, data } => match address & !(layout::PAGE_SIZE - 1) {
            layout::LESSON_PAGE => {
                match devices.lesson.page(address - layout::LESSON_PAGE, write, data) {
                    Some(value) => {
                        next = Next::Ring(value);
                        Reply::Doorbell
                    }
                    None => Reply::Scratch,
                }
            }
            _ if devices
                .board
                .as_mut()
                .is_some_and(|board| board.address(write, address, data)) =>
            {
                Reply::Board
            }
            page => {
                ones(write, data);
                let in_window = page.wrapping_sub(layout::WINDOW) < devices.readonly;
                devices.unanswered(match write && in_window {
                    true => Note::ReadOnly(address),
                    false => Note::UnansweredAddress(address),
                })?
            }
        },
        Exit::Hypercall(call) => {
            // KVM_HC_MAP_GPA_RANGE alone comes here, and 0 is its success: we have no private memory.
            call.ret = 0;
            Reply::Hypercall
        }
        Exit::Msr { write, msr } => {
            msr.error = (msr.index != layout::LESSON_MSR).into();
            let lesson = &mut devices.lesson;
            let (from, to) = match write {
                true => (msr.data, &mut lesson.msr),
                false => (lesson.msr, &mut msr.data),
            };
            if msr.error != 0 {
                Reply::Fault
            } else {
                *to = from;
                Reply::Msr
            }
        }
        Exit::Interrupted => Reply::Nothing,
        Exit::Step => {
            next = Next::Stepped;
            Reply::Nothing
        }
        Exit::Halt => {
            next = Next::Halted;
            Reply::End
        }
        Exit::Dead(death) => {
            next = Next::Died(death);
            Reply::End
        }
    };
    Ok(next)
}

/// What is read where nobody answers.
fn ones(write: bool, data: &mut [u8]) {
    if !write {
        data.fill(0xff);
    }
}

impl<'m> Devices<'m> {
    /// Nothing has been said yet. `silent`: and nothing will be.
    pub fn new(
        mut console: Console,
        program: &'m CStr,
        say: fn(&CStr, Note),
        silent: bool,
    ) -> Devices<'m> {
        console.silent = silent;
        Devices {
            console,
            lesson: Lesson::default(),
            readonly: 0,
            program,
            say,
            noted: [silent; 3],
            reply: Reply::Nothing,
            board: None,
        }
    }

    /// Puts the board's devices in; of a `kernel`, which looks for much that is not there, nothing is noted.
    pub fn set_board(&mut self, board: Board, kernel: bool) {
        self.board = Some(board);
        self.noted = [kernel; 3];
    }

    /// Answers an access to a port: an item of 1, 2 or 4 bytes.
    #[inline(never)]
    fn port(&mut self, write: bool, port: u16, item: &mut [u8]) -> Result<Next, Errno> {
        let value = |item: &[u8]| x86::number(item) as u32;
        let mut next = Next::Enter;
        self.reply = match port {
            layout::CONSOLE_PORT if write => {
                // x86 is little-endian: the first byte of an item is its low one.
                self.console.put(item.first().copied().unwrap_or_default())?;
                Reply::Console
            }
            SCRATCH_PORT..SCRATCH_PORT_END | SCRATCH_BYTES..SCRATCH_BYTES_END => {
                self.lesson.port((port & 3).into(), write, item);
                Reply::Scratch
            }
            layout::DOORBELL_PORT if write => {
                next = Next::Ring(value(item));
                Reply::Doorbell
            }
            layout::DOORBELL_PORT => {
                self.lesson.time(item);
                Reply::Time
            }
            layout::COUNTER_PORT..=layout::LOG_PORT => {
                self.lesson.count(port, write, item);
                Reply::Counter
            }
            layout::TEST_EXIT if write => {
                next = Next::Exit((value(item) << 1 | 1) as u8);
                Reply::End
            }
            _ => {
                let event = match &mut self.board {
                    Some(board) => board.port(write, port, item)?,
                    None => None,
                };
                if let Some(event) = event {
                    next = Next::Board(event);
                    Reply::Board
                } else {
                    ones(write, item);
                    match port {
                        layout::CONSOLE_PORT => Reply::Nobody,
                        _ => self.unanswered(Note::UnansweredPort(port))?,
                    }
                }
            }
        };
        Ok(next)
    }

    /// Says it, unless it has been said; what the guest said before comes first.
    #[inline(never)]
    fn unanswered(&mut self, note: Note) -> Result<Reply, Errno> {
        let [port, address, readonly] = &mut self.noted;
        let noted = match note {
            Note::UnansweredPort(_) => port,
            Note::ReadOnly(_) => readonly,
            _ => address,
        };
        if !core::mem::replace(noted, true) {
            self.console.flush()?;
            self.note(note);
        }
        Ok(Reply::Nobody)
    }

    /// Tells the user.
    pub fn note(&self, note: Note) {
        if !self.console.silent {
            (self.say)(self.program, note);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::PAGE_SIZE;
    use crate::sys::run::kvm_run_msr;
    use std::cell::Cell;
    use std::io::{PipeReader, Read, pipe};
    use std::os::fd::IntoRawFd;

    thread_local!(static NOTED: Cell<(u32, Option<Note>)> = const { Cell::new((0, None)) });

    /// Devices whose console writes into the pipe that comes with them.
    fn devices() -> (Devices<'static>, PipeReader) {
        NOTED.set((0, None));
        let (reader, writer) = pipe().unwrap();
        let say = |_: &CStr, note| NOTED.set((NOTED.get().0 + 1, Some(note)));
        let console = Console::new(writer.into_raw_fd(), 0);
        (Devices::new(console, c"", say, false), reader)
    }

    #[test]
    fn the_console_takes_the_low_byte_of_each_item() {
        for (size, data, written) in [
            (1, &b"ab\n"[..], *b"ab\n"),
            (2, &b"a1b2\n3"[..], *b"ab\n"),
            (4, &b"a111b222\n333"[..], *b"ab\n"),
        ] {
            let (mut devices, mut reader) = devices();
            let exit = Exit::Port {
                write: true,
                port: layout::CONSOLE_PORT,
                size,
                data: &mut data.to_vec(),
            };
            assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
            let mut line = [0; 3];
            reader.read_exact(&mut line).unwrap();
            assert_eq!(line, written);
        }
    }

    #[test]
    fn a_port_that_nobody_answers_reads_ones_and_is_noted_once() {
        let (mut devices, _reader) = devices();
        for port in [0x80, 0x81] {
            let mut data = [0; 2];
            let exit = Exit::Port { write: false, port, size: 2, data: &mut data };
            assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
            assert_eq!(data, [0xff; 2]);
        }
        let exit = Exit::Port { write: true, port: 0x82, size: 1, data: &mut [1] };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        assert_eq!(NOTED.get(), (1, Some(Note::UnansweredPort(0x80))));
    }

    #[test]
    fn reading_the_console_port_gives_ones() {
        let (mut devices, _reader) = devices();
        let mut data = [0];
        let exit =
            Exit::Port { write: false, port: layout::CONSOLE_PORT, size: 1, data: &mut data };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        assert_eq!((data, NOTED.get()), ([0xff], (0, None)));
    }

    #[test]
    fn an_address_that_nobody_answers_reads_ones_and_is_noted_once() {
        let (mut devices, _reader) = devices();
        let exit = Exit::Mmio { write: true, address: 0xd000_0000, data: &mut [1, 2] };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        let mut data = [0; 8];
        let exit = Exit::Mmio { write: false, address: 0xd000_0008, data: &mut data };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        assert_eq!(data, [0xff; 8]);
        assert_eq!(NOTED.get(), (1, Some(Note::UnansweredAddress(0xd000_0000))));
    }

    #[test]
    fn the_lessons_ports_and_page_share_a_register() {
        let (mut devices, _reader) = devices();
        let exit = Exit::Port {
            write: true,
            port: layout::SCRATCH_PORT,
            size: 4,
            data: &mut [1, 2, 3, 4],
        };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        let mut data = [0; 2];
        let exit = Exit::Mmio { write: false, address: layout::LESSON_PAGE + 2, data: &mut data };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        assert_eq!((data, devices.reply, NOTED.get()), ([3, 4], Reply::Scratch, (0, None)));
    }

    #[test]
    fn the_register_is_there_for_bytes_too_and_an_exit_has_a_status() {
        let (mut devices, _reader) = devices();
        let exit = Exit::Port { write: true, port: SCRATCH_PORT, size: 4, data: &mut [1, 2, 3, 4] };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        let mut data = [0];
        let exit = Exit::Port { write: false, port: SCRATCH_BYTES + 2, size: 1, data: &mut data };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        assert_eq!(data, [3]);
        for (value, status) in [(0, 1), (1, 3), (0x7f, 255)] {
            let exit = Exit::Port {
                write: true,
                port: layout::TEST_EXIT,
                size: 4,
                data: &mut [value, 0, 0, 0],
            };
            assert_eq!(answer(exit, &mut devices), Ok(Next::Exit(status)));
        }
    }

    #[test]
    fn the_board_answers_where_there_is_one() {
        let (mut devices, _reader) = devices();
        devices.set_board(Board::new(-1, None), true);
        let exit = Exit::Port { write: true, port: layout::RESET_CONTROL, size: 1, data: &mut [6] };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Board(Event::Reset)));
        let exit = Exit::Port { write: true, port: 0x80, size: 1, data: &mut [6] };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        assert_eq!(NOTED.get(), (0, None), "a kernel looks for much");
    }

    #[test]
    fn the_doorbell_is_rung_by_the_last_item() {
        let (mut devices, _reader) = devices();
        let exit = Exit::Port {
            write: true,
            port: layout::DOORBELL_PORT,
            size: 2,
            data: &mut [1, 0, 3, 0],
        };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Ring(3)));
        let address = layout::LESSON_PAGE + layout::LESSON_DOORBELL;
        let exit = Exit::Mmio { write: true, address, data: &mut [4] };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Ring(layout::RING_END)));
    }

    #[test]
    fn the_lessons_msr_keeps_its_value_and_another_is_a_fault() {
        let (mut devices, _reader) = devices();
        let mut msr = |write, index, data| {
            let mut msr = kvm_run_msr { error: 9, pad: [0; 7], reason: 2, index, data };
            assert_eq!(answer(Exit::Msr { write, msr: &mut msr }, &mut devices), Ok(Next::Enter));
            (msr.error, msr.data, devices.reply)
        };
        assert_eq!(msr(true, layout::LESSON_MSR, 7), (0, 7, Reply::Msr));
        assert_eq!(msr(false, layout::LESSON_MSR, 0), (0, 7, Reply::Msr));
        assert_eq!(msr(false, 0x1234, 5), (1, 5, Reply::Fault));
    }

    #[test]
    fn a_write_to_the_window_is_told_apart_while_it_is_read_only() {
        let (mut devices, _reader) = devices();
        devices.readonly = PAGE_SIZE;
        let exit = Exit::Mmio { write: true, address: layout::WINDOW + 8, data: &mut [1] };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        assert_eq!(NOTED.get(), (1, Some(Note::ReadOnly(layout::WINDOW + 8))));
        // A read from there, or a write behind it, is of nothing.
        for (write, address) in [(false, layout::WINDOW), (true, layout::WINDOW + PAGE_SIZE)] {
            let (mut devices, _reader) = self::devices();
            devices.readonly = PAGE_SIZE;
            let exit = Exit::Mmio { write, address, data: &mut [1] };
            assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
            assert_eq!(NOTED.get(), (1, Some(Note::UnansweredAddress(address))));
        }
    }

    #[test]
    fn a_replay_shows_nothing_and_notes_nothing() {
        let (reader, writer) = pipe().unwrap();
        drop(reader);
        let say = |_: &CStr, _| panic!("something was said");
        let console = Console::new(writer.into_raw_fd(), u64::MAX);
        let mut devices = Devices::new(console, c"", say, true);
        for port in [layout::CONSOLE_PORT, 0x80] {
            let exit = Exit::Port { write: true, port, size: 1, data: &mut [10] };
            assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        }
    }

    #[test]
    fn halt_and_death_end_the_run_and_an_interruption_does_not() {
        let (mut devices, _reader) = devices();
        assert_eq!(answer(Exit::Interrupted, &mut devices), Ok(Next::Enter));
        assert_eq!(answer(Exit::Halt, &mut devices), Ok(Next::Halted));
        let exit = Exit::Dead(Death::Shutdown);
        assert_eq!(answer(exit, &mut devices), Ok(Next::Died(Death::Shutdown)));
    }

    #[test]
    fn output_that_nobody_reads_is_told() {
        let (mut devices, reader) = devices();
        drop(reader);
        let exit = Exit::Port { write: true, port: layout::CONSOLE_PORT, size: 1, data: &mut [10] };
        assert_eq!(answer(exit, &mut devices), Err(Errno(libc::EPIPE)));
    }
}
