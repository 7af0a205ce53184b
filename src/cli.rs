//! The command line.

use crate::boot::kernel::Protocol;
use crate::boot::mode::{self, Mode};
use crate::layout::{HOLE, IMAGE, KERNEL_RAM, PAGE_SIZE, RAM_BASE, RAM_LIMIT, RAM_SIZE};
use crate::memory::Backing;
use crate::sys::regs::{kvm_regs, kvm_sregs};
use crate::words;
use crate::x86;
use core::cell::Cell;
use core::ffi::CStr;

/// Where BiscuitOS' users look while the guest runs.
pub const DEFAULT_BACKING: &CStr = c"/mnt/HugePagefs/BiscuitOS_HugePage";
/// Where `make install` puts the first guest.
pub const DEFAULT_IMAGE: &CStr = c"/usr/bin/firmware/_BiscuitOS-VM.iso";

/// What the user wants.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command {
    /// A machine, as the options say.
    Run,
    /// `--help`.
    Help,
    /// `--version`.
    Version,
    /// `--check`.
    Check,
}

/// How many initrds there can be.
pub const INITRDS: usize = 4;

/// A machine to run. RAM is `base .. base + memory`, below [`RAM_LIMIT`], or, with the board, what of that is below
/// [`HOLE`], and the rest from 4 GiB on; `load` and `entry` are in the lower part.
///
/// The largest fields come last: what is before is reached by shorter instructions.
#[repr(C)]
#[derive(Debug, PartialEq)]
pub struct Options<'a> {
    /// Bytes of RAM, a multiple of [`PAGE_SIZE`], not 0.
    pub memory: u64,
    /// The guest-physical address at which RAM starts, a multiple of [`PAGE_SIZE`].
    pub base: u64,
    /// The guest-physical address at which the image goes.
    pub load: u64,
    /// The guest-physical address of the first instruction.
    pub entry: u64,
    /// The program's own name.
    pub program: &'a CStr,
    /// The state in which the vCPU starts.
    pub mode: Mode,
    /// The instruments: an OR of [`TRACE_CALLS`] to [`REPLAY`].
    pub instruments: u8,
    /// The board, also for a flat image.
    pub irqchip: bool,
    /// Whether a reset starts the guest anew.
    pub restart: bool,
    /// vCPUs, 1 to [`CPUS`].
    pub cpus: u32,
    /// A kernel, instead of the image.
    pub kernel: Option<&'a CStr>,
    /// Where RAM comes from.
    pub backing: Backing<'a>,
    /// The path of the image.
    pub image: &'a CStr,
    /// How long the console sleeps after a newline, in nanoseconds.
    pub pause: u64,
    /// The kernel's command line; the format has one where the user gives none.
    pub append: Option<&'a CStr>,
    /// What goes with it; empty for none.
    pub initrd: [&'a CStr; INITRDS],
    /// What goes with [`crate::error::Call::KERNEL`]: how much, or where.
    pub refused: Cell<u64>,
    /// Registers to be set beside the mode, as `name=value`, in this order; an empty text is none.
    pub set: [&'a [u8]; 8],
}

// Each use is a value of its own: what the Cell holds is not shared.
#[allow(clippy::declare_interior_mutable_const)]
impl Options<'static> {
    /// KOB-2M.
    pub const DEFAULT: Options<'static> = Options {
        memory: RAM_SIZE,
        backing: Backing::File(DEFAULT_BACKING),
        base: RAM_BASE,
        load: IMAGE,
        entry: IMAGE,
        pause: 6_000_000_000,
        image: DEFAULT_IMAGE,
        mode: Mode::Real,
        refused: Cell::new(0),
        set: [b""; 8],
        kernel: None,
        initrd: [c""; INITRDS],
        append: None,
        cpus: 1,
        irqchip: false,
        restart: false,
        instruments: 0,
        program: c"BiscuitOS_app",
    };
}

/// Show each call.
pub const TRACE_CALLS: u8 = 1 << 0;
/// Show each exit.
pub const TRACE_EXITS: u8 = 1 << 1;
/// Show each instruction.
pub const STEP: u8 = 1 << 2;
/// Show statistics.
pub const STATS: u8 = 1 << 3;
/// Show the pages that were written.
pub const DIRTY_LOG: u8 = 1 << 4;
/// Where the guest dies, run it again, step by step.
pub const REPLAY: u8 = 1 << 5;

