//! All of a vCPU's state, to be saved and restored.
//!
//! The order of restoring is KVM's: each part stands on those before it.
//!
//! 1. CPUID says which registers there are.
//! 2. TSC: its frequency, then its value, for timers that wait for it.
//! 3. Segment and control registers: they switch the local APIC on.
//! 4. XCR0, then the FPU's state. CPUID says what both may have.
//! 5. The local APIC.
//! 6. MSRs: the deadline of the local APIC's timer is one; others are about the guest's own guests. Then the state of such a guest.
//! 7. General and debug registers.
//! 8. Exceptions and interrupts that are under way: earlier parts of this list would drop them.
//! 9. Whether the vCPU runs at all.

use crate::kvm::cpuid::Cpuid;
use crate::kvm::{Error, Kind, Vcpu};
use crate::memory::plain::Plain;
use crate::snapshot::fields::{Field, Fields, Invalid, visit};
use crate::sys::cap::*;
use crate::sys::clock::*;
use crate::sys::cpuid::kvm_cpuid_entry2;
use crate::sys::debug::kvm_debugregs;
use crate::sys::device::kvm_device_attr;
use crate::sys::events::*;
use crate::sys::ioctl;
use crate::sys::irqchip::kvm_lapic_state;
use crate::sys::regs::*;
use crate::x86::MSR_IA32_TSC;
use alloc::vec;
use alloc::vec::Vec;

/// The kernel's structures, all without gaps.
macro_rules! plain {
    ($($name:ty),+) => {
        // SAFETY: made of integers without gaps.
        $(unsafe impl Plain for $name {})+
    };
}
plain!(kvm_regs, kvm_sregs, kvm_sregs2, kvm_xcrs, kvm_msr_entry, kvm_lapic_state);
plain!(kvm_mp_state, kvm_vcpu_events, kvm_debugregs, kvm_cpuid_entry2);

/// Segment and control registers, as this kernel gives them.
#[derive(Clone, Copy)]
pub enum Sregs {
    /// Before Linux 5.14: the entries of PAE paging are read again from RAM.
    Old(kvm_sregs),
    New(kvm_sregs2),
}

impl Sregs {
    /// As all kernels give them.
    pub fn old(&self) -> kvm_sregs {
        match *self {
            Sregs::Old(sregs) => sregs,
            Sregs::New(sregs) => kvm_sregs {
                cs: sregs.cs,
                ds: sregs.ds,
                es: sregs.es,
                fs: sregs.fs,
                gs: sregs.gs,
                ss: sregs.ss,
                tr: sregs.tr,
                ldt: sregs.ldt,
                gdt: sregs.gdt,
                idt: sregs.idt,
                cr0: sregs.cr0,
                cr2: sregs.cr2,
                cr3: sregs.cr3,
                cr4: sregs.cr4,
                cr8: sregs.cr8,
                efer: sregs.efer,
                apic_base: sregs.apic_base,
                interrupt_bitmap: [0; 4],
            },
        }
    }
}

impl Default for Sregs {
    fn default() -> Sregs {
        Sregs::New(kvm_sregs2::default())
    }
}

/// The state. Lists are empty, and options `None`, where the kernel does not have such a thing.
#[derive(Clone, Default)]
pub struct VcpuState {
    pub cpuid: Vec<kvm_cpuid_entry2>,
    pub regs: kvm_regs,
    pub sregs: Sregs,
    /// In words of eight bytes, as XSAVE stores it.
    pub xsave: Vec<u64>,
    pub xcrs: Option<kvm_xcrs>,
    /// All of `Kvm::msr_indices`, but for the TSC.
    pub msrs: Vec<kvm_msr_entry>,
    pub lapic: Option<kvm_lapic_state>,
    pub mp_state: kvm_mp_state,
    pub events: kvm_vcpu_events,
    pub debugregs: kvm_debugregs,
    /// Header and state of the guest's own guest.
    pub nested: Vec<u64>,
    pub tsc: Tsc,
}

/// Of a vCPU's time-stamp counter.
#[derive(Clone, Copy, Default)]
pub struct Tsc {
    /// 0: the host's is not steady.
    pub khz: u32,
    pub value: u64,
    /// What is added to the host's: Linux 5.16.
    pub offset: Option<u64>,
}

/// How a vCPU's TSC is set.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum TscStart {
    Offset(u64),
    Value(u64),
}

