//! All registers as a text.

use crate::show::Bits;
use crate::sys::regs::{kvm_regs, kvm_sregs};
use crate::x86::mode::{OperatingMode, Paging};
use crate::x86::registers::{ATTRIBUTES, attributes, segments};
use crate::x86::{CR0, CR4, EFER, RFLAGS};
use core::fmt;

/// The mode, all registers with their bits named: a line each, with a newline before it.
pub struct Registers<'a>(pub &'a kvm_regs, pub &'a kvm_sregs);

impl fmt::Display for Registers<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Registers(regs, sregs) = self;
        let (mode, paging) = (OperatingMode::of(regs, sregs), Paging::of(sregs));
        write!(f, "\n  mode: {mode}, {paging}, ring {}", sregs.ss.dpl)?;
        let kvm_regs { rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, .. } = regs;
        write!(f, "\n  rax {rax:#x} rbx {rbx:#x} rcx {rcx:#x} rdx {rdx:#x}")?;
        write!(f, "\n  rsi {rsi:#x} rdi {rdi:#x} rsp {rsp:#x} rbp {rbp:#x}")?;
        let kvm_regs { r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags, .. } = regs;
        write!(f, "\n  r8 {r8:#x} r9 {r9:#x} r10 {r10:#x} r11 {r11:#x}")?;
        write!(f, "\n  r12 {r12:#x} r13 {r13:#x} r14 {r14:#x} r15 {r15:#x}")?;
        write!(f, "\n  rip {rip:#x}\n  rflags {rflags:#x}:{}", Bits(*rflags, RFLAGS))?;
        for (name, value) in segments(sregs) {
            write!(
                f,
                "\n  {} {:#x} base {:#x} limit {:#x} type {} DPL {}:{}",
                name,
                value.selector,
                value.base,
                value.limit,
                value.r#type,
                value.dpl,
                Bits(attributes(value), ATTRIBUTES)
            )?;
        }
        let kvm_sregs { cr0, cr2, cr3, cr4, cr8, efer, apic_base, gdt, idt, .. } = sregs;
        write!(f, "\n  gdt base {:#x} limit {:#x}", gdt.base, gdt.limit)?;
        write!(f, "\n  idt base {:#x} limit {:#x}", idt.base, idt.limit)?;
        write!(f, "\n  cr0 {cr0:#x}:{}", Bits(*cr0, CR0))?;
        write!(f, "\n  cr2 {cr2:#x} cr3 {cr3:#x} cr8 {cr8:#x} apic_base {apic_base:#x}")?;
        write!(f, "\n  cr4 {cr4:#x}:{}\n  efer {efer:#x}:{}", Bits(*cr4, CR4), Bits(*efer, EFER))
    }
}
