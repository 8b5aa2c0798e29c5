//! What the pages say about the code: every actor is in the drawing, every
//! limit is in use, and the limits, files and pages that a page names exist.

use std::collections::HashSet;

use super::rules::{LIMITS_FILE, is_product_code, numbered};
use super::{Finding, Source};

/// The page with the drawing of the actors.
const DRAWING: &str = "docs/actors.md";
/// Endings of the names of limits, as far as pages are looked at.
const LIMIT_ENDINGS: [&str; 8] = [
    "_max", "_ms", "_ms_min", "_MAX", "_MIN", "_MS", "_per_s", "_per_min",
];

/// Every actor stands in the drawing, in words: `RoomSupervisor` as "room supervisor".
pub(super) fn actors_are_drawn(sources: &[Source]) -> Vec<Finding> {
    let page = sources.iter().find(|s| s.path == DRAWING);
    let drawing = page
        .and_then(|page| page.text.split("```").nth(1))
        .unwrap_or_default();
    let mut findings = Vec::new();
    for source in sources.iter().filter(|s| is_product_code(&s.path)) {
        for (number, line) in numbered(&source.text) {
            let Some((_, name)) = line.split_once(" Actor for ") else {
                continue;
            };
            let end = name.find(|c: char| !c.is_alphanumeric());
            let name = name.get(..end.unwrap_or(name.len())).unwrap_or_default();
            if line.starts_with("impl") && !drawing.contains(&spoken(name)) {
                let what = format!("{name} is not in the drawing of {DRAWING}");
                findings.push(source.finding(number, what));
            }
        }
    }
    findings
}

/// Every limit is used by some crate: the compiler does not miss public names.
pub(super) fn limits_are_used(sources: &[Source]) -> Vec<Finding> {
    let used: HashSet<&str> = sources
        .iter()
        .filter(|s| is_product_code(&s.path) && s.path != LIMITS_FILE)
        .flat_map(|s| words(&s.text))
        .collect();
    let mut findings = Vec::new();
    for source in sources.iter().filter(|s| s.path == LIMITS_FILE) {
        for (number, line) in numbered(&source.text) {
            let Some(name) = limit_of(line) else { continue };
            if !used.contains(name) {
                findings.push(source.finding(number, format!("nothing uses {name}")));
            }
        }
    }
    findings
}

/// Limits, files and pages that a page names are there.
pub(super) fn pages_name_what_exists(sources: &[Source]) -> Vec<Finding> {
    let limits: Vec<&str> = sources
        .iter()
        .filter(|s| s.path == LIMITS_FILE)
        .flat_map(|s| s.text.lines().filter_map(limit_of))
        .collect();
    let mut findings = Vec::new();
    for page in sources.iter().filter(|s| s.path.ends_with(".md")) {
        for (number, line) in numbered(&page.text) {
            for word in line.split('`').skip(1).step_by(2) {
                if is_code_path(word) && !exists(sources, word) {
                    findings.push(page.finding(number, format!("there is no {word}")));
                } else if is_limit_name(word) && !limits.contains(&word) {
                    findings.push(page.finding(number, format!("no limit is called {word}")));
                }
            }
            for target in links(line) {
                if !exists(sources, &beside(&page.path, target)) {
                    findings.push(page.finding(number, format!("the link {target} leads nowhere")));
                }
            }
        }
    }
    findings
}

/// `RoomSupervisor` is spoken "room supervisor", `MarksActor` "marks".
fn spoken(name: &str) -> String {
    let mut words = String::new();
    for c in name.strip_suffix("Actor").unwrap_or(name).chars() {
        if c.is_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.extend(c.to_lowercase());
    }
    words
}

/// The limit that a line of the limits file defines.
fn limit_of(line: &str) -> Option<&str> {
    let name = line
        .strip_prefix("pub const ")
        .or_else(|| line.strip_prefix("    ").filter(|l| l.contains(" = ")))?;
    let (name, _) = name.split_once(':')?;
    let named = !name.is_empty() && name.chars().all(|c| c.is_alphanumeric() || c == '_');
    named.then_some(name)
}

fn is_limit_name(word: &str) -> bool {
    word.chars().all(|c| c.is_alphanumeric() || c == '_')
        && LIMIT_ENDINGS.iter().any(|end| word.ends_with(end))
}

/// A path from the root of the project to a file of code.
fn is_code_path(word: &str) -> bool {
    let folders = [
        "protocol/",
        "engine/",
        "storage/",
        "actors/",
        "transport/",
        "server/",
    ];
    let endings = [".rs", ".toml", ".mjs", ".py", ".sh"];
    let plain = |c: char| c.is_alphanumeric() || "_-./".contains(c);
    (folders.iter().chain(&["tests/", "examples/"])).any(|folder| word.starts_with(folder))
        && endings.iter().any(|end| word.ends_with(end))
        && word.chars().all(plain)
}

/// Targets of a line's links to other files, without the part behind `#`.
fn links(line: &str) -> impl Iterator<Item = &str> {
    let targets = line.split("](").skip(1);
    targets.filter_map(|rest| {
        let target = rest.split(')').next()?.split('#').next()?;
        (!target.is_empty() && !target.contains(':')).then_some(target)
    })
}

/// `target` as seen from the folder of `page`, from the root of the project.
fn beside(page: &str, target: &str) -> String {
    let mut parts: Vec<&str> = page.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "." | "" => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/")
}

/// Whether there is such a file, or a folder with files.
fn exists(sources: &[Source], path: &str) -> bool {
    let inside = format!("{path}/");
    sources
        .iter()
        .any(|s| s.path == path || s.path.starts_with(&inside))
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_')
}