impl Field for Tsc {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        visit!(fields; self.khz, self.value, self.offset);
        Ok(())
    }
}

impl Field for Sregs {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        let mut is_new = matches!(self, Sregs::New(_));
        visit!(fields; is_new);
        if fields.is_restoring() {
            *self = if is_new { Sregs::default() } else { Sregs::Old(kvm_sregs::default()) };
        }
        match self {
            Sregs::Old(sregs) => sregs.visit(fields),
            Sregs::New(sregs) => sregs.visit(fields),
        }
    }
}

impl Field for VcpuState {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        visit!(fields; self.cpuid, self.regs, self.sregs, self.xsave, self.xcrs, self.msrs, self.lapic);
        visit!(fields; self.mp_state, self.events, self.debugregs, self.nested, self.tsc);
        fields
            .check(self.msrs.len() <= 1024 && self.cpuid.len() <= 128, "its lists are too long")?;
        fields.check(self.xsave.len() * 8 >= size_of::<kvm_xsave>(), "the FPU's state is too short")
    }
}

/// Documentation/virt/kvm/x86/msr.rst.
const MSR_KVM_WALL_CLOCK: u32 = 0x11;
const MSR_KVM_WALL_CLOCK_NEW: u32 = 0x4b56_4d00;

/// Two frequencies that differ by at most so many millionths are the same. Linux measures the host's at each start, and finds another one
/// by less; KVM's own `tsc_tolerance_ppm` is as large.
const TSC_TOLERANCE_PPM: u64 = 250;

/// How many one call asks for. The kernel refuses 256 and more (`MAX_IO_MSRS`); api.rst 4.18 has no number.
const MSRS_AT_ONCE: usize = 200;

impl Vcpu {
    /// All of its state. Its thread does not run, and its last exit is finished. `msrs`: those to be saved.
    pub fn state(&self, msrs: &[u32], has_lapic: bool) -> Result<VcpuState, Error> {
        // These two come first, since asking for them changes other registers: KVM carries out an INIT or a SIPI that waits, and puts what a
        // page fault or #DB that waits has to say into CR2 or DR6.
        let mp_state = kvm_mp_state { mp_state: self.mp_state()? };
        let events = self.events()?;
        let has = |capability| Ok(self.vm().check_extension(capability)? != 0);
        Ok(VcpuState {
            mp_state,
            events,
            cpuid: self.cpuid.clone(),
            regs: self.regs()?,
            sregs: match has(KVM_CAP_SREGS2)? {
                true => Sregs::New(self.sregs2()?),
                false => Sregs::Old(self.sregs()?),
            },
            xsave: self.xsave_area()?,
            xcrs: if has(KVM_CAP_XCRS)? { Some(self.xcrs()?) } else { None },
            msrs: self.msrs(msrs)?,
            lapic: if has_lapic { Some(self.lapic()?) } else { None },
            debugregs: self.debug_registers()?,
            nested: self.nested_state()?,
            tsc: self.tsc()?,
        })
    }

    /// Sets all of its state; the vCPU is fresh. `tsc`: what its TSC goes on from. Where KVM refuses a part, the error names it.
    pub fn set_state(&mut self, state: &VcpuState, tsc: TscStart) -> Result<(), Error> {
        if !state.cpuid.is_empty() {
            self.set_cpuid(&Cpuid::of_entries(&state.cpuid))?;
        }
        let khz = state.tsc.khz;
        if khz != 0
            && self.tsc_khz().is_ok_and(|now| {
                u64::from(now.abs_diff(khz)) * 1_000_000 > u64::from(khz) * TSC_TOLERANCE_PPM
            })
        {
            self.set_tsc_khz(khz)?;
        }
        match tsc {
            TscStart::Value(value) => {
                // KVM takes a value near the one that a fresh TSC has for an attempt to synchronize it, and leaves it as it is. So it is sent
                // far away first. The other vCPUs follow the first one.
                if self.number() == 0 {
                    self.set_msrs([(MSR_IA32_TSC, value.wrapping_add(1 << 44))])?;
                }
                self.set_msrs([(MSR_IA32_TSC, value)])?;
            }
            TscStart::Offset(offset) => self.set_offset_of_tsc(offset)?,
        }
        match &state.sregs {
            Sregs::New(sregs) => {
                self.set_sregs2(sregs)?;
            }
            Sregs::Old(sregs) => self.set_sregs(sregs, &self.sregs()?)?,
        }
        if let Some(xcrs) = &state.xcrs {
            self.set_xcrs(xcrs)?;
        }
        let mut xsave = state.xsave.clone();
        // The kernel reads as much as this host's processors have.
        xsave.resize(xsave.len().max(self.xsave_words()?), 0);
        // SAFETY: it is as long as the kernel can need, and only read.
        unsafe { self.descriptor.exchange(ioctl::KVM_SET_XSAVE, &mut xsave, format_args!("")) }?;
        if let Some(lapic) = &state.lapic {
            self.set_lapic(lapic)?;
        }
        self.set_changed_msrs(&state.msrs)?;
        self.set_nested_state(&state.nested)?;
        self.set_regs(&state.regs)?;
        self.set_debug_registers(&state.debugregs)?;
        self.set_events(&state.events)?;
        if self.mp_state()? != state.mp_state.mp_state {
            self.set_mp_state(state.mp_state.mp_state)?;
        }
        Ok(())
    }

