//! A machine with a board: interrupt controllers in the kernel, several vCPUs, a serial port.
//!
//! ```text
//!   first thread: attend            a thread each: vcpu
//!   ┌──────────────────────┐       ┌──────────────────────┐
//!   │ standard input ──────┼─▶ the │ KVM_RUN              │
//!   │ standard output ◀────┼─ lock ┼▶ answer, under the   │
//!   │ signals, the end     │◀ wake ┼─ lock                │
//!   └──────────────────────┘       └──────────────────────┘
//! ```
//!
//! The first thread gets all signals, and all input, and writes out what the serial port sends a moment after
//! it began. Whichever vCPU comes to an end leaves a note of it and wakes the first thread, which then tells the
//! others to stop, waits until they have, and tells how it went.

use crate::answer::Devices;
use crate::boot::files::Files;
use crate::cli::{Options, STATS};
use crate::device::board::Board;
use crate::error::{Call, Error};
use crate::fd::{self, Buffer, Fd};
use crate::kvm::Kvm;
use crate::layout;
use crate::machine::{Cpu, Machine, make_cpu, without_output};
use crate::report::End;
use crate::signal;
use crate::sys::cap::KVM_CAP_MAX_VCPUS;
use crate::sys::ioctl;
use crate::terminal::{Key, Keys, Terminal};
use crate::thread::{Lock, Row, Thread};
use crate::vm::Vm;
use crate::words;
use core::cell::UnsafeCell;

/// The interrupt controllers and the timer; the lines as a PC has them.
#[inline(never)]
pub fn interrupts(vm: &Vm) -> Result<(), Error> {
    vm.create_irqchip()?;
    vm.set_routing(None)?;
    vm.create_pit()
}

/// Whether KVM has as many vCPUs: E2BIG.
pub fn enough_cpus(options: &Options, kvm: &Kvm) -> Result<(), Error> {
    match options.cpus {
        2.. if options.cpus > kvm.check_extension(KVM_CAP_MAX_VCPUS)? as u32 => {
            Err(Call::ioctl(ioctl::KVM_CREATE_VCPU).error(libc::E2BIG))
        }
        _ => Ok(()),
    }
}

/// A vCPU, and the thread that runs it.
struct Runner<'m> {
    thread: Thread,
    shared: *const Lock<Machine<'m>>,
    /// The vCPU's: [`crate::vcpu::RunPage::immediate_exit`].
    immediate_exit: *mut u8,
    /// The thread's, from its start to its end.
    cpu: UnsafeCell<Cpu<'m>>,
}

/// What a vCPU's thread does.
extern "C" fn vcpu(runner: *const ()) {
    // SAFETY: `run` keeps the runners and what is shared until the threads have ended.
    let (shared, cpu) = unsafe {
        let runner = &*runner.cast::<Runner>();
        (&*runner.shared, &mut *runner.cpu.get())
    };
    let end = loop {
        // Whoever sets this sets immediate_exit afterwards, and then sends a signal.
        if signal::stopped() {
            return;
        }
        match cpu.enter(shared) {
            Ok(None) => {}
            Ok(Some(end)) => break Ok(end),
            Err(error) => break Err(error),
        }
    };
    let mut machine = shared.lock();
    // The first end counts.
    if machine.end.is_none() {
        machine.end = Some((cpu.number, end));
    }
    if let Some(wake) = &machine.wake {
        wake.ring();
    }
}

/// Runs a machine to its end: makes the other vCPUs and all threads, attends to them, and stops them in order.
#[inline(never)]
pub fn run<'m>(mut machine: Machine<'m>, kvm: &Kvm, files: &Files) -> Result<End, Error> {
    let options = machine.options;
    enough_cpus(options, kvm)?;
    let silent = machine.replays();
    set_devices(&mut machine.devices, files.is_kernel(), silent)?;
    machine.wake = Some(Fd::event()?);
    let shared = Lock::new(machine);
    let mut runners = Row::new(options.cpus as usize)?;
    for number in 0..options.cpus {
        let mut machine = shared.lock();
        let cpu = make_cpu(options, kvm, &machine.vm, number, files, false)?;
        let immediate_exit = cpu.vcpu.page().immediate_exit();
        let cpu = UnsafeCell::new(cpu);
        runners.push(Runner {
            thread: Thread::none(),
            shared: &raw const shared,
            immediate_exit,
            cpu,
        });
        if let Some(runner) = runners.last_mut() {
            machine.watch(runner.cpu.get_mut())?;
        }
    }

    shared.lock().memory.keep();
    signal::install_all(options.wants(STATS));
    let terminal = (files.is_kernel() && !silent).then(Terminal::take);
    // SAFETY: each once; `stop` waits for all, below, before any of this goes.
    let started = signal::alone(|| {
        runners.iter().try_for_each(|runner| unsafe {
            runner.thread.start(vcpu, (&raw const *runner).cast())
        })
    });
    let attended = started.and_then(|()| attend(&shared, &runners));
    stop(&runners);
    drop(terminal);

    let mut machine = shared.lock();
    let (number, end) = match (attended, machine.end.take()) {
        (Ok(None), Some(end)) => end,
        (Ok(None), None) => (0, Ok(End::Left)),
        (Ok(Some(end)), _) => (0, Ok(end)),
        (Err(error), _) => (0, Err(error)),
    };
    match runners.get(number as usize) {
        // SAFETY: its thread has ended.
        Some(runner) => machine.finish(end, unsafe { &mut *runner.cpu.get() }),
        None => end,
    }
}

