//! The main thread while the guest runs: it takes input, writes output, handles signals, and stops the vCPUs in the end.

use crate::host::clock;
use crate::host::signal;
use crate::host::terminal::Terminal;
use crate::lifecycle::{End, Request};
use crate::machine::keys::Input;
use crate::machine::vcpu_thread::RunningVcpu;
use crate::machine::{Error, Machine, report, without_output};
use alloc::vec::Vec;

/// How long output of the serial port may gather, in nanoseconds: a moment for a reader, and time for a guest to say more.
const GATHER: u64 = 2_000_000;

impl Machine<'_> {
    /// Runs the guest to its end, and reports it.
    pub fn run(mut self) -> Result<End, Error> {
        self.memory.ram().keep();
        let terminal = (self.has_kernel && self.replay.is_none()).then(|| {
            signal::restore_terminal_on_death();
            Terminal::take()
        });
        self.output.attach_event_loop(self.attention.clone());
        let mut running = Vec::new();
        let mut started = Ok(());
        for runner in self.runners.drain(..) {
            match RunningVcpu::start(runner) {
                Ok(vcpu) => running.push(vcpu),
                Err(error) => {
                    started = Err(error);
                    break;
                }
            }
        }
        if started.is_ok() {
            self.attend();
        }
        for vcpu in &running {
            vcpu.kick(Request::Stop);
        }
        self.runners = running.into_iter().map(RunningVcpu::join).collect();
        self.output.detach_event_loop();
        drop(terminal);
        started?;
        report::end(&self)
    }

    /// Attends to input, output and signals until the run has ended.
    fn attend(&self) {
        // A replay has no input: what there was has been read.
        let mut input = Input::new(self.serial.is_some() && self.replay.is_none());
        let mut gathered_at = None;
        loop {
            if signal::take_statistics_wanted() {
                report::statistics(self);
            }
            if let Some(signal) = signal::stopping() {
                self.lifecycle.end(End::Signal(signal), None);
            }
            if let Err(errno) = self.output.failure() {
                self.lifecycle.end(without_output(errno), None);
            }
            if self.lifecycle.has_ended() {
                return;
            }
            if let Some(serial) = &self.serial {
                input.deliver(serial);
            }

            let mut wait = None;
            let mut output = -1;
            match self.output.pending() {
                None => gathered_at = None,
                Some(pending) => {
                    let now = clock::monotonic();
                    let due = *gathered_at.get_or_insert(now + GATHER);
                    if pending.is_urgent || now >= due {
                        output = pending.fd;
                    } else {
                        wait = Some(due - now);
                    }
                }
            }
            // A negative number is no descriptor.
            let stdin = if input.is_wanted() { libc::STDIN_FILENO } else { -1 };
            let poll = |fd, events| libc::pollfd { fd, events, revents: 0 };
            let mut fds = [
                poll(self.attention.raw(), libc::POLLIN),
                poll(stdin, libc::POLLIN),
                poll(output, libc::POLLOUT),
            ];
            signal::wait(&mut fds, wait);
            let [attention, stdin, output] = fds.map(|fd| fd.revents != 0);
            if attention {
                self.attention.take();
            }
            if stdin && input.read() {
                self.lifecycle.end(End::UserQuit, None);
            }
            if output {
                self.output.write_some();
            }
        }
    }
}
