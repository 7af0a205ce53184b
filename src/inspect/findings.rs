//! What was found out about the host, as a table and as JSON.

use crate::json::JsonText;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// How serious a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The machine would not start.
    Missing,
    /// It would, but something can't be had.
    Absent,
    /// It can't be known without running.
    Unknown,
    Ok,
}

/// In the order in which a table shows them: the worst first.
const VERDICTS: [Verdict; 4] = [Verdict::Missing, Verdict::Absent, Verdict::Unknown, Verdict::Ok];

impl Verdict {
    /// In tables, and in JSON.
    fn names(self) -> (&'static str, &'static str) {
        match self {
            Verdict::Missing => ("MISSING", "missing"),
            Verdict::Absent => ("absent", "absent"),
            Verdict::Unknown => ("unknown", "unknown"),
            Verdict::Ok => ("ok", "ok"),
        }
    }

    /// Red, yellow, green: ECMA-48, SGR.
    fn colour(self) -> &'static str {
        match self {
            Verdict::Missing => "\x1b[31m",
            Verdict::Absent | Verdict::Unknown => "\x1b[33m",
            Verdict::Ok => "\x1b[32m",
        }
    }
}

/// Something about this host. `detail` may have further lines: the remedy.
pub struct Finding {
    verdict: Verdict,
    name: String,
    detail: String,
}

/// All that was found, in the order in which it was looked for.
#[derive(Default)]
pub struct Findings(Vec<Finding>);

impl Findings {
    pub fn add(&mut self, verdict: Verdict, name: fmt::Arguments, detail: fmt::Arguments) {
        self.0.push(Finding { verdict, name: format!("{name}"), detail: format!("{detail}") });
    }

    /// Good news, or the error that stands against it.
    pub fn result(
        &mut self,
        name: fmt::Arguments,
        good: fmt::Arguments,
        result: Result<(), impl fmt::Display>,
    ) {
        match result {
            Ok(()) => self.add(Verdict::Ok, name, good),
            Err(error) => self.add(Verdict::Missing, name, format_args!("{error}")),
        }
    }

    /// Whether nothing is missing.
    pub fn would_start(&self) -> bool {
        self.0.iter().all(|finding| finding.verdict != Verdict::Missing)
    }
}

/// For people: in columns, the worst first.
pub struct Table<'a> {
    pub findings: &'a Findings,
    pub in_colour: bool,
}

impl fmt::Display for Table<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let &Table { findings, in_colour } = self;
        for verdict in VERDICTS {
            let (before, behind) = if in_colour { (verdict.colour(), "\x1b[0m") } else { ("", "") };
            for finding in findings.0.iter().filter(|finding| finding.verdict == verdict) {
                let mut lines = finding.detail.split('\n');
                let first = lines.next().unwrap_or_default();
                let name = &*finding.name;
                writeln!(f, "{before}{:8}{behind} {name:<30} {first}", verdict.names().0)?;
                for line in lines {
                    writeln!(f, "{:8} {:30} {}", "", "", line.trim_start())?;
                }
            }
        }
        f.write_str(match findings.would_start() {
            true => "This machine would start.\n",
            false => "This machine would not start.\n",
        })
    }
}

/// For tools: one object, which docs/options.md describes.
pub struct Json<'a>(pub &'a Findings);

impl fmt::Display for Json<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        write!(f, "{{\"would_start\": {}, \"findings\": [", self.0.would_start())?;
        for (index, Finding { verdict, name, detail }) in self.0.0.iter().enumerate() {
            write!(
                f,
                "{}{{\"verdict\": \"{}\", \"name\": {}, \"detail\": {}}}",
                if index == 0 { "" } else { ", " },
                verdict.names().1,
                JsonText(name),
                JsonText(detail)
            )?;
        }
        f.write_str("]}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn findings() -> Findings {
        let mut findings = Findings::default();
        findings.add(Verdict::Ok, format_args!("fine"), format_args!("1"));
        findings.result(
            format_args!("RAM"),
            format_args!("there"),
            Err::<(), _>("no \"pages\"\n  As root: more"),
        );
        findings
    }

    #[test]
    fn what_is_missing_comes_first_with_its_remedy() {
        let findings = findings();
        let table = Table { findings: &findings, in_colour: false }.to_string();
        let lines: Vec<_> = table.lines().collect();
        assert_eq!(lines[0], format!("MISSING  {:30} no \"pages\"", "RAM"));
        assert_eq!(lines[1].trim_start(), "As root: more");
        assert_eq!(lines[2], format!("ok       {:30} 1", "fine"));
        assert_eq!(lines[3], "This machine would not start.");
        let table = Table { findings: &findings, in_colour: true }.to_string();
        assert!(table.starts_with("\x1b[31mMISSING \x1b[0m "));
    }

    #[test]
    fn tools_get_one_object() {
        assert_eq!(
            Json(&findings()).to_string(),
            r#"{"would_start": false, "findings": [{"verdict": "ok", "name": "fine", "detail": "1"}, {"verdict": "missing", "name": "RAM", "detail": "no \"pages\"\n  As root: more"}]}"#
        );
    }
}
