//! Lines, readers that are slow or gone, and the event loop that writes.

use super::*;
use std::io::{PipeReader, Read, pipe};
use std::os::fd::IntoRawFd;
use std::thread;

fn to_pipe() -> (Arc<Output>, PipeReader) {
    let (reader, writer) = pipe().unwrap();
    let writer = writer.into_raw_fd();
    (Arc::new(Output::new(c"kob", writer, writer)), reader)
}

fn vcpu() -> Arc<VcpuControl> {
    Arc::new(VcpuControl::new(0, None))
}

fn read(reader: &mut PipeReader, len: usize) -> String {
    let mut bytes = vec![0; len];
    reader.read_exact(&mut bytes).unwrap();
    String::from_utf8(bytes).unwrap()
}

#[test]
fn a_line_is_written_when_it_is_complete_and_a_message_does_not_overtake_it() {
    let (output, mut reader) = to_pipe();
    let vcpu = vcpu();
    b"ab\nc".iter().for_each(|&byte| output.console_byte(byte, &vcpu));
    assert_eq!(read(&mut reader, 3), "ab\n");
    output.trace_line(format_args!("trace"), None);
    output.message(format_args!("hello"), None);
    output.console_byte(b'd', &vcpu);
    output.finish().unwrap();
    assert_eq!(read(&mut reader, 19), "trace\nckob: hello\nd");
}

#[test]
fn bytes_come_out_unchanged_and_a_long_line_comes_in_pieces() {
    let (output, mut reader) = to_pipe();
    let vcpu = vcpu();
    (0..LINE).for_each(|_| output.console_byte(0xff, &vcpu));
    let mut bytes = [0; LINE];
    reader.read_exact(&mut bytes).unwrap();
    assert!(bytes.iter().all(|&byte| byte == 0xff));
}

#[test]
fn a_reader_that_has_gone_is_told() {
    signal::install().unwrap();
    let (output, reader) = to_pipe();
    drop(reader);
    output.console_byte(b'\n', &vcpu());
    assert_eq!(output.failure(), Err(Errno(libc::EPIPE)));
    assert_eq!(output.finish(), Err(Errno(libc::EPIPE)));
}

#[test]
fn a_trace_that_can_t_be_written_is_remembered() {
    let mut output = Output::new(c"kob", -1, -1);
    let (mut reader, writer) = pipe().unwrap();
    // SAFETY: the pipe is this test's, and given up here.
    output.set_trace_file(unsafe { Fd::from_raw(writer.into_raw_fd()) });
    output.trace_line(format_args!("a line"), None);
    assert_eq!((read(&mut reader, 7).as_str(), output.trace_failure()), ("a line\n", None));
    // SAFETY: nobody has such a descriptor, and closing it fails.
    output.set_trace_file(unsafe { Fd::from_raw(1_000_000) });
    output.trace_line(format_args!("lost"), None);
    assert_eq!(output.trace_failure(), Some(Errno(libc::EBADF)));
}

#[test]
fn a_vcpu_that_fills_the_queue_waits_until_it_is_written_or_the_vcpu_is_stopped() {
    let (output, mut reader) = to_pipe();
    output.attach_event_loop(Arc::new(Event::new().unwrap()));
    let start = |output: &Arc<Output>, vcpu: &Arc<VcpuControl>| {
        let (output, vcpu) = (output.clone(), vcpu.clone());
        thread::spawn(move || (0..2 * LIMIT).for_each(|_| output.serial_byte(b'x', &vcpu)))
    };
    let thread = start(&output, &vcpu());
    let mut written = 0;
    while written < 2 * LIMIT {
        if output.pending().is_some() {
            output.write_some();
            let mut bytes = [0; CHUNK];
            written += reader.read(&mut bytes).unwrap();
        }
        assert!(output.queue.lock().bytes.len() <= LIMIT);
    }
    thread.join().unwrap();
    let stopped = vcpu();
    let thread = start(&output, &stopped);
    while output.queue.lock().bytes.len() < LIMIT {
        thread::yield_now();
    }
    stopped.request(crate::lifecycle::Request::Stop);
    thread.join().unwrap();
}

#[test]
fn a_trace_of_calls_holds_a_vcpu_at_its_next_exit_while_nobody_reads() {
    let (output, mut reader) = to_pipe();
    output.attach_event_loop(Arc::new(Event::new().unwrap()));
    while output.queue.lock().bytes.len() < LIMIT {
        output.trace_line(format_args!("a call"), None);
    }
    let thread = {
        let output = output.clone();
        thread::spawn(move || output.wait_for_room(&vcpu()))
    };
    while output.queue.lock().waiting.is_empty() {
        thread::yield_now();
    }
    while !thread.is_finished() {
        if output.pending().is_some() {
            output.write_some();
            let mut bytes = [0; CHUNK];
            assert!(reader.read(&mut bytes).unwrap() > 0);
        }
    }
    assert!(output.queue.lock().bytes.len() < LIMIT);
}

#[test]
fn a_silent_output_says_nothing() {
    let output = Output::silent();
    output.console_byte(b'\n', &vcpu());
    output.message(format_args!("x"), None);
    assert_eq!((output.pending(), output.finish()), (None, Ok(())));
}
