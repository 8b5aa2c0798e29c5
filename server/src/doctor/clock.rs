//! Clocks: tokens live by the wall clock, everything else by the monotonic
//! one, which is read for every frame and should not need a system call.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use fanfare_protocol::limits::{CLOCK_READ_NS_MAX, CLOCK_READS, CLOCK_WALL_S_MIN};

use super::finding::Finding;
use crate::config::Config;

/// Reading these needs a system call.
const SLOW: [&str; 5] = ["hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit"];

pub fn check(_: &Config) -> Vec<Finding> {
    let source = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    let source = std::fs::read_to_string(source).unwrap_or_default();
    let wall = SystemTime::now().duration_since(UNIX_EPOCH);
    vec![
        judge_source(source.trim(), read_ns()),
        judge_wall(wall.map_or(0, |since| since.as_secs())),
    ]
}

/// Mean time of one reading.
fn read_ns() -> u64 {
    let start = Instant::now();
    for _ in 0..CLOCK_READS {
        std::hint::black_box(Instant::now());
    }
    let taken = u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
    taken / CLOCK_READS
}

fn judge_source(source: &str, read_ns: u64) -> Finding {
    let name = if source.is_empty() { "unknown" } else { source };
    let finding = Finding::ok(
        "clock source",
        format!("{name}, {read_ns} ns a reading"),
        format!("read without a system call, < {CLOCK_READ_NS_MAX} ns"),
    );
    if SLOW.contains(&source) || read_ns >= CLOCK_READ_NS_MAX {
        return finding.warn(
            "echo tsc > /sys/devices/system/clocksource/clocksource0/current_clocksource \
             (available_clocksource lists what there is; in a VM it is set on the host)",
        );
    }
    finding
}

fn judge_wall(now_s: u64) -> Finding {
    let measured = format!("{now_s} s since 1970");
    let wanted = format!(">= {CLOCK_WALL_S_MIN}: tokens end by it");
    let finding = Finding::ok("wall clock", measured, wanted);
    if now_s >= CLOCK_WALL_S_MIN {
        return finding;
    }
    finding.fail("timedatectl set-ntp true")
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn slow_sources_and_slow_readings_are_named() {
        for (source, read_ns, verdict) in [
            ("tsc", 20, Verdict::Ok),
            ("kvm-clock", 30, Verdict::Ok),
            ("", 30, Verdict::Ok),
            ("hpet", 30, Verdict::Warn),
            ("xen", CLOCK_READ_NS_MAX, Verdict::Warn),
        ] {
            assert_eq!(judge_source(source, read_ns).verdict, verdict, "{source}");
        }
    }

    #[test]
    fn a_clock_before_this_program_is_wrong() {
        assert_eq!(judge_wall(CLOCK_WALL_S_MIN).verdict, Verdict::Ok);
        assert_eq!(judge_wall(CLOCK_WALL_S_MIN - 1).verdict, Verdict::Fail);
        assert_eq!(judge_wall(0).verdict, Verdict::Fail);
    }
}
