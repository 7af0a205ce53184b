//! The machine: how it is put together, and the loop that runs it.
//!
//! ```text
//!   image ───┐                          registers
//!            ▼                              │
//!   backing ─▶ RAM ─▶ slot 0 ─┐             ▼
//!                             ├─▶ VM ──▶ vCPU ──▶ KVM_RUN ◀──┐
//!   /dev/kvm ─────────────────┘                     │        │
//!                                                 exit       │
//!                                                   ▼        │
//!                                        decode ─▶ answer ───┘
//! ```

use crate::boot::flat::{self, Image};
use crate::cli::Options;
use crate::device::console::Console;
use crate::errno::Errno;
use crate::error::{Call, Error};
use crate::exit::{self, Death, Exit};
use crate::kvm::Kvm;
use crate::layout;
use crate::memory::Memory;
use crate::signal;
use crate::sys::KVM_API_VERSION;
use crate::sys::ioctl::KVM_GET_API_VERSION;
use crate::vcpu::Vcpu;
use core::ffi::c_int;

/// How the program ended, where nothing of its own failed.
#[derive(Debug, PartialEq)]
pub enum End {
    /// The guest executed HLT; nothing could ever wake it, since no interrupt reaches it.
    Halted(Place),
    /// It could not go on.
    Died(Death, Place),
    /// A signal asked the program to end.
    Stopped(c_int),
    /// Nobody reads standard output any more.
    OutputClosed,
    /// There was no machine: the user wanted to know something, and has been told.
    Informed,
}

/// Where the vCPU was.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// The offset in the code segment.
    pub rip: u64,
    /// The linear address at which that segment starts.
    pub cs_base: u64,
}

/// What the user should know although the guest goes on; each said once a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Note {
    /// A port that no device answers.
    UnansweredPort(u16),
    /// A guest-physical address with neither RAM nor a device.
    UnansweredAddress(u64),
}

/// Builds the machine, runs it to its end, and takes it apart again.
#[inline(never)]
pub fn run(options: &Options, note: fn(Note)) -> Result<End, Error> {
    // 1. The image, before anything is changed: a bad one costs nothing.
    let offset = options.load - options.base;
    let image = Image::open(options.image, options.memory - offset)?;

    // 2. KVM, and the interface that we know. No capability is asked for: Linux 5.0 has all that is
    // used here.
    let kvm = Kvm::open()?;
    let version = kvm.api_version()?;
    if version != KVM_API_VERSION {
        return Err(Call::ioctl(KVM_GET_API_VERSION).error(libc::ENOSYS));
    }

    // 3. RAM, and the image in it.
    let memory = Memory::map(options.backing, options.memory)?;
    image.load(&memory, offset)?;
    drop(image);

    // 4. The VM. Real mode on older Intel processors is a trick of KVM's that needs room.
    let vm = kvm.create_vm()?;
    vm.set_tss_address(layout::TSS)?;
    vm.set_identity_map_address(layout::IDENTITY_MAP)?;

    // 5. RAM becomes the guest's.
    vm.set_memory(0, options.base, &memory)?;

    // 6. The vCPU. What it shares with us is as large as KVM says.
    let mut vcpu = vm.create_vcpu(0, kvm.vcpu_mmap_size()?)?;

    // 7. Where it starts. The rest of its state is the processor's after reset; CPUID is left empty,
    // since real-mode code can do without.
    let mut sregs = vcpu.sregs()?;
    let regs = flat::real_mode(options.entry, &mut sregs);
    vcpu.set_sregs(&sregs)?;
    vcpu.set_regs(&regs)?;

    // 8. Go.
    memory.keep();
    let console = Console::new(libc::STDOUT_FILENO, options.pause);
    let mut devices = Devices { console, note, port_noted: false, address_noted: false };
    let end = run_loop(&mut vcpu, &mut devices);
    // What the guest said comes before what is said about it.
    match devices.console.flush() {
        Err(errno) if end.is_ok() => without_output(errno),
        _ => end,
    }
}

/// Enters the guest again and again, until it or a signal or the reader ends the run.
#[inline(never)]
fn run_loop(vcpu: &mut Vcpu, devices: &mut Devices) -> Result<End, Error> {
    loop {
        // A signal between this look and the ioctl has set immediate_exit: KVM_RUN returns EINTR.
        if let Some(signal) = signal::caught() {
            return Ok(End::Stopped(signal));
        }
        match vcpu.run() {
            Err(Error { errno: Errno(libc::EINTR), .. }) => continue,
            entered => entered?,
        }
        match answer(exit::decode(vcpu.run_page()), devices) {
            Ok(Next::Enter) => {}
            Ok(Next::Halted) => return Ok(End::Halted(place(vcpu)?)),
            Ok(Next::Died(death)) => return Ok(End::Died(death, place(vcpu)?)),
            Err(errno) => return without_output(errno),
        }
    }
}

fn place(vcpu: &Vcpu) -> Result<Place, Error> {
    Ok(Place { rip: vcpu.regs()?.rip, cs_base: vcpu.sregs()?.cs.base })
}

/// How a run ends whose output can't be written.
fn without_output(errno: Errno) -> Result<End, Error> {
    match (errno.0, signal::caught()) {
        (libc::EPIPE, _) => Ok(End::OutputClosed),
        (libc::EINTR, Some(signal)) => Ok(End::Stopped(signal)),
        _ => Err(Error { call: Call::WRITE_OUTPUT, errno }),
    }
}

/// What an exit is answered with.
struct Devices {
    console: Console,
    note: fn(Note),
    port_noted: bool,
    address_noted: bool,
}

