//! What the guest may touch of its MSRs, and count with its performance counters.

use crate::kvm::{Error, Vm};
use crate::sys::filter::*;
use crate::sys::ioctl;

impl Vm {
    /// `KVM_X86_SET_MSR_FILTER`: the guest may not read and write these MSRs, up to 64 from `base` on; it may all others. No MSR: it
    /// may all.
    pub fn deny_msrs(&self, base: u32, count: u32) -> Result<(), Error> {
        // No bit is set: denied.
        let bits = 0u64;
        assert!(count <= u64::BITS, "one range of the filter has room for 64 MSRs here");
        let mut filter = kvm_msr_filter::default();
        if count > 0 {
            filter.ranges[0] = kvm_msr_filter_range {
                flags: KVM_MSR_FILTER_READ | KVM_MSR_FILTER_WRITE,
                nmsrs: count,
                base,
                bitmap: (&raw const bits).expose_provenance() as u64,
            };
        }
        let shown = format_args!("{count} from MSR {base:#x} on denied");
        // SAFETY: the kernel copies `count` bits during the call, and `bits` has 64.
        unsafe { self.descriptor.set(ioctl::KVM_X86_SET_MSR_FILTER, &filter, shown) }.map(drop)
    }

    /// `KVM_SET_PMU_EVENT_FILTER`: which of these events the guest may count; `action` is `KVM_PMU_EVENT_ALLOW` or `_DENY`. EINVAL: another
    /// action or flag, or with MASKED_EVENTS an entry with other bits.
    pub fn filter_events<const N: usize>(
        &self,
        action: u32,
        flags: u32,
        events: [u64; N],
    ) -> Result<(), Error> {
        #[repr(C)]
        struct Filter<const N: usize>(kvm_pmu_event_filter, [u64; N]);
        let header =
            kvm_pmu_event_filter { action, nevents: N as u32, flags, ..Default::default() };
        let shown = format_args!("action {action}, flags {flags}, {N} events");
        self.set(ioctl::KVM_SET_PMU_EVENT_FILTER, &Filter(header, events), shown).map(drop)
    }
}
