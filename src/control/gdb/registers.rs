//! The registers as gdb knows them: the target description names them, and `g` and `p` carry their values in its order. gdb's manual,
//! appendix G.

use crate::kvm::{self, Vcpu};
use crate::show::number;
use crate::sys::regs::{kvm_regs, kvm_sregs, kvm_xsave};
use crate::x86::mode::OperatingMode;
use crate::x86::registers::{get, set};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// The code that a processor executes, as gdb distinguishes it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Code {
    Bits16,
    Bits32,
    Bits64,
}

impl Code {
    /// In compatibility mode it is the long mode around it that counts: all registers have 64 bits there.
    pub fn of(regs: &kvm_regs, sregs: &kvm_sregs) -> Code {
        match OperatingMode::of(regs, sregs) {
            OperatingMode::Long64 | OperatingMode::Compatibility => Code::Bits64,
            OperatingMode::Protected32 => Code::Bits32,
            OperatingMode::Real | OperatingMode::Virtual8086 | OperatingMode::Protected16 => {
                Code::Bits16
            }
        }
    }

    /// LLVM's name.
    pub fn triple(self) -> &'static str {
        match self {
            Code::Bits16 => "i386-unknown-unknown-code16",
            Code::Bits32 => "i386-unknown-unknown",
            Code::Bits64 => "x86_64-unknown-unknown",
        }
    }

    /// gdb's name.
    fn architecture(self) -> &'static str {
        match self {
            Code::Bits16 => "i8086",
            Code::Bits32 => "i386",
            Code::Bits64 => "i386:x86-64",
        }
    }
}

/// Where a register's value is.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Place {
    /// A name of [`crate::x86::registers`].
    Named(&'static str),
    /// In the area that XSAVE stores: an offset, and a size.
    Area(usize, usize),
    /// The x87's tags.
    Tags,
}

/// A register: gdb's name for it, its bytes, its type, and where it is.
#[derive(Clone, Copy)]
struct Register {
    name: &'static str,
    size: usize,
    kind: &'static str,
    place: Place,
}

/// A feature of the description: its name, the types that it defines, and its registers.
struct Feature {
    name: &'static str,
    types: &'static str,
    registers: Vec<Register>,
}

const GENERAL_64: [&str; 16] = [
    "rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r9", "r10", "r11", "r12", "r13",
    "r14", "r15",
];

const GENERAL_32: [(&str, &str); 8] = [
    ("eax", "rax"),
    ("ecx", "rcx"),
    ("edx", "rdx"),
    ("ebx", "rbx"),
    ("esp", "rsp"),
    ("ebp", "rbp"),
    ("esi", "rsi"),
    ("edi", "rdi"),
];

const SELECTORS: [(&str, &str); 6] = [
    ("cs", "cs.selector"),
    ("ss", "ss.selector"),
    ("ds", "ds.selector"),
    ("es", "es.selector"),
    ("fs", "fs.selector"),
    ("gs", "gs.selector"),
];

/// Those of the system that gdb has no feature for. In 16-bit code an address needs its segment's base.
const BASES: [(&str, &str); 4] = [
    ("cs_base", "cs.base"),
    ("ss_base", "ss.base"),
    ("ds_base", "ds.base"),
    ("es_base", "es.base"),
];
const FS_AND_GS: [(&str, &str); 2] = [("fs_base", "fs.base"), ("gs_base", "gs.base")];
const CONTROL: [&str; 6] = ["cr0", "cr2", "cr3", "cr4", "cr8", "efer"];

// The area that XSAVE stores: SDM volume 1, 10.5.1 and 13.4.
const ST_AREA: usize = 32;
const XMM_AREA: usize = 160;
const MXCSR: usize = 24;
/// One byte, with a bit for each register that is not empty.
const TAGS: usize = 4;
/// XSTATE_BV: which parts are not in their initial state. x87 and SSE are bits 0 and 1.
const XSTATE_BV: usize = 512;

/// The x87's control registers, each shown with 32 bits. Without REX.W, an address there has 32 bits and a selector.
const X87_CONTROL: [(&str, Place); 8] = [
    ("fctrl", Place::Area(0, 2)),
    ("fstat", Place::Area(2, 2)),
    ("ftag", Place::Tags),
    ("fiseg", Place::Area(12, 2)),
    ("fioff", Place::Area(8, 4)),
    ("foseg", Place::Area(20, 2)),
    ("fooff", Place::Area(16, 4)),
    ("fop", Place::Area(6, 2)),
];
const ST: [&str; 8] = ["st0", "st1", "st2", "st3", "st4", "st5", "st6", "st7"];
const XMM: [&str; 16] = [
    "xmm0", "xmm1", "xmm2", "xmm3", "xmm4", "xmm5", "xmm6", "xmm7", "xmm8", "xmm9", "xmm10",
    "xmm11", "xmm12", "xmm13", "xmm14", "xmm15",
];

