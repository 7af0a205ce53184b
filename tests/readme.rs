//! The READMEs and the book in `docs/` say what is: the help is the program's, each excerpt is the program's output, each option,
//! path and link exists, and both languages have the same pages. The transcripts themselves are compared in the bed.

use kob_2m::layout;
use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

/// Every page in English, with its Chinese one. The two READMEs come first.
fn pages() -> Vec<[String; 2]> {
    let mut pages = vec![["README.md".into(), "README.zh-CN.md".into()]];
    let mut names: Vec<String> = fs::read_dir(format!("{ROOT}/docs"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name.ends_with(".md"))
        .collect();
    names.sort();
    pages.extend(names.into_iter().map(|name| [format!("docs/{name}"), format!("docs/zh/{name}")]));
    pages
}

/// All pages of a language: 0 is English, 1 Chinese.
fn book(language: usize) -> String {
    pages().iter().map(|pair| read(&pair[language])).collect()
}

fn read(name: &str) -> String {
    fs::read_to_string(format!("{ROOT}/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn help() -> String {
    let output = Command::new(format!("{ROOT}/BiscuitOS_app")).arg("--help").output();
    String::from_utf8(output.expect("`make` makes the program").stdout).unwrap()
}

/// What stands in the ```text blocks.
fn blocks(readme: &str) -> Vec<String> {
    let mut parts = readme.split("```text\n");
    parts.next();
    parts.map(|part| part.split("```").next().unwrap().to_string()).collect()
}

/// The transcripts, command by command, with what each prints.
fn transcripts() -> Vec<(String, Vec<String>)> {
    let mut all: Vec<(String, Vec<String>)> = Vec::new();
    for file in fs::read_dir(format!("{ROOT}/tests/golden")).unwrap() {
        for line in fs::read_to_string(file.unwrap().path()).unwrap().lines() {
            match line.strip_prefix("$ ") {
                Some(command) => all.push((command.into(), Vec::new())),
                None => all.last_mut().unwrap().1.push(line.into()),
            }
        }
    }
    all
}

#[test]
fn the_help_is_the_program_s() {
    for name in ["docs/options.md", "docs/zh/options.md"] {
        assert!(read(name).contains(&help()), "{name} lacks the text of --help:\n{}", help());
    }
}

#[test]
fn each_feature_stands_in_the_table_with_its_bit() {
    for word in &kob_2m::x86::features::WORDS {
        let bits = word.names.split(' ').enumerate().filter(|(_, name)| *name != "-");
        let bits: Vec<String> = bits.map(|(bit, name)| format!("{bit} {name}")).collect();
        let place = word.to_string().replace(' ', " | ");
        let row = format!("| {place} | {} |\n", bits.join(", "));
        for language in [0, 1] {
            assert!(book(language).contains(&row), "no page has: {row}");
        }
    }
}

/// A page without its twin would be missed here; one without links to it, by nobody.
#[test]
fn both_languages_have_the_same_pages_and_a_reader_finds_each() {
    for pair in pages() {
        for (name, other) in [(&pair[0], &pair[1]), (&pair[1], &pair[0])] {
            let to_other = links(name).any(|link| resolved(name, &link) == *other);
            assert!(to_other, "{name} does not lead to {other}");
        }
    }
    let chinese = files("docs/zh").iter().filter(|name| name.ends_with(".md")).count();
    assert_eq!(chinese, pages().len() - 1, "a Chinese page has no English one");
    for (language, readme) in ["README.md", "README.zh-CN.md"].into_iter().enumerate() {
        for pair in &pages()[1..] {
            let page = &pair[language];
            assert!(links(readme).any(|link| link == *page), "{readme} does not lead to {page}");
        }
    }
}

/// A picture is drawn once, and its words are in two languages: all but the words must agree.
#[test]
fn both_languages_have_the_same_pictures_and_a_page_shows_each() {
    let english = files("docs/pictures");
    let drawings: Vec<&String> = english.iter().filter(|name| name.ends_with(".svg")).collect();
    assert_eq!(drawings.len(), files("docs/zh/pictures").len());
    for name in drawings {
        let paths = [format!("docs/pictures/{name}"), format!("docs/zh/pictures/{name}")];
        assert_eq!(drawing(&paths[0]), drawing(&paths[1]), "{name} is drawn in two ways");
        for (language, path) in paths.iter().enumerate() {
            let mut pages = pages().into_iter().map(|pair| pair[language].clone());
            let shown = pages.any(|page| links(&page).any(|link| resolved(&page, &link) == *path));
            assert!(shown, "no page shows {path}");
        }
    }
}

/// A picture without its words and their places.
fn drawing(path: &str) -> Vec<String> {
    let is_word = |line: &str| line.starts_with("<text") || line.starts_with("<title");
    let lines = read(path).replace("<text", "\n<text").replace("</text>", "</text>\n");
    lines.lines().filter(|line| !is_word(line)).map(String::from).collect()
}

#[test]
fn every_lesson_of_the_course_has_a_picture() {
    for page in ["docs/course.md", "docs/zh/course.md"] {
        let course = read(page);
        let lessons: Vec<&str> = course.split("\n**").filter(|part| is_lesson(part)).collect();
        assert!(lessons.len() > 20, "{page}: only {} lessons were found", lessons.len());
        for lesson in lessons {
            let name = lesson.lines().next().unwrap();
            assert!(lesson.contains("](pictures/"), "{page}: no picture for {name}");
        }
    }
}

/// Whether this part of the course begins as `12. Dirty pages` does.
fn is_lesson(part: &str) -> bool {
    part.split_once(". ").is_some_and(|(number, _)| number.parse::<u32>().is_ok())
}

/// All Rust files below a directory.
fn sources(directory: &str) -> Vec<String> {
    let names = files(directory).into_iter().map(|name| format!("{directory}/{name}"));
    let all =
        names.flat_map(|name| match fs::metadata(format!("{ROOT}/{name}")).unwrap().is_dir() {
            true => sources(&name),
            false => vec![name],
        });
    all.filter(|name| name.ends_with(".rs")).collect()
}

/// Each lesson of one request has a section with a question, in both languages.
#[test]
fn each_lesson_has_a_section_with_a_question() {
    for (page, question) in
        [("docs/lessons.md", "**Question:**"), ("docs/zh/lessons.md", "**思考题：**")]
    {
        let page = read(page);
        let (_, list) = page.split_once("$ BiscuitOS_app --lesson list\n").unwrap();
        let (list, sections) = list.split_once("```").unwrap();
        for lesson in list.lines().map(|line| line.split(' ').next().unwrap()) {
            let head = format!("\n**{lesson}**");
            let (_, section) = sections.split_once(&head).unwrap_or_else(|| panic!("no {lesson}"));
            let section = section.split("\n**").take(2).collect::<Vec<_>>().join("\n**");
            assert!(section.contains(question), "{lesson}: no question");
        }
    }
}

/// What the text says of the figures is what the table has.
#[test]
fn the_words_about_figures_are_the_table_s() {
    for (page, list) in [("docs/figures.md", [", ", " and "]), ("docs/zh/figures.md", ["、", "、"])]
    {
        let page = read(page);
        let table = page.split("```").nth(1).unwrap();
        let values = |row: &str| -> Vec<f64> {
            let rows = table.lines().filter_map(|line| line.strip_prefix(row));
            let first = |rest: &str| rest.split_whitespace().next().unwrap().parse().unwrap();
            rows.map(first).collect()
        };
        let [vmlinux, image, others @ ..] = &values("  not the guest's own, its goal")[..] else {
            panic!("no such rows")
        };
        let [between, before_last] = list;
        let shares = format!(
            "{vmlinux:.0}{between}{image:.0}{between}{:.0}{before_last}{:.0}",
            others[0], others[1]
        );
        assert!(page.contains(&shares), "no {shares}");
        let size = format!("{}", values("program")[0]);
        let with_comma = format!("{},{}", &size[..3], &size[3..]);
        assert!(page.contains(&with_comma), "no {with_comma}");
        let saving = format!("{:.1} ms", values("saving Linux with 96 MiB")[0]);
        assert!(page.contains(&saving), "no {saving}");
    }
}

/// `src/layout.rs` by name: what the board's page shows.
fn layout() -> Vec<(&'static str, u64)> {
    macro_rules! places {
        ($($name:ident)+) => { vec![$((stringify!($name), u64::from(layout::$name))),+] };
    }
    places! {
        ACPI ACPI_LINE COMMAND_LINE CONSOLE_PORT COUNTER_PORT DOORBELL_PORT EVENT_LINE FIRMWARE_RESUME FW_CFG GPE HIGH HOLE HPET IDENTITY_MAP IMAGE IO_APIC KEYBOARD_COMMAND LESSON_ACKNOWLEDGED LESSON_COUNTER LESSON_DOORBELL LESSON_LOG LESSON_LOGGED LESSON_PAGE LESSON_SCRATCH LESSON_SUM LESSON_TIME LEVEL_LINE LINUX_GDT LOADER_END LOCAL_APIC LOG_PORT LOW_END MIB MULTIBOOT_INFO PCI_CONFIG PCI_ECAM PCI_LINES PCI_MEMORY PCI_PORTS PIC PIC_TRIGGER PIT PM1_CONTROL PM1_EVENT PM_TIMER PVH_INFO RAM_BASE RESET_CONTROL RESET_VECTOR ROUTED_LINE RTC_LINE RTC_PORT SCRATCH_BYTES_PORT SCRATCH_PORT SECOND_PIC SERIAL_LINE SERIAL_PORT SPEAKER_PORT SYSTEM_CONTROL TEST_DROP TEST_EXIT TEST_LINES TEST_MEMORY TIMER_LINE TSS VM_GENERATION WINDOW ZERO_PAGE
    }
}

#[test]
fn the_board_s_map_is_layout_s() {
    let source = read("src/layout.rs");
    for page in ["docs/board.md", "docs/zh/board.md"] {
        let page = read(page);
        let rows: Vec<Vec<&str>> = page
            .lines()
            .map(|line| line.trim_matches('|').split(" | ").map(str::trim).collect())
            .filter(|row: &Vec<&str>| row.len() == 3 && row[2].starts_with('`'))
            .collect();
        for (name, value) in layout() {
            let [hex, decimal] = [format!("{value:#x}"), value.to_string()];
            let row = rows.iter().find(|row| row[2] == format!("`{name}`"));
            let shown = row.unwrap_or_else(|| panic!("no row for {name}"))[0];
            assert!(shown == hex || shown == decimal, "{name} is {hex}, not {shown}");
        }
        assert_eq!(rows.len(), layout().len());
        // What is none: how large something is, and what stands in a register.
        let is_a_place = |name: &str| {
            !["SIZE", "PORTS", "SLOT", "SLOTS", "END", "COUNT", "PIN", "CODE", "DATA", "MATCH"]
                .iter()
                .any(|part| name.split('_').any(|word| word == *part))
        };
        for line in source.lines().filter_map(|line| line.strip_prefix("pub const ")) {
            let Some((name, kind)) = line.split_once(": ") else { continue };
            if kind.starts_with("u16 = 0x") || kind.starts_with("u64 = 0x") {
                let is_shown = layout().iter().any(|(shown, _)| *shown == name);
                assert!(is_shown || !is_a_place(name), "the map lacks {name}");
            }
        }
    }
}

/// The names of a directory's files.
fn files(directory: &str) -> Vec<String> {
    let entries = fs::read_dir(format!("{ROOT}/{directory}")).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut count = 0;
    for name in pages().concat() {
        for link in links(&name).filter(|link| !link.starts_with("https://")) {
            let (file, heading) = link.split_once('#').unwrap_or((&link, ""));
            let path = if file.is_empty() { name.clone() } else { resolved(&name, file) };
            assert!(fs::exists(format!("{ROOT}/{path}")).unwrap(), "{name}: no {link}");
            let has_heading = heading.is_empty()
                || read(&path).lines().any(|line| line.starts_with('#') && anchor(line) == heading);
            assert!(has_heading, "{name}: no {link}");
            count += 1;
        }
    }
    assert!(count > 60, "only {count} links were found");
}

/// The targets of a page's links and pictures.
fn links(name: &str) -> impl Iterator<Item = String> {
    let page = read(name);
    let links: Vec<String> =
        page.split("](").skip(1).map(|rest| rest.split(')').next().unwrap().into()).collect();
    links.into_iter()
}

/// What forges call a heading in a link to it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim_start_matches('#').trim().chars();
    let kept = kept.filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// A link's path from the project's directory.
fn resolved(name: &str, link: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in link.split('/') {
        match part {
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Each block of Rust begins with the file that has it, and then is what stands there, whatever its indentation.
#[test]
fn every_excerpt_of_the_source_is_the_source_s() {
    let mut count = 0;
    for name in pages().concat() {
        for block in read(&name).split("```rust\n").skip(1) {
            let block = block.split("```").next().unwrap();
            let (path, code) = block.split_once('\n').unwrap();
            let trim = |text: &str| -> Vec<String> {
                text.trim_end().lines().map(|line| line.trim_start().to_string()).collect()
            };
            let (code, source) = (trim(code), trim(&read(path.trim_start_matches("// "))));
            let is_there = source.windows(code.len()).any(|lines| lines == code);
            assert!(is_there, "{name}: not in {path}:\n{}", code.join("\n"));
            count += 1;
        }
    }
    assert!(count >= 16, "only {count} were found");
}

/// The texts of an error's messages, as its source has them, without what is filled in.
fn messages(source: &str, error: &str) -> Vec<String> {
    let start = source.find(&format!("impl fmt::Display for {error}")).unwrap();
    fixed_parts(source[start..].split("\n}\n").next().unwrap())
}

/// The parts without values of what a source says while it runs: `message(format_args!("..."))` and the like.
fn said_meanwhile(source: &str) -> Vec<String> {
    let source = source.split("\nmod tests {").next().unwrap();
    let mut before = "";
    let mut parts = Vec::new();
    for after in source.split("format_args!(") {
        let is_said =
            ["message(", "say(", "let text ="].iter().any(|call| before.trim_end().ends_with(call));
        if let Some(literal) = after.trim_start().strip_prefix('"')
            && is_said
        {
            parts.extend(without_values(&literal_text(literal).0));
        }
        before = after;
    }
    parts
}

/// The parts without values of all texts in a piece of source.
fn fixed_parts(source: &str) -> Vec<String> {
    let mut parts = Vec::new();
    let mut rest = source;
    while let Some((_, literal)) = rest.split_once('"') {
        let (text, behind) = literal_text(literal);
        parts.extend(without_values(&text));
        rest = behind;
    }
    parts
}

/// The text of a literal, whose first quotation mark was just before, and the source behind it.
fn literal_text(literal: &str) -> (String, &str) {
    let mut text = String::new();
    let mut chars = literal.chars();
    loop {
        match chars.next().expect("a text ends") {
            '"' => return (text, chars.as_str()),
            '\\' => match chars.next().unwrap() {
                'n' => text.push('\n'),
                other => text.push(other),
            },
            other => text.push(other),
        }
    }
}

/// What stands in a text's lines before, between and behind its values, where it is more than a few letters.
fn without_values(text: &str) -> impl Iterator<Item = String> {
    let parts = text.split('\n').flat_map(|line| line.split(['{', '}']).step_by(2));
    let parts = parts.map(|part| part.trim_matches([' ', ':', ';', ',']).to_string());
    parts.filter(|part| part.len() > 7)
}

#[test]
fn troubleshooting_has_every_error_message() {
    let plain = |text: &str| {
        let text = text.replace('`', "").replace("\\|", "|").replace('’', "'");
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    };
    let page = plain(&read("docs/troubleshooting.md"));
    let mut count = 0;
    for (file, errors) in [
        ("kvm/mod.rs", &["Error"][..]),
        ("memory/mod.rs", &["Error"]),
        ("memory/guest_memory.rs", &["AccessError"]),
        ("boot/mod.rs", &["Error"]),
        ("boot/plan.rs", &["Refusal", "NeededRam", "Machine"]),
        ("snapshot/mod.rs", &["Error"]),
        ("machine/mod.rs", &["Error"]),
        ("lessons/mod.rs", &["Error"]),
        ("cli/usage_error.rs", &["UsageError"]),
    ] {
        let source = read(&format!("src/{file}"));
        for message in errors.iter().flat_map(|error| messages(&source, error)) {
            assert!(page.contains(&plain(&message)), "src/{file}: {message}");
            count += 1;
        }
    }
    assert!(count > 200, "only {count} were found");
    // What other pieces of code say.
    for (file, from, to) in [
        ("host/emergency.rs", "pub fn panic", "\n}\n"),
        ("host/emergency.rs", "fn out_of_memory", "\n}\n"),
        ("inspect/replay.rs", "f.write_str(match self.end {", "})?;"),
        ("machine/mod.rs", "fn replay(", "output.message"),
        ("machine/report.rs", "const NEVER_WAKES", ";\n"),
        ("machine/report.rs", "fn what_follows", "\n}\n"),
        ("machine/run.rs", "fn save_as_configured", "self.output.message"),
        ("memory/pool.rs", "fn explain", "\n    }\n"),
    ] {
        let source = read(&format!("src/{file}"));
        let (_, piece) = source.split_once(from).unwrap_or_else(|| panic!("{file}: no {from}"));
        let (piece, _) = piece.split_once(to).unwrap();
        let texts = fixed_parts(piece);
        assert!(!texts.is_empty(), "{file}: {from} says nothing");
        for text in texts {
            assert!(page.contains(&plain(&text)), "src/{file}: {text}");
        }
    }
    let mut count = 0;
    // Not the answers to `--cpu help` and `--check`, nor a kind of registers.
    let others = ["src/main.rs", "src/machine/cpu_model.rs", "src/machine/restore.rs"];
    for file in sources("src").into_iter().filter(|file| !others.contains(&&**file)) {
        for text in said_meanwhile(&read(&file)) {
            assert!(page.contains(&plain(&text)), "{file}: {text}");
            count += 1;
        }
    }
    assert!(count > 30, "only {count} were found");
    let rows = |name: &str| -> Vec<String> {
        let page = read(name);
        let rows = page.lines().filter_map(|line| line.strip_prefix("| `"));
        // A symptom has words behind its first code.
        rows.filter_map(|row| Some(row.split_once("` | ")?.0.to_string())).collect()
    };
    assert_eq!(rows("docs/troubleshooting.md"), rows("docs/zh/troubleshooting.md"));
}

/// Where a page names a file of the project, it is there.
#[test]
fn every_path_exists() {
    let mut count = 0;
    for name in pages().concat() {
        for span in read(&name).split('`').skip(1).step_by(2) {
            let is_path = ["src/", "tests/", "guest/", "docs/", "biscuitos/"]
                .iter()
                .any(|directory| span.starts_with(directory));
            if is_path && !span.contains(['*', ' ', '<', '\n']) {
                assert!(fs::exists(format!("{ROOT}/{span}")).unwrap(), "{name}: no {span}");
                count += 1;
            }
        }
    }
    assert!(count > 150, "only {count} paths were found");
}

/// Whether these lines are the first of that output; `...` stands for any number of lines.
fn is_excerpt(lines: &[&str], output: &[String]) -> bool {
    match lines {
        [] => true,
        ["...", rest @ ..] => (0..=output.len()).any(|from| is_excerpt(rest, &output[from..])),
        [line, rest @ ..] => {
            output.first().is_some_and(|first| first == line) && is_excerpt(rest, &output[1..])
        }
    }
}

#[test]
fn every_excerpt_is_of_a_transcript() {
    let transcripts = transcripts();
    for language in [0, 1] {
        let mut commands = 0;
        for block in blocks(&book(language)).iter().filter(|block| block.starts_with("$ ")) {
            // Behind a newline, so that the first is like the others.
            for part in format!("\n{block}").split("\n$ ").skip(1) {
                let lines: Vec<&str> = part.lines().collect();
                let transcript = transcripts.iter().find(|(command, _)| command == lines[0]);
                let (_, output) =
                    transcript.unwrap_or_else(|| panic!("no transcript of {}", lines[0]));
                assert!(is_excerpt(&lines[1..], output), "not what is printed: {part}");
                commands += 1;
            }
        }
        assert!(commands > 15, "only {commands}");
    }
}

#[test]
fn both_languages_show_the_same_excerpts_and_commands() {
    let commands = |page: &str| -> Vec<String> {
        // Deeper than four spaces is a drawing, whose words are translated.
        let is_command = |line: &&str| line.starts_with("    ") && !line.starts_with("     ");
        page.lines().filter(is_command).map(str::to_string).collect()
    };
    for [english, chinese] in pages() {
        let [one, other] = [&english, &chinese].map(|name| read(name));
        assert_eq!(blocks(&one), blocks(&other), "{english}, {chinese}");
        assert_eq!(commands(&one), commands(&other), "{english}, {chinese}");
    }
}

#[test]
fn every_option_and_target_exists() {
    let help = help();
    let makefile = read("Makefile");
    for name in pages().concat() {
        let page = read(&name);
        let mut options = BTreeSet::new();
        for word in page.split(|c: char| !(c.is_ascii_alphanumeric() || c == '-')) {
            if let Some(option) = word.strip_prefix("--").filter(|rest| !rest.is_empty()) {
                options.insert(option.to_string());
            }
        }
        // Of cargo, of a table's ruler, of cp, and of busybox.
        let others = ["test", "lib", "-", "sparse", "install"];
        for option in options.iter().filter(|option| !others.contains(&option.as_str())) {
            if option.chars().all(|c| c == '-') {
                continue;
            }
            assert!(help.contains(&format!("--{option}")), "{name}: --{option} is no option");
        }
        for line in page.lines().filter_map(|line| line.trim().strip_prefix("make ")) {
            let target = line.split_whitespace().next().unwrap();
            // BiscuitOS' own Makefile, around ours, has that.
            if target == "download" {
                continue;
            }
            assert!(makefile.contains(&format!("\n{target}:")), "{name}: make {target}");
        }
    }
}

/// The page on snapshots names each section, and says which version it is about.
#[test]
fn the_format_of_snapshots_is_described() {
    let source = read("src/machine/sections.rs");
    let tags: Vec<&str> =
        source.split("Tag = *b\"").skip(1).map(|rest| rest.split('"').next().unwrap()).collect();
    assert!(tags.len() > 20, "{tags:?}");
    let version = format!("{}", kob_2m::snapshot::file::VERSION);
    for name in ["docs/snapshot.md", "docs/zh/snapshot.md"] {
        let page = read(name);
        for tag in &tags {
            assert!(page.contains(&format!("`{tag}`")), "{name}: no `{tag}`");
            assert!(
                kob_2m::machine::sections::is_known(tag.as_bytes().try_into().unwrap()),
                "{tag}"
            );
        }
        let row = page.lines().find(|line| line.starts_with("| 8 | 4 |")).unwrap();
        assert!(row.contains(&version), "{name}: {row}");
    }
}

/// Each lesson's head says how to run it; the transcript runs it so.
#[test]
fn every_guest_is_run_by_a_transcript() {
    let transcripts = transcripts();
    for directory in ["guest", "guest/broken"] {
        for file in fs::read_dir(format!("{ROOT}/{directory}")).unwrap() {
            let path = file.unwrap().path();
            let name = path.file_stem().unwrap().to_str().unwrap();
            let is_lesson = path.extension().is_some_and(|extension| extension == "S")
                && !["original", "halt", "strings", "BiscuitOS-Virtual-Machine"].contains(&name);
            let broken = if directory == "guest" { "" } else { "broken/" };
            let image = format!("firmware/{broken}{name}.bin");
            assert!(
                !is_lesson && broken.is_empty()
                    || transcripts.iter().any(|(command, _)| command.contains(&image)),
                "no transcript runs {image}"
            );
            if is_lesson {
                let head = fs::read_to_string(&path).unwrap();
                assert!(head.contains(&image), "{name}: its head does not say how to run it");
            }
        }
    }
}
