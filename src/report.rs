//! Everything that is printed, but for what the guest prints.

use crate::cli::{Blame, Command, DEFAULT_BACKING, DEFAULT_IMAGE, Options, Wrong};
use crate::errno::Errno;
use crate::error::{Call, Error};
use crate::exit::Death;
use crate::kvm::DEVICE;
use crate::machine::{End, Note};
use crate::memory::{Backing, Pool};
use crate::sys::exit as reason;
use crate::sys::ioctl;
use crate::text::Text;
use crate::words;
use core::ffi::CStr;

// Exit statuses, besides 128+N for signal N.

/// The guest halted, or the help was printed.
pub const HALTED: i32 = 0;
/// The host or the program failed.
pub const FAILED: i32 = 1;
/// The command line is wrong.
pub const BAD_USAGE: i32 = 2;
/// The guest died.
pub const GUEST_DIED: i32 = 3;

const HELP: &str = "\
Usage: %s [OPTIONS] [IMAGE]
Runs IMAGE (default %s) in a KVM virtual machine:
one vCPU in real mode, RAM in huge pages, port 0x10 on standard output.

  -m, --memory SIZE    RAM, default 16M; a multiple of the backing's page size
  -b, --backing WHAT   a file on hugetlbfs (default %s),
                       a character device that can be mapped (/dev/BiscuitOS),
                       or `anon` for anonymous 4 KiB pages
      --base GPA       where the slot starts (default 0)
      --load GPA       where IMAGE goes (default 0x1000)
      --entry GPA      the first instruction (default: where IMAGE went)
      --pause SECONDS  the pause after a newline (default 6; decimals; 0 for none)
  -h, --help   -V, --version

SIZE and GPA: decimal, or hexadecimal with 0x; K, M, G for KiB, MiB, GiB.
Exit status: 0 the guest halted; 1 the host or the program failed;
2 the command line; 3 the guest died; 128+N signal N.
";

/// Prints what `--help` or `--version` asks for.
#[inline(never)]
pub fn information(program: &CStr, command: Command) -> Result<(), Error> {
    let mut text = Text::new(libc::STDOUT_FILENO);
    let template = match command {
        Command::Version => concat!("KOB-2M ", env!("CARGO_PKG_VERSION"), "\n"),
        _ => HELP,
    };
    let words = [program, DEFAULT_IMAGE, DEFAULT_BACKING].map(CStr::to_bytes);
    text.say(template, &words, &[]);
    text.finish().map_err(Call::WRITE_OUTPUT.failed())
}

/// Begins a message on standard error with the program's name; [`send`] ends it.
#[inline(never)]
fn message(program: &CStr) -> Text {
    let mut text = Text::new(libc::STDERR_FILENO);
    text.say("%s: ", &[program.to_bytes()], &[]);
    text
}

#[inline(never)]
fn send(text: &mut Text) {
    text.say("\n", &[], &[]);
    // Whether it could be written: there is nobody to tell.
    let _ = text.finish();
}

/// Tells what the user should know although the guest goes on.
pub fn note(program: &CStr, note: Note) {
    let (what, at) = match note {
        Note::UnansweredPort(port) => ("device at port", port.into()),
        Note::UnansweredAddress(address) => ("RAM or device at address", address),
    };
    let text = &mut message(program);
    let template = "no %s %x: reads give ones, writes are lost; said once";
    text.say(template, &[what.as_bytes()], &[at]);
    send(text);
}

/// Tells how the run ended, and gives the exit status.
#[inline(never)]
pub fn end(program: &CStr, end: &End) -> i32 {
    let place = match *end {
        // A reader that has gone, and a user who pressed Ctrl-C, know.
        End::OutputClosed => return 128 + libc::SIGPIPE,
        End::Informed => return HALTED,
        End::Stopped(signal) => return 128 + signal,
        End::Halted(place) | End::Died(_, place) => place,
    };
    let text = &mut message(program);
    match *end {
        End::Died(death, _) => how(text, death),
        _ => text.say("KVM_EXIT_HLT: the guest halted", &[], &[]),
    }
    text.say("\n  RIP %x, CS base %x", &[], &[place.rip, place.cs_base]);
    // SDM volume 3, "First Instruction Executed": where that is after a reset.
    if (place.rip, place.cs_base) == (0xfff0, 0xffff_0000) {
        text.say(": reset, as some hosts do after a shutdown", &[], &[]);
    }
    send(text);
    match end {
        End::Died(..) => GUEST_DIED,
        _ => HALTED,
    }
}

