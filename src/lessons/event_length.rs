//! `KVM_IOEVENTFD` with length 0: a write of any length signals the eventfd. KVM on Intel then need not decode a write to an
//! address: it needs neither length nor value.

use crate::config::Mode;
use crate::host::event::Event;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, guest, say};
use crate::sys::cap::{KVM_CAP_IOEVENTFD_ANY_LENGTH, KVM_CAP_IOEVENTFD_NO_LENGTH};
use crate::sys::irqchip::KVM_IOEVENTFD_FLAG_PIO;

guest!(
    event_length,
    "
    .code32
    movb    $1, 0x300000            # behind the RAM
    movw    $1, 0x300000
    movl    $1, 0x300000
    out     %al, $0x11
    out     %al, $0x12
    out     %ax, $0x12
    out     %eax, $0x12
    out     %al, $0x11
    "
);

const ADDRESS: u64 = 0x30_0000;
const PORT: u64 = 0x12;

pub fn run(lab: &Lab) -> Result<(), Error> {
    lab.require(KVM_CAP_IOEVENTFD_NO_LENGTH)?;
    lab.require(KVM_CAP_IOEVENTFD_ANY_LENGTH)?;
    let vm = lab.vm(event_length())?;
    let (at_address, at_port) = (Event::new()?, Event::new()?);
    vm.set_ioeventfd(&at_address, ADDRESS, 0, 0, 0)?;
    vm.set_ioeventfd(&at_port, PORT, 0, 0, KVM_IOEVENTFD_FLAG_PIO)?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Protected)?;
    lab.value(&mut vcpu)?;
    say!(lab, "KVM_CAP_IOEVENTFD_NO_LENGTH: 1, 2 and 4 bytes to an address: the eventfd has counted {}", at_address.take());
    lab.value(&mut vcpu)?;
    say!(lab, "KVM_CAP_IOEVENTFD_ANY_LENGTH: 1, 2 and 4 bytes to a port: the eventfd has counted {}", at_port.take());
    Ok(())
}