    /// Whether its TSC's offset can be asked for and set.
    pub fn has_tsc_offset(&self) -> bool {
        self.tsc_offset(ioctl::KVM_HAS_DEVICE_ATTR, &mut 0).is_ok()
    }

    /// `KVM_GET_DEVICE_ATTR` for its TSC's offset. `None`: this kernel does not tell.
    pub fn offset_of_tsc(&self) -> Option<u64> {
        let mut offset = 0;
        self.tsc_offset(ioctl::KVM_GET_DEVICE_ATTR, &mut offset).ok().map(|()| offset)
    }

    /// `KVM_SET_DEVICE_ATTR` for it.
    pub fn set_offset_of_tsc(&self, mut offset: u64) -> Result<(), Error> {
        self.tsc_offset(ioctl::KVM_SET_DEVICE_ATTR, &mut offset)
    }

    /// `KVM_GET_DEVICE_ATTR` and its like, for the attribute `KVM_VCPU_TSC_OFFSET`.
    fn tsc_offset(&self, request: u32, offset: &mut u64) -> Result<(), Error> {
        let addr = (&raw mut *offset).expose_provenance() as u64;
        let attr =
            kvm_device_attr { flags: 0, group: KVM_VCPU_TSC_CTRL, attr: KVM_VCPU_TSC_OFFSET, addr };
        let shown = format_args!("KVM_VCPU_TSC_OFFSET");
        // SAFETY: the kernel reads or writes eight bytes at the address, which is that of `offset`, during the call.
        unsafe { self.descriptor.set(request, &attr, shown) }.map(drop)
    }

    fn tsc(&self) -> Result<Tsc, Error> {
        let (khz, offset) = (self.tsc_khz().unwrap_or(0), self.offset_of_tsc());
        Ok(Tsc { khz, value: self.msr(MSR_IA32_TSC)?, offset })
    }

    /// In words of eight bytes: how large the FPU's state is.
    fn xsave_words(&self) -> Result<usize, Error> {
        let size = self.vm().check_extension(KVM_CAP_XSAVE2)? as usize;
        Ok(size.max(size_of::<kvm_xsave>()).div_ceil(8))
    }

    /// `KVM_GET_XSAVE2`, or what older kernels have.
    pub fn xsave_area(&self) -> Result<Vec<u64>, Error> {
        let mut area = vec![0; self.xsave_words()?];
        let request = match self.vm().check_extension(KVM_CAP_XSAVE2)? {
            0 => ioctl::KVM_GET_XSAVE,
            _ => ioctl::KVM_GET_XSAVE2,
        };
        // SAFETY: it is as long as the kernel says.
        unsafe { self.descriptor.exchange(request, &mut area, format_args!("")) }?;
        Ok(area)
    }

