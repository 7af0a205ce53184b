//! Memory that only the guest can touch, and what comes with it: api.rst 4.140 to 4.143.

use crate::host::fd::Fd;
use crate::kvm::{Error, Vcpu, Vm};
use crate::memory::guest_memory::Region;
use crate::show::Bytes;
use crate::sys::ioctl;
use crate::sys::memory::*;

impl Vm {
    /// `KVM_CREATE_GUEST_MEMFD`: a file of this size that can't be read, written or mapped.
    pub fn create_guest_memfd(&self, size: u64) -> Result<Fd, Error> {
        let mut create = kvm_create_guest_memfd { size, ..Default::default() };
        let (request, shown) = (ioctl::KVM_CREATE_GUEST_MEMFD, format_args!("{}", Bytes(size)));
        // SAFETY: the kernel reads the structure, and makes a descriptor.
        let fd = unsafe { self.descriptor.fill(request, &mut create, shown) }?;
        // SAFETY: the kernel has just made it for us.
        Ok(unsafe { Fd::from_raw(fd) })
    }

    /// `KVM_SET_USER_MEMORY_REGION2`: as [`Vm::set_user_memory_region`], for all of the region; with a guest_memfd its private pages
    /// are that file's.
    pub fn set_user_memory_region2(
        &self,
        slot: u32,
        gpa: u64,
        region: &Region,
        guest_memfd: Option<&Fd>,
    ) -> Result<(), Error> {
        let userspace_addr = self.memory_of_slot(slot, region, region.size)?;
        let slot = kvm_userspace_memory_region2 {
            slot,
            flags: if guest_memfd.is_some() { KVM_MEM_GUEST_MEMFD } else { 0 },
            guest_phys_addr: gpa,
            memory_size: region.size,
            userspace_addr,
            guest_memfd: guest_memfd.map_or(0, |fd| fd.raw() as u32),
            ..Default::default()
        };
        let shown = format_args!("slot {}, GPA {gpa:#x}, {}", slot.slot, Bytes(region.size));
        // SAFETY: as for `Vm::set_user_memory_region`.
        unsafe { self.descriptor.set(ioctl::KVM_SET_USER_MEMORY_REGION2, &slot, shown) }.map(drop)
    }

    /// `KVM_SET_MEMORY_ATTRIBUTES`: whether these pages are private.
    pub fn set_private(&self, address: u64, size: u64, is_private: bool) -> Result<(), Error> {
        let attributes = if is_private { KVM_MEMORY_ATTRIBUTE_PRIVATE } else { 0 };
        let change = kvm_memory_attributes { address, size, attributes, flags: 0 };
        let shown = format_args!("GPA {address:#x}, {}, {attributes:#x}", Bytes(size));
        self.set(ioctl::KVM_SET_MEMORY_ATTRIBUTES, &change, shown).map(drop)
    }
}

impl Vcpu {
    /// `KVM_PRE_FAULT_MEMORY`: maps guest memory as if the guest had read it. Returns how many bytes are left, as after a signal.
    pub fn pre_fault(&self, gpa: u64, size: u64) -> Result<u64, Error> {
        let mut range = kvm_pre_fault_memory { gpa, size, ..Default::default() };
        let shown = format_args!("GPA {gpa:#x}, {}", Bytes(size));
        // SAFETY: the kernel reads and fills the structure.
        unsafe { self.descriptor.fill(ioctl::KVM_PRE_FAULT_MEMORY, &mut range, shown) }?;
        Ok(range.size)
    }
}
