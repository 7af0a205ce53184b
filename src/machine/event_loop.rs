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
use core::ffi::c_int;

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
            started = EventLoop::new(&self, terminal.as_mut(), &running).run().map_err(Error::Host);
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

/// What the main thread attends to while the guest runs.
struct EventLoop<'a> {
    machine: &'a Machine<'a>,
    vcpus: &'a [RunningVcpu],
    terminal: Option<&'a mut Terminal>,
    input: Input,
    halts: Option<HaltWatch>,
    /// Until when output of the serial port gathers.
    gathers_until: Option<u64>,
}

/// What it waits for. A descriptor that is not wanted is -1, which poll(2) ignores.
struct Awaited {
    stdin: c_int,
    output: c_int,
    /// In nanoseconds.
    at_most: u64,
}

impl<'a> EventLoop<'a> {
    fn new(
        machine: &'a Machine<'a>,
        terminal: Option<&'a mut Terminal>,
        vcpus: &'a [RunningVcpu],
    ) -> EventLoop<'a> {
        let input = Input::new(terminal.is_some());
        let halts = machine.config.has_board().then(HaltWatch::start);
        EventLoop { machine, vcpus, terminal, input, halts, gathers_until: None }
    }

    /// Until the run has ended.
    fn run(&mut self) -> Result<(), CallError> {
        while !self.is_over()? {
            self.do_paused_work()?;
            let has_continued = signal::take_continued();
            if let Some(terminal) = &mut self.terminal {
                terminal.reacquire(has_continued);
            }
            let Awaited { stdin, output, at_most } = self.awaited();
            let poll = |fd, events| libc::pollfd { fd, events, revents: 0 };
            let mut fds = [
                poll(self.machine.attention.raw(), libc::POLLIN),
                poll(stdin, libc::POLLIN),
                poll(output, libc::POLLOUT),
            ];
            signal::wait(&mut fds, Some(at_most));
            let [attention, stdin, output] = fds.map(|fd| fd.revents != 0);
            if attention {
                self.machine.attention.take();
            }
            if (attention || stdin)
                && let Some(halts) = &mut self.halts
            {
                halts.was_active();
            }
            if stdin && let Some(key) = self.input.read() {
                self.machine.handle_key(key);
            }
            if output {
                self.machine.output.write_some();
            }
        }
        Ok(())
    }

    /// Handles signals, and finds out whether the run has ended, by itself or because it can't go on.
    fn is_over(&mut self) -> Result<bool, CallError> {
        let Machine { lifecycle, output, .. } = self.machine;
        if signal::take_statistics_wanted() {
            report::statistics_now(self.machine);
        }
        if let Some(signal) = signal::stopping() {
            lifecycle.end(End::Signal(signal), None);
        }
        if let Err(errno) = output.failure() {
            lifecycle.end(without_output(errno), None);
        }
        if !lifecycle.has_ended()
            && let Some(halts) = &mut self.halts
            && halts.poll(self.vcpus)?
        {
            lifecycle.end(End::NeverWakes, None);
        }
        Ok(lifecycle.has_ended())
    }

    /// Does what needs all vCPUs paused.
    fn do_paused_work(&self) -> Result<(), CallError> {
        let work = self.machine.lifecycle.take_paused_work();
        if work.is_empty() {
            return Ok(());
        }
        kick_all(self.vcpus, Request::Pause)?;
        self.vcpus.iter().for_each(RunningVcpu::wait_until_not_running);
        work.into_iter().for_each(|work| work());
        kick_all(self.vcpus, Request::Run)
    }

    /// Gives the guest what has been typed, and says what to wait for next.
    fn awaited(&mut self) -> Awaited {
        let mut awaited = Awaited { stdin: -1, output: -1, at_most: LONGEST };
        let mut wait_at_most = |nanoseconds: u64| {
            awaited.at_most = awaited.at_most.min(nanoseconds);
        };
        if let Some(serial) = &self.machine.serial
            && let Some(nanoseconds) = self.input.deliver(serial)
        {
            wait_at_most(nanoseconds);
        }
        if let Some(halts) = &self.halts {
            wait_at_most(halts.time_until_next());
        }
        match self.machine.output.pending() {
            None => self.gathers_until = None,
            Some(pending) => {
                let now = clock::monotonic();
                let until = *self.gathers_until.get_or_insert(now + GATHER);
                if pending.is_urgent || now >= until {
                    awaited.output = pending.fd;
                } else {
                    wait_at_most(until - now);
                }
            }
        }
        if self.input.is_wanted() {
            match self.terminal.as_ref().is_some_and(|terminal| terminal.is_foreground()) {
                true => awaited.stdin = libc::STDIN_FILENO,
                false => wait_at_most(BACKGROUND),
            }
        }
        awaited
    }
}

fn kick_all(vcpus: &[RunningVcpu], request: Request) -> Result<(), CallError> {
    vcpus.iter().try_for_each(|vcpu| vcpu.kick(request))
}