impl Options<'_> {
    /// Whether one of these instruments is asked for.
    pub fn wants(&self, instruments: u8) -> bool {
        self.instruments & instruments != 0
    }

    /// Whether the machine has interrupt controllers and a PC's devices. Without, several vCPUs could not start each
    /// other.
    pub fn board(&self) -> bool {
        self.irqchip || self.kernel.is_some() || self.cpus > 1
    }

    /// How many bytes of RAM are below 4 GiB: with the board, those below the hole.
    pub fn low_size(&self) -> u64 {
        if self.board() { self.memory.min(HOLE.saturating_sub(self.base)) } else { self.memory }
    }

    /// Where RAM below 4 GiB ends.
    pub fn low_end(&self) -> u64 {
        self.base + self.low_size()
    }

    /// What is run: a kernel without a format is an image.
    pub fn image(&self) -> &CStr {
        self.kernel.unwrap_or(self.image)
    }

    /// The initrds, in order.
    pub fn initrds(&self) -> impl Iterator<Item = &CStr> {
        self.initrd.into_iter().filter(|path| !path.is_empty())
    }

    /// The command line. Linux without one would say nothing.
    pub fn command_line(&self, protocol: Protocol) -> &[u8] {
        match (self.append, protocol) {
            (Some(line), _) => line.to_bytes(),
            (None, Protocol::Linux) => b"console=ttyS0",
            _ => b"",
        }
    }

    /// How far into RAM the image may reach: what is behind is the mode's.
    pub fn image_end(&self) -> u64 {
        self.low_size().saturating_sub(mode::tables_size(self.mode))
    }

    /// How many bytes the image may have.
    pub fn image_room(&self) -> u64 {
        self.image_end().saturating_sub(self.load - self.base)
    }
}

/// What [`parse`] is looking at: where it fails, what is to blame.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Blame<'a> {
    /// The option or the word.
    pub word: &'a [u8],
    /// The option's value as given.
    pub value: &'a [u8],
    /// What it comes to: the number that is wrong, and the limits that it breaks.
    pub numbers: [u64; 3],
}

/// What is wrong with a command line, in the order of the messages in [`crate::report`].
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Wrong {
    /// It begins with a dash, and is no option.
    UnknownOption,
    /// The option needs a value and is the last word.
    NoValue,
    /// The option takes none and has one: `--help=x`.
    UnwantedValue,
    /// A second image.
    ExtraImage,
    /// Neither decimal nor hexadecimal, or with something behind; of `--pause`, no time.
    NotANumber,
    /// `--memory 0`.
    Zero,
    /// It does not fit into 64 bits.
    TooLarge,
    /// `--memory`, the first of the numbers, is not a multiple of 4 KiB.
    UnevenSize,
    /// `--base` likewise.
    UnevenBase,
    /// Size, base, and [`RAM_LIMIT`], above which RAM would end.
    RamTooHigh,
    /// An address, and the first and the last of RAM.
    OutsideRam,
    /// `--mode`.
    NoMode,
    /// `--set`: no such register, or no value.
    NoRegister,
    /// `--set` for the ninth time.
    TooMany,
    /// `--trace`.
    BadTrace,
    /// `--reset`.
    BadReset,
    /// `--cpus`, and the most that there can be.
    TooManyCpus,
    /// `--initrd` or `--append` without `--kernel`.
    NoKernel,
    /// `--base` with a kernel, which is not at 0.
    MovedKernel,
}

/// The most vCPUs that any kernel has; what this one has, KVM says.
pub const CPUS: u32 = 4096;

