//! How far a long command is: a line on stderr about once a second.

use std::fmt::Display;
use std::io::Write as _;
use std::time::{Duration, Instant};

use fanfare_protocol::limits::PROGRESS_MS;

/// Says how far a command is.
pub struct Progress {
    command: &'static str,
    begun: Instant,
    said: Instant,
}

impl Progress {
    /// Of a command that begins now.
    pub fn of(command: &'static str) -> Self {
        let now = Instant::now();
        Self {
            command,
            begun: now,
            said: now,
        }
    }

    /// Says `line` unless something was said a moment ago.
    pub fn tell(&mut self, line: impl FnOnce() -> String) {
        if self.said.elapsed() >= Duration::from_millis(PROGRESS_MS) {
            self.said = Instant::now();
            let line = line();
            self.say(format_args!(
                "{line} after {} s",
                self.begun.elapsed().as_secs()
            ));
        }
    }

    /// Says it now. A missing reader does no harm.
    pub fn say(&self, line: impl Display) {
        writeln!(std::io::stderr(), "fanfare {}: {line}", self.command).ok();
    }

    /// Seconds since the beginning, at least a thousandth.
    pub fn seconds(&self) -> f64 {
        self.begun.elapsed().as_secs_f64().max(0.001)
    }
}

/// So much of all, 0 to 100. What there is more of than was counted is all.
pub fn percent(done: u64, all: u64) -> u64 {
    done.saturating_mul(100)
        .checked_div(all)
        .unwrap_or(0)
        .min(100)
}

/// Bytes for people.
pub fn size(bytes: u64) -> String {
    let units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let mut size = bytes as f64;
    let mut unit = 0;
    while size >= 1024.0 && unit + 1 < units.len() {
        size /= 1024.0;
        unit += 1;
    }
    let name = units.get(unit).copied().unwrap_or_default();
    if unit == 0 {
        format!("{bytes} {name}")
    } else {
        format!("{size:.1} {name}")
    }
}

#[cfg(test)]
mod tests {
    use super::{percent, size};

    #[test]
    fn shares_are_whole_and_never_above_all() {
        assert_eq!(
            [(0, 0), (5, 0), (1, 3), (3, 3), (4, 3)].map(|(done, all)| percent(done, all)),
            [0, 0, 33, 100, 100]
        );
    }

    #[test]
    fn sizes_are_read_at_a_glance() {
        let table = [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1536, "1.5 KiB"),
            (5 << 30, "5.0 GiB"),
            (u64::MAX, "16777216.0 TiB"),
        ];
        for (bytes, text) in table {
            assert_eq!(size(bytes), text);
        }
    }
}
