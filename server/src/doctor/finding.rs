//! What a check found: measured, wanted, how to change it.

use serde::Serialize;

/// Worse ones are greater.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Nothing to do.
    Ok,
    /// Works, but something will be slower, smaller or less safe than it could.
    Warn,
    /// Must be changed before production.
    Fail,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at; the same in every version.
    pub check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// What was measured.
    pub measured: String,
    /// What is wanted.
    pub wanted: String,
    /// The command or setting that changes it; none where all is well.
    pub change: Option<String>,
}

impl Finding {
    /// All is well.
    pub fn ok(check: &'static str, measured: impl Into<String>, wanted: impl Into<String>) -> Self {
        Self {
            check,
            verdict: Verdict::Ok,
            measured: measured.into(),
            wanted: wanted.into(),
            change: None,
        }
    }

    /// The same, but it had better be changed.
    pub fn warn(self, change: impl Into<String>) -> Self {
        self.with(Verdict::Warn, change)
    }

    /// The same, but it must be changed.
    pub fn fail(self, change: impl Into<String>) -> Self {
        self.with(Verdict::Fail, change)
    }

    fn with(self, verdict: Verdict, change: impl Into<String>) -> Self {
        Self {
            verdict,
            change: Some(change.into()),
            ..self
        }
    }
}

/// The worst of all verdicts.
pub fn worst(findings: &[Finding]) -> Verdict {
    let verdicts = findings.iter().map(|finding| finding.verdict);
    verdicts.max().unwrap_or(Verdict::Ok)
}

/// Bytes for people: `1.5 GiB`.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    let (mut size, mut unit) = (count as f64, "B");
    for next in UNITS {
        if size < 1024.0 {
            break;
        }
        (size, unit) = (size / 1024.0, next);
    }
    let digits = usize::from(size < 10.0 && unit != "B");
    format!("{size:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_counts() {
        let ok = || Finding::ok("a", "1", "2");
        assert_eq!(worst(&[]), Verdict::Ok);
        assert_eq!(worst(&[ok(), ok().warn("b")]), Verdict::Warn);
        assert_eq!(worst(&[ok().fail("c"), ok().warn("b")]), Verdict::Fail);
    }

    #[test]
    fn bytes_are_told_in_the_unit_that_fits() {
        for (count, text) in [
            (0, "0 B"),
            (1023, "1023 B"),
            (1536, "1.5 KiB"),
            (10 << 20, "10 MiB"),
            (5 << 30, "5.0 GiB"),
        ] {
            assert_eq!(bytes(count), text);
        }
    }
}
