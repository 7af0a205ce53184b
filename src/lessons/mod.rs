//! Lessons: one request or exit of KVM each, shown by a small guest and the host's half of the work, both in one file. `--lesson NAME` runs
//! one, `--lesson list` lists them. `docs/api.md` says which lesson shows what.
//!
//! A lesson does without the machine: it makes its own VM in [`lab`], with the methods of [`crate::kvm`].

mod lab;

macro_rules! lessons {
    ($($name:ident: $text:literal),+ $(,)?) => {
        $(mod $name;)+

        /// All lessons, in the order of a course.
        pub const LESSONS: &[Lesson] = &[
            $(Lesson { module: stringify!($name), shows: $text, run: $name::run }),+
        ];
    };
}

lessons! {
    capabilities: "all capabilities of Linux 6.12 on x86, as this kernel answers for them",
    interrupt: "KVM_INTERRUPT and the interrupt window, without a controller in the kernel",
    nmi: "KVM_NMI: one in progress, one that waits, and one that is lost",
    smi: "KVM_SMI: system management mode, and its own address space",
    signal_mask: "KVM_SET_SIGNAL_MASK: a signal that ends KVM_RUN and has no handler",
    sync_regs: "KVM_CAP_SYNC_REGS: registers in kvm_run, in both directions",
    guest_debug: "KVM_SET_GUEST_DEBUG and KVM_EXIT_DEBUG; KVM_GET_DEBUGREGS",
    exception_payload: "KVM_CAP_EXCEPTION_PAYLOAD: DR6 is set when the exception is taken",
    triple_fault: "KVM_CAP_X86_TRIPLE_FAULT_EVENT: a triple fault that user space sets",
    sipi: "KVM_SET_MP_STATE: an application processor is started by hand",
    boot_cpu: "KVM_SET_BOOT_CPU_ID: which vCPU boots",
    vcpu_ids: "KVM_CAP_MAX_VCPU_ID, set for one VM",
    controller_state: "KVM_GET_IRQCHIP, KVM_GET_LAPIC, KVM_GET_PIT2, and their reverse",
    routing: "KVM_SET_GSI_ROUTING: an interrupt line that sends an MSI",
    x2apic_ids: "KVM_CAP_X2APIC_API: APIC ids of 32 bits",
    apic_bus: "KVM_CAP_X86_APIC_BUS_CYCLES_NS: how fast the local APIC's timer counts",
    quirks: "KVM_CAP_DISABLE_QUIRKS2: old bugs that guests rely on, switched off",
    task_priority: "KVM_TPR_ACCESS_REPORTING and KVM_SET_VAPIC_ADDR",
    cr8: "KVM_EXIT_SET_TPR: the task priority in kvm_run",
    line_status: "KVM_IRQ_LINE_STATUS: what became of an interrupt",
    old_pit: "KVM_CREATE_PIT, KVM_GET_PIT, KVM_REINJECT_CONTROL",
    disable_exits: "KVM_CAP_X86_DISABLE_EXITS: HLT without an exit",
    uncoalesce: "KVM_UNREGISTER_COALESCED_MMIO: writes cause exits again",
    event_length: "KVM_IOEVENTFD with length 0: writes of any length",
    msr_lists: "KVM_GET_MSR_INDEX_LIST, KVM_GET_MSR_FEATURE_INDEX_LIST",
    msr_filter: "KVM_X86_SET_MSR_FILTER, from both sides",
    platform_info: "KVM_CAP_MSR_PLATFORM_INFO: an MSR that a guest may not read",
    pv_features: "KVM_CAP_ENFORCE_PV_FEATURE_CPUID: features without a CPUID bit",
    cpuid_tables: "KVM_GET_EMULATED_CPUID, KVM_SET_CPUID, KVM_GET_CPUID2",
    fpu: "KVM_GET_FPU, KVM_SET_FPU",
    extended_state: "KVM_GET_XSAVE, KVM_GET_XSAVE2, KVM_GET_XCRS, and their reverse",
    sregs2: "KVM_GET_SREGS2: the four entries of PAE paging",
    translate: "KVM_TRANSLATE: an address through the guest's page tables",
    tsc: "KVM_SET_TSC_KHZ, and the offset of the time-stamp counter",
    kvmclock: "KVM_KVMCLOCK_CTRL: a guest learns that it was stopped",
    machine_check: "KVM_X86_SETUP_MCE, KVM_X86_SET_MCE: corrected, uncorrected, fatal",
    clear_log: "KVM_CLEAR_DIRTY_LOG: the dirty log in two steps",
    dirty_ring: "KVM_RESET_DIRTY_RINGS, beside the bitmap, with the cost of each",
    mmu_pages: "KVM_SET_NR_MMU_PAGES: how much KVM takes for shadow page tables",
    memory_region2: "KVM_SET_USER_MEMORY_REGION2",
    pre_fault: "KVM_PRE_FAULT_MEMORY: pages before the guest wants them",
    async_pf: "KVM_CAP_ASYNC_PF: the guest goes on while the host fetches a page",
    guest_memfd: "KVM_CREATE_GUEST_MEMFD, memory attributes, KVM_EXIT_MEMORY_FAULT",
    emulation_failure: "KVM_CAP_EXIT_ON_EMULATION_FAILURE: what KVM cannot emulate",
    bus_lock: "KVM_CAP_X86_BUS_LOCK_EXIT: a guest that locks the bus",
    notify: "KVM_CAP_X86_NOTIFY_VMEXIT: a guest that takes no events",
    pmu: "KVM_SET_PMU_EVENT_FILTER: what a guest may count",
    masked_events: "KVM_CAP_PMU_EVENT_MASKED_EVENTS: a set of unit masks in an entry",
    device: "KVM_CREATE_DEVICE, and attributes",
    hyperv_cpuid: "KVM_GET_SUPPORTED_HV_CPUID: KVM as a Hyper-V",
    hyperv_enforce: "KVM_CAP_HYPERV_ENFORCE_CPUID: what CPUID does not offer",
    hyperv_crash: "KVM_EXIT_SYSTEM_EVENT: a crash, and a reset",
    hyperv_events: "KVM_EXIT_HYPERV and KVM_HYPERV_EVENTFD",
    xen_hypercall: "KVM_XEN_HVM_CONFIG and KVM_EXIT_XEN",
    xen_events: "KVM_XEN_HVM_EVTCHN_SEND: an event channel",
    nested: "KVM_GET_NESTED_STATE: a guest that runs a guest of its own",
}

