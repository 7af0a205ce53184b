//! A VM descriptor.

use crate::error::{Call, Error};
use crate::fd::{Argument, Buffer, Fd, address};
use crate::layout::{PAGE_SIZE, RAM_LIMIT};
use crate::memory::Memory;
use crate::sys::cap::kvm_enable_cap;
use crate::sys::ioctl;
use crate::sys::memory::{kvm_dirty_log, kvm_userspace_memory_region};
use crate::vcpu::Vcpu;
use core::cell::Cell;
use core::ffi::c_int;
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
    pub fn set_tss_address(&self, gpa: u64) -> Result<(), Error> {
        // SAFETY: takes a number, not its address as the next one does.
        unsafe { self.fd.ioctl(ioctl::KVM_SET_TSS_ADDR, Argument::GpaValue(gpa)) }.map(drop)
    }

    /// `KVM_SET_IDENTITY_MAP_ADDR`: one page, likewise. EINVAL once there is a vCPU.
    pub fn set_identity_map_address(&self, gpa: u64) -> Result<(), Error> {
        // SAFETY: takes the address of a u64, which the kernel reads during the call.
        unsafe { self.fd.ioctl(ioctl::KVM_SET_IDENTITY_MAP_ADDR, Argument::Gpa(&gpa)) }.map(drop)
    }

    /// `KVM_ENABLE_CAP`. EINVAL: this kernel doesn't have it, or not for a VM.
    pub fn enable(&self, capability: u32, value: u64) -> Result<(), Error> {
        let args = [value, 0, 0, 0];
        let enable = kvm_enable_cap { cap: capability, flags: 0, args, pad: [0; 64] };
        // SAFETY: the kernel reads `enable` during the call.
        unsafe { self.fd.ioctl(ioctl::KVM_ENABLE_CAP, Argument::Enable(&enable)) }.map(drop)
    }

    /// `KVM_SET_USER_MEMORY_REGION`: shows `size` bytes of `memory`, from its start, to the guest, from the
    /// guest-physical address `base` on. Size 0 takes the slot away. `flags` are `KVM_MEM_*`.
    pub fn set_memory(
        &self,
        slot: u32,
        flags: u32,
        base: u64,
        memory: &'m Memory<'m>,
        size: u64,
    ) -> Result<(), Error> {
        // Above there are slots of KVM's own; and the dirty log counts on it.
        if size > memory.size() || base.saturating_add(size) > RAM_LIMIT {
            return Err(Call::ioctl(ioctl::KVM_SET_USER_MEMORY_REGION).error(libc::EINVAL));
        }
        let region = kvm_userspace_memory_region {
            slot,
            flags,
            guest_phys_addr: base,
            memory_size: size,
            userspace_addr: memory.host_address(),
        };
        let argument = Argument::Region(&region);
        // SAFETY: the kernel reads `region` during the call. From then on the guest reads and
        // writes `memory`, which outlives this VM and its vCPUs ('m), and of which no Rust
        // reference exists.
        unsafe { self.fd.ioctl(ioctl::KVM_SET_USER_MEMORY_REGION, argument) }.map(drop)
    }

    /// `KVM_GET_DIRTY_LOG`: a bit for each 4 KiB of the slot that was written since the last call, in
    /// words of 8 bytes, of which there are as many as the slot needs: ENOENT where the slot keeps no log.
    pub fn dirty_log(&self, slot: u32, bitmap: &mut DirtyBitmap) -> Result<(), Error> {
        let dirty_bitmap = address(bitmap.0.bytes_mut().as_mut_ptr());
        let log = kvm_dirty_log { slot, padding1: 0, dirty_bitmap };
        let argument = Argument::Out(address(&log));
        // SAFETY: the kernel reads `log`, and fills a bit for each page of the slot, rounded up to 64:
        // `set_memory` lets no slot reach above RAM_LIMIT, for which the bitmap is large enough.
        unsafe { self.fd.ioctl(ioctl::KVM_GET_DIRTY_LOG, argument) }.map(drop)
    }

    /// `KVM_GET_STATS_FD`. ENOTTY before Linux 5.14.
    pub fn stats(&self) -> Result<Fd, Error> {
        // SAFETY: takes no argument. The new descriptor is ours alone.
        unsafe { self.fd.ioctl(ioctl::KVM_GET_STATS_FD, Argument::None) }.map(Fd::from_kernel)
    }

    /// The number of its descriptor, by which debugfs calls it.
    pub fn descriptor(&self) -> c_int {
        self.fd.raw()
    }

    /// `KVM_CREATE_VCPU`, and the mapping of its `kvm_run`, of `mmap_size` bytes.
    pub fn create_vcpu(&self, id: u32, mmap_size: usize) -> Result<Vcpu<'m>, Error> {
        // SAFETY: takes a number. The new descriptor is ours alone.
        let fd = unsafe { self.fd.ioctl(ioctl::KVM_CREATE_VCPU, Argument::Number(id.into())) }?;
        Vcpu::new(Fd::from_kernel(fd), mmap_size)
    }
}

/// A bit for each page that a slot could have: 128 KiB.
pub struct DirtyBitmap(Buffer);

impl DirtyBitmap {
    /// All zeros.
    pub fn new() -> Result<DirtyBitmap, Error> {
        Buffer::new((RAM_LIMIT / PAGE_SIZE).div_ceil(64) as usize * 8).map(DirtyBitmap)
    }

    /// Whether page `index` of the slot was written.
    pub fn is_dirty(&self, index: u64) -> bool {
        self.0.bytes().get((index / 8) as usize).is_some_and(|byte| byte >> (index % 8) & 1 != 0)
    }
}
