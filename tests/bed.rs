//! The bed: our small BiscuitOS in QEMU, on both kernels, where `tests/bed/cases.sh` runs the program on a
//! real `/dev/kvm`. One boot for all cases; `cargo test --test bed -- NAME` runs one case, and a pattern such as `'*clone*'` several.
//! What is tested is what `make` makes of the tree as it is.

mod assemble;

use assemble::{Guest, assemble};
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::thread;

/// Unless KERNELS names others.
const KERNELS: &str = "6.1 6.12";

#[derive(Default)]
struct Tally {
    passed: u32,
    skipped: u32,
    /// What each said of itself.
    failed: Vec<String>,
}

fn main() -> ExitCode {
    std::env::set_current_dir(env!("CARGO_MANIFEST_DIR")).unwrap();
    let only = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let kernels = std::env::var("KERNELS").unwrap_or(KERNELS.into());
    let kernels: Vec<String> = kernels.split(' ').map(String::from).collect();
    for kernel in &kernels {
        let packed =
            Command::new("make").args(["-s", "pack", &format!("KERNEL={kernel}")]).status();
        assert!(packed.expect("make runs").success(), "make pack KERNEL={kernel}");
    }
    let built = Command::new("cargo")
        .args(["build", "--quiet", "--locked", "--example", "compare"])
        .status();
    assert!(built.expect("cargo runs").success(), "cargo build --example compare");
    let beds: Vec<_> = kernels
        .into_iter()
        .map(|kernel| {
            let only = only.clone();
            thread::spawn(move || run(&kernel, &only))
        })
        .collect();
    let mut sum = Tally::default();
    for bed in beds {
        let tally = bed.join().unwrap();
        sum.passed += tally.passed;
        sum.failed.extend(tally.failed);
        sum.skipped += tally.skipped;
    }
    // Once more at the end, where whoever sees only that finds them.
    if !sum.failed.is_empty() {
        println!("\nfailures:\n    {}", sum.failed.join("\n    "));
    }
    let verdict = if sum.failed.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {} failed; {} ignored; 0 measured; 0 filtered out",
        sum.passed,
        sum.failed.len(),
        sum.skipped
    );
    ExitCode::from(u8::from(!sum.failed.is_empty()))
}

/// Boots one kernel and prints each case as it ends.
fn run(kernel: &str, only: &str) -> Tally {
    let overlay = format!("{}/bed-{kernel}", env!("CARGO_TARGET_TMPDIR"));
    lay_over(Path::new(&overlay), kernel);
    let all = std::env::var("FAULTS").is_ok_and(|faults| faults == "all");
    let mut bed = Command::new("sh");
    bed.args(["biscuitos/run", kernel])
        .env("OVERLAY", &overlay)
        .env("TOOLS", "strace lspci gdb")
        .env(
            "CMD",
            format!("ONLY={only} FAULTS={} sh /root/cases.sh", if all { "all" } else { "" }),
        )
        .env("TIMEOUT", if all { "7200" } else { "2700" })
        .stdin(Stdio::null())
        .stdout(Stdio::piped());
    // A timer that ticks again and again: QEMU's emulated SVM has stood still for ever, with all cases' own time limits, as it
    // would after one lost interrupt of a timer that is set anew each time.
    let timer = "nohz=off highres=off";
    bed.env("MEMORY", "1280M").env("APPEND", timer);
    // A page of 1 GiB must be set aside while the kernel boots. QEMU touches some 1.5 GiB then.
    if memory_to_spare() > 6 << 20 {
        bed.env("MEMORY", "3G").env("APPEND", format!("{timer} hugepagesz=1G hugepages=1"));
    }
    let mut bed = bed.spawn().expect("sh runs");

    let mut tally = Tally::default();
    let mut complete = false;
    for line in BufReader::new(bed.stdout.take().unwrap()).lines() {
        let line = String::from_utf8_lossy(line.unwrap().as_bytes()).into_owned();
        let (verdict, case) = line.split_once(' ').unwrap_or((&line, ""));
        match verdict {
            "ok" => tally.passed += 1,
            "skip" => tally.skipped += 1,
            "FAILED" => tally.failed.push(format!("linux {kernel}: {case}")),
            "done" => complete = true,
            _ => {}
        }
        match verdict {
            "ok" => println!("test linux {kernel}: {case} ... ok"),
            "skip" => println!("test linux {kernel}: {case} ... ignored (SKIP)"),
            "done" => {}
            _ => println!("test linux {kernel}: {line}"),
        }
    }
    let status = bed.wait().unwrap();
    let cases = tally.passed + tally.skipped + tally.failed.len() as u32;
    let failure = if !status.success() || !complete {
        format!("the bed did not run to its end: {status}")
    } else if cases == 0 {
        format!("there is no case {only}")
    } else {
        return tally;
    };
    println!("test linux {kernel}: {failure} ... FAILED");
    tally.failed.push(format!("linux {kernel}: {failure}"));
    tally
}