/// What to do after an exit.
#[derive(Debug, PartialEq)]
enum Next {
    Enter,
    Halted,
    Died(Death),
}

/// Answers an exit, in the run page where it is a read. An error is one of standard output.
fn answer(exit: Exit<'_>, devices: &mut Devices) -> Result<Next, Errno> {
    match exit {
        Exit::Out { port: layout::CONSOLE_PORT, size, data } => {
            // x86 is little-endian: the first byte of an item is its low one.
            for &byte in data.iter().step_by(size.max(1)) {
                devices.console.put(byte)?;
            }
        }
        Exit::Out { port, .. } => devices.unanswered(Note::UnansweredPort(port))?,
        Exit::In { port, data, .. } => {
            data.fill(0xff);
            if port != layout::CONSOLE_PORT {
                devices.unanswered(Note::UnansweredPort(port))?;
            }
        }
        Exit::MmioWrite { address, .. } => devices.unanswered(Note::UnansweredAddress(address))?,
        Exit::MmioRead { address, data } => {
            data.fill(0xff);
            devices.unanswered(Note::UnansweredAddress(address))?;
        }
        Exit::Interrupted => {}
        Exit::Halt => return Ok(Next::Halted),
        Exit::Dead(death) => return Ok(Next::Died(death)),
    }
    Ok(Next::Enter)
}

impl Devices {
    /// Says it, unless it has been said; what the guest said before comes first.
    #[inline(never)]
    fn unanswered(&mut self, note: Note) -> Result<(), Errno> {
        let noted = match note {
            Note::UnansweredPort(_) => &mut self.port_noted,
            Note::UnansweredAddress(_) => &mut self.address_noted,
        };
        if !core::mem::replace(noted, true) {
            self.console.flush()?;
            (self.note)(note);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::io::{PipeReader, Read, pipe};
    use std::os::fd::IntoRawFd;

    thread_local!(static NOTED: Cell<(u32, Option<Note>)> = const { Cell::new((0, None)) });

    /// Devices whose console writes into the pipe that comes with them.
    fn devices() -> (Devices, PipeReader) {
        NOTED.set((0, None));
        let (reader, writer) = pipe().unwrap();
        let note = |note| NOTED.set((NOTED.get().0 + 1, Some(note)));
        let console = Console::new(writer.into_raw_fd(), std::time::Duration::ZERO);
        (Devices { console, note, port_noted: false, address_noted: false }, reader)
    }

    #[test]
    fn the_console_takes_the_low_byte_of_each_item() {
        for (size, data, written) in [
            (1, &b"ab\n"[..], *b"ab\n"),
            (2, &b"a1b2\n3"[..], *b"ab\n"),
            (4, &b"a111b222\n333"[..], *b"ab\n"),
        ] {
            let (mut devices, mut reader) = devices();
            let exit = Exit::Out { port: layout::CONSOLE_PORT, size, data };
            assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
            let mut line = [0; 3];
            reader.read_exact(&mut line).unwrap();
            assert_eq!(line, written);
        }
    }

    #[test]
    fn a_port_that_nobody_answers_reads_ones_and_is_noted_once() {
        let (mut devices, _reader) = devices();
        for port in [0x80, 0x81] {
            let mut data = [0; 2];
            let exit = Exit::In { port, size: 2, data: &mut data };
            assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
            assert_eq!(data, [0xff; 2]);
        }
        let exit = Exit::Out { port: 0x82, size: 1, data: &[1] };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        assert_eq!(NOTED.get(), (1, Some(Note::UnansweredPort(0x80))));
    }

    #[test]
    fn reading_the_console_port_gives_ones() {
        let (mut devices, _reader) = devices();
        let mut data = [0];
        let exit = Exit::In { port: layout::CONSOLE_PORT, size: 1, data: &mut data };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        assert_eq!((data, NOTED.get()), ([0xff], (0, None)));
    }

    #[test]
    fn an_address_that_nobody_answers_reads_ones_and_is_noted_once() {
        let (mut devices, _reader) = devices();
        let exit = Exit::MmioWrite { address: 0xd000_0000, data: &[1, 2] };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        let mut data = [0; 8];
        let exit = Exit::MmioRead { address: 0xd000_0008, data: &mut data };
        assert_eq!(answer(exit, &mut devices), Ok(Next::Enter));
        assert_eq!(data, [0xff; 8]);
        assert_eq!(NOTED.get(), (1, Some(Note::UnansweredAddress(0xd000_0000))));
    }

    #[test]
    fn halt_and_death_end_the_run_and_an_interruption_does_not() {
        let (mut devices, _reader) = devices();
        assert_eq!(answer(Exit::Interrupted, &mut devices), Ok(Next::Enter));
        assert_eq!(answer(Exit::Halt, &mut devices), Ok(Next::Halted));
        let exit = Exit::Dead(Death::Shutdown);
        assert_eq!(answer(exit, &mut devices), Ok(Next::Died(Death::Shutdown)));
    }

    #[test]
    fn output_that_nobody_reads_ends_the_run() {
        let (mut devices, reader) = devices();
        drop(reader);
        let exit = Exit::Out { port: layout::CONSOLE_PORT, size: 1, data: b"\n" };
        assert_eq!(answer(exit, &mut devices), Err(Errno(libc::EPIPE)));
        assert_eq!(without_output(Errno(libc::EPIPE)), Ok(End::OutputClosed));
        assert!(without_output(Errno(libc::ENOSPC)).is_err());
    }
}