/// What a guest can die of; [`how`] chooses the line.
const DEATHS: &str = "\
KVM_EXIT_SHUTDOWN: triple fault: no handler for an exception, nor for the double fault
KVM_EXIT_FAIL_ENTRY: the hardware refused the guest: %x%s
KVM_EXIT_INTERNAL_ERROR: suberror %d, KVM_INTERNAL_ERROR_%s
KVM_EXIT_UNKNOWN: the hardware's reason is unknown to KVM: %x
exit %d, KVM_EXIT_%s: not asked for, so not answered
exit %d, KVM_EXIT_%s: of an access that can't be";

fn how(text: &mut Text, death: Death) {
    let (line, word, numbers) = match death {
        Death::Shutdown => (0, "", [0, 0]),
        Death::FailEntry { reason } => {
            let meaning = match reason {
                0x8000_0021 => ", Intel's invalid guest state",
                // KVM hands on 32 bits of it, or all 64.
                0xffff_ffff | u64::MAX => ", AMD's invalid VMCB",
                _ => "",
            };
            (1, meaning, [reason, 0])
        }
        Death::Emulation { .. } => {
            let meaning = "EMULATION: KVM can't emulate an instruction: one on an address without \
                           RAM, or code gone astray";
            (2, meaning, [reason::KVM_INTERNAL_ERROR_EMULATION.into(), 0])
        }
        Death::Internal { suberror } => {
            let meaning = match suberror {
                reason::KVM_INTERNAL_ERROR_SIMUL_EX => "SIMUL_EX: two exceptions at once",
                reason::KVM_INTERNAL_ERROR_DELIVERY_EV => {
                    "DELIVERY_EV: an event's delivery left the guest"
                }
                reason::KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON => {
                    "UNEXPECTED_EXIT_REASON: an exit that KVM never asked for"
                }
                _ => NOT_IN_6_1,
            };
            (2, meaning, [suberror.into(), 0])
        }
        Death::Unknown { hardware_exit_reason } => (3, "", [hardware_exit_reason, 0]),
        Death::Unexpected { reason } => (4, name(reason), [reason.into(), 0]),
        Death::Malformed { reason } => (5, name(reason), [reason.into(), 0]),
    };
    text.say(words::line(DEATHS, line).unwrap_or_default(), &[word.as_bytes()], &numbers);
    if let Death::Emulation { bytes, size: size @ 1.. } = death {
        text.say("\n  Its bytes and what follows:", &[], &[]);
        text.dump(bytes.get(..size).unwrap_or_default());
    }
}

fn name(reason: u32) -> &'static str {
    reason::name(reason).unwrap_or(NOT_IN_6_1)
}

const NOT_IN_6_1: &str = "(not in Linux 6.1)";

/// Tells what is wrong with the command line, and gives the exit status.
#[inline(never)]
pub fn usage(program: &CStr, wrong: Wrong, blame: &Blame) -> i32 {
    let text = &mut message(program);
    let template = words::line(WRONG, wrong as usize).unwrap_or_default();
    text.say(template, &[blame.word, blame.value], &blame.numbers);
    text.say("\nTry: %s --help", &[program.to_bytes()], &[]);
    send(text);
    BAD_USAGE
}

/// In the order of [`Wrong`].
const WRONG: &str = "\
%s: no such option
%s: needs a value
%s: takes no value
%s: a second image
%s %s: EINVAL: not a number such as 4096, 0x1000, 16M, or for --pause 0.25
%s %s: EINVAL: must not be 0
%s %s: EOVERFLOW: more than 64 bits hold
--memory %z: EINVAL: not a multiple of 4 KiB
--base %x: EINVAL: not a multiple of 4 KiB
--memory %z, --base %x: E2BIG: RAM must end at %x or below, where KVM puts pages of its own
%s %x: EFAULT: outside RAM, which is %x to %x";

