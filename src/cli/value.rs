//! The values of options.

use crate::cli::Reason;
use crate::config::{
    Backing, CpuBase, CpuModel, FW_CFG_PREFIX, GdbAddress, Instruments, Irqchip, Mode, NamedItem,
    OnReset, PitPlace, Protocol,
};
use crate::host::clock::NANOSECONDS;
use crate::sys::fw_cfg::FW_CFG_MAX_FILE_PATH;
use crate::x86::features::Feature;
use crate::x86::registers::Setting;
use core::ffi::CStr;

/// The words that an option takes, each with what it means.
pub struct Words<T: 'static> {
    /// All of them, each with a comma behind it.
    names: &'static str,
    meanings: &'static [(&'static str, T)],
}

impl<T: Copy> Words<T> {
    /// What this word means.
    pub fn find(&self, text: &[u8]) -> Result<T, Reason> {
        let found = self.meanings.iter().find(|(word, _)| word.as_bytes() == text);
        found.map(|(_, meaning)| *meaning).ok_or(Reason::NotOneOf(self.names))
    }
}

macro_rules! words {
    ($($word:literal => $meaning:expr),+) => {
        Words { names: concat!($($word, ", "),+), meanings: &[$(($word, $meaning)),+] }
    };
}

pub const MODES: Words<Mode> = words! {
    "real" => Mode::Real, "protected" => Mode::Protected, "long" => Mode::Long, "user" => Mode::User
};
pub const PROTOCOLS: Words<Protocol> = words! {
    "linux" => Protocol::Linux, "multiboot" => Protocol::Multiboot, "pvh" => Protocol::Pvh
};
pub const RESETS: Words<OnReset> = words! {
    "end" => OnReset::End, "restart" => OnReset::Restart, "cold" => OnReset::Cold
};
pub const IRQCHIPS: Words<Irqchip> = words! {
    "full" => Irqchip::Full, "split" => Irqchip::Split, "none" => Irqchip::Program
};
pub const PIT_PLACES: Words<PitPlace> = words! {
    "kernel" => PitPlace::Kernel, "program" => PitPlace::Program, "none" => PitPlace::Absent
};
/// Whether a trace is a timeline.
pub const TRACE_FORMATS: Words<bool> = words! { "text" => false, "timeline" => true };
/// Whether statistics are live.
pub const STATISTICS: Words<bool> = words! { "end" => false, "live" => true };

pub fn backing(value: &'static CStr) -> Backing {
    match value.to_bytes() {
        b"anon" => Backing::Anonymous,
        b"thp" => Backing::Transparent,
        b"memfd" => Backing::Memfd,
        _ => Backing::File(value),
    }
}

/// `host,+avx2,-smap,vendor=…`: a base, if any, and what is changed.
pub fn cpu(value: &'static CStr) -> Result<CpuModel, Reason> {
    let mut model = CpuModel::default();
    for (index, part) in value.to_bytes().split(|&byte| byte == b',').enumerate() {
        match part {
            b"host" if index == 0 => model.base = CpuBase::Host,
            b"max" if index == 0 => model.base = CpuBase::Max,
            b"baseline" if index == 0 => model.base = CpuBase::Baseline,
            b"" | b"+" | b"-" => return Err(Reason::EmptyPart),
            [sign @ (b'+' | b'-'), name @ ..] => {
                let feature = Feature::find(name).ok_or(Reason::NoSuchFeature(name))?;
                // KVM shows this bit as the local APIC is, on or off.
                if (*sign, name) == (b'-', b"apic") {
                    return Err(Reason::OptionForApic);
                }
                model.changes.push((feature, *sign == b'+'));
            }
            _ => set_identity(&mut model, part)?,
        }
    }
    Ok(model)
}

/// `vendor=…` and the like.
fn set_identity(model: &mut CpuModel, part: &'static [u8]) -> Result<(), Reason> {
    let wrong = Reason::NotACpu(part);
    let equals = part.iter().position(|&byte| byte == b'=').ok_or(wrong)?;
    let (name, value) = (&part[..equals], &part[equals + 1..]);
    let up_to = |most: u64| match number(value)? {
        number if number <= most => Ok(Some(number as u32)),
        _ => Err(wrong),
    };
    let is_text = |most| {
        (1..=most).contains(&value.len()) && value.iter().all(|byte| (b' '..0x7f).contains(byte))
    };
    match name {
        b"vendor" if is_text(12) => {
            let mut vendor = [0; 12];
            vendor[..value.len()].copy_from_slice(value);
            model.vendor = Some(vendor);
        }
        b"family" => model.family = up_to(270)?,
        b"model" => model.model = up_to(255)?,
        b"stepping" => model.stepping = up_to(15)?,
        b"brand" if is_text(48) => model.brand = Some(value),
        _ => return Err(wrong),
    }
    Ok(())
}