// The options, each at its own number in the two lists below: first those that need a value,
const OPT_MEMORY: usize = 0;
const OPT_BACKING: usize = 1;
const OPT_BASE: usize = 2;
const OPT_LOAD: usize = 3;
const OPT_ENTRY: usize = 4;
const OPT_PAUSE: usize = 5;
const OPT_MODE: usize = 6;
const OPT_SET: usize = 7;
const OPT_KERNEL: usize = 8;
const OPT_INITRD: usize = 9;
const OPT_APPEND: usize = 10;
const OPT_CPUS: usize = 11;
const OPT_RESET: usize = 12;
// one to which a value may be attached,
const OPT_TRACE: usize = 13;
// and those that take none: instruments in the order of their bits, and then the rest.
const OPT_STEP: usize = 14;
const OPT_IRQCHIP: usize = 18;
const OPT_CHECK: usize = 19;
const OPT_HELP: usize = 20;
const OPT_VERSION: usize = 21;
const NAMES: &str = "--memory --backing --base --load --entry --pause --mode --set --kernel --initrd --append \
    --cpus --reset --trace --step --stats --dirty-log --replay --irqchip --check --help --version";
fn name(option: usize) -> &'static [u8] {
    words::word(NAMES, option)
}

/// Reads the words behind the program's name into `options`, which hold the defaults.
#[inline(never)]
pub fn parse<'a>(
    mut words: impl Iterator<Item = &'a CStr>,
    options: &mut Options<'a>,
    blame: &mut Blame<'a>,
) -> Result<Command, Wrong> {
    let mut command = Command::Run;
    let (mut entry, mut memory, mut pause) = (None, None, None);
    let mut images = 0;
    let mut sets = options.set.iter_mut();
    let mut initrds = options.initrd.iter_mut();
    let mut operands_only = false;
    while let Some(word) = words.next() {
        let bytes = word.to_bytes();
        blame.word = bytes;
        if operands_only || bytes.first() != Some(&b'-') || bytes.len() == 1 {
            images += 1;
            options.image = word;
            if images > 1 {
                return Err(Wrong::ExtraImage);
            }
            continue;
        }
        if bytes == b"--" {
            operands_only = true;
            continue;
        }

        // `--name`, `--name=value`, `-n`, `-nvalue`.
        let long = bytes.get(1) == Some(&b'-');
        let option_len = match long {
            true => bytes.iter().position(|&byte| byte == b'=').unwrap_or(bytes.len()),
            false => 2,
        };
        let option = match bytes {
            [b'-', b'm', ..] => Some(OPT_MEMORY),
            [b'-', b'b', ..] => Some(OPT_BACKING),
            [b'-', b'h', ..] => Some(OPT_HELP),
            [b'-', b'V', ..] => Some(OPT_VERSION),
            _ => words::place(NAMES, bytes.get(..option_len).unwrap_or_default()),
        };
        let option = option.ok_or(Wrong::UnknownOption)?;
        blame.word = name(option);
        let attached = bytes.len() > option_len;
        let has_value = option < OPT_TRACE || option == OPT_TRACE && attached;
        if !has_value {
            match option {
                OPT_TRACE => options.instruments |= TRACE_CALLS | TRACE_EXITS,
                _ if attached => return Err(Wrong::UnwantedValue),
                OPT_IRQCHIP => options.irqchip = true,
                OPT_CHECK => command = Command::Check,
                OPT_HELP => return Ok(Command::Help),
                OPT_VERSION => return Ok(Command::Version),
                _ => options.instruments |= STEP << (option - OPT_STEP),
            }
            continue;
        }
        let value = match attached {
            true => words::tail(word, option_len + usize::from(long)),
            false => words.next().ok_or(Wrong::NoValue)?,
        };

        let digits = value.to_bytes();
        blame.value = digits;
        match option {
            OPT_KERNEL | OPT_INITRD if digits.is_empty() => return Err(Wrong::NoValue),
            OPT_BACKING => {
                options.backing = match words::place("anon", digits) {
                    Some(_) => Backing::Anonymous,
                    None => Backing::File(value),
                }
            }
            OPT_KERNEL => {
                options.kernel = Some(value);
                images += 1;
                if images > 1 {
                    return Err(Wrong::ExtraImage);
                }
            }
            OPT_INITRD => *initrds.next().ok_or(Wrong::TooMany)? = value,
            OPT_APPEND => options.append = Some(value),
            OPT_RESET => {
                options.restart = words::place("end restart", digits).ok_or(Wrong::BadReset)? == 1;
            }
            OPT_PAUSE => pause = Some(seconds(digits)?),
            OPT_MODE => options.mode = mode(digits).ok_or(Wrong::NoMode)?,
            OPT_SET => {
                try_register(digits)?;
                *sets.next().ok_or(Wrong::TooMany)? = digits;
            }
            OPT_TRACE => {
                for part in digits.split(|&byte| byte == b',') {
                    let index = words::place("calls exits", part).ok_or(Wrong::BadTrace)?;
                    options.instruments |= TRACE_CALLS << index;
                }
            }
            _ => {
                let number = number(digits)?;
                match option {
                    OPT_MEMORY | OPT_CPUS if number == 0 => return Err(Wrong::Zero),
                    OPT_MEMORY => memory = Some(number),
                    OPT_CPUS if number > CPUS.into() => {
                        blame.numbers[0] = CPUS.into();
                        return Err(Wrong::TooManyCpus);
                    }
                    OPT_CPUS => options.cpus = number as u32,
                    OPT_BASE => options.base = number,
                    OPT_LOAD => options.load = number,
                    _ => entry = Some(number),
                }
            }
        }
    }
    options.entry = entry.unwrap_or(options.load);
    options.memory = memory.unwrap_or(if options.kernel.is_some() { KERNEL_RAM } else { RAM_SIZE });
    // A kernel's lines are not a lesson's.
    options.pause = pause.unwrap_or(if options.kernel.is_some() { 0 } else { options.pause });
    check(options, blame)?;
    Ok(command)
}

