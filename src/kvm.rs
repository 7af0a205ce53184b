//! The system descriptor, `/dev/kvm`.

use crate::error::{Call, Error};
use crate::fd::Fd;
use crate::sys::ioctl;
use crate::vm::Vm;
use core::ffi::CStr;

/// Made by the kernel's misc device 232, or by mdev(8) and udev(7) on its behalf.
pub const DEVICE: &CStr = c"/dev/kvm";

/// An open `/dev/kvm`.
pub struct Kvm(Fd);

impl Kvm {
    /// open(2), to read and write. ENOENT, ENODEV: no KVM; EACCES: no permission.
    pub fn open() -> Result<Kvm, Error> {
        Fd::open(DEVICE, libc::O_RDWR, 0).map(Kvm).map_err(Call::OPEN_KVM.failed())
    }

    /// `KVM_GET_API_VERSION`. ENOTTY where this is not KVM's device at all.
    pub fn api_version(&self) -> Result<i32, Error> {
        // SAFETY: takes no argument.
        unsafe { self.0.ioctl(ioctl::KVM_GET_API_VERSION, 0) }
    }

    /// `KVM_GET_VCPU_MMAP_SIZE`: the size of a vCPU's mapping, in bytes.
    pub fn vcpu_mmap_size(&self) -> Result<usize, Error> {
        // SAFETY: takes no argument.
        unsafe { self.0.ioctl(ioctl::KVM_GET_VCPU_MMAP_SIZE, 0) }.map(|size| size as usize)
    }

    /// `KVM_CREATE_VM`.
    pub fn create_vm<'m>(&self) -> Result<Vm<'m>, Error> {
        const DEFAULT_TYPE: u64 = 0;
        // SAFETY: takes a number. The new descriptor is ours alone.
        unsafe { self.0.ioctl(ioctl::KVM_CREATE_VM, DEFAULT_TYPE) }
            .map(|fd| Vm::new(Fd::from_kernel(fd)))
    }
}
