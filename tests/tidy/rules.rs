//! Rules about single files. They read lines, not syntax: what they cannot see
//! is left to review, what they report is worth a look.

use super::{Finding, Source};

/// Lines of a source file.
const FILE_LINES_MAX: usize = 500;
/// Lines of a module's documentation.
const MODULE_DOC_LINES_MAX: usize = 10;
/// How far above `unsafe` its justification may begin.
const SAFETY_LINES_MAX: usize = 8;

const CODE: [&str; 6] = [".rs", ".py", ".js", ".mjs", ".ts", ".sh"];
const NAMES: [&str; 6] = ["manager", "helper", "util", "service", "dto", "impl"];
pub(super) const LIMITS_FILE: &str = "protocol/src/limits.rs";
/// Parts of that file.
const LIMITS_FOLDER: &str = "protocol/src/limits/";

/// Words that must not stand anywhere, with the reason. In two halves, so that
/// this list does not find itself.
const WORDS: [(&str, &str, &str); 11] = [
    ("to", "do!(", "finish it"),
    ("unimple", "mented!(", "finish it"),
    ("TO", "DO", "finish it or file it"),
    ("FIX", "ME", "finish it or file it"),
    ("#[ig", "nore", "a test runs or does not exist"),
    ("/wo", "rk/", "the path of somebody's machine"),
    ("/ro", "ot/", "the path of somebody's machine"),
    ("registry.npm", "js.org", "the host of a download"),
    ("files.python", "hosted.org", "the host of a download"),
    ("static.cra", "tes.io", "the host of a download"),
    ("index.cra", "tes.io", "the host of a download"),
];

/// A file past [`FILE_LINES_MAX`] is two.
pub(super) fn file_length(sources: &[Source]) -> Vec<Finding> {
    let code = sources.iter().filter(|s| s.ends_with_any(&CODE));
    code.filter_map(|source| {
        let lines = source.text.lines().count();
        let what = format!("{lines} lines, at most {FILE_LINES_MAX}: this file is two");
        (lines > FILE_LINES_MAX).then(|| source.finding(lines, what))
    })
    .collect()
}

/// Module documentation says what lives here, in [`MODULE_DOC_LINES_MAX`] lines.
pub(super) fn module_docs(sources: &[Source]) -> Vec<Finding> {
    let rust = sources.iter().filter(|s| s.path.ends_with(".rs"));
    rust.filter_map(|source| {
        let lines = source.text.lines().filter(|l| l.starts_with("//!")).count();
        let what = format!("{lines} lines of module docs, at most {MODULE_DOC_LINES_MAX}");
        (lines > MODULE_DOC_LINES_MAX).then(|| source.finding(1, what))
    })
    .collect()
}

/// No type, module, class or file is called Manager, Helper, Util, Service, Dto
/// or Impl, alone or as part of a longer name.
pub(super) fn names(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|s| s.ends_with_any(&CODE)) {
        if source.path.split('/').any(says_nothing) {
            findings.push(source.finding(0, "this file's name says nothing about it"));
        }
        for (number, line) in numbered(&source.text) {
            if let Some(name) = defined_name(line).filter(|name| says_nothing(name)) {
                findings.push(source.finding(number, format!("the name {name} says nothing")));
            }
        }
    }
    findings
}

/// Every numeric limit and every span of time stands in the limits file; those
/// of the load harness limit a measurement, not the product, and stay with it.
pub(super) fn limits(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources
        .iter()
        .filter(|s| is_product_code(&s.path) && s.path != LIMITS_FILE)
        .filter(|s| !s.path.starts_with("bench/") && !s.path.starts_with(LIMITS_FOLDER))
    {
        for (number, line) in without_tests(&source.text) {
            let line = code_of(line);
            if let Some(name) = limit_defined(line) {
                findings.push(source.finding(number, format!("{name} belongs into {LIMITS_FILE}")));
            } else if line
                .split("Duration::from_")
                .skip(1)
                .any(starts_with_number)
            {
                findings.push(
                    source.finding(number, format!("a span of time belongs into {LIMITS_FILE}")),
                );
            }
        }
    }
    findings
}

/// Nothing unfinished, no silenced test, no path or host of a workplace.
pub(super) fn words(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|s| s.path != "Cargo.lock") {
        for (number, line) in numbered(&source.text) {
            for (head, tail, reason) in WORDS {
                let word = format!("{head}{tail}");
                if line.contains(&word) {
                    findings.push(source.finding(number, format!("`{word}`: {reason}")));
                }
            }
        }
    }
    findings
}