fn mode(name: &[u8]) -> Option<Mode> {
    [Mode::Real, Mode::Protected, Mode::Long, Mode::User]
        .get(words::place(mode::NAMES, name)?)
        .copied()
}

/// Whether there is such a register.
#[inline(never)]
fn try_register(text: &[u8]) -> Result<(), Wrong> {
    set_register(text, &mut kvm_regs::default(), &mut kvm_sregs::default())
}

/// `name=value`, into the register of that name.
#[inline(never)]
pub fn set_register(text: &[u8], regs: &mut kvm_regs, sregs: &mut kvm_sregs) -> Result<(), Wrong> {
    let equals = text.iter().position(|&byte| byte == b'=').ok_or(Wrong::NoRegister)?;
    let (name, value) = text.split_at_checked(equals).unwrap_or_default();
    let value = number(value.get(1..).unwrap_or_default())?;
    if x86::set(regs, sregs, name, value) { Ok(()) } else { Err(Wrong::NoRegister) }
}

/// Does it all fit together?
fn check(options: &Options, blame: &mut Blame) -> Result<(), Wrong> {
    let &Options { memory: size, base, load, entry, .. } = options;
    let low = options.low_size();
    if base % PAGE_SIZE != 0 {
        blame.numbers[0] = base;
        return Err(Wrong::UnevenBase);
    }
    if size % PAGE_SIZE != 0 {
        blame.numbers[0] = size;
        return Err(Wrong::UnevenSize);
    }
    if options.kernel.is_none() && (options.append.is_some() || !options.initrd[0].is_empty()) {
        blame.word = name(if options.append.is_some() { OPT_APPEND } else { OPT_INITRD });
        return Err(Wrong::NoKernel);
    }
    if options.kernel.is_some() && base != 0 {
        blame.numbers[0] = base;
        return Err(Wrong::MovedKernel);
    }
    let limit = if options.board() { HOLE - 1 } else { RAM_LIMIT };
    if base > limit || !options.board() && base.saturating_add(size) > limit {
        blame.numbers = [size, base, limit];
        return Err(Wrong::RamTooHigh);
    }
    for (option, address) in [(OPT_LOAD, load), (OPT_ENTRY, entry)] {
        // Below the base, the difference wraps around.
        if address.wrapping_sub(base) >= low {
            blame.word = name(option);
            blame.numbers = [address, base, base + low - 1];
            return Err(Wrong::OutsideRam);
        }
    }
    Ok(())
}

/// Decimal, or hexadecimal behind `0x`; then perhaps K, M or G, for 2^10, 2^20 or 2^30.
fn number(text: &[u8]) -> Result<u64, Wrong> {
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
    let number = whole(digits, radix)?;
    number.checked_mul(1 << shift).ok_or(Wrong::TooLarge)
}

