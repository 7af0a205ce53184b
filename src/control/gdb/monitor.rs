//! `monitor`: commands of our own. gdb sends them as `qRcmd`.

use crate::config::Save;
use crate::control::gdb::Gdb;
use crate::control::gdb::packets::{Answer, ok};
use crate::inspect::death::{BrokenRules, Known, Walk};
use crate::inspect::registers::Registers;
use crate::lifecycle::End;
use crate::machine::Machine;
use crate::machine::debugger::Resume;
use crate::machine::keys::Input;
use crate::machine::save::AfterSave;
use crate::x86::registers;
use alloc::boxed::Box;
use alloc::ffi::CString;
use alloc::format;
use alloc::string::String;
use core::ffi::CStr;

const HELP: &str = "\
exits, stats            what the guest has exited with, and KVM's figures (counted with --stats)
regs                    all registers of this thread, with the rules that they break
walk ADDRESS            a linear address' way through this thread's page tables
dirty                   the pages that were written since the last time (with --dirty-log)
phys ADDRESS [BYTES]    what is at a guest-physical address: 64 bytes, or up to 4096
phys on|off             gdb reads and writes memory by guest-physical addresses, or by linear ones
reset                   reset the machine, as the guest could
save FILE               save the machine, as --save or --save-ram does
stop-at-reset on|off    stop when the guest has reset itself
help                    this
";

/// How much `phys` shows at most.
const MOST: u64 = 4096;

impl Gdb {
    pub(super) fn monitor(&mut self, machine: &Machine, input: &Input, line: &[u8]) -> Answer {
        let line = String::from_utf8_lossy(line).into_owned();
        let words: alloc::vec::Vec<&str> = line.split_whitespace().collect();
        let text = match words[..] {
            ["exits" | "stats"] => machine.statistics.show() + "\n",
            ["regs"] => self.all_registers(machine),
            ["walk", address] => match self.value(machine, address) {
                Some(linear) => self.walk(machine, linear),
                None => not_a_number(address),
            },
            ["dirty"] => match &machine.dirty_log {
                Some(dirty_log) => match dirty_log.text() {
                    Ok(text) => text,
                    Err(error) => format!("{error}\n"),
                },
                None => "there is no dirty log without --dirty-log\n".into(),
            },
            ["phys", "on"] => {
                self.is_physical = true;
                "addresses are guest-physical now\n".into()
            }
            ["phys", "off"] => {
                self.is_physical = false;
                "addresses are linear now\n".into()
            }
            ["phys", address] => self.dump(machine, address, "64"),
            ["phys", address, count] => self.dump(machine, address, count),
            ["reset"] if machine.lifecycle.how().is_some() => {
                "not reset: the run has ended\n".into()
            }
            ["reset"] => {
                // gdb does not expect the guest to run. So the next machine stops where it begins.
                self.waits = true;
                self.print(match machine.is_followed(End::Reset) {
                    true => "reset; gdb shows the new registers after flushregs\n",
                    false => "reset, which ends the run: it began without --reset=restart\n",
                });
                self.send(b"OK");
                machine.lifecycle.end(End::Reset, None);
                return Answer::Resume(Resume::All);
            }
            ["save", _, ..] => {
                let path = line.trim_start().strip_prefix("save").unwrap_or_default();
                return self.save(machine, input, path.trim());
            }
            ["stop-at-reset", how @ ("on" | "off")] => {
                self.stops_at_reset = how == "on";
                format!("stop at a reset: {how}\n")
            }
            ["help"] | [] => HELP.into(),
            [first, ..] => format!("{first}: no such command, or it takes other words\n{HELP}"),
        };
        self.print(&text);
        ok()
    }

    /// The machine ends if its RAM stays in its own file.
    fn save(&mut self, machine: &Machine, input: &Input, path: &str) -> Answer {
        if self.breakpoints.has_software() {
            self.print("not saved: there are breakpoints in the guest's code; delete them first\n");
            return ok();
        }
        if machine.lifecycle.how().is_some() {
            self.print("not saved: the run has ended\n");
            return ok();
        }
        let Ok(name) = CString::new(path) else {
            self.print("not saved: a path has no zero byte\n");
            return ok();
        };
        // It stands in messages, and these live as long as the program.
        let path: &'static CStr = Box::leak(name.into_boxed_c_str());
        let with_ram = machine.config.save.is_some_and(|save| save.with_ram);
        match machine.save(Save { path, with_ram }, input) {
            Ok(AfterSave::GoesOn) => {
                self.print("saved, with RAM\n");
                ok()
            }
            Ok(AfterSave::Ends) => {
                self.print("saved; RAM stays in its file, and the machine ends here\n");
                self.send(b"OK");
                machine.lifecycle.end(End::Saved, None);
                Answer::Resume(Resume::End)
            }
            Err(error) => {
                self.print(&format!("not saved: {error}\n"));
                ok()
            }
        }
    }

    fn all_registers(&self, machine: &Machine) -> String {
        let vcpu = self.vcpu(machine);
        match vcpu.regs().and_then(|regs| Ok((regs, vcpu.sregs()?))) {
            Ok((regs, sregs)) => {
                let number = vcpu.number();
                format!("vCPU {number}{}{}\n", Registers(&regs, &sregs), BrokenRules(&regs, &sregs))
            }
            Err(error) => format!("{error}\n"),
        }
    }

    /// A number, or a register's value.
    fn value(&self, machine: &Machine, text: &str) -> Option<u64> {
        let Some(name) = text.strip_prefix('$') else { return value(text) };
        let name = match name {
            "pc" => "rip",
            "sp" => "rsp",
            name => name,
        };
        let vcpu = self.vcpu(machine);
        registers::get(&vcpu.regs().ok()?, &vcpu.sregs().ok()?, name)
    }

    fn walk(&self, machine: &Machine, linear: u64) -> String {
        match self.vcpu(machine).sregs() {
            Ok(sregs) => {
                let memory = &*machine.memory;
                let number = self.thread;
                format!("{linear:#x} of vCPU {number}:{}\n", Walk { memory, sregs: &sregs, linear })
            }
            Err(error) => format!("{error}\n"),
        }
    }

    fn dump(&self, machine: &Machine, address: &str, count: &str) -> String {
        let Some(mut gpa) = self.value(machine, address) else { return not_a_number(address) };
        let Some(count) = value(count) else { return not_a_number(count) };
        let mut text = String::new();
        let mut bytes = alloc::vec![0; count.min(MOST) as usize];
        for line in bytes.chunks_mut(16) {
            // RAM may end within it.
            let len = self.read_by(machine, gpa, line, Some);
            text += &format!("{gpa:#x}:{}\n", Known(line, len));
            gpa = gpa.wrapping_add(line.len() as u64);
        }
        text
    }
}

/// Decimal, or hexadecimal behind `0x`.
fn value(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

fn not_a_number(text: &str) -> String {
    format!("{text}: not a number such as 4096 or 0x1000, or a register such as $rip\n")
}
