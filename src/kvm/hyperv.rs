//! Hyper-V's interfaces.

use crate::host::event::Event;
use crate::kvm::cpuid::Cpuid;
use crate::kvm::{Error, Kvm, Vcpu, Vm};
use crate::sys::hyperv::kvm_hyperv_eventfd;
use crate::sys::ioctl;

impl Kvm {
    /// `KVM_GET_SUPPORTED_HV_CPUID` on `/dev/kvm`: the CPUID leaves of Hyper-V, as far as KVM is one. Linux 5.11,
    /// `KVM_CAP_SYS_HYPERV_CPUID`.
    pub fn hyperv_cpuid(&self) -> Result<Cpuid, Error> {
        self.0.cpuid(ioctl::KVM_GET_SUPPORTED_HV_CPUID)
    }
}

impl Vcpu {
    /// `KVM_GET_SUPPORTED_HV_CPUID` on a vCPU, which also knows what was enabled for it. Linux 5.0, `KVM_CAP_HYPERV_CPUID`.
    pub fn hyperv_cpuid(&self) -> Result<Cpuid, Error> {
        self.descriptor.cpuid(ioctl::KVM_GET_SUPPORTED_HV_CPUID)
    }
}

impl Vm {
    /// `KVM_HYPERV_EVENTFD`: from now on the guest's `HvSignalEvent` on this connection signals the event. EEXIST: the connection has
    /// one.
    pub fn set_hyperv_event(&self, connection: u32, event: &Event) -> Result<(), Error> {
        let fd = event.raw();
        let binding = kvm_hyperv_eventfd { conn_id: connection, fd, ..Default::default() };
        let shown = format_args!("connection {connection}, fd {fd}");
        // The kernel holds the event for as long as it needs it.
        self.set(ioctl::KVM_HYPERV_EVENTFD, &binding, shown).map(drop)
    }
}