/// Digits and nothing else, at least one.
fn whole(digits: &[u8], radix: u32) -> Result<u64, Wrong> {
    if digits.is_empty() {
        return Err(Wrong::NotANumber);
    }
    // The whole text is looked at first: 99999999999999999999x is malformed, not too large.
    let mut number = Some(0u64);
    for &byte in digits {
        let digit = char::from(byte).to_digit(radix).ok_or(Wrong::NotANumber)?;
        number = append(number, radix, digit);
    }
    number.ok_or(Wrong::TooLarge)
}

/// Nanoseconds of decimal seconds, perhaps with a fraction, of which nine digits count: `6`, `0.25`, `.5`. At most
/// what 64 bits hold, 584 years.
#[inline(never)]
fn seconds(text: &[u8]) -> Result<u64, Wrong> {
    let mut number = Some(0u64);
    // How many digits more make nanoseconds, once there is a point.
    let mut left = None;
    let mut digits = 0;
    for &byte in text {
        let digit = u32::from(byte.wrapping_sub(b'0'));
        if byte == b'.' && left.is_none() {
            left = Some(9);
        } else if digit > 9 {
            return Err(Wrong::NotANumber);
        } else {
            digits += 1;
            if left != Some(0) {
                number = append(number, 10, digit);
                left = left.map(|left| left - 1);
            }
        }
    }
    if digits == 0 {
        return Err(Wrong::NotANumber);
    }
    for _ in 0..left.unwrap_or(9) {
        number = append(number, 10, 0);
    }
    number.ok_or(Wrong::TooLarge)
}

