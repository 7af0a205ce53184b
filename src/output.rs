//! Standard output and standard error: one queue for both, so that what was said first comes first.
//!
//! While the guest runs, vCPU threads only add to the queue, and the event loop writes it. A vCPU that finds the queue full
//! waits, alone, until there is room. Before and after, the main thread writes at once.
//!
//! Bytes for port 0x10 gather to a line first, so that a guest's line is not torn by messages about the guest. On a
//! terminal each byte is shown at once.

use crate::host::errno::Errno;
use crate::host::event::Event;
use crate::host::fd::{self, Fd};
use crate::host::json_array::JsonArrayFile;
use crate::host::mutex::{Guard, Mutex};
use crate::host::signal;
use crate::host::terminal;
use crate::json::JsonText;
use crate::lifecycle::VcpuControl;
use crate::show::Text;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::{CStr, c_int};
use core::fmt::{self, Write};

/// How many bytes may wait before a vCPU that adds some must wait too.
const LIMIT: usize = 64 << 10;
/// A line of port 0x10 that gets longer is passed on in pieces.
const LINE: usize = 4096;
/// How much is written at once. A pipe that is ready takes as much without blocking: PIPE_BUF.
const CHUNK: usize = 4096;

/// Where bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stream {
    Standard,
    Error,
    /// A trace: standard error, or the file of `--trace-file`.
    Trace,
}

/// Where a trace goes.
enum TraceTarget {
    StandardError,
    File(Fd),
    /// As events, which are elements of an array.
    Timeline(JsonArrayFile),
}

/// Standard output and standard error.
pub struct Output {
    /// The program's name, with which messages begin.
    program: &'static CStr,
    standard: c_int,
    error: c_int,
    trace: TraceTarget,
    /// Everything is thrown away.
    is_silent: bool,
    queue: Mutex<Queue>,
}

struct Queue {
    /// The line of port 0x10 that is not complete.
    line: Vec<u8>,
    /// All that waits to be written, and of how many bytes of which stream it consists.
    bytes: Vec<u8>,
    pieces: VecDeque<(Stream, usize)>,
    /// Write now; do not wait for more.
    is_urgent: bool,
    /// Standard output is a terminal.
    on_terminal: bool,
    /// Standard error is the same one: a message must not continue the guest's line.
    on_one_terminal: bool,
    /// The last byte for standard output was a newline, or there was none.
    at_line_start: bool,
    /// Descriptors to write to that never block: terminals, opened a second time.
    terminals: [Option<Fd>; 2],
    /// Write what the readers take at once, and drop the rest.
    is_impatient: bool,
    /// Why standard output can't be written.
    failed: Option<Errno>,
    /// Why the trace can't be written.
    trace_failed: Option<Errno>,
    /// Standard error could not be written.
    has_lost_messages: bool,
    /// While the event loop writes the queue: the eventfd that wakes it, and whether it was signalled since the last
    /// [`Output::pending`].
    event_loop: Option<Arc<Event>>,
    was_woken: bool,
    /// vCPUs that wait for room.
    waiting: Vec<Arc<VcpuControl>>,
}

/// What the event loop must know of the queue.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pending {
    /// The descriptor that is written next.
    pub fd: c_int,
    /// Whether it is to be written now. Else more may gather for a moment.
    pub is_urgent: bool,
}

/// Why standard output can't be written, in words.
pub struct Unwritten(pub Errno);

impl fmt::Display for Unwritten {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "write standard output: {}", self.0)?;
        f.write_str(match self.0.0 {
            libc::ENOSPC | libc::EDQUOT => {
                ": no room is left there\n  Make room, or write elsewhere"
            }
            libc::EBADF => ": it is closed",
            _ => "",
        })
    }
}

impl Output {
    /// To these descriptors, which stay the caller's.
    pub fn new(program: &'static CStr, standard: c_int, error: c_int) -> Output {
        let queue = Queue {
            line: Vec::with_capacity(LINE),
            bytes: Vec::with_capacity(LIMIT + LINE),
            pieces: VecDeque::with_capacity(64),
            is_urgent: false,
            on_terminal: false,
            on_one_terminal: false,
            at_line_start: true,
            terminals: [None, None],
            is_impatient: false,
            failed: None,
            trace_failed: None,
            has_lost_messages: false,
            event_loop: None,
            was_woken: false,
            waiting: Vec::new(),
        };
        let (trace, queue) = (TraceTarget::StandardError, Mutex::new(queue));
        Output { program, standard, error, trace, is_silent: false, queue }
    }

