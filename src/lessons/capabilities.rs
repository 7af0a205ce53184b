//! `KVM_CHECK_EXTENSION`: what this kernel can do, of all that Linux 6.12 has for x86.

use crate::lessons::Error;
use crate::lessons::lab::{Lab, say};
use crate::sys::cap::CAPABILITIES;

pub fn run(lab: &Lab) -> Result<(), Error> {
    for &(name, capability) in CAPABILITIES {
        match lab.kvm().check_extension(capability)? {
            answer @ 0..=1 => say!(lab, "{capability:>3} {name:40} {answer}"),
            answer => say!(lab, "{capability:>3} {name:40} {answer} ({answer:#x})"),
        }
    }
    say!(lab, "0: not here. docs/api.md says since which kernel, and for which processors");
    Ok(())
}