/// What the bed has beside the image: the cases, the transcripts, the kernel as ELF, and a user who owns nothing.
fn lay_over(directory: &Path, kernel: &str) {
    let _ = fs::remove_dir_all(directory);
    for part in ["root", "etc"] {
        fs::create_dir_all(directory.join(part)).unwrap();
    }
    for script in ["cases.sh", "transcript.sh"] {
        fs::copy(format!("tests/bed/{script}"), directory.join("root").join(script)).unwrap();
    }
    for name in ["pause", "drops", "two", "wake", "nmi", "hostile", "lost", "steal", "counters"] {
        let elf = directory.join(format!("root/{name}.elf"));
        assemble(&format!("tests/bed/{name}.S"), &elf, Guest::Kernel);
    }
    assemble("tests/bed/steps.S", &directory.join("root/steps.bin"), Guest::Image);
    fs::copy("target/debug/examples/compare", directory.join("root/compare")).unwrap();
    fs::create_dir(directory.join("boot")).unwrap();
    fs::write(directory.join("boot/vmlinux"), vmlinux(kernel)).unwrap();
    fs::create_dir(directory.join("root/golden")).unwrap();
    for file in fs::read_dir("tests/golden").unwrap() {
        let file = file.unwrap();
        fs::copy(file.path(), directory.join("root/golden").join(file.file_name())).unwrap();
    }
    let passwd = "root::0:0::/root:/bin/sh\nnobody::65534:65534::/:/bin/sh\n";
    fs::write(directory.join("etc/passwd"), passwd).unwrap();
}

/// The ELF file in the image's kernel: `Documentation/arch/x86/boot.rst`, `payload_offset`. It is packed by one of these, and its
/// size comes behind.
fn vmlinux(kernel: &str) -> Vec<u8> {
    let file = fs::read(format!("target/biscuitos/{kernel}/vmlinuz")).unwrap();
    let number = |at| u32::from_le_bytes(file[at..at + 4].try_into().unwrap()) as usize;
    let start = (usize::from(file[0x1f1]) + 1) * 512 + number(0x248);
    let payload = &file[start..start + number(0x24c)];
    let tool = match payload[..2] {
        [0x02, 0x21] => "lz4",
        [0x28, 0xb5] => "zstd",
        _ => "xz",
    };
    let path = format!("{}/vmlinux-{kernel}", env!("CARGO_TARGET_TMPDIR"));
    fs::write(&path, payload).unwrap();
    let output = Command::new(tool).args(["-dc"]).stdin(fs::File::open(&path).unwrap()).output();
    let file = output.unwrap_or_else(|_| panic!("{tool} runs")).stdout;
    assert!(file.starts_with(b"\x7fELF"), "{tool} unpacked no kernel");
    file
}

/// In KiB.
fn memory_to_spare() -> u64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap();
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemAvailable:")).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}