/// `name=value`.
pub fn setting(value: &'static CStr) -> Result<Setting, Reason> {
    let text = value.to_str().map_err(|_| Reason::NotASetting)?;
    let (name, value) = text.split_once('=').ok_or(Reason::NotASetting)?;
    Setting::new(name, number(value.as_bytes())?).map_err(Reason::Setting)
}

/// `name=file`; the name may begin with what all such names begin with.
pub fn fw_cfg(value: &'static CStr) -> Result<NamedItem, Reason> {
    let text = value.to_bytes();
    let end = text.iter().position(|&byte| byte == b'=').ok_or(Reason::NotAnItem)?;
    let name = text[..end].strip_prefix(FW_CFG_PREFIX).unwrap_or(&text[..end]);
    let file = tail(value, end + 1);
    if name.is_empty() || file.is_empty() {
        return Err(Reason::NotAnItem);
    }
    match FW_CFG_PREFIX.len() + name.len() < FW_CFG_MAX_FILE_PATH {
        true => Ok(NamedItem { name, file }),
        false => Err(Reason::LongName),
    }
}

/// A path, or a port of this host.
pub fn gdb(value: &'static CStr) -> Result<GdbAddress, Reason> {
    let text = value.to_bytes();
    if text.contains(&b'/') {
        return Ok(GdbAddress::Path(value));
    }
    let port =
        [&b"127.0.0.1:"[..], b"localhost:", b":"].iter().find_map(|host| text.strip_prefix(*host));
    match port.map(|port| whole(port, 10)) {
        Some(Ok(port @ 1..=0xffff)) => Ok(GdbAddress::Port(port as u16)),
        _ => Err(Reason::NotALocalAddress),
    }
}

/// A C string without its first `skip` bytes, of which it has as many.
pub fn tail(string: &'static CStr, skip: usize) -> &'static CStr {
    let bytes = &string.to_bytes_with_nul()[skip..];
    CStr::from_bytes_until_nul(bytes).unwrap_or(c"")
}

/// `calls`, `exits`, or both with a comma between them.
pub fn trace(instruments: &mut Instruments, value: &CStr) -> Result<(), Reason> {
    for part in value.to_bytes().split(|&byte| byte == b',') {
        match part {
            b"calls" => instruments.trace_calls = true,
            b"exits" => instruments.trace_exits = true,
            _ => return Err(Reason::NotOneOf("calls, exits, calls,exits")),
        }
    }
    Ok(())
}

/// Decimal, or hexadecimal behind `0x`; then perhaps K, M or G, for 2^10, 2^20 or 2^30.
pub fn number(text: &[u8]) -> Result<u64, Reason> {
    let (text, shift) = match text {
        [number @ .., b'k' | b'K'] => (number, 10),
        [number @ .., b'm' | b'M'] => (number, 20),
        [number @ .., b'g' | b'G'] => (number, 30),
        number => (number, 0),
    };
    let (digits, radix) = match text {
        [b'0', b'x' | b'X', digits @ ..] => (digits, 16),
        digits => (digits, 10),
    };
    whole(digits, radix)?.checked_mul(1 << shift).ok_or(Reason::TooLarge)
}

/// Digits and nothing else, at least one.
fn whole(digits: &[u8], radix: u32) -> Result<u64, Reason> {
    if digits.is_empty() {
        return Err(Reason::NotANumber);
    }
    // All digits are looked at, so that 99999999999999999999x is no number, and not one that is too large.
    let mut number = Some(0u64);
    for &byte in digits {
        let digit = char::from(byte).to_digit(radix).ok_or(Reason::NotANumber)?;
        number = number
            .and_then(|number| number.checked_mul(radix.into()))
            .and_then(|number| number.checked_add(digit.into()));
    }
    number.ok_or(Reason::TooLarge)
}

/// Nanoseconds of decimal seconds, perhaps with a fraction, of which nine digits count: `6`, `0.25`, `.5`. At most what 64
/// bits hold, 584 years.
pub fn seconds(text: &[u8]) -> Result<u64, Reason> {
    let (before, behind) = match text.iter().position(|&byte| byte == b'.') {
        Some(point) => (&text[..point], &text[point + 1..]),
        None => (text, &[][..]),
    };
    if before.is_empty() && behind.is_empty() {
        return Err(Reason::NotSeconds);
    }
    let in_seconds =
        |reason| if reason == Reason::NotANumber { Reason::NotSeconds } else { reason };
    // Without digits on one side of the point, that side is 0.
    let part = |digits: &[u8]| {
        if digits.is_empty() { Ok(0) } else { whole(digits, 10).map_err(in_seconds) }
    };
    let counted = &behind[..behind.len().min(9)];
    if behind.iter().any(|byte| !byte.is_ascii_digit()) {
        return Err(Reason::NotSeconds);
    }
    let nanoseconds = part(counted)? * 10u64.pow(9 - counted.len() as u32);
    part(before)?
        .checked_mul(NANOSECONDS)
        .and_then(|whole| whole.checked_add(nanoseconds))
        .ok_or(Reason::TooLong)
}
