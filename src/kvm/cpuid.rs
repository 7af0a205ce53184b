//! What a guest's CPUID says.

use crate::sys::cpuid::{KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2, kvm_cpuid2};
use crate::x86;

/// Linux 6.12 gives some 60 entries on a large machine.
const ROOM: usize = 128;
/// How many of them [`Cpuid::set_topology`] adds.
const TOPOLOGY: usize = 3;

// CPUID leaf 1, ECX.
const HYPERVISOR: u32 = 1 << 31;
const TSC_DEADLINE: u32 = 1 << 24;
const X2APIC: u32 = 1 << 21;
// CPUID leaf 1, EDX.
const HTT: u32 = 1 << 28;
const APIC: u32 = 1 << 9;

/// KVM's own leaf: Documentation/virt/kvm/x86/cpuid.rst. EAX has a bit for each feature; these are about interrupts.
const KVM_CPUID_FEATURES: u32 = 0x4000_0001;
const KVM_FEATURE_ASYNC_PF: u32 = 1 << 4;
const KVM_FEATURE_PV_EOI: u32 = 1 << 6;
const KVM_FEATURE_PV_UNHALT: u32 = 1 << 7;
const KVM_FEATURE_ASYNC_PF_VMEXIT: u32 = 1 << 10;
const KVM_FEATURE_PV_SEND_IPI: u32 = 1 << 11;
const KVM_FEATURE_PV_SCHED_YIELD: u32 = 1 << 13;
const KVM_FEATURE_ASYNC_PF_INT: u32 = 1 << 14;
const KVM_FEATURE_MSI_EXT_DEST_ID: u32 = 1 << 15;
const KVM_NEEDS_LOCAL_APIC: u32 = KVM_FEATURE_ASYNC_PF
    | KVM_FEATURE_PV_EOI
    | KVM_FEATURE_PV_UNHALT
    | KVM_FEATURE_ASYNC_PF_VMEXIT
    | KVM_FEATURE_PV_SEND_IPI
    | KVM_FEATURE_PV_SCHED_YIELD
    | KVM_FEATURE_ASYNC_PF_INT
    | KVM_FEATURE_MSI_EXT_DEST_ID;

/// A list of CPUID's answers, as KVM takes it: a header, and `nent` entries.
#[repr(C)]
#[derive(Clone)]
pub struct Cpuid {
    header: kvm_cpuid2,
    entries: [kvm_cpuid_entry2; ROOM],
}

impl Cpuid {
    /// A list for the kernel to fill.
    pub fn with_room() -> Cpuid {
        let header = kvm_cpuid2 { nent: (ROOM - TOPOLOGY) as u32, ..Default::default() };
        Cpuid { header, entries: [kvm_cpuid_entry2::default(); ROOM] }
    }

    /// The entries.
    pub fn entries(&self) -> &[kvm_cpuid_entry2] {
        &self.entries[..self.header.nent as usize]
    }

    /// Sets the topology for vCPU `number` of `cpus`: one package, in which each vCPU is a core with one thread. Its
    /// APIC id is its number. `has_deadline`: the local APIC's timer can follow the TSC.
    pub fn set_topology(&mut self, number: u32, cpus: u32, has_deadline: bool) {
        // How many bits of an APIC id tell the cores apart.
        let bits = u32::BITS - (cpus - 1).leading_zeros();
        let (mut last_leaf, mut is_amd) = (0, false);
        // The topology leaves are made below.
        self.retain(|entry| !matches!(entry.function, 0xb | 0x1f));
        let count = self.header.nent as usize;
        for entry in &mut self.entries[..count] {
            match entry.function {
                0 => {
                    last_leaf = entry.eax;
                    is_amd = x86::is_amd(entry.ebx);
                }
                // SDM volume 2, CPUID, leaf 1.
                1 => {
                    entry.ebx = entry.ebx & 0xffff | cpus << 16 | number << 24;
                    entry.ecx |= HYPERVISOR | if has_deadline { TSC_DEADLINE } else { 0 };
                    entry.edx = entry.edx & !HTT | if cpus > 1 { HTT } else { 0 };
                }
                // Leaf 4, and AMD's like it: who shares the cache (the third level all cores, the others none), and how
                // many cores there are.
                4 | 0x8000_001d => {
                    let shared = if entry.eax >> 5 & 7 == 3 { (1 << bits) - 1 } else { 0 };
                    let cores = if entry.function == 4 { (cpus - 1).min(63) << 26 } else { 0 };
                    entry.eax = entry.eax & 0x3fff | (shared & 0xfff) << 14 | cores;
                }
                // APM volume 3, appendix E.4.7 and E.4.16: how many cores, and this one's number. Reserved on Intel.
                0x8000_0008 if is_amd => {
                    entry.ecx = entry.ecx & !0xf0ff | (cpus - 1) | bits << 12;
                }
                0x8000_001e if is_amd => (entry.eax, entry.ebx, entry.ecx) = (number, number, 0),
                _ => {}
            }
        }
        if last_leaf >= 0xb {
            // A thread in a core, a core in the package, and the end of the list.
            for (index, eax, ebx, kind) in [(0, 0, 1, 1), (1, bits, cpus, 2), (2, 0, 0, 0)] {
                self.push(kvm_cpuid_entry2 {
                    function: 0xb,
                    index,
                    flags: KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                    eax,
                    ebx,
                    ecx: index | kind << 8,
                    edx: number,
                    padding: [0; 3],
                });
            }
        }
    }

