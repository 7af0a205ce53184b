//! The run loop: enter the guest, and answer what it exits with.

use crate::host::clock;
use crate::host::mutex::Mutex;
use crate::host::syscall::CallError;
use crate::host::thread::Worker;
use crate::inspect::observer::{ExitObserver, HandledExit, ObservedExit};
use crate::inspect::replay::Replay;
use crate::inspect::stepper::Stepper;
use crate::inspect::timeline;
use crate::inspect::trace;
use crate::kvm::exit::{self, Exit};
use crate::kvm::{self, Vcpu};
use crate::lifecycle::{Activity, End, Request, VcpuControl};
use crate::machine::Error;
use crate::machine::controllers::InterruptPin;
use crate::machine::exit_handler::ExitHandler;
use crate::memory::GuestMemory;
use crate::show::number;
use crate::sys::events::{
    KVM_MP_STATE_HALTED, KVM_MP_STATE_INIT_RECEIVED, KVM_MP_STATE_UNINITIALIZED,
};
use crate::x86::{LVT_COUNTERS, LVT_LINT0, RFLAGS_IF, delivers_without_if};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// How often a vCPU that was woken before another one has started it enters KVM_RUN again, in nanoseconds.
const START_INTERVAL: u64 = 10_000_000;

/// A vCPU and all that its thread needs.
pub struct VcpuRunner {
    pub vcpu: Vcpu,
    /// Of the time since it was last started.
    pub control: Arc<VcpuControl>,
    pub handler: Arc<ExitHandler>,
    /// The instruments. A run without any pays for one branch at each exit.
    pub observers: Vec<Box<dyn ExitObserver>>,
    /// Under single-step.
    pub stepper: Option<Stepper>,
    /// Where the steps of a replay are kept.
    pub replay: Option<Arc<Mutex<Replay>>>,
    pub memory: Arc<GuestMemory>,
    /// HLT waits in the kernel, since the local APIC is there. Not under single-step on a software backend.
    pub hlt_waits_in_kernel: bool,
    /// The interval timer is KVM's.
    pub has_kvm_s_timer: bool,
    /// The boot processor's, where the 8259s are not KVM's.
    pub interrupt_pin: Option<InterruptPin>,
    /// A debugger or a snapshot has cut its wait at HLT short, which it goes on with.
    pub waits_at_hlt: bool,
    /// Its thread, which waits. `None` before it has first run, and while it runs. A vCPU keeps its thread: KVM tells the guest what
    /// other programs have taken from that thread, as *steal time*, and with another one the sum would go back.
    pub thread: Option<Worker<VcpuRunner>>,
}

impl VcpuRunner {
    /// Runs the guest until the run has ended, or the vCPU is asked to stop.
    fn run(&mut self) {
        if core::mem::take(&mut self.waits_at_hlt) {
            self.wait_at_hlt_again();
        }
        self.observers.iter_mut().for_each(|observer| observer.goes_on());
        while !self.handler.lifecycle.is_stopping() {
            match self.enter_guest() {
                Ok(()) => self.handle_exit(),
                // A kick; or EAGAIN: the vCPU waits for another one to start it, and was woken for something else.
                Err(kvm::Error::Ioctl { error, .. })
                    if error.is(libc::EINTR) || error.is(libc::EAGAIN) =>
                {
                    let number = self.vcpu.number();
                    self.observers.iter_mut().for_each(|observer| observer.paused(number));
                    if self.control.handle_request().is_err() {
                        break;
                    }
                    if self.control.is_asked() {
                        // If KVM does not tell, the guest goes on.
                        self.control.answer(self.activity().unwrap_or(Activity::Runs));
                    }
                    // While an NMI is pending for a vCPU that nobody has started, KVM_RUN returns at once.
                    if error.is(libc::EAGAIN)
                        && self.vcpu.mp_state() == Ok(KVM_MP_STATE_UNINITIALIZED)
                        && self.control.sleep(START_INTERVAL).is_err()
                    {
                        break;
                    }
                    self.observers.iter_mut().for_each(|observer| observer.goes_on());
                }
                Err(error) => {
                    let number = Some(self.vcpu.number());
                    self.handler.lifecycle.end(End::Failed(error), number);
                }
            }
        }
        // Where the run goes on, the registers are to be those between two instructions.
        if self.handler.lifecycle.how().is_none()
            && let Err(error) = self.complete_exit()
        {
            self.handler.lifecycle.end(End::Failed(error), Some(self.vcpu.number()));
        }
        self.control.stopped();
    }

