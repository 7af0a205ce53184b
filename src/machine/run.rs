//! A machine's run, from its first instruction to its end: the vCPUs' threads are started, and stopped again where the guest or a debugger
//! wants it.

use crate::config::Save;
use crate::host::emergency;
use crate::host::signal;
use crate::host::terminal::Terminal;
use crate::lifecycle::{End, Request, Stop};
use crate::machine::debugger::{Resume, Why};
use crate::machine::event_loop::{EventLoop, User, kick_all};
use crate::machine::save::AfterSave;
use crate::machine::vcpu_thread::{RunningVcpu, VcpuRunner};
use crate::machine::{Error, Kept, Machine, processor_reset, report};
use alloc::vec::Vec;

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
        if !self.lifecycle.how().is_some_and(|(end, _)| self.is_followed(end)) {
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
        // One that was saved in its sleep sleeps on.
        if self.board.as_ref().is_some_and(|board| board.pm.is_asleep()) {
            self.output.message(format_args!("{ASLEEP}"), None);
        }
        self.run_or_sleep(user, resume)?;
        self.serve_stops(user, resume)?;
        let Some((end, vcpu)) = self.lifecycle.how() else { return Ok(true) };
        let Some(debugger) = &mut user.debugger else { return Ok(true) };
        // After a reset it has the next machine, if there is one.
        let is_followed = self.is_followed(end);
        if debugger.wants_end(end) && !(is_followed && end == End::Reset) {
            let vcpu = vcpu.unwrap_or(0);
            let report =
                report::death(self, end, vcpu).unwrap_or("the guest reset the machine".into());
            if self.hold(user, Why::Ended(vcpu, &report))? == Resume::End {
                return Ok(false);
            }
        }
        if is_followed && let Some(debugger) = &mut user.debugger {
            debugger.another_machine_follows(self, end);
        }
        Ok(true)
    }

    /// Serves what stops the vCPUs, and lets them go on, until the run has ended.
    fn serve_stops(&mut self, user: &mut User, resume: Resume) -> Result<(), Error> {
        let mut resume = resume;
        while self.lifecycle.how().is_none() {
            // The debugger comes first. What else has stopped the vCPUs waits until it lets them go on.
            if let Some(stops) = self.lifecycle.take_debug_stops() {
                resume = self.hold(user, Why::Stopped(&stops))?;
            } else if let Some((stop, vcpu)) = self.lifecycle.take_stop() {
                self.handle_stop(stop, vcpu)?;
            } else if self.lifecycle.take_save() {
                self.save_as_configured(user);
            } else {
                return Ok(());
            }
            self.run_or_sleep(user, resume)?;
        }
        Ok(())
    }

    /// Does what the guest has stopped the vCPUs for, on this vCPU.
    fn handle_stop(&mut self, stop: Stop, vcpu: Option<u32>) -> Result<(), Error> {
        let Some(board) = &self.board else { return Ok(()) };
        match stop {
            Stop::ProcessorReset => {
                let (runners, memory) = (&mut self.runners, &self.memory);
                let after_reset = &self.start_state.after_reset;
                if !processor_reset::resume(after_reset, runners, board, memory)? {
                    self.lifecycle.end(End::Reset, vcpu);
                }
            }
            // A replay ends here: what it is to show would be in another machine.
            Stop::Sleep | Stop::WakeUp if self.replay.is_some() => {
                self.lifecycle.end(End::Reset, vcpu);
            }
            Stop::Sleep => self.output.message(format_args!("{ASLEEP}"), None),
            Stop::WakeUp if self.waking_vector()?.is_some() => {
                self.lifecycle.end(End::Woken, vcpu);
            }
            Stop::WakeUp => {
                self.output.message(format_args!("{NO_WAKING_VECTOR}"), None);
                self.lifecycle.end(End::Reset, vcpu);
            }
        }
        Ok(())
    }

    /// Runs vCPUs, unless the machine sleeps.
    fn run_or_sleep(&mut self, user: &mut User, resume: Resume) -> Result<(), Error> {
        match &self.board {
            Some(board) if board.pm.is_asleep() && resume != Resume::End => {
                board.pm.wake_if_due();
                self.sleep(user)
            }
            _ => self.run_vcpus(user, resume),
        }
    }

    /// Saves the machine where the user has said. If that can't be done, it goes on.
    pub(super) fn save_as_configured(&self, user: &User) {
        let why_not = match (self.config.save, &user.debugger) {
            // The guest runs again to show its last instructions, and nothing else.
            _ if self.replay.is_some() => return,
            (None, _) => "there is no --save or --save-ram",
            (_, Some(debugger)) if debugger.has_breakpoints_in_code() => {
                "the debugger has breakpoints in the guest's code"
            }
            (Some(save), _) => return self.save_or_say_why_not(save, user),
        };
        self.output.message(format_args!("not saved: {why_not}"), None);
    }

    fn save_or_say_why_not(&self, save: Save, user: &User) {
        match self.save(save, &user.input) {
            Ok(AfterSave::Ends) => self.lifecycle.end(End::Saved, None),
            Ok(AfterSave::GoesOn) => {}
            Err(error) => {
                let text = format_args!("not saved: {error}");
                self.output.message(text, None);
            }
        }
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
        // From now on the contents of RAM are the guest's.
        self.memory.ram().keep()?;
        let mut running = Vec::new();
        let (runners, held) =
            self.runners.drain(..).partition(|runner| which.includes(runner.vcpu.number()));
        self.runners = held;
        let runners: Vec<VcpuRunner> = runners;
        let mut started = Ok(());
        for runner in runners {
            match RunningVcpu::start(runner) {
                Ok(vcpu) => running.push(vcpu),
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
        for runner in running.into_iter().map(RunningVcpu::take_back) {
            let number = runner.vcpu.number();
            let at = self.runners.partition_point(|held| held.vcpu.number() < number);
            self.runners.insert(at, runner);
        }
        started
    }

    /// Lets the debugger have the machine, whose vCPUs have stopped, until it knows how they go on.
    fn hold(&mut self, user: &mut User, why: Why) -> Result<Resume, Error> {
        let Some(debugger) = &mut user.debugger else { return Ok(Resume::All) };
        if let Some(resume) = debugger.stopped(self, why)? {
            return Ok(resume);
        }
        // Or the debugger's, who may write to it.
        self.memory.ram().keep()?;
        let resume = EventLoop::new(self, user, &[]).serve_debugger()?;
        self.note_pause();
        Ok(resume)
    }
}

const ASLEEP: &str = "the guest sleeps (ACPI S3); its alarm or Ctrl-A P wakes it";
const NO_WAKING_VECTOR: &str =
    "the guest wakes up, but its FACS has no waking vector: the machine is reset";