    /// Traces go to this file, not to standard error.
    pub fn set_trace_file(&mut self, file: Fd) {
        self.trace = TraceTarget::File(file);
    }

    /// Traces go to this file, as events of a timeline.
    pub fn set_timeline_file(&mut self, file: Fd) -> Result<(), Errno> {
        let program = format!(
            "{{\"name\": \"process_name\", \"ph\": \"M\", \"pid\": 1, \"args\": {{\"name\": {}}}}}",
            JsonText(self.program())
        );
        self.trace = TraceTarget::Timeline(JsonArrayFile::new(file, &program)?);
        Ok(())
    }

    /// One that throws everything away, for a guest that runs a second time.
    pub fn silent() -> Output {
        Output { is_silent: true, ..Output::new(c"", -1, -1) }
    }

    /// The program's name.
    pub fn program(&self) -> Text<'static> {
        Text::from(self.program)
    }

    // ---- what is said

    /// A byte of port 0x10.
    pub fn console_byte(&self, byte: u8, vcpu: &Arc<VcpuControl>) {
        if self.is_silent {
            return;
        }
        let mut queue = self.queue.lock();
        queue.line.push(byte);
        if byte == b'\n' || queue.line.len() == LINE || queue.on_terminal {
            queue.release_line();
            self.added(queue, true, Some(vcpu));
        }
    }

    /// A byte of the serial port. It may wait a moment for more.
    pub fn serial_byte(&self, byte: u8, vcpu: &Arc<VcpuControl>) {
        if self.is_silent {
            return;
        }
        let mut queue = self.queue.lock();
        queue.release_line();
        queue.add(Stream::Standard, &[byte]);
        self.added(queue, false, Some(vcpu));
    }

    /// A message to the user: the program's name, the text, and a newline. What the guest said before comes first.
    pub fn message(&self, text: fmt::Arguments, vcpu: Option<&Arc<VcpuControl>>) {
        if self.is_silent {
            return;
        }
        let text = format!("{}: {text}\n", self.program());
        let mut queue = self.queue.lock();
        queue.release_line();
        queue.start_line();
        queue.add(Stream::Error, text.as_bytes());
        self.added(queue, true, vcpu);
    }

    /// A line of a trace.
    pub fn trace_line(&self, text: fmt::Arguments, vcpu: Option<&Arc<VcpuControl>>) {
        self.line(Stream::Trace, text, vcpu);
    }

    /// An event of a timeline: a JSON object. A vCPU that adds some waits for room by itself.
    pub fn timeline_event(&self, event: fmt::Arguments) {
        self.line(Stream::Trace, format_args!(",{event}"), None);
    }

    /// A line for tools on standard error, without the program's name.
    pub fn data_line(&self, text: fmt::Arguments) {
        self.line(Stream::Error, text, None);
    }

    fn line(&self, stream: Stream, text: fmt::Arguments, vcpu: Option<&Arc<VcpuControl>>) {
        let mut line = String::new();
        // A String takes all that fits into memory.
        let _ = writeln!(line, "{text}");
        let mut queue = self.queue.lock();
        if stream != Stream::Trace || matches!(self.trace, TraceTarget::StandardError) {
            queue.start_line();
        }
        queue.add(stream, line.as_bytes());
        self.added(queue, true, vcpu);
    }

    /// Text on standard output, at once: the answer to a question such as `--help`.
    pub fn answer(&self, text: fmt::Arguments) -> Result<(), Errno> {
        let text = format!("{text}");
        let mut queue = self.queue.lock();
        queue.add(Stream::Standard, text.as_bytes());
        drop(queue);
        self.flush()
    }

    /// Something was added. Without an event loop it is written now.
    fn added<'a>(
        &'a self,
        mut queue: Guard<'a, Queue>,
        is_urgent: bool,
        vcpu: Option<&Arc<VcpuControl>>,
    ) {
        queue.is_urgent |= is_urgent || queue.bytes.len() >= LIMIT;
        let Some(event_loop) = &queue.event_loop else {
            drop(queue);
            // A failure is remembered until somebody asks for it.
            let _ = self.flush();
            return;
        };
        if !queue.was_woken {
            event_loop.signal();
            queue.was_woken = true;
        }
        if let Some(vcpu) = vcpu {
            self.wait_in(queue, vcpu);
        }
    }

    /// Where the queue is full, waits until there is room, or until the vCPU is asked to stop.
    pub fn wait_for_room(&self, vcpu: &Arc<VcpuControl>) {
        self.wait_in(self.queue.lock(), vcpu);
    }

    fn wait_in<'a>(&'a self, mut queue: Guard<'a, Queue>, vcpu: &Arc<VcpuControl>) {
        while queue.event_loop.is_some() && queue.bytes.len() >= LIMIT {
            queue.waiting.push(vcpu.clone());
            drop(queue);
            if vcpu.wait_until_woken().is_err() {
                return;
            }
            queue = self.queue.lock();
        }
    }

    // ---- what is written

    /// From now on the event loop writes the queue; `event_loop` wakes it.
    pub fn attach_event_loop(&self, event_loop: Arc<Event>) {
        let second = |fd: c_int, is_terminal: bool| {
            // Opened once more, since O_NONBLOCK on the user's own descriptor would change it for the shell as well.
            let path = format!("/proc/self/fd/{fd}\0");
            let path = CStr::from_bytes_until_nul(path.as_bytes()).ok()?;
            let flags = libc::O_WRONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
            is_terminal.then(|| Fd::open(path, flags, 0).ok()).flatten()
        };
        // Before the queue is locked: the calls may be traced, and a trace is added to the queue.
        let [on_terminal, error_on_terminal] =
            [self.standard, self.error].map(terminal::is_terminal);
        let terminals = [second(self.standard, on_terminal), second(self.error, error_on_terminal)];
        let on_one_terminal = on_terminal
            && error_on_terminal
            && terminal::are_one_terminal(self.standard, self.error);
        let mut queue = self.queue.lock();
        (queue.on_terminal, queue.terminals) = (on_terminal, terminals);
        queue.on_one_terminal = on_one_terminal;
        queue.event_loop = Some(event_loop);
    }

    /// From now on what is said is written at once.
    pub fn detach_event_loop(&self) {
        let mut queue = self.queue.lock();
        queue.event_loop = None;
        queue.waiting.clear();
        let terminals = core::mem::take(&mut queue.terminals);
        // To close them may be traced too.
        drop(queue);
        drop(terminals);
    }

    /// What waits to be written, if anything does.
    pub fn pending(&self) -> Option<Pending> {
        let mut queue = self.queue.lock();
        // From here on, what is added wakes the event loop again.
        queue.was_woken = false;
        let &(stream, _) = queue.pieces.front()?;
        Some(Pending { fd: self.target(&queue, stream), is_urgent: queue.is_urgent })
    }

    /// Whether something for standard error waits: its reader may be behind.
    pub fn has_errors_waiting(&self) -> bool {
        self.queue.lock().pieces.iter().any(|(stream, _)| *stream == Stream::Error)
    }

    fn target(&self, queue: &Queue, stream: Stream) -> c_int {
        let (terminal, fd) = match (stream, &self.trace) {
            (Stream::Standard, _) => (&queue.terminals[0], self.standard),
            (Stream::Trace, TraceTarget::File(file)) => (&None, file.raw()),
            (Stream::Trace, TraceTarget::Timeline(file)) => (&None, file.raw()),
            (Stream::Error | Stream::Trace, _) => (&queue.terminals[1], self.error),
        };
        terminal.as_ref().map_or(fd, Fd::raw)
    }

    /// Writes a part of what waits, to a descriptor that is ready.
    pub fn write_some(&self) {
        let mut chunk = [0; CHUNK];
        let queue = self.queue.lock();
        let Some(&(stream, size)) = queue.pieces.front() else { return };
        let fd = self.target(&queue, stream);
        let size = size.min(CHUNK);
        chunk[..size].copy_from_slice(&queue.bytes[..size]);
        drop(queue);
        // Only the main thread takes from the queue, so that its front stays as it is.
        let result = match (stream, &self.trace) {
            (Stream::Trace, TraceTarget::Timeline(file)) => file.write(&chunk[..size]),
            _ => fd::write(fd, &chunk[..size]),
        };
        let mut queue = self.queue.lock();
        match result {
            Ok(written) => queue.remove(written),
            Err(Errno(libc::EAGAIN | libc::EINTR)) => return,
            Err(errno) => {
                queue.note_lost(stream, errno);
                queue.remove(size);
            }
        }
        if queue.bytes.is_empty() {
            queue.is_urgent = false;
        }
        if queue.bytes.len() < LIMIT / 2 {
            queue.waiting.drain(..).for_each(|vcpu| vcpu.wake());
        }
    }

    /// Writes all that waits, however slowly the reader takes it; but see [`Output::do_not_wait`]. Fails where standard output
    /// can't be written, and with EINTR where a signal asks the program to stop and the reader is not ready.
    pub fn flush(&self) -> Result<(), Errno> {
        let is_impatient = self.queue.lock().is_impatient;
        while let Some(pending) = self.pending() {
            if is_impatient {
                let mut fds = [libc::pollfd { fd: pending.fd, events: libc::POLLOUT, revents: 0 }];
                signal::wait(&mut fds, Some(0));
                if fds[0].revents == 0 {
                    self.queue.lock().remove_piece();
                    continue;
                }
            } else {
                signal::wait_for(pending.fd, libc::POLLOUT)?;
            }
            self.write_some();
        }
        self.failure()
    }

    /// Likewise, with a guest's line that is not complete.
    pub fn finish(&self) -> Result<(), Errno> {
        self.queue.lock().release_line();
        self.flush()
    }

    /// From now on only what the readers take at once is written; the rest is lost.
    pub fn do_not_wait(&self) {
        self.queue.lock().is_impatient = true;
    }

    /// Why a part of the trace could not be written, if that is so.
    pub fn trace_failure(&self) -> Option<Errno> {
        self.queue.lock().trace_failed
    }

    /// Whether standard error could not be written.
    pub fn has_lost_messages(&self) -> bool {
        self.queue.lock().has_lost_messages
    }

    /// Why standard output could not be written, if it could not.
    pub fn failure(&self) -> Result<(), Errno> {
        self.queue.lock().failed.map_or(Ok(()), Err)
    }
}

