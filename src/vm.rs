//! A VM descriptor.

use crate::error::Error;
use crate::fd::{Fd, address};
use crate::memory::Memory;
use crate::sys::ioctl;
use crate::sys::memory::kvm_userspace_memory_region;
use crate::vcpu::Vcpu;
use core::cell::Cell;
use core::marker::PhantomData;

/// A virtual machine. `'m` is the life of the memory that its guest may touch: the compiler sees to
/// it that RAM stays mapped for as long as a vCPU could run.
pub struct Vm<'m> {
    fd: Fd,
    /// In a Cell, so that 'm can't be shortened behind the compiler's back.
    memory: PhantomData<Cell<&'m Memory<'m>>>,
}

impl<'m> Vm<'m> {
    pub(crate) fn new(fd: Fd) -> Vm<'m> {
        Vm { fd, memory: PhantomData }
    }

    /// `KVM_SET_TSS_ADDR`: three pages at this guest-physical address, below 4 GiB.
    pub fn set_tss_address(&self, address: u64) -> Result<(), Error> {
        // SAFETY: takes a number.
        unsafe { self.fd.ioctl(ioctl::KVM_SET_TSS_ADDR, address) }.map(drop)
    }

    /// `KVM_SET_IDENTITY_MAP_ADDR`: one page, likewise. EINVAL once there is a vCPU.
    pub fn set_identity_map_address(&self, identity_map: u64) -> Result<(), Error> {
        // SAFETY: takes the address of a u64, which the kernel reads during the call.
        unsafe { self.fd.ioctl(ioctl::KVM_SET_IDENTITY_MAP_ADDR, address(&identity_map)) }.map(drop)
    }

    /// `KVM_SET_USER_MEMORY_REGION`: shows all of `memory` to the guest, from the guest-physical
    /// address `base` on.
    pub fn set_memory(&self, slot: u32, base: u64, memory: &'m Memory<'m>) -> Result<(), Error> {
        let region = kvm_userspace_memory_region {
            slot,
            flags: 0,
            guest_phys_addr: base,
            memory_size: memory.size(),
            userspace_addr: memory.host_address(),
        };
        // SAFETY: the kernel reads `region` during the call. From then on the guest reads and
        // writes `memory`, which outlives this VM and its vCPUs ('m), and of which no Rust
        // reference exists.
        unsafe { self.fd.ioctl(ioctl::KVM_SET_USER_MEMORY_REGION, address(&region)) }.map(drop)
    }

    /// `KVM_CREATE_VCPU`, and the mapping of its `kvm_run`, of `mmap_size` bytes.
    pub fn create_vcpu(&self, id: u32, mmap_size: usize) -> Result<Vcpu<'m>, Error> {
        // SAFETY: takes a number. The new descriptor is ours alone.
        let fd = unsafe { self.fd.ioctl(ioctl::KVM_CREATE_VCPU, id.into()) }?;
        Vcpu::new(Fd::from_kernel(fd), mmap_size)
    }
}
