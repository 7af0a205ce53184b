//! Notices that nothing can wake the guest any more.
//!
//! With the local APIC in the kernel, HLT does not exit: the vCPU waits in `KVM_RUN` for an interrupt. A guest whose vCPUs
//! have all executed HLT with interrupts off would wait there for ever. KVM does not tell, and a vCPU's state can't be read
//! while it is in `KVM_RUN`. So when the vCPUs have hardly run for a second, each is kicked once and asked. If an interrupt
//! could wake one of them, the guest is left alone until it has said, read or computed something. Its processor time is
//! then looked at after 1, 4, 16 and at most 64 seconds. A vCPU that a device keeps waiting answers
//! afterwards.

use crate::host::clock::{self, NANOSECONDS};
use crate::host::syscall::CallError;
use crate::lifecycle::Activity;
use crate::machine::vcpu_thread::RunningVcpu;

/// How often the vCPUs' processor time is looked at.
const INTERVAL: u64 = NANOSECONDS;
/// The longest that is waited between two looks at a guest that is idle.
const LONGEST: u64 = 64 * INTERVAL;
/// vCPUs that use less than this of an interval sleep. A timer costs some, whether it interrupts anybody or not.
const IDLE_BELOW: u64 = INTERVAL / 10;

/// What the watch knows.
#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// The guest runs, as far as is known.
    Runs,
    /// Its vCPUs were asked. `again`: they were asked before, and none could be woken.
    Asked { again: bool },
    /// It waits for interrupts.
    Idle,
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
    /// How long to wait then, in nanoseconds: the longer, the longer the guest has been idle.
    interval: u64,
}

impl HaltWatch {
    /// A watch over a guest that starts now, or goes on.
    pub fn start(vcpus: &[RunningVcpu]) -> HaltWatch {
        HaltWatch {
            state: State::Runs,
            next: clock::monotonic() + INTERVAL,
            used: processor_time(vcpus),
            interval: INTERVAL,
        }
    }

    /// How many nanoseconds until the next look.
    pub fn time_until_next(&self) -> u64 {
        self.next.saturating_sub(clock::monotonic())
    }

    /// The guest has said something, or was given something: it may have changed what it waits for.
    pub fn was_active(&mut self) {
        if self.state == State::Idle {
            self.state = State::Runs;
            self.next = self.next.min(clock::monotonic() + INTERVAL);
        }
    }

    /// Looks, where it is time to. `true`: nothing can wake the guest.
    pub fn poll(&mut self, vcpus: &[RunningVcpu]) -> Result<bool, CallError> {
        let now = clock::monotonic();
        if now < self.next {
            return Ok(false);
        }
        let used = processor_time(vcpus);
        let activity = of_all(vcpus.iter().map(RunningVcpu::activity));
        match self.step(now, used, activity) {
            Step::Nothing => {}
            Step::Ask => vcpus.iter().try_for_each(RunningVcpu::ask_activity)?,
            Step::End => return Ok(true),
        }
        Ok(false)
    }

    /// `activity`: what [`of_all`] says.
    fn step(&mut self, now: u64, used: u64, activity: Option<Activity>) -> Step {
        let since_last = used.saturating_sub(core::mem::replace(&mut self.used, used));
        let (state, step) = match self.state {
            State::Runs if since_last < IDLE_BELOW => (State::Asked { again: false }, Step::Ask),
            State::Runs => (State::Runs, Step::Nothing),
            State::Asked { again } => match activity {
                None => (self.state, Step::Nothing),
                Some(Activity::Runs) => (State::Runs, Step::Nothing),
                Some(Activity::WaitsForInterrupt) => (State::Idle, Step::Nothing),
                // One may have woken another between the two answers: ask once more.
                Some(Activity::NeedsOtherVcpu) if !again => {
                    (State::Asked { again: true }, Step::Ask)
                }
                Some(Activity::NeedsOtherVcpu) => (self.state, Step::End),
            },
            State::Idle if since_last >= IDLE_BELOW => (State::Runs, Step::Nothing),
            State::Idle => (State::Idle, Step::Nothing),
        };
        self.interval = match (self.state, state) {
            (State::Idle, State::Idle) => (self.interval * 4).min(LONGEST),
            _ => INTERVAL,
        };
        self.next = now + self.interval;
        self.state = state;
        step
    }
}

