//! What a guest's CPUID says.

use crate::show::number;
use crate::sys::cpuid::{KVM_CPUID_FLAG_SIGNIFCANT_INDEX, kvm_cpuid_entry2, kvm_cpuid2};
use crate::x86;
use crate::x86::features::{Feature, Register, WORDS, Word};

/// Linux 6.12 gives some 60 entries on a large machine.
const ROOM: usize = 128;
/// How many of them are added here: for topology, brand and frequencies.
const ADDED: usize = 8;

/// CPUID leaf 1, EDX: several processors in the package.
const HTT: u32 = 1 << 28;

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
        let header = kvm_cpuid2 { nent: (ROOM - ADDED) as u32, ..Default::default() };
        Cpuid { header, entries: [kvm_cpuid_entry2::default(); ROOM] }
    }

    /// A list of these entries; of as many as there is room for.
    pub fn of_entries(entries: &[kvm_cpuid_entry2]) -> Cpuid {
        let mut cpuid = Cpuid::with_room();
        let count = entries.len().min(ROOM);
        cpuid.entries[..count].copy_from_slice(&entries[..count]);
        cpuid.header.nent = count as u32;
        cpuid
    }

    /// The entries.
    pub fn entries(&self) -> &[kvm_cpuid_entry2] {
        &self.entries[..self.header.nent as usize]
    }

    /// Takes away what the kernel has not filled.
    pub(super) fn remove_empty_entries_at_end(&mut self) {
        let is_filled = |entry: &kvm_cpuid_entry2| {
            [entry.function, entry.eax, entry.ebx, entry.ecx, entry.edx] != [0; 5]
        };
        let filled = self.entries().iter().rposition(is_filled).map_or(0, |last| last + 1);
        self.header.nent = filled as u32;
    }

    /// Sets the topology for vCPU `number` of `cpus`: one package, in which each vCPU is a core with one thread. Its
    /// APIC id is its number.
    pub fn set_topology(&mut self, number: u32, cpus: u32) {
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

    /// A register of a leaf; `None` where CPUID does not have the leaf.
    fn register(&mut self, leaf: u32, index: u32, register: Register) -> Option<&mut u32> {
        let count = self.header.nent as usize;
        let mut entries = self.entries[..count].iter_mut();
        let entry = entries.find(|entry| (entry.function, entry.index) == (leaf, index))?;
        Some(match register {
            Register::Eax => &mut entry.eax,
            Register::Ebx => &mut entry.ebx,
            Register::Ecx => &mut entry.ecx,
            Register::Edx => &mut entry.edx,
        })
    }

    /// The features in a word of [`WORDS`], a bit for each.
    pub fn word(&mut self, word: usize) -> u32 {
        let Word { leaf, index, register, .. } = WORDS[word];
        self.register(leaf, index, register).map_or(0, |value| *value)
    }

    /// Sets them, where CPUID has the leaf.
    pub fn set_word(&mut self, word: usize, features: u32) {
        let Word { leaf, index, register, .. } = WORDS[word];
        if let Some(value) = self.register(leaf, index, register) {
            *value = features;
        }
    }

    /// Whether there is a feature.
    pub fn has(&mut self, feature: Feature) -> bool {
        self.word(feature.word) >> feature.bit & 1 != 0
    }

    /// Adds a feature, or takes it away.
    pub fn set(&mut self, feature: Feature, present: bool) {
        let word = self.word(feature.word) & !(1 << feature.bit);
        self.set_word(feature.word, word | u32::from(present) << feature.bit);
    }

    /// Takes away a leaf.
    pub fn remove_leaf(&mut self, leaf: u32) {
        self.retain(|entry| entry.function != leaf);
    }

    /// Takes these registers out of the XSAVE area, as leaf 0xd describes it: bits of XCR0.
    pub fn remove_state(&mut self, components: u32) {
        if let Some(value) = self.register(0xd, 0, Register::Eax) {
            *value &= !components;
        }
        self.retain(|entry| {
            entry.function != 0xd
                || !(2..32).contains(&entry.index)
                || components >> entry.index & 1 == 0
        });
        // The largest size: where the last of the other parts ends. The legacy area and the header come first.
        const LEAST: u32 = 512 + 64;
        let parts = self.entries().iter().filter(|entry| entry.function == 0xd && entry.index >= 2);
        let size = parts.map(|part| part.eax + part.ebx).max().unwrap_or(0).max(LEAST);
        if let Some(value) = self.register(0xd, 0, Register::Ecx) {
            *value = size;
        }
    }

    /// Sets the processor's maker, in leaf 0 and its like: twelve characters.
    pub fn set_vendor(&mut self, vendor: [u8; 12]) {
        for leaf in [0, 0x8000_0000] {
            // In this order.
            for (register, text) in
                [Register::Ebx, Register::Edx, Register::Ecx].into_iter().zip(vendor.chunks(4))
            {
                if let Some(value) = self.register(leaf, 0, register) {
                    *value = number(text) as u32;
                }
            }
        }
    }

    /// Sets some bits of EAX in leaf 1, and where AMD repeats it. SDM volume 2, CPUID, "Version Information".
    fn set_version(&mut self, mask: u32, bits: u32) {
        for leaf in [1, 0x8000_0001] {
            if let Some(value) = self.register(leaf, 0, Register::Eax).filter(|value| **value != 0)
            {
                *value = *value & !mask | bits;
            }
        }
    }

    /// The family, up to 270: beyond 15 the rest stands in bits 27 to 20.
    pub fn set_family(&mut self, family: u32) {
        let (base, rest) = (family.min(15), family.saturating_sub(15));
        self.set_version(0xff << 20 | 0xf << 8, rest << 20 | base << 8);
    }

    /// The model, up to 255: the upper half stands in bits 19 to 16.
    pub fn set_model(&mut self, model: u32) {
        self.set_version(0xf << 16 | 0xf << 4, (model >> 4) << 16 | (model & 15) << 4);
    }

    /// The stepping, up to 15.
    pub fn set_stepping(&mut self, stepping: u32) {
        self.set_version(0xf, stepping);
    }

    /// The processor's name, in three leaves: up to 48 bytes, and zeros behind them.
    pub fn set_brand(&mut self, brand: &[u8]) {
        let mut text = [0; 48];
        let len = brand.len().min(text.len());
        text[..len].copy_from_slice(&brand[..len]);
        let mut words = text.chunks(4).map(|word| number(word) as u32);
        let mut word = || words.next().unwrap_or(0);
        for function in 0x8000_0002..=0x8000_0004 {
            self.remove_leaf(function);
            let (eax, ebx, ecx, edx) = (word(), word(), word(), word());
            self.push(kvm_cpuid_entry2 { function, eax, ebx, ecx, edx, ..Default::default() });
        }
        if let Some(last) = self.register(0x8000_0000, 0, Register::Eax) {
            *last = (*last).max(0x8000_0004);
        }
    }

    /// Tells how fast TSC and local APIC timer run: leaf 0x15 (SDM volume 2) and a hypervisor's leaf 0x4000_0010. KVM's
    /// local APICs count with 1 GHz.
    pub fn set_frequencies(&mut self, tsc_khz: u32) {
        const APIC_HZ: u32 = 1_000_000_000;
        for (first, leaf) in [(0, 0x15), (0x4000_0000, 0x4000_0010)] {
            let Some(last) = self.register(first, 0, Register::Eax) else { continue };
            *last = (*last).max(leaf);
            self.remove_leaf(leaf);
        }
        // The TSC's frequency is that of the crystal, in Hz, times EBX / EAX.
        let (eax, ebx, ecx) = (APIC_HZ / 1000, tsc_khz, APIC_HZ);
        self.push(kvm_cpuid_entry2 { function: 0x15, eax, ebx, ecx, ..Default::default() });
        // Both in kHz.
        let (eax, ebx) = (tsc_khz, APIC_HZ / 1000);
        self.push(kvm_cpuid_entry2 { function: 0x4000_0010, eax, ebx, ..Default::default() });
    }

    /// Takes away what needs a local APIC in the kernel: api.rst 9.1. A guest that used it would fault, or wait for ever.
    pub fn remove_local_apic(&mut self) {
        for name in ["apic", "x2apic", "tsc_deadline_timer"] {
            self.set(Feature::named(name), false);
        }
        if let Some(features) = self.register(KVM_CPUID_FEATURES, 0, Register::Eax) {
            *features &= !KVM_NEEDS_LOCAL_APIC;
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
pub mod tests {
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

    /// A list with empty leaves.
    pub fn with_leaves(leaves: &[u32]) -> Cpuid {
        let mut cpuid = Cpuid::with_room();
        cpuid.header.nent = 0;
        for &function in leaves {
            cpuid.push(kvm_cpuid_entry2 { function, ..Default::default() });
        }
        cpuid
    }

    fn leaf(cpuid: &Cpuid, function: u32) -> [u32; 4] {
        let is = |entry: &&kvm_cpuid_entry2| entry.function == function;
        let entry = cpuid.entries().iter().find(is).unwrap();
        [entry.eax, entry.ebx, entry.ecx, entry.edx]
    }

    #[test]
    fn features_are_set_and_taken_away_bit_by_bit() {
        let mut cpuid = with_leaves(&[0, 1, 0x8000_0001]);
        let [sse, nx, avx2] =
            ["sse", "nx", "avx2"].map(|name| Feature::find(name.as_bytes()).unwrap());
        for feature in [sse, nx, avx2] {
            cpuid.set(feature, true);
        }
        assert_eq!((leaf(&cpuid, 1)[3], leaf(&cpuid, 0x8000_0001)[3]), (1 << 25, 1 << 20));
        assert_eq!([sse, nx, avx2].map(|feature| cpuid.has(feature)), [true, true, false]);
        cpuid.set(sse, false);
        assert_eq!(leaf(&cpuid, 1)[3], 0);
    }

    #[test]
    fn registers_are_taken_out_of_the_xsave_area() {
        let mut cpuid = with_leaves(&[1, 0xd]);
        let sub_leaf = |index| kvm_cpuid_entry2 { function: 0xd, index, ..Default::default() };
        (1..4).for_each(|index| cpuid.push(sub_leaf(index)));
        (
            *cpuid.register(0xd, 2, Register::Eax).unwrap(),
            *cpuid.register(0xd, 2, Register::Ebx).unwrap(),
        ) = (256, 576);
        *cpuid.register(0xd, 0, Register::Eax).unwrap() = 0b1111;
        cpuid.remove_state(1 << 2);
        assert_eq!((leaf(&cpuid, 0xd)[0], leaf(&cpuid, 0xd)[2]), (0b1011, 576));
        let left = cpuid.entries().iter().filter(|entry| entry.function == 0xd);
        assert_eq!(left.map(|entry| entry.index).collect::<Vec<_>>(), [0, 1, 3]);
    }

    #[test]
    fn the_processor_s_identity_can_be_chosen() {
        let mut cpuid = with_leaves(&[0, 1, 0x8000_0000, 0x8000_0001]);
        cpuid.set_vendor(*b"GenuineIntel");
        for function in [0, 0x8000_0000] {
            assert_eq!(leaf(&cpuid, function)[1..], [0x756e_6547, 0x6c65_746e, 0x4965_6e69]);
        }
        *cpuid.register(1, 0, Register::Eax).unwrap() = 0x00a2_0f12;
        for (family, model, stepping, version) in
            [(6, 0x8f, 6, 0x000806f6), (0x19, 0x21, 2, 0x00a2_0f12), (270, 255, 15, 0x0fff_0fff)]
        {
            cpuid.set_family(family);
            cpuid.set_model(model);
            cpuid.set_stepping(stepping);
            assert_eq!(leaf(&cpuid, 1)[0], version, "{family}");
            assert_eq!(leaf(&cpuid, 0x8000_0001)[0], 0, "Intel leaves it empty");
        }
        cpuid.set_brand(b"A processor of ours");
        assert_eq!(leaf(&cpuid, 0x8000_0000)[0], 0x8000_0004);
        let name = [2, 3, 4].map(|number| leaf(&cpuid, 0x8000_0000 + number)).concat();
        let name: Vec<u8> = name.into_iter().flat_map(u32::to_le_bytes).collect();
        assert_eq!((&name[..20], name.len()), (&b"A processor of ours\0"[..], 48));
    }

    #[test]
    fn frequencies_stand_in_both_leaves() {
        let mut cpuid = with_leaves(&[0, 0x15, 0x4000_0000]);
        cpuid.set_frequencies(2_500_000);
        let [eax, ebx, ecx, _] = leaf(&cpuid, 0x15).map(u64::from);
        assert_eq!(ecx * ebx / eax, 2_500_000_000);
        assert_eq!(leaf(&cpuid, 0x4000_0010), [2_500_000, 1_000_000, 0, 0]);
        assert_eq!((leaf(&cpuid, 0)[0], leaf(&cpuid, 0x4000_0000)[0]), (0x15, 0x4000_0010));
        assert_eq!(cpuid.entries().len(), 4);
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
            cpuid.set_topology(number, cpus);
            let find = |function, index| {
                let is =
                    |entry: &&kvm_cpuid_entry2| (entry.function, entry.index) == (function, index);
                assert_eq!(cpuid.entries().iter().filter(is).count(), 1, "{function:#x} {index}");
                *cpuid.entries().iter().find(is).unwrap()
            };
            let first = find(1, 0);
            assert_eq!(first.ebx, cpus << 16 | number << 24);
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