/// Tells what went wrong with the machine, and gives the exit status.
#[inline(never)]
pub fn error(program: &CStr, options: &Options, error: Error) -> i32 {
    let text = &mut message(program);
    failure(text, options, error);
    send(text);
    match (error.call, error.errno.0) {
        (Call::SIZE_BACKING, libc::EINVAL) => BAD_USAGE,
        _ => FAILED,
    }
}

/// The call, its object, the error number by name, and the remedy.
fn failure(text: &mut Text, options: &Options, Error { call, errno }: Error) {
    let object = match call {
        Call::MAP_RUN => b"kvm_run",
        Call::OPEN_IMAGE | Call::STAT_IMAGE | Call::READ_IMAGE => options.image.to_bytes(),
        Call::OPEN_BACKING
        | Call::STAT_BACKING
        | Call::STATFS_BACKING
        | Call::LOCK_BACKING
        | Call::SIZE_BACKING
        | Call::EMPTY_BACKING
        | Call::MAP_BACKING
        | Call::MAP_BACKING_2M
        | Call::MAP_BACKING_1G => match options.backing {
            Backing::File(path) => path.to_bytes(),
            Backing::Anonymous => b"anonymous memory",
        },
        Call::WRITE_OUTPUT => b"standard output",
        _ => DEVICE.to_bytes(),
    };
    let words = [call.name().as_bytes(), object, errno.name().as_bytes()];
    text.say("%s %s: %s (%d)", &words, &[errno.0 as u64]);
    text.say(remedy(call, errno), &[], &[]);
    match (call, errno.0) {
        (Call::READ_IMAGE, libc::EFBIG) => {
            text.say("\n  RAM has %z there", &[], &[options.base + options.memory - options.load]);
        }
        (Call::MAP_BACKING_2M, libc::ENOMEM) => pool(text, options, 2 << 20),
        (Call::MAP_BACKING_1G, libc::ENOMEM) => pool(text, options, 1 << 30),
        _ => {}
    }
}

fn pool(text: &mut Text, options: &Options, page_size: u64) {
    let pool = Pool::read(page_size);
    let needed = options.memory / page_size;
    let missing = (needed + pool.reserved).saturating_sub(pool.free);
    text.say(
        "\n  %d pages of %z are needed; the pool has %d, %d free, of which %d are reserved\n  ",
        &[],
        &[needed, page_size, pool.total, pool.free, pool.reserved],
    );
    text.say(
        match missing {
            0 => "That is enough: does the mount have a size=, or the shell a `ulimit -v`?",
            _ => "As root: echo %d > /sys/kernel/mm/hugepages/hugepages-%dkB/nr_hugepages",
        },
        &[],
        &[pool.total + missing, page_size >> 10],
    );
}

/// Defines a table of calls, of the error numbers that they give, and of what then helps. Beside the
/// texts, which stand in one string, an entry takes twelve bytes and no relocation. An empty text is
/// the next one's.
macro_rules! remedies {
    ($($call:expr, $($errno:ident)|+ => $text:literal)*) => {
        const REMEDIES: &[(Call, [u8; 4], u16)] = &[$((
            $call,
            {
                let given = [$(libc::$errno as u8),+];
                let mut errnos = [0; 4];
                let mut at = 0;
                while at < given.len() {
                    errnos[at] = given[at];
                    at += 1;
                }
                errnos
            },
            $text.len() as u16,
        )),*];
        const REMEDY_TEXTS: &str = concat!($($text),*);
    };
}

