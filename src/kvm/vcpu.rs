//! A vCPU's descriptor.

use crate::host::fd::Fd;
use crate::host::syscall::{Call, Name};
use crate::kvm::Error;
use crate::kvm::cpuid::Cpuid;
use crate::kvm::descriptor::{Descriptor, Kind, Msrs};
use crate::kvm::run_page::RunPage;
use crate::kvm::vm::Vm;
use crate::show::Bits;
use crate::sys::cpuid::{kvm_cpuid, kvm_cpuid_entry, kvm_cpuid_entry2};
use crate::sys::debug::*;
use crate::sys::ioctl;
use crate::sys::irqchip::*;
use crate::sys::regs::*;
use crate::sys::run::kvm_signal_mask;
use crate::x86::registers::Changes;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cell::Cell;
use core::ffi::c_int;
use core::fmt;

/// The bits of `KVM_SET_GUEST_DEBUG`, as a trace shows them.
const GUESTDBG: &str = "ENABLE SINGLESTEP - - - - - - - - - - - - - - USE_SW_BP USE_HW_BP INJECT_DB INJECT_BP BLOCKIRQ";

/// More parts than one instruction's access has in KVM: a page of bytes.
const MOST_PARTS: u32 = 4096;

/// A virtual processor. One thread at a time uses it.
pub struct Vcpu {
    number: u32,
    pub(super) descriptor: Descriptor,
    run: RunPage,
    /// What its CPUID was set to. (`KVM_GET_CPUID2` also gives bits that follow the guest's registers; and some backends' gives the host's.)
    pub(super) cpuid: Vec<kvm_cpuid_entry2>,
    /// `KVM_GUESTDBG_BLOCKIRQ` is on.
    blocks_interrupts: Cell<bool>,
    /// The VM, and with it guest RAM, outlives its vCPUs.
    vm: Arc<Vm>,
}

impl Vcpu {
    /// `KVM_CREATE_VCPU`, and the mapping of its `kvm_run`, of `mmap_size` bytes.
    pub fn create(vm: Arc<Vm>, number: u32, mmap_size: usize) -> Result<Vcpu, Error> {
        let fd = vm.create_vcpu(number)?;
        let run = RunPage::map(&fd, mmap_size)?;
        let descriptor = Descriptor { kind: Kind::Vcpu, fd };
        let blocks_interrupts = Cell::new(false);
        Ok(Vcpu { number, descriptor, run, cpuid: Vec::new(), blocks_interrupts, vm })
    }

    /// The VM that it belongs to.
    pub fn vm(&self) -> &Vm {
        &self.vm
    }

    /// Its number, from 0 on. Its APIC id is the same.
    pub fn number(&self) -> u32 {
        self.number
    }

    /// `KVM_RUN`: enters the guest and comes back with a reason in the run page. EINTR: a signal, or `immediate_exit`.
    /// EAGAIN: the vCPU waits for another one to start it.
    ///
    /// This is made for each exit, so a call that succeeds is not shown to an observer: the exit is its result.
    #[inline]
    pub fn run(&mut self) -> Result<(), Error> {
        // SAFETY: the guest touches only what its VM's slots show it, and the kernel the run page, to which `&mut self`
        // proves that no reference is left.
        let result =
            unsafe { libc::ioctl(self.descriptor.fd.raw(), ioctl::KVM_RUN as libc::Ioctl, 0) };
        if result == 0 { Ok(()) } else { self.run_failed(result) }
    }

    #[cold]
    fn run_failed(&self, result: c_int) -> Result<(), Error> {
        let name = Name::Request(ioctl::KVM_RUN);
        let fd = Some(self.descriptor.fd.raw());
        let failed = Call { name, fd, arguments: format_args!("") }.returned(result as isize);
        failed.map(drop).map_err(|error| Error::Ioctl { kind: Kind::Vcpu, error })
    }

