//! The system descriptor, `/dev/kvm`.

use crate::host::fd::Fd;
use crate::kvm::Error;
use crate::kvm::cpuid::Cpuid;
use crate::kvm::descriptor::{Descriptor, Kind};
use crate::kvm::vm::Vm;
use crate::sys::{KVM_API_VERSION, ioctl};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

/// See [`Kvm::msr_indices`]. SDM volume 4, table 2-2.
const MORE_MSRS: [RangeInclusive<u32>; 7] = [
    // DEBUGCTL; variable and fixed MTRRs, and their default type; 32 banks of four.
    0x1d9..=0x1d9,
    0x200..=0x20f,
    0x250..=0x250,
    0x258..=0x259,
    0x268..=0x26f,
    0x2ff..=0x2ff,
    0x400..=0x47f,
];

/// An open `/dev/kvm`.
pub struct Kvm(pub(super) Descriptor);

impl Kvm {
    /// Opens `/dev/kvm`, to read and write.
    pub fn open() -> Result<Kvm, Error> {
        let fd = Fd::open(c"/dev/kvm", libc::O_RDWR, 0).map_err(Error::Open)?;
        Ok(Kvm(Descriptor { kind: Kind::System, fd }))
    }

    /// `KVM_GET_API_VERSION`: returns [`KVM_API_VERSION`] and nothing else. ENOTTY where this is not KVM's device at all.
    pub fn api_version(&self) -> Result<i32, Error> {
        // SAFETY: takes no argument.
        let version = unsafe { self.0.ioctl(ioctl::KVM_GET_API_VERSION, 0, format_args!("")) }?;
        if version == KVM_API_VERSION { Ok(version) } else { Err(Error::ApiVersion(version)) }
    }

    /// `KVM_GET_VCPU_MMAP_SIZE`: the size of a vCPU's mapping, in bytes.
    pub fn vcpu_mmap_size(&self) -> Result<usize, Error> {
        // SAFETY: takes no argument.
        let size = unsafe { self.0.ioctl(ioctl::KVM_GET_VCPU_MMAP_SIZE, 0, format_args!("")) }?;
        Ok(size as usize)
    }

    /// `KVM_CHECK_EXTENSION` for this kernel as a whole: 0 for no, else yes or a number.
    pub fn check_extension(&self, capability: u32) -> Result<i32, Error> {
        self.0.check_extension(capability)
    }

    /// `KVM_GET_SUPPORTED_CPUID`: what a guest's CPUID may say on this host. E2BIG: more than there is room for here.
    pub fn supported_cpuid(&self) -> Result<Cpuid, Error> {
        self.0.cpuid(ioctl::KVM_GET_SUPPORTED_CPUID)
    }

    /// `KVM_GET_EMULATED_CPUID`: what else it may say, since KVM carries it out itself. E2BIG as above.
    pub fn emulated_cpuid(&self) -> Result<Cpuid, Error> {
        self.0.cpuid(ioctl::KVM_GET_EMULATED_CPUID)
    }

    /// `KVM_GET_MSR_INDEX_LIST`, or `KVM_GET_MSR_FEATURE_INDEX_LIST`, as it is. E2BIG: the kernel has more than `room`
    /// MSRs. `room` is at most 1023.
    fn msr_list(&self, request: u32, room: u32) -> Result<Vec<u32>, Error> {
        // The header, and room for more than Linux 6.12 has, some 180.
        let mut list = [0u32; 1 + 1023];
        list[0] = room.min(1023);
        // SAFETY: the kernel reads the header, and fills as many numbers as it says at most.
        unsafe { self.0.fill(request, &mut list, format_args!("room for {room}")) }?;
        Ok(list[1..][..list[0] as usize].to_vec())
    }

    /// `KVM_GET_MSR_INDEX_LIST`: the MSRs that a save should not forget. E2BIG: it has more than `room`.
    pub fn listed_msrs(&self, room: u32) -> Result<Vec<u32>, Error> {
        self.msr_list(ioctl::KVM_GET_MSR_INDEX_LIST, room)
    }

    /// `KVM_GET_MSR_FEATURE_INDEX_LIST`: the MSRs that tell what a guest's processor can have. Linux 4.16.
    pub fn feature_msrs(&self) -> Result<Vec<u32>, Error> {
        self.msr_list(ioctl::KVM_GET_MSR_FEATURE_INDEX_LIST, 1023)
    }

    /// `KVM_GET_MSRS` on `/dev/kvm`: the value of one of them.
    pub fn feature_msr(&self, index: u32) -> Result<u64, Error> {
        self.0.msr(index)
    }

    /// `KVM_X86_GET_MCE_CAP_SUPPORTED`: what `MCG_CAP` can say, but for the number of banks.
    pub fn machine_check_capabilities(&self) -> Result<u64, Error> {
        let mut capabilities = 0u64;
        let request = ioctl::KVM_X86_GET_MCE_CAP_SUPPORTED;
        // SAFETY: the kernel fills the number.
        unsafe { self.0.fill(request, &mut capabilities, format_args!("")) }?;
        Ok(capabilities)
    }

    /// The MSRs that can be saved and restored: those of `KVM_GET_MSR_INDEX_LIST`, and those that KVM has too and does not list (Linux 6.12):
    /// MTRRs, the machine-check banks, DEBUGCTL. A vCPU may lack some.
    pub fn msr_indices(&self) -> Result<Vec<u32>, Error> {
        let mut indices = self.listed_msrs(1023)?;
        let list = indices.clone();
        for range in MORE_MSRS {
            indices.extend(range.filter(|index| !list.contains(index)));
        }
        Ok(indices)
    }

    /// `KVM_CREATE_VM` of the common type.
    pub fn create_vm(&self) -> Result<Vm, Error> {
        const DEFAULT_TYPE: u32 = 0;
        self.create_vm_of_type(DEFAULT_TYPE)
    }

    /// `KVM_CREATE_VM`. EINVAL: there is no such type. `KVM_CAP_VM_TYPES` has a bit for each.
    pub fn create_vm_of_type(&self, kind: u32) -> Result<Vm, Error> {
        let shown = format_args!("{kind}");
        // SAFETY: takes a number, and makes a descriptor.
        let fd = unsafe { self.0.make(ioctl::KVM_CREATE_VM, kind.into(), shown) }?;
        Ok(Vm::new(fd))
    }
}
