//! The main thread while the guest runs, sleeps, or is the debugger's: it takes input, writes output, and handles signals and timers.

use crate::config::Config;
use crate::devices::Timed;
use crate::host::clock;
use crate::host::signal;
use crate::host::syscall::CallError;
use crate::host::terminal::Terminal;
use crate::inspect::live::Live;
use crate::lifecycle::{End, Request};
use crate::machine::board::Board;
use crate::machine::debugger::{Debugger, Resume};
use crate::machine::halt_watch::HaltWatch;
use crate::machine::keys::{self, Input, Key};
use crate::machine::vcpu_thread::RunningVcpu;
use crate::machine::{Machine, report, without_output};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::ffi::c_int;

/// How long output of the serial port may gather, in nanoseconds: a moment for a reader, and time for a guest to say more.
const GATHER: u64 = 2_000_000;
/// How often a program in the background looks whether it has come to the foreground, in nanoseconds.
const BACKGROUND: u64 = 500_000_000;

const SIGTERM: End = End::Signal(libc::SIGTERM as u8);

/// What is the user's, and outlives a reset.
pub struct User {
    pub input: Input,
    /// Taken while a guest with a serial port runs.
    pub terminal: Option<Terminal>,
    /// When the guest must have switched off after SIGTERM.
    off_by: Option<u64>,
    /// Who drives the machine from outside.
    pub debugger: Option<Box<dyn Debugger>>,
}

impl User {
    /// The user of a machine: who types, if it has a serial port.
    pub fn new(config: &Config, debugger: Option<Box<dyn Debugger>>) -> User {
        if config.grace > 0 {
            signal::let_terminate_press_button();
        }
        User { input: Input::new(config.has_board()), terminal: None, off_by: None, debugger }
    }

    /// Of a replay: what there was to read has been read.
    pub fn without_input() -> User {
        User { input: Input::new(false), terminal: None, off_by: None, debugger: None }
    }
}

/// What the main thread attends to while the guest runs.
pub struct EventLoop<'a> {
    machine: &'a Machine<'a>,
    vcpus: &'a [RunningVcpu],
    user: &'a mut User,
    /// Devices that act by themselves.
    timed: Vec<Arc<dyn Timed>>,
    halts: Option<HaltWatch>,
    /// The screen of `--stats=live`.
    live: Option<Live>,
    /// Until when output of the serial port gathers.
    gathers_until: Option<u64>,
    /// The user does not want to go on.
    has_left: bool,
}

/// What it waits for. A descriptor that is not wanted is -1, which poll(2) ignores.
struct Awaited {
    stdin: c_int,
    output: c_int,
    /// In nanoseconds; `None`: for as long as it takes.
    at_most: Option<u64>,
}

