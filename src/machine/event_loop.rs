//! The main thread while the guest runs: it takes input, writes output, handles signals, and stops the vCPUs in the end.

use crate::host::clock;
use crate::host::emergency;
use crate::host::signal;
use crate::host::syscall::CallError;
use crate::host::terminal::Terminal;
use crate::lifecycle::{End, Request};
use crate::machine::halt_watch::HaltWatch;
use crate::machine::keys::{self, Input, Key};
use crate::machine::vcpu_thread::RunningVcpu;
use crate::machine::{Error, Machine, report, without_output};
use alloc::vec::Vec;

/// How long output of the serial port may gather, in nanoseconds: a moment for a reader, and time for a guest to say more.
const GATHER: u64 = 2_000_000;
/// The longest wait, in nanoseconds: a wake-up that fails costs no more than this.
const LONGEST: u64 = 1_000_000_000;
/// How often a program in the background looks whether it has come to the foreground, in nanoseconds.
const BACKGROUND: u64 = 500_000_000;

impl Machine<'_> {
    /// Runs the guest to its end, and reports it.
    pub fn run(mut self) -> Result<End, Error> {
        // A replay has no input: what there was has been read.
        let mut terminal = None;
        if self.serial.is_some() && self.replay.is_none() {
            signal::guard_terminal()?;
            terminal = Some(Terminal::take(self.config.is_kernel()));
        }
        self.output.attach_event_loop(self.attention.clone());
        let mut running = Vec::new();
        let mut started = Ok(());
        for runner in self.runners.drain(..) {
            match RunningVcpu::start(runner) {
                Ok(vcpu) => {
                    // From now on the contents of RAM are the guest's.
                    self.memory.ram().keep();
                    running.push(vcpu);
                }
                Err(error) => {
                    started = Err(error);
                    break;
                }
            }
        }
        if started.is_ok() {
            started = self.attend(terminal.as_mut(), &running).map_err(Error::Host);
        }
        if let Err(error) = kick_all(&running, Request::Stop) {
            // A thread that can't be interrupted can't be waited for.
            emergency::exit_with_error(format_args!("{}", Error::Host(error)));
        }
        self.runners = running.into_iter().map(RunningVcpu::join).collect();
        self.output.detach_event_loop();
        drop(terminal);
        started?;
        report::end(&self)
    }

    /// Attends to input, output and signals until the run has ended.
    fn attend(
        &self,
        mut terminal: Option<&mut Terminal>,
        vcpus: &[RunningVcpu],
    ) -> Result<(), CallError> {
        let mut input = Input::new(terminal.is_some());
        let mut halts = self.config.has_board().then(HaltWatch::start);
        let mut gathered_at = None;
        loop {
            self.handle_signals();
            if let Err(errno) = self.output.failure() {
                self.lifecycle.end(without_output(errno), None);
            }
            if self.lifecycle.has_ended() {
                return Ok(());
            }
            if let Some(halts) = &mut halts
                && halts.poll(vcpus)?
            {
                self.lifecycle.end(End::NeverWakes, None);
                return Ok(());
            }
            self.do_paused_work(vcpus)?;
            let has_continued = signal::take_continued();
            if let Some(terminal) = &mut terminal {
                terminal.reacquire(has_continued);
            }

            let mut wait = LONGEST;
            let mut wait_at_most = |nanoseconds: Option<u64>| {
                wait = wait.min(nanoseconds.unwrap_or(LONGEST));
            };
            if let Some(serial) = &self.serial {
                wait_at_most(input.deliver(serial));
            }
            wait_at_most(halts.as_ref().map(HaltWatch::time_until_next));
            let mut output = -1;
            match self.output.pending() {
                None => gathered_at = None,
                Some(pending) => {
                    let now = clock::monotonic();
                    let due = *gathered_at.get_or_insert(now + GATHER);
                    if pending.is_urgent || now >= due {
                        output = pending.fd;
                    } else {
                        wait_at_most(Some(due - now));
                    }
                }
            }
            let is_foreground = terminal.as_ref().is_some_and(|terminal| terminal.is_foreground());
            let reads_input = input.is_wanted() && is_foreground;
            if input.is_wanted() && !reads_input {
                wait_at_most(Some(BACKGROUND));
            }
            // A negative number is no descriptor.
            let stdin = if reads_input { libc::STDIN_FILENO } else { -1 };
            let poll = |fd, events| libc::pollfd { fd, events, revents: 0 };
            let mut fds = [
                poll(self.attention.raw(), libc::POLLIN),
                poll(stdin, libc::POLLIN),
                poll(output, libc::POLLOUT),
            ];
            signal::wait(&mut fds, Some(wait));
            let [attention, stdin, output] = fds.map(|fd| fd.revents != 0);
            if attention {
                self.attention.take();
            }
            if (attention || stdin)
                && let Some(halts) = &mut halts
            {
                halts.was_active();
            }
            if stdin && let Some(key) = input.read() {
                self.handle_key(key);
            }
            if output {
                self.output.write_some();
            }
        }
    }

    /// Does what needs all vCPUs paused.
    fn do_paused_work(&self, vcpus: &[RunningVcpu]) -> Result<(), CallError> {
        let work = self.lifecycle.take_paused_work();
        if work.is_empty() {
            return Ok(());
        }
        kick_all(vcpus, Request::Pause)?;
        vcpus.iter().for_each(RunningVcpu::wait_until_not_running);
        work.into_iter().for_each(|work| work());
        kick_all(vcpus, Request::Run)
    }

    fn handle_signals(&self) {
        if signal::take_statistics_wanted() {
            report::statistics_now(self);
        }
        if let Some(signal) = signal::stopping() {
            self.lifecycle.end(End::Signal(signal), None);
        }
    }

    /// Handles a key of the program's own.
    fn handle_key(&self, key: Key) {
        match key {
            Key::Leave => {
                self.output.message(format_args!("Ctrl-A X: the machine is switched off"), None);
                self.lifecycle.end(End::UserQuit, None);
            }
            Key::Help => self.output.message(format_args!("{}", keys::HELP), None),
            Key::Guest(_) | Key::Nothing => {}
        }
    }
}

fn kick_all(vcpus: &[RunningVcpu], request: Request) -> Result<(), CallError> {
    vcpus.iter().try_for_each(|vcpu| vcpu.kick(request))
}
