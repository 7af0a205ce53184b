//! The Makefile keeps BiscuitOS' contract (`biscuitos/README.md`): in a copy of the tree as `make download`
//! makes it, without dotfiles, with what BiscuitOS' wrapper sets and exports.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

const TARGETA: &str = "BiscuitOS-UKVM-2M-default";

/// A new copy of the tree: `cp -rfa SOURCE/* ./`, but for what has been built in it.
fn copy(name: &str) -> PathBuf {
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&to);
    fs::create_dir_all(&to).unwrap();
    for entry in fs::read_dir(env!("CARGO_MANIFEST_DIR")).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let built = ["target", "BiscuitOS_app", "_BiscuitOS-VM.iso", TARGETA].contains(&name);
        if !name.starts_with('.') && !built {
            assert!(Command::new("cp").arg("-rfa").arg(&path).arg(&to).status().unwrap().success());
        }
    }
    to
}

fn make(directory: &Path) -> Command {
    let mut make = Command::new("make");
    // Of the `make test` that we are in.
    for variable in
        ["MAKEFLAGS", "MFLAGS", "MAKELEVEL", "TARGETA", "ARCH", "INSPATH", "KERNEL", "CMD"]
    {
        make.env_remove(variable);
    }
    make.current_dir(directory);
    make
}

/// What the wrapper's `make` runs.
fn wrapper(directory: &Path) -> Command {
    let tree = "/home/user/BiscuitOS/output/linux-5.0-x86_64";
    let mut make = make(directory);
    make.arg(format!("CC={tree}///bin/-gcc"))
        .arg(format!("CPP={tree}///bin/-g++"))
        .arg(format!("CXX={tree}///bin/-c++"))
        .args(["CFLAGS=", "LDFLAGS=-lnothing", "LDFLAGS=-lnothing", "CFLAGS="])
        .args(["CXXFLAGS=", "CCASFLAGS="])
        .arg(format!("LIBS=-L{tree}/rootfs/rootfs/usr/lib -L{tree}///lib "))
        .arg(format!("CPPFLAGS=-I{tree}/rootfs/rootfs/usr/include -I{tree}///include "))
        .arg(format!("PKG_CONFIG_PATH={tree}/rootfs/rootfs/usr/lib/pkgconfig"))
        .args(["CROSS_COMPILE=", "ARCH=x86_64"])
        .arg(format!("TARGETA={TARGETA}"));
    make
}

/// What the wrapper's `make install` runs: under sudo's PATH, where no cargo is.
fn install(directory: &Path, inspath: &Path) -> Command {
    let mut make = make(directory);
    make.arg("install")
        .arg(format!("INSPATH={}", inspath.display()))
        .arg(format!("TARGETA={TARGETA}"))
        .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
        .env("HOME", "/nonexistent");
    make
}

#[track_caller]
fn succeeds(mut command: Command) -> Output {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{command:?}: {}{stderr}",
        String::from_utf8_lossy(&output.stdout)
    );
    output
}

/// The command fails, and says this.
#[track_caller]
fn fails(mut command: Command, message: &str) {
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{command:?} succeeded");
    assert!(stderr.contains(message), "{command:?}: no '{message}' in: {stderr}");
}

fn files(directory: &Path) -> Vec<String> {
    let output = succeeds({
        let mut find = Command::new("find");
        find.current_dir(directory).args([".", "-type", "f"]);
        find
    });
    let mut files: Vec<String> =
        String::from_utf8(output.stdout).unwrap().lines().map(str::to_string).collect();
    files.sort();
    files
}

/// A copy in which the wrapper has built. It is not to be changed.
fn built() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let tree = copy("wrapper");
        succeeds(wrapper(&tree));
        tree
    })
}

/// Copies parts of what has been built there into a tree.
#[track_caller]
fn bring(tree: &Path, parts: &[&str]) {
    let mut cp = Command::new("cp");
    cp.arg("-a").args(parts.iter().map(|part| built().join(part))).arg(tree);
    succeeds(cp);
}

#[test]
fn the_wrapper_builds_the_program_and_the_image_beside_the_makefile() {
    let tree = built();
    let program = fs::metadata(tree.join(TARGETA)).unwrap();
    assert_eq!(program.permissions().mode() & 0o777, 0o755);
    assert!(fs::read(tree.join(TARGETA)).unwrap().starts_with(b"\x7fELF"));
    assert_eq!(fs::metadata(tree.join("_BiscuitOS-VM.iso")).unwrap().len(), 0x40 + 19);
    let version = succeeds({
        let mut program = Command::new(tree.join(TARGETA));
        program.arg("--version");
        program
    });
    assert!(version.stdout.starts_with(b"KOB-2M "));
}

