//! `KVM_CAP_X86_DISABLE_EXITS`: HLT without an exit. The host's processor waits inside the guest: it wakes up fast, and the host's
//! scheduler takes it for busy, so that another thread gets it by preemption only.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::show::Bits;
use crate::sys::cap::*;

guest!(
    disable_exits,
    "
    .code16
    movw    $disable_exits_handler - disable_exits_base, 4 * 0x21
    mov     $0x11, %al              # the first 8259: vectors from 0x20 on, the second at line 2, automatic end of interrupt
    out     %al, $0x20
    mov     $0x20, %al
    out     %al, $0x21
    mov     $4, %al
    out     %al, $0x21
    mov     $3, %al
    out     %al, $0x21
    mov     $0, %al
    out     %al, $0x21
disable_exits_again:
    out     %al, $0x11              # the line is raised now
    sti
    hlt
    cli
    jmp     disable_exits_again

disable_exits_handler:
    iret
    "
);

/// How often the guest halts.
const TIMES: u32 = 10;

pub fn run(lab: &Lab) -> Result<(), Error> {
    let (capability, hlt) = (KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_HLT);
    lab.require_bit(capability, hlt, "KVM_X86_DISABLE_EXITS_HLT")?;
    lab.require(KVM_CAP_BINARY_STATS_FD)?;
    let offered = lab.require(capability)?;
    say!(lab, "KVM_CAP_X86_DISABLE_EXITS:{}", Bits(offered, "MWAIT HLT PAUSE CSTATE"));
    say!(lab, "{TIMES} times HLT: {} exits for it", halts(lab, false)?);
    say!(lab, "KVM_X86_DISABLE_EXITS_HLT: {} exits for it", halts(lab, true)?);
    Ok(())
}

/// How many exits for HLT KVM counts.
fn halts(lab: &Lab, is_disabled: bool) -> Result<u64, Error> {
    let vm = lab.vm(disable_exits())?;
    vm.create_irqchip()?;
    if is_disabled {
        vm.enable(KVM_CAP_X86_DISABLE_EXITS, KVM_X86_DISABLE_EXITS_HLT)?;
    }
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    for _ in 0..TIMES {
        lab.value(&mut vcpu)?;
        vm.set_line(1, true)?;
        vm.set_line(1, false)?;
    }
    lab.value(&mut vcpu)?;
    lab.statistic(vcpu.stats()?, "halt_exits")
}