impl<'a> EventLoop<'a> {
    pub fn new(
        machine: &'a Machine<'a>,
        user: &'a mut User,
        vcpus: &'a [RunningVcpu],
    ) -> EventLoop<'a> {
        let timed = machine.board.as_ref().map_or(Vec::new(), Board::timed);
        // There is nothing to watch while the machine sleeps or is the debugger's. And while a vCPU is held, it could wake the others.
        let has_all = vcpus.len() == machine.config.cpus as usize;
        let halts = (machine.board.is_some() && has_all).then(|| HaltWatch::start(vcpus));
        let live = machine.config.instruments.live.then(|| Live::new(&machine.statistics));
        let (gathers_until, has_left) = (None, false);
        EventLoop { machine, vcpus, user, timed, halts, live, gathers_until, has_left }
    }

    /// Until the run has ended.
    pub fn run(&mut self) -> Result<(), CallError> {
        while !self.is_over()? {
            if self.wait_and_act()?
                && self.user.debugger.as_mut().is_some_and(|debugger| debugger.attend())
            {
                self.machine.lifecycle.stop_for_debugger(None);
            }
        }
        Ok(())
    }

    /// Until the debugger, which has the machine, knows how the vCPUs go on.
    pub fn serve_debugger(&mut self) -> Result<Resume, CallError> {
        let had_ended = self.machine.lifecycle.how().is_some();
        loop {
            self.is_over()?;
            if self.has_left || signal::stopping().is_some() {
                return Ok(Resume::End);
            }
            if !had_ended {
                if self.machine.lifecycle.take_save() {
                    self.machine.save_as_configured(self.user);
                }
                if self.machine.lifecycle.how().is_some() {
                    return Ok(Resume::End);
                }
            }
            if self.wait_and_act()?
                && let User { debugger: Some(debugger), input, .. } = &mut *self.user
                && let Some(resume) = debugger.serve(self.machine, input)
            {
                return Ok(resume);
            }
        }
    }

    /// Waits until there is something to do, and does it. Returns whether one of the debugger's descriptors is ready.
    fn wait_and_act(&mut self) -> Result<bool, CallError> {
        self.do_paused_work()?;
        let has_continued = signal::take_continued();
        if let Some(terminal) = &mut self.user.terminal {
            terminal.reacquire(has_continued);
        }
        let Awaited { stdin, output, at_most } = self.awaited();
        let poll = |fd, events| libc::pollfd { fd, events, revents: 0 };
        let attention = self.machine.attention.raw();
        let mut fds = Vec::from([
            poll(attention, libc::POLLIN),
            poll(stdin, libc::POLLIN),
            poll(output, libc::POLLOUT),
        ]);
        let debugger =
            self.user.debugger.as_ref().map_or([-1; 2], |debugger| debugger.descriptors());
        fds.extend(debugger.map(|fd| poll(fd, libc::POLLIN)));
        fds.extend(self.timed.iter().map(|device| poll(device.timer().raw(), libc::POLLIN)));
        signal::wait(&mut fds, at_most);
        let mut ready = fds.into_iter().map(|fd| fd.revents != 0);
        let [attention, stdin, output, listener, client] =
            [(); 5].map(|()| ready.next() == Some(true));
        for (device, _) in self.timed.iter().zip(ready).filter(|(_, has_expired)| *has_expired) {
            device.timer().take();
            device.expired();
        }
        let mut is_active = stdin;
        if attention {
            self.machine.attention.take();
            match self.machine.lifecycle.take_interrupt() {
                // An interrupt alone is no activity of the guest's.
                true => self.boot_processor().map_or(Ok(()), RunningVcpu::interrupt)?,
                false => is_active = true,
            }
        }
        if is_active && let Some(halts) = &mut self.halts {
            halts.was_active();
        }
        if stdin && let Some(key) = self.user.input.read() {
            self.has_left |= matches!(key, Key::Leave);
            self.handle_key(&key);
        }
        if output {
            self.machine.output.write_some();
        }
        Ok(listener || client)
    }

    /// The boot processor, unless it is held.
    fn boot_processor(&self) -> Option<&RunningVcpu> {
        self.vcpus.first().filter(|vcpu| vcpu.number() == 0)
    }

    /// Handles signals, and finds out whether the run has ended, by itself or because it can't go on.
    fn is_over(&mut self) -> Result<bool, CallError> {
        let Machine { lifecycle, output, .. } = self.machine;
        if signal::take_statistics_wanted() {
            report::statistics_now(self.machine);
        }
        if let Some(live) = &mut self.live
            && let Some(screen) = live.screen(&self.machine.statistics, self.vcpus.len())
            && !output.has_errors_waiting()
        {
            // Where the last screen waits yet, this one is left out.
            output.data_line(format_args!("{screen}"));
        }
        if signal::take_snapshot_wanted() {
            lifecycle.stop_to_save();
        }
        if signal::take_button_pressed() {
            self.terminate_by_button();
        }
        if let Some(signal) = signal::stopping() {
            lifecycle.end(End::Signal(signal), None);
        }
        if self.user.off_by.take_if(|by| clock::monotonic() >= *by).is_some() {
            self.has_left = true;
            let text = format_args!("the guest has not switched off in the time of --grace");
            output.message(text, None);
            lifecycle.end(SIGTERM, None);
        }
        if let Err(errno) = output.failure() {
            lifecycle.end(without_output(errno), None);
        }
        if !lifecycle.is_stopping()
            && let Some(halts) = &mut self.halts
            && halts.poll(self.vcpus)?
        {
            lifecycle.end(End::NeverWakes, None);
        }
        Ok(lifecycle.is_stopping())
    }

    /// SIGTERM came, and the guest may take some time to switch off.
    fn terminate_by_button(&mut self) {
        match &self.machine.board {
            Some(board) if board.pm.listens_to_power_button() => {
                self.user.off_by =
                    Some(clock::monotonic().saturating_add(self.machine.config.grace));
                board.pm.press_power_button();
            }
            _ => self.machine.lifecycle.end(SIGTERM, None),
        }
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
        let mut awaited = Awaited { stdin: -1, output: -1, at_most: None };
        let mut wait_at_most = |nanoseconds: u64| {
            let at_most = awaited.at_most.unwrap_or(nanoseconds);
            awaited.at_most = Some(at_most.min(nanoseconds));
        };
        if let Some(board) = &self.machine.board
            && let Some(nanoseconds) = self.user.input.deliver(&board.serial)
        {
            wait_at_most(nanoseconds);
        }
        if let Some(live) = &self.live {
            wait_at_most(live.time_until_next());
        }
        if let Some(by) = self.user.off_by {
            wait_at_most(by.saturating_sub(clock::monotonic()));
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
        if self.user.input.is_wanted() {
            match self.user.terminal.as_ref().is_some_and(|terminal| terminal.is_foreground()) {
                true => awaited.stdin = libc::STDIN_FILENO,
                false => wait_at_most(BACKGROUND),
            }
        }
        awaited
    }

    /// Handles a key of the program's own.
    fn handle_key(&self, key: &Key) {
        match key {
            Key::Leave => {
                self.machine
                    .output
                    .message(format_args!("Ctrl-A X: the machine is switched off"), None);
                self.machine.lifecycle.end(End::UserQuit, None);
            }
            Key::PowerButton => {
                if let Some(board) = &self.machine.board {
                    let heard = match board.pm.listens_to_power_button() {
                        true => "",
                        false => "; the guest does not listen to it",
                    };
                    self.machine
                        .output
                        .message(format_args!("Ctrl-A P: the power button{heard}"), None);
                    board.pm.press_power_button();
                }
            }
            Key::Help => self.machine.output.message(format_args!("{}", keys::HELP), None),
            Key::Guest(_) | Key::Nothing => {}
        }
    }
}

/// Kicks all vCPUs.
pub fn kick_all(vcpus: &[RunningVcpu], request: Request) -> Result<(), CallError> {
    vcpus.iter().try_for_each(|vcpu| vcpu.kick(request))
}