/// How long all of them have run, in nanoseconds.
fn processor_time(vcpus: &[RunningVcpu]) -> u64 {
    vcpus.iter().map(RunningVcpu::processor_time).sum()
}

/// What the guest as a whole does; `None` while a vCPU has not answered.
fn of_all(answers: impl Iterator<Item = Option<Activity>>) -> Option<Activity> {
    let mut of_all = Activity::NeedsOtherVcpu;
    for answer in answers {
        of_all = match (of_all, answer?) {
            (Activity::Runs, _) | (_, Activity::Runs) => Activity::Runs,
            (Activity::NeedsOtherVcpu, Activity::NeedsOtherVcpu) => Activity::NeedsOtherVcpu,
            _ => Activity::WaitsForInterrupt,
        };
    }
    Some(of_all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Activity::{NeedsOtherVcpu, Runs, WaitsForInterrupt};

    /// A watch that looks every second, and what it does then.
    fn steps(looks: &[(u64, Option<Activity>)]) -> Vec<Step> {
        let mut watch = HaltWatch { state: State::Runs, next: 0, used: 0, interval: INTERVAL };
        let mut used = 0;
        let step = |(second, &(busy, activity)): (usize, &(u64, Option<Activity>))| {
            used += busy;
            watch.step(second as u64 * INTERVAL, used, activity)
        };
        looks.iter().enumerate().map(step).collect()
    }

    #[test]
    fn a_guest_that_nothing_can_wake_is_asked_twice_and_then_given_up() {
        assert_eq!(
            steps(&[
                (INTERVAL, None),
                (0, None),
                (100, Some(NeedsOtherVcpu)),
                (100, Some(NeedsOtherVcpu))
            ]),
            [Step::Nothing, Step::Ask, Step::Ask, Step::End]
        );
    }

    #[test]
    fn a_vcpu_in_a_device_s_wait_answers_late_and_is_asked_again() {
        let late = [(0, None), (0, None), (0, None), (0, Some(Runs)), (0, Some(Runs))];
        let then = [(0, Some(NeedsOtherVcpu)); 2];
        assert_eq!(
            steps(&[&late[..], &then].concat()),
            [
                Step::Ask,
                Step::Nothing,
                Step::Nothing,
                Step::Nothing,
                Step::Ask,
                Step::Ask,
                Step::End
            ]
        );
    }

    #[test]
    fn an_idle_guest_is_asked_once_and_again_after_work() {
        let idle = Some(WaitsForInterrupt);
        let asked = |looks: &[(u64, Option<Activity>)]| {
            steps(looks).into_iter().filter(|step| *step == Step::Ask).count()
        };
        assert_eq!(asked(&[(0, idle); 1000]), 1);
        assert_eq!(asked(&[(IDLE_BELOW - 1, idle); 1000]), 1, "it handles its timer's ticks");
        assert_eq!(asked(&[(0, idle), (0, idle), (IDLE_BELOW, idle), (0, idle)]), 2);
        let mut watch = HaltWatch { state: State::Idle, next: 0, used: 0, interval: LONGEST };
        watch.was_active();
        assert_eq!(watch.step(INTERVAL, 0, idle), Step::Ask);
        // The looks become seldom, and come each second again when the guest does something.
        let mut watch = HaltWatch { state: State::Idle, next: 0, used: 0, interval: INTERVAL };
        let mut looks = vec![];
        for _ in 0..4 {
            let now = watch.next;
            watch.step(now, 0, idle);
            looks.push((watch.next - now) / INTERVAL);
        }
        assert_eq!(looks, [4, 16, 64, 64]);
        watch.step(watch.next, IDLE_BELOW, idle);
        assert_eq!(watch.interval, INTERVAL);
    }

    #[test]
    fn the_guest_does_what_its_most_active_vcpu_does() {
        for (answers, expected) in [
            (&[Some(NeedsOtherVcpu), None][..], None),
            (&[Some(NeedsOtherVcpu), Some(WaitsForInterrupt)], Some(WaitsForInterrupt)),
            (&[Some(WaitsForInterrupt), Some(Runs), Some(NeedsOtherVcpu)], Some(Runs)),
            (&[Some(NeedsOtherVcpu); 3], Some(NeedsOtherVcpu)),
        ] {
            assert_eq!(of_all(answers.iter().copied()), expected);
        }
    }
}
