//! What lessons share: a small VM, a guest that stands beside the lesson, and lines of text.

use crate::boot::mode;
use crate::config::{Backing, Instruments, Mode};
use crate::host::clock;
use crate::host::errno::Errno;
use crate::host::fd::Fd;
use crate::inspect::kvm_figures::{KvmFigures, Source};
use crate::inspect::trace::{self, ExitLine};
use crate::kvm::cpuid::Cpuid;
use crate::kvm::exit::{self, Exit};
use crate::kvm::{self, Kvm, Vcpu, Vm};
use crate::layout::{CONSOLE_PORT, IDENTITY_MAP, IMAGE, LOW_SLOT, TSS};
use crate::lessons::Error;
use crate::memory::GuestMemory;
use crate::output::Output;
use crate::sys::cpuid::kvm_cpuid_entry2;
use crate::sys::exit::KVM_EXIT_IO;
use crate::sys::irqchip::kvm_lapic_state;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::fmt;

/// A guest's RAM, from guest-physical address 0 on. Anonymous memory: lessons need no huge pages.
pub const RAM: u64 = 2 << 20;

/// What a guest writes to this port, the lesson takes with [`Lab::value`].
pub const REPORT: u16 = 0x11;

/// The local APIC's spurious-interrupt vector register. Bit 8 switches the APIC on.
pub const SPIV: usize = 0xf0;

/// A guest's code, in GNU as' language: `guest!(name, "code")` makes a function `name` that gives the bytes. It runs at 0x1000. A label's
/// address is `label - name_base`; labels begin with the guest's name, since all guests are assembled together.
macro_rules! guest {
    ($name:ident, $code:literal) => {
        core::arch::global_asm!(
            concat!(".pushsection .rodata.guest_", stringify!($name), ", \"a\""),
            concat!(".globl ", stringify!($name), "_start, ", stringify!($name), "_end"),
            concat!(".hidden ", stringify!($name), "_start, ", stringify!($name), "_end"),
            concat!(stringify!($name), "_start:"),
            concat!(".set ", stringify!($name), "_base, ", stringify!($name), "_start - 0x1000"),
            $code,
            concat!(stringify!($name), "_end:"),
            ".popsection",
            ".code64",
            options(att_syntax)
        );

        fn $name() -> &'static [u8] {
            unsafe extern "C" {
                #[link_name = concat!(stringify!($name), "_start")]
                static START: [u8; 0];
                #[link_name = concat!(stringify!($name), "_end")]
                static END: [u8; 0];
            }
            let (start, end) = ((&raw const START).cast::<u8>(), (&raw const END).cast::<u8>());
            // SAFETY: both labels are in one section, the second behind the first, with the guest's code between them; nothing writes there.
            unsafe { core::slice::from_raw_parts(start, end.addr() - start.addr()) }
        }
    };
}
pub(crate) use guest;

/// A line of a lesson: `say!(lab, "text")`.
macro_rules! say {
    ($lab:expr, $($text:tt)+) => { $lab.say(format_args!($($text)+)) };
}
pub(crate) use say;

/// Where a lesson works.
pub struct Lab<'a> {
    kvm: Kvm,
    /// The size of a vCPU's mapping.
    mmap_size: usize,
    output: &'a Output,
    traces_exits: bool,
    /// What the guest has written to the console and not ended.
    line: RefCell<String>,
    /// Why standard output can't be written.
    failure: Cell<Option<Errno>>,
}