    fn wait_at_hlt_again(&mut self) {
        match self.vcpu.regs() {
            Ok(regs) => {
                let takes_interrupts = regs.rflags & RFLAGS_IF != 0;
                self.handler.handle(Exit::Halt { takes_interrupts }, &self.control);
            }
            Err(error) => self.handler.lifecycle.end(End::Failed(error), Some(self.vcpu.number())),
        }
    }

    #[inline]
    fn enter_guest(&mut self) -> Result<(), kvm::Error> {
        if let Some(pin) = &mut self.interrupt_pin {
            pin.update(&mut self.vcpu)?;
        }
        self.vcpu.run()
    }

    /// Lets KVM finish what the last exit has begun, and answers what belongs to it.
    fn complete_exit(&mut self) -> Result<(), kvm::Error> {
        // There is nothing to finish, and the guest is still to wait.
        if self.control.has_left_hlt() {
            self.waits_at_hlt = true;
            return Ok(());
        }
        while self.vcpu.finish_exit()? {
            self.handle_exit();
        }
        Ok(())
    }

    fn activity(&self) -> Result<Activity, kvm::Error> {
        let can_wake = || -> Result<bool, kvm::Error> {
            Ok(self.vcpu.regs()?.rflags & RFLAGS_IF != 0 || self.has_nmi_source()?)
        };
        Ok(match self.vcpu.mp_state()? {
            KVM_MP_STATE_HALTED if can_wake()? => Activity::WaitsForInterrupt,
            // The last two wait for another vCPU to start them.
            KVM_MP_STATE_HALTED | KVM_MP_STATE_UNINITIALIZED | KVM_MP_STATE_INIT_RECEIVED => {
                Activity::NeedsOtherVcpu
            }
            _ => Activity::Runs,
        })
    }

    /// Whether an NMI or the like could come: from KVM's interval timer at LINT0 or a performance counter, as a watchdog has it, or from
    /// a line of the I/O APIC. LINT1 has the NMI as on a PC, but nothing here drives that pin.
    fn has_nmi_source(&self) -> Result<bool, kvm::Error> {
        let lapic = self.vcpu.lapic()?;
        let is_nmi = |at: usize| delivers_without_if(number(&lapic.regs[at..at + 4]));
        let is_local = is_nmi(LVT_COUNTERS) || self.has_kvm_s_timer && is_nmi(LVT_LINT0);
        let entries = match self.handler.io_apic() {
            Some(io_apic) => io_apic.entries(),
            None => self.vcpu.vm().io_apic_entries()?,
        };
        Ok(is_local || entries.into_iter().any(delivers_without_if))
    }

    #[inline]
    fn handle_exit(&mut self) {
        self.handler.log.collect(self.vcpu.page_mut());
        if self.observers.is_empty() && self.stepper.is_none() {
            self.handler.handle(exit::decode(self.vcpu.page_mut()), &self.control);
        } else {
            self.handle_timed_exit();
        }
    }

    /// Observers also learn how long it took.
    fn handle_timed_exit(&mut self) {
        let (reason, began) = (self.vcpu.page().exit_reason(), clock::monotonic());
        let answered_by = self.handle_observed_exit(trace::time_at(began));
        let (vcpu, ended) = (self.vcpu.number(), clock::monotonic());
        let handled = HandledExit { vcpu, reason, began, ended, answered_by };
        self.observers.iter_mut().for_each(|observer| observer.handled(&handled));
    }

