//! The numbers, sizes and offsets in `sys` are those of Linux 6.12's `<linux/kvm.h>` and `<asm/bootparam.h>`: a C program
//! made from these headers says what they are. What `sys` defines and is not compared here is a failure too.

#![allow(non_camel_case_types)]

use kob_2m::sys::bootparam::*;
use kob_2m::sys::cap::*;
use kob_2m::sys::clock::*;
use kob_2m::sys::cpuid::*;
use kob_2m::sys::debug::*;
use kob_2m::sys::device::*;
use kob_2m::sys::events::*;
use kob_2m::sys::exit::REASONS;
use kob_2m::sys::filter::*;
use kob_2m::sys::fw_cfg::*;
use kob_2m::sys::hyperv::*;
use kob_2m::sys::ioctl::{KVMIO, REQUESTS};
use kob_2m::sys::irqchip::*;
use kob_2m::sys::mce::*;
use kob_2m::sys::memory::*;
use kob_2m::sys::regs::*;
use kob_2m::sys::run::*;
use kob_2m::sys::stats::*;
use kob_2m::sys::userfaultfd::*;
use kob_2m::sys::xen::*;
use kob_2m::sys::{KVM_API_VERSION, exit};
use std::collections::BTreeSet;
use std::fs::{self, OpenOptions};
use std::mem::offset_of;
use std::process::Command;
use std::sync::OnceLock;

/// A C expression, and what it is on our side.
struct Fact {
    c: String,
    ours: u64,
}

#[derive(Default)]
struct Facts {
    list: Vec<Fact>,
    /// The constants, structures and fields that the facts are about, as `sys` names them.
    names: BTreeSet<String>,
}

impl Facts {
    fn constant(&mut self, name: &str, ours: u64) {
        self.list.push(Fact { c: name.into(), ours });
        self.names.insert(name.into());
    }

    fn size(&mut self, ours_name: &str, c: &str, ours: usize) {
        self.list.push(Fact { c: format!("sizeof({c})"), ours: ours as u64 });
        self.names.insert(ours_name.into());
    }

    /// `c_path` is the field as `offsetof(struct c_struct, ...)` takes it.
    fn field(&mut self, name: String, c_struct: &str, c_path: &str, offset: usize, size: usize) {
        let c = format!("offsetof(struct {c_struct}, {c_path})");
        self.list.push(Fact { c, ours: offset as u64 });
        let c = format!("sizeof(((struct {c_struct} *)0)->{c_path})");
        self.list.push(Fact { c, ours: size as u64 });
        self.names.insert(name);
    }

    fn offset(&mut self, name: &str, c_struct: &str, c_path: &str, offset: usize) {
        let c = format!("offsetof(struct {c_struct}, {c_path})");
        self.list.push(Fact { c, ours: offset as u64 });
        self.names.insert(name.into());
    }
}

/// The size of a field, of which there is no value.
fn field_size<T, F>(_: impl Fn(&T) -> &F) -> usize {
    size_of::<F>()
}

/// A structure that C has by the same name, with fields of the same names.
macro_rules! same {
    ($facts:expr, $name:ident { $($field:ident $(as $c:literal)?),* $(,)? }) => {
        $facts.size(stringify!($name), concat!("struct ", stringify!($name)), size_of::<$name>());
        $({
            #[allow(unused_mut, unused_assignments)]
            let mut c = stringify!($field).trim_start_matches("r#");
            $(c = $c;)?
            let name = format!("{}.{}", stringify!($name), stringify!($field));
            let size = field_size(|value: &$name| &value.$field);
            $facts.field(name, stringify!($name), c, offset_of!($name, $field), size);
        })*
    };
}

/// An arm of `kvm_run`'s union, which in C has no type of its own: its fields' places in `kvm_run`.
macro_rules! arm {
    ($facts:expr, $arm:ident: $name:ident { $($field:ident),* $(,)? }) => {
        $facts.size(stringify!($name), concat!("((struct kvm_run *)0)->", stringify!($arm)), size_of::<$name>());
        $facts.names.insert(format!("kvm_run_exit.{}", stringify!($arm)));
        $(
            let name = format!("{}.{}", stringify!($name), stringify!($field));
            let field = stringify!($field).trim_start_matches("r#");
            let c = &format!("{}.{field}", stringify!($arm));
            let ours = offset_of!(kvm_run, exit) + offset_of!($name, $field);
            let size = field_size(|value: &$name| &value.$field);
            $facts.field(name, "kvm_run", c, ours, size);
        )*
    };
}

/// A part of `kvm_vcpu_events`, which in C has no type of its own.
macro_rules! part {
    ($facts:expr, $part:ident: $name:ident { $($field:ident),* $(,)? }) => {
        $facts.size(
            stringify!($name),
            concat!("((struct kvm_vcpu_events *)0)->", stringify!($part)),
            size_of::<$name>(),
        );
        $(
            let name = format!("{}.{}", stringify!($name), stringify!($field));
            let c = concat!(stringify!($part), ".", stringify!($field));
            let ours = offset_of!(kvm_vcpu_events, $part) + offset_of!($name, $field);
            let size = field_size(|value: &$name| &value.$field);
            $facts.field(name, "kvm_vcpu_events", c, ours, size);
        )*
    };
}

/// An arm of a union in a structure, which in C has no type of its own.
macro_rules! inner {
    ($facts:expr, $outer:ident.$union:ident.$arm:ident: $name:ident { $($field:ident),* $(,)? }) => {
        let path = concat!(stringify!($union), ".", stringify!($arm));
        $facts.size(
            stringify!($name),
            &format!("((struct {} *)0)->{path}", stringify!($outer)),
            size_of::<$name>(),
        );
        $(
            let name = format!("{}.{}", stringify!($name), stringify!($field));
            let c = format!("{path}.{}", stringify!($field));
            let ours = offset_of!($outer, $union) + offset_of!($name, $field);
            let size = field_size(|value: &$name| &value.$field);
            $facts.field(name, stringify!($outer), &c, ours, size);
        )*
    };
}