remedies! {
    Call::OPEN_KVM, ENOENT | ENODEV | ENXIO =>
        ": no KVM in this kernel, or no module\n  As root: modprobe kvm_amd || modprobe kvm_intel"
    Call::OPEN_KVM, EACCES | EPERM => ": be root, or join its group: usermod -aG kvm USER"
    Call::ioctl(ioctl::KVM_GET_API_VERSION), ENOTTY =>
        ": not KVM's device\n  As root: rm /dev/kvm && mknod /dev/kvm c 10 232"
    Call::ioctl(ioctl::KVM_GET_API_VERSION), ENOSYS => ": not 12; take Linux 2.6.22 or later"
    Call::ioctl(ioctl::KVM_CREATE_VM), EBUSY => ": another hypervisor has the processor"
    Call::ioctl(ioctl::KVM_GET_VCPU_MMAP_SIZE), ERANGE => ": too small for struct kvm_run"
    Call::OPEN_IMAGE, ENOENT => ": no such image; `make install` brings one"
    Call::OPEN_IMAGE, EACCES => ": you may not read it: chmod +r"
    Call::OPEN_IMAGE, EISDIR => ""
    Call::OPEN_BACKING, EISDIR => ": a directory; name a file in it"
    Call::READ_IMAGE, ENOEXEC => ": the file is empty; build it anew"
    Call::READ_IMAGE, EFBIG => ": too large for RAM; raise --memory, or lower --load"
    Call::OPEN_BACKING, ENOENT =>
        ": no such directory\n  As root: mkdir -p /mnt/HugePagefs && mount -t hugetlbfs none /mnt/HugePagefs"
    Call::OPEN_BACKING, EACCES | EPERM => ": be root, or use a --backing of yours"
    Call::OPEN_BACKING, ELOOP => ": a symbolic link; name the file itself"
    Call::STAT_BACKING, ENODEV => ": neither file nor character device"
    Call::STATFS_BACKING, EXDEV =>
        ": not on hugetlbfs, so its pages would be of 4 KiB\n  As root: mount -t hugetlbfs none /mnt/HugePagefs; or say --backing anon"
    Call::LOCK_BACKING, EAGAIN => ": another VM has it; end that VM, or name another --backing"
    Call::SIZE_BACKING, EINVAL => ": --memory is not a multiple of its page size: 2M, or 1G if mounted so"
    Call::MAP_BACKING, ENOMEM => ": more than the host gives; lower --memory"
    Call::MAP_BACKING, ENODEV | EINVAL | EACCES | EPERM => ": can't be mapped"
    Call::READ_IMAGE, EFAULT => ""
    Call::ioctl(ioctl::KVM_RUN), EFAULT =>
        ": the backing has no page for it: a limit of the hugetlb cgroup?"
}