/// One more digit behind a number; `None` for what 64 bits can't hold.
#[inline(never)]
fn append(number: Option<u64>, radix: u32, digit: u32) -> Option<u64> {
    number?.checked_mul(radix.into())?.checked_add(digit.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed<'a>(words: &[&'a CStr]) -> Result<(Command, Options<'a>), (Wrong, Blame<'a>)> {
        let (mut options, mut blame) = (Options::DEFAULT, Blame::default());
        match parse(words.iter().copied(), &mut options, &mut blame) {
            Ok(command) => Ok((command, options)),
            Err(wrong) => Err((wrong, blame)),
        }
    }

    fn options<'a>(words: &[&'a CStr]) -> Options<'a> {
        match parsed(words) {
            Ok((Command::Run, options)) => options,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn without_words_it_is_kob_2m() {
        assert_eq!(
            options(&[]),
            Options {
                memory: 16 << 20,
                backing: Backing::File(c"/mnt/HugePagefs/BiscuitOS_HugePage"),
                base: 0,
                load: 0x1000,
                entry: 0x1000,
                pause: 6_000_000_000,
                image: c"/usr/bin/firmware/_BiscuitOS-VM.iso",
                ..Options::DEFAULT
            }
        );
        assert_eq!((options(&[]).mode, options(&[]).instruments), (Mode::Real, 0));
    }

    #[test]
    fn instruments_are_asked_for_one_by_one() {
        for (word, instruments) in [
            (c"--trace", TRACE_CALLS | TRACE_EXITS),
            (c"--trace=calls", TRACE_CALLS),
            (c"--trace=exits", TRACE_EXITS),
            (c"--trace=exits,calls", TRACE_CALLS | TRACE_EXITS),
            (c"--step", STEP),
            (c"--stats", STATS),
            (c"--dirty-log", DIRTY_LOG),
            (c"--replay", REPLAY),
        ] {
            assert_eq!(options(&[word]).instruments, instruments, "{word:?}");
        }
        assert_eq!(options(&[c"--trace", c"image"]).image, c"image");
        assert_eq!(options(&[c"--step", c"--stats"]).instruments, STEP | STATS);
        assert_eq!(parsed(&[c"--check", c"x"]).unwrap().0, Command::Check);
    }

    #[test]
    fn modes_and_registers() {
        for (name, mode) in [
            (c"real", Mode::Real),
            (c"protected", Mode::Protected),
            (c"long", Mode::Long),
            (c"user", Mode::User),
        ] {
            assert_eq!(options(&[c"--mode", name]).mode, mode);
        }
        let set = options(&[c"--set", c"rax=1", c"--set=cs.type=0x3"]).set;
        assert_eq!(set[..3], [&b"rax=1"[..], b"cs.type=0x3", b""]);
        assert_eq!(parsed(&[c"--set=rax=1"; 9]).unwrap_err().0, Wrong::TooMany);
        for text in [c"rax", c"=1", c"", c"rbx.base=1", c"cs=1"] {
            assert_eq!(parsed(&[c"--set", text]).unwrap_err().0, Wrong::NoRegister);
        }
        assert_eq!(parsed(&[c"--set", c"rax="]).unwrap_err().0, Wrong::NotANumber);
    }

    #[test]
    fn a_value_may_follow_or_be_attached() {
        for words in [&[c"-m", c"2M"][..], &[c"-m2M"], &[c"--memory", c"2M"], &[c"--memory=2M"]] {
            assert_eq!(options(words).memory, 2 << 20, "{words:?}");
        }
        assert_eq!(options(&[c"--backing=anon"]).backing, Backing::Anonymous);
        assert_eq!(options(&[c"-b/x=y"]).backing, Backing::File(c"/x=y"));
        assert_eq!(options(&[c"-b=x"]).backing, Backing::File(c"=x"));
        assert_eq!(options(&[c"--backing="]).backing, Backing::File(c""));
    }

    #[test]
    fn entry_is_where_the_image_went_unless_said() {
        assert_eq!(options(&[c"--load", c"0x2000"]).entry, 0x2000);
        assert_eq!(options(&[c"--entry", c"0x2000"]).load, 0x1000);
        assert_eq!(options(&[c"--entry", c"0x2000", c"--load", c"64K"]).entry, 0x2000);
    }

    #[test]
    fn options_end_at_two_dashes_and_the_last_of_two_counts() {
        assert_eq!(options(&[c"--", c"-m"]).image, c"-m");
        assert_eq!(options(&[c"-"]).image, c"-");
        assert_eq!(options(&[c"a", c"-m", c"2M", c"-m", c"4M"]).memory, 4 << 20);
    }

    #[test]
    fn numbers() {
        for (text, value) in [
            (&b"0"[..], 0),
            (b"4096", 4096),
            (b"0x1000", 0x1000),
            (b"0XfF", 255),
            (b"16k", 16 << 10),
            (b"0x10M", 16 << 20),
            (b"3G", 3 << 30),
            (b"18446744073709551615", u64::MAX),
        ] {
            assert_eq!(number(text), Ok(value));
        }
        for text in [
            &b""[..],
            b"x",
            b"0x",
            b"M",
            b"1MM",
            b"1 ",
            b" 1",
            b"-1",
            b"+1",
            b"1.5M",
            b"0b1",
            b"1T",
        ] {
            assert_eq!(number(text), Err(Wrong::NotANumber), "{text:?}");
        }
        for text in [&b"18446744073709551616"[..], b"0x10000000000000000", b"17179869184G"] {
            assert_eq!(number(text), Err(Wrong::TooLarge), "{text:?}");
        }
        assert_eq!(number(b"99999999999999999999x"), Err(Wrong::NotANumber));
    }

    #[test]
    fn pauses() {
        let pause =
            |text| seconds(text).map(|time| (time / 1_000_000_000, (time % 1_000_000_000) as u32));
        assert_eq!(pause(b"0"), Ok((0, 0)));
        assert_eq!(pause(b"6"), Ok((6, 0)));
        assert_eq!(pause(b"0.25"), Ok((0, 250_000_000)));
        assert_eq!(pause(b".5"), Ok((0, 500_000_000)));
        assert_eq!(pause(b"1."), Ok((1, 0)));
        assert_eq!(pause(b"0.0000000019"), Ok((0, 1)));
        for text in [&b""[..], b".", b"-1", b"1e3", b"1.2.3", b"0x1", b"inf", b"1s"] {
            assert_eq!(pause(text), Err(Wrong::NotANumber), "{text:?}");
        }
        assert_eq!(pause(b"99999999999999999999"), Err(Wrong::TooLarge));
    }

    #[test]
    fn what_contradicts_itself_is_refused() {
        let bad = |words: &[&CStr], wrong, word: &str, value: &str, numbers| {
            let blame = Blame { word: word.as_bytes(), value: value.as_bytes(), numbers };
            assert_eq!(parsed(words), Err((wrong, blame)), "{words:?}");
        };
        bad(&[c"-m"], Wrong::NoValue, "--memory", "", [0; 3]);
        bad(&[c"--paws"], Wrong::UnknownOption, "--paws", "", [0; 3]);
        bad(&[c"-x"], Wrong::UnknownOption, "-x", "", [0; 3]);
        bad(&[c"- "], Wrong::UnknownOption, "- ", "", [0; 3]);
        bad(&[c"-="], Wrong::UnknownOption, "-=", "", [0; 3]);
        bad(&[c"--="], Wrong::UnknownOption, "--=", "", [0; 3]);
        bad(&[c"--mem=2M"], Wrong::UnknownOption, "--mem=2M", "", [0; 3]);
        bad(&[c"-hx"], Wrong::UnwantedValue, "--help", "", [0; 3]);
        bad(&[c"--help=x"], Wrong::UnwantedValue, "--help", "", [0; 3]);
        bad(&[c"a", c"b"], Wrong::ExtraImage, "b", "", [0; 3]);
        bad(&[c"-m", c"0"], Wrong::Zero, "--memory", "0", [0; 3]);
        bad(&[c"--base=x"], Wrong::NotANumber, "--base", "x", [0; 3]);
        bad(&[c"--pause="], Wrong::NotANumber, "--pause", "", [0; 3]);
        bad(&[c"--trace=x"], Wrong::BadTrace, "--trace", "x", [0; 3]);
        bad(&[c"--trace=calls,"], Wrong::BadTrace, "--trace", "calls,", [0; 3]);
        bad(&[c"--step=1"], Wrong::UnwantedValue, "--step", "", [0; 3]);
        bad(&[c"--mode", c"vm86"], Wrong::NoMode, "--mode", "vm86", [0; 3]);
        bad(&[c"-m16777216T"], Wrong::NotANumber, "--memory", "16777216T", [0; 3]);

        // What is checked last comes after words that are not to blame.
        let numbers = |words, wrong, numbers| match parsed(words) {
            Err((is, blame)) => assert_eq!((is, blame.numbers), (wrong, numbers), "{words:?}"),
            Ok(command) => panic!("{command:?}"),
        };
        numbers(&[c"--base", c"0x1234"], Wrong::UnevenBase, [0x1234, 0, 0]);
        numbers(&[c"-m", c"5000"], Wrong::UnevenSize, [5000, 0, 0]);
        numbers(&[c"-m", c"4G"], Wrong::RamTooHigh, [4 << 30, 0, RAM_LIMIT]);
        let top = 0xffff_ffff_ffff_f000;
        let words = [c"--base", c"0xfffffffffffff000"];
        numbers(&words, Wrong::RamTooHigh, [16 << 20, top, RAM_LIMIT]);
        numbers(&[c"--load", c"16M"], Wrong::OutsideRam, [16 << 20, 0, 0xff_ffff]);
        numbers(&[c"--entry", c"0x1000000"], Wrong::OutsideRam, [16 << 20, 0, 0xff_ffff]);
        numbers(&[c"--base", c"0x2000"], Wrong::OutsideRam, [0x1000, 0x2000, 0x100_1fff]);
    }

    #[test]
    fn ram_may_end_where_kvm_s_own_pages_begin() {
        assert_eq!(options(&[c"-m", c"0xfffbc000"]).memory, RAM_LIMIT);
        assert_eq!(options(&[c"--base", c"0x1000", c"--entry", c"0x1000fff"]).entry, 0x1000fff);
    }

    #[test]
    fn help_and_version() {
        for words in [c"-h", c"--help"] {
            assert_eq!(parsed(&[words]).unwrap().0, Command::Help);
        }
        for words in [c"-V", c"--version"] {
            assert_eq!(parsed(&[words]).unwrap().0, Command::Version);
        }
    }
}