/// A union in a structure that has no name in C: its size. The arms lie at its start.
macro_rules! union {
    ($facts:expr, $outer:ident.u: $name:ident { $($arm:ident),* }) => {
        let c = format!("((struct {} *)0)->u", stringify!($outer));
        $facts.size(stringify!($name), &c, size_of::<$name>());
        $($facts.names.insert(format!("{}.{}", stringify!($name), stringify!($arm)));)*
    };
}

/// Requests that were in Linux 6.1's header and are in 6.12's no more.
const GONE: [&str; 9] = [
    "KVM_SET_MEMORY_REGION",
    "KVM_SET_MEMORY_ALIAS",
    "KVM_ASSIGN_PCI_DEVICE",
    "KVM_ASSIGN_DEV_IRQ",
    "KVM_DEASSIGN_PCI_DEVICE",
    "KVM_ASSIGN_SET_MSIX_NR",
    "KVM_ASSIGN_SET_MSIX_ENTRY",
    "KVM_DEASSIGN_DEV_IRQ",
    "KVM_ASSIGN_SET_INTX_MASK",
];

/// A packed structure that C has by the same name: its size, and where its fields lie.
macro_rules! packed {
    ($facts:expr, $name:ident { $($field:ident),* $(,)? }) => {
        $facts.size(stringify!($name), concat!("struct ", stringify!($name)), size_of::<$name>());
        $({
            let c = stringify!($field).trim_start_matches("r#");
            let name = format!("{}.{}", stringify!($name), stringify!($field));
            $facts.offset(&name, stringify!($name), c, offset_of!($name, $field));
        })*
    };
}

/// Where the array without a length begins that ends a structure.
macro_rules! array {
    ($facts:ident, $name:ident.$field:ident) => {
        $facts.offset(
            concat!(stringify!($name), ".", stringify!($field)),
            stringify!($name),
            stringify!($field),
            offset_of!($name, $field),
        )
    };
}