impl Queue {
    fn add(&mut self, stream: Stream, bytes: &[u8]) {
        let Some(&last) = bytes.last() else { return };
        if stream == Stream::Standard {
            self.at_line_start = last == b'\n';
        }
        self.bytes.extend_from_slice(bytes);
        match self.pieces.back_mut() {
            Some((last, size)) if *last == stream => *size += bytes.len(),
            _ => self.pieces.push_back((stream, bytes.len())),
        }
    }

    /// On a terminal, ends the line that the guest has begun.
    fn start_line(&mut self) {
        if self.on_one_terminal && !self.at_line_start {
            self.add(Stream::Error, b"\n");
            self.at_line_start = true;
        }
    }

    /// Moves the line to the queue.
    fn release_line(&mut self) {
        if !self.line.is_empty() {
            let line = core::mem::take(&mut self.line);
            self.add(Stream::Standard, &line);
            self.line = line;
            self.line.clear();
        }
    }

    /// Forgets the first piece.
    fn remove_piece(&mut self) {
        if let Some(&(stream, size)) = self.pieces.front() {
            // What the guest has said for a reader that does not take it is no failure.
            if stream != Stream::Standard {
                self.note_lost(stream, Errno(libc::EAGAIN));
            }
            self.remove(size);
        }
    }

    /// Bytes of this stream could not be written.
    fn note_lost(&mut self, stream: Stream, errno: Errno) {
        match stream {
            Stream::Standard => _ = self.failed.get_or_insert(errno),
            Stream::Trace => _ = self.trace_failed.get_or_insert(errno),
            Stream::Error => self.has_lost_messages = true,
        }
    }

    /// Takes bytes of the first piece away.
    fn remove(&mut self, count: usize) {
        self.bytes.drain(..count);
        let (_, size) = &mut self.pieces[0];
        *size -= count;
        if *size == 0 {
            self.pieces.pop_front();
        }
    }
}

#[cfg(test)]
#[path = "output_tests.rs"]
mod tests;