    /// Observers see a write before it is answered, so that a trace shows the cause before the effect; and a read after
    /// it, with what the guest gets. Returns who answered.
    fn handle_observed_exit(&mut self, time: u64) -> &'static str {
        let has_halted = self.has_stepped_over_hlt();
        let exit = exit::decode(self.vcpu.page_mut());
        let is_step = matches!(exit, Exit::Debug(_));
        let (needs_reply, answered_by) = (exit.needs_reply(), self.handler.name(&exit));
        if needs_reply {
            self.handler.handle(exit, &self.control);
        }

        let mut observed = ObservedExit {
            vcpu: &mut self.vcpu,
            control: &self.control,
            time,
            answered_by,
            step: self.stepper.as_ref(),
        };
        for observer in &mut self.observers {
            observer.exit(&mut observed);
        }

        if !needs_reply {
            let takes_interrupts = self.vcpu.page().has_interrupts_on();
            let exit = match is_step && has_halted {
                true => Exit::Halt { takes_interrupts },
                false => exit::decode(self.vcpu.page_mut()),
            };
            self.handler.handle(exit, &self.control);
        }
        if let Some(stepper) = &mut self.stepper {
            if !is_step {
                stepper.note_exit(&self.vcpu, &self.memory);
                return answered_by;
            }
            if let Err(error) = stepper.advance(&self.vcpu, &self.memory) {
                self.handler.lifecycle.end(End::Failed(error), Some(self.vcpu.number()));
            }
            if let Some(replay) = &self.replay {
                replay.lock().add(stepper);
            }
        }
        answered_by
    }

    /// Whether a step was a HLT that ends the run: it would exit where the local APIC is not in the kernel.
    fn has_stepped_over_hlt(&self) -> bool {
        let now = self.vcpu.page().registers();
        !self.hlt_waits_in_kernel && self.stepper.as_ref().is_some_and(|step| step.was_hlt(now))
    }
}

/// A vCPU whose thread has it.
pub struct RunningVcpu {
    control: Arc<VcpuControl>,
    thread: Worker<VcpuRunner>,
}

impl RunningVcpu {
    /// Lets the vCPU run, in its thread.
    pub fn start(mut runner: VcpuRunner) -> Result<RunningVcpu, Error> {
        let immediate_exit = runner.vcpu.page().immediate_exit();
        let control = Arc::new(VcpuControl::new(runner.vcpu.number(), Some(immediate_exit)));
        runner.control = control.clone();
        let thread = match runner.thread.take() {
            Some(thread) => thread,
            None => Worker::start(VcpuRunner::run)?,
        };
        timeline::end_set_up();
        thread.give(runner);
        Ok(RunningVcpu { control, thread })
    }

    /// The kick: asks for something, wherever the vCPU is.
    pub fn kick(&self, request: Request) -> Result<(), CallError> {
        self.control.request(request);
        self.thread.thread().kick()
    }

    /// Waits until it does not run the guest.
    pub fn wait_until_not_running(&self) {
        self.control.wait_until_not_running();
    }

    /// Its number.
    pub fn number(&self) -> u32 {
        self.control.number()
    }

    /// Kicks the vCPU, so that it asks the 8259s before it enters the guest again.
    pub fn interrupt(&self) -> Result<(), CallError> {
        self.control.wake();
        self.kick(Request::Run)
    }

    /// Asks what its guest does.
    pub fn ask_activity(&self) -> Result<(), CallError> {
        self.control.ask_activity();
        self.thread.thread().kick()
    }

    /// The answer; `None` while there is none.
    pub fn activity(&self) -> Option<Activity> {
        self.control.activity()
    }

    /// How long it has run, in nanoseconds: the guest and what serves it.
    pub fn processor_time(&self) -> u64 {
        self.thread.thread().processor_time()
    }

    /// Waits until the vCPU has stopped.
    pub fn take_back(self) -> VcpuRunner {
        let mut runner = self.thread.take_back();
        runner.thread = Some(self.thread);
        runner
    }
}
