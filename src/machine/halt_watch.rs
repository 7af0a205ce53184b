//! Notices that nothing can wake the guest any more.
//!
//! With the local APIC in the kernel, HLT does not exit: the vCPU waits in `KVM_RUN` for an interrupt. A guest whose vCPUs
//! have all executed HLT with interrupts off would wait there for ever. KVM does not tell, and a vCPU's state can't be read
//! while it is in `KVM_RUN`. So when the vCPUs have hardly run for a second, each is kicked once and asked. If an interrupt
//! could wake one of them, the guest is left alone until it has done something.

use crate::host::clock::{self, NANOSECONDS};
use crate::host::syscall::CallError;
use crate::machine::vcpu_thread::RunningVcpu;

/// How often the vCPUs' processor time is looked at.
const INTERVAL: u64 = NANOSECONDS;
/// vCPUs that use less than this of an interval sleep. A timer that interrupts nobody costs some, too.
const HARDLY: u64 = INTERVAL / 10;
/// What a guest must have used since it was asked, to be asked again.
const MUCH: u64 = INTERVAL / 4;

/// What the watch knows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// The guest runs, as far as is known.
    Runs,
    /// Its vCPUs were asked. `again`: they were asked before, and none could be woken.
    Asked { again: bool },
    /// An interrupt could wake it; so much processor time was used then.
    Idle { used: u64 },
}

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Step {
    Nothing,
    Ask,
    /// Nothing can wake the guest.
    End,
}

/// Watches all vCPUs.
pub struct HaltWatch {
    state: State,
    /// When to look next, and the processor time at the last look.
    next: u64,
    used: u64,
}

impl HaltWatch {
    /// A watch over a guest that starts now.
    pub fn start() -> HaltWatch {
        HaltWatch { state: State::Runs, next: clock::monotonic() + INTERVAL, used: 0 }
    }

    /// How many nanoseconds until the next look.
    pub fn time_until_next(&self) -> u64 {
        self.next.saturating_sub(clock::monotonic())
    }

    /// The guest has said something, or was given something: it may have changed what it waits for.
    pub fn was_active(&mut self) {
        if matches!(self.state, State::Idle { .. }) {
            self.state = State::Runs;
        }
    }

    /// Looks, where it is time to. `true`: nothing can wake the guest.
    pub fn poll(&mut self, vcpus: &[RunningVcpu]) -> Result<bool, CallError> {
        let now = clock::monotonic();
        if now < self.next {
            return Ok(false);
        }
        let used = vcpus.iter().map(RunningVcpu::processor_time).sum();
        let can_be_woken = vcpus.iter().any(|vcpu| vcpu.can_be_woken() != Some(false));
        match self.step(now, used, can_be_woken) {
            Step::Nothing => {}
            Step::Ask => vcpus.iter().try_for_each(RunningVcpu::ask_can_be_woken)?,
            Step::End => return Ok(true),
        }
        Ok(false)
    }

    /// `can_be_woken`: one of the vCPUs says so, or has not answered.
    fn step(&mut self, now: u64, used: u64, can_be_woken: bool) -> Step {
        let since_last = used.saturating_sub(core::mem::replace(&mut self.used, used));
        self.next = now + INTERVAL;
        let (state, step) = match self.state {
            State::Runs if since_last < HARDLY => (State::Asked { again: false }, Step::Ask),
            State::Runs => (State::Runs, Step::Nothing),
            State::Asked { .. } if can_be_woken => (State::Idle { used }, Step::Nothing),
            // One may have woken another between the two answers: ask once more.
            State::Asked { again: false } => (State::Asked { again: true }, Step::Ask),
            State::Asked { again: true } => (self.state, Step::End),
            State::Idle { used: before } if used.saturating_sub(before) > MUCH => {
                (State::Runs, Step::Nothing)
            }
            idle => (idle, Step::Nothing),
        };
        self.state = state;
        step
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A watch that looks every second, and what it does then.
    fn steps(looks: &[(u64, bool)]) -> Vec<Step> {
        let mut watch = HaltWatch { state: State::Runs, next: 0, used: 0 };
        let mut used = 0;
        let step = |(second, &(busy, woken)): (usize, &(u64, bool))| {
            used += busy;
            watch.step(second as u64 * INTERVAL, used, woken)
        };
        looks.iter().enumerate().map(step).collect()
    }

    #[test]
    fn a_guest_that_nothing_can_wake_is_asked_twice_and_then_given_up() {
        assert_eq!(
            steps(&[(INTERVAL, true), (0, true), (100, false), (100, false)]),
            [Step::Nothing, Step::Ask, Step::Ask, Step::End]
        );
    }

    #[test]
    fn an_idle_guest_is_asked_once() {
        let mut looks = vec![(0, true); 50];
        looks.extend([(HARDLY, true); 2]);
        let steps = steps(&looks);
        assert_eq!(steps.iter().filter(|step| **step == Step::Ask).count(), 1);
    }

    #[test]
    fn an_idle_guest_is_asked_again_after_work() {
        let asked = |looks: &[(u64, bool)]| {
            steps(looks).into_iter().filter(|step| *step == Step::Ask).count()
        };
        assert_eq!(asked(&[(0, true), (0, true), (MUCH + 1, true), (0, true)]), 2);
        assert_eq!(asked(&[(0, true); 1000]), 1);
        let mut watch = HaltWatch { state: State::Idle { used: 0 }, next: 0, used: 0 };
        watch.was_active();
        assert_eq!(watch.step(INTERVAL, 0, true), Step::Ask);
    }
}
