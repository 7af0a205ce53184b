//! `KVM_TRANSLATE`: where a linear address leads, by the guest's own page tables.

use crate::config::Mode;
use crate::layout;
use crate::lessons::Error;
use crate::lessons::lab::{Lab, RAM, guest, memory, say};
use crate::x86::{PTE_P, PTE_RW};

guest!(
    translate,
    "
    .code64
    out     %al, $0x11
    "
);

pub fn run(lab: &Lab) -> Result<(), Error> {
    let vm = lab.vm(translate())?;
    // The tables map the first 4 GiB to themselves. A second entry of the top table maps 512 GiB and up to the same pages.
    let first_table = layout::tables(RAM) + layout::PAGE_SIZE;
    let next_table = memory(&vm).read_value::<u64>(first_table)?;
    memory(&vm).write_value(first_table + 8, &(next_table | PTE_P | PTE_RW))?;
    let mut vcpu = lab.vcpu(&vm, 0, Mode::Long)?;
    lab.value(&mut vcpu)?;
    for linear in [0x1000, (1 << 39) + 0x1234, 1 << 40] {
        match vcpu.translate(linear) {
            Some(gpa) => say!(lab, "KVM_TRANSLATE: {linear:#x} is GPA {gpa:#x}"),
            None => say!(lab, "KVM_TRANSLATE: {linear:#x} is not mapped"),
        }
    }
    Ok(())
}