#[test]
fn a_second_make_does_nothing() {
    let program = built().join(TARGETA);
    let date = || fs::metadata(&program).unwrap().modified().unwrap();
    let before = date();
    succeeds(wrapper(built()));
    assert_eq!(date(), before);
}

#[test]
fn install_puts_all_files_where_biscuitos_looks_and_needs_no_cargo() {
    let to = Path::new(env!("CARGO_TARGET_TMPDIR")).join("rootfs/usr/bin");
    let _ = fs::remove_dir_all(&to);
    // Twice: over what is there.
    for _ in 0..2 {
        succeeds(install(built(), &to));
    }
    let mode = |name: &str| fs::metadata(to.join(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(TARGETA), mode("RunBiscuitOS.sh")), (0o755, 0o755));
    assert!(to.join("firmware/_BiscuitOS-VM.iso").is_file());
    assert!(to.join("firmware/touch.bin").is_file());
    assert!(to.join("firmware/broken/triple.bin").is_file());
    assert!(to.join("firmware/kernel/exit.elf").is_file());
    let script = fs::read_to_string(to.join("RunBiscuitOS.sh")).unwrap();
    assert!(script.starts_with("#!/bin/ash\n"), "{script}");
    assert!(script.contains(&format!("\nPROGRAM={TARGETA}\n")), "{script}");
    let guests = files(&built().join("target/guest"))
        .iter()
        .filter(|f| f.ends_with(".bin") || f.ends_with(".elf"))
        .count();
    assert_eq!(files(&to).len(), 2 + guests, "the first guest is _BiscuitOS-VM.iso");
}

#[test]
fn install_before_make_says_what_is_missing() {
    let tree = copy("unbuilt");
    let to = tree.join("rootfs");
    let message = format!("{TARGETA} is missing: run `make TARGETA={TARGETA}` first");
    fails(install(&tree, &to), &message);
    assert!(!to.exists());
}

#[test]
fn install_names_the_one_file_that_is_missing() {
    let tree = copy("half");
    bring(&tree, &[TARGETA, "target"]);
    fails(install(&tree, &tree.join("rootfs")), "_BiscuitOS-VM.iso is missing");
}

#[test]
fn install_into_odd_places() {
    let tree = copy("odd places");
    bring(&tree, &["target", TARGETA, "_BiscuitOS-VM.iso"]);
    // A space in the path, of the tree as well.
    succeeds(install(&tree, &tree.join("a b")));
    assert!(tree.join("a b/firmware/touch.bin").is_file());
    // Into the tree itself, as `make install` alone does.
    let mut here = make(&tree);
    here.args(["install", &format!("TARGETA={TARGETA}")]);
    succeeds(here);
    assert!(tree.join("firmware/_BiscuitOS-VM.iso").is_file());
    // Into the root directory of the machine: what an unset variable would come to.
    fails(install(&tree, Path::new("")), "INSPATH is empty");
    for strange in ["/tmp/a\"q", "-x", "/tmp/`id`", "/tmp/\\"] {
        fails(install(&tree, Path::new(strange)), "begins with -, or has one of");
    }
}

#[test]
fn a_tree_with_a_space_in_its_path_builds() {
    let tree = copy("a space");
    succeeds(wrapper(&tree));
    assert!(tree.join(TARGETA).exists());
}

#[test]
fn a_kernel_that_is_none_is_refused() {
    for kernel in ["", "nonsense", "6", "6.1;touch harm"] {
        let tree = copy("kernel");
        let mut make = make(&tree);
        make.args(["pack", &format!("KERNEL={kernel}")]);
        fails(make, "not a series of Debian's kernels, such as 6.1 or 6.12");
        assert!(!tree.join("harm").exists());
    }
}

#[test]
fn clean_removes_what_make_made_and_nothing_else() {
    let tree = copy("clean");
    let before = files(&tree);
    bring(&tree, &["target"]);
    // From the built files, as the wrapper does it; a second name; and a file of the user's.
    succeeds(wrapper(&tree));
    let mut second = make(&tree);
    second.arg("TARGETA=another");
    succeeds(second);
    fs::write(tree.join("mine"), "mine").unwrap();
    assert!(tree.join(TARGETA).exists() && tree.join("another").exists());

    let mut clean = make(&tree);
    clean.args(["clean", &format!("TARGETA={TARGETA}")]);
    succeeds(clean);
    let mut expected = before.clone();
    expected.push("./mine".into());
    expected.sort();
    assert_eq!(files(&tree), expected);
    // With nothing to clean.
    let mut clean = make(&tree);
    clean.arg("clean");
    succeeds(clean);
}

