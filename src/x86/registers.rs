//! Registers by their names: to set one by name, and to show which ones differ.

use crate::sys::regs::{kvm_regs, kvm_segment, kvm_sregs};
use alloc::vec::Vec;
use core::fmt;

/// Lists fields of a structure: one function for their names and values, and one that finds a field by its name.
macro_rules! named {
    ($(#[$doc:meta])* $list:ident, $find:ident: $structure:ty { $($name:ident),* } -> $value:ty) => {
        $(#[$doc])*
        pub fn $list(of: &$structure) -> [(&'static str, &$value); [$(stringify!($name)),*].len()] {
            [$((stringify!($name), &of.$name)),*]
        }

        fn $find<'a>(of: &'a mut $structure, name: &str) -> Option<&'a mut $value> {
            match name {
                $(stringify!($name) => Some(&mut of.$name),)*
                _ => None,
            }
        }
    };
}

named! {
    /// The general registers, RIP and RFLAGS.
    general, find_general: kvm_regs {
        rax, rbx, rcx, rdx, rsi, rdi, rsp, rbp, r8, r9, r10, r11, r12, r13, r14, r15, rip, rflags
    } -> u64
}
named! {
    /// The control registers.
    control, find_control: kvm_sregs { cr0, cr2, cr3, cr4, cr8, efer, apic_base } -> u64
}
named! {
    /// The segment registers.
    segments, find_segment: kvm_sregs { cs, ds, es, fs, gs, ss, tr, ldt } -> kvm_segment
}

/// What a segment register is made of.
pub fn fields(segment: &kvm_segment) -> [(&'static str, u64); 12] {
    [
        ("base", segment.base),
        ("limit", segment.limit.into()),
        ("selector", segment.selector.into()),
        ("type", segment.r#type.into()),
        ("present", segment.present.into()),
        ("dpl", segment.dpl.into()),
        ("db", segment.db.into()),
        ("s", segment.s.into()),
        ("l", segment.l.into()),
        ("g", segment.g.into()),
        ("avl", segment.avl.into()),
        ("unusable", segment.unusable.into()),
    ]
}

/// Sets a field of a segment register; `None` where there is no such field, or the processor has fewer bits of it.
fn set_field(segment: &mut kvm_segment, name: &str, value: u64) -> Option<()> {
    let bits = |count: u32| (value >> count == 0).then_some(value as u8);
    match name {
        "base" => segment.base = value,
        "limit" => segment.limit = value.try_into().ok()?,
        "selector" => segment.selector = value.try_into().ok()?,
        "type" => segment.r#type = bits(4)?,
        "present" => segment.present = bits(1)?,
        "dpl" => segment.dpl = bits(2)?,
        "db" => segment.db = bits(1)?,
        "s" => segment.s = bits(1)?,
        "l" => segment.l = bits(1)?,
        "g" => segment.g = bits(1)?,
        "avl" => segment.avl = bits(1)?,
        "unusable" => segment.unusable = bits(1)?,
        _ => return None,
    }
    Some(())
}

/// Sets a register by its name: a general or control register, or `cs.base`: a segment register, a dot, and a field of it.
/// `None` where there is no such register, or the value does not fit into it.
pub fn set(regs: &mut kvm_regs, sregs: &mut kvm_sregs, name: &str, value: u64) -> Option<()> {
    if let Some((segment, field)) = name.split_once('.') {
        return set_field(find_segment(sregs, segment)?, field, value);
    }
    // CR8 is the upper four bits of the local APIC's task priority.
    if name == "cr8" && value > 15 {
        return None;
    }
    *find_general(regs, name).or_else(|| find_control(sregs, name))? = value;
    Some(())
}

/// The value of a register by the name that [`set`] takes.
pub fn get(regs: &kvm_regs, sregs: &kvm_sregs, name: &str) -> Option<u64> {
    let find = |(other, value): &(&str, &u64)| (*other == name).then_some(**value);
    if let Some((segment, field)) = name.split_once('.') {
        let (_, segment) = segments(sregs).into_iter().find(|(other, _)| *other == segment)?;
        return fields(segment)
            .into_iter()
            .find(|(other, _)| *other == field)
            .map(|(_, value)| value);
    }
    let of_sregs = || control(sregs).iter().find_map(find);
    general(regs).iter().find_map(find).or_else(of_sregs)
}

/// A register and the value that it shall have: `--set`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Setting {
    name: &'static str,
    value: u64,
}

/// What is wrong with a register or its value.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WrongSetting {
    NoSuchRegister,
    /// The value has more bits than the register.
    TooLarge,
}

impl Setting {
    pub fn new(name: &'static str, value: u64) -> Result<Setting, WrongSetting> {
        let fits =
            |value| set(&mut kvm_regs::default(), &mut kvm_sregs::default(), name, value).is_some();
        match (fits(value), fits(0)) {
            (true, _) => Ok(Setting { name, value }),
            (false, true) => Err(WrongSetting::TooLarge),
            (false, false) => Err(WrongSetting::NoSuchRegister),
        }
    }

    /// Sets the register.
    pub fn apply(self, regs: &mut kvm_regs, sregs: &mut kvm_sregs) {
        set(regs, sregs, self.name, self.value).expect("`new` has tried it");
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
        let (before, after) = (list(self.before), list(self.after));
        let mut comma = "";
        for (([segment, name], before), (_, after)) in before.iter().zip(&after) {
            if before != after && *name != "rip" {
                let dot = if segment.is_empty() { "" } else { "." };
                write!(f, "{comma}{segment}{dot}{name} {before:#x} -> {after:#x}")?;
                comma = ", ";
            }
        }
        Ok(())
    }
}

/// All registers, as a segment's name or nothing, a name, and a value.
fn list((regs, sregs): (&kvm_regs, &kvm_sregs)) -> Vec<([&'static str; 2], u64)> {
    let mut list = Vec::new();
    list.extend(general(regs).map(|(name, &value)| (["", name], value)));
    for (segment, value) in segments(sregs) {
        list.extend(fields(value).map(|(name, value)| ([segment, name], value)));
    }
    list.extend(control(sregs).map(|(name, &value)| (["", name], value)));
    for (table, value) in [("gdt", &sregs.gdt), ("idt", &sregs.idt)] {
        list.push(([table, "base"], value.base));
        list.push(([table, "limit"], value.limit.into()));
    }
    list
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

    fn set(name: &'static str, value: u64) -> Option<(kvm_regs, kvm_sregs)> {
        let (mut regs, mut sregs) = (kvm_regs::default(), kvm_sregs::default());
        Setting::new(name, value).ok()?.apply(&mut regs, &mut sregs);
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
    fn every_field_of_a_segment_can_be_set_and_is_shown_under_its_name() {
        for (name, _) in fields(&kvm_segment::default()) {
            let mut segment = kvm_segment::default();
            set_field(&mut segment, name, 1).unwrap();
            let set: Vec<_> =
                fields(&segment).into_iter().filter(|(_, value)| *value != 0).collect();
            assert_eq!(set, [(name, 1)]);
        }
    }

    #[test]
    fn a_value_must_fit_into_the_register() {
        for (name, most) in [
            ("cs.type", 15),
            ("ss.dpl", 3),
            ("cs.db", 1),
            ("cr8", 15),
            ("cs.selector", 0xffff),
            ("cs.limit", 0xffff_ffff),
        ] {
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