const FLAGS: &str = r#"<flags id="eflags" size="4"><field name="CF" start="0" end="0"/><field name="PF" start="2" end="2"/><field name="AF" start="4" end="4"/><field name="ZF" start="6" end="6"/><field name="SF" start="7" end="7"/><field name="TF" start="8" end="8"/><field name="IF" start="9" end="9"/><field name="DF" start="10" end="10"/><field name="OF" start="11" end="11"/><field name="NT" start="14" end="14"/><field name="RF" start="16" end="16"/><field name="VM" start="17" end="17"/><field name="AC" start="18" end="18"/><field name="ID" start="21" end="21"/></flags>"#;
const VECTORS: &str = r#"<vector id="v4f" type="ieee_single" count="4"/><vector id="v2d" type="ieee_double" count="2"/><vector id="v16i8" type="int8" count="16"/><vector id="v4i32" type="int32" count="4"/><vector id="v2i64" type="int64" count="2"/><union id="vec128"><field name="v4_float" type="v4f"/><field name="v2_double" type="v2d"/><field name="v16_int8" type="v16i8"/><field name="v4_int32" type="v4i32"/><field name="v2_int64" type="v2i64"/><field name="uint128" type="uint128"/></union>"#;

/// The features for this kind of code, in the order of the registers' numbers.
fn features(code: Code) -> [Feature; 4] {
    let is_64 = code == Code::Bits64;
    let word = if is_64 { 8 } else { 4 };
    let named = |&(name, place): &(&'static str, &'static str), size, kind| Register {
        name,
        size,
        kind,
        place: Place::Named(place),
    };
    let integer = if is_64 { "int64" } else { "int32" };
    let general: Vec<_> = match is_64 {
        true => GENERAL_64.map(|name| (name, name)).into(),
        false => GENERAL_32.into(),
    };
    let pc = if is_64 { "rip" } else { "eip" };
    let is_stack = |name: &str| matches!(name, "rsp" | "rbp" | "esp" | "ebp");
    let mut core: Vec<Register> = general
        .iter()
        .map(|row| named(row, word, if is_stack(row.0) { "data_ptr" } else { integer }))
        .collect();
    core.push(named(&(pc, "rip"), word, "code_ptr"));
    core.push(named(&("eflags", "rflags"), 4, "eflags"));
    core.extend(SELECTORS.iter().map(|row| named(row, 4, "int32")));
    core.extend(ST.iter().enumerate().map(|(number, &name)| Register {
        name,
        size: 10,
        kind: "i387_ext",
        place: Place::Area(ST_AREA + 16 * number, 10),
    }));
    core.extend(X87_CONTROL.map(|(name, place)| Register { name, size: 4, kind: "int", place }));
    let count = if is_64 { 16 } else { 8 };
    let mut sse: Vec<Register> = XMM[..count]
        .iter()
        .enumerate()
        .map(|(number, &name)| Register {
            name,
            size: 16,
            kind: "vec128",
            place: Place::Area(XMM_AREA + 16 * number, 16),
        })
        .collect();
    sse.push(Register { name: "mxcsr", size: 4, kind: "int32", place: Place::Area(MXCSR, 4) });
    let segments = FS_AND_GS.iter().map(|row| named(row, word, "int")).collect();
    let mut system: Vec<Register> = BASES.iter().map(|row| named(row, word, integer)).collect();
    system.extend(CONTROL.map(|name| named(&(name, name), word, integer)));
    [
        Feature { name: "org.gnu.gdb.i386.core", types: FLAGS, registers: core },
        Feature { name: "org.gnu.gdb.i386.sse", types: VECTORS, registers: sse },
        // gdb takes this feature for 64-bit code alone. For others these are two registers of our own.
        Feature {
            name: if is_64 { "org.gnu.gdb.i386.segments" } else { "kob-2m.bases" },
            types: "",
            registers: segments,
        },
        Feature { name: "kob-2m.system", types: "", registers: system },
    ]
}

/// The target description.
pub fn description(code: Code) -> String {
    let mut text =
        String::from("<?xml version=\"1.0\"?><!DOCTYPE target SYSTEM \"gdb-target.dtd\"><target>");
    // A string takes all that fits into memory.
    let _ = write!(text, "<architecture>{}</architecture><osabi>none</osabi>", code.architecture());
    for Feature { name, types, registers } in features(code) {
        let _ = write!(text, "<feature name=\"{name}\">{types}");
        for Register { name, size, kind, .. } in registers {
            let bits = size * 8;
            let _ = write!(text, "<reg name=\"{name}\" bitsize=\"{bits}\" type=\"{kind}\"/>");
        }
        text.push_str("</feature>");
    }
    text.push_str("</target>");
    text
}

