//! The system descriptor, `/dev/kvm`.

use crate::error::{Call, Error};
use crate::fd::{Argument, Fd, address};
use crate::sys::KVM_API_VERSION;
use crate::sys::cpuid::{kvm_cpuid_entry2, kvm_cpuid2};
use crate::sys::ioctl;
use crate::vm::Vm;
use core::ffi::CStr;

/// Made by the kernel's misc device 232, or by mdev(8) and udev(7) on its behalf.
pub const DEVICE: &CStr = c"/dev/kvm";

/// Linux 6.12 gives some 60 on a large machine; KVM takes 256 at most.
const CPUID_ENTRIES: usize = 128;

/// What a guest's CPUID says.
#[repr(C)]
pub struct Cpuid {
    pub(crate) header: kvm_cpuid2,
    entries: [kvm_cpuid_entry2; CPUID_ENTRIES],
}

impl Default for Cpuid {
    /// Nothing.
    fn default() -> Cpuid {
        let entries = [kvm_cpuid_entry2::default(); CPUID_ENTRIES];
        Cpuid { header: kvm_cpuid2::default(), entries }
    }
}

/// An open `/dev/kvm`.
pub struct Kvm(Fd);

impl Kvm {
    /// open(2), to read and write. ENOENT, ENODEV: no KVM; EACCES: no permission.
    pub fn open() -> Result<Kvm, Error> {
        Fd::open(Call::OPEN_KVM, DEVICE, libc::O_RDWR, 0).map(Kvm)
    }

    /// `KVM_GET_API_VERSION`: [`KVM_API_VERSION`], else ENOSYS. ENOTTY where this is not KVM's device at all.
    pub fn api_version(&self) -> Result<i32, Error> {
        // SAFETY: takes no argument.
        match unsafe { self.0.ioctl(ioctl::KVM_GET_API_VERSION, Argument::None) }? {
            KVM_API_VERSION => Ok(KVM_API_VERSION),
            _ => Err(Call::ioctl(ioctl::KVM_GET_API_VERSION).error(libc::ENOSYS)),
        }
    }

    /// `KVM_GET_VCPU_MMAP_SIZE`: the size of a vCPU's mapping, in bytes.
    pub fn vcpu_mmap_size(&self) -> Result<usize, Error> {
        // SAFETY: takes no argument.
        unsafe { self.0.ioctl(ioctl::KVM_GET_VCPU_MMAP_SIZE, Argument::None) }
            .map(|size| size as usize)
    }

    /// `KVM_CHECK_EXTENSION`: 0 for no, else yes or a number. Of this kernel as a whole.
    pub fn check_extension(&self, capability: u32) -> Result<i32, Error> {
        let capability = Argument::Capability(capability.into());
        // SAFETY: takes a number.
        unsafe { self.0.ioctl(ioctl::KVM_CHECK_EXTENSION, capability) }
    }

    /// `KVM_GET_SUPPORTED_CPUID`: what this host's KVM lets a guest's CPUID say. E2BIG: more than there is
    /// room for here.
    pub fn supported_cpuid(&self, cpuid: &mut Cpuid) -> Result<(), Error> {
        cpuid.header.nent = CPUID_ENTRIES as u32;
        let answer = Argument::Out(address(&raw mut *cpuid));
        // SAFETY: the kernel reads the header, and fills as many entries as it says at most.
        unsafe { self.0.ioctl(ioctl::KVM_GET_SUPPORTED_CPUID, answer) }.map(drop)
    }

    /// `KVM_CREATE_VM`.
    pub fn create_vm<'m>(&self) -> Result<Vm<'m>, Error> {
        const DEFAULT_TYPE: u64 = 0;
        // SAFETY: takes a number. The new descriptor is ours alone.
        unsafe { self.0.ioctl(ioctl::KVM_CREATE_VM, Argument::Number(DEFAULT_TYPE)) }
            .map(|fd| Vm::new(Fd::from_kernel(fd)))
    }
}
