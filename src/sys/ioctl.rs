//! The ioctl requests that Linux 6.12 has for KVM on x86. [`crate::host::fd::Fd::ioctl`] makes them.
//!
//! Three kinds of descriptor take them: the *system* (`/dev/kvm`), a *VM* and a *vCPU*; a fourth,
//! a *device*, comes from `KVM_CREATE_DEVICE`. Each line names its section of api.rst and, in
//! capitals, the capability that announces it. Where no kernel version is said, every kernel since Linux 4.0
//! has the call. "Gone" requests were in Linux 6.1's header and are not in 6.12's.

use super::cap::kvm_enable_cap;
use super::clock::kvm_clock_data;
use super::cpuid::{kvm_cpuid, kvm_cpuid2};
use super::debug::{kvm_debugregs, kvm_guest_debug, kvm_translation};
use super::device::{kvm_create_device, kvm_device_attr};
use super::events::{kvm_mp_state, kvm_nested_state, kvm_vcpu_events};
use super::filter::{kvm_msr_filter, kvm_pmu_event_filter};
use super::hyperv::kvm_hyperv_eventfd;
use super::irqchip::*;
use super::mce::kvm_x86_mce;
use super::memory::*;
use super::regs::*;
use super::run::kvm_signal_mask;
use super::xen::*;

/// KVM's letter among all drivers' ioctls: `Documentation/userspace-api/ioctl/ioctl-number.rst`.
pub const KVMIO: u32 = 0xae;

// How a number is made: include/uapi/asm-generic/ioctl.h. Bits 0-7 the call, 8-15 the driver,
// 16-29 the argument's size in bytes, 30-31 its direction, where "write" is towards the kernel.
const fn _IOC(direction: u32, number: u32, size: usize) -> u32 {
    direction << 30 | (size as u32) << 16 | KVMIO << 8 | number
}
const fn _IO(number: u32) -> u32 {
    _IOC(0, number, 0)
}
const fn _IOW(number: u32, size: usize) -> u32 {
    _IOC(1, number, size)
}
const fn _IOR(number: u32, size: usize) -> u32 {
    _IOC(2, number, size)
}
const fn _IOWR(number: u32, size: usize) -> u32 {
    _IOC(3, number, size)
}

/// How large the structure is that a request takes, in bytes; of a list, its header.
pub const fn argument_size(request: u32) -> usize {
    (request >> 16 & 0x3fff) as usize
}

