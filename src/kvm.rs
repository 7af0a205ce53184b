//! The system descriptor, `/dev/kvm`.

use crate::error::{Call, Error};
use crate::fd::{Argument, Fd, address};
use crate::sys::KVM_API_VERSION;
use crate::sys::cpuid::{KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2, kvm_cpuid2};
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

impl Cpuid {
    /// Makes it that of processor `number` of `cpus`: one package, in which each processor is a core with one thread, and
    /// whose APIC ids count from 0. And what only a machine with a local APIC in the kernel has.
    #[inline(never)]
    pub fn place(&mut self, number: u32, cpus: u32, deadline: bool) {
        // How many bits of an APIC id tell the cores apart.
        let bits = u32::BITS - (cpus - 1).leading_zeros();
        let [cores, byte] = [cpus.min(255), number.min(255)];
        let (mut index, mut last) = (0, 0);
        let mut count = (self.header.nent as usize).min(CPUID_ENTRIES);
        while let Some(entry) = self.entries.get_mut(index).filter(|_| index < count) {
            index += 1;
            match entry.function {
                0 => last = entry.eax,
                // SDM volume 2, CPUID, leaf 1.
                1 => {
                    entry.ebx = entry.ebx & 0xffff | cores << 16 | byte << 24;
                    entry.ecx |= HYPERVISOR | if deadline { TSC_DEADLINE } else { 0 };
                    entry.edx = entry.edx & !HTT | if cpus > 1 { HTT } else { 0 };
                }
                // Leaf 4, and AMD's like it: who shares the cache (the third level all, the others none), and how many cores.
                4 | 0x8000_001d => {
                    let shared = if entry.eax >> 5 & 7 == 3 { (1 << bits) - 1 } else { 0 };
                    let cores = if entry.function == 4 { (cores - 1).min(63) << 26 } else { 0 };
                    entry.eax = entry.eax & 0x3fff | (shared & 0xfff) << 14 | cores;
                }
                // They are made below: the last entry takes this one's place. The order does not matter.
                0xb | 0x1f => {
                    index -= 1;
                    count -= 1;
                    let other = self.entries.get(count).copied().unwrap_or_default();
                    if let Some(place) = self.entries.get_mut(index) {
                        *place = other;
                    }
                }
                // APM volume 3, appendix E.4.7 and E.4.16: as many cores, and this one's number.
                0x8000_0008 => entry.ecx = entry.ecx & !0xf0ff | (cores - 1) | bits << 12,
                0x8000_001e => (entry.eax, entry.ebx, entry.ecx) = (number, number & 0xff, 0),
                _ => {}
            }
        }
        // Leaf 0xb: a thread in a core, a core in the package.
        for (index, eax, ebx, kind) in [(0, 0, 1, 1 << 8), (1, bits, cpus, 2 << 8), (2, 0, 0, 0)] {
            let flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX;
            let (function, ecx, edx) = (0xb, index | kind, number);
            let entry =
                kvm_cpuid_entry2 { function, index, flags, eax, ebx, ecx, edx, padding: [0; 3] };
            if let Some(place) = self.entries.get_mut(count).filter(|_| last >= 0xb) {
                *place = entry;
                count += 1;
            }
        }
        self.header.nent = count as u32;
    }
}

// CPUID leaf 1: ECX, ECX, EDX.
const HYPERVISOR: u32 = 1 << 31;
const TSC_DEADLINE: u32 = 1 << 24;
const HTT: u32 = 1 << 28;

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_processor_knows_its_place_among_the_others() {
        let leaf =
            |function, index, eax| kvm_cpuid_entry2 { function, index, eax, ..Default::default() };
        for (number, cpus, bits) in [(0, 1, 0), (1, 2, 1), (2, 3, 2), (300, 301, 9)] {
            let mut cpuid = Cpuid::default();
            let given = [
                leaf(0, 0, 0x10),
                leaf(1, 0, 0),
                leaf(4, 0, 1 << 5 | 1),
                leaf(4, 3, 3 << 5 | 3 | 0xffff_c000),
                leaf(0xb, 0, 7),
                leaf(0x1f, 0, 7),
                leaf(0x8000_0008, 0, 0x3030),
                leaf(0x8000_001e, 0, 0),
            ];
            cpuid.entries[..8].copy_from_slice(&given);
            cpuid.header.nent = 8;
            cpuid.place(number, cpus, true);
            let entries = &cpuid.entries[..cpuid.header.nent as usize];
            let find = |function, index| {
                let is =
                    |entry: &&kvm_cpuid_entry2| (entry.function, entry.index) == (function, index);
                assert_eq!(entries.iter().filter(is).count(), 1, "{function:#x} {index}");
                *entries.iter().find(is).unwrap()
            };
            let first = find(1, 0);
            assert_eq!(first.ebx, cpus.min(255) << 16 | number.min(255) << 24);
            assert_eq!(first.ecx, 1 << 31 | 1 << 24);
            assert_eq!(first.edx >> 28 & 1, u32::from(cpus > 1));
            assert_eq!(find(4, 0).eax >> 14 & 0xfff, 0);
            assert_eq!(find(4, 3).eax >> 14 & 0xfff, (1 << bits) - 1);
            assert_eq!(find(4, 3).eax >> 26, (cpus - 1).min(63));
            let threads = find(0xb, 0);
            assert_eq!((threads.eax, threads.ebx, threads.ecx, threads.edx), (0, 1, 0x100, number));
            let cores = find(0xb, 1);
            assert_eq!((cores.eax, cores.ebx, cores.ecx, cores.edx), (bits, cpus, 0x201, number));
            assert!(entries.iter().all(|entry| entry.function != 0x1f));
            assert_eq!(find(0x8000_0008, 0).ecx, (cpus - 1).min(254) | bits << 12);
            assert_eq!(find(0x8000_001e, 0).eax, number);
        }
    }
}
