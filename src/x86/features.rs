//! The features of a processor: the bits of CPUID, by the names that Linux shows in /proc/cpuinfo.

use core::fmt;

/// A register that CPUID fills.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Register {
    Eax,
    Ebx,
    Ecx,
    Edx,
}

/// A register of a leaf, whose bits are features.
pub struct Word {
    /// EAX before.
    pub leaf: u32,
    /// ECX before.
    pub index: u32,
    pub register: Register,
    /// The first name is that of bit 0; a dash stands for a bit that is no feature. For [`crate::show::Bits`].
    pub names: &'static str,
}

/// SDM volume 2, CPUID; APM volume 3, appendix E. The names are those of Debian's Linux 6.12, `arch/x86/include/asm/cpufeatures.h`:
/// where /proc/cpuinfo shows none, the macro's.
pub const WORDS: [Word; 14] = [
    Word {
        leaf: 0x1,
        index: 0,
        register: Register::Edx,
        names: "fpu vme de pse tsc msr pae mce cx8 apic - sep mtrr pge mca cmov pat pse36 pn clflush - dts acpi \
            mmx fxsr sse sse2 ss ht tm ia64 pbe",
    },
    Word {
        leaf: 0x1,
        index: 0,
        register: Register::Ecx,
        names: "pni pclmulqdq dtes64 monitor ds_cpl vmx smx est tm2 ssse3 cid sdbg fma cx16 xtpr pdcm - pcid dca \
            sse4_1 sse4_2 x2apic movbe popcnt tsc_deadline_timer aes xsave osxsave avx f16c rdrand \
            hypervisor",
    },
    Word {
        leaf: 0x6,
        index: 0,
        register: Register::Eax,
        names: "dtherm ida arat - pln - pts hwp hwp_notify hwp_act_window hwp_epp hwp_pkg_req - - - \
            hwp_highest_perf_change - - - hfi",
    },
    Word {
        leaf: 0x7,
        index: 0,
        register: Register::Ebx,
        names: "fsgsbase tsc_adjust sgx bmi1 hle avx2 fdp_excptn_only smep bmi2 erms invpcid rtm cqm \
            zero_fcs_fds mpx rdt_a avx512f avx512dq rdseed adx smap avx512ifma - clflushopt clwb intel_pt \
            avx512pf avx512er avx512cd sha_ni avx512bw avx512vl",
    },
    Word {
        leaf: 0x7,
        index: 0,
        register: Register::Ecx,
        names: "- avx512vbmi umip pku ospke waitpkg avx512_vbmi2 shstk gfni vaes vpclmulqdq avx512_vnni \
            avx512_bitalg tme avx512_vpopcntdq - la57 - - - - - rdpid - bus_lock_detect cldemote - movdiri \
            movdir64b enqcmd sgx_lc",
    },
    Word {
        leaf: 0x7,
        index: 0,
        register: Register::Edx,
        names: "- - avx512_4vnniw avx512_4fmaps fsrm - - - avx512_vp2intersect srbds_ctrl md_clear \
            rtm_always_abort - tsx_force_abort serialize hybrid_cpu tsxldtrk - pconfig arch_lbr ibt - \
            amx_bf16 avx512_fp16 amx_tile amx_int8 spec_ctrl intel_stibp flush_l1d arch_capabilities \
            core_capabilities spec_ctrl_ssbd",
    },
    Word {
        leaf: 0x7,
        index: 1,
        register: Register::Eax,
        names: "- - - - avx_vnni avx512_bf16 - cmpccxadd arch_perfmon_ext - fzrm fsrs fsrc - - - - fred lkgs \
            wrmsrns - amx_fp16 - avx_ifma - - lam",
    },
    Word {
        leaf: 0xd,
        index: 1,
        register: Register::Eax,
        names: "xsaveopt xsavec xgetbv1 xsaves xfd",
    },
    Word {
        leaf: 0x8000_0001,
        index: 0,
        register: Register::Edx,
        names: "- - - - - - - - - - - syscall - - - - - - - mp nx - mmxext - - fxsr_opt pdpe1gb rdtscp - lm \
            3dnowext 3dnow",
    },
    Word {
        leaf: 0x8000_0001,
        index: 0,
        register: Register::Ecx,
        names: "lahf_lm cmp_legacy svm extapic cr8_legacy abm sse4a misalignsse 3dnowprefetch osvw ibs xop \
            skinit wdt - lwp fma4 tce - nodeid_msr - tbm topoext perfctr_core perfctr_nb - bpext ptsc \
            perfctr_llc mwaitx",
    },
    Word {
        leaf: 0x8000_0007,
        index: 0,
        register: Register::Edx,
        names: "- - - - - - - - constant_tsc",
    },
    Word {
        leaf: 0x8000_0008,
        index: 0,
        register: Register::Ebx,
        names: "clzero irperf xsaveerptr - rdpru - - - - wbnoinvd - - amd_ibpb - amd_ibrs amd_stibp - \
            amd_stibp_always_on - - - - - amd_ppin amd_ssbd virt_ssbd amd_ssb_no cppc amd_psfd btc_no \
            amd_ibpb_ret brs",
    },
    Word {
        leaf: 0x8000_000a,
        index: 0,
        register: Register::Edx,
        names: "npt lbrv svm_lock nrip_save tsc_scale vmcb_clean flushbyasid decodeassists - - pausefilter - \
            pfthreshold avic - v_vmsave_vmload vgif - x2avic - v_spec_ctrl - - - - vnmi - - svme_addr_chk",
    },
    Word {
        leaf: 0x8000_0021,
        index: 0,
        register: Register::Eax,
        names: "no_nested_data_bp wrmsr_xx_base_ns lfence_rdtsc - - verw_clear null_sel_clr_base - autoibrs \
            no_smm_ctl_msr - - - - - - - - - - - - - - - - - sbpb ibpb_brtype srso_no srso_user_kernel_no \
            srso_bp_spec_reduce",
    },
];

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let register = match self.register {
            Register::Eax => "EAX",
            Register::Ebx => "EBX",
            Register::Ecx => "ECX",
            Register::Edx => "EDX",
        };
        match self.index {
            0 => write!(f, "{:#x} {register}", self.leaf),
            index => write!(f, "{:#x}.{index} {register}", self.leaf),
        }
    }
}