use crate::boot;
use crate::config::Instruments;
use crate::host::errno::Errno;
use crate::host::syscall::CallError;
use crate::inspect::trace::reason_name;
use crate::kvm;
use crate::kvm::backend::{self, Backend};
use crate::memory;
use crate::memory::guest_memory::AccessError;
use crate::output::{Output, Unwritten};
use crate::sys::cap;
use core::fmt;
use lab::{Lab, REPORT};

/// A lesson.
#[derive(Clone, Copy)]
pub struct Lesson {
    /// Its name, with `_` where the user writes `-`.
    module: &'static str,
    /// What it shows, in a line.
    pub shows: &'static str,
    run: fn(&Lab) -> Result<(), Error>,
}

impl PartialEq for Lesson {
    fn eq(&self, other: &Lesson) -> bool {
        self.module == other.module
    }
}

impl fmt::Debug for Lesson {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str(self.module)
    }
}

/// Its name, as the user writes it.
impl fmt::Display for Lesson {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let mut parts = self.module.split('_');
        f.write_str(parts.next().unwrap_or_default())?;
        parts.try_for_each(|part| write!(f, "-{part}"))
    }
}

impl Lesson {
    /// The lesson of this name.
    pub fn find(name: &[u8]) -> Option<Lesson> {
        let is_it = |lesson: &Lesson| {
            let module = lesson.module.bytes().map(|byte| if byte == b'_' { b'-' } else { byte });
            module.eq(name.iter().copied())
        };
        LESSONS.iter().find(|lesson| is_it(lesson)).copied()
    }

    /// Gives the lesson.
    pub fn run(&self, output: &Output, instruments: &Instruments) -> Result<(), Error> {
        let lab = Lab::new(output, instruments)?;
        if Backend::of_this_host() == Backend::Software {
            output.message(format_args!("{}", backend::SOFTWARE), None);
        }
        (self.run)(&lab)?;
        lab.failure().map_or(Ok(()), |errno| Err(Error::Output(errno)))
    }
}

/// The text of `--lesson list`.
pub struct List;

impl fmt::Display for List {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let longest = LESSONS.iter().map(|lesson| lesson.module.len()).max().unwrap_or_default();
        LESSONS.iter().try_for_each(|lesson| {
            let gap = longest + 3 - lesson.module.len();
            writeln!(f, "{lesson}{:gap$}{}", "", lesson.shows)
        })
    }
}

/// Why a lesson could not be given.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Error {
    Kvm(kvm::Error),
    Memory(memory::Error),
    Boot(boot::Error),
    Access(AccessError),
    /// The host can't have what the lesson needs.
    Host(CallError),
    /// Standard output can't be written.
    Output(Errno),
    /// This host's KVM does not have the capability.
    Missing(u32),
    /// This host's processor, or its KVM, does not have something else.
    Lacks(&'static str),
    /// KVM does not count this.
    NoStatistic(&'static str),
    /// KVM has the capability, without this bit.
    MissingBit {
        capability: u32,
        name: &'static str,
    },
    /// The guest did something else than write to the port by which it reports.
    OtherPort {
        write: bool,
        port: u16,
    },
    /// The guest left for another reason than the lesson is about.
    OtherExit {
        expected: u32,
        reason: u32,
    },
}

macro_rules! from {
    ($($variant:ident: $error:ty),+) => {
        $(impl From<$error> for Error {
            fn from(error: $error) -> Error {
                Error::$variant(error)
            }
        })+
    };
}
from!(Kvm: kvm::Error, Memory: memory::Error, Boot: boot::Error, Access: AccessError, Host: CallError);

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        match *self {
            Error::Kvm(error) => error.fmt(f),
            Error::Memory(error) => error.fmt(f),
            Error::Boot(error) => error.fmt(f),
            Error::Access(error) => error.fmt(f),
            Error::Host(CallError { call, errno }) => write!(f, "{call}: {errno}"),
            Error::Output(errno) => Unwritten(errno).fmt(f),
            Error::Missing(capability) => write!(
                f,
                "this lesson cannot be shown here: KVM has no {}\n  docs/api.md says since which kernel, and for which processors",
                cap::name(capability).unwrap_or("such capability")
            ),
            Error::Lacks(what) => {
                write!(f, "this lesson cannot be shown here: {what}")
            }
            Error::NoStatistic(name) => {
                write!(f, "this lesson cannot be shown here: KVM's statistics have no {name}")
            }
            Error::MissingBit { capability, name } => write!(
                f,
                "this lesson cannot be shown here: {} has no {name}\n  docs/api.md says since which kernel, and for which processors",
                cap::name(capability).unwrap_or("such capability")
            ),
            Error::OtherPort { write, port } => {
                let what = if write { "wrote to" } else { "read" };
                write!(f, "the guest {what} port {port:#x}; it reports by writing to {REPORT:#x}")
            }
            Error::OtherExit { expected, reason } => write!(
                f,
                "the guest left with {} and not with {}",
                reason_name(reason),
                reason_name(expected)
            ),
        }
    }
}
