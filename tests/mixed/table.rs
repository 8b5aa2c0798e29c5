//! What the run shows: a line for each round, a table of base points, and every sample
//! as a line of JSON in a file.

use std::fs::File;
use std::io::Write;
use std::path::PathBuf;

use super::flat::Trend;
use super::sample::Sample;

/// Samples as they come, in a file below `target`.
pub struct Lines {
    file: File,
    pub path: PathBuf,
}

impl Lines {
    pub fn create(name: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let path = path.parent().unwrap().join(name);
        let file = File::create(&path).unwrap();
        Self { file, path }
    }

    pub fn add(&mut self, sample: &Sample) {
        let line = serde_json::to_string(sample).unwrap();
        writeln!(self.file, "{line}").unwrap();
    }
}

/// The columns of [`row`].
pub const HEAD: &str = "round    at  RSS KiB  anonymous  threads  descriptors  files  tasks  sockets  disk MiB     acts  deliveries  CPU server  CPU driver";

/// One base point.
pub fn row(base: &Sample) -> String {
    let passed = base.at_s.max(0.001);
    format!(
        "{:5} {:4.0}s  {:7}  {:9}  {:7}  {:11}  {:5}  {:5}  {:7}  {:8.1}  {:7}  {:10}  {:8.1} %  {:8.1} %",
        base.round,
        base.at_s,
        base.rss_kib,
        base.anonymous_kib,
        base.threads,
        base.descriptors,
        base.files,
        base.tasks,
        base.sockets,
        base.disk_kib as f64 / 1024.0,
        base.acts,
        base.deliveries,
        100.0 * base.server_cpu_s / passed,
        100.0 * base.driver_cpu_s / passed,
    )
}

/// All base points, and what memory did.
pub fn table(bases: &[Sample], trend: &Trend) -> String {
    let rows: Vec<String> = bases.iter().map(row).collect();
    format!(
        "{HEAD}\n{}\nmemory: {:.1} bytes for each act, {:.0} KiB an hour (Theil–Sen); last quarter over second: {:+.2} %",
        rows.join("\n"),
        trend.bytes_per_act,
        trend.kib_per_hour,
        100.0 * trend.rise
    )
}
