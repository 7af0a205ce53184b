//! The test kernels of the devices that QEMU has too, under QEMU: what they say and their status are as here, where the bed's cases
//! expect the same.

use std::process::Command;

/// The kernel, its status and what it says.
const KERNELS: [(&str, i32, &str); 9] = [
    ("drop", 1, "100 pages dropped\n"),
    ("exit", 85, ""),
    ("hpet", 1, "the counter, one-shot, periodic, level\n"),
    ("inject", 1, "4800 events, each once\n"),
    ("irqchip", 1, "requests, poll, priorities, edges and levels, timer, messages, levels\n"),
    ("lines", 1, "line 9 up, line 9 down\n"),
    ("reset", 1, "RAM is as it was\n"),
    ("rtc", 1, "RAM, time, update, periodic, alarm\n"),
    ("scratch", 1, "scratch\n"),
];

#[test]
fn test_kernels_say_the_same_under_qemu() {
    let expected = concat!(include_str!("bed/cases.sh"), include_str!("golden/kernels.txt"));
    for (name, status, text) in KERNELS {
        let mut qemu = Command::new("timeout");
        qemu.args(["60", "qemu-system-x86_64", "-nodefaults", "-display", "none", "-m", "64"]);
        qemu.args(["-serial", "stdio", "-device", "isa-debug-exit,iobase=0xf4,iosize=4"]);
        qemu.args(["-device", "pc-testdev", "-kernel"]);
        qemu.arg(format!("target/guest/kernel/{name}.elf"));
        let output = qemu.output().expect("QEMU runs: `sh biscuitos/need qemu`");
        let said = String::from_utf8_lossy(&output.stdout);
        assert_eq!((said.as_ref(), output.status.code()), (text, Some(status)), "{name}");
        assert!(expected.contains(text.trim_end()), "the bed expects the same of {name}");
    }
}
