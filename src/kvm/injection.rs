//! What user space sends to a vCPU: interrupts, NMIs, system management interrupts, machine checks, its start.

use crate::kvm::{Error, Vcpu};
use crate::sys::events::{kvm_mp_state, kvm_vcpu_events};
use crate::sys::ioctl;
use crate::sys::irqchip::{kvm_interrupt, kvm_tpr_access_ctl, kvm_vapic_addr};
use crate::sys::mce::kvm_x86_mce;

impl Vcpu {
    /// `KVM_INTERRUPT`: the guest takes this vector as the 8259s' interrupt, as soon as it can. EEXIST: it has not taken the last
    /// one yet; without a local APIC in the kernel the new one replaces that. ENXIO: the 8259s are in the kernel.
    pub fn interrupt(&self, vector: u8) -> Result<(), Error> {
        let interrupt = kvm_interrupt { irq: vector.into() };
        self.set(ioctl::KVM_INTERRUPT, &interrupt, format_args!("vector {vector:#x}")).map(drop)
    }

    /// `KVM_NMI`: the guest takes an NMI as soon as it can. One more can wait; a third is lost.
    pub fn nmi(&self) -> Result<(), Error> {
        // SAFETY: takes no argument.
        unsafe { self.descriptor.ioctl(ioctl::KVM_NMI, 0, format_args!("")) }.map(drop)
    }

    /// `KVM_SMI`: the guest enters system management mode. ENOTTY: this kernel has none. `KVM_CAP_X86_SMM`.
    pub fn smi(&self) -> Result<(), Error> {
        // SAFETY: takes no argument.
        unsafe { self.descriptor.ioctl(ioctl::KVM_SMI, 0, format_args!("")) }.map(drop)
    }

    /// `KVM_X86_SETUP_MCE`: the capabilities that the guest finds in `MCG_CAP`, with the number of banks in bits 0-7. EINVAL: one that
    /// KVM does not have.
    pub fn set_up_machine_checks(&self, capabilities: u64) -> Result<(), Error> {
        let shown = format_args!("{capabilities:#x}");
        self.set(ioctl::KVM_X86_SETUP_MCE, &capabilities, shown).map(drop)
    }

    /// `KVM_X86_SET_MCE`: a machine check.
    pub fn machine_check(&self, check: &kvm_x86_mce) -> Result<(), Error> {
        let shown = format_args!("bank {}, status {:#x}", check.bank, check.status);
        self.set(ioctl::KVM_X86_SET_MCE, check, shown).map(drop)
    }

    /// `KVM_GET_VCPU_EVENTS`: what is under way.
    pub fn events(&self) -> Result<kvm_vcpu_events, Error> {
        self.get(ioctl::KVM_GET_VCPU_EVENTS)
    }

    /// `KVM_SET_VCPU_EVENTS`.
    pub fn set_events(&self, events: &kvm_vcpu_events) -> Result<(), Error> {
        let shown = format_args!("flags {:#x}", events.flags);
        self.set(ioctl::KVM_SET_VCPU_EVENTS, events, shown).map(drop)
    }

    /// `KVM_GET_MP_STATE`: whether the vCPU runs, is halted, or was never started.
    pub fn mp_state(&self) -> Result<u32, Error> {
        self.get(ioctl::KVM_GET_MP_STATE).map(|state: kvm_mp_state| state.mp_state)
    }

    /// `KVM_SET_MP_STATE`, `KVM_MP_STATE_*`. EINVAL: without a local APIC in the kernel a vCPU only runs.
    pub fn set_mp_state(&self, mp_state: u32) -> Result<(), Error> {
        let state = kvm_mp_state { mp_state };
        self.set(ioctl::KVM_SET_MP_STATE, &state, format_args!("{mp_state}")).map(drop)
    }

    /// `KVM_TPR_ACCESS_REPORTING`: whether the guest leaves when it touches its local APIC's task priority.
    pub fn report_tpr_accesses(&self, enabled: bool) -> Result<(), Error> {
        let enabled = u32::from(enabled);
        let mut control = kvm_tpr_access_ctl { enabled, ..Default::default() };
        let shown = format_args!("{enabled}");
        let request = ioctl::KVM_TPR_ACCESS_REPORTING;
        // SAFETY: the kernel reads and fills the structure.
        unsafe { self.descriptor.fill(request, &mut control, shown) }.map(drop)
    }

    /// `KVM_SET_VAPIC_ADDR`: where in guest memory KVM keeps the task priority, for a guest that reads and writes it there without an
    /// exit.
    pub fn set_vapic_address(&self, gpa: u64) -> Result<(), Error> {
        let address = kvm_vapic_addr { vapic_addr: gpa };
        self.set(ioctl::KVM_SET_VAPIC_ADDR, &address, format_args!("GPA {gpa:#x}")).map(drop)
    }
}
