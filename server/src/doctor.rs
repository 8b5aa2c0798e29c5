//! `fanfare doctor`: looks at the machine the way `serve` would use it, says
//! what is too small, and the command or setting that changes it. One file a
//! check: each measures, then a pure function judges what was measured.
//! **Invariant:** it takes no lock and leaves nothing behind, so it may run
//! beside a server on the same data.

mod backlog;
mod clock;
mod cql;
mod disk;
pub mod files;
mod finding;
mod kernel;
mod memory;
mod ports;
mod report;
mod tcp;

use std::io::Write as _;

use anyhow::Context as _;

use crate::config::Config;
use finding::{Finding, Verdict};

/// Checks everything and prints it, as a table or as JSON. True if nothing
/// must be changed before production.
///
/// # Errors
/// When the answer cannot be printed.
pub fn doctor(config: &Config, as_json: bool) -> anyhow::Result<bool> {
    let findings = examine(config);
    let text = if as_json {
        report::json(&findings).context("cannot write JSON")?
    } else {
        report::table(&findings)
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot print what was found")?;
    Ok(finding::worst(&findings) < Verdict::Fail)
}

fn examine(config: &Config) -> Vec<Finding> {
    let checks = [
        files::check,
        backlog::check,
        ports::check,
        memory::check,
        disk::check,
        clock::check,
        tcp::check,
        cql::check,
    ];
    checks.iter().flat_map(|check| check(config)).collect()
}
