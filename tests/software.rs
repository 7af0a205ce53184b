//! Where this machine's KVM is a software backend, as nested clouds have it: the warning, the reason that `--stats` gives, and where
//! `--step` stops. The bed has AMD's SVM, so this runs on the machine itself, or says SKIP.

mod assemble;

use assemble::{Guest, assemble};
use kob_2m::kvm::vcpu_state::Sregs;
use kob_2m::machine::sections::*;
use kob_2m::snapshot::file::{Header, RamPlace, Sections, find_sections};
use kob_2m::snapshot::{Field, Fields, Invalid, Tag};
use kob_2m::sys::regs::kvm_msr_entry;
use std::fs::{self, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, ExitCode, Stdio};

/// Why it can't run here.
fn skip() -> Option<&'static str> {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let has = |flag: &str| cpuinfo.split_whitespace().any(|word| word == flag);
    if OpenOptions::new().read(true).write(true).open("/dev/kvm").is_err() {
        Some("/dev/kvm can't be opened")
    } else if has("vmx") || has("svm") {
        Some("this KVM has the processor's help")
    } else {
        None
    }
}

/// Runs the program; its status, and what it said on standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new("timeout");
    command.args(["20", "./BiscuitOS_app", "--backing", "anon", "--pause", "0"]).args(arguments);
    let output = command.stdin(Stdio::null()).output().expect("timeout runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

const WARNING: &str = "BiscuitOS_app: warning: this KVM is a software backend";

fn a_run_begins_with_one_warning() {
    let (status, said) = run(&["target/guest/halt.bin"]);
    assert_eq!(status, Some(0), "{said}");
    assert!(said.starts_with(WARNING) && said.matches("warning").count() == 1, "{said}");
}

fn statistics_name_the_backend_as_the_only_cause() {
    let (_, said) = run(&["--stats", "target/guest/touch.bin"]);
    let verdict =
        "KVM maps 0 of 2 MiB and 0 of 4 KiB: this KVM is a software backend, which counts none\n";
    assert!(said.contains(verdict), "{said}");
}

fn a_step_stops_at_hlt() {
    for board in [&[][..], &["--irqchip"]] {
        let (status, said) = run(&[board, &["--step", "target/guest/halt.bin"]].concat());
        assert_eq!(status, Some(0), "{said}");
        assert!(said.contains("KVM_EXIT_HLT: the guest halted\n  RIP 0x1005"), "{said}");
        assert!(said.matches("\tstep ").count() <= 3, "{said}");
    }
}

fn a_check_says_so() {
    let (status, _) = run(&["--check", "target/guest/halt.bin"]);
    assert_eq!(status, Some(0));
}

/// A snapshot whose section with this tag somebody has changed; the checksums are right again.
fn edited<T: Field + Default>(path: &str, tag: Tag, edit: impl Fn(&mut T)) -> String {
    let file = fs::read(path).unwrap();
    let mut header = Header::default();
    header.visit(&mut Fields::Restore(&file)).unwrap();
    let end = 64 + header.sections_size as usize;
    let mut sections = Sections::default();
    for (other, range) in find_sections(&file[64..end], c"x", is_known).unwrap() {
        let mut bytes = file[64..end][range].to_vec();
        if other == tag {
            let mut value = T::default();
            value.visit(&mut Fields::Restore(&bytes)).unwrap();
            edit(&mut value);
            bytes.clear();
            value.visit(&mut Fields::Save(&mut bytes)).unwrap();
        }
        sections.add(other, 0, |fields| fields.bytes(&mut bytes));
    }
    let new = Header::new(sections.bytes().len() as u64, header.ram_size, RamPlace::Here);
    let mut bytes = [new.bytes(), sections.bytes()].concat();
    bytes.resize(new.ram_offset as usize, 0);
    bytes.extend_from_slice(&file[header.ram_offset as usize..]);
    let edited = format!("{path}.edited");
    fs::write(&edited, bytes).unwrap();
    edited
}

fn a_machine_is_saved_and_goes_on_where_it_fits() {
    let directory = env!("CARGO_TARGET_TMPDIR");
    let (image, snapshot) = (format!("{directory}/save.bin"), format!("{directory}/snapshot"));
    // mov $13, %al; out %al, $0xec; mov $3, %al; out %al, $0xf4
    fs::write(&image, b"\xb0\x0d\xe6\xec\xb0\x03\xe6\xf4").unwrap();
    for how in [&["--irqchip"][..], &["--irqchip", "none"], &["--mode", "long"], &[]] {
        let (status, said) = run(&[how, &["--memory", "4M", "--save", &snapshot, &image]].concat());
        assert!(said.contains(", with RAM\n"), "{how:?}: {said}");
        assert_eq!(status, Some(7), "{how:?}: {said}");
        for backing in ["anon", "thp"] {
            let (status, said) = restore(&snapshot, &["--backing", backing]);
            assert_eq!(status, Some(7), "{how:?}: {said}");
        }
        assert_eq!(restore(&snapshot, &[]).0, Some(7), "{how:?}");
        let (status, said) = restore(&snapshot, &["--check"]);
        assert!(status == Some(0) && said.contains("can be restored here; saved by"), "{said}");
    }
    let refused = |path: &str, why: &str| {
        let (status, said) = restore(path, &[]);
        assert!(status == Some(1) && said.contains(why), "{said}");
    };
    let long = ["--mode", "long", "--memory", "4M", "--save", &snapshot, &image];
    assert_eq!(run(&long).0, Some(7));
    let foreign = edited(&snapshot, HOST, |host: &mut Host| host.vendor = *b"NobodyOfNote");
    refused(&foreign, "saved on a processor of NobodyOfNote, and this one is of ");
    // CPUID leaf 7 has features that this host lacks: no host has all of them.
    let rich = edited(&snapshot, VCPU, |vcpu: &mut SavedVcpu| {
        vcpu.state
            .cpuid
            .iter_mut()
            .filter(|leaf| leaf.function == 7)
            .for_each(|leaf| leaf.ebx = !0);
    });
    refused(&rich, "the guest's processor has ");
    let odd = edited(&snapshot, VCPU, |vcpu: &mut SavedVcpu| {
        vcpu.state.msrs.push(kvm_msr_entry { index: 0x4242_4242, reserved: 0, data: 1 });
    });
    refused(&odd, "KVM_SET_MSRS on a vCPU: KVM refuses MSR 0x42424242");
    let broken = edited(&snapshot, VCPU, |vcpu: &mut SavedVcpu| {
        if let Sregs::New(sregs) = &mut vcpu.state.sregs {
            sregs.cr4 = !0;
        }
    });
    refused(&broken, "KVM_SET_SREGS2 on a vCPU: EINVAL (22): KVM refuses these registers");
    refused(&broken, "cr4 0xffffffffffffffff: VME");
    let fewer =
        edited(&snapshot, ARGUMENTS, |words: &mut Words| words.0.push(b"--cpus=2".to_vec()));
    refused(&fewer, "its options say another number of vCPUs");
    let fifo = format!("{directory}/fifo");
    let _ = fs::remove_file(&fifo);
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let strange = edited(&snapshot, RAM, |own: &mut OwnFile| own.path = fifo.clone().into());
    refused(&strange, "RAM must be either in it or in a file of its own");
    fs::remove_file(&fifo).unwrap();
}

/// The command line's words, as a field.
#[derive(Default)]
struct Words(Vec<Vec<u8>>);

impl Field for Words {
    fn visit(&mut self, fields: &mut Fields) -> Result<(), Invalid> {
        words(fields, &mut self.0)
    }
}

/// Restores a machine; its status, and what it said on standard error.
fn restore(snapshot: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = Command::new("timeout");
    command.args(["20", "./BiscuitOS_app", "--restore", snapshot]).args(arguments);
    let output = command.stdin(Stdio::null()).output().expect("timeout runs");
    (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
}

/// A guest that waits for its debugger, at this socket.
fn debugged(socket: &str, arguments: &[&str], stderr: Stdio) -> Child {
    let _ = fs::remove_file(socket);
    let mut program = Command::new("timeout");
    program.args(["60", "./BiscuitOS_app", "--backing", "anon", "--gdb", socket, "--gdb-wait"]);
    let mut program = program.args(arguments).stdin(Stdio::null()).stderr(stderr).spawn().unwrap();
    while !fs::exists(socket).unwrap() {
        assert!(program.try_wait().unwrap().is_none(), "it has ended");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    program
}

/// Real gdb executes these commands, connected to the socket. What it says.
fn gdb(socket: &str, commands: &[&str]) -> String {
    let mut gdb = Command::new("timeout");
    gdb.args(["20", "gdb", "-q", "-nx", "-batch", "-ex", "set confirm off"]);
    let connect = format!("target remote {socket}");
    for command in [&[connect.as_str()][..], commands].concat() {
        gdb.args(["-ex", command]);
    }
    // Its standard input must not end: then gdb quits.
    let gdb = gdb.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut gdb = gdb.spawn().expect("gdb runs: `sh biscuitos/need gdb`");
    let input = gdb.stdin.take();
    let output = gdb.wait_with_output().unwrap();
    drop(input);
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

/// The bed's KVM has no breakpoints.
fn a_debugger_meets_the_processor_s_breakpoints() {
    let directory = env!("CARGO_TARGET_TMPDIR");
    let (image, socket) = (format!("{directory}/loop.bin"), format!("{directory}/gdb"));
    // mov $0x2000, %bx; 1: incw (%bx); nop; jmp 1b
    fs::write(&image, b"\xbb\x00\x20\xff\x07\x90\xeb\xfb").unwrap();
    let mut program = debugged(&socket, &[&image], Stdio::inherit());
    let count = "print *(short*)0x2000";
    let said = gdb(&socket, &["break *0x1005", "continue", "x/1xb 0x1005", "continue", count]);
    assert_eq!(said.matches("Breakpoint 1, 0x00001005").count(), 2, "{said}");
    assert!(said.contains("0x1005:\t0x90") && said.contains("$1 = 2"), "{said}");
    // That gdb has left, and so have its breakpoints.
    let said =
        gdb(&socket, &["hbreak *0x1003", "continue", "print $eip", "stepi", "print $eip", "kill"]);
    assert!(said.contains("= (void (*)()) 0x1003") && said.contains("0x1005"), "{said}");
    assert_eq!(program.wait().unwrap().code(), Some(0));
    assert!(!fs::exists(&socket).unwrap());
}

/// Also one that is deleted while another vCPU stands at it.
fn breakpoints_are_all_vcpus() {
    let directory = env!("CARGO_TARGET_TMPDIR");
    let (kernel, socket) = (format!("{directory}/counters.elf"), format!("{directory}/gdb"));
    assemble("tests/bed/counters.S", kernel.as_ref(), Guest::Kernel);
    let mut program = debugged(&socket, &["--cpus", "2", "--kernel", &kernel], Stdio::inherit());
    let file = format!("symbol-file {kernel}");
    let both = ["hbreak *two_counts", "continue", "hbreak *one_counts"];
    let count = r#"printf "count %d\n", *(int*)0x500040"#;
    // By steps: whether one vCPU runs while the other one stops all again and again is the host's scheduler's choice.
    let after = ["delete 1", count, "thread 2", "stepi 30", count, "continue", "kill"];
    let after = [&["continue"; 6][..], &after].concat();
    let said = gdb(&socket, &[&[file.as_str()], &both[..], &after].concat());
    for hit in ["Thread 2 hit Breakpoint 1, ", "Thread 1 hit Breakpoint 2, "] {
        assert!(said.contains(hit), "{said}");
    }
    let counts: Vec<u32> = said
        .lines()
        .filter_map(|line| line.strip_prefix("count ").map(|count| count.parse().unwrap()))
        .collect();
    assert!(counts.len() == 2 && counts[1] == counts[0] + 15 && counts[0] < 10, "{said}");
    assert_eq!(program.wait().unwrap().code(), Some(0));
}

/// A packet as gdb sends it.
fn packet(contents: &[u8]) -> Vec<u8> {
    let mut frame = vec![b'$'];
    for &byte in contents {
        match byte {
            b'$' | b'#' | b'}' | b'*' => frame.extend([b'}', byte ^ 0x20]),
            byte => frame.push(byte),
        }
    }
    let sum = frame[1..].iter().fold(0u8, |sum, &byte| sum.wrapping_add(byte));
    frame.extend(format!("#{sum:02x}").bytes());
    frame
}

/// Packets of gdb's, changed at random, and ones that nobody would send: each is answered, and the guest is still there.
fn whatever_a_debugger_sends_is_answered() {
    const KNOWN: [&str; 30] = [
        "?",
        "g",
        "p0",
        "p10",
        "P0=0102030405060708",
        "P10=ff",
        "m1000,10",
        "M1000,2:9090",
        "X1000,0:",
        "m0,ffffffffffffffff",
        "mffffffffffffffff,1",
        "Z0,1005,1",
        "z0,1005,1",
        "Z1,1003,1",
        "z1,1003,1",
        "Z2,2000,2",
        "Z4,2000,4",
        "z2,2000,2",
        "Hg1",
        "Hc-1",
        "T1",
        "qSupported:xmlRegisters=i386",
        "qXfer:features:read:target.xml:0,1000",
        "qfThreadInfo",
        "qThreadExtraInfo,1",
        "vCont?",
        "vCont;s:1",
        "s",
        "qRcmd,77616c6b203078313030300a",
        "qRcmd,7265677300",
    ];
    let directory = env!("CARGO_TARGET_TMPDIR");
    let (image, socket) = (format!("{directory}/loop.bin"), format!("{directory}/fuzz"));
    fs::write(&image, b"\xbb\x00\x20\xff\x07\x90\xeb\xfb").unwrap();
    let mut program = debugged(&socket, &[&image], Stdio::null());
    let mut stream = UnixStream::connect(&socket).unwrap();
    stream.set_read_timeout(Some(std::time::Duration::from_secs(10))).unwrap();
    // xorshift64, from a seed.
    let mut seed = 0x4b4f_4232_u64;
    let mut random = move || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed as usize
    };
    for round in 0..20_000 {
        let mut contents = KNOWN[random() % KNOWN.len()].as_bytes().to_vec();
        for _ in 0..random() % 4 {
            let at = random() % (contents.len() + 1);
            match random() % 4 {
                0 if at < contents.len() => drop(contents.remove(at)),
                1 => contents.insert(at, b"0123456789abcdef,;:=-ffff"[random() % 25]),
                2 => contents.insert(at, random() as u8),
                _ => contents.truncate(at),
            }
        }
        // These let the guest go, end the run, end the acknowledgements, or reset: other cases have them.
        let text = String::from_utf8_lossy(&contents).into_owned();
        let goes = [
            "c",
            "C",
            "D",
            "k",
            "vCont;c",
            "vCont;C",
            "vKill",
            "vAttach",
            "QStart",
            "R",
            "qRcmd,7265736574",
        ];
        if goes.iter().any(|start| text.starts_with(start))
            || text.contains("c:")
            || text.contains(";c")
        {
            continue;
        }
        stream.write_all(&packet(&contents)).unwrap();
        assert!(answered(&mut stream), "round {round}: no answer to {text:?}");
    }
    // Bytes without a frame are thrown away at once.
    stream.write_all(&vec![b'x'; 1 << 20]).unwrap();
    stream.write_all(&packet(b"?")).unwrap();
    assert!(answered(&mut stream), "behind junk");
    assert!(program.try_wait().unwrap().is_none(), "it has ended");
    drop(stream);
    unsafe { libc::kill(program.id() as i32, libc::SIGTERM) };
    program.wait().unwrap();
}

/// gdb's `kill`, and then the end of the connection, which may come before the packet is read. Each answer that nobody has read yet makes
/// the next one fail.
fn what_a_debugger_sends_last_counts_although_it_has_left() {
    let directory = env!("CARGO_TARGET_TMPDIR");
    let (image, socket) = (format!("{directory}/loop.bin"), format!("{directory}/leaves"));
    fs::write(&image, b"\xbb\x00\x20\xff\x07\x90\xeb\xfb").unwrap();
    for before in 0..5 {
        let mut program = debugged(&socket, &[&image], Stdio::null());
        let mut stream = UnixStream::connect(&socket).unwrap();
        let mut packets = packet(b"?").repeat(before);
        packets.extend(packet(if before % 2 == 0 { b"vKill;1" } else { b"k" }));
        stream.write_all(&packets).unwrap();
        drop(stream);
        let mut tries = 0;
        while program.try_wait().unwrap().is_none() {
            tries += 1;
            assert!(tries < 100, "it waits for another debugger, {before} packets before the last");
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        assert_eq!(program.wait().unwrap().code(), Some(0));
    }
}

/// Takes an answer, and acknowledges it. The answers before it may have been text.
fn answered(stream: &mut UnixStream) -> bool {
    let mut bytes = Vec::new();
    let mut byte = [0];
    loop {
        match stream.read(&mut byte) {
            Ok(1) => bytes.push(byte[0]),
            _ => return false,
        }
        // Behind `#` come two digits.
        if bytes.len() > 3 && bytes[bytes.len() - 3] == b'#' {
            let is_text =
                bytes.iter().find(|&&byte| byte != b'+').is_some_and(|&byte| byte == b'$')
                    && bytes
                        .iter()
                        .position(|&byte| byte == b'O')
                        .is_some_and(|at| bytes[at - 1] == b'$')
                    && !bytes.ends_with(b"$OK#9a");
            stream.write_all(b"+").unwrap();
            if !is_text {
                return true;
            }
            bytes.clear();
        }
    }
}

fn main() -> ExitCode {
    std::env::set_current_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
    let tests: [(&str, fn()); 9] = [
        ("a_run_begins_with_one_warning", a_run_begins_with_one_warning),
        (
            "statistics_name_the_backend_as_the_only_cause",
            statistics_name_the_backend_as_the_only_cause,
        ),
        ("a_step_stops_at_hlt", a_step_stops_at_hlt),
        ("a_check_says_so", a_check_says_so),
        (
            "a_machine_is_saved_and_goes_on_where_it_fits",
            a_machine_is_saved_and_goes_on_where_it_fits,
        ),
        (
            "a_debugger_meets_the_processor_s_breakpoints",
            a_debugger_meets_the_processor_s_breakpoints,
        ),
        ("breakpoints_are_all_vcpus", breakpoints_are_all_vcpus),
        ("whatever_a_debugger_sends_is_answered", whatever_a_debugger_sends_is_answered),
        (
            "what_a_debugger_sends_last_counts_although_it_has_left",
            what_a_debugger_sends_last_counts_although_it_has_left,
        ),
    ];
    let (mut passed, mut failed, mut ignored) = (0, 0, 0);
    for (name, test) in tests {
        let verdict = if let Some(reason) = skip() {
            ignored += 1;
            format!("ignored (SKIP: {reason})")
        } else if std::panic::catch_unwind(test).is_ok() {
            passed += 1;
            "ok".into()
        } else {
            failed += 1;
            "FAILED".into()
        };
        println!("test {name} ... {verdict}");
    }
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored; 0 measured; 0 filtered out"
    );
    ExitCode::from(u8::from(failed > 0))
}
