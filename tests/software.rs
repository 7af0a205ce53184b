//! Where this machine's KVM is a software backend, as nested clouds have it: the warning, the reason that `--stats` gives, and where
//! `--step` stops. The bed has AMD's SVM, so this runs on the machine itself, or says SKIP.

use std::fs::{self, OpenOptions};
use std::process::{Command, ExitCode, Stdio};

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

fn main() -> ExitCode {
    std::env::set_current_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
    let tests: [(&str, fn()); 4] = [
        ("a_run_begins_with_one_warning", a_run_begins_with_one_warning),
        (
            "statistics_name_the_backend_as_the_only_cause",
            statistics_name_the_backend_as_the_only_cause,
        ),
        ("a_step_stops_at_hlt", a_step_stops_at_hlt),
        ("a_check_says_so", a_check_says_so),
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