#[test]
fn another_architecture_is_a_clear_error() {
    let tree = copy("arm");
    let mut make = make(&tree);
    make.arg("ARCH=arm64");
    fails(make, "ARCH=arm64: this project is x86_64 only");
}

#[test]
fn a_target_that_would_overwrite_something_is_refused() {
    let tree = copy("overwrite");
    bring(&tree, &["target"]);
    for (target, message) in [
        (
            "README.md",
            "README.md is there, and make did not make it; give another name: TARGETA=NAME",
        ),
        ("src/main.rs", "not a plain file name"),
        ("", "not a plain file name"),
        ("a b", "not a plain file name"),
        ("..", "not a plain file name"),
        ("-x", "not a plain file name"),
        ("it's", "not a plain file name"),
        ("a;touch harm", "not a plain file name"),
        ("clean", "the name is taken here"),
        ("target", "the name is taken here"),
        ("Cargo.toml", "the name is taken here"),
        ("_BiscuitOS-VM.iso", "the name is taken here"),
    ] {
        let mut make = make(&tree);
        make.arg(format!("TARGETA={target}"));
        fails(make, message);
    }
    assert!(!tree.join("harm").exists());
    let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    assert_eq!(fs::read(tree.join("README.md")).unwrap(), fs::read(readme).unwrap());
}

/// The package entry, in a tree whose package-app.sh prints the words that it gets.
#[test]
fn the_package_entry_gives_biscuitos_script_its_24_words() {
    let tree = Path::new(env!("CARGO_TARGET_TMPDIR")).join("tree");
    let _ = fs::remove_dir_all(&tree);
    fs::create_dir_all(tree.join("scripts/package")).unwrap();
    let script = "for word; do echo \"[$word]\"; done\n";
    fs::write(tree.join("scripts/package/package-app.sh"), script).unwrap();
    let entry = concat!(env!("CARGO_MANIFEST_DIR"), "/biscuitos/package/BiscuitOS-UKVM-2M");
    let makefile = format!(
        "srctree := .\nCONFIG_SHELL := sh\nQ := @\nCONFIG_MAIN_PROJ_NAME := linux-5.0-x86_64\n\
         CONFIG_LINUX_KERNEL_VERSION := 5.0\nCONFIG_PK_BISCUITOS_UKVM_2M_VERSION := default\n\
         CONFIG_PK_BISCUITOS_UKVM_2M_URL := url\nall: sub\ninclude {entry}/Makefile\n\
         sub: $(SUB_TARGET)\nFORCE:\n"
    );
    fs::write(tree.join("Makefile"), makefile).unwrap();
    let words = String::from_utf8(succeeds(make(&tree)).stdout).unwrap();
    let words: Vec<&str> = words.lines().collect();
    assert_eq!(words.len(), 24, "{words:?}");
    let patch = format!("[{entry}/patchX]");
    let first = ["[.X]", "[BiscuitOS-UKVM-2MX]", "[defaultX]", "[urlX]", "[X]", patch.as_str()];
    assert_eq!(words[..6], first);
    assert_eq!(words[6..10], ["[5.0X]", "[linux-5.0-x86_64X]", "[X]", "[X]"]);
    assert!(words[10..22].iter().all(|&word| word == "[X]"));
    assert_eq!(words[22..], ["[MakefileX]", "[X]"]);
}

/// The script runs in BiscuitOS' busybox alone: ash reads it, and each command in it is an applet.
#[test]
fn the_script_needs_busybox_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let busybox = root.join("target/biscuitos/debian/busybox/bin/busybox");
    let run = |arguments: &[&str]| {
        let mut command = Command::new(&busybox);
        command.args(arguments).current_dir(root);
        succeeds(command)
    };
    run(&["ash", "-n", "RunBiscuitOS.sh"]);
    for script in ["etc/init.d/rcS", "etc/session", "etc/command"] {
        run(&["ash", "-n", &format!("biscuitos/rootfs/{script}")]);
    }
    let applets = String::from_utf8(run(&["--list"]).stdout).unwrap();
    for command in ["grep", "mkdir", "mount", "cat", "echo", "dirname"] {
        assert!(applets.lines().any(|applet| applet == command), "{command}");
    }
}