fn facts() -> Facts {
    let mut facts = Facts::default();
    for &(name, number) in REQUESTS.iter().chain(REASONS).chain(CAPABILITIES) {
        if GONE.contains(&name) {
            facts.names.insert(name.into());
        } else {
            facts.constant(name, number.into());
        }
    }
    facts.constant("KVMIO", KVMIO.into());
    facts.constant("KVM_API_VERSION", KVM_API_VERSION as u64);
    facts.constant("KVM_EXIT_IO_IN", KVM_EXIT_IO_IN.into());
    facts.constant("KVM_EXIT_IO_OUT", KVM_EXIT_IO_OUT.into());
    facts.constant("KVM_MAX_XCRS", KVM_MAX_XCRS as u64);
    facts.constant("KVM_VCPU_TSC_OFFSET", KVM_VCPU_TSC_OFFSET);
    facts.constant("KVM_NR_INTERRUPTS", KVM_NR_INTERRUPTS as u64);
    facts.constant("SYNC_REGS_SIZE_BYTES", SYNC_REGS_SIZE_BYTES as u64);
    facts.constant("FW_CFG_MAX_FILE_PATH", FW_CFG_MAX_FILE_PATH as u64);
    facts.constant("FW_CFG_DMA_SIGNATURE", FW_CFG_DMA_SIGNATURE);
    facts.constant("KVM_DIRTY_LOG_PAGE_OFFSET", KVM_DIRTY_LOG_PAGE_OFFSET as u64);
    facts.constant("KVM_MSR_FILTER_MAX_RANGES", KVM_MSR_FILTER_MAX_RANGES as u64);
    macro_rules! constants {
        ($($name:expr => $text:literal),+ $(,)?) => { $(facts.constant($text, u64::from($name));)+ };
    }
    constants! {
        exit::KVM_INTERNAL_ERROR_EMULATION => "KVM_INTERNAL_ERROR_EMULATION",
        exit::KVM_INTERNAL_ERROR_SIMUL_EX => "KVM_INTERNAL_ERROR_SIMUL_EX",
        exit::KVM_INTERNAL_ERROR_DELIVERY_EV => "KVM_INTERNAL_ERROR_DELIVERY_EV",
        exit::KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON => "KVM_INTERNAL_ERROR_UNEXPECTED_EXIT_REASON",
        KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES =>
            "KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES",
        KVM_MSR_EXIT_REASON_INVAL => "KVM_MSR_EXIT_REASON_INVAL",
        KVM_MSR_EXIT_REASON_UNKNOWN => "KVM_MSR_EXIT_REASON_UNKNOWN",
        KVM_MSR_EXIT_REASON_FILTER => "KVM_MSR_EXIT_REASON_FILTER",
        KVM_HC_MAP_GPA_RANGE => "KVM_HC_MAP_GPA_RANGE",
        KVM_GUESTDBG_ENABLE => "KVM_GUESTDBG_ENABLE",
        KVM_GUESTDBG_SINGLESTEP => "KVM_GUESTDBG_SINGLESTEP",
        KVM_GUESTDBG_USE_SW_BP => "KVM_GUESTDBG_USE_SW_BP",
        KVM_GUESTDBG_USE_HW_BP => "KVM_GUESTDBG_USE_HW_BP",
        KVM_GUESTDBG_INJECT_DB => "KVM_GUESTDBG_INJECT_DB",
        KVM_GUESTDBG_INJECT_BP => "KVM_GUESTDBG_INJECT_BP",
        KVM_GUESTDBG_BLOCKIRQ => "KVM_GUESTDBG_BLOCKIRQ",
        KVM_CLOCK_TSC_STABLE => "KVM_CLOCK_TSC_STABLE",
        KVM_CLOCK_REALTIME => "KVM_CLOCK_REALTIME",
        KVM_CLOCK_HOST_TSC => "KVM_CLOCK_HOST_TSC",
        KVM_VCPU_TSC_CTRL => "KVM_VCPU_TSC_CTRL",
        KVM_MEM_LOG_DIRTY_PAGES => "KVM_MEM_LOG_DIRTY_PAGES",
        KVM_MEM_READONLY => "KVM_MEM_READONLY",
        KVM_STATS_TYPE_MASK => "KVM_STATS_TYPE_MASK",
        KVM_STATS_TYPE_INSTANT => "KVM_STATS_TYPE_INSTANT",
        KVM_STATS_TYPE_PEAK => "KVM_STATS_TYPE_PEAK",
        KVM_STATS_TYPE_LINEAR_HIST => "KVM_STATS_TYPE_LINEAR_HIST",
        KVM_STATS_TYPE_LOG_HIST => "KVM_STATS_TYPE_LOG_HIST",
        KVM_STATS_UNIT_SHIFT => "KVM_STATS_UNIT_SHIFT",
        KVM_STATS_BASE_MASK => "KVM_STATS_BASE_MASK",
        KVM_STATS_BASE_POW2 => "KVM_STATS_BASE_POW2",
        KVM_CPUID_FLAG_SIGNIFCANT_INDEX => "KVM_CPUID_FLAG_SIGNIFCANT_INDEX",
        KVM_PIT_SPEAKER_DUMMY => "KVM_PIT_SPEAKER_DUMMY",
        KVM_PIT_FLAGS_HPET_LEGACY => "KVM_PIT_FLAGS_HPET_LEGACY",
        KVM_IRQCHIP_PIC_MASTER => "KVM_IRQCHIP_PIC_MASTER",
        KVM_IRQCHIP_PIC_SLAVE => "KVM_IRQCHIP_PIC_SLAVE",
        KVM_IRQCHIP_IOAPIC => "KVM_IRQCHIP_IOAPIC",
        KVM_IRQ_ROUTING_IRQCHIP => "KVM_IRQ_ROUTING_IRQCHIP",
        KVM_IRQ_ROUTING_MSI => "KVM_IRQ_ROUTING_MSI",
        KVM_MP_STATE_RUNNABLE => "KVM_MP_STATE_RUNNABLE",
        KVM_MP_STATE_UNINITIALIZED => "KVM_MP_STATE_UNINITIALIZED",
        KVM_MP_STATE_INIT_RECEIVED => "KVM_MP_STATE_INIT_RECEIVED",
        KVM_MP_STATE_HALTED => "KVM_MP_STATE_HALTED",
        KVM_IRQFD_FLAG_DEASSIGN => "KVM_IRQFD_FLAG_DEASSIGN",
        KVM_VCPUEVENT_VALID_NMI_PENDING => "KVM_VCPUEVENT_VALID_NMI_PENDING",
        KVM_VCPUEVENT_VALID_SIPI_VECTOR => "KVM_VCPUEVENT_VALID_SIPI_VECTOR",
        KVM_VCPUEVENT_VALID_SHADOW => "KVM_VCPUEVENT_VALID_SHADOW",
        KVM_VCPUEVENT_VALID_SMM => "KVM_VCPUEVENT_VALID_SMM",
        KVM_VCPUEVENT_VALID_PAYLOAD => "KVM_VCPUEVENT_VALID_PAYLOAD",
        KVM_VCPUEVENT_VALID_TRIPLE_FAULT => "KVM_VCPUEVENT_VALID_TRIPLE_FAULT",
        KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE => "KVM_DIRTY_LOG_MANUAL_PROTECT_ENABLE",
        KVM_DIRTY_LOG_INITIALLY_SET => "KVM_DIRTY_LOG_INITIALLY_SET",
        KVM_DIRTY_GFN_F_DIRTY => "KVM_DIRTY_GFN_F_DIRTY",
        KVM_DIRTY_GFN_F_RESET => "KVM_DIRTY_GFN_F_RESET",
        KVM_MEM_GUEST_MEMFD => "KVM_MEM_GUEST_MEMFD",
        KVM_MEMORY_ATTRIBUTE_PRIVATE => "KVM_MEMORY_ATTRIBUTE_PRIVATE",
        KVM_X86_SW_PROTECTED_VM => "KVM_X86_SW_PROTECTED_VM",
        KVM_SYSTEM_EVENT_SHUTDOWN => "KVM_SYSTEM_EVENT_SHUTDOWN",
        KVM_SYSTEM_EVENT_RESET => "KVM_SYSTEM_EVENT_RESET",
        KVM_SYSTEM_EVENT_CRASH => "KVM_SYSTEM_EVENT_CRASH",
        KVM_NOTIFY_CONTEXT_INVALID => "KVM_NOTIFY_CONTEXT_INVALID",
        KVM_MEMORY_EXIT_FLAG_PRIVATE => "KVM_MEMORY_EXIT_FLAG_PRIVATE",
        KVM_RUN_X86_SMM => "KVM_RUN_X86_SMM",
        KVM_RUN_X86_BUS_LOCK => "KVM_RUN_X86_BUS_LOCK",
        KVM_RUN_X86_GUEST_MODE => "KVM_RUN_X86_GUEST_MODE",
        KVM_SYNC_X86_EVENTS => "KVM_SYNC_X86_EVENTS",
        KVM_MSR_FILTER_READ => "KVM_MSR_FILTER_READ",
        KVM_MSR_FILTER_WRITE => "KVM_MSR_FILTER_WRITE",
        KVM_MSR_FILTER_DEFAULT_DENY => "KVM_MSR_FILTER_DEFAULT_DENY",
        KVM_PMU_EVENT_ALLOW => "KVM_PMU_EVENT_ALLOW",
        KVM_PMU_EVENT_DENY => "KVM_PMU_EVENT_DENY",
        KVM_PMU_EVENT_FLAG_MASKED_EVENTS => "KVM_PMU_EVENT_FLAG_MASKED_EVENTS",
        KVM_PMU_CAP_DISABLE => "KVM_PMU_CAP_DISABLE",
        KVM_CREATE_DEVICE_TEST => "KVM_CREATE_DEVICE_TEST",
        KVM_DEV_TYPE_VFIO => "KVM_DEV_TYPE_VFIO",
        KVM_DEV_VFIO_FILE => "KVM_DEV_VFIO_FILE",
        KVM_DEV_VFIO_FILE_ADD => "KVM_DEV_VFIO_FILE_ADD",
        KVM_X86_XCOMP_GUEST_SUPP => "KVM_X86_XCOMP_GUEST_SUPP",
        KVM_HYPERV_EVENTFD_DEASSIGN => "KVM_HYPERV_EVENTFD_DEASSIGN",
        KVM_EXIT_HYPERV_SYNIC => "KVM_EXIT_HYPERV_SYNIC",
        KVM_EXIT_HYPERV_HCALL => "KVM_EXIT_HYPERV_HCALL",
        KVM_XEN_HVM_CONFIG_HYPERCALL_MSR => "KVM_XEN_HVM_CONFIG_HYPERCALL_MSR",
        KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL => "KVM_XEN_HVM_CONFIG_INTERCEPT_HCALL",
        KVM_XEN_HVM_CONFIG_SHARED_INFO => "KVM_XEN_HVM_CONFIG_SHARED_INFO",
        KVM_XEN_HVM_CONFIG_EVTCHN_2LEVEL => "KVM_XEN_HVM_CONFIG_EVTCHN_2LEVEL",
        KVM_XEN_HVM_CONFIG_EVTCHN_SEND => "KVM_XEN_HVM_CONFIG_EVTCHN_SEND",
        KVM_XEN_ATTR_TYPE_LONG_MODE => "KVM_XEN_ATTR_TYPE_LONG_MODE",
        KVM_XEN_ATTR_TYPE_SHARED_INFO => "KVM_XEN_ATTR_TYPE_SHARED_INFO",
        KVM_XEN_ATTR_TYPE_UPCALL_VECTOR => "KVM_XEN_ATTR_TYPE_UPCALL_VECTOR",
        KVM_XEN_ATTR_TYPE_XEN_VERSION => "KVM_XEN_ATTR_TYPE_XEN_VERSION",
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO => "KVM_XEN_VCPU_ATTR_TYPE_VCPU_INFO",
        KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID => "KVM_XEN_VCPU_ATTR_TYPE_VCPU_ID",
        KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR => "KVM_XEN_VCPU_ATTR_TYPE_UPCALL_VECTOR",
        KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL => "KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL",
        KVM_EXIT_XEN_HCALL => "KVM_EXIT_XEN_HCALL",
        KVM_MP_STATE_SIPI_RECEIVED => "KVM_MP_STATE_SIPI_RECEIVED",
        KVM_X86_DISABLE_EXITS_HLT => "KVM_X86_DISABLE_EXITS_HLT",
        KVM_BUS_LOCK_DETECTION_EXIT => "KVM_BUS_LOCK_DETECTION_EXIT",
        KVM_X86_NOTIFY_VMEXIT_ENABLED => "KVM_X86_NOTIFY_VMEXIT_ENABLED",
        KVM_X86_NOTIFY_VMEXIT_USER => "KVM_X86_NOTIFY_VMEXIT_USER",
        KVM_STATE_NESTED_GUEST_MODE => "KVM_STATE_NESTED_GUEST_MODE",
        KVM_X86_QUIRK_LINT0_REENABLED => "KVM_X86_QUIRK_LINT0_REENABLED",
        KVM_X2APIC_API_USE_32BIT_IDS => "KVM_X2APIC_API_USE_32BIT_IDS",
        UFFD_USER_MODE_ONLY => "UFFD_USER_MODE_ONLY",
        UFFD_API => "UFFD_API",
        UFFDIO_REGISTER_MODE_MISSING => "UFFDIO_REGISTER_MODE_MISSING",
        UFFDIO_API => "UFFDIO_API",
        UFFDIO_REGISTER => "UFFDIO_REGISTER",
        UFFDIO_COPY => "UFFDIO_COPY",
        FW_CFG_SIGNATURE => "FW_CFG_SIGNATURE",
        FW_CFG_ID => "FW_CFG_ID",
        FW_CFG_RAM_SIZE => "FW_CFG_RAM_SIZE",
        FW_CFG_NB_CPUS => "FW_CFG_NB_CPUS",
        FW_CFG_MAX_CPUS => "FW_CFG_MAX_CPUS",
        FW_CFG_KERNEL_ADDR => "FW_CFG_KERNEL_ADDR",
        FW_CFG_KERNEL_SIZE => "FW_CFG_KERNEL_SIZE",
        FW_CFG_KERNEL_ENTRY => "FW_CFG_KERNEL_ENTRY",
        FW_CFG_KERNEL_DATA => "FW_CFG_KERNEL_DATA",
        FW_CFG_INITRD_ADDR => "FW_CFG_INITRD_ADDR",
        FW_CFG_INITRD_SIZE => "FW_CFG_INITRD_SIZE",
        FW_CFG_INITRD_DATA => "FW_CFG_INITRD_DATA",
        FW_CFG_CMDLINE_ADDR => "FW_CFG_CMDLINE_ADDR",
        FW_CFG_CMDLINE_SIZE => "FW_CFG_CMDLINE_SIZE",
        FW_CFG_CMDLINE_DATA => "FW_CFG_CMDLINE_DATA",
        FW_CFG_SETUP_ADDR => "FW_CFG_SETUP_ADDR",
        FW_CFG_SETUP_SIZE => "FW_CFG_SETUP_SIZE",
        FW_CFG_SETUP_DATA => "FW_CFG_SETUP_DATA",
        FW_CFG_FILE_DIR => "FW_CFG_FILE_DIR",
        FW_CFG_FILE_FIRST => "FW_CFG_FILE_FIRST",
        FW_CFG_WRITE_CHANNEL => "FW_CFG_WRITE_CHANNEL",
        FW_CFG_VERSION => "FW_CFG_VERSION",
        FW_CFG_VERSION_DMA => "FW_CFG_VERSION_DMA",
        FW_CFG_DMA_CTL_ERROR => "FW_CFG_DMA_CTL_ERROR",
        FW_CFG_DMA_CTL_READ => "FW_CFG_DMA_CTL_READ",
        FW_CFG_DMA_CTL_SKIP => "FW_CFG_DMA_CTL_SKIP",
        FW_CFG_DMA_CTL_SELECT => "FW_CFG_DMA_CTL_SELECT",
        FW_CFG_DMA_CTL_WRITE => "FW_CFG_DMA_CTL_WRITE",
        KVM_IRQFD_FLAG_RESAMPLE => "KVM_IRQFD_FLAG_RESAMPLE",
        KVM_IOEVENTFD_FLAG_DATAMATCH => "KVM_IOEVENTFD_FLAG_DATAMATCH",
        KVM_IOEVENTFD_FLAG_PIO => "KVM_IOEVENTFD_FLAG_PIO",
        KVM_IOEVENTFD_FLAG_DEASSIGN => "KVM_IOEVENTFD_FLAG_DEASSIGN",
        KVM_COALESCED_MMIO_PAGE_OFFSET as u64 => "KVM_COALESCED_MMIO_PAGE_OFFSET",
        KVM_SYNC_X86_REGS => "KVM_SYNC_X86_REGS",
        KVM_SYNC_X86_SREGS => "KVM_SYNC_X86_SREGS",
    }

    same!(
        facts,
        kvm_userspace_memory_region { slot, flags, guest_phys_addr, memory_size, userspace_addr }
    );
    same!(
        facts,
        kvm_regs {
            rax,
            rbx,
            rcx,
            rdx,
            rsi,
            rdi,
            rsp,
            rbp,
            r8,
            r9,
            r10,
            r11,
            r12,
            r13,
            r14,
            r15,
            rip,
            rflags
        }
    );
    same!(
        facts,
        kvm_segment {
            base,
            limit,
            selector,
            r#type,
            present,
            dpl,
            db,
            s,
            l,
            g,
            avl,
            unusable,
            padding
        }
    );
    same!(facts, kvm_dtable { base, limit, padding });
    same!(
        facts,
        kvm_sregs {
            cs,
            ds,
            es,
            fs,
            gs,
            ss,
            tr,
            ldt,
            gdt,
            idt,
            cr0,
            cr2,
            cr3,
            cr4,
            cr8,
            efer,
            apic_base,
            interrupt_bitmap
        }
    );
    same!(facts, kvm_dirty_log { slot, padding1, dirty_bitmap });
    same!(
        facts,
        kvm_translation { linear_address, physical_address, valid, writeable, usermode, pad }
    );
    same!(facts, kvm_guest_debug { control, pad, arch });
    same!(facts, kvm_guest_debug_arch { debugreg });
    same!(facts, kvm_debug_exit_arch { exception, pad, pc, dr6, dr7 });
    same!(facts, kvm_xsave { region });
    same!(
        facts,
        kvm_sregs2 {
            cs,
            ds,
            es,
            fs,
            gs,
            ss,
            tr,
            ldt,
            gdt,
            idt,
            cr0,
            cr2,
            cr3,
            cr4,
            cr8,
            efer,
            apic_base,
            flags,
            pdptrs
        }
    );
    same!(facts, kvm_msr_list { nmsrs });
    array!(facts, kvm_msr_list.indices);
    same!(facts, kvm_xcr { xcr, reserved, value });
    same!(facts, kvm_xcrs { nr_xcrs, flags, xcrs, padding });
    same!(facts, kvm_debugregs { db, dr6, dr7, flags, reserved });
    same!(facts, kvm_device_attr { flags, group, attr, addr });
    same!(
        facts,
        kvm_vcpu_events {
            exception,
            interrupt,
            nmi,
            sipi_vector,
            flags,
            smi,
            triple_fault,
            reserved,
            exception_has_payload,
            exception_payload
        }
    );
    part!(facts, exception: kvm_vcpu_events_exception { injected, nr, has_error_code, pending, error_code });
    part!(facts, interrupt: kvm_vcpu_events_interrupt { injected, nr, soft, shadow });
    part!(facts, nmi: kvm_vcpu_events_nmi { injected, pending, masked, pad });
    part!(facts, smi: kvm_vcpu_events_smi { smm, pending, smm_inside_nmi, latched_init });
    part!(facts, triple_fault: kvm_vcpu_events_triple_fault { pending });
    same!(facts, kvm_nested_state { flags, format, size, hdr });
    same!(facts, kvm_enable_cap { cap, flags, args, pad });
    same!(facts, kvm_cpuid_entry2 { function, index, flags, eax, ebx, ecx, edx, padding });
    same!(
        facts,
        kvm_stats_header { flags, name_size, num_desc, id_offset, desc_offset, data_offset }
    );
    same!(facts, kvm_sync_regs { regs, sregs, events });
    same!(facts, kvm_pit_config { flags, pad });
    same!(
        facts,
        kvm_pit_channel_state {
            count,
            latched_count,
            count_latched,
            status_latched,
            status,
            read_state,
            write_state,
            write_latch,
            rw_mode,
            mode,
            bcd,
            gate,
            count_load_time
        }
    );
    same!(facts, kvm_pit_state2 { channels, flags, reserved });
    same!(facts, kvm_clock_data { clock, flags, pad0, realtime, host_tsc, pad });
    same!(facts, kvm_irq_level { irq, level });
    same!(facts, kvm_irq_routing_irqchip { irqchip, pin });
    same!(facts, kvm_irq_routing_msi { address_lo, address_hi, data, pad });
    same!(facts, kvm_irq_routing_entry { gsi, r#type, flags, pad, u });
    facts.size(
        "kvm_irq_routing_entry_u",
        "((struct kvm_irq_routing_entry *)0)->u",
        size_of::<kvm_irq_routing_entry_u>(),
    );
    for arm in ["irqchip", "msi", "pad"] {
        facts.offset(
            &format!("kvm_irq_routing_entry_u.{arm}"),
            "kvm_irq_routing_entry",
            &format!("u.{arm}"),
            offset_of!(kvm_irq_routing_entry, u),
        );
    }
    same!(facts, kvm_irqfd { fd, gsi, flags, resamplefd, pad });
    same!(facts, kvm_ioeventfd { datamatch, addr, len, fd, flags, pad });
    same!(facts, kvm_interrupt { irq });
    same!(facts, kvm_msi { address_lo, address_hi, data, flags, devid, pad });
    same!(facts, kvm_coalesced_mmio_zone { addr, size, pio });
    same!(facts, kvm_coalesced_mmio { phys_addr, len, pio, data });
    same!(facts, kvm_lapic_state { regs });
    same!(facts, kvm_msr_entry { index, reserved, data });
    // Those that end in an array without a size, of which C knows the offset alone.
    same!(facts, kvm_cpuid2 { nent, padding });
    same!(facts, kvm_stats_desc { flags, exponent, size, offset, bucket_size });
    same!(facts, kvm_irq_routing { nr, flags });
    same!(facts, kvm_mp_state { mp_state });
    same!(facts, kvm_irqchip { chip_id, pad, chip });
    facts.size(
        "kvm_irqchip_state",
        "((struct kvm_irqchip *)0)->chip",
        size_of::<kvm_irqchip_state>(),
    );
    for arm in ["dummy", "pic", "ioapic"] {
        facts.names.insert(format!("kvm_irqchip_state.{arm}"));
    }
    same!(
        facts,
        kvm_pic_state {
            last_irr,
            irr,
            imr,
            isr,
            priority_add,
            irq_base,
            read_reg_select,
            poll,
            special_mask,
            init_state,
            auto_eoi,
            rotate_on_auto_eoi,
            special_fully_nested_mode,
            init4,
            elcr,
            elcr_mask
        }
    );
    same!(facts, uffdio_api { api, features, ioctls });
    same!(facts, uffdio_range { start, len });
    same!(facts, uffdio_register { range, mode, ioctls });
    same!(facts, uffdio_copy { dst, src, len, mode, copy });
    same!(facts, fw_cfg_dma_access { control, length, address });
    same!(facts, kvm_ioapic_state { base_address, ioregsel, id, irr, pad, redirtbl });
    same!(facts, kvm_clear_dirty_log { slot, num_pages, first_page, dirty_bitmap });
    same!(facts, kvm_dirty_gfn { flags, slot, offset });
    same!(
        facts,
        kvm_userspace_memory_region2 {
            slot,
            flags,
            guest_phys_addr,
            memory_size,
            userspace_addr,
            guest_memfd_offset,
            guest_memfd,
            pad1,
            pad2
        }
    );
    same!(facts, kvm_memory_attributes { address, size, attributes, flags });
    same!(facts, kvm_create_guest_memfd { size, flags, reserved });
    same!(facts, kvm_pre_fault_memory { gpa, size, flags, padding });
    same!(
        facts,
        kvm_fpu { fpr, fcw, fsw, ftwx, pad1, last_opcode, last_ip, last_dp, xmm, mxcsr, pad2 }
    );
    same!(facts, kvm_cpuid { nent, padding });
    same!(facts, kvm_cpuid_entry { function, eax, ebx, ecx, edx, padding });
    same!(facts, kvm_signal_mask { len });
    array!(facts, kvm_signal_mask.sigset);
    same!(facts, kvm_msr_filter { flags, ranges });
    same!(facts, kvm_msr_filter_range { flags, nmsrs, base, bitmap });
    same!(facts, kvm_pmu_event_filter { action, nevents, fixed_counter_bitmap, flags, pad });
    same!(facts, kvm_x86_mce { status, addr, misc, mcg_status, bank, pad1, pad2 });
    same!(facts, kvm_create_device { r#type, fd, flags });
    same!(facts, kvm_hyperv_eventfd { conn_id, fd, flags, padding });
    same!(facts, kvm_hyperv_exit { r#type, pad1, u });
    union!(facts, kvm_hyperv_exit.u: kvm_hyperv_exit_u { synic, hcall, padding });
    inner!(facts, kvm_hyperv_exit.u.synic: kvm_hyperv_exit_synic {
        msr, pad2, control, evt_page, msg_page
    });
    inner!(facts, kvm_hyperv_exit.u.hcall: kvm_hyperv_exit_hcall { input, result, params });
    same!(
        facts,
        kvm_xen_hvm_config {
            flags,
            msr,
            blob_addr_32,
            blob_addr_64,
            blob_size_32,
            blob_size_64,
            pad2
        }
    );
    same!(facts, kvm_xen_hvm_attr { r#type, pad, u });
    union!(facts, kvm_xen_hvm_attr.u: kvm_xen_hvm_attr_u {
        long_mode, vector, shared_info, xen_version, pad
    });
    same!(facts, kvm_xen_vcpu_attr { r#type, pad, u });
    union!(facts, kvm_xen_vcpu_attr.u: kvm_xen_vcpu_attr_u { gpa, vcpu_id, vector, pad });
    same!(facts, kvm_irq_routing_xen_evtchn { port, vcpu, priority });
    same!(facts, kvm_xen_exit { r#type, u });
    union!(facts, kvm_xen_exit.u: kvm_xen_exit_u { hcall });
    inner!(facts, kvm_xen_exit.u.hcall: kvm_xen_exit_hcall {
        longmode, cpl, input, result, params
    });
    same!(facts, kvm_tpr_access_ctl { enabled, flags, reserved });
    same!(facts, kvm_vapic_addr { vapic_addr });
    same!(facts, kvm_pit_state { channels });
    same!(facts, kvm_reinject_control { pit_reinject, reserved });
    same!(facts, kvm_msrs { nmsrs, pad });
    same!(facts, kvm_coalesced_mmio_ring { first, last });
    array!(facts, kvm_irq_routing.entries);
    array!(facts, kvm_msrs.entries);
    array!(facts, kvm_coalesced_mmio_ring.coalesced_mmio);
    array!(facts, kvm_cpuid2.entries);
    array!(facts, kvm_stats_desc.name);
    facts.size("kvm_run_s", "((struct kvm_run *)0)->s", size_of::<kvm_run_s>());
    facts.names.extend(["kvm_run_s.regs".into(), "kvm_run_s.padding".into()]);
    same!(facts, kvm_run {
        request_interrupt_window, immediate_exit, padding1, exit_reason,
        ready_for_interrupt_injection, if_flag, flags, cr8, apic_base, exit as "padding",
        kvm_valid_regs, kvm_dirty_regs, s
    });
    facts.size("kvm_run_exit", "((struct kvm_run *)0)->padding", size_of::<kvm_run_exit>());
    facts.names.insert("kvm_run_exit.padding".into());
    arm!(facts, hw: kvm_run_hw { hardware_exit_reason });
    arm!(facts, fail_entry: kvm_run_fail_entry { hardware_entry_failure_reason, cpu });
    arm!(facts, io: kvm_run_io { direction, size, port, count, data_offset });
    arm!(facts, mmio: kvm_run_mmio { phys_addr, data, len, is_write });
    arm!(facts, internal: kvm_run_internal { suberror, ndata, data });
    arm!(facts, emulation_failure: kvm_run_emulation_failure {
        suberror, ndata, flags, insn_size, insn_bytes
    });
    arm!(facts, debug: kvm_run_debug { arch });
    arm!(facts, hypercall: kvm_run_hypercall { nr, args, ret, flags });
    arm!(facts, eoi: kvm_run_eoi { vector });
    arm!(facts, tpr_access: kvm_run_tpr_access { rip, is_write, pad });
    arm!(facts, system_event: kvm_run_system_event { r#type, ndata, data });
    arm!(facts, notify: kvm_run_notify { flags });
    arm!(facts, memory_fault: kvm_run_memory_fault { flags, gpa, size });
    facts.names.extend(["kvm_run_exit.hyperv".into(), "kvm_run_exit.xen".into()]);
    arm!(facts, msr: kvm_run_msr { error, pad, reason, index, data });
    packed!(
        facts,
        setup_header {
            setup_sects,
            root_flags,
            syssize,
            ram_size,
            vid_mode,
            root_dev,
            boot_flag,
            jump,
            header,
            version,
            realmode_swtch,
            start_sys_seg,
            kernel_version,
            type_of_loader,
            loadflags,
            setup_move_size,
            code32_start,
            ramdisk_image,
            ramdisk_size,
            bootsect_kludge,
            heap_end_ptr,
            ext_loader_ver,
            ext_loader_type,
            cmd_line_ptr,
            initrd_addr_max,
            kernel_alignment,
            relocatable_kernel,
            min_alignment,
            xloadflags,
            cmdline_size,
            hardware_subarch,
            hardware_subarch_data,
            payload_offset,
            payload_length,
            setup_data,
            pref_address,
            init_size,
            handover_offset,
            kernel_info_offset
        }
    );
    packed!(facts, boot_e820_entry { addr, size, r#type });
    packed!(facts, boot_params { acpi_rsdp_addr, e820_entries, hdr, e820_table });
    for gap in 1..=5 {
        facts.names.insert(format!("boot_params.gap{gap}"));
    }
    facts.constant("E820_MAX_ENTRIES_ZEROPAGE", E820_MAX_ENTRIES_ZEROPAGE as u64);
    facts.constant("LOADED_HIGH", LOADED_HIGH.into());
    facts.constant("XLF_KERNEL_64", XLF_KERNEL_64.into());
    facts.offset("SETUP_HEADER_OFFSET", "boot_params", "hdr", SETUP_HEADER_OFFSET);
    // The header has no names for these two.
    facts.names.extend(["BOOT_FLAG".into(), "HEADER_MAGIC".into()]);
    facts
}

/// The directory with Linux 6.12's headers.
fn headers() -> &'static str {
    static HEADERS: OnceLock<String> = OnceLock::new();
    HEADERS.get_or_init(|| {
        let root = env!("CARGO_MANIFEST_DIR");
        let output =
            Command::new("sh").args(["biscuitos/headers", "6.12"]).current_dir(root).output();
        let output = output.expect("sh runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        format!("{root}/{}", String::from_utf8(output.stdout).unwrap().trim())
    })
}

/// Compiles and runs a C program over the header; gives its lines.
fn c(name: &str, body: &str) -> Vec<String> {
    let directory = env!("CARGO_TARGET_TMPDIR");
    let (source, program) = (format!("{directory}/{name}.c"), format!("{directory}/{name}"));
    let text = format!(
        "#include <fcntl.h>\n#include <string.h>\n#include <sys/ioctl.h>\n#include <sys/mman.h>\n#include <linux/kvm.h>\n#include <linux/kvm_para.h>\n#include <linux/qemu_fw_cfg.h>\n#include <linux/userfaultfd.h>\n#include <asm/bootparam.h>\n#include <stddef.h>\n#include <stdio.h>\n\
         int main(void) {{\n{body}\nreturn 0; }}\n"
    );
    fs::write(&source, text).unwrap();
    let cc = Command::new("cc")
        .args(["-Wall", "-Werror", "-I", headers(), "-o", &program, &source])
        .output()
        .expect("cc runs");
    assert!(cc.status.success(), "cc: {}", String::from_utf8_lossy(&cc.stderr));
    let output = Command::new(&program).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().map(str::to_string).collect()
}

/// Where `/dev/kvm` can be opened, it also runs.
#[test]
fn the_course_s_program_in_c_prints_its_letter() {
    for page in ["docs/course.md", "docs/zh/course.md"] {
        let course = fs::read_to_string(page).unwrap();
        let (_, program) = course.split_once("```c\n").unwrap();
        let (program, _) = program.split_once("```").unwrap();
        let printed =
            c("course", &format!("if (open(\"/dev/kvm\", O_RDWR) < 0) return 0;\n{program}"));
        let has_kvm = OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok();
        assert_eq!(printed, if has_kvm { &["A"][..] } else { &[] }, "{page}");
    }
}

#[test]
fn every_number_size_and_offset_is_the_header_s() {
    let facts = facts();
    let print = |fact: &Fact| format!("printf(\"%llu\\n\", (unsigned long long)({}));", fact.c);
    let body: Vec<String> = facts.list.iter().map(print).collect();
    let theirs = c("abi", &body.join("\n"));
    assert_eq!(theirs.len(), facts.list.len());
    for (fact, theirs) in facts.list.iter().zip(theirs) {
        // The header's numbers are ints: those with bit 31 set print with their sign.
        let theirs: u64 = theirs.parse().unwrap();
        let narrow = u64::from(u32::MAX);
        let theirs = if fact.ours > narrow { theirs } else { theirs & narrow };
        assert_eq!(fact.ours, theirs, "{}", fact.c);
    }
}

#[test]
fn what_sys_defines_is_compared() {
    let names = facts().names;
    let mut defined = 0;
    for file in fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/src/sys")).unwrap() {
        let path = file.unwrap().path();
        // The kernel has no header for it, or none for user space.
        if path.ends_with("multiboot.rs") || path.ends_with("pvh.rs") {
            continue;
        }
        let mut structure = String::new();
        for line in fs::read_to_string(&path).unwrap().lines() {
            let word = |text: &str| {
                let end = text.find(|c: char| !c.is_alphanumeric() && c != '_' && c != '#');
                text[..end.unwrap_or(text.len())].to_string()
            };
            let line = line.trim_start();
            let name = if let Some(rest) = line.strip_prefix("pub const ") {
                // The tables are made by the same macros as what they list.
                let name = word(rest);
                if matches!(name.as_str(), "REQUESTS" | "REASONS" | "CAPABILITIES" | "fn" | "") {
                    continue;
                }
                name
            } else if let Some(rest) =
                line.strip_prefix("pub struct ").or(line.strip_prefix("pub union "))
            {
                structure = word(rest);
                structure.clone()
            } else if let Some(rest) = line.strip_prefix("pub ").filter(|rest| {
                let name = word(rest);
                rest[name.len()..].starts_with(": ") && !structure.is_empty()
            }) {
                format!("{structure}.{}", word(rest))
            } else if line.starts_with("KVM_") && line.contains(" = ") {
                word(line)
            } else {
                continue;
            };
            defined += 1;
            assert!(names.contains(&name), "{}: {name} is not compared", path.display());
        }
    }
    assert!(defined > 230, "only {defined} definitions were found: has the style of sys changed?");
}

/// Requests and exit reasons of the header are all in `sys`, but for other architectures' requests.
#[test]
fn what_the_header_defines_is_in_sys() {
    let cpp = Command::new("sh")
        .args(["-c", "echo '#include <linux/kvm.h>' | cc -I \"$0\" -dM -E -", headers()])
        .output()
        .expect("cc runs");
    let names = facts().names;
    let others = ["KVM_S390_", "KVM_PPC_", "KVM_ARM_", "KVM_CREATE_SPAPR_TCE", "KVM_ALLOCATE_RMA"];
    // Of Arm, PowerPC and RISC-V alike; x86 got them later.
    let elsewhere = ["KVM_DIRTY_TLB", "KVM_GET_ONE_REG", "KVM_SET_ONE_REG", "KVM_GET_REG_LIST"];
    // Values inside an exit's data.
    let arms = ["KVM_EXIT_HYPERV_", "KVM_EXIT_XEN_HCALL"];
    let mut seen = 0;
    for line in String::from_utf8(cpp.stdout).unwrap().lines() {
        let mut words = line.split_whitespace().skip(1);
        let (Some(name), Some(value)) = (words.next(), words.next()) else { continue };
        let request = value.starts_with("_IO") && !name.starts_with("__KVM_DEPRECATED");
        let reason = name.starts_with("KVM_EXIT_") && value.parse::<u32>().is_ok();
        if !(request && name.starts_with("KVM_") || reason) {
            continue;
        }
        if others.iter().chain(&arms).any(|other| name.starts_with(other))
            || elsewhere.contains(&name)
        {
            continue;
        }
        seen += 1;
        assert!(names.contains(name), "{name} is missing in sys");
    }
    assert!(seen > 140, "only {seen} were found");
}