/// A feature: the number of its word in [`WORDS`], and its bit.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Feature {
    pub word: usize,
    pub bit: u32,
}

impl Feature {
    /// The feature with a name.
    pub fn find(name: &[u8]) -> Option<Feature> {
        if name == b"-" {
            return None;
        }
        WORDS.iter().enumerate().find_map(|(word, of)| {
            let bit = of.names.split(' ').position(|other| other.as_bytes() == name)?;
            Some(Feature { word, bit: bit as u32 })
        })
    }

    /// The feature that one of the lists here, or code, names.
    pub fn named(name: &str) -> Feature {
        Feature::find(name.as_bytes()).expect("a feature of WORDS")
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        WORDS[self.word].names.split(' ').nth(self.bit as usize).unwrap_or("?")
    }
}

/// What every processor with 64 bits has: x86-64-v1 of the System V ABI, what systems rely on beside it, and that a hypervisor is
/// there.
pub const BASELINE: &str = "fpu de pse tsc msr pae mce cx8 apic sep mtrr pge mca cmov pat pse36 clflush mmx fxsr sse sse2 \
    hypervisor syscall nx lm";

/// Features with registers of their own in the XSAVE area: their bits in XCR0, and in leaf 0xd. SDM volume 1, 13.1.
pub const STATE: [(&str, u32); 5] =
    [("avx", 1 << 2), ("mpx", 3 << 3), ("avx512f", 7 << 5), ("pku", 1 << 9), ("amx_tile", 3 << 17)];

