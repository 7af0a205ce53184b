//! How long the program takes to handle exits: a histogram for each reason, as bars of text.

use crate::inspect::trace::reason_name;
use crate::sys::exit::REASONS;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bucket 0 is for less than a microsecond; each next one reaches twice as far. The last has what takes longer than all.
const BUCKETS: usize = 24;

/// The longest bar.
const BAR: &str = "########################################";

/// A histogram for each reason; the last one is for reasons that Linux 6.12 does not have.
pub struct HandlingTimes([[AtomicU64; BUCKETS]; REASONS.len() + 1]);

impl Default for HandlingTimes {
    fn default() -> HandlingTimes {
        HandlingTimes([const { [const { AtomicU64::new(0) }; BUCKETS] }; REASONS.len() + 1])
    }
}

impl HandlingTimes {
    /// Counts an exit.
    pub fn add(&self, reason: u32, nanoseconds: u64) {
        let reason = (reason as usize).min(REASONS.len());
        self.0[reason][bucket(nanoseconds)].fetch_add(1, Relaxed);
    }

    /// The reasons that came, each with its buckets.
    fn reasons(&self) -> impl Iterator<Item = (&'static str, [u64; BUCKETS])> + '_ {
        let counts =
            self.0.iter().map(|buckets| buckets.each_ref().map(|count| count.load(Relaxed)));
        (0..).map(reason_name).zip(counts).filter(|(_, buckets)| *buckets != [0; BUCKETS])
    }

    /// For tools: the reasons, each with an object of its buckets: where a bucket ends, in nanoseconds, and its count.
    pub fn as_json(&self) -> JsonTimes<'_> {
        JsonTimes(self)
    }
}

fn bucket(nanoseconds: u64) -> usize {
    let microseconds = nanoseconds / 1000;
    ((u64::BITS - microseconds.leading_zeros()) as usize).min(BUCKETS - 1)
}

/// Where a bucket ends, in microseconds. The last has no end.
fn end(bucket: usize) -> Option<u64> {
    (bucket < BUCKETS - 1).then_some(1 << bucket)
}

impl fmt::Display for HandlingTimes {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        for (name, buckets) in self.reasons() {
            write!(f, "\n    {name}")?;
            let most = buckets.into_iter().max().unwrap_or_default();
            let first = buckets.iter().position(|&count| count > 0).unwrap_or_default();
            let last = buckets.iter().rposition(|&count| count > 0).unwrap_or_default();
            for (bucket, &count) in (first..=last).zip(&buckets[first..]) {
                // One that is not empty shows.
                let width = (count * BAR.len() as u64).div_ceil(most) as usize;
                let bound = match end(bucket) {
                    Some(end) => alloc::format!("<  {end:>7} us"),
                    None => alloc::format!(">= {:>7} us", 1 << (bucket - 1)),
                };
                write!(f, "\n      {bound} {count:>12}")?;
                f.write_str(if width > 0 { " " } else { "" })?;
                f.write_str(&BAR[..width])?;
            }
        }
        Ok(())
    }
}

/// See [`HandlingTimes::as_json`].
pub struct JsonTimes<'a>(&'a HandlingTimes);

impl fmt::Display for JsonTimes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.write_str("{")?;
        for (index, (name, buckets)) in self.0.reasons().enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            write!(f, "{comma}\"{name}\": {{")?;
            let filled = buckets.into_iter().enumerate().filter(|(_, count)| *count > 0);
            for (index, (bucket, count)) in filled.enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                match end(bucket) {
                    Some(end) => write!(f, "{comma}\"{}\": {count}", end * 1000)?,
                    None => write!(f, "{comma}\"inf\": {count}")?,
                }
            }
            f.write_str("}")?;
        }
        f.write_str("}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::exit::{KVM_EXIT_IO, KVM_EXIT_MMIO};

    #[test]
    fn a_time_is_counted_where_it_belongs() {
        for (nanoseconds, expected) in [
            (0, 0),
            (999, 0),
            (1000, 1),
            (1999, 1),
            (2000, 2),
            (3999, 2),
            (4000, 3),
            (u64::MAX, 23),
        ] {
            assert_eq!(bucket(nanoseconds), expected, "{nanoseconds}");
        }
    }

    #[test]
    fn bars_are_as_long_as_their_share_and_the_gaps_between_them_show() {
        let times = HandlingTimes::default();
        assert_eq!((times.to_string(), times.as_json().to_string()), ("".into(), "{}".into()));
        for _ in 0..80 {
            times.add(KVM_EXIT_IO, 2500);
        }
        times.add(KVM_EXIT_IO, 9000);
        times.add(KVM_EXIT_MMIO, 3_000_000);
        let expected = "
    KVM_EXIT_IO
      <        4 us           80 ########################################
      <        8 us            0
      <       16 us            1 #
    KVM_EXIT_MMIO
      <     4096 us            1 ########################################";
        assert_eq!(times.to_string(), expected);
        let json = r#"{"KVM_EXIT_IO": {"4000": 80, "16000": 1}, "KVM_EXIT_MMIO": {"4096000": 1}}"#;
        assert_eq!(times.as_json().to_string(), json);
    }

    #[test]
    fn the_last_bucket_has_no_end() {
        let times = HandlingTimes::default();
        times.add(KVM_EXIT_IO, 60_000_000_000);
        let bar = "#".repeat(40);
        assert_eq!(
            times.to_string(),
            format!("\n    KVM_EXIT_IO\n      >= 4194304 us            1 {bar}")
        );
        assert_eq!(times.as_json().to_string(), r#"{"KVM_EXIT_IO": {"inf": 1}}"#);
    }
}