    /// Lets KVM finish what the last exit has begun, without entering the guest: api.rst 5, `immediate_exit`. Before that, its
    /// registers are not those behind the instruction. Returns whether it has exited again: each part of a long access is an exit
    /// of its own.
    pub fn finish_exit(&mut self) -> Result<bool, Error> {
        let immediate_exit = self.run.immediate_exit();
        immediate_exit.set(1);
        let result = self.run();
        immediate_exit.set(0);
        match result {
            Ok(()) => Ok(true),
            Err(Error::Ioctl { error, .. }) if error.is(libc::EINTR) || error.is(libc::EAGAIN) => {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Finishes it, where nobody answers its further parts any more.
    pub fn drop_exit(&mut self) -> Result<(), Error> {
        for _ in 0..MOST_PARTS {
            if !self.finish_exit()? {
                break;
            }
        }
        Ok(())
    }

    /// What the last [`Vcpu::run`] left.
    pub fn page(&self) -> &RunPage {
        &self.run
    }

    /// Likewise, to be answered.
    pub fn page_mut(&mut self) -> &mut RunPage {
        &mut self.run
    }

    /// A request that fills a structure.
    pub(super) fn get<T: Default>(&self, request: u32) -> Result<T, Error> {
        let mut value = T::default();
        // SAFETY: each caller names the structure that its request fills; its size is checked.
        unsafe { self.descriptor.fill(request, &mut value, format_args!("")) }?;
        Ok(value)
    }

    /// A request that reads a structure without pointers.
    pub(super) fn set<T>(
        &self,
        request: u32,
        value: &T,
        shown: fmt::Arguments,
    ) -> Result<c_int, Error> {
        // SAFETY: each caller passes the structure that its request takes, whose size is checked, without pointers in it.
        unsafe { self.descriptor.set(request, value, shown) }
    }

    /// `KVM_GET_REGS`: the general registers.
    pub fn regs(&self) -> Result<kvm_regs, Error> {
        self.get(ioctl::KVM_GET_REGS)
    }

    /// `KVM_SET_REGS`.
    pub fn set_regs(&self, regs: &kvm_regs) -> Result<(), Error> {
        let zero = kvm_regs::default();
        let none = kvm_sregs::default();
        let changes = Changes { before: (&zero, &none), after: (regs, &none) };
        let shown = format_args!("{changes}, rip {:#x}", regs.rip);
        self.set(ioctl::KVM_SET_REGS, regs, shown).map(drop)
    }

    /// `KVM_GET_SREGS`: segment and control registers.
    pub fn sregs(&self) -> Result<kvm_sregs, Error> {
        self.get(ioctl::KVM_GET_SREGS)
    }

    /// `KVM_SET_SREGS`, and CR8 in the run page too. `before` is what they were, so that a trace shows what changes. EINVAL: they
    /// contradict each other, as far as KVM looks.
    pub fn set_sregs(&self, sregs: &kvm_sregs, before: &kvm_sregs) -> Result<(), Error> {
        let none = kvm_regs::default();
        let changes = Changes { before: (&none, before), after: (&none, sregs) };
        self.set(ioctl::KVM_SET_SREGS, sregs, format_args!("{changes}"))?;
        self.run.set_cr8(sregs.cr8);
        Ok(())
    }

    /// `KVM_GET_SREGS2`: likewise, with what PAE paging has loaded. Linux 5.14, `KVM_CAP_SREGS2`.
    pub fn sregs2(&self) -> Result<kvm_sregs2, Error> {
        self.get(ioctl::KVM_GET_SREGS2)
    }

    /// `KVM_SET_SREGS2`, and CR8 in the run page too.
    pub fn set_sregs2(&self, sregs: &kvm_sregs2) -> Result<(), Error> {
        self.set(ioctl::KVM_SET_SREGS2, sregs, format_args!(""))?;
        self.run.set_cr8(sregs.cr8);
        Ok(())
    }

    /// `KVM_SET_CPUID2`: what the guest's CPUID says from now on.
    pub fn set_cpuid(&mut self, cpuid: &Cpuid) -> Result<(), Error> {
        let shown = format_args!("{} entries", cpuid.entries().len());
        self.set(ioctl::KVM_SET_CPUID2, cpuid, shown)?;
        self.cpuid = cpuid.entries().to_vec();
        Ok(())
    }

    /// `KVM_SET_CPUID`: likewise, from a list that knows no sub-leaves.
    pub fn set_old_cpuid<const N: usize>(
        &mut self,
        entries: [kvm_cpuid_entry; N],
    ) -> Result<(), Error> {
        #[repr(C)]
        struct List<const N: usize>(kvm_cpuid, [kvm_cpuid_entry; N]);
        let list = List(kvm_cpuid { nent: N as u32, padding: 0 }, entries);
        self.set(ioctl::KVM_SET_CPUID, &list, format_args!("{N} leaves"))?;
        self.cpuid = list.1.iter().map(without_index).collect();
        Ok(())
    }

    /// `KVM_GET_CPUID2`: what the guest's CPUID says. E2BIG: more than there is room for here.
    pub fn cpuid(&self) -> Result<Cpuid, Error> {
        let mut cpuid = self.descriptor.cpuid(ioctl::KVM_GET_CPUID2)?;
        // Older kernels, such as Linux 6.1, do not say how many they have filled.
        cpuid.remove_empty_entries_at_end();
        Ok(cpuid)
    }

    /// `KVM_GET_TSC_KHZ`: how fast its TSC runs, in kHz. api.rst: EIO where the host's does not run steadily. (Linux 6.1 gives a number
    /// there too.)
    pub fn tsc_khz(&self) -> Result<u32, Error> {
        // SAFETY: takes no argument.
        let khz = unsafe { self.descriptor.ioctl(ioctl::KVM_GET_TSC_KHZ, 0, format_args!("")) }?;
        Ok(khz as u32)
    }

    /// `KVM_SET_TSC_KHZ`. EINVAL: the processor can't scale it, and the host's TSC is faster.
    pub fn set_tsc_khz(&self, khz: u32) -> Result<(), Error> {
        self.descriptor.set_tsc_khz(khz)
    }

    /// `KVM_GET_LAPIC`: the local APIC's registers.
    pub fn lapic(&self) -> Result<kvm_lapic_state, Error> {
        self.get(ioctl::KVM_GET_LAPIC)
    }

    /// `KVM_SET_LAPIC`.
    pub fn set_lapic(&self, lapic: &kvm_lapic_state) -> Result<(), Error> {
        self.set(ioctl::KVM_SET_LAPIC, lapic, format_args!("")).map(drop)
    }

    /// `KVM_GET_MSRS`: the value of an MSR. [`Error::Msr`]: KVM does not have it.
    pub fn msr(&self, index: u32) -> Result<u64, Error> {
        self.descriptor.msr(index)
    }

    /// `KVM_SET_MSRS`: index and value of each. It stops at the first that KVM does not take: [`Error::Msr`].
    pub fn set_msrs<const N: usize>(&self, values: [(u32, u64); N]) -> Result<(), Error> {
        let msrs = Msrs::of(values.map(|(index, data)| kvm_msr_entry { index, reserved: 0, data }));
        let request = ioctl::KVM_SET_MSRS;
        let count = self.set(request, &msrs, format_args!("{N} entries"))?;
        match values.get(count as usize) {
            None => Ok(()),
            Some(&(index, _)) => Err(Error::Msr { kind: Kind::Vcpu, request, index }),
        }
    }

    /// `KVM_GET_FPU`: x87 and SSE, in a form of KVM's own.
    pub fn fpu(&self) -> Result<kvm_fpu, Error> {
        self.get(ioctl::KVM_GET_FPU)
    }

    /// `KVM_SET_FPU`.
    pub fn set_fpu(&self, fpu: &kvm_fpu) -> Result<(), Error> {
        self.set(ioctl::KVM_SET_FPU, fpu, format_args!("")).map(drop)
    }

    /// `KVM_GET_XSAVE`: x87, SSE and what came later, in 4 KiB. (EINVAL, and `KVM_SET_XSAVE` reads more than that, where a process has
    /// asked the kernel for AMX, by arch_prctl(2). This one never does.)
    pub fn xsave(&self) -> Result<kvm_xsave, Error> {
        self.get(ioctl::KVM_GET_XSAVE)
    }

    /// `KVM_SET_XSAVE`. EINVAL: a reserved bit is set.
    pub fn set_xsave(&self, xsave: &kvm_xsave) -> Result<(), Error> {
        self.set(ioctl::KVM_SET_XSAVE, xsave, format_args!("")).map(drop)
    }

    /// `KVM_GET_XCRS`: which parts of that the guest has switched on.
    pub fn xcrs(&self) -> Result<kvm_xcrs, Error> {
        self.get(ioctl::KVM_GET_XCRS)
    }

    /// `KVM_SET_XCRS`. EINVAL: CPUID does not have such a part.
    pub fn set_xcrs(&self, xcrs: &kvm_xcrs) -> Result<(), Error> {
        self.set(ioctl::KVM_SET_XCRS, xcrs, format_args!("XCR0 {:#x}", xcrs.xcrs[0].value))
            .map(drop)
    }

    /// `KVM_KVMCLOCK_CTRL`: tells the guest's kvmclock that it was stopped, so that its watchdogs do not bark. EINVAL: it has none.
    pub fn note_pause(&self) -> Result<(), Error> {
        // SAFETY: takes no argument.
        unsafe { self.descriptor.ioctl(ioctl::KVM_KVMCLOCK_CTRL, 0, format_args!("")) }.map(drop)
    }

    /// `KVM_GET_DEBUGREGS`: the guest's own debug registers.
    pub fn debug_registers(&self) -> Result<kvm_debugregs, Error> {
        self.get(ioctl::KVM_GET_DEBUGREGS)
    }

    /// `KVM_SET_DEBUGREGS`.
    pub fn set_debug_registers(&self, registers: &kvm_debugregs) -> Result<(), Error> {
        let shown = format_args!("DR6 {:#x}", registers.dr6);
        self.set(ioctl::KVM_SET_DEBUGREGS, registers, shown).map(drop)
    }

    /// `KVM_SET_DEBUGREGS`: what the guest finds in DR6.
    pub fn set_dr6(&self, dr6: u64) -> Result<(), Error> {
        self.set_debug_registers(&kvm_debugregs { dr6, ..self.debug_registers()? })
    }

    /// `KVM_SET_GUEST_DEBUG`: from now on `KVM_EXIT_DEBUG` follows each instruction.
    pub fn single_step(&self) -> Result<(), Error> {
        self.set_guest_debug(KVM_GUESTDBG_SINGLESTEP, [0; 8])
    }

    /// `KVM_SET_GUEST_DEBUG`: what leads to `KVM_EXIT_DEBUG` from now on, `KVM_GUESTDBG_*` without ENABLE. `registers` are DR0 to DR7
    /// for hardware breakpoints.
    pub fn set_guest_debug(&self, what: u32, registers: [u64; 8]) -> Result<(), Error> {
        let control = KVM_GUESTDBG_ENABLE | what;
        let arch = kvm_guest_debug_arch { debugreg: registers };
        let debug = kvm_guest_debug { control, pad: 0, arch };
        let names = Bits(control.into(), GUESTDBG);
        self.set(ioctl::KVM_SET_GUEST_DEBUG, &debug, format_args!("{control:#x}{names}"))?;
        self.blocks_interrupts.set(what & KVM_GUESTDBG_BLOCKIRQ != 0);
        Ok(())
    }

    /// Whether the guest is to take no interrupts now.
    pub fn blocks_interrupts(&self) -> bool {
        self.blocks_interrupts.get()
    }

    /// `KVM_SET_GUEST_DEBUG`: nothing does any more.
    pub fn stop_guest_debug(&self) -> Result<(), Error> {
        let debug = kvm_guest_debug::default();
        self.set(ioctl::KVM_SET_GUEST_DEBUG, &debug, format_args!("off"))?;
        self.blocks_interrupts.set(false);
        Ok(())
    }

    /// `KVM_TRANSLATE`: the guest-physical address of a linear one, by the guest's own page tables; `None` where they map it
    /// to nothing. KVM walks them in software and refuses no address; were the request to fail, nothing could be read there either.
    pub fn translate(&self, linear_address: u64) -> Option<u64> {
        let mut translation = kvm_translation { linear_address, ..Default::default() };
        let (request, shown) = (ioctl::KVM_TRANSLATE, format_args!("{linear_address:#x}"));
        // SAFETY: the kernel reads and fills the structure.
        unsafe { self.descriptor.fill(request, &mut translation, shown) }.ok()?;
        (translation.valid != 0).then_some(translation.physical_address)
    }

    /// `KVM_ENABLE_CAP` for this vCPU. EINVAL: this kernel does not have the capability, or not for a vCPU.
    pub fn enable(&self, capability: u32, value: u64) -> Result<(), Error> {
        self.descriptor.enable(capability, value)
    }

    /// `KVM_SET_SIGNAL_MASK`: the signals that are blocked during `KVM_RUN`, signal N at bit N - 1, instead of those that the thread
    /// blocks; `None`: those again.
    pub fn set_signal_mask(&self, blocked: Option<u64>) -> Result<(), Error> {
        #[repr(C, packed)]
        struct Mask(kvm_signal_mask, u64);
        let request = ioctl::KVM_SET_SIGNAL_MASK;
        match blocked {
            Some(set) => {
                let mask = Mask(kvm_signal_mask { len: 8, sigset: [] }, set);
                self.set(request, &mask, format_args!("{set:#x}")).map(drop)
            }
            // SAFETY: a null pointer is what the request takes here.
            None => unsafe { self.descriptor.ioctl(request, 0, format_args!("none")) }.map(drop),
        }
    }

    /// `KVM_GET_STATS_FD`.
    pub fn stats(&self) -> Result<Fd, Error> {
        self.descriptor.stats()
    }
}

/// What KVM makes of an entry of `KVM_SET_CPUID`.
fn without_index(entry: &kvm_cpuid_entry) -> kvm_cpuid_entry2 {
    let kvm_cpuid_entry { function, eax, ebx, ecx, edx, .. } = *entry;
    kvm_cpuid_entry2 { function, eax, ebx, ecx, edx, ..Default::default() }
}
