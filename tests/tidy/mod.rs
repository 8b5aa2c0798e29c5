//! What the compiler does not hold about the shape of the house: the arrows
//! between crates, the length of files, names, the one limits file, words that
//! do not belong here, pages that no longer tell the truth. Each rule is a function
//! from files to findings in [`rules`], [`arrows`] and [`pages`]; [`planted`] shows
//! that every one of them can fail.
//! Fast: it reads sources and starts nothing.

mod arrows;
mod pages;
mod planted;
mod rules;

use std::fmt;
use std::path::{Path, PathBuf};

/// Folders that hold nothing of ours.
const NOT_OURS: [&str; 7] = [
    "target",
    "node_modules",
    ".git",
    ".venv",
    "fanfare-data",
    "__pycache__",
    ".idea",
];

/// One source file of the project.
struct Source {
    /// Relative to the root of the project, with `/`.
    path: String,
    text: String,
}

/// One place that breaks a rule.
#[derive(Debug, PartialEq, Eq)]
struct Finding {
    path: String,
    /// Counted from 1; 0 stands for the whole file.
    line: usize,
    what: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}", self.path, self.line, self.what)
    }
}

impl Source {
    fn finding(&self, line: usize, what: impl Into<String>) -> Finding {
        Finding {
            path: self.path.clone(),
            line,
            what: what.into(),
        }
    }

    fn ends_with_any(&self, endings: &[&str]) -> bool {
        endings.iter().any(|ending| self.path.ends_with(ending))
    }
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every text file of the project, in order of path.
fn sources() -> std::io::Result<Vec<Source>> {
    let root = root();
    let mut found = Vec::new();
    let mut folders = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder)? {
            let entry = entry?;
            let name = entry.file_name();
            if NOT_OURS.iter().any(|skip| name == **skip) {
                continue;
            }
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                folders.push(path);
            } else if let (Ok(text), Ok(inside)) =
                (std::fs::read_to_string(&path), path.strip_prefix(&root))
            {
                let path = inside.to_string_lossy().replace('\\', "/");
                found.push(Source { path, text });
            }
        }
    }
    found.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(found)
}

fn assert_tidy(rule: fn(&[Source]) -> Vec<Finding>) {
    let sources = sources().unwrap_or_default();
    assert!(
        sources.iter().any(|s| s.path == "Cargo.toml"),
        "the project's files were not found"
    );
    let findings: Vec<String> = rule(&sources).iter().map(Finding::to_string).collect();
    assert!(
        findings.is_empty(),
        "{} findings:\n{}",
        findings.len(),
        findings.join("\n")
    );
}

#[test]
fn crates_depend_along_the_arrows() {
    assert_tidy(arrows::crate_arrows);
}

#[test]
fn pure_crates_have_no_runtime_clock_or_store() {
    assert_tidy(arrows::foreign_crates);
}

#[test]
fn files_are_short() {
    assert_tidy(rules::file_length);
}

#[test]
fn module_docs_are_short() {
    assert_tidy(rules::module_docs);
}

#[test]
fn names_say_what_things_are() {
    assert_tidy(rules::names);
}

#[test]
fn limits_stand_in_the_limits_file() {
    assert_tidy(rules::limits);
}

#[test]
fn nothing_is_left_undone_or_names_a_machine() {
    assert_tidy(rules::words);
}

#[test]
fn unsafe_code_is_justified() {
    assert_tidy(rules::unsafe_code);
}

#[test]
fn every_actor_is_in_the_drawing() {
    assert_tidy(pages::actors_are_drawn);
}

#[test]
fn every_limit_is_used() {
    assert_tidy(pages::limits_are_used);
}

#[test]
fn pages_name_what_exists() {
    assert_tidy(pages::pages_name_what_exists);
}