/// What Linux shows of other bits, whatever the vendor: the name, and of which features it makes it.
const MADE_OF: [(&str, &str); 5] = [
    ("ibrs", "spec_ctrl, amd_ibrs"),
    ("ibpb", "spec_ctrl, amd_ibpb"),
    ("stibp", "intel_stibp, amd_stibp"),
    ("ssbd", "spec_ctrl_ssbd, amd_ssbd, virt_ssbd"),
    ("nonstop_tsc", "constant_tsc"),
];

/// Of which features Linux makes one that has no bit of its own.
pub fn made_of(name: &[u8]) -> Option<&'static str> {
    MADE_OF.iter().find(|(made, _)| made.as_bytes() == name).map(|(_, of)| *of)
}

/// Features without which others mean nothing: where the first is taken away, the others go too.
pub const NEEDED: [(&str, &str); 8] = [
    (
        "xsave",
        "osxsave avx xsaveopt xsavec xgetbv1 xsaves xfd pku ospke shstk ibt mpx amx_tile amx_int8 amx_bf16 amx_fp16",
    ),
    ("avx", "fma f16c avx2 xop fma4 vaes vpclmulqdq avx_vnni avx_ifma avx512f"),
    (
        "avx512f",
        "avx512dq avx512ifma avx512pf avx512er avx512cd avx512bw avx512vl avx512vbmi avx512_vbmi2 avx512_vnni \
        avx512_bitalg avx512_vpopcntdq avx512_4vnniw avx512_4fmaps avx512_vp2intersect avx512_fp16 avx512_bf16",
    ),
    ("tsc", "rdtscp tsc_deadline_timer constant_tsc"),
    ("sse", "sse2"),
    ("sse2", "pni ssse3 sse4_1 sse4_2 pclmulqdq aes sha_ni gfni avx"),
    ("apic", "x2apic tsc_deadline_timer arat extapic"),
    (
        "svm",
        "npt lbrv svm_lock nrip_save tsc_scale vmcb_clean flushbyasid decodeassists pausefilter pfthreshold avic \
        v_vmsave_vmload vgif x2avic v_spec_ctrl vnmi svme_addr_chk",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_stands_for_one_bit() {
        for (name, leaf, register, bit) in [
            ("fpu", 1, Register::Edx, 0),
            ("pbe", 1, Register::Edx, 31),
            ("pni", 1, Register::Ecx, 0),
            ("xsave", 1, Register::Ecx, 26),
            ("hypervisor", 1, Register::Ecx, 31),
            ("smep", 7, Register::Ebx, 7),
            ("la57", 7, Register::Ecx, 16),
            ("arch_capabilities", 7, Register::Edx, 29),
            ("nx", 0x8000_0001, Register::Edx, 20),
            ("lm", 0x8000_0001, Register::Edx, 29),
            ("svm", 0x8000_0001, Register::Ecx, 2),
            ("npt", 0x8000_000a, Register::Edx, 0),
        ] {
            let feature = Feature::find(name.as_bytes()).unwrap();
            let word = &WORDS[feature.word];
            assert_eq!((word.leaf, word.register, feature.bit), (leaf, register, bit), "{name}");
            assert_eq!(feature.name(), name);
        }
        for name in ["", "-", "FPU", "fpu vme"] {
            assert_eq!(Feature::find(name.as_bytes()), None, "{name}");
        }
        let mut names: Vec<&str> = WORDS.iter().flat_map(|word| word.names.split(' ')).collect();
        assert!(WORDS.iter().all(|word| word.names.split(' ').count() <= 32));
        names.retain(|name| *name != "-");
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count, "no name twice");
    }

    #[test]
    fn the_lists_name_features() {
        let needed = NEEDED.iter().flat_map(|(first, others)| others.split(' ').chain([*first]));
        let made = MADE_OF.iter().flat_map(|(_, of)| of.split(", "));
        for name in BASELINE.split(' ').chain(needed).chain(made) {
            assert!(Feature::find(name.as_bytes()).is_some(), "{name}");
        }
    }
}
