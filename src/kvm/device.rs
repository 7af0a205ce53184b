//! Devices in the kernel, and attributes.

use crate::host::fd::Fd;
use crate::kvm::descriptor::{Descriptor, Kind};
use crate::kvm::{Error, Kvm, Vm};
use crate::sys::device::*;
use crate::sys::ioctl;

/// A device in the kernel.
pub struct Device(Descriptor);

impl Vm {
    /// `KVM_CREATE_DEVICE` with `KVM_CREATE_DEVICE_TEST`: whether there is such a device, `KVM_DEV_TYPE_*`. ENODEV: no.
    pub fn has_device(&self, kind: u32) -> Result<(), Error> {
        self.new_device(kind, KVM_CREATE_DEVICE_TEST).map(drop)
    }

    /// `KVM_CREATE_DEVICE`. EBUSY: there can be only one, and there is.
    pub fn create_device(&self, kind: u32) -> Result<Device, Error> {
        let device = self.new_device(kind, 0)?;
        // SAFETY: the kernel has just made the descriptor for us.
        let fd = unsafe { Fd::from_raw(device.fd as i32) };
        Ok(Device(Descriptor { kind: Kind::Device, fd }))
    }

    fn new_device(&self, kind: u32, flags: u32) -> Result<kvm_create_device, Error> {
        let mut device = kvm_create_device { r#type: kind, fd: 0, flags };
        let shown = format_args!("type {kind}, flags {flags}");
        // SAFETY: the kernel reads and fills the structure.
        unsafe { self.descriptor.fill(ioctl::KVM_CREATE_DEVICE, &mut device, shown) }?;
        Ok(device)
    }
}

impl Device {
    /// `KVM_HAS_DEVICE_ATTR`. ENXIO: it does not have the attribute.
    pub fn has_attribute(&self, group: u32, attr: u64) -> Result<(), Error> {
        let attribute = kvm_device_attr { flags: 0, group, attr, addr: 0 };
        let shown = format_args!("group {group}, attribute {attr}");
        // SAFETY: the kernel reads the structure, and does not follow its address.
        unsafe { self.0.set(ioctl::KVM_HAS_DEVICE_ATTR, &attribute, shown) }.map(drop)
    }
}

impl Kvm {
    /// `KVM_GET_DEVICE_ATTR` on `/dev/kvm`: an attribute of 64 bits. Linux 5.17, `KVM_CAP_SYS_ATTRIBUTES`.
    pub fn attribute(&self, attr: u64) -> Result<u64, Error> {
        let mut value = 0u64;
        let addr = (&raw mut value).expose_provenance() as u64;
        let attribute = kvm_device_attr { flags: 0, group: 0, attr, addr };
        // SAFETY: the kernel writes a u64 at the address, which stays valid during the call.
        unsafe {
            let shown = format_args!("attribute {attr}");
            self.0.set(ioctl::KVM_GET_DEVICE_ATTR, &attribute, shown)?;
        }
        Ok(value)
    }
}
