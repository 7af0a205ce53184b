//! Registers by their names: to set one by name, and to show which ones differ.

use crate::sys::regs::{kvm_regs, kvm_segment, kvm_sregs};
use core::fmt;

/// A register of 64 bits in a structure `S`: its name, and how to read and to reach it.
pub struct Register<S> {
    pub name: &'static str,
    pub get: fn(&S) -> u64,
    place: fn(&mut S) -> &mut u64,
}

macro_rules! registers {
    ($structure:ty: $($name:ident)*) => {
        &[$(Register::<$structure> {
            name: stringify!($name),
            get: |registers| registers.$name,
            place: |registers| &mut registers.$name,
        }),*]
    };
}

/// The general registers, RIP and RFLAGS.
pub const GENERAL: &[Register<kvm_regs>] = registers!(kvm_regs:
    rax rbx rcx rdx rsi rdi rsp rbp r8 r9 r10 r11 r12 r13 r14 r15 rip rflags);

/// The control registers.
pub const CONTROL: &[Register<kvm_sregs>] =
    registers!(kvm_sregs: cr0 cr2 cr3 cr4 cr8 efer apic_base);

/// A segment register.
pub struct Segment {
    pub name: &'static str,
    pub get: fn(&kvm_sregs) -> &kvm_segment,
    place: fn(&mut kvm_sregs) -> &mut kvm_segment,
}

macro_rules! segments {
    ($($name:ident)*) => {
        &[$(Segment {
            name: stringify!($name),
            get: |sregs| &sregs.$name,
            place: |sregs| &mut sregs.$name,
        }),*]
    };
}

/// The segment registers.
pub const SEGMENTS: &[Segment] = segments!(cs ds es fs gs ss tr ldt);

/// A field of a segment register: how many bits the processor has of it, and how to read and set it.
pub struct Field {
    pub name: &'static str,
    bits: u32,
    pub get: fn(&kvm_segment) -> u64,
    set: fn(&mut kvm_segment, u64),
}

macro_rules! fields {
    ($($name:literal $field:ident $bits:literal)*) => {
        &[$(Field {
            name: $name,
            bits: $bits,
            get: |segment| segment.$field.into(),
            set: |segment, value| segment.$field = value as _,
        }),*]
    };
}

/// What a segment register is made of.
pub const FIELDS: &[Field] = fields![
    "base" base 64
    "limit" limit 32
    "selector" selector 16
    "type" r#type 4
    "present" present 1
    "dpl" dpl 2
    "db" db 1
    "s" s 1
    "l" l 1
    "g" g 1
    "avl" avl 1
    "unusable" unusable 1
];

/// A register that the user names.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Named {
    General(usize),
    Control(usize),
    Segment(usize, usize),
}

impl Named {
    /// One of [`GENERAL`] or [`CONTROL`], or `cs.base`: one of [`SEGMENTS`], a dot, and one of [`FIELDS`].
    fn find(name: &str) -> Option<Named> {
        if let Some((segment, field)) = name.split_once('.') {
            let segment = SEGMENTS.iter().position(|known| known.name == segment)?;
            let field = FIELDS.iter().position(|known| known.name == field)?;
            return Some(Named::Segment(segment, field));
        }
        let general = GENERAL.iter().position(|known| known.name == name).map(Named::General);
        let control = || CONTROL.iter().position(|known| known.name == name).map(Named::Control);
        general.or_else(control)
    }

    /// How many bits it has.
    fn bits(self) -> u32 {
        match self {
            // CR8 is the upper four bits of the local APIC's task priority.
            Named::Control(index) if CONTROL[index].name == "cr8" => 4,
            Named::General(_) | Named::Control(_) => 64,
            Named::Segment(_, field) => FIELDS[field].bits,
        }
    }
}

/// A register and the value that it shall have: `--set`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    register: Named,
    value: u64,
}

impl Setting {
    /// `None`: there is no such register, or the value does not fit into it.
    pub fn new(name: &str, value: u64) -> Option<Setting> {
        let register = Named::find(name)?;
        let bits = register.bits();
        (bits == 64 || value >> bits == 0).then_some(Setting { register, value })
    }

    /// Sets the register.
    pub fn apply(self, regs: &mut kvm_regs, sregs: &mut kvm_sregs) {
        match self.register {
            Named::General(index) => *(GENERAL[index].place)(regs) = self.value,
            Named::Control(index) => *(CONTROL[index].place)(sregs) = self.value,
            Named::Segment(segment, field) => {
                (FIELDS[field].set)((SEGMENTS[segment].place)(sregs), self.value);
            }
        }
    }
}

