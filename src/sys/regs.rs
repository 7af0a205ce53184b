//! Registers: api.rst 4.11 to 4.14; their meaning is in Intel's SDM volume 3 and AMD's APM volume 2.

/// `KVM_GET_REGS`, `KVM_SET_REGS`: api.rst 4.11. The general registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_regs {
    pub rax: u64,
    pub rbx: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    pub rsp: u64,
    pub rbp: u64,
    pub r8: u64,
    pub r9: u64,
    pub r10: u64,
    pub r11: u64,
    pub r12: u64,
    pub r13: u64,
    pub r14: u64,
    pub r15: u64,
    /// An offset into the code segment: the linear address is `kvm_sregs::cs.base` + this.
    pub rip: u64,
    /// Bit 1 is always set (SDM volume 1, 3.4.3).
    pub rflags: u64,
}

/// A segment register with its hidden part, the descriptor cache: SDM volume 3, 3.4.3.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct kvm_segment {
    pub base: u64,
    /// The last valid offset, in bytes whatever `g` says.
    pub limit: u32,
    pub selector: u16,
    pub r#type: u8,
    pub present: u8,
    pub dpl: u8,
    pub db: u8,
    pub s: u8,
    pub l: u8,
    pub g: u8,
    pub avl: u8,
    /// VMX's notion of a null segment; SVM derives it from `present`.
    pub unusable: u8,
    pub padding: u8,
}

/// GDTR or IDTR.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct kvm_dtable {
    pub base: u64,
    pub limit: u16,
    pub padding: [u16; 3],
}

/// `KVM_GET_SREGS`, `KVM_SET_SREGS`: api.rst 4.13. Segment and control registers.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct kvm_sregs {
    pub cs: kvm_segment,
    pub ds: kvm_segment,
    pub es: kvm_segment,
    pub fs: kvm_segment,
    pub gs: kvm_segment,
    pub ss: kvm_segment,
    pub tr: kvm_segment,
    pub ldt: kvm_segment,
    pub gdt: kvm_dtable,
    pub idt: kvm_dtable,
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub cr8: u64,
    pub efer: u64,
    pub apic_base: u64,
    /// At most one bit: an external interrupt that waits to be delivered.
    pub interrupt_bitmap: [u64; KVM_NR_INTERRUPTS.div_ceil(64)],
}

/// `KVM_GET_SREGS2`, `KVM_SET_SREGS2`: api.rst 4.131 and 4.132, Linux 5.14. As [`kvm_sregs`], but with the entries of PAE paging; an
/// interrupt that waits is in `kvm_vcpu_events`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_sregs2 {
    pub cs: kvm_segment,
    pub ds: kvm_segment,
    pub es: kvm_segment,
    pub fs: kvm_segment,
    pub gs: kvm_segment,
    pub ss: kvm_segment,
    pub tr: kvm_segment,
    pub ldt: kvm_segment,
    pub gdt: kvm_dtable,
    pub idt: kvm_dtable,
    pub cr0: u64,
    pub cr2: u64,
    pub cr3: u64,
    pub cr4: u64,
    pub cr8: u64,
    pub efer: u64,
    pub apic_base: u64,
    /// Bit 0: the next field counts.
    pub flags: u64,
    /// The four entries that a write of CR3 loads in PAE mode: SDM volume 3, 4.4.1. AMD's nested paging keeps none: there KVM reads them
    /// from RAM.
    pub pdptrs: [u64; 4],
}

/// `KVM_GET_XSAVE`, `KVM_SET_XSAVE`: api.rst 4.42. What XSAVE stores, in its standard form: SDM volume 1, 13.4.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct kvm_xsave {
    pub region: [u32; 1024],
}

impl Default for kvm_xsave {
    fn default() -> kvm_xsave {
        kvm_xsave { region: [0; 1024] }
    }
}

/// The vectors that an x86 processor has.
pub const KVM_NR_INTERRUPTS: usize = 256;

/// A value of `KVM_SET_MSRS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_msr_entry {
    pub index: u32,
    pub reserved: u32,
    pub data: u64,
}

/// `KVM_GET_MSRS`, `KVM_SET_MSRS`: api.rst 4.18. `nmsrs` entries lie behind.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_msrs {
    pub nmsrs: u32,
    pub pad: u32,
    pub entries: [kvm_msr_entry; 0],
}

/// `KVM_GET_MSR_INDEX_LIST`: api.rst 4.3. `nmsrs` numbers lie behind. E2BIG: it says how many there are.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_msr_list {
    pub nmsrs: u32,
    pub indices: [u32; 0],
}

/// An extended control register.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_xcr {
    pub xcr: u32,
    pub reserved: u32,
    pub value: u64,
}

/// `KVM_GET_XCRS`, `KVM_SET_XCRS`: api.rst 4.44 and 4.45. There is one so far, XCR0.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_xcrs {
    pub nr_xcrs: u32,
    pub flags: u32,
    pub xcrs: [kvm_xcr; KVM_MAX_XCRS],
    pub padding: [u64; 16],
}

/// Room for so many.
pub const KVM_MAX_XCRS: usize = 16;

/// `KVM_GET_FPU`, `KVM_SET_FPU`: api.rst 4.22 and 4.23. What `fxsave` stores, in a form of KVM's own.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_fpu {
    /// ST0 to ST7, ten bytes each.
    pub fpr: [[u8; 16]; 8],
    /// Control word, status word.
    pub fcw: u16,
    pub fsw: u16,
    /// A bit for each register that is not empty.
    pub ftwx: u8,
    pub pad1: u8,
    pub last_opcode: u16,
    pub last_ip: u64,
    pub last_dp: u64,
    /// XMM0 to XMM15.
    pub xmm: [[u8; 16]; 16],
    pub mxcsr: u32,
    pub pad2: u32,
}
