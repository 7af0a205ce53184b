//! The interrupt controllers and the interval timer in the kernel, as user space reads and sets them.

use crate::config::Mode;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, SPIV, guest, say, switch_on};
use crate::show::number;
use crate::sys::irqchip::{KVM_IRQCHIP_PIC_MASTER, KVM_PIT_FLAGS_HPET_LEGACY};

guest!(
    controller_state,
    "
    .code16
    mov     $0xa5, %al
    out     %al, $0x21              # the first 8259's mask
    mov     $0x34, %al              # the timer's channel 0: mode 2, low byte and high byte
    out     %al, $0x43
    mov     $0x34, %al
    out     %al, $0x40
    mov     $0x12, %al
    out     %al, $0x40
    out     %al, $0x11
    in      $0x21, %al
    out     %al, $0x11
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    let vm = lab.vm(controller_state())?;
    vm.create_irqchip()?;
    vm.create_pit()?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Real)?;
    lab.value(&mut vcpu)?;

    let mut pic = vm.pic_state(KVM_IRQCHIP_PIC_MASTER)?;
    say!(lab, "KVM_GET_IRQCHIP: the guest has set the first 8259's mask to {:#x}", pic.imr);
    pic.imr = 0x5a;
    vm.set_pic_state(KVM_IRQCHIP_PIC_MASTER, pic)?;
    say!(lab, "KVM_SET_IRQCHIP: 0x5a; the guest reads {:#x}", lab.value(&mut vcpu)?);
    let masked = vm.io_apic_entries()?.iter().filter(|&&entry| entry & 1 << 16 != 0).count();
    say!(lab, "KVM_GET_IRQCHIP: of the I/O APIC's lines {masked} are masked, as after a reset");

    let mut pit = vm.pit()?;
    let channel = pit.channels[0];
    say!(lab, "KVM_GET_PIT2: count {:#x}, mode {}", channel.count, channel.mode);
    pit.flags |= KVM_PIT_FLAGS_HPET_LEGACY;
    vm.set_pit(&pit)?;
    say!(lab, "KVM_SET_PIT2: an HPET has its line; KVM_GET_PIT2: flags {:#x}", vm.pit()?.flags);

    let mut lapic = vcpu.lapic()?;
    let spiv = |registers: &[u8]| number(&registers[SPIV..SPIV + 4]);
    say!(lab, "KVM_GET_LAPIC: the spurious vector's register is {:#x}", spiv(&lapic.regs));
    switch_on(&mut lapic);
    vcpu.set_lapic(&lapic)?;
    say!(lab, "KVM_SET_LAPIC: {:#x}, which switches it on", spiv(&vcpu.lapic()?.regs));
    Ok(())
}
