//! Compares two snapshots of one machine, the second of which was made when it had been restored and before it ran: KVM must have
//! taken all that the first one has. Prints what differs; the status is 1 then.

use kob_2m::kvm::vm_state::VmState;
use kob_2m::machine::sections::{LESSON_MSR, SCRATCH, SERIAL, SavedVcpu, VCPU, VM, is_known};
use kob_2m::snapshot::{Field, Fields, Snapshot};
use std::ffi::CString;
use std::process::ExitCode;

/// MSRs that need not be equal: kvmclock's wall clock, which `set_changed_msrs` leaves out; Hyper-V's run time and reference time; and
/// SYSENTER's, of which KVM keeps the lower half on AMD's processors, and QEMU's emulation all.
const MAY_DIFFER: [u32; 6] = [0x11, 0x4b56_4d00, 0x4000_0010, 0x4000_0020, 0x175, 0x176];

/// In the local APIC: the requests and their trigger modes, where the event of the new VM generation stands, and the timer's count.
const LAPIC_MOVES: [std::ops::Range<usize>; 2] = [0x180..0x280, 0x390..0x3a0];

fn open(path: String) -> Snapshot {
    let path = CString::new(path).unwrap().into_boxed_c_str();
    Snapshot::open(Box::leak(path), is_known).expect("a snapshot")
}

fn bytes(value: &mut dyn Field) -> Vec<u8> {
    let mut bytes = Vec::new();
    value.visit(&mut Fields::Save(&mut bytes)).unwrap();
    bytes
}

fn main() -> ExitCode {
    let mut paths = std::env::args().skip(1);
    let (one, other) = (open(paths.next().unwrap()), open(paths.next().unwrap()));
    let mut differences = Vec::new();
    // Devices whose state has no time in it.
    for tag in [SCRATCH, LESSON_MSR, SERIAL] {
        if one.section(tag, 0) != other.section(tag, 0) {
            differences.push(format!("section {}", String::from_utf8_lossy(&tag)));
        }
    }
    let mut number = 0;
    while one.section(VCPU, number).is_some() {
        let [mut a, mut b]: [SavedVcpu; 2] =
            [&one, &other].map(|snapshot| snapshot.value(VCPU, number).unwrap());
        let mut differs = |what: String| differences.push(format!("vCPU {number}: {what}"));
        for (msr, again) in a.state.msrs.iter().zip(&b.state.msrs) {
            if msr.index != again.index
                || msr.data != again.data && !MAY_DIFFER.contains(&msr.index)
            {
                differs(format!("MSR {:#x}: {:#x}, {:#x}", msr.index, msr.data, again.data));
            }
        }
        assert!(a.state.msrs.len() > 50 && a.state.msrs.len() == b.state.msrs.len());
        if a.state.tsc.offset != b.state.tsc.offset {
            differs(format!("TSC's offset: {:?}, {:?}", a.state.tsc.offset, b.state.tsc.offset));
        }
        for state in [&mut a.state, &mut b.state] {
            for range in LAPIC_MOVES {
                state.lapic.iter_mut().for_each(|lapic| lapic.regs[range.clone()].fill(0));
            }
        }
        macro_rules! compare {
            ($($field:ident),*) => {
                $(let (one, other) = (bytes(&mut a.state.$field), bytes(&mut b.state.$field));
                if one != other {
                    let at = one.iter().zip(&other).position(|(one, other)| one != other);
                    differs(format!("{}, from byte {at:x?} on", stringify!($field)));
                })*
            };
        }
        compare!(cpuid, regs, sregs, xsave, xcrs, lapic, mp_state, events, debugregs, nested);
        number += 1;
    }
    let [mut a, mut b]: [VmState; 2] =
        [&one, &other].map(|snapshot| snapshot.value(VM, 0).unwrap());
    // The event raises its line, which `last_irr` and `irr` show.
    if a.chips.iter().zip(&b.chips).take(2).any(|(a, b)| a[2..] != b[2..]) {
        differences.push("the 8259s".into());
    }
    if bytes(&mut a.pit) != bytes(&mut b.pit) {
        differences.push("the interval timer".into());
    }
    if b.clock.clock < a.clock.clock {
        differences.push("kvmclock has gone back".into());
    }
    println!("{number} vCPUs");
    differences.iter().for_each(|difference| println!("{difference}"));
    ExitCode::from(u8::from(!differences.is_empty()))
}
