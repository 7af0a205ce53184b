//! The processor's registers, bit by bit: what a mode is made of, what a report names, and what the manuals forbid.
//!
//! "SDM" is Intel's manual, volume 3 where no other is named; "APM" is AMD's, volume 2.

pub mod features;
pub mod mode;
pub mod registers;
pub mod rules;

// CR0: SDM 2.5, APM 3.1.1.

/// Protected mode.
pub const CR0_PE: u64 = 1 << 0;
/// WAIT obeys TS.
pub const CR0_MP: u64 = 1 << 1;
/// The coprocessor is a 387. Hard-wired to 1 since.
pub const CR0_ET: u64 = 1 << 4;
/// The coprocessor's errors are exceptions.
pub const CR0_NE: u64 = 1 << 5;
/// Ring 0 obeys read-only pages.
pub const CR0_WP: u64 = 1 << 16;
/// Not write-through; only allowed with CD.
pub const CR0_NW: u64 = 1 << 29;
/// Caches are off.
pub const CR0_CD: u64 = 1 << 30;
/// Paging.
pub const CR0_PG: u64 = 1 << 31;
/// The names of CR0's bits, for [`crate::show::Bits`].
pub const CR0: &str = "PE MP EM TS ET NE - - - - - - - - - - WP - AM - - - - - - - - - - NW CD PG";

// CR4: SDM 2.5, APM 3.1.3.

/// Pages of 4 MiB in 32-bit paging.
pub const CR4_PSE: u64 = 1 << 4;
/// Page-table entries of 8 bytes; long mode needs them.
pub const CR4_PAE: u64 = 1 << 5;
/// The system saves SSE registers, so that programs may use them.
pub const CR4_OSFXSR: u64 = 1 << 9;
/// The system handles SSE's exceptions.
pub const CR4_OSXMMEXCPT: u64 = 1 << 10;
/// Five levels of page tables.
pub const CR4_LA57: u64 = 1 << 12;
/// The names of CR4's bits.
pub const CR4: &str = "VME PVI TSD DE PSE PAE MCE PGE PCE OSFXSR OSXMMEXCPT UMIP LA57 VMXE SMXE - \
    FSGSBASE PCIDE OSXSAVE KL SMEP SMAP PKE CET PKS";

// IA32_EFER: SDM 2.2.1, APM 3.1.7.

/// Long mode is enabled; it becomes active with paging.
pub const EFER_LME: u64 = 1 << 8;
/// Long mode is active.
pub const EFER_LMA: u64 = 1 << 10;
/// The names of EFER's bits.
pub const EFER: &str = "SCE - - - - - - - LME - LMA NXE SVME LMSLE FFXSR TCE";

// IA32_APIC_BASE: SDM 11.4.4.

/// The local APIC is switched on.
pub const APIC_BASE_ENABLE: u64 = 1 << 11;
/// Its registers are MSRs, and its id has 32 bits: x2APIC.
pub const APIC_BASE_X2APIC: u64 = 1 << 10;

/// The time stamp counter: SDM volume 4, table 2-2.
pub const MSR_IA32_TSC: u32 = 0x10;
/// Where SYSENTER goes.
pub const MSR_IA32_SYSENTER_EIP: u32 = 0x176;
/// Where SYSCALL goes, from 64-bit code and from compatibility mode.
pub const MSR_LSTAR: u32 = 0xc000_0082;
pub const MSR_CSTAR: u32 = 0xc000_0083;

// RFLAGS: SDM volume 1, 3.4.3.

/// Always set.
pub const RFLAGS_1: u64 = 1 << 1;
/// Interrupts are taken.
pub const RFLAGS_IF: u64 = 1 << 9;
/// Single step.
pub const RFLAGS_TF: u64 = 1 << 8;
/// IOPL, two bits: the highest ring that may do port I/O. 3 allows all rings.
pub const RFLAGS_IOPL_3: u64 = 3 << 12;
/// Virtual-8086 mode.
pub const RFLAGS_VM: u64 = 1 << 17;
/// The names of RFLAGS' bits.
pub const RFLAGS: &str = "CF 1 PF - AF - ZF SF TF IF DF OF IOPL1 IOPL2 NT - RF VM AC VIF VIP ID";

/// In DR6, a single step: SDM volume 3, 17.2.3.
pub const DR6_BS: u64 = 1 << 14;

// The local APIC's registers, by their offset: the local vector table, which says what becomes of interrupts of the processor's
// own. SDM 11.5.1.

/// Performance counters.
pub const LVT_COUNTERS: usize = 0x340;
/// The pins LINT0 and LINT1.
pub const LVT_LINT0: usize = 0x350;
pub const LVT_LINT1: usize = 0x360;
/// Bits 10:8 of an entry say how it is delivered: as an NMI.
pub const LVT_NMI: u32 = 4 << 8;

/// Whether an entry, of the local vector table or of the I/O APIC, delivers what RFLAGS.IF does not keep out: an SMI, an NMI or
/// an INIT. Bit 16 masks it.
pub fn delivers_without_if(entry: u64) -> bool {
    entry >> 16 & 1 == 0 && matches!(entry >> 8 & 7, 2 | 4 | 5)
}

// Segment types, with S set: SDM 3.4.5.1.

/// Code, readable, accessed.
pub const TYPE_CODE: u8 = 0b1011;
/// Data, writable, accessed.
pub const TYPE_DATA: u8 = 0b0011;
/// With S clear: a 32-bit or 64-bit TSS in use; SDM 3.5.
pub const TYPE_BUSY_TSS: u8 = 0b1011;

// Page-table entries: SDM 4.5, APM 5.3.

/// Present.
pub const PTE_P: u64 = 1 << 0;
/// Writable.
pub const PTE_RW: u64 = 1 << 1;
/// Open to ring 3.
pub const PTE_US: u64 = 1 << 2;
/// In a directory: the entry is a page of 2 MiB (4 MiB, 1 GiB) and not a table.
pub const PTE_PS: u64 = 1 << 7;
/// The bits that are an address, of a table or of a 4 KiB page.
pub const PTE_ADDRESS: u64 = 0x000f_ffff_ffff_f000;
/// The names of the bits of an entry in a directory.
pub const PDE: &str = "P RW US PWT PCD A D PS G";
/// The names of the bits of an entry in a table of the last level.
pub const PTE: &str = "P RW US PWT PCD A D PAT G";

/// The one-byte instruction HLT.
pub const HLT: u8 = 0xf4;

/// Who made this host's processor: twelve letters, in this order of registers. SDM volume 2, CPUID.
pub fn vendor() -> [u8; 12] {
    let leaf = core::arch::x86_64::__cpuid(0);
    let mut letters = [0; 12];
    for (place, register) in letters.chunks_mut(4).zip([leaf.ebx, leaf.edx, leaf.ecx]) {
        place.copy_from_slice(&register.to_le_bytes());
    }
    letters
}

/// Whether a processor is AMD's or of the same design, by EBX of CPUID leaf 0: the first letters of "AuthenticAMD" or
/// "HygonGenuine".
pub fn is_amd(ebx: u32) -> bool {
    matches!(&ebx.to_le_bytes(), b"Auth" | b"Hygo")
}