/// All registers of a vCPU that is stopped.
#[derive(Clone)]
pub struct Registers {
    code: Code,
    regs: kvm_regs,
    sregs: kvm_sregs,
    xsave: kvm_xsave,
}

impl Registers {
    pub fn of(vcpu: &Vcpu, code: Code) -> Result<Registers, kvm::Error> {
        Ok(Registers { code, regs: vcpu.regs()?, sregs: vcpu.sregs()?, xsave: vcpu.xsave()? })
    }

    /// Gives the vCPU what differs from `before`, which it has. (`KVM_SET_SREGS` does more than it says: in PAE paging KVM loads the
    /// PDPTEs from RAM again.) EINVAL: they contradict each other.
    pub fn write_to(&self, vcpu: &Vcpu, before: &Registers) -> Result<(), kvm::Error> {
        if self.sregs != before.sregs {
            vcpu.set_sregs(&self.sregs, &before.sregs)?;
        }
        if self.xsave.region != before.xsave.region {
            vcpu.set_xsave(&self.xsave)?;
        }
        vcpu.set_regs(&self.regs)
    }

    /// The values, one behind the other.
    pub fn all(&self) -> Vec<u8> {
        let registers = features(self.code).into_iter().flat_map(|feature| feature.registers);
        registers.flat_map(|register| self.value(register)).collect()
    }

    /// Takes the values of [`Registers::all`]. Returns false where they are not as many, or one of them can't be.
    pub fn set_all(&mut self, mut bytes: &[u8]) -> bool {
        for register in features(self.code).into_iter().flat_map(|feature| feature.registers) {
            let Some((value, rest)) = bytes.split_at_checked(register.size) else { return false };
            if !self.set_value(register, value) {
                return false;
            }
            bytes = rest;
        }
        bytes.is_empty()
    }

    /// The value of the register with this number.
    pub fn one(&self, number: usize) -> Option<Vec<u8>> {
        Some(self.value(find(self.code, number)?))
    }

    /// Sets it. Returns false where there is no such register, or it can't have this value.
    pub fn set_one(&mut self, number: usize, bytes: &[u8]) -> bool {
        find(self.code, number)
            .is_some_and(|register| register.size == bytes.len() && self.set_value(register, bytes))
    }

    fn value(&self, Register { size, place, .. }: Register) -> Vec<u8> {
        let mut value = alloc::vec![0; size];
        match place {
            Place::Named(name) => {
                let number = get(&self.regs, &self.sregs, name).expect("a name of ours");
                value.copy_from_slice(&number.to_le_bytes()[..size]);
            }
            Place::Area(at, size) => self.copy_area(at, &mut value[..size]),
            // Two bits for each register: 3 is empty.
            Place::Tags => {
                let mut tags = [0];
                self.copy_area(TAGS, &mut tags);
                for number in (0..8).filter(|number| tags[0] >> number & 1 == 0) {
                    value[number / 4] |= 3 << (2 * (number % 4));
                }
            }
        }
        value
    }

    fn set_value(&mut self, Register { place, .. }: Register, value: &[u8]) -> bool {
        match place {
            Place::Named(name) => return self.set_named(name, number(value)),
            Place::Area(at, size) => self.set_area(at, &value[..size]),
            Place::Tags => {
                let is_used =
                    |register: usize| value[register / 4] >> (2 * (register % 4)) & 3 != 3;
                let tags =
                    (0..8).fold(0, |tags, register| tags | u8::from(is_used(register)) << register);
                self.set_area(TAGS, &[tags]);
            }
        }
        true
    }

    fn copy_area(&self, at: usize, bytes: &mut [u8]) {
        for (byte, at) in bytes.iter_mut().zip(at..) {
            *byte = self.xsave.region[at / 4].to_le_bytes()[at % 4];
        }
    }

    fn set_area(&mut self, at: usize, bytes: &[u8]) {
        let mut set = |at: usize, byte| {
            let mut word = self.xsave.region[at / 4].to_le_bytes();
            word[at % 4] = byte;
            self.xsave.region[at / 4] = u32::from_le_bytes(word);
        };
        bytes.iter().zip(at..).for_each(|(&byte, at)| set(at, byte));
        // From now on both parts count.
        self.xsave.region[XSTATE_BV / 4] |= 0b11;
    }

