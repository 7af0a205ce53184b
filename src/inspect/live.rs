//! `--stats=live`: one screen a second: the exits, the pages in which KVM maps RAM, and who uses the processor.

use crate::host::clock::{self, NANOSECONDS};
use crate::host::{procfs, terminal};
use crate::inspect::statistics::Statistics;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;

/// How often the screen is drawn, in nanoseconds.
const INTERVAL: u64 = NANOSECONDS;

/// The kernel counts processor time for user space in these: USER_HZ, 100 a second.
const TICK: u64 = NANOSECONDS / 100;

/// What is drawn, and when again.
pub struct Live {
    next: u64,
    last: Sample,
}

/// What the differences are taken of.
struct Sample {
    time: u64,
    /// For each reason that came.
    exits: Vec<(&'static str, u64)>,
    /// `None` where /proc does not tell.
    times: Option<Times>,
}

/// Processor time of the whole process, in nanoseconds.
#[derive(Clone, Copy)]
struct Times {
    guest: u64,
    kernel: u64,
    program: u64,
}

impl Sample {
    fn take(statistics: &Statistics) -> Sample {
        let (exits, time) = (statistics.exits().collect(), clock::monotonic());
        Sample { time, exits, times: Times::now() }
    }
}

impl Times {
    /// proc(5), `/proc/PID/stat`: the fields utime, stime and guest_time.
    fn now() -> Option<Times> {
        let stat = procfs::read("/proc/self/stat")?;
        // The second field is a name in parentheses, in which anything may stand.
        let end = stat.iter().rposition(|&byte| byte == b')')?;
        let fields: Vec<&[u8]> = stat[end + 1..].trim_ascii().split(|&byte| byte == b' ').collect();
        // The first of these is field 3.
        let field = |number: usize| Some(procfs::decimal(fields.get(number - 3)?)? * TICK);
        let (user, kernel, guest) = (field(14)?, field(15)?, field(43)?);
        // A guest's time counts as user's, too.
        Some(Times { guest, kernel, program: user.saturating_sub(guest) })
    }
}

impl Live {
    /// The first screen comes after one interval.
    pub fn new(statistics: &Statistics) -> Live {
        let last = Sample::take(statistics);
        Live { next: last.time + INTERVAL, last }
    }

    /// In how many nanoseconds the screen is to be drawn again.
    pub fn time_until_next(&self) -> u64 {
        self.next.saturating_sub(clock::monotonic())
    }

    /// The screen, if it is time. A newline is to follow it.
    pub fn screen(&mut self, statistics: &Statistics, vcpus: usize) -> Option<String> {
        if clock::monotonic() < self.next {
            return None;
        }
        let now = Sample::take(statistics);
        let text = text(&self.last, &now, &statistics.mapped(), statistics.run_time(), vcpus);
        self.next = now.time + INTERVAL;
        self.last = now;
        let size = terminal::size(libc::STDERR_FILENO);
        let (lines, columns) = size.unwrap_or((usize::MAX, usize::MAX));
        let text = fitted(&text, lines, columns);
        // From the upper left corner on; what was there goes.
        Some(alloc::format!("\x1b[H\x1b[J{}", text.trim_end()))
    }
}

/// As much of a text as a terminal shows without moving its lines up: none is wrapped, and the cursor stands below the last one.
fn fitted(text: &str, lines: usize, columns: usize) -> String {
    let count = text.lines().count();
    // One line tells how many are left out.
    let shown = if count < lines { count } else { lines.saturating_sub(2) };
    let mut fitted = String::new();
    for line in text.lines().take(shown) {
        // It is ASCII.
        fitted.push_str(&line[..line.len().min(columns)]);
        fitted.push('\n');
    }
    if shown < count {
        let _ = write!(fitted, "... {} lines more", count - shown);
    }
    fitted
}

fn text(last: &Sample, now: &Sample, mapped: &str, run_time: u64, vcpus: usize) -> String {
    let passed = (now.time - last.time).max(1);
    let per_second =
        |count: u64| (u128::from(count) * u128::from(NANOSECONDS) / u128::from(passed)) as u64;
    let before = |name: &str| last.exits.iter().find(|(other, _)| *other == name);
    let rates: Vec<(&str, u64)> = now
        .exits
        .iter()
        .map(|&(name, count)| {
            (name, per_second(count - before(name).map_or(0, |(_, count)| *count)))
        })
        .collect();
    let mut text = String::new();
    // A String takes all that fits into memory.
    let mut line = |line: core::fmt::Arguments| _ = writeln!(text, "{line}");
    line(format_args!("after {} s", run_time / NANOSECONDS));
    let sum: u64 = rates.iter().map(|(_, rate)| rate).sum();
    line(format_args!("exits to the program per second: {sum}"));
    rates.iter().for_each(|(name, rate)| line(format_args!("    {name:<32} {rate:>12}")));
    // What the host has, and what KVM maps of it.
    mapped.split("; ").for_each(|part| line(format_args!("{part}")));
    let (Some(now), Some(last)) = (now.times, last.times) else { return text };
    line(format_args!(
        "time of {vcpus} vCPU{} and the main thread; 100 % is one processor:",
        if vcpus == 1 { "" } else { "s" }
    ));
    let share = |now: u64, last: u64| now.saturating_sub(last) * 1000 / passed;
    let mut percent = |what: &str, tenths: u64| {
        line(format_args!("    {what:<32} {:>10}.{} %", tenths / 10, tenths % 10));
    };
    percent("in the guest", share(now.guest, last.guest));
    percent("in the kernel", share(now.kernel, last.kernel));
    percent("in this program", share(now.program, last.program));
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_screen_shows_what_came_since_the_last_one() {
        let times = Some(Times { guest: 0, kernel: 0, program: 0 });
        let last = Sample { time: 0, exits: Vec::from([("A", 100)]), times };
        let exits = Vec::from([("A", 300), ("B", 4)]);
        let times = Some(Times { guest: 1_500_000_000, kernel: 20_000_000, program: 0 });
        let now = Sample { time: 2_000_000_000, exits, times };
        let expected = "\
after 7 s
exits to the program per second: 102
    A                                         100
    B                                           2
16 MiB of RAM
KVM maps it
time of 1 vCPU and the main thread; 100 % is one processor:
    in the guest                             75.0 %
    in the kernel                             1.0 %
    in this program                           0.0 %
";
        assert_eq!(text(&last, &now, "16 MiB of RAM; KVM maps it", 7_300_000_000, 1), expected);
    }

    #[test]
    fn a_screen_fits_into_its_terminal() {
        let text = "one\ntwo\nthree\n";
        assert_eq!(fitted(text, 4, 80), text);
        assert_eq!(fitted(text, 3, 80), "one\n... 2 lines more");
        assert_eq!(fitted(text, 4, 3), "one\ntwo\nthr\n");
        assert_eq!(fitted(text, 1, 80), "... 3 lines more");
    }

    #[test]
    fn the_kernel_tells_this_process_s_times() {
        assert!(Times::now().is_some());
    }
}
