//! `docs/api.md` has a row for each request, exit reason and capability of `sys`, which has all of the header's; each row says what is:
//! the files use it, and what is to show it does.

use kob_2m::lessons::{LESSONS, Lesson};
use kob_2m::sys::cap::CAPABILITIES;
use kob_2m::sys::exit::REASONS;
use kob_2m::sys::ioctl::REQUESTS;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn read(name: &str) -> String {
    fs::read_to_string(format!("{ROOT}/{name}")).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// A row: name, section, since when, files, and what shows it.
struct Row {
    name: String,
    cells: [String; 4],
}

impl Row {
    /// What stands between backticks in what shows it.
    fn shown(&self) -> Vec<String> {
        spans(&self.cells[3])
    }
}

fn spans(text: &str) -> Vec<String> {
    text.split('`').skip(1).step_by(2).map(str::to_string).collect()
}

fn rows(page: &str) -> Vec<Row> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| `KVM_"));
    rows.map(|row| {
        let mut cells = row.trim_end_matches(" |").split(" | ").map(str::to_string);
        let name = format!("KVM_{}", cells.next().unwrap().trim_end_matches('`'));
        let cells: Vec<String> = cells.collect();
        let cells = cells.try_into().unwrap_or_else(|_| panic!("{name}: not five cells"));
        Row { name, cells }
    })
    .collect()
}

/// What `sys` says of each name, in a line.
fn said() -> BTreeMap<String, String> {
    let mut said = BTreeMap::new();
    for file in ["ioctl.rs", "exit.rs", "cap.rs"] {
        let mut text = String::new();
        for line in read(&format!("src/sys/{file}")).lines() {
            let line = line.trim();
            if let Some(more) = line.strip_prefix("/// ") {
                text = format!("{text}{more} ");
                continue;
            }
            if let Some((name, _)) = line.split_once(" = ").filter(|_| line.starts_with("KVM_")) {
                said.insert(name.to_string(), text.clone());
            }
            text.clear();
        }
    }
    said
}

/// The sources, without comments and unit tests.
fn sources() -> BTreeMap<String, String> {
    fn collect(directory: &Path, sources: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                collect(&path, sources);
                continue;
            }
            let text = fs::read_to_string(&path).unwrap();
            let text = text.split("#[cfg(test)]\nmod ").next().unwrap();
            let code = text.lines().filter(|line| !line.trim_start().starts_with("//"));
            let name = path.strip_prefix(format!("{ROOT}/src")).unwrap().to_str().unwrap();
            sources.insert(name.to_string(), code.collect::<Vec<_>>().join("\n"));
        }
    }
    let mut sources = BTreeMap::new();
    collect(Path::new(&format!("{ROOT}/src")), &mut sources);
    sources
}

/// Whether a text has this name, and not only a longer one.
fn has(text: &str, name: &str) -> bool {
    text.match_indices(name).any(|(at, _)| {
        let next = text[at + name.len()..].chars().next();
        !next.is_some_and(|next| next.is_ascii_alphanumeric() || next == '_')
    })
}

#[test]
fn each_name_has_a_row_in_the_order_of_sys() {
    let rows = rows(&read("docs/api.md"));
    let names: Vec<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let sys: Vec<&str> =
        [REQUESTS, REASONS, CAPABILITIES].concat().into_iter().map(|(name, _)| name).collect();
    assert_eq!(names, sys);
}

#[test]
fn the_header_has_no_other_capability() {
    let headers = Command::new("sh").args(["biscuitos/headers", "6.12"]).current_dir(ROOT).output();
    let headers = String::from_utf8(headers.expect("sh runs").stdout).unwrap();
    let header = read(&format!("{}/linux/kvm.h", headers.trim()));
    let (page, mut seen) = (read("docs/api.md"), 0);
    for line in header.lines().filter_map(|line| line.strip_prefix("#define KVM_CAP_")) {
        let (name, _) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        assert!(page.contains(&format!("`KVM_CAP_{name}`")), "no KVM_CAP_{name}");
        seen += 1;
    }
    assert!(seen > 200, "only {seen} were found");
}

