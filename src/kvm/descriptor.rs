//! What the kinds of descriptor have in common: how a request is made on one.

use crate::host::fd::Fd;
use crate::kvm::Error;
use crate::kvm::cpuid::Cpuid;
use crate::sys::cap::{self, kvm_enable_cap};
use crate::sys::ioctl::*;
use crate::sys::regs::{kvm_msr_entry, kvm_msrs};
use core::ffi::c_int;
use core::fmt;

/// `struct kvm_msrs` with its entries.
#[repr(C)]
pub(super) struct Msrs<const N: usize> {
    header: kvm_msrs,
    pub entries: [kvm_msr_entry; N],
}

impl<const N: usize> Msrs<N> {
    pub fn of(entries: [kvm_msr_entry; N]) -> Msrs<N> {
        Msrs { header: kvm_msrs { nmsrs: N as u32, ..Default::default() }, entries }
    }
}

/// The kinds of descriptor, as errors call them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    System,
    Vm,
    Vcpu,
    Device,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(match self {
            Kind::System => "/dev/kvm",
            Kind::Vm => "a VM",
            Kind::Vcpu => "a vCPU",
            Kind::Device => "a device of KVM's",
        })
    }
}

/// A descriptor of KVM's.
pub struct Descriptor {
    pub kind: Kind,
    pub fd: Fd,
}

impl Descriptor {
    /// A request whose argument is a number, or an address.
    ///
    /// # Safety
    /// As for [`Fd::ioctl`].
    pub unsafe fn ioctl(
        &self,
        request: u32,
        argument: u64,
        shown: fmt::Arguments,
    ) -> Result<c_int, Error> {
        // SAFETY: the caller's promise.
        let result = unsafe { self.fd.ioctl(request, argument, shown) };
        result.map_err(|error| Error::Ioctl { kind: self.kind, error })
    }

    /// A request that reads a structure, which must be at least as large as the request's number says.
    ///
    /// # Safety
    /// `value` is what `request` takes; what it points to in turn stays valid for as long as the kernel uses it.
    pub unsafe fn set<T>(
        &self,
        request: u32,
        value: &T,
        shown: fmt::Arguments,
    ) -> Result<c_int, Error> {
        assert!(argument_size(request) <= size_of::<T>());
        let address = (&raw const *value).expose_provenance() as u64;
        // SAFETY: the structure stays borrowed during the call; the rest is the caller's promise.
        unsafe { self.ioctl(request, address, shown) }
    }

    /// A request that reads and fills a structure, which must be at least as large as the request's number says.
    ///
    /// # Safety
    /// `value` is what `request` takes, and any bytes are such a value.
    pub unsafe fn fill<T>(
        &self,
        request: u32,
        value: &mut T,
        shown: fmt::Arguments,
    ) -> Result<c_int, Error> {
        assert!(argument_size(request) <= size_of::<T>());
        let address = (&raw mut *value).expose_provenance() as u64;
        // SAFETY: the structure stays borrowed during the call; the rest is the caller's promise.
        unsafe { self.ioctl(request, address, shown) }
    }

    /// A request that reads or fills a buffer, whose length the caller knows to be enough.
    ///
    /// # Safety
    /// `request` takes a structure of at most as many bytes.
    pub unsafe fn exchange(
        &self,
        request: u32,
        buffer: &mut [u64],
        shown: fmt::Arguments,
    ) -> Result<c_int, Error> {
        let address = buffer.as_mut_ptr().expose_provenance() as u64;
        // SAFETY: the buffer stays borrowed during the call; the rest is the caller's promise.
        unsafe { self.ioctl(request, address, shown) }
    }

    /// A request that makes a descriptor; `argument` is a number.
    ///
    /// # Safety
    /// `request` returns a new descriptor, which nobody else owns.
    pub unsafe fn make(
        &self,
        request: u32,
        argument: u64,
        shown: fmt::Arguments,
    ) -> Result<Fd, Error> {
        // SAFETY: a number is all that the request takes.
        let fd = unsafe { self.ioctl(request, argument, shown) }?;
        // SAFETY: the kernel has just made the descriptor for us.
        Ok(unsafe { Fd::from_raw(fd) })
    }

    /// One of the requests that fill a list of CPUID's leaves. E2BIG: there are more than there is room for here.
    pub fn cpuid(&self, request: u32) -> Result<Cpuid, Error> {
        let mut cpuid = Cpuid::with_room();
        // SAFETY: the kernel reads the header, and fills as many entries as it says at most.
        unsafe { self.fill(request, &mut cpuid, format_args!("")) }?;
        Ok(cpuid)
    }

    /// `KVM_CHECK_EXTENSION`, of the system or a VM.
    pub fn check_extension(&self, capability: u32) -> Result<c_int, Error> {
        let name = cap::name(capability).unwrap_or("?");
        // SAFETY: takes a number.
        unsafe { self.ioctl(KVM_CHECK_EXTENSION, capability.into(), format_args!("{name}")) }
    }

    /// `KVM_GET_MSRS`, of the system or a vCPU: the value of one.
    pub fn msr(&self, index: u32) -> Result<u64, Error> {
        let mut msr = Msrs::of([kvm_msr_entry { index, ..Default::default() }]);
        let (request, shown) = (KVM_GET_MSRS, format_args!("MSR {index:#x}"));
        // SAFETY: the kernel reads the header and fills as many entries as it says.
        match unsafe { self.fill(request, &mut msr, shown) }? {
            1 => Ok(msr.entries[0].data),
            _ => Err(Error::Msr { kind: self.kind, request, index }),
        }
    }

    /// `KVM_SET_TSC_KHZ`, of a VM or a vCPU.
    pub fn set_tsc_khz(&self, khz: u32) -> Result<(), Error> {
        let shown = format_args!("{khz} kHz");
        // SAFETY: takes a number.
        unsafe { self.ioctl(KVM_SET_TSC_KHZ, khz.into(), shown) }.map(drop)
    }

    /// `KVM_ENABLE_CAP`, of a VM or a vCPU.
    pub fn enable(&self, capability: u32, value: u64) -> Result<(), Error> {
        let args = [value, 0, 0, 0];
        let enable = kvm_enable_cap { cap: capability, flags: 0, args, pad: [0; 64] };
        let shown = format_args!("{}, {value:#x}", cap::name(capability).unwrap_or("?"));
        // SAFETY: the structure is the request's; none of the capabilities here takes an address.
        unsafe { self.set(KVM_ENABLE_CAP, &enable, shown) }.map(drop)
    }

    /// `KVM_GET_STATS_FD`, of a VM or a vCPU. Before Linux 5.14 a VM gives ENOTTY, a vCPU EINVAL.
    pub fn stats(&self) -> Result<Fd, Error> {
        // SAFETY: takes no argument, and makes a descriptor.
        unsafe { self.make(KVM_GET_STATS_FD, 0, format_args!("")) }
    }
}