    /// In real and virtual-8086 mode a selector is its segment's base too. Elsewhere it changes alone: what the processor has read from
    /// the descriptor tables stays.
    fn set_named(&mut self, name: &'static str, number: u64) -> bool {
        let Registers { regs, sregs, .. } = self;
        let before = get(regs, sregs, name);
        if before == Some(number) {
            return true;
        }
        let base = match (OperatingMode::of(regs, sregs), name.split_once('.')) {
            (OperatingMode::Real | OperatingMode::Virtual8086, Some((segment, "selector"))) => {
                BASES
                    .iter()
                    .chain(&FS_AND_GS)
                    .find(|(_, base)| base.strip_suffix(".base") == Some(segment))
            }
            _ => None,
        };
        let is_set = set(regs, sregs, name, number).is_some();
        if is_set && let Some((_, base)) = base {
            return set(regs, sregs, base, number << 4).is_some();
        }
        is_set
    }
}

fn find(code: Code, number: usize) -> Option<Register> {
    features(code).into_iter().flat_map(|feature| feature.registers).nth(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registers(code: Code) -> Registers {
        let (regs, sregs, xsave) = Default::default();
        Registers { code, regs, sregs, xsave }
    }

    fn number(code: Code, name: &str) -> usize {
        let all = features(code).into_iter().flat_map(|feature| feature.registers);
        all.into_iter().position(|register| register.name == name).unwrap()
    }

    #[test]
    fn the_order_is_gdb_s() {
        // gdb numbers these itself, whatever is in between.
        assert_eq!(number(Code::Bits64, "rip"), 16);
        assert_eq!(number(Code::Bits64, "st0"), 24);
        assert_eq!(number(Code::Bits64, "xmm0"), 40);
        assert_eq!(number(Code::Bits32, "eip"), 8);
        assert_eq!(number(Code::Bits32, "st0"), 16);
        assert_eq!(number(Code::Bits32, "xmm0"), 32);
    }

    #[test]
    fn each_register_can_be_set_alone_and_is_read_back() {
        for code in [Code::Bits16, Code::Bits32, Code::Bits64] {
            let count = features(code).into_iter().flat_map(|feature| feature.registers).count();
            for number in 0..count {
                let mut registers = registers(code);
                // Outside real mode selectors stand alone.
                registers.sregs.cr0 = 1;
                let register = find(code, number).unwrap();
                let mut value = vec![0; register.size];
                value[0] = if register.name == "ftag" { 3 } else { 1 };
                assert!(registers.set_one(number, &value), "{}", register.name);
                if register.name != "cr0" {
                    assert_eq!(registers.one(number).unwrap(), value, "{}", register.name);
                }
                let mut all = registers.all();
                let at: usize = (0..number).map(|number| find(code, number).unwrap().size).sum();
                assert_eq!(all[at..][..register.size], value);
                assert!(registers.set_all(&all));
                assert!(!registers.set_all(&all[1..]));
                all.push(0);
                assert!(!registers.set_all(&all));
            }
            assert!(registers(code).one(count).is_none());
            assert!(!registers(code).set_one(0, &[1]), "too few bytes");
        }
    }

    #[test]
    fn a_selector_of_real_mode_brings_its_base() {
        let mut registers = registers(Code::Bits16);
        assert!(registers.set_one(number(Code::Bits16, "ds"), &[0x34, 0x12, 0, 0]));
        assert_eq!((registers.sregs.ds.selector, registers.sregs.ds.base), (0x1234, 0x12340));
        registers.sregs.cr0 = 1;
        assert!(registers.set_one(number(Code::Bits16, "ds"), &[8, 0, 0, 0]));
        assert_eq!((registers.sregs.ds.selector, registers.sregs.ds.base), (8, 0x12340));
        assert!(!registers.set_one(number(Code::Bits16, "ds"), &[0, 0, 1, 0]), "16 bits");
    }

    #[test]
    fn what_gdb_shows_follows_the_code() {
        let (regs, mut sregs): (kvm_regs, kvm_sregs) = Default::default();
        assert_eq!(Code::of(&regs, &sregs), Code::Bits16);
        sregs.cr0 = 1;
        sregs.cs.db = 1;
        assert_eq!(Code::of(&regs, &sregs), Code::Bits32);
        sregs.efer = 1 << 10;
        assert_eq!(Code::of(&regs, &sregs), Code::Bits64);
        for (code, architecture) in [(Code::Bits16, ">i8086<"), (Code::Bits64, ">i386:x86-64<")] {
            assert!(description(code).contains(architecture));
        }
    }
}