    /// Takes away what needs a local APIC in the kernel: api.rst 9.1. A guest that used it would fault, or wait for ever.
    pub fn remove_local_apic(&mut self) {
        let count = self.header.nent as usize;
        for entry in &mut self.entries[..count] {
            match entry.function {
                1 => {
                    entry.ecx &= !(X2APIC | TSC_DEADLINE);
                    entry.edx &= !APIC;
                }
                KVM_CPUID_FEATURES => entry.eax &= !KVM_NEEDS_LOCAL_APIC,
                _ => {}
            }
        }
    }

    fn retain(&mut self, keep: impl Fn(&kvm_cpuid_entry2) -> bool) {
        let mut kept = 0;
        for index in 0..self.header.nent as usize {
            if keep(&self.entries[index]) {
                self.entries[kept] = self.entries[index];
                kept += 1;
            }
        }
        self.header.nent = kept as u32;
    }

    fn push(&mut self, entry: kvm_cpuid_entry2) {
        self.entries[self.header.nent as usize] = entry;
        self.header.nent += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_local_apic_nothing_that_needs_one_is_offered() {
        let mut cpuid = Cpuid::with_room();
        cpuid.header.nent = 0;
        for (function, eax, ecx, edx) in
            [(1, 7, u32::MAX, u32::MAX), (KVM_CPUID_FEATURES, u32::MAX, 5, 6)]
        {
            cpuid.push(kvm_cpuid_entry2 { function, eax, ecx, edx, ..Default::default() });
        }
        cpuid.remove_local_apic();
        let [first, kvm] = cpuid.entries() else { panic!() };
        assert_eq!((first.eax, first.ecx), (7, !(1 << 21 | 1 << 24)), "no x2APIC, no TSC deadline");
        assert_eq!(first.edx, !(1 << 9));
        assert_eq!(kvm.eax & (1 << 4 | 1 << 7 | 1 << 10), 0, "no ASYNC_PF, no PV_UNHALT");
        assert_eq!(
            (kvm.eax & 1, kvm.eax >> 3 & 1, kvm.ecx, kvm.edx),
            (1, 1, 5, 6),
            "the clock stays"
        );
    }

    #[test]
    fn each_processor_knows_its_place_among_the_others() {
        let leaf =
            |function, index, eax| kvm_cpuid_entry2 { function, index, eax, ..Default::default() };
        for (number, cpus, bits) in [(0, 1, 0), (1, 2, 1), (2, 3, 2), (254, 255, 8)] {
            let mut cpuid = Cpuid::with_room();
            cpuid.header.nent = 0;
            for entry in [
                kvm_cpuid_entry2 { ebx: u32::from_le_bytes(*b"Auth"), ..leaf(0, 0, 0x10) },
                leaf(1, 0, 0),
                leaf(4, 0, 1 << 5 | 1),
                leaf(4, 3, 3 << 5 | 3 | 0xffff_c000),
                leaf(0xb, 0, 7),
                leaf(0x1f, 0, 7),
                leaf(0x8000_0008, 0, 0x3030),
                leaf(0x8000_001e, 0, 0),
            ] {
                cpuid.push(entry);
            }
            cpuid.set_topology(number, cpus, true);
            let find = |function, index| {
                let is =
                    |entry: &&kvm_cpuid_entry2| (entry.function, entry.index) == (function, index);
                assert_eq!(cpuid.entries().iter().filter(is).count(), 1, "{function:#x} {index}");
                *cpuid.entries().iter().find(is).unwrap()
            };
            let first = find(1, 0);
            assert_eq!(first.ebx, cpus << 16 | number << 24);
            assert_eq!(first.ecx, 1 << 31 | 1 << 24);
            assert_eq!(first.edx >> 28 & 1, u32::from(cpus > 1));
            assert_eq!(find(4, 0).eax >> 14 & 0xfff, 0);
            assert_eq!(find(4, 3).eax >> 14 & 0xfff, (1 << bits) - 1);
            assert_eq!(find(4, 3).eax >> 26, (cpus - 1).min(63));
            let threads = find(0xb, 0);
            assert_eq!((threads.eax, threads.ebx, threads.ecx, threads.edx), (0, 1, 0x100, number));
            let cores = find(0xb, 1);
            assert_eq!((cores.eax, cores.ebx, cores.ecx, cores.edx), (bits, cpus, 0x201, number));
            assert!(cpuid.entries().iter().all(|entry| entry.function != 0x1f));
            assert_eq!(find(0x8000_0008, 0).ecx, (cpus - 1) | bits << 12);
            assert_eq!(find(0x8000_001e, 0).eax, number);
        }
    }
}