/// Every `unsafe` has its `// SAFETY:` right above.
pub(super) fn unsafe_code(sources: &[Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for source in sources.iter().filter(|s| is_product_code(&s.path)) {
        let lines: Vec<&str> = source.text.lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let code = code_of(line);
            let uses = [
                "unsafe {",
                "unsafe fn",
                "unsafe impl",
                "unsafe extern",
                "unsafe trait",
            ];
            if !uses.iter().any(|used| code.contains(used)) {
                continue;
            }
            let above = lines
                .get(index.saturating_sub(SAFETY_LINES_MAX)..=index)
                .unwrap_or_default();
            if !above
                .iter()
                .any(|l| l.contains("SAFETY:") || l.contains("# Safety"))
            {
                findings.push(source.finding(index + 1, "unsafe without a `// SAFETY:` above it"));
            }
        }
    }
    findings
}

pub(super) fn numbered(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .map(|(index, line)| (index + 1, line))
}

/// The line without its comment. A `//` in a string cuts too much, never too little.
fn code_of(line: &str) -> &str {
    line.split("//").next().unwrap_or_default()
}

/// Rust of the crates themselves: no tests, benches or examples.
pub(super) fn is_product_code(path: &str) -> bool {
    let aside = [
        "tests/",
        "/tests/",
        "benches/",
        "/benches/",
        "examples/",
        "/examples/",
    ];
    path.ends_with(".rs")
        && !aside
            .iter()
            .any(|part| path.starts_with(part) || (part.starts_with('/') && path.contains(part)))
        && !path.ends_with("/tests.rs")
        && !path.ends_with("_tests.rs")
}

/// The numbered lines of a formatted file without its `#[cfg(test)]` items.
fn without_tests(text: &str) -> Vec<(usize, &str)> {
    let mut kept = Vec::new();
    let mut lines = numbered(text);
    while let Some((number, line)) = lines.next() {
        if !line.trim_start().starts_with("#[cfg(test)]") {
            kept.push((number, line));
            continue;
        }
        let indent = line.len() - line.trim_start().len();
        for (_, line) in lines.by_ref() {
            let same_depth = line.len() - line.trim_start().len() == indent;
            let item = line.trim();
            if same_depth && (item.ends_with('}') || item.ends_with(';') || item.ends_with("},")) {
                break;
            }
        }
    }
    kept
}

/// The name that a line gives to a type, module, macro or class.
fn defined_name(line: &str) -> Option<&str> {
    let line = line.trim_start();
    let line = match line.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')').map_or(rest, |(_, rest)| rest),
        Some(rest) if rest.starts_with(' ') => rest,
        _ => line.strip_prefix("export ").unwrap_or(line),
    };
    let (keyword, rest) = line.trim_start().split_once(' ')?;
    let keywords = [
        "struct",
        "enum",
        "trait",
        "type",
        "union",
        "mod",
        "class",
        "macro_rules!",
    ];
    if !keywords.contains(&keyword) {
        return None;
    }
    let end = rest
        .find(|c: char| !c.is_alphanumeric() && c != '_')
        .unwrap_or(rest.len());
    rest.get(..end).filter(|name| !name.is_empty())
}

/// Whether one of the words of a CamelCase, snake_case or kebab-case name is forbidden.
fn says_nothing(name: &str) -> bool {
    let mut words = String::new();
    let mut after_capital = false;
    for c in name.chars() {
        if (c.is_uppercase() && !after_capital) || !c.is_alphanumeric() {
            words.push(' ');
        }
        after_capital = c.is_uppercase();
        words.extend(c.to_lowercase().filter(|c| c.is_alphanumeric()));
    }
    words.split(' ').any(|word| {
        let singular = word.strip_suffix('s').unwrap_or(word);
        NAMES.contains(&word) || NAMES.contains(&singular)
    })
}

/// The name of a constant that is called like a limit and given as a number.
fn limit_defined(line: &str) -> Option<&str> {
    let at = line.find("const ")?;
    let before = line.get(..at)?;
    if !(before.trim().is_empty() || before.trim_start().starts_with("pub")) {
        return None;
    }
    let (name, rest) = line.get(at + "const ".len()..)?.split_once(':')?;
    let value = rest.split_once('=').map_or("", |(_, value)| value);
    let endings = [
        "_MAX",
        "_MIN",
        "_LIMIT",
        "_CAP",
        "_CAPACITY",
        "_MS",
        "_S",
        "_SECS",
        "_TIMEOUT",
        "_TTL",
        "_BUDGET",
        "_PER_S",
        "_PER_MIN",
        "_KIB",
        "_MIB",
    ];
    let like_a_limit = endings.iter().any(|end| name.ends_with(end)) || name.starts_with("MAX_");
    // A number of its own, in place of one taken from the limits file.
    let own_number = value
        .split(|c: char| !c.is_alphanumeric() && c != '_')
        .any(starts_with_number);
    (like_a_limit && own_number && !value.contains("limits::")).then_some(name)
}

fn starts_with_number(text: &str) -> bool {
    let text = text.split_once('(').map_or(text, |(_, inner)| inner);
    text.starts_with(|c: char| c.is_ascii_digit())
}
