//! The main thread while the guest runs: it takes input, writes output, handles signals, and stops the vCPUs in the end.

use crate::config::Config;
use crate::devices::Timed;
use crate::host::clock;
use crate::host::emergency;
use crate::host::signal;
use crate::host::syscall::CallError;
use crate::host::terminal::Terminal;
use crate::lifecycle::{End, Request, Stop};
use crate::machine::board::Board;
use crate::machine::debugger::{Debugger, Resume, Why};
use crate::machine::halt_watch::HaltWatch;
use crate::machine::keys::{self, Input, Key};
use crate::machine::vcpu_thread::{RunningVcpu, VcpuRunner};
use crate::machine::{Error, Kept, Machine, processor_reset, report, without_output};
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
    input: Input,
    /// Taken while a guest with a serial port runs.
    terminal: Option<Terminal>,
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

impl Machine<'_> {
    /// Runs the guest to its end, and reports it. Returns with it what the next machine goes on from, if there is to be one.
    pub fn run(mut self, user: &mut User) -> Result<(End, Option<Kept>), Error> {
        if self.board.is_some() && self.replay.is_none() && user.terminal.is_none() {
            signal::guard_terminal()?;
            user.terminal = Some(Terminal::take(self.config.is_kernel()));
        }
        self.output.attach_event_loop(self.attention.clone());
        let result = self.run_to_end(user);
        self.output.detach_event_loop();
        // If the guest goes on after a reset, what is typed meanwhile is the guest's too.
        if !self.lifecycle.how().is_some_and(|(end, _)| self.goes_on(end)) {
            user.terminal = None;
        }
        let may_go_on = result?;
        let end = report::end(&self)?;
        let then = if may_go_on { self.next(end)? } else { None };
        Ok((end, then))
    }

    /// Runs the guest until the machine has to be built anew, or is not needed any more. Returns false where the debugger wants no
    /// other machine.
    fn run_to_end(&mut self, user: &mut User) -> Result<bool, Error> {
        let stops = match &mut user.debugger {
            Some(debugger) => debugger.starts(self)?,
            None => false,
        };
        let resume = if stops { self.hold(user, Why::Start)? } else { Resume::All };
        self.run_vcpus(user, resume)?;
        self.run_on(user)?;
        let Some((end, vcpu)) = self.lifecycle.how() else { return Ok(true) };
        let Some(debugger) = &mut user.debugger else { return Ok(true) };
        // After a reset it has the next machine, if there is one.
        let is_followed = self.goes_on(end);
        if debugger.wants_end(end) && !(is_followed && end == End::Reset) {
            let vcpu = vcpu.unwrap_or(0);
            let report =
                report::death(self, end, vcpu).unwrap_or("the guest reset the machine".into());
            if self.hold(user, Why::Ended(vcpu, &report))? == Resume::End {
                return Ok(false);
            }
        }
        if is_followed && let Some(debugger) = &mut user.debugger {
            debugger.is_followed(self, end);
        }
        Ok(true)
    }

    /// Goes on after each stop of the vCPUs, until the run has ended.
    fn run_on(&mut self, user: &mut User) -> Result<(), Error> {
        let mut sleeps = false;
        while self.lifecycle.how().is_none() {
            // The debugger comes first. What else has stopped the vCPUs waits until it lets them go on.
            if let Some(mut stops) = self.lifecycle.take_debug_stops() {
                self.complete_exits(&mut stops)?;
                match self.hold(user, Why::Stopped(&stops))? {
                    Resume::All | Resume::One(_) if sleeps => self.sleep(user)?,
                    resume => self.run_vcpus(user, resume)?,
                }
                continue;
            }
            let Some((stop, vcpu)) = self.lifecycle.take_stop() else { return Ok(()) };
            let Some(board) = &self.board else { return Ok(()) };
            match stop {
                Stop::ProcessorReset => {
                    let (runners, memory) = (&mut self.runners, &self.memory);
                    let after_reset = &self.start_state.after_reset;
                    match processor_reset::resume(after_reset, runners, board, memory)? {
                        true => self.run_vcpus(user, Resume::All)?,
                        false => self.lifecycle.end(End::Reset, vcpu),
                    }
                }
                // A replay ends here: what it is to show would be in another machine.
                Stop::Sleep | Stop::WakeUp if self.replay.is_some() => {
                    self.lifecycle.end(End::Reset, vcpu);
                }
                Stop::Sleep => {
                    self.output.message(format_args!("{ASLEEP}"), None);
                    board.pm.wake_if_due();
                    sleeps = true;
                    self.sleep(user)?;
                }
                Stop::WakeUp if self.waking_vector()?.is_some() => {
                    self.lifecycle.end(End::Woken, vcpu);
                }
                Stop::WakeUp => {
                    self.output.message(format_args!("{NO_WAKING_VECTOR}"), None);
                    self.lifecycle.end(End::Reset, vcpu);
                }
            }
        }
        Ok(())
    }

    /// Waits, without vCPUs, until something wakes the machine, or a debugger stops it.
    fn sleep(&mut self, user: &mut User) -> Result<(), Error> {
        Ok(EventLoop::new(self, user, &[]).run()?)
    }

    /// Runs the vCPUs, each in a thread, until they stop or the run has ended.
    fn run_vcpus(&mut self, user: &mut User, which: Resume) -> Result<(), Error> {
        if which == Resume::End {
            self.lifecycle.end(End::UserQuit, None);
        }
        if self.lifecycle.is_stopping() {
            return Ok(());
        }
        let mut running = Vec::new();
        let (runners, held) =
            self.runners.drain(..).partition(|runner| which.includes(runner.vcpu.number()));
        self.runners = held;
        let runners: Vec<VcpuRunner> = runners;
        let mut started = Ok(());
        for runner in runners {
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
            started = EventLoop::new(self, user, &running).run().map_err(Error::Host);
        }
        if let Err(error) = kick_all(&running, Request::Stop) {
            // A thread that can't be interrupted can't be waited for.
            emergency::exit_with_error(format_args!("{}", Error::Host(error)));
        }
        // Each goes back to its place among those that were held.
        for runner in running.into_iter().map(RunningVcpu::join) {
            let number = runner.vcpu.number();
            let at = self.runners.partition_point(|held| held.vcpu.number() < number);
            self.runners.insert(at, runner);
        }
        started
    }

    /// Lets the debugger have the machine until it knows how the vCPUs, which stand, go on.
    pub(super) fn serve_debugger(&mut self, user: &mut User) -> Result<Resume, Error> {
        Ok(EventLoop::new(self, user, &[]).serve_debugger()?)
    }

    /// Handles a key of the program's own.
    fn handle_key(&self, key: &Key) {
        match key {
            Key::Leave => {
                self.output.message(format_args!("Ctrl-A X: the machine is switched off"), None);
                self.lifecycle.end(End::UserQuit, None);
            }
            Key::PowerButton => {
                if let Some(board) = &self.board {
                    let heard = match board.pm.listens_to_power_button() {
                        true => "",
                        false => "; the guest does not listen to it",
                    };
                    self.output.message(format_args!("Ctrl-A P: the power button{heard}"), None);
                    board.pm.press_power_button();
                }
            }
            Key::Help => self.output.message(format_args!("{}", keys::HELP), None),
            Key::Guest(_) | Key::Nothing => {}
        }
    }
}

