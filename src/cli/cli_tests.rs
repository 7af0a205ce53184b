//! Command lines, good and bad.

use super::*;
use crate::layout::RAM_LIMIT;
use crate::x86::registers::Setting;
use value::{number, seconds};

fn parsed(words: &[&'static CStr]) -> Result<Command, UsageError> {
    parse(words.iter().copied())
}

fn config(words: &[&'static CStr]) -> Config {
    match parsed(words) {
        Ok(Command::Run(config)) => {
            assert_eq!(config.words, words, "they are kept for a snapshot");
            Config { words: Vec::new(), ..config }
        }
        other => panic!("{words:?}: {other:?}"),
    }
}

fn wrong(words: &[&'static CStr]) -> String {
    parsed(words).unwrap_err().to_string()
}

#[test]
fn without_words_it_is_kob_2m() {
    assert_eq!(config(&[]), Config::default());
    let kob = Config::default();
    assert_eq!((kob.memory, kob.base, kob.load, kob.entry), (16 << 20, 0, 0x1000, 0x1000));
    assert_eq!(kob.backing, Backing::File(c"/mnt/HugePagefs/BiscuitOS_HugePage"));
    assert_eq!(kob.guest, Guest::Image(c"/usr/bin/firmware/_BiscuitOS-VM.iso"));
    assert_eq!((kob.pause, kob.mode), (6_000_000_000, Mode::Real));
}

#[test]
fn instruments_are_asked_for_one_by_one() {
    let none = Instruments::default();
    let both = Instruments { trace_calls: true, trace_exits: true, ..none };
    for (word, instruments) in [
        (c"--trace", both),
        (c"--trace=exits,calls", both),
        (c"--trace=calls", Instruments { trace_calls: true, ..none }),
        (c"--trace=exits", Instruments { trace_exits: true, ..none }),
        (c"--step", Instruments { step: true, ..none }),
        (c"--stats", Instruments { stats: true, ..none }),
        (c"--stats=live", Instruments { stats: true, live: true, ..none }),
        (c"--map", Instruments { map: true, ..none }),
        (c"--dirty-log", Instruments { dirty_log: true, ..none }),
        (c"--replay", Instruments { replay: true, ..none }),
    ] {
        assert_eq!(config(&[word]).instruments, instruments, "{word:?}");
    }
    assert_eq!(config(&[c"--trace", c"image"]).guest, Guest::Image(c"image"));
    assert!(matches!(parsed(&[c"--check", c"x"]), Ok(Command::Check(_))));
    let words: &[&CStr] = &[c"--trace-file=f", c"--trace-format", c"timeline"];
    let timeline = Instruments { trace_file: Some(c"f"), timeline: true, ..both };
    assert_eq!(config(words).instruments, timeline);
    let text: &[&CStr] = &[c"--trace-file=f", c"--trace-format=text"];
    assert_eq!(config(text).instruments, Instruments { timeline: false, ..timeline });
}

#[test]
fn a_lesson_takes_a_trace_and_nothing_else() {
    let Ok(Command::Lesson(lesson, config)) = parsed(&[c"--lesson", c"dirty-ring", c"--trace"])
    else {
        panic!()
    };
    assert_eq!((lesson.to_string().as_str(), config.instruments.trace_exits), ("dirty-ring", true));
    assert_eq!(parsed(&[c"--lesson=list"]), Ok(Command::LessonList));
}

#[test]
fn modes_registers_and_backings() {
    for (name, mode) in [
        (c"real", Mode::Real),
        (c"protected", Mode::Protected),
        (c"long", Mode::Long),
        (c"user", Mode::User),
    ] {
        assert_eq!(config(&[c"--mode", name]).mode, mode);
    }
    let set = config(&[c"--set", c"rax=1", c"--set=cs.type=0x3"]).set;
    let settings = [Setting::new("rax", 1).unwrap(), Setting::new("cs.type", 3).unwrap()];
    assert_eq!(set, settings);
    for text in [c"=1", c"rbx.base=1", c"cs=1", c"foo=16"] {
        assert!(wrong(&[c"--set", text]).contains("no such register; --help lists them"));
    }
    assert!(
        wrong(&[c"--set", c"cs.type=16"]).contains("the value has more bits than the register")
    );
    for text in [c"rax", c"\xff=1"] {
        assert!(wrong(&[c"--set", text]).contains("not REG=VALUE"));
    }
    assert!(wrong(&[c"--set", c"rax="]).contains("not a number"));
    for (name, backing) in [
        (c"anon", Backing::Anonymous),
        (c"thp", Backing::Transparent),
        (c"memfd", Backing::Memfd),
        (c"/x=y", Backing::File(c"/x=y")),
    ] {
        assert_eq!(config(&[c"--backing", name]).backing, backing);
    }
}

#[test]
fn a_value_may_follow_or_be_attached() {
    for words in [&[c"-m", c"2M"][..], &[c"-m2M"], &[c"--memory", c"2M"], &[c"--memory=2M"]] {
        assert_eq!(config(words).memory, 2 << 20, "{words:?}");
    }
    assert_eq!(config(&[c"-b=x"]).backing, Backing::File(c"=x"));
}

#[test]
fn a_saved_machine_keeps_its_options_but_for_those_of_the_run() {
    let restore = |words: &[&'static CStr]| match parsed(words) {
        Ok(Command::Restore(restore)) => restore,
        other => panic!("{words:?}: {other:?}"),
    };
    let saved = [
        c"-k",
        c"k",
        c"-c2",
        c"--gdb=:1",
        c"--gdb-wait",
        c"--stats",
        c"--save=a",
        c"-bmemfd",
        c"--grace=3",
    ];
    let plain = restore(&[c"--restore", c"a"]);
    assert_eq!((plain.path, plain.is_check), (c"a", false));
    let config = plain.config(saved.to_vec()).unwrap();
    assert_eq!((config.guest, config.cpus, config.grace), (Guest::Kernel(c"k"), 2, 3_000_000_000));
    assert_eq!((config.backing, config.save, config.gdb), (Backing::Private, None, None));
    assert_eq!((config.gdb_wait, config.instruments), (false, Instruments::default()));
    assert_eq!(config.words, saved, "for the next snapshot");
    let other =
        [c"--restore=a", c"-bthp", c"--save-ram=b", c"--trace-file=t", c"--grace=5", c"--gdb=/g"];
    let config = restore(&other).config(saved.to_vec()).unwrap();
    assert_eq!((config.backing, config.grace), (Backing::Transparent, 5_000_000_000));
    assert_eq!(config.save, Some(Save { path: c"b", with_ram: true }));
    assert_eq!(config.gdb, Some(GdbAddress::Path(c"/g")));
    assert!(config.instruments.trace_exits && config.instruments.trace_calls);
    assert!(restore(&[c"--check", c"--restore", c"a"]).is_check);
    for words in [&[c"--help"][..], &[c"--restore=b"], &[c"--nonsense"], &[c"x", c"y"]] {
        assert!(plain.config(words.to_vec()).is_err(), "{words:?}");
    }
    for (words, option) in [
        (&[c"--restore=a", c"-m1M"][..], "--memory"),
        (&[c"-k", c"k", c"--restore=a"], "--kernel"),
        (&[c"image", c"--restore=a"], "IMAGE"),
        (&[c"--restore=a", c"--step"], "--step"),
    ] {
        assert!(wrong(words).starts_with(&format!("{option}: not with --restore")), "{words:?}");
    }
    assert!(wrong(&[c"--save=a", c"--save-ram=b"]).starts_with("--save: not with --save-ram"));
    assert!(wrong(&[c"--restore=a", c"--gdb-wait"]).starts_with("--gdb-wait: only with --gdb"));
    assert!(wrong(&[c"--restore=a", c"--json"]).starts_with("--json: only with"));
}

#[test]
fn what_users_of_qemu_and_kvmtool_type_is_understood() {
    let kernel =
        config(&[c"--kernel", c"k", c"--initrd", c"i", c"--append", c"a b", c"--cpus", c"2"]);
    for words in [
        &[c"-k", c"k", c"-i", c"i", c"-p", c"a b", c"-c", c"2"][..],
        &[c"-kk", c"-ii", c"-pa b", c"-c2"],
        &[c"-kernel", c"k", c"-initrd", c"i", c"-append", c"a b", c"-smp", c"2"],
        &[c"-kernel", c"k", c"-initrd", c"i", c"-append", c"a b", c"-smp", c"cpus=2"],
        &[c"-kernel", c"k", c"-initrd", c"i", c"-params", c"a b", c"-cpus", c"2"],
        &[c"--kernel=k", c"--init=i", c"--params", c"a b", c"--cpus", c"2"],
    ] {
        assert_eq!(config(words), kernel, "{words:?}");
    }
    assert_eq!(parsed(&[c"-hV"]), Ok(Command::Help));
    assert_eq!(parsed(&[c"-Vh"]), Ok(Command::Version));
    assert_eq!(config(&[c"--mem=2M"]).memory, 2 << 20);
    assert!(config(&[c"--trace"]).instruments.trace_exits, "the whole name of one option");
}

#[test]
fn a_file_for_a_trace_asks_for_one() {
    let none = Instruments::default();
    let file = Some(c"t");
    for (words, instruments) in [
        (
            &[c"--trace-file", c"t"][..],
            Instruments { trace_calls: true, trace_exits: true, ..none },
        ),
        (&[c"--trace-file=t", c"--trace=calls"], Instruments { trace_calls: true, ..none }),
        (&[c"--step", c"--trace-file=t"], Instruments { step: true, ..none }),
    ] {
        assert_eq!(config(words).instruments, Instruments { trace_file: file, ..instruments });
    }
}

#[test]
fn a_kernel_has_defaults_of_its_own() {
    let kernel = config(&[c"--kernel", c"k", c"--initrd", c"a", c"--initrd=b"]);
    assert_eq!((kernel.memory, kernel.pause), (256 << 20, 0));
    assert_eq!(kernel.initrds, [c"a", c"b"]);
    let kernel = config(&[c"--pause", c"1", c"-m", c"64M", c"--kernel", c"k"]);
    assert_eq!((kernel.memory, kernel.pause), (64 << 20, 1_000_000_000));
}

#[test]
fn entry_is_where_the_image_went_unless_said() {
    assert_eq!(config(&[c"--load", c"0x2000"]).entry, 0x2000);
    assert_eq!(config(&[c"--entry", c"0x2000"]).load, 0x1000);
    assert_eq!(config(&[c"--entry", c"0x2000", c"--load", c"64K"]).entry, 0x2000);
}

#[test]
fn options_end_at_two_dashes_and_the_last_of_two_counts() {
    assert_eq!(config(&[c"--", c"-m"]).guest, Guest::Image(c"-m"));
    assert_eq!(config(&[c"-"]).guest, Guest::Image(c"-"));
    assert_eq!(config(&[c"a", c"-m", c"2M", c"-m", c"4M"]).memory, 4 << 20);
}

#[test]
fn numbers() {
    for (text, value) in [
        (&b"0"[..], 0),
        (b"4096", 4096),
        (b"0x1000", 0x1000),
        (b"0XfF", 255),
        (b"16k", 16 << 10),
        (b"0x10M", 16 << 20),
        (b"3G", 3 << 30),
        (b"18446744073709551615", u64::MAX),
    ] {
        assert_eq!(number(text), Ok(value));
    }
    for text in
        ["", "x", "0x", "M", "1MM", "1 ", " 1", "-1", "+1", "1.5M", "0b1", "1T"].map(str::as_bytes)
    {
        assert_eq!(number(text), Err(Reason::NotANumber), "{text:?}");
    }
    for text in [&b"18446744073709551616"[..], b"0x10000000000000000", b"17179869184G"] {
        assert_eq!(number(text), Err(Reason::TooLarge), "{text:?}");
    }
    assert_eq!(number(b"99999999999999999999x"), Err(Reason::NotANumber));
}

#[test]
fn pauses() {
    for (text, nanoseconds) in [
        (&b"0"[..], 0),
        (b"6", 6_000_000_000),
        (b"0.25", 250_000_000),
        (b".5", 500_000_000),
        (b"1.", 1_000_000_000),
        (b"0.0000000019", 1),
    ] {
        assert_eq!(seconds(text), Ok(nanoseconds));
    }
    for text in ["", ".", "-1", "1e3", "1.2.3", "0x1", "inf", "1s", "1.0000000000x"] {
        assert_eq!(seconds(text.as_bytes()), Err(Reason::NotSeconds), "{text}");
    }
    assert_eq!(seconds(b"99999999999"), Err(Reason::TooLong));
}

#[test]
fn what_is_wrong_is_named() {
    for (words, message) in [
        (&[c"-m"][..], "--memory: needs a value"),
        (&[c"--paws"], "--paws: no such option"),
        (&[c"-x"], "-x: no such option"),
        (&[c"- "], "- : no such option"),
        (&[c"-="], "-=: no such option"),
        (&[c"--="], "--=: no such option"),
        (&[c"--memo=2"], "--memory 2: not a multiple of 4 KiB"),
        (
            &[c"--memory=18446744073709551615"],
            "--memory 18446744073709551615: too much; from --base 0x0",
        ),
        (&[c"--re=end"], "--re=end: could be --reset, --replay, ..."),
        (&[c"-hx"], "-hx: no such option"),
        (&[c"-hm"], "-hm: no such option"),
        (&[c"--help=x"], "--help: takes no value"),
        (&[c"--step=1"], "--step: takes no value"),
        (&[c"a", c"b"], "b: only one guest can run"),
        (&[c"--kernel", c"a", c"b"], "b: only one guest can run"),
        (&[c"--kernel="], "--kernel: needs a value"),
        (&[c"--backing="], "--backing: needs a value"),
        (&[c"--json"], "--json: only with --stats or --check"),
        (&[c"--stats=x"], "--stats=x: not one of end, live"),
        (&[c"--stats=live", c"--json"], "--stats=live: a screen for people"),
        (&[c"--trace-format", c"xml"], "--trace-format xml: not one of text, timeline"),
        (&[c"--trace-format=timeline"], "--trace-format timeline: only with --trace-file"),
        (
            &[c"--trace-format=timeline", c"--trace-file=f", c"--step"],
            "--step: its lines are no events",
        ),
        (&[c"--lesson", c"dirty_ring"], "--lesson dirty_ring: no such lesson"),
        (&[c"--lesson", c"nmi", c"x"], "IMAGE: a lesson has its own machine"),
        (&[c"--lesson=nmi", c"-m1M"], "--memory: a lesson has its own machine"),
        (&[c"--kernel", c"k", c"--load", c"2M"], "--load: not with --kernel"),
        (&[c"--entry", c"2M", c"--kernel", c"k"], "--entry: not with --kernel"),
        (&[c"-k", c"k", c"--mode=real"], "--mode: not with --kernel"),
        (&[c"-m", c"0"], "--memory 0: must not be 0"),
        (&[c"--cpu", c"host,+"], "--cpu host,+: something is missing"),
        (&[c"--cpu", c",host"], "--cpu ,host: something is missing"),
        (&[c"--cpu", c"host,vendor="], "vendor= means nothing"),
        (&[c"--cpu", c"vendor=thirteen_char"], "vendor=thirteen_char means nothing"),
        (&[c"--cpu", c"brand=\xc3\xa9"], "means nothing"),
        (&[c"--cpu", c"family=271"], "family= (up to 270)"),
        (&[c"--gdb", c"10.0.0.1:1"], "--gdb 10.0.0.1:1: not a path"),
        (&[c"--gdb", c":65536"], "--gdb :65536: not a path"),
        (&[c"--gdb-wait"], "--gdb-wait: only with --gdb"),
        (&[c"--gdb", c":1", c"--replay"], "--gdb: not with --replay"),
        (&[c"--cpus", c"0"], "--cpus 0: must not be 0"),
        (&[c"--cpus", c"256"], "--cpus 256: at most 255"),
        (&[c"--base=x"], "--base x: not a number"),
        (&[c"--pause="], "--pause: needs a value"),
        (&[c""], "IMAGE: needs a value"),
        (&[c"--pause=x"], "--pause x: not a number of seconds"),
        (&[c"--trace", c"calls", c"image"], "calls is the first\n  Or --trace=calls"),
        (&[c"--cpus", c"1.5"], "--cpus 1.5: not a number such as 1 or 4"),
        (&[c"--trace=x"], "--trace=x: not one of calls, exits"),
        (&[c"--trace=calls,"], "--trace=calls,: not one of calls, exits"),
        (&[c"--mode", c"vm86"], "--mode vm86: not one of real, protected"),
        (&[c"--reset", c"x"], "--reset x: not one of end, restart"),
        (&[c"--append", c"x"], "--append: only with --kernel"),
        (&[c"--initrd", c"x"], "--initrd: only with --kernel"),
        (&[c"--kernel", c"k", c"--base", c"4K"], "--base 0x1000: not with --kernel"),
        (&[c"--base", c"0x1234"], "--base 0x1234: not a multiple of 4 KiB"),
        (&[c"-m", c"5000"], "--memory 5000: not a multiple of 4 KiB\n  Next: --memory 2M"),
        (&[c"-m", c"256"], "For 256 MiB: --memory 256M"),
        (&[c"-m", c"4K"], "--memory 4K: too little for an image; needs at least 2M"),
        (&[c"--base", c"0xfffffffffffff000"], "RAM must begin below 0xfffbc000"),
        (&[c"--load", c"16M"], "--load 0x1000000: outside RAM, which is 0x0 to 0xffffff"),
        (&[c"--entry", c"16M"], "--entry 0x1000000: outside RAM"),
        (
            &[c"--base", c"0x2000"],
            "--base 0x2000: address 0x1000, where an image is loaded, is outside RAM",
        ),
        (&[c"--base", c"0x2000"], "Add --load 0x3000"),
        (
            &[c"--base", c"0x2000", c"--load", c"0x1000"],
            "outside RAM, which is 0x2000 to 0x1001fff",
        ),
    ] {
        assert!(wrong(words).contains(message), "{words:?}: {}", wrong(words));
    }
}

#[test]
fn ram_may_go_on_behind_the_hole_or_end_where_kvm_s_own_pages_begin() {
    assert_eq!(config(&[c"-m", c"5G"]).high_size(), 2 << 30);
    let base = c"0xff000000";
    let words = [c"--base", base, c"--load", base, c"-m"];
    let most = config(&[&words[..], &[c"0xfbc000"]].concat());
    assert_eq!(most.low_end(), RAM_LIMIT);
    let with_board = wrong(&[&words[..], &[c"1M", c"--irqchip"]].concat());
    assert!(with_board.contains("RAM must begin below 0xe8000000"), "{with_board}");
    assert!(wrong(&[&words[..], &[c"0xfbd000"]].concat()).contains("at most 16112K"));
    assert!(wrong(&[c"-m", c"8388608G"]).contains("at most 4194303G"));
}

#[test]
fn help_and_version() {
    for word in [c"-h", c"--help"] {
        assert_eq!(parsed(&[word]), Ok(Command::Help));
    }
    for word in [c"-V", c"--version"] {
        assert_eq!(parsed(&[word]), Ok(Command::Version));
    }
}

#[test]
fn options_of_the_board_need_it() {
    let kernel = config(&[
        c"-k",
        c"k",
        c"--no-acpi",
        c"--no-hpet",
        c"--grace",
        c"1.5",
        c"--reset=cold",
        c"--fw-cfg",
        c"a/b=f=g",
        c"--fw-cfg=opt/c=h",
    ]);
    assert_eq!((kernel.acpi, kernel.hpet, kernel.grace), (false, false, 1_500_000_000));
    assert_eq!(kernel.on_reset, OnReset::Cold);
    let items = [NamedItem { name: b"a/b", file: c"f=g" }, NamedItem { name: b"c", file: c"h" }];
    assert_eq!(kernel.fw_cfg, items);
    for (text, address) in [
        (c":1234", GdbAddress::Port(1234)),
        (c"localhost:65535", GdbAddress::Port(65535)),
        (c"127.0.0.1:1", GdbAddress::Port(1)),
        (c"./gdb", GdbAddress::Path(c"./gdb")),
    ] {
        assert_eq!(config(&[c"--gdb", text]).gdb, Some(address));
    }
    for (words, irqchip) in [
        (&[c"--irqchip"][..], Irqchip::Full),
        (&[c"--irqchip", c"image"], Irqchip::Full),
        (&[c"--irqchip", c"split", c"image"], Irqchip::Split),
        (&[c"--irqchip=none"], Irqchip::Program),
    ] {
        let config = config(words);
        assert_eq!(config.irqchip, Some(irqchip), "{words:?}");
        assert_eq!(config.apic, irqchip != Irqchip::Program);
    }
    assert!(wrong(&[c"--irqchip="]).contains("--irqchip: needs a value"));
    assert_eq!(config(&[c"--irqchip", c"--no-pit"]).pit, Some(PitPlace::Absent));
    assert_eq!(config(&[c"--irqchip", c"split", c"--pit=program"]).pit, Some(PitPlace::Program));
    for place in [c"split", c"none"] {
        let words = [c"--irqchip", place, c"--pit", c"kernel"];
        assert!(wrong(&words).contains("KVM's interval timer needs KVM's 8259s"));
    }
    assert!(wrong(&[c"--pit", c"kernel"]).contains("only with --kernel, --irqchip or more --cpus"));
    assert!(wrong(&[c"--replay", c"--reset=cold"]).contains("--replay: not with --reset"));
    assert!(!config(&[c"--irqchip", c"--no-hpet"]).hpet);
    for words in [&[c"--no-hpet"][..], &[c"--grace", c"1"], &[c"--fw-cfg", c"a=b"]] {
        assert!(wrong(words).contains("only with --kernel, --irqchip or more --cpus"), "{words:?}");
    }
    assert!(wrong(&[c"--irqchip", c"--no-acpi"]).contains("only with --kernel"));
    for text in [c"", c"a", c"=f", c"a=", c"opt/=f"] {
        let said = wrong(&[c"-k", c"k", c"--fw-cfg", text]);
        assert!(said.contains("NAME=FILE") || said.contains("needs a value"), "{said}");
    }
    let fits = c"123456789012345678901234567890123456789012345678901=f";
    let long = c"1234567890123456789012345678901234567890123456789012=f";
    assert_eq!(config(&[c"-k", c"k", c"--fw-cfg", fits]).fw_cfg[0].name.len(), 51);
    assert!(wrong(&[c"-k", c"k", c"--fw-cfg", long]).contains("NAME may have at most 51 bytes"));
    let twice = wrong(&[c"-k", c"k", c"--fw-cfg", c"a=f", c"--fw-cfg", c"opt/a=g"]);
    assert!(twice.contains("--fw-cfg a: this name was given before"), "{twice}");
}