#[test]
fn sections_and_kernels_are_those_of_sys() {
    let said = said();
    for Row { name, cells: [section, since, ..] } in rows(&read("docs/api.md")) {
        let said = &said[&name];
        let is_section = |word: &str| word.split('.').all(|part| part.parse::<u32>().is_ok());
        let first = said.split([' ', ',', ':']).next().unwrap().trim_end_matches('.');
        if first.contains('.') && is_section(first) {
            assert_eq!(section, first, "{name}");
        }
        assert!(section == "-" || is_section(&section), "{name}: {section}");
        // `4.19, AMD 5.8`: AMD's has it since 5.8.
        for part in since.split(", ").filter(|part| !matches!(*part, "≤ 4.0" | "-")) {
            let version = part.split(' ').next_back().unwrap();
            assert!(has(said, &format!("Linux {version}")), "{name}: since {part}? sys: {said}");
        }
    }
}

#[test]
fn the_files_are_those_that_use_it() {
    let sources = sources();
    for row in rows(&read("docs/api.md")) {
        let (name, files) = (&row.name, spans(&row.cells[2]));
        for file in &files {
            let source = sources.get(file).unwrap_or_else(|| panic!("{name}: no src/{file}"));
            assert!(has(source, name), "{name}: not in src/{file}");
        }
        let users = sources.iter().filter(|(file, source)| {
            !file.starts_with("sys/") && !file.starts_with("lessons/") && has(source, name)
        });
        let users: Vec<&String> = users.map(|(file, _)| file).collect();
        assert_eq!(files.is_empty(), users.is_empty(), "{name} is used in {users:?}");
    }
}

#[test]
fn what_is_to_show_it_does() {
    let cases = read("tests/bed/cases.sh");
    let rows = rows(&read("docs/api.md"));
    let names: BTreeSet<&str> = rows.iter().map(|row| row.name.as_str()).collect();
    let (mut lessons, said) = (BTreeSet::new(), said());
    for row in &rows {
        let name = &row.name;
        assert!(!row.cells[3].is_empty(), "{name} is not explained");
        for shown in row.shown() {
            if let Some(lesson) = shown.strip_prefix("--lesson ") {
                assert!(Lesson::find(lesson.as_bytes()).is_some(), "{name}: {shown}");
                lessons.insert(lesson.to_string());
                let transcript = read(&format!("tests/golden/lesson-{lesson}.txt"));
                let source = read(&format!("src/lessons/{}.rs", lesson.replace('-', "_")));
                // A capability may only announce a request. Of a lesson that the bed can't show, the source must do.
                let announced = spans(&said[name]);
                let is_shown = has(&transcript, name)
                    || announced.iter().any(|request| has(&transcript, request))
                    || transcript.contains("cannot be shown here")
                    || transcript.contains("| head")
                    || has(&source, name);
                assert!(is_shown, "{name}: not in {shown}");
            } else if shown.starts_with("tests/golden/") {
                assert!(
                    has(&read(&shown), name) || name.starts_with("KVM_CAP_"),
                    "{name}: {shown}"
                );
            } else if shown.starts_with("guest/") || shown.starts_with("src/") {
                read(&shown);
            } else if shown.starts_with("KVM_") {
                assert!(names.contains(shown.as_str()), "{name}: no row {shown}");
            } else if !shown.starts_with("CONFIG_")
                && !shown.starts_with('/')
                && shown.contains('_')
                && shown != "kvm_intel"
            {
                assert!(cases.contains(&format!("\n{shown}() {{")), "{name}: no case {shown}");
            }
        }
    }
    for lesson in LESSONS {
        assert!(lessons.contains(&lesson.to_string()), "no row names --lesson {lesson}");
    }
}

#[test]
fn both_languages_have_the_same_rows() {
    let [english, chinese] = ["docs/api.md", "docs/zh/api.md"].map(|name| rows(&read(name)));
    assert_eq!(english.len(), chinese.len());
    for (one, other) in english.iter().zip(&chinese) {
        assert_eq!(one.name, other.name);
        assert_eq!(one.cells[..3], other.cells[..3], "{}", one.name);
        let [mut one_shown, mut other_shown] = [one.shown(), other.shown()];
        one_shown.sort();
        other_shown.sort();
        assert_eq!(one_shown, other_shown, "{}", one.name);
    }
}
