//! `make run` as a user has it: at a terminal, with keys.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};
use std::sync::Once;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use std::{ptr, thread};

/// A command at a terminal of its own, and what it prints there.
struct Session {
    child: Child,
    keys: File,
    output: Receiver<Vec<u8>>,
    seen: String,
}

impl Session {
    fn start(command: &mut Command) -> Session {
        let (mut master, mut slave) = (-1, -1);
        // SAFETY: openpty fills the two numbers; the null pointers ask for its defaults.
        let result = unsafe {
            libc::openpty(&mut master, &mut slave, ptr::null_mut(), ptr::null(), ptr::null())
        };
        assert_eq!(result, 0);
        // SAFETY: the kernel has just made both for us.
        let (mut master, slave) =
            unsafe { (File::from_raw_fd(master), OwnedFd::from_raw_fd(slave)) };
        command.stdin(slave.try_clone().unwrap()).stdout(slave.try_clone().unwrap()).stderr(slave);
        // SAFETY: makes two system calls between fork and exec.
        unsafe {
            command.pre_exec(|| {
                libc::setsid();
                libc::ioctl(0, libc::TIOCSCTTY, 0);
                Ok(())
            })
        };
        let child = command.spawn().unwrap();
        let keys = master.try_clone().unwrap();
        let (sender, output) = channel();
        thread::spawn(move || {
            let mut bytes = [0; 4096];
            // At the end of the session Linux gives EIO.
            while let Ok(count @ 1..) = master.read(&mut bytes) {
                let _ = sender.send(bytes[..count].to_vec());
            }
        });
        Session { child, keys, output, seen: String::new() }
    }

