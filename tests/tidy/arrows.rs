//! The arrows between crates, as drawn in the architecture:
//! `protocol ← engine ← {storage, actors}`, `actors ← transport ← server`,
//! `storage ← server`, `protocol ← bench`. **Invariant:** transport and actors never see storage;
//! protocol and engine have no runtime, clock or randomness.

use super::{Finding, Source};

/// Each folder of the workspace with the folders it may depend on.
const ARROWS: [(&str, &[&str]); 7] = [
    ("protocol", &[]),
    ("engine", &["protocol"]),
    ("storage", &["protocol", "engine"]),
    ("actors", &["protocol", "engine"]),
    ("transport", &["protocol", "engine", "actors"]),
    (
        "server",
        &["protocol", "engine", "storage", "actors", "transport"],
    ),
    ("bench", &["protocol"]),
];

/// What a folder must not take from outside.
const FOREIGN: [(&str, &[&str]); 5] = [
    ("protocol", RUNTIMES),
    ("engine", RUNTIMES),
    ("storage", &["ractor", "warp", "hyper"]),
    (
        "actors",
        &["fjall", "scylla", "redis", "object_store", "warp", "hyper"],
    ),
    ("transport", &["fjall", "scylla", "redis", "object_store"]),
];

const RUNTIMES: &[&str] = &[
    "tokio",
    "ractor",
    "warp",
    "hyper",
    "fjall",
    "scylla",
    "redis",
    "getrandom",
    "rand",
    "mio",
    "async-std",
    "smol",
    "socket2",
    "chrono",
    "time",
];

/// Our crates are called after their folder; the binary's has the bare name.
const OURS: &str = "fanfare";

/// Only arrows of the drawing, and every member of the workspace is in it.
pub(super) fn crate_arrows(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|s| s.path == "Cargo.toml") {
        for member in members(&source.text) {
            if !ARROWS.iter().any(|(folder, _)| *folder == member) {
                findings.push(source.finding(0, format!("`{member}` is not in the drawing")));
            }
        }
    }
    for (folder, allowed) in ARROWS {
        for (source, name) in dependencies(sources, folder) {
            let target = match name.strip_prefix(OURS) {
                Some("") => "server",
                Some(rest) => rest.trim_start_matches('-'),
                None => continue,
            };
            if !allowed.contains(&target) {
                findings
                    .push(source.finding(0, format!("no arrow leads from {folder} to {target}")));
            }
        }
    }
    findings
}

/// Nothing from outside that a crate's place in the house rules out.
pub(super) fn foreign_crates(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (folder, banned) in FOREIGN {
        for (source, name) in dependencies(sources, folder) {
            if banned.contains(&name.as_str()) {
                findings.push(source.finding(0, format!("{folder} must not depend on {name}")));
            }
        }
    }
    findings
}

fn members(manifest: &str) -> Vec<String> {
    let Ok(table) = manifest.parse::<toml::Table>() else {
        return Vec::new();
    };
    let members = table
        .get("workspace")
        .and_then(|w| w.get("members"))
        .and_then(|m| m.as_array());
    members
        .into_iter()
        .flatten()
        .filter_map(|m| m.as_str().map(str::to_owned))
        .collect()
}

/// What the crate in `folder` depends on to run or build, by package name.
/// Dependencies of tests do not count.
fn dependencies<'a>(sources: &'a [Source], folder: &str) -> Vec<(&'a Source, String)> {
    let path = format!("{folder}/Cargo.toml");
    let mut found = Vec::new();
    for source in sources.iter().filter(|s| s.path == path) {
        let Ok(manifest) = source.text.parse::<toml::Table>() else {
            continue;
        };
        let targets = manifest.get("target").and_then(|t| t.as_table());
        let tables = std::iter::once(&manifest).chain(
            targets
                .into_iter()
                .flatten()
                .filter_map(|(_, target)| target.as_table()),
        );
        for table in tables {
            for kind in ["dependencies", "build-dependencies"] {
                let entries = table.get(kind).and_then(|d| d.as_table());
                for (name, entry) in entries.into_iter().flatten() {
                    let package = entry
                        .get("package")
                        .and_then(|p| p.as_str())
                        .unwrap_or(name);
                    found.push((source, package.to_owned()));
                }
            }
        }
    }
    found
}