// Where this program has no use for a structure, its size stands as a number and its name in the
// comment. A structure that ends in an array counts without the array.
named_table! {
    /// Every request, by its name and number.
    REQUESTS,
    /// The name of a request.
    name:

    // -- the system: /dev/kvm

    /// 4.1. Returns the version of this interface, 12.
    KVM_GET_API_VERSION = _IO(0x00);
    /// 4.2. Makes a VM; the argument is its type, 0 on x86. Returns its descriptor.
    KVM_CREATE_VM = _IO(0x01);
    /// 4.3. `kvm_msr_list`: the MSRs that can be saved and restored.
    KVM_GET_MSR_INDEX_LIST = _IOWR(0x02, size_of::<kvm_msr_list>());
    /// 4.4. The argument is a `KVM_CAP_*`; returns 0 for no, else yes or a number.
    KVM_CHECK_EXTENSION = _IO(0x03);
    /// 4.5. Returns the size in bytes of the mapping that holds `kvm_run`.
    KVM_GET_VCPU_MMAP_SIZE = _IO(0x04);
    /// 4.46, EXT_CPUID. `kvm_cpuid2`: what CPUID can say on this host.
    KVM_GET_SUPPORTED_CPUID = _IOWR(0x05, size_of::<kvm_cpuid2>());
    /// 4.88, EXT_EMUL_CPUID. `kvm_cpuid2`: what KVM offers only by emulation.
    KVM_GET_EMULATED_CPUID = _IOWR(0x09, size_of::<kvm_cpuid2>());
    /// 4.3, GET_MSR_FEATURES, Linux 4.16. `kvm_msr_list`: the MSRs that tell of features.
    KVM_GET_MSR_FEATURE_INDEX_LIST = _IOWR(0x0a, size_of::<kvm_msr_list>());
    /// 4.104, MCE. u64: the machine-check capabilities.
    KVM_X86_GET_MCE_CAP_SUPPORTED = _IOR(0x9d, size_of::<u64>());
    /// 4.118, SYS_HYPERV_CPUID, Linux 5.11; as a vCPU's, HYPERV_CPUID, Linux 5.0. `kvm_cpuid2`: Hyper-V's leaves.
    KVM_GET_SUPPORTED_HV_CPUID = _IOWR(0xc1, size_of::<kvm_cpuid2>());

    // -- a VM: its memory

    /// 4.6. `kvm_memory_region`. Gone from the kernel; see `KVM_SET_USER_MEMORY_REGION`.
    KVM_SET_MEMORY_REGION = _IOW(0x40, 24);
    /// 4.7. Makes the vCPU of the number in the argument. Returns its descriptor.
    KVM_CREATE_VCPU = _IO(0x41);
    /// 4.8. `kvm_dirty_log`: a slot's pages written since the last call, a bit each.
    KVM_GET_DIRTY_LOG = _IOW(0x42, size_of::<kvm_dirty_log>());
    /// 4.9. `kvm_memory_alias`. Gone from the kernel.
    KVM_SET_MEMORY_ALIAS = _IOW(0x43, 32);
    /// MMU_SHADOW_CACHE_CONTROL, not in api.rst. Limits KVM's pages for shadow page tables; the TDP MMU's do not count.
    KVM_SET_NR_MMU_PAGES = _IO(0x44);
    /// Likewise: asks for the limit. Newer kernels have only the number (ENOTTY), Linux 6.12 among them.
    KVM_GET_NR_MMU_PAGES = _IO(0x45);
    /// 4.35, USER_MEMORY. Makes, moves, re-flags or (size 0) deletes a slot.
    KVM_SET_USER_MEMORY_REGION = _IOW(0x46, size_of::<kvm_userspace_memory_region>());
    /// 4.140, USER_MEMORY2, Linux 6.8. `kvm_userspace_memory_region2`: likewise, also with a guest_memfd.
    KVM_SET_USER_MEMORY_REGION2 = _IOW(0x49, size_of::<kvm_userspace_memory_region2>());
    /// 4.141, MEMORY_ATTRIBUTES, Linux 6.8. `kvm_memory_attributes`: which guest-physical addresses are private.
    KVM_SET_MEMORY_ATTRIBUTES = _IOW(0xd2, size_of::<kvm_memory_attributes>());
    /// 4.142, GUEST_MEMFD, Linux 6.8. `kvm_create_guest_memfd`: memory that user space can't map. Returns its descriptor.
    KVM_CREATE_GUEST_MEMFD = _IOWR(0xd4, size_of::<kvm_create_guest_memfd>());
    /// 4.36, SET_TSS_ADDR. Where three pages may lie that Intel's real mode needs; below 4 GiB.
    KVM_SET_TSS_ADDR = _IO(0x47);
    /// 4.40, SET_IDENTITY_MAP_ADDR. u64: where one more may lie; before the first vCPU.
    KVM_SET_IDENTITY_MAP_ADDR = _IOW(0x48, size_of::<u64>());
    /// 4.117, Linux 5.0; MANUAL_DIRTY_LOG_PROTECT2 announces the one that works. `kvm_clear_dirty_log`.
    KVM_CLEAR_DIRTY_LOG = _IOWR(0xc0, size_of::<kvm_clear_dirty_log>());
    /// 8.29, DIRTY_LOG_RING, Linux 5.11. Gives collected entries of the rings back.
    KVM_RESET_DIRTY_RINGS = _IO(0xc7);
    /// 4.110, Linux 4.16. `kvm_sev_cmd` for SEV; encoded with the size of a pointer.
    KVM_MEMORY_ENCRYPT_OP = _IOWR(0xba, 8);
    /// 4.111, Linux 4.16. `kvm_enc_region`: memory that will hold encrypted pages.
    KVM_MEMORY_ENCRYPT_REG_REGION = _IOR(0xbb, 16);
    /// 4.112, Linux 4.16. The reverse.
    KVM_MEMORY_ENCRYPT_UNREG_REGION = _IOR(0xbc, 16);

    // -- a VM: interrupt controllers, timers, devices

    /// 4.24, IRQCHIP. PIC, IOAPIC and a local APIC for each vCPU, all in the kernel.
    KVM_CREATE_IRQCHIP = _IO(0x60);
    /// 4.25, IRQCHIP. `kvm_irq_level`: sets an interrupt line.
    KVM_IRQ_LINE = _IOW(0x61, size_of::<kvm_irq_level>());
    /// 4.26, IRQCHIP. `kvm_irqchip`: one controller's state.
    KVM_GET_IRQCHIP = _IOWR(0x62, size_of::<kvm_irqchip>());
    /// 4.27, IRQCHIP. The reverse; its number says "read" although it writes.
    KVM_SET_IRQCHIP = _IOR(0x63, size_of::<kvm_irqchip>());
    /// 4.71 names it. See `KVM_CREATE_PIT2`.
    KVM_CREATE_PIT = _IO(0x64);
    /// 4.72 names it. `kvm_pit_state`; see `KVM_GET_PIT2`.
    KVM_GET_PIT = _IOWR(0x65, size_of::<kvm_pit_state>());
    /// 4.73 names it. `kvm_pit_state`; see `KVM_SET_PIT2`.
    KVM_SET_PIT = _IOR(0x66, size_of::<kvm_pit_state>());
    /// IRQ_INJECT_STATUS. Like `KVM_IRQ_LINE`, and says whether the interrupt was taken.
    KVM_IRQ_LINE_STATUS = _IOWR(0x67, size_of::<kvm_irq_level>());
    /// 4.116, COALESCED_MMIO, COALESCED_PIO. `kvm_coalesced_mmio_zone`: writes go to a ring.
    KVM_REGISTER_COALESCED_MMIO = _IOW(0x67, size_of::<kvm_coalesced_mmio_zone>());
    /// 4.116. The reverse.
    KVM_UNREGISTER_COALESCED_MMIO = _IOW(0x68, size_of::<kvm_coalesced_mmio_zone>());
    /// `kvm_assigned_pci_dev`. Device assignment before VFIO, gone since Linux 4.12.
    KVM_ASSIGN_PCI_DEVICE = _IOR(0x69, 64);
    /// 4.52, IRQ_ROUTING. `kvm_irq_routing`: which pin or message each GSI is.
    KVM_SET_GSI_ROUTING = _IOW(0x6a, size_of::<kvm_irq_routing>());
    /// `kvm_assigned_irq`. Gone.
    KVM_ASSIGN_DEV_IRQ = _IOW(0x70, 64);
    /// 4.99, REINJECT_CONTROL. `kvm_reinject_control` passed by address, encoded without size.
    KVM_REINJECT_CONTROL = _IO(0x71);
    /// `kvm_assigned_pci_dev`. Gone.
    KVM_DEASSIGN_PCI_DEVICE = _IOW(0x72, 64);
    /// `kvm_assigned_msix_nr`. Gone.
    KVM_ASSIGN_SET_MSIX_NR = _IOW(0x73, 8);
    /// `kvm_assigned_msix_entry`. Gone.
    KVM_ASSIGN_SET_MSIX_ENTRY = _IOW(0x74, 16);
    /// `kvm_assigned_irq`. Gone.
    KVM_DEASSIGN_DEV_IRQ = _IOW(0x75, 64);
    /// 4.75, IRQFD. `kvm_irqfd`: an eventfd that raises a GSI.
    KVM_IRQFD = _IOW(0x76, size_of::<kvm_irqfd>());
    /// 4.71, PIT2. `kvm_pit_config`: the interval timer, in the kernel.
    KVM_CREATE_PIT2 = _IOW(0x77, size_of::<kvm_pit_config>());
    /// 4.41, SET_BOOT_CPU_ID. Which vCPU boots; before the first vCPU.
    KVM_SET_BOOT_CPU_ID = _IO(0x78);
    /// 4.59, IOEVENTFD. `kvm_ioeventfd`: an eventfd that a write to a port or address signals.
    KVM_IOEVENTFD = _IOW(0x79, size_of::<kvm_ioeventfd>());
    /// 4.28, XEN_HVM. `kvm_xen_hvm_config`: the hypercall page.
    KVM_XEN_HVM_CONFIG = _IOW(0x7a, size_of::<kvm_xen_hvm_config>());
    /// 4.30, ADJUST_CLOCK. `kvm_clock_data`: the paravirtual clock.
    KVM_SET_CLOCK = _IOW(0x7b, size_of::<kvm_clock_data>());
    /// 4.29, ADJUST_CLOCK.
    KVM_GET_CLOCK = _IOR(0x7c, size_of::<kvm_clock_data>());
    /// 4.72, PIT_STATE2. `kvm_pit_state2`.
    KVM_GET_PIT2 = _IOR(0x9f, size_of::<kvm_pit_state2>());
    /// 4.73, PIT_STATE2. The number is `KVM_SET_VCPU_EVENTS`' but for the size.
    KVM_SET_PIT2 = _IOW(0xa0, size_of::<kvm_pit_state2>());
    /// `kvm_assigned_pci_dev`. Gone.
    KVM_ASSIGN_SET_INTX_MASK = _IOW(0xa4, 64);
    /// 4.71, SIGNAL_MSI. `kvm_msi`: sends a message interrupt.
    KVM_SIGNAL_MSI = _IOW(0xa5, size_of::<kvm_msi>());
    /// 4.120, PMU_EVENT_FILTER, Linux 5.3. `kvm_pmu_event_filter`.
    KVM_SET_PMU_EVENT_FILTER = _IOW(0xb2, size_of::<kvm_pmu_event_filter>());
    /// 4.113, HYPERV_EVENTFD, Linux 4.17. `kvm_hyperv_eventfd`.
    KVM_HYPERV_EVENTFD = _IOW(0xbd, size_of::<kvm_hyperv_eventfd>());
    /// 4.97, X86_MSR_FILTER, Linux 5.10. `kvm_msr_filter`: which MSRs the guest may touch.
    KVM_X86_SET_MSR_FILTER = _IOW(0xc6, size_of::<kvm_msr_filter>());
    /// 4.127, XEN_HVM, Linux 5.12. `kvm_xen_hvm_attr`.
    KVM_XEN_HVM_GET_ATTR = _IOWR(0xc8, size_of::<kvm_xen_hvm_attr>());
    /// 4.126, XEN_HVM, Linux 5.12.
    KVM_XEN_HVM_SET_ATTR = _IOW(0xc9, size_of::<kvm_xen_hvm_attr>());
    /// 4.135, XEN_HVM, Linux 5.19. `kvm_irq_routing_xen_evtchn`.
    KVM_XEN_HVM_EVTCHN_SEND = _IOW(0xd0, size_of::<kvm_irq_routing_xen_evtchn>());
    /// 4.79, DEVICE_CTRL. `kvm_create_device`: a device in the kernel, with its own descriptor.
    KVM_CREATE_DEVICE = _IOWR(0xe0, size_of::<kvm_create_device>());

    // -- a device, and what else has attributes

    /// 4.80, DEVICE_CTRL. `kvm_device_attr`.
    KVM_SET_DEVICE_ATTR = _IOW(0xe1, size_of::<kvm_device_attr>());
    /// 4.80.
    KVM_GET_DEVICE_ATTR = _IOW(0xe2, size_of::<kvm_device_attr>());
    /// 4.81.
    KVM_HAS_DEVICE_ATTR = _IOW(0xe3, size_of::<kvm_device_attr>());

    // -- a vCPU

    /// 4.10. Enters the guest. Returns 0 with `kvm_run::exit_reason`, or fails: EINTR for a signal.
    KVM_RUN = _IO(0x80);
    /// 4.11. The general registers.
    KVM_GET_REGS = _IOR(0x81, size_of::<kvm_regs>());
    /// 4.12.
    KVM_SET_REGS = _IOW(0x82, size_of::<kvm_regs>());
    /// 4.13. Segment and control registers.
    KVM_GET_SREGS = _IOR(0x83, size_of::<kvm_sregs>());
    /// 4.14. EINVAL where they contradict each other.
    KVM_SET_SREGS = _IOW(0x84, size_of::<kvm_sregs>());
    /// 4.15. `kvm_translation`: a linear address through the guest's own page tables.
    KVM_TRANSLATE = _IOWR(0x85, size_of::<kvm_translation>());
    /// 4.16. `kvm_interrupt`: queues a vector; while the 8259s are not in the kernel.
    KVM_INTERRUPT = _IOW(0x86, size_of::<kvm_interrupt>());
    /// 4.18. `kvm_msrs`: reads the MSRs that it lists; returns how many it could.
    KVM_GET_MSRS = _IOWR(0x88, size_of::<kvm_msrs>());
    /// 4.19. Writes them; returns how many it could.
    KVM_SET_MSRS = _IOW(0x89, size_of::<kvm_msrs>());
    /// 4.20. `kvm_cpuid`, without sub-leaves; see `KVM_SET_CPUID2`.
    KVM_SET_CPUID = _IOW(0x8a, size_of::<kvm_cpuid>());
    /// 4.21. `kvm_signal_mask`: the signals blocked while in `KVM_RUN`.
    KVM_SET_SIGNAL_MASK = _IOW(0x8b, size_of::<kvm_signal_mask>());
    /// 4.22. `kvm_fpu`.
    KVM_GET_FPU = _IOR(0x8c, size_of::<kvm_fpu>());
    /// 4.23.
    KVM_SET_FPU = _IOW(0x8d, size_of::<kvm_fpu>());
    /// 4.57, IRQCHIP. `kvm_lapic_state`: the local APIC's registers.
    KVM_GET_LAPIC = _IOR(0x8e, size_of::<kvm_lapic_state>());
    /// 4.58, IRQCHIP.
    KVM_SET_LAPIC = _IOW(0x8f, size_of::<kvm_lapic_state>());
    /// 4.20, EXT_CPUID. `kvm_cpuid2`: what CPUID says in the guest.
    KVM_SET_CPUID2 = _IOW(0x90, size_of::<kvm_cpuid2>());
    /// 4.20, EXT_CPUID.
    KVM_GET_CPUID2 = _IOWR(0x91, size_of::<kvm_cpuid2>());
    /// VAPIC, not in api.rst. `kvm_tpr_access_ctl`: turns `KVM_EXIT_TPR_ACCESS` on and off.
    KVM_TPR_ACCESS_REPORTING = _IOWR(0x92, size_of::<kvm_tpr_access_ctl>());
    /// VAPIC, not in api.rst. `kvm_vapic_addr`: where the guest keeps a copy of its priority.
    KVM_SET_VAPIC_ADDR = _IOW(0x93, size_of::<kvm_vapic_addr>());
    /// 4.38, MP_STATE. `kvm_mp_state`: running, halted, waiting for start-up, ...
    KVM_GET_MP_STATE = _IOR(0x98, size_of::<kvm_mp_state>());
    /// 4.39, MP_STATE.
    KVM_SET_MP_STATE = _IOW(0x99, size_of::<kvm_mp_state>());
    /// 4.64, USER_NMI. Queues an NMI.
    KVM_NMI = _IO(0x9a);
    /// 4.87, SET_GUEST_DEBUG. `kvm_guest_debug`: breakpoints and single-stepping.
    KVM_SET_GUEST_DEBUG = _IOW(0x9b, size_of::<kvm_guest_debug>());
    /// 4.105, MCE. u64: the machine-check capabilities that the guest sees.
    KVM_X86_SETUP_MCE = _IOW(0x9c, size_of::<u64>());
    /// 4.106, MCE. `kvm_x86_mce`: raises a machine check.
    KVM_X86_SET_MCE = _IOW(0x9e, size_of::<kvm_x86_mce>());
    /// 4.31, VCPU_EVENTS. `kvm_vcpu_events`: exceptions, interrupts and NMIs in flight.
    KVM_GET_VCPU_EVENTS = _IOR(0x9f, size_of::<kvm_vcpu_events>());
    /// 4.32, VCPU_EVENTS.
    KVM_SET_VCPU_EVENTS = _IOW(0xa0, size_of::<kvm_vcpu_events>());
    /// 4.33, DEBUGREGS. `kvm_debugregs`.
    KVM_GET_DEBUGREGS = _IOR(0xa1, size_of::<kvm_debugregs>());
    /// 4.34, DEBUGREGS.
    KVM_SET_DEBUGREGS = _IOW(0xa2, size_of::<kvm_debugregs>());
    /// 4.55, TSC_CONTROL. The guest's TSC frequency, in kHz. On a VM, VM_TSC_CONTROL, since Linux 5.19.
    KVM_SET_TSC_KHZ = _IO(0xa2);
    /// 4.56, GET_TSC_KHZ.
    KVM_GET_TSC_KHZ = _IO(0xa3);
    /// 4.37, ENABLE_CAP_VM, on x86 since Linux 4.2; a vCPU takes it too (ENABLE_CAP), since Linux 4.5. `kvm_enable_cap`.
    KVM_ENABLE_CAP = _IOW(0xa3, size_of::<kvm_enable_cap>());
    /// 4.42, XSAVE. `kvm_xsave`: the extended state, 4 KiB of it.
    KVM_GET_XSAVE = _IOR(0xa4, size_of::<kvm_xsave>());
    /// 4.43, XSAVE.
    KVM_SET_XSAVE = _IOW(0xa5, size_of::<kvm_xsave>());
    /// 4.44, XCRS. `kvm_xcrs`.
    KVM_GET_XCRS = _IOR(0xa6, size_of::<kvm_xcrs>());
    /// 4.45, XCRS.
    KVM_SET_XCRS = _IOW(0xa7, size_of::<kvm_xcrs>());
    /// 4.70, KVMCLOCK_CTRL. Tells the guest that it was paused.
    KVM_KVMCLOCK_CTRL = _IO(0xad);
    /// 4.96, X86_SMM, Linux 4.2. Queues a system management interrupt.
    KVM_SMI = _IO(0xb7);
    /// 4.114, NESTED_STATE, Linux 4.19; AMD since Linux 5.8. `kvm_nested_state`: the state of a guest's own guest.
    KVM_GET_NESTED_STATE = _IOWR(0xbe, size_of::<kvm_nested_state>());
    /// 4.115, NESTED_STATE, Linux 4.19; AMD since Linux 5.8.
    KVM_SET_NESTED_STATE = _IOW(0xbf, size_of::<kvm_nested_state>());
    /// 4.129, XEN_HVM, Linux 5.12. `kvm_xen_vcpu_attr`.
    KVM_XEN_VCPU_GET_ATTR = _IOWR(0xca, size_of::<kvm_xen_vcpu_attr>());
    /// 4.128, XEN_HVM, Linux 5.12.
    KVM_XEN_VCPU_SET_ATTR = _IOW(0xcb, size_of::<kvm_xen_vcpu_attr>());
    /// 4.131, SREGS2, Linux 5.14. `kvm_sregs2`: `kvm_sregs` with the PDPTEs.
    KVM_GET_SREGS2 = _IOR(0xcc, size_of::<kvm_sregs2>());
    /// 4.132, SREGS2, Linux 5.14.
    KVM_SET_SREGS2 = _IOW(0xcd, size_of::<kvm_sregs2>());
    /// 4.133, BINARY_STATS_FD, Linux 5.14; a VM takes it too. Returns a descriptor to read.
    KVM_GET_STATS_FD = _IO(0xce);
    /// 4.143, PRE_FAULT_MEMORY, Linux 6.11. `kvm_pre_fault_memory`: maps guest memory before the guest touches it.
    KVM_PRE_FAULT_MEMORY = _IOWR(0xd5, size_of::<kvm_pre_fault_memory>());
    /// 4.134, XSAVE2, Linux 5.17. As `KVM_GET_XSAVE`, in the size that the capability tells.
    KVM_GET_XSAVE2 = _IOR(0xcf, size_of::<kvm_xsave>());
}