impl<'a> Lab<'a> {
    /// Opens `/dev/kvm`.
    pub fn new(output: &'a Output, instruments: &Instruments) -> Result<Lab<'a>, Error> {
        let kvm = Kvm::open()?;
        kvm.api_version()?;
        Ok(Lab {
            mmap_size: kvm.vcpu_mmap_size()?,
            kvm,
            output,
            traces_exits: instruments.trace_exits,
            line: RefCell::default(),
            failure: Cell::new(None),
        })
    }

    /// `/dev/kvm`.
    pub fn kvm(&self) -> &Kvm {
        &self.kvm
    }

    /// One of KVM's statistics of a VM or a vCPU, whose descriptor this is.
    pub fn statistic(&self, descriptor: Fd, name: &'static str) -> Result<u64, Error> {
        let source = Source::new(descriptor).ok_or(Error::NoStatistic(name))?;
        KvmFigures::of_descriptors(&[source]).get(name).ok_or(Error::NoStatistic(name))
    }

    /// A line on standard output.
    pub fn say(&self, text: fmt::Arguments) {
        if let Err(errno) = self.output.answer(format_args!("{text}\n")) {
            self.failure.set(Some(errno));
        }
    }

    /// Why a line could not be written, if that is so.
    pub fn failure(&self) -> Option<Errno> {
        self.failure.get()
    }

    /// The lesson needs this bit of a capability's answer.
    pub fn require_bit(&self, capability: u32, bit: u64, name: &'static str) -> Result<(), Error> {
        match self.require(capability)? & bit {
            0 => Err(Error::MissingBit { capability, name }),
            _ => Ok(()),
        }
    }

    /// The lesson needs this capability: KVM's answer, which is not 0.
    pub fn require(&self, capability: u32) -> Result<u64, Error> {
        match self.kvm.check_extension(capability)? {
            0 => Err(Error::Missing(capability)),
            answer => Ok(answer as u64),
        }
    }

    /// A VM with RAM, and a guest in it.
    pub fn vm(&self, guest: &[u8]) -> Result<Arc<Vm>, Error> {
        let vm = self.empty_vm(guest)?;
        self.show_ram(&vm, 0)?;
        Ok(vm)
    }

    /// Likewise; the guest does not see the RAM yet.
    pub fn empty_vm(&self, guest: &[u8]) -> Result<Arc<Vm>, Error> {
        self.vm_with(self.kvm.create_vm()?, ram(guest)?)
    }

    /// Likewise, of another type than the common one.
    pub fn vm_of_type(&self, kind: u32, guest: &[u8]) -> Result<Arc<Vm>, Error> {
        self.vm_with(self.kvm.create_vm_of_type(kind)?, ram(guest)?)
    }

    /// Gives a VM its memory; and on Intel, where KVM may need them for real mode, four pages below 4 GiB.
    fn vm_with(&self, vm: Vm, memory: Arc<GuestMemory>) -> Result<Arc<Vm>, Error> {
        vm.set_tss_address(TSS)?;
        vm.set_identity_map_address(IDENTITY_MAP)?;
        Ok(Arc::new(vm.with_memory(memory)))
    }

    /// A VM with the RAM of another one.
    pub fn twin(&self, vm: &Vm) -> Result<Arc<Vm>, Error> {
        let twin = self.vm_with(self.kvm.create_vm()?, memory(vm).clone())?;
        self.show_ram(&twin, 0)?;
        Ok(twin)
    }

    /// Shows the guest all RAM, in a slot with these flags.
    pub fn show_ram(&self, vm: &Vm, flags: u32) -> Result<(), Error> {
        let memory = memory(vm);
        let region = &memory.regions()[0];
        Ok(vm.set_user_memory_region(LOW_SLOT, flags, 0, region, RAM)?)
    }

    /// A vCPU that will start at the guest's first instruction, with all that CPUID can say.
    pub fn vcpu(&self, vm: &Arc<Vm>, number: u32, mode: Mode) -> Result<Vcpu, Error> {
        let mut vcpu = Vcpu::create(vm.clone(), number, self.mmap_size)?;
        self.start_with_cpuid(&mut vcpu, mode, &self.kvm.supported_cpuid()?)?;
        Ok(vcpu)
    }

    /// Likewise; its CPUID says that KVM is a Hyper-V.
    pub fn hyperv_vcpu(&self, vm: &Arc<Vm>, mode: Mode) -> Result<Vcpu, Error> {
        let mut vcpu = Vcpu::create(vm.clone(), 0, self.mmap_size)?;
        // KVM's own leaves begin at the same number.
        let is_own = |entry: &&kvm_cpuid_entry2| entry.function >> 16 == 0x4000;
        let processor = self.kvm.supported_cpuid()?;
        let mut entries: Vec<_> =
            processor.entries().iter().filter(|entry| !is_own(entry)).copied().collect();
        entries.extend(self.kvm.hyperv_cpuid()?.entries());
        self.start_with_cpuid(&mut vcpu, mode, &Cpuid::of_entries(&entries))?;
        Ok(vcpu)
    }

    fn start_with_cpuid(&self, vcpu: &mut Vcpu, mode: Mode, cpuid: &Cpuid) -> Result<(), Error> {
        vcpu.set_cpuid(cpuid)?;
        self.start(vcpu, mode)
    }

    /// A vCPU whose state is yet to be set.
    pub fn bare_vcpu(&self, vm: &Arc<Vm>, number: u32) -> Result<Vcpu, Error> {
        let mut vcpu = Vcpu::create(vm.clone(), number, self.mmap_size)?;
        vcpu.page_mut().request_registers();
        Ok(vcpu)
    }

    /// Switches a vCPU's local APIC on, as a guest does with its spurious vector's register.
    pub fn switch_lapic_on(&self, vcpu: &Vcpu) -> Result<(), Error> {
        let mut lapic = vcpu.lapic()?;
        switch_on(&mut lapic);
        Ok(vcpu.set_lapic(&lapic)?)
    }

    /// Sets a vCPU's registers to the guest's start.
    pub fn start(&self, vcpu: &mut Vcpu, mode: Mode) -> Result<(), Error> {
        let before = vcpu.sregs()?;
        let mut sregs = before;
        let regs = mode::registers(mode, IMAGE, RAM, &mut sregs);
        vcpu.set_sregs(&sregs, &before)?;
        vcpu.set_regs(&regs)?;
        vcpu.page_mut().request_registers();
        Ok(())
    }

    /// Runs the guest until it exits, and gives the reason. What it writes to the console is shown, and it runs on.
    pub fn run(&self, vcpu: &mut Vcpu) -> Result<u32, Error> {
        loop {
            Lab::enter(vcpu)?;
            if self.traces_exits {
                let line = ExitLine { time: trace::time(), vcpu: None, answered_by: "" };
                line.write(self.output, vcpu, None);
            }
            match exit::decode(vcpu.page_mut()) {
                Exit::Port { write: true, port: CONSOLE_PORT, size, data } => {
                    data.chunks(size).for_each(|item| self.show(item[0]));
                }
                _ => return Ok(vcpu.page().exit_reason()),
            }
        }
    }

    /// `KVM_RUN`, once; again after a signal, such as that of `fg`.
    pub fn enter(vcpu: &mut Vcpu) -> Result<(), kvm::Error> {
        loop {
            match vcpu.run() {
                Err(kvm::Error::Ioctl { error, .. }) if error.is(libc::EINTR) => {}
                result => return result,
            }
        }
    }

    /// Runs the guest, which must exit for this reason.
    pub fn expect(&self, vcpu: &mut Vcpu, expected: u32) -> Result<(), Error> {
        match self.run(vcpu)? {
            reason if reason == expected => Ok(()),
            reason => Err(Error::OtherExit { expected, reason }),
        }
    }

    /// Runs the guest until it writes to [`REPORT`]: what it wrote.
    pub fn value(&self, vcpu: &mut Vcpu) -> Result<u32, Error> {
        self.expect(vcpu, KVM_EXIT_IO)?;
        match exit::decode(vcpu.page_mut()) {
            Exit::Port { write: true, port: REPORT, data, .. } => {
                Ok(crate::show::number(data) as u32)
            }
            Exit::Port { write, port, .. } => Err(Error::OtherPort { write, port }),
            _ => Err(Error::OtherExit { expected: KVM_EXIT_IO, reason: KVM_EXIT_IO }),
        }
    }

    /// Two values, at least so many nanoseconds apart, and the nanoseconds from the one to the other.
    pub fn watch(&self, vcpu: &mut Vcpu, nanoseconds: u64) -> Result<([u32; 2], u64), Error> {
        let (before, from) = (self.value(vcpu)?, clock::monotonic());
        clock::sleep(nanoseconds);
        let (after, to) = (self.value(vcpu)?, clock::monotonic());
        Ok(([before, after], to - from))
    }

    /// A byte of the guest's console.
    fn show(&self, byte: u8) {
        let mut line = self.line.borrow_mut();
        match byte {
            b'\n' => say!(self, "  guest: {}", core::mem::take(&mut *line)),
            _ => line.push(char::from(byte)),
        }
    }
}

/// Sets the spurious vector's register to what switches the local APIC on.
pub fn switch_on(lapic: &mut kvm_lapic_state) {
    lapic.regs[SPIV..SPIV + 4].copy_from_slice(&0x1ffu32.to_le_bytes());
}

/// What came of a call.
pub struct Outcome<T>(pub Result<T, kvm::Error>);

impl<T: fmt::Display> fmt::Display for Outcome<T> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match &self.0 {
            Ok(value) => value.fmt(f),
            Err(kvm::Error::Ioctl { error, .. }) => error.errno.fmt(f),
            Err(error) => error.fmt(f),
        }
    }
}

/// Likewise, of a call that only succeeds or fails.
pub fn outcome(result: Result<(), kvm::Error>) -> Outcome<&'static str> {
    Outcome(result.map(|()| "taken"))
}

/// A VM's RAM. All VMs of lessons have some.
pub fn memory(vm: &Vm) -> &Arc<GuestMemory> {
    vm.memory().expect("a lesson's VM has RAM")
}

/// RAM with a guest, and the page tables of 64-bit mode.
fn ram(guest: &[u8]) -> Result<Arc<GuestMemory>, Error> {
    let memory = GuestMemory::map(Backing::Anonymous, &[(0, RAM)])?;
    memory.write(IMAGE, guest)?;
    mode::write_tables(Mode::Long, &memory, RAM)?;
    Ok(Arc::new(memory))
}