/// The board's devices, after power-on.
#[inline(never)]
fn set_devices(devices: &mut Devices, has_kernel: bool, silent: bool) -> Result<(), Error> {
    let scratch = Buffer::new(layout::TEST_MEMORY_SIZE as usize)?;
    let out = if silent { fd::nowhere() } else { libc::STDOUT_FILENO };
    devices.set_board(Board::new(out, Some(scratch)), has_kernel);
    Ok(())
}

/// Brings the vCPUs' threads out of whatever they wait for.
fn kick(runners: &[Runner]) {
    runners.iter().for_each(|runner| runner.thread.signal(signal::KICK));
}

/// Makes all vCPUs leave the guest, and waits until their threads have ended.
fn stop(runners: &[Runner]) {
    signal::stop_all(true);
    for runner in runners {
        // SAFETY: the vCPU is there; the kernel's own access to this byte is a plain read.
        unsafe { runner.immediate_exit.write_volatile(1) };
    }
    kick(runners);
    for runner in runners {
        runner.thread.join();
    }
    // From here on, what is left to be written waits for its reader again.
    signal::stop_all(false);
}

/// How long the serial port's output may gather, in nanoseconds: a moment for a reader, and for a guest time to say more.
const MOMENT: u64 = 2_000_000;

/// How much may be typed before the guest listens.
const AHEAD: usize = 1024;

/// Attends to input, output and signals until the machine is to end. `None`: a vCPU has ended it.
#[inline(never)]
fn attend(shared: &Lock<Machine>, runners: &[Runner]) -> Result<Option<End>, Error> {
    // Who holds the lock may wait for a reader: a signal is for him too.
    let hurry = || {
        if signal::caught().is_some() {
            kick(runners);
        }
    };
    let lock = || shared.lock_but(&hurry);
    let mut keys = Keys::default();
    // A replay has no input: what there was has been read.
    let mut open = !lock().replays();
    // Input is always read, for Ctrl-A X; what the guest has no room for is held.
    let mut held = [0; AHEAD];
    let (mut at, mut len) = (0, 0);
    loop {
        while signal::asked() {
            lock().show_stats();
        }
        if let Some(signal) = signal::caught() {
            return Ok(Some(End::Stopped(signal)));
        }
        let mut machine = lock();
        if machine.end.is_some() {
            return Ok(None);
        }
        let room = |machine: &Machine| match &machine.devices.board {
            Some(board) => (board.serial.room(), board.serial.waits),
            None => (0, false),
        };
        while room(&machine).0 > 0
            && at < len
            && let Some(&byte) = held.get(at)
        {
            receive(&mut machine, byte)?;
            at += 1;
        }
        if at == len {
            (at, len) = (0, 0);
        }
        let (room, waits) = room(&machine);
        machine.starving = room == 0;
        let wake = machine.wake.as_ref().map_or(-1, Fd::raw);
        drop(machine);

        let look = |fd| libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // A negative number is none.
        let input = if open && len < AHEAD { libc::STDIN_FILENO } else { -1 };
        let mut fds = [look(wake), look(input)];
        signal::attend(&mut fds, waits.then_some(MOMENT));
        if waits && let Err(errno) = lock().flush() {
            return without_output(errno).map(Some);
        }
        if fds[0].revents != 0
            && let Some(wake) = &lock().wake
        {
            wake.count();
        }
        if fds[1].revents != 0 {
            let mut byte = [0];
            match fd::read_now(libc::STDIN_FILENO, &mut byte) {
                Ok(0) => open = false,
                Ok(_) => match keys.look(byte[0]) {
                    Key::Byte(byte) => {
                        words::put(&mut held, len, &[byte]);
                        len += 1;
                    }
                    Key::Nothing => {}
                    Key::Leave => return Ok(Some(End::Left)),
                },
                // Nothing there after all; or nothing that can be read.
                Err(errno) => open = matches!(errno.0, libc::EAGAIN | libc::EINTR),
            }
        }
    }
}

/// The serial port receives a byte.
fn receive(machine: &mut Machine, byte: u8) -> Result<(), Error> {
    if let Some(board) = &mut machine.devices.board {
        board.serial.receive(byte);
    }
    machine.serial()
}