/// What differs between two states, as `name old -> new`, separated by commas: the general registers but for RIP, then
/// segments, control registers and descriptor tables.
pub struct Changes<'a> {
    pub before: (&'a kvm_regs, &'a kvm_sregs),
    pub after: (&'a kvm_regs, &'a kvm_sregs),
}

impl fmt::Display for Changes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut first = true;
        let mut differ = |names: [&str; 3], before: u64, after: u64| {
            if before == after {
                return Ok(());
            }
            if !core::mem::replace(&mut first, false) {
                f.write_str(", ")?;
            }
            let [a, b, c] = names;
            write!(f, "{a}{b}{c} {before:#x} -> {after:#x}")
        };
        let (regs, sregs) = self.before;
        let (new_regs, new_sregs) = self.after;
        for register in GENERAL.iter().filter(|register| register.name != "rip") {
            differ([register.name, "", ""], (register.get)(regs), (register.get)(new_regs))?;
        }
        for segment in SEGMENTS {
            let (before, after) = ((segment.get)(sregs), (segment.get)(new_sregs));
            for field in FIELDS {
                let names = [segment.name, ".", field.name];
                differ(names, (field.get)(before), (field.get)(after))?;
            }
        }
        for register in CONTROL {
            differ([register.name, "", ""], (register.get)(sregs), (register.get)(new_sregs))?;
        }
        differ(["gdt.base", "", ""], sregs.gdt.base, new_sregs.gdt.base)?;
        differ(["gdt.limit", "", ""], sregs.gdt.limit.into(), new_sregs.gdt.limit.into())?;
        differ(["idt.base", "", ""], sregs.idt.base, new_sregs.idt.base)?;
        differ(["idt.limit", "", ""], sregs.idt.limit.into(), new_sregs.idt.limit.into())
    }
}

/// The names of a segment's attributes, for [`crate::show::Bits`] and [`attributes`].
pub const ATTRIBUTES: &str = "P S D/B G L AVL unusable";

/// A segment's one-bit attributes as one number.
pub fn attributes(segment: &kvm_segment) -> u64 {
    let &kvm_segment { present, s, db, g, l, avl, unusable, .. } = segment;
    [present, s, db, g, l, avl, unusable]
        .iter()
        .rev()
        .fold(0, |all, &bit| all << 1 | u64::from(bit != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(name: &str, value: u64) -> Option<(kvm_regs, kvm_sregs)> {
        let (mut regs, mut sregs) = (kvm_regs::default(), kvm_sregs::default());
        Setting::new(name, value)?.apply(&mut regs, &mut sregs);
        Some((regs, sregs))
    }

    #[test]
    fn a_register_is_set_by_its_name() {
        assert_eq!(set("rax", 7).unwrap().0.rax, 7);
        assert_eq!(set("rflags", 7).unwrap().0.rflags, 7);
        assert_eq!(set("apic_base", 7).unwrap().1.apic_base, 7);
        assert_eq!(set("cs.base", u64::MAX).unwrap().1.cs.base, u64::MAX);
        assert_eq!(set("tr.type", 7).unwrap().1.tr.r#type, 7);
        assert_eq!(set("cs.limit", 0xffff_ffff).unwrap().1.cs.limit, 0xffff_ffff);
        for name in ["", "rx", "cs", "cs.", ".base", "cs.x", "rax.base", "cr0.", "cs base"] {
            assert!(set(name, 7).is_none(), "{name}");
        }
    }

    #[test]
    fn a_value_must_fit_into_the_register() {
        for (name, most) in
            [("cs.type", 15), ("ss.dpl", 3), ("cs.db", 1), ("cr8", 15), ("cs.selector", 0xffff)]
        {
            assert!(set(name, most).is_some(), "{name}");
            assert!(set(name, most + 1).is_none(), "{name}");
        }
    }

    #[test]
    fn only_what_differs_is_shown() {
        let (regs, sregs) = (kvm_regs::default(), kvm_sregs::default());
        let mut after = (regs, sregs);
        after.0.rax = 3;
        after.0.rip = 9;
        after.1.cs.selector = 8;
        after.1.idt.limit = 1;
        let changes = Changes { before: (&regs, &sregs), after: (&after.0, &after.1) };
        let shown = "rax 0x0 -> 0x3, cs.selector 0x0 -> 0x8, idt.limit 0x0 -> 0x1";
        assert_eq!(changes.to_string(), shown);
    }

    #[test]
    fn attributes_stand_in_the_order_of_their_names() {
        let segment = kvm_segment { present: 1, g: 1, unusable: 1, ..Default::default() };
        assert_eq!(attributes(&segment), 0b100_1001);
    }
}