/// What commonly helps; begins with its punctuation, or is empty.
fn remedy(call: Call, errno: Errno) -> &'static str {
    let mut start = 0;
    let mut found = false;
    for (of, errnos, len) in REMEDIES {
        let end = start + usize::from(*len);
        found |= *of == call && errnos.contains(&(errno.0 as u8));
        if found && end > start {
            return REMEDY_TEXTS.get(start..end).unwrap_or_default();
        }
        start = end;
    }
    ""
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn said(say: impl Fn(&mut Text)) -> String {
        let mut text = Text::new(-1);
        say(&mut text);
        let said = text.shown().to_string();
        assert!(!said.contains('%'), "{said}");
        said
    }

    #[test]
    fn each_death_has_its_own_words() {
        for (death, words) in [
            (Death::Shutdown, "KVM_EXIT_SHUTDOWN: triple fault"),
            (
                Death::FailEntry { reason: 0x8000_0021 },
                "KVM_EXIT_FAIL_ENTRY: the hardware refused the guest: 0x80000021, Intel's invalid",
            ),
            (Death::FailEntry { reason: 0xffff_ffff }, "0xffffffff, AMD's invalid VMCB"),
            (Death::FailEntry { reason: u64::MAX }, "0xffffffffffffffff, AMD's invalid VMCB"),
            (Death::FailEntry { reason: 7 }, "refused the guest: 0x7"),
            (
                Death::Emulation { bytes: [0x0f; 15], size: 2 },
                "KVM_EXIT_INTERNAL_ERROR: suberror 1, KVM_INTERNAL_ERROR_EMULATION: KVM can't",
            ),
            (Death::Emulation { bytes: [0x0f; 15], size: 2 }, "Its bytes and what follows: 0f 0f"),
            (Death::Internal { suberror: 2 }, "suberror 2, KVM_INTERNAL_ERROR_SIMUL_EX: two"),
            (Death::Internal { suberror: 3 }, "suberror 3, KVM_INTERNAL_ERROR_DELIVERY_EV: an"),
            (Death::Internal { suberror: 4 }, "4, KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON: an"),
            (Death::Internal { suberror: 9 }, "9, KVM_INTERNAL_ERROR_(not in Linux 6.1)"),
            (
                Death::Unknown { hardware_exit_reason: 77 },
                "KVM_EXIT_UNKNOWN: the hardware's reason is unknown to KVM: 0x4d",
            ),
            (Death::Unexpected { reason: 29 }, "exit 29, KVM_EXIT_X86_RDMSR: not asked for"),
            (Death::Unexpected { reason: 99 }, "exit 99, KVM_EXIT_(not in Linux 6.1): not asked"),
            (Death::Malformed { reason: 2 }, "exit 2, KVM_EXIT_IO: of an access that can't be"),
        ] {
            let said = said(|text| how(text, death));
            assert!(said.contains(words), "{death:?}: {said}");
        }
        let unknown = Death::Emulation { bytes: [0; 15], size: 0 };
        assert!(!said(|text| how(text, unknown)).contains("bytes"));
    }

    #[test]
    fn each_error_names_call_object_and_number() {
        let options = Options {
            memory: 16 << 20,
            backing: Backing::File(c"/ram"),
            base: 0,
            load: 0x1000,
            entry: 0x1000,
            pause: Duration::ZERO,
            image: c"/image",
        };
        for (error, words) in [
            (Call::OPEN_KVM.error(libc::ENOENT), "open /dev/kvm: ENOENT (2): no KVM"),
            (Call::OPEN_KVM.error(libc::ENODEV), "open /dev/kvm: ENODEV (19): no KVM"),
            (Call::MAP_RUN.error(libc::ENOMEM), "mmap kvm_run: ENOMEM (12)"),
            (Call::STAT_IMAGE.error(libc::EIO), "fstat /image: EIO (5)"),
            // A remedy that it shares with the next in the table.
            (
                Call::OPEN_IMAGE.error(libc::EISDIR),
                "open /image: EISDIR (21): a directory; name a file in it",
            ),
            (
                Call::READ_IMAGE.error(libc::EFAULT),
                "read /image: EFAULT (14): the backing has no page for it",
            ),
            (Call::EMPTY_BACKING.error(95), "fallocate /ram: error (95)"),
            (Call::MAP_BACKING.error(libc::ENODEV), "mmap /ram: ENODEV (19): can't be mapped"),
            (
                Call::MAP_BACKING_1G.error(libc::ENOMEM),
                "mmap /ram: ENOMEM (12)\n  0 pages of 1 GiB are",
            ),
            (Call::WRITE_OUTPUT.error(libc::ENOSPC), "write standard output: ENOSPC (28)"),
            (
                Call::ioctl(ioctl::KVM_CREATE_VM).error(libc::EBUSY),
                "KVM_CREATE_VM /dev/kvm: EBUSY (16): another",
            ),
            (
                Call::ioctl(ioctl::KVM_RUN).error(libc::EFAULT),
                "KVM_RUN /dev/kvm: EFAULT (14): the backing",
            ),
        ] {
            let said = said(|text| failure(text, &options, error));
            assert!(said.contains(words), "{error:?}: {said}");
        }
    }

    #[test]
    fn each_kind_of_bad_word_has_a_line() {
        assert_eq!(WRONG.lines().count(), Wrong::OutsideRam as usize + 1);
        assert!(words::line(WRONG, Wrong::OutsideRam as usize).unwrap().contains("outside RAM"));
        assert!(words::line(WRONG, Wrong::TooLarge as usize).unwrap().contains("EOVERFLOW"));
        assert!(words::line(WRONG, Wrong::UnknownOption as usize).unwrap().contains("no such"));
    }
}