    /// `KVM_GET_MSRS` of several. Those that this vCPU does not have are left out.
    fn msrs(&self, indices: &[u32]) -> Result<Vec<kvm_msr_entry>, Error> {
        let mut found = Vec::new();
        let mut indices = indices;
        while !indices.is_empty() {
            let count = indices.len().min(MSRS_AT_ONCE);
            let wanted = indices[..count].iter();
            let entries: Vec<kvm_msr_entry> =
                wanted.map(|&index| kvm_msr_entry { index, ..Default::default() }).collect();
            let mut msrs = with_header(&entries);
            // SAFETY: the kernel reads the header and fills as many entries as it says.
            let read = unsafe {
                let shown = format_args!("{count} entries");
                self.descriptor.exchange(ioctl::KVM_GET_MSRS, &mut msrs, shown)
            }? as usize;
            found.extend(entries_of(&msrs[..1 + 2 * read]));
            // It stops at the first that it does not have.
            indices = &indices[if read == count { count } else { read + 1 }..];
        }
        found.retain(|msr| msr.index != MSR_IA32_TSC);
        Ok(found)
    }

    /// `KVM_SET_MSRS` of those whose current value differs. Some can be read and not set: they are the same on each fresh vCPU. At a write of
    /// kvmclock's wall clock KVM writes to the guest's RAM, where that record is already.
    fn set_changed_msrs(&self, msrs: &[kvm_msr_entry]) -> Result<(), Error> {
        let indices: Vec<u32> = msrs.iter().map(|msr| msr.index).collect();
        let now = self.msrs(&indices)?;
        let is_so = |msr: &kvm_msr_entry| {
            now.iter().any(|now| (now.index, now.data) == (msr.index, msr.data))
        };
        let is_left_out =
            |msr: &kvm_msr_entry| [MSR_KVM_WALL_CLOCK, MSR_KVM_WALL_CLOCK_NEW].contains(&msr.index);
        let wanted = msrs.iter().filter(|msr| !is_so(msr) && !is_left_out(msr));
        let changed: Vec<kvm_msr_entry> = wanted.copied().collect();
        for some in changed.chunks(MSRS_AT_ONCE) {
            let request = ioctl::KVM_SET_MSRS;
            let shown = format_args!("{} entries", some.len());
            // SAFETY: the kernel reads as many entries as the header says.
            let set = unsafe { self.descriptor.exchange(request, &mut with_header(some), shown) }?;
            if let Some(refused) = some.get(set as usize) {
                return Err(Error::Msr { kind: Kind::Vcpu, request, index: refused.index });
            }
        }
        Ok(())
    }

    /// `KVM_GET_NESTED_STATE`; empty where guests have no guests of their own.
    pub fn nested_state(&self) -> Result<Vec<u64>, Error> {
        let most = self.vm().check_extension(KVM_CAP_NESTED_STATE)? as usize;
        if most == 0 {
            return Ok(Vec::new());
        }
        let mut state = vec![0; most.max(size_of::<kvm_nested_state>()).div_ceil(8)];
        set_size(&mut state, most as u32);
        // SAFETY: it is as long as the header says.
        unsafe {
            self.descriptor.exchange(ioctl::KVM_GET_NESTED_STATE, &mut state, format_args!(""))
        }?;
        let used = (state[0] >> 32) as usize;
        state.truncate(used.div_ceil(8));
        Ok(state)
    }

    /// `KVM_SET_NESTED_STATE`, where it is not so already.
    fn set_nested_state(&self, state: &[u64]) -> Result<(), Error> {
        if state.len() * 8 < size_of::<kvm_nested_state>() || self.nested_state()? == state {
            return Ok(());
        }
        let mut state = state.to_vec();
        let size = 8 * state.len() as u32;
        set_size(&mut state, size);
        // SAFETY: it is as long as the header says, and only read.
        unsafe {
            self.descriptor.exchange(ioctl::KVM_SET_NESTED_STATE, &mut state, format_args!(""))
        }
        .map(drop)
    }
}

/// Sets `kvm_nested_state::size`, in the upper half of the first word.
fn set_size(nested: &mut [u64], size: u32) {
    nested[0] = nested[0] & u64::from(u32::MAX) | u64::from(size) << 32;
}

/// `struct kvm_msrs` with its entries, in words of eight bytes.
fn with_header(entries: &[kvm_msr_entry]) -> Vec<u64> {
    let mut words = vec![entries.len() as u64];
    for entry in entries {
        words.extend([entry.index.into(), entry.data]);
    }
    words
}

/// The reverse.
fn entries_of(words: &[u64]) -> impl Iterator<Item = kvm_msr_entry> + '_ {
    words[1..].chunks_exact(2).map(|entry| kvm_msr_entry {
        index: entry[0] as u32,
        reserved: 0,
        data: entry[1],
    })
}