const ASLEEP: &str = "the guest sleeps (ACPI S3); its alarm or Ctrl-A P wakes it";
const NO_WAKING_VECTOR: &str =
    "the guest wakes up, but its FACS has no waking vector: the machine is reset";

/// What the main thread attends to while the guest runs.
struct EventLoop<'a> {
    machine: &'a Machine<'a>,
    vcpus: &'a [RunningVcpu],
    user: &'a mut User,
    /// Devices that act by themselves.
    timed: Vec<Arc<dyn Timed>>,
    halts: Option<HaltWatch>,
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
    fn new(
        machine: &'a Machine<'a>,
        user: &'a mut User,
        vcpus: &'a [RunningVcpu],
    ) -> EventLoop<'a> {
        let timed = machine.board.as_ref().map_or(Vec::new(), Board::timed);
        // Without vCPUs it sleeps, or the debugger has them. One that is held could wake one that runs.
        let has_all = vcpus.len() == machine.config.cpus as usize;
        let halts = (machine.board.is_some() && has_all).then(HaltWatch::start);
        EventLoop { machine, vcpus, user, timed, halts, gathers_until: None, has_left: false }
    }

    /// Until the run has ended.
    fn run(&mut self) -> Result<(), CallError> {
        while !self.is_over()? {
            if self.wait_and_act()?
                && self.user.debugger.as_mut().is_some_and(|debugger| debugger.wants_stop())
            {
                self.machine.lifecycle.stop_for_debugger(None);
            }
        }
        Ok(())
    }

    /// Until the debugger, which has the machine, knows how the vCPUs go on.
    fn serve_debugger(&mut self) -> Result<Resume, CallError> {
        let had_ended = self.machine.lifecycle.how().is_some();
        loop {
            self.is_over()?;
            if self.has_left || signal::stopping().is_some() {
                return Ok(Resume::End);
            }
            if !had_ended && self.machine.lifecycle.how().is_some() {
                return Ok(Resume::End);
            }
            if self.wait_and_act()?
                && let Some(debugger) = &mut self.user.debugger
                && let Some(resume) = debugger.serve(self.machine)
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
                true => self.vcpus.first().map_or(Ok(()), RunningVcpu::interrupt)?,
                false => is_active = true,
            }
        }
        if is_active && let Some(halts) = &mut self.halts {
            halts.was_active();
        }
        if stdin && let Some(key) = self.user.input.read() {
            self.has_left |= matches!(key, Key::Leave);
            self.machine.handle_key(&key);
        }
        if output {
            self.machine.output.write_some();
        }
        Ok(listener || client)
    }

    /// Handles signals, and finds out whether the run has ended, by itself or because it can't go on.
    fn is_over(&mut self) -> Result<bool, CallError> {
        let Machine { lifecycle, output, .. } = self.machine;
        if signal::take_statistics_wanted() {
            report::statistics_now(self.machine);
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
}

fn kick_all(vcpus: &[RunningVcpu], request: Request) -> Result<(), CallError> {
    vcpus.iter().try_for_each(|vcpu| vcpu.kick(request))
}
