//! Machine checks: api.rst 4.104 to 4.106.

/// What `KVM_X86_SET_MCE` takes: what the bank's MSRs and `MCG_STATUS` are to say. SDM volume 3, "Machine-Check Architecture".
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct kvm_x86_mce {
    /// `MCi_STATUS`, with VAL. An error without UC is only recorded. With UC the guest gets a #MC, or shuts down where CR4.MCE is 0 or
    /// another #MC is in progress; where it has not switched on all of the bank's reporting (MCG_CTL and MCi_CTL are not all ones),
    /// nothing happens. EINVAL: no VAL, or no such bank.
    pub status: u64,
    pub addr: u64,
    pub misc: u64,
    pub mcg_status: u64,
    pub bank: u8,
    pub pad1: [u8; 7],
    pub pad2: [u64; 3],
}