    /// Waits until `text` appears behind what was waited for last.
    fn expect(&mut self, text: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        loop {
            if let Some(at) = self.seen.find(text) {
                self.seen.drain(..at + text.len());
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            match self.output.recv_timeout(left) {
                Ok(bytes) => self.seen += &String::from_utf8_lossy(&bytes),
                Err(_) => panic!("no '{text}' in: {}", self.seen),
            }
        }
    }

    /// What appears until `text` does.
    fn until(&mut self, text: &str) -> String {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.seen.contains(text) {
            let left = end.saturating_duration_since(Instant::now());
            let bytes = self.output.recv_timeout(left).unwrap_or_else(|_| panic!("no '{text}'"));
            self.seen += &String::from_utf8_lossy(&bytes);
        }
        let at = self.seen.find(text).unwrap();
        self.seen.drain(..at + text.len()).collect()
    }

    fn type_keys(&mut self, keys: &[u8]) {
        self.keys.write_all(keys).unwrap();
    }
}

impl Drop for Session {
    /// Ends the whole session, whose leader the command is: QEMU too, where a test failed before its end.
    fn drop(&mut self) {
        // SAFETY: signals the process group that `setsid` made.
        unsafe { libc::kill(-(self.child.id() as i32), libc::SIGTERM) };
        let _ = self.child.wait();
    }
}

fn bed() -> Command {
    static PACKED: Once = Once::new();
    PACKED.call_once(|| {
        let mut make = Command::new("make");
        make.args(["-s", "pack", "KERNEL=6.1"]).current_dir(env!("CARGO_MANIFEST_DIR"));
        assert!(make.status().expect("make runs").success());
    });
    let mut command = Command::new("sh");
    command.args(["biscuitos/run", "6.1"]).current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env_remove("CMD").env("TIMEOUT", "300");
    command
}

/// The bed, whose guest has said its line and was ended by Ctrl-C: the shell is there.
fn shell() -> Session {
    let mut session = Session::start(&mut bed());
    session.expect("Ctrl-C ends the guest");
    session.expect("Hello BiscuitOS :)");
    session.type_keys(b"\x03");
    session.expect("# ");
    session
}

#[test]
fn the_line_appears_ctrl_c_ends_the_guest_and_the_shell_is_there() {
    let mut session = shell();
    session.type_keys(b"RunBiscuitOS.sh --pause 60; echo status $?\r");
    session.expect("Hello BiscuitOS :)");
    session.type_keys(b"\x03");
    session.expect("status 130");
    session.type_keys(b"poweroff -f\r");
    assert!(session.child.wait().unwrap().success());
}

/// The program opens a terminal a second time, and traces that too.
#[test]
fn a_trace_can_go_to_the_terminal() {
    let cmd = "timeout 20 BiscuitOS_app -b anon --trace /usr/bin/firmware/halt.bin; echo ended $?; \
               timeout 20 BiscuitOS_app -b anon --trace-file /tmp/trace /usr/bin/firmware/halt.bin; echo ended $?";
    let mut session = Session::start(bed().env("CMD", format!("exec 2>&1; {cmd}")));
    session.expect("KVM_CREATE_VM");
    // The guest prints `x` without a newline, on this terminal too.
    let shown = session.until("\nBiscuitOS_app: KVM_EXIT_HLT").replace('\r', "");
    assert!(shown.contains("\nx\n") && !shown.contains("\n\n"), "{shown}");
    session.expect("ended 0");
    session.expect("ended 0");
    assert!(session.child.wait().unwrap().success());
}

/// As docs/debugging.md shows it. The guest may still be starting when it is saved.
#[test]
fn a_machine_that_was_saved_goes_on_at_the_terminal() {
    let mut session = shell();
    session.type_keys(
        b"(sleep 12; killall -USR2 BiscuitOS_app) & RunBiscuitOS.sh --kernel /boot/vmlinuz --initrd /boot/initrd --save /tmp/snapshot\r",
    );
    session.expect("and the machine ends here");
    session.type_keys(
        b"RunBiscuitOS.sh --restore /tmp/snapshot --backing /mnt/HugePagefs/BiscuitOS_HugePage\r",
    );
    session.type_keys(b"\r");
    std::thread::sleep(Duration::from_secs(2));
    session.type_keys(b"echo it is $((6 * 7)) at $(date +%s)\r");
    let before = session.until("it is 42 at ");
    assert!(!before.contains("not found"), "{before}");
    let now = std::time::UNIX_EPOCH.elapsed().unwrap().as_secs();
    let time: u64 = session.until("\n").trim().parse().unwrap();
    assert!(now.abs_diff(time) <= 3, "{time}, and now it is {now}");
    session.type_keys(b"poweroff -f\r");
    session.expect("Power down");
    session.expect("# ");
    session.type_keys(b"echo back with $?\r");
    session.expect("back with 0");
    session.type_keys(b"poweroff -f\r");
    assert!(session.child.wait().unwrap().success());
}

/// A save that takes more than a second, because each write does its part of it.
#[test]
fn saving_tells_a_terminal_how_far_it_is() {
    let cmd = "exec 2>&1; \
               strace -f -o /dev/null -e trace=pwrite64 -e inject=pwrite64:delay_enter=20000 \
               BiscuitOS_app -b anon --pause 60 --save-ram /tmp/saved /usr/bin/firmware/touch.bin & \
               sleep 3; killall -USR2 BiscuitOS_app; wait";
    let mut session = Session::start(bed().env("TOOLS", "strace").env("CMD", cmd));
    session.expect("saving: ");
    session.expect(" of 16 MiB");
    session.expect("saved to /tmp/saved, with RAM");
}

#[test]
fn a_check_is_in_colour_on_a_terminal_unless_no_color_is_set() {
    let check = "BiscuitOS_app --check -b anon /usr/bin/firmware/halt.bin";
    let cmd = format!(
        "{check}; echo one; NO_COLOR=1 {check}; echo two; NO_COLOR= {check}; echo three; {check} | cat; echo four"
    );
    let mut session = Session::start(bed().env("CMD", cmd));
    for (end, in_colour) in [("one", true), ("two", false), ("three", true), ("four", false)] {
        let shown = session.until(end);
        assert!(shown.contains("This machine would start."), "{shown}");
        assert_eq!(shown.contains("\x1b[32mok"), in_colour, "{end}: {shown}");
    }
    assert!(session.child.wait().unwrap().success());
}

#[test]
fn make_run_says_what_it_does_and_how_the_command_ended() {
    let make = |cmd: &str| {
        let mut command = Command::new("make");
        command.args(["run", "KERNEL=6.1", &format!("CMD={cmd}")]);
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // One after the other: two makes at once would build the same files.
    let _bed = bed();
    let (status, said) = make("exit 7");
    assert_eq!(status, Some(2));
    assert!(said.contains("booting Linux 6.1 in QEMU, about 10 s"), "{said}");
    let last = said.lines().last().unwrap();
    assert!(
        last.contains("*** the command in QEMU ended with status 7; make itself did not fail"),
        "{said}"
    );
    let (status, said) = make("true");
    assert_eq!((status, said.contains("ended with status")), (Some(0), false), "{said}");
}

/// A program that is stopped, or in the background, leaves the terminal to the shell, and takes it again afterwards.
#[test]
fn a_kernel_has_the_terminal_only_in_the_foreground() {
    let mut session = Session::start(&mut bed());
    session.expect("Hello BiscuitOS :)");
    session.type_keys(b"\x03");
    session.expect("# ");
    // What is expected must not stand in what is typed, which the shell echoes.
    let cooked = "stty -a | cmp - /tmp/cooked && echo coo'ked'\r";
    // A read would wait for five bytes, if the program left that so.
    session.type_keys(b"stty min 5 time 3; stty -a > /tmp/cooked; echo sa'ved'\r");
    session.expect("saved");
    session.type_keys(b"BiscuitOS_app -b anon -k /usr/bin/firmware/kernel/serial.elf & sleep 2\r");
    thread::sleep(Duration::from_secs(3));
    session.type_keys(cooked.as_bytes());
    session.expect("cooked");
    for signal in ["TSTP", "STOP"] {
        let look = format!(
            "(sleep 3; stty -F /dev/ttyS0 -a > /tmp/raw; killall -{signal} BiscuitOS_app) & fg %1\r"
        );
        session.type_keys(look.as_bytes());
        thread::sleep(Duration::from_secs(5));
        session.type_keys(b"\rgrep -q -e -icanon /tmp/raw && grep -q 'min = 1; time = 0;' /tmp/raw && echo it was ra'w'\r");
        session.expect("it was raw");
        session.type_keys(cooked.as_bytes());
        session.expect("cooked");
    }
    session.type_keys(b"fg %1\r");
    thread::sleep(Duration::from_secs(2));
    session.type_keys(b"abc.");
    session.expect("with status 1 through port 0xf4");
    session.type_keys(b"poweroff -f\r");
    assert!(session.child.wait().unwrap().success());
}

/// Calls before, while and after the program has the terminal.
#[test]
fn whatever_call_fails_the_terminal_is_given_back() {
    let mut session = Session::start(bed().env("TOOLS", "strace"));
    session.expect("Hello BiscuitOS :)");
    session.type_keys(b"\x03");
    session.expect("# ");
    session
        .type_keys(b"app='BiscuitOS_app -b anon -k /usr/bin/firmware/kernel/off.elf --append o'\r");
    session.type_keys(
        b"inject() { strace -f -o /tmp/log -e signal=none -e inject=$1:error=EIO$2 $app; }\r",
    );
    session.type_keys(b"stty -a > /tmp/cooked; for call in ioctl:10 write:1 clone:1 clone:2 rt_sigaction:20 mmap:9; do\r");
    session.type_keys(b"inject ${call%:*} :when=${call#*:}; stty -a | cmp - /tmp/cooked || echo wro'ng'; grep -q INJECTED /tmp/log || echo wro'ng'; done; echo all do'ne'\r");
    let shown = session.until("all done");
    assert!(shown.contains("EIO (5)") && !shown.contains("wrong"), "{shown}");
    session.type_keys(b"poweroff -f\r");
    assert!(session.child.wait().unwrap().success());
}

#[test]
fn ctrl_a_x_leaves() {
    let mut session = Session::start(&mut bed());
    session.expect("Hello BiscuitOS :)");
    session.type_keys(b"\x01x");
    assert!(session.child.wait().unwrap().success());
}

/// Runs a command in the image, waits until it shows something, and interrupts it there.
#[track_caller]
fn ctrl_c_ends(cmd: &str, shown: &str) {
    let mut session = Session::start(bed().env("CMD", cmd));
    session.expect(shown);
    session.type_keys(b"\x03");
    assert_eq!(session.child.wait().unwrap().code(), Some(130));
}

/// A screen a second, until Ctrl-C.
#[test]
fn statistics_come_live_on_a_terminal() {
    ctrl_c_ends(
        "BiscuitOS_app -b anon --stats=live --pause 0 /usr/bin/firmware/_BiscuitOS-VM.iso > /dev/null",
        "in this program",
    );
}

#[test]
fn ctrl_c_reaches_a_command_too() {
    ctrl_c_ends("RunBiscuitOS.sh", "Hello BiscuitOS :)");
}

/// The guest prints `x` without a newline, and loops for ever.
#[test]
fn on_a_terminal_a_byte_appears_at_once() {
    let guest = r"printf '\260\170\346\020\353\376' > guest";
    ctrl_c_ends(&format!("{guest}; BiscuitOS_app --backing anon guest"), "x");
}

#[test]
fn a_command_s_output_error_and_status_come_through_unchanged() {
    let mut command = bed();
    command.env("CMD", r#"printf 'a\0\377\n\t$HOME "x"'; echo oops >&2; exit 7"#);
    let output = command.output().unwrap();
    assert_eq!(output.stdout, b"a\0\xff\n\t$HOME \"x\"");
    assert_eq!(output.stderr, b"oops\n");
    assert_eq!(output.status.code(), Some(7));
}

/// Linux in the machine: its shell takes keys, Ctrl-C too, and afterwards the terminal is what it was, also where the user leaves
/// or a signal ends the program.
#[test]
fn a_kernel_has_the_terminal_and_gives_it_back() {
    let boot = "RunBiscuitOS.sh --kernel /boot/vmlinuz --initrd /boot/initrd --cpus 2 --append 'console=ttyS0 quiet'";
    // Without an init Linux panics, and hangs.
    let deaf = "RunBiscuitOS.sh --kernel /boot/vmlinuz --append 'console=ttyS0 quiet panic=0'";
    let look = "stty -F /dev/ttyS1 -a > /tmp/now; [ -s /tmp/now ] && cmp /tmp/before /tmp/now && echo restored";
    let cmd = format!(
        "stty -F /dev/ttyS1 -a > /tmp/before; {boot}; echo status $?; {look}; {boot}; echo left $?; {look}; \
         {deaf}; echo deaf $?; {look}; exec 2> /dev/null; (sleep 2; killall -QUIT BiscuitOS_app) & {boot}; echo killed $?; {look}"
    );
    let mut session = Session::start(bed().env("CMD", cmd));
    session.expect("2 CPUs");
    session.expect("/ # ");
    session.type_keys(b"echo g'o'; cat\r");
    session.expect("\ngo");
    thread::sleep(Duration::from_secs(1));
    session.type_keys(b"\x03");
    session.expect("/ # ");
    session.type_keys(b"echo $((6 * 7)) it is\r");
    session.expect("42 it is");
    session.type_keys(b"exit\r");
    session.expect("status 0");
    session.expect("restored");
    session.expect("/ # ");
    session.type_keys(b"\x01x");
    session.expect("left 0");
    session.expect("restored");
    session.expect("end Kernel panic");
    session.type_keys(b"abc\x03\x01x");
    session.expect("deaf 0");
    session.expect("restored");
    session.expect("killed 131");
    session.expect("restored");
    assert!(session.child.wait().unwrap().success());
}
