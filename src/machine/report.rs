//! What there is to tell when a run has ended.

use crate::config::OnReset;
use crate::host::syscall::Name;
use crate::inspect::death::{Cause, State};
use crate::inspect::guest_view::GuestView;
use crate::inspect::ram_map::RamMap;
use crate::inspect::replay;
use crate::kvm::exit::Death;
use crate::kvm::{self, Vcpu};
use crate::layout::TEST_EXIT;
use crate::lifecycle::End;
use crate::machine::{Error, Machine, without_output};
use crate::sys::ioctl::KVM_RUN;
use crate::sys::regs::{kvm_regs, kvm_sregs};
use crate::x86::RFLAGS_IF;
use alloc::format;
use alloc::string::String;

/// Writes out what the guest said last, and reports how the run has ended.
pub fn end(machine: &Machine) -> Result<End, Error> {
    let (end, number) = machine.lifecycle.how().expect("the event loop returns when it has ended");
    let end = match end {
        // Who leaves does not wait for a slow reader.
        End::UserQuit => {
            machine.output.do_not_wait();
            let _ = machine.output.finish();
            end
        }
        _ => match machine.output.finish() {
            Err(errno) if !is_failure(end) => without_output(errno),
            _ => end,
        },
    };
    let vcpu = number.map_or(0, |number| number as usize);
    let vcpu = &machine.runners[vcpu].vcpu;
    if let Some(replay) = &machine.replay {
        let (replay, memory) = (&*replay.lock(), &*machine.memory);
        machine.output.message(format_args!("{}", replay::Shown { replay, memory, end }), None);
        return Ok(end);
    }
    if let Some(dirty_log) = &machine.dirty_log {
        report_error(machine, dirty_log.show(None));
    }
    statistics(machine);
    match end {
        End::Halted => halted(machine, vcpu)?,
        End::Reset => {
            let then = what_follows(machine, end);
            machine.output.message(format_args!("the guest reset the machine{then}"), None);
        }
        End::Woken => machine.output.message(format_args!("the guest wakes up"), None),
        End::Died(death) => {
            show_death(machine, end, vcpu.number());
            if death == Death::Shutdown && machine.config.on_reset != OnReset::End {
                let then = what_follows(machine, end);
                machine
                    .output
                    .message(format_args!("a triple fault resets the machine{then}"), None);
            }
        }
        End::NeverWakes | End::Failed(_) => show_death(machine, end, vcpu.number()),
        End::Status(status) => {
            let text =
                format_args!("the guest ended with status {status} through port {TEST_EXIT:#x}");
            machine.output.message(text, None);
        }
        _ => {}
    }
    match end {
        End::Failed(error) => Err(error.into()),
        End::OutputFailed(errno) => Err(Error::Output(errno)),
        end => Ok(end),
    }
}

/// What comes of a reset.
fn what_follows(machine: &Machine, end: End) -> &'static str {
    match machine.config.on_reset {
        OnReset::End => "",
        _ if machine.is_followed(end) => ", which starts again",
        _ => ", which does not start again: IMAGE is not a regular file, and can't be read again",
    }
}

/// What fails while a death is reported does not replace it.
fn report_error(machine: &Machine, result: Result<(), kvm::Error>) {
    if let Err(error) = result {
        machine.output.message(format_args!("{error}"), None);
    }
}

fn is_failure(end: End) -> bool {
    matches!(end, End::Failed(_) | End::OutputFailed(_) | End::OutputClosed)
}

/// Shows the statistics at the end, if they are wanted.
fn statistics(machine: &Machine) {
    if machine.statistics.is_counting() {
        statistics_now(machine);
    } else {
        map(machine);
    }
}

/// Shows the picture of guest RAM, if it is wanted.
fn map(machine: &Machine) {
    if machine.config.instruments.map {
        let (picture, mapped) = (RamMap(&machine.memory), machine.statistics.mapped());
        machine.output.message(format_args!("{picture}\n  {mapped}"), None);
    }
}

/// Shows the statistics.
pub fn statistics_now(machine: &Machine) {
    let text = machine.statistics.show();
    match machine.statistics.is_json() {
        true => machine.output.data_line(format_args!("{text}")),
        false => machine.output.message(format_args!("{text}"), None),
    }
    map(machine);
}

/// The guest executed HLT, and there is no interrupt that could wake it.
fn halted(machine: &Machine, vcpu: &Vcpu) -> Result<(), kvm::Error> {
    let (regs, sregs) = (vcpu.regs()?, vcpu.sregs()?);
    let verdict = match regs.rflags & RFLAGS_IF {
        0 => "no interrupt could wake it",
        _ if machine.config.has_board() => {
            "an interrupt could wake it, but under single-step this software backend does not wait for one"
        }
        _ => "an interrupt could wake it, but without the board nothing sends one",
    };
    machine.output.message(
        format_args!(
            "KVM_EXIT_HLT: the guest halted\n  RIP {:#x}, CS base {:#x}\n  RFLAGS.IF is {}: {verdict}",
            regs.rip,
            sregs.cs.base,
            u8::from(regs.rflags & RFLAGS_IF != 0)
        ),
        None,
    );
    Ok(())
}

fn show_death(machine: &Machine, end: End, vcpu: u32) {
    if let Some(text) = death(machine, end, vcpu) {
        machine.output.message(format_args!("{text}"), None);
    }
}

/// If a guest that ended like this died: why it can't go on, and its state.
pub fn death(machine: &Machine, end: End, vcpu: u32) -> Option<String> {
    let vcpu = &machine.runners[vcpu as usize].vcpu;
    let (cause, was_refused) = match end {
        End::Died(death) => (format!("{}", Cause(death, vcpu.page())), death == Death::FailEntry),
        End::NeverWakes => (NEVER_WAKES.into(), false),
        End::Failed(kvm::Error::Ioctl { error, .. }) if error.call == Name::Request(KVM_RUN) => {
            ("KVM_RUN failed".into(), false)
        }
        _ => return None,
    };
    // What fails while a death is reported does not replace it.
    Some(
        died(machine, vcpu, &cause, was_refused)
            .unwrap_or_else(|error| format!("{cause}\n{error}")),
    )
}

const NEVER_WAKES: &str =
    "every vCPU that was started has executed HLT with interrupts off: nothing can wake the guest";

/// The guest can't go on: why, and its state. `was_refused`: the hardware did not enter it.
fn died(
    machine: &Machine,
    vcpu: &Vcpu,
    cause: &str,
    was_refused: bool,
) -> Result<String, kvm::Error> {
    let which = match machine.config.cpus {
        1 => "".into(),
        _ => format!("\n  on vCPU {}", vcpu.number()),
    };
    let (regs, sregs) = registers(machine, vcpu, was_refused)?;
    let memory = &*machine.memory;
    let view = Some(GuestView { vcpu, memory });
    let state = State { regs: &regs, sregs: &sregs, memory, view };
    Ok(format!("{cause}{which}{state}"))
}

/// The registers with which the guest died. After a failed entry these are the ones that were set: what KVM returns now may be neither
/// the guest's nor ours.
fn registers(
    machine: &Machine,
    vcpu: &Vcpu,
    was_refused: bool,
) -> Result<(kvm_regs, kvm_sregs), kvm::Error> {
    if !was_refused {
        return Ok((vcpu.regs()?, vcpu.sregs()?));
    }
    let stepper = machine.runners[vcpu.number() as usize].stepper.as_ref();
    let start = &machine.start_state;
    Ok(stepper.map_or((start.regs, start.sregs), |step| (step.before.regs, step.before.sregs)))
}
