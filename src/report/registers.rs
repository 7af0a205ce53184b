//! Registers, shown whole, and as changes.

use crate::sys::regs::{kvm_regs, kvm_sregs};
use crate::t;
use crate::text::Text;
use crate::words::{self, Prose};
use crate::x86;

/// All of them, with their bits named, and the mode that they amount to.
#[inline(never)]
pub fn show(text: &mut Text, regs: &kvm_regs, sregs: &kvm_sregs) {
    let (mode, paging) = x86::mode(regs, sregs);
    text.plain(t!("\n  mode: "));
    text.plain(x86::MODES.get(mode));
    text.plain(t!(", "));
    text.plain(x86::PAGING.get(paging));
    text.say(t!(", ring %d"), &[], &[sregs.ss.dpl.into()]);
    text.say(
        t!("\n  rax %x rbx %x rcx %x rdx %x\n  rsi %x rdi %x rsp %x rbp %x\n  \
         r8 %x r9 %x r10 %x r11 %x\n  r12 %x r13 %x r14 %x r15 %x\n  rip %x\n  rflags %x:%b"),
        &[x86::RFLAGS],
        x86::general(regs),
    );
    for (index, segment) in x86::segments(sregs).iter().enumerate() {
        let name = words::word(x86::SEGMENTS, index);
        let [base, limit, selector, r#type, _, dpl, ..] = x86::fields(segment);
        text.say(
            t!("\n  %s %x base %x limit %x type %d DPL %d:"),
            &[name],
            &[selector, base, limit, r#type, dpl],
        );
        text.bits(x86::attributes(segment), x86::ATTRIBUTES);
    }
    let &kvm_sregs { cr0, cr2, cr3, cr4, cr8, efer, apic_base, gdt, idt, .. } = sregs;
    let tables = [gdt.base, gdt.limit.into(), idt.base, idt.limit.into()];
    text.say(t!("\n  gdt base %x limit %x\n  idt base %x limit %x"), &[], &tables);
    text.say(
        t!("\n  cr0 %x:%b\n  cr2 %x cr3 %x cr8 %x apic_base %x\n  cr4 %x:%b\n  efer %x:%b"),
        &[x86::CR0, x86::CR4, x86::EFER],
        &[cr0, cr2, cr3, cr8, apic_base, cr4, efer],
    );
}

/// What differs, as `name old -> new`; `between` stands before each but the first.
pub struct Changes<'a> {
    text: &'a mut Text,
    between: Prose<0, 0>,
    any: bool,
}

impl<'a> Changes<'a> {
    /// None yet.
    pub fn new(text: &'a mut Text, between: Prose<0, 0>) -> Changes<'a> {
        Changes { text, between, any: false }
    }

    /// The general registers but for RIP.
    pub fn general(&mut self, before: &kvm_regs, after: &kvm_regs) {
        let before = kvm_regs { rip: after.rip, ..*before };
        self.list(b"", x86::GENERAL, x86::general(&before), x86::general(after));
    }

    /// Segments and control registers.
    pub fn special(&mut self, before: &kvm_sregs, after: &kvm_sregs) {
        let (old, new) = (x86::segments(before), x86::segments(after));
        for (index, (old, new)) in old.iter().zip(new).enumerate() {
            let name = words::word(x86::SEGMENTS, index);
            self.list(name, x86::FIELDS, &x86::fields(old), &x86::fields(new));
        }
        self.list(b"", x86::CONTROL, x86::control(before), x86::control(after));
        let tables =
            |s: &kvm_sregs| [s.gdt.base, s.gdt.limit.into(), s.idt.base, s.idt.limit.into()];
        self.list(b"", "gdt.base gdt.limit idt.base idt.limit", &tables(before), &tables(after));
    }

    #[inline(never)]
    fn list(&mut self, whole: &[u8], names: &'static str, before: &[u64], after: &[u64]) {
        for (index, (&before, &after)) in before.iter().zip(after).enumerate() {
            if before == after {
                continue;
            }
            if core::mem::replace(&mut self.any, true) {
                self.text.plain(self.between);
            }
            let name = words::word(names, index);
            let dot: &[u8] = if whole.is_empty() { b"" } else { b"." };
            self.text.say(t!("%s%s%s %x -> %x"), &[whole, dot, name], &[before, after]);
        }
    }
}
