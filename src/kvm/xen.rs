//! Xen's interfaces: Linux 5.12 and later, kernels with `CONFIG_KVM_XEN`.

use crate::kvm::{Error, Vcpu, Vm};
use crate::sys::ioctl;
use crate::sys::xen::*;

impl Vm {
    /// `KVM_XEN_HVM_CONFIG`: where the guest asks for its page of hypercalls. `flags` are `KVM_XEN_HVM_CONFIG_*`.
    pub fn set_xen_config(&self, msr: u32, flags: u32) -> Result<(), Error> {
        let config = kvm_xen_hvm_config { flags, msr, ..Default::default() };
        let shown = format_args!("MSR {msr:#x}, flags {flags:#x}");
        self.set(ioctl::KVM_XEN_HVM_CONFIG, &config, shown).map(drop)
    }

    /// `KVM_XEN_HVM_SET_ATTR`: `KVM_XEN_ATTR_TYPE_*` and its value.
    pub fn set_xen_attribute(&self, kind: u16, value: u64) -> Result<(), Error> {
        // All values that are used here lie at the union's start.
        let u = kvm_xen_hvm_attr_u { pad: [value, 0, 0, 0, 0, 0, 0, 0] };
        let attribute = kvm_xen_hvm_attr { r#type: kind, pad: [0; 3], u };
        let shown = format_args!("type {kind}, {value:#x}");
        self.set(ioctl::KVM_XEN_HVM_SET_ATTR, &attribute, shown).map(drop)
    }

    /// `KVM_XEN_HVM_GET_ATTR`.
    pub fn xen_attribute(&self, kind: u16) -> Result<u64, Error> {
        let u = kvm_xen_hvm_attr_u { pad: [0; 8] };
        let mut attribute = kvm_xen_hvm_attr { r#type: kind, pad: [0; 3], u };
        let (request, shown) = (ioctl::KVM_XEN_HVM_GET_ATTR, format_args!("type {kind}"));
        // SAFETY: the kernel reads and fills the structure, of which any bytes are values.
        unsafe {
            self.descriptor.fill(request, &mut attribute, shown)?;
            Ok(attribute.u.pad[0])
        }
    }

    /// `KVM_XEN_HVM_EVTCHN_SEND`: an event for a vCPU, by the number that Xen's guests have for it.
    pub fn send_xen_event(&self, port: u32, vcpu: u32) -> Result<(), Error> {
        let priority = KVM_IRQ_ROUTING_XEN_EVTCHN_PRIO_2LEVEL;
        let event = kvm_irq_routing_xen_evtchn { port, vcpu, priority };
        let shown = format_args!("port {port}, vCPU {vcpu}");
        self.set(ioctl::KVM_XEN_HVM_EVTCHN_SEND, &event, shown).map(drop)
    }
}

impl Vcpu {
    /// `KVM_XEN_VCPU_SET_ATTR`: `KVM_XEN_VCPU_ATTR_TYPE_*` and its value.
    pub fn set_xen_attribute(&self, kind: u16, value: u64) -> Result<(), Error> {
        let u = kvm_xen_vcpu_attr_u { pad: [value, 0, 0, 0, 0, 0, 0, 0] };
        let attribute = kvm_xen_vcpu_attr { r#type: kind, pad: [0; 3], u };
        let shown = format_args!("type {kind}, {value:#x}");
        self.set(ioctl::KVM_XEN_VCPU_SET_ATTR, &attribute, shown).map(drop)
    }

    /// `KVM_XEN_VCPU_GET_ATTR`.
    pub fn xen_attribute(&self, kind: u16) -> Result<u64, Error> {
        let u = kvm_xen_vcpu_attr_u { pad: [0; 8] };
        let mut attribute = kvm_xen_vcpu_attr { r#type: kind, pad: [0; 3], u };
        let (request, shown) = (ioctl::KVM_XEN_VCPU_GET_ATTR, format_args!("type {kind}"));
        // SAFETY: the kernel reads and fills the structure, of which any bytes are values.
        unsafe {
            self.descriptor.fill(request, &mut attribute, shown)?;
            Ok(attribute.u.pad[0])
        }
    }
}
