//! Pages tell of what is there: every metric that operators read, every
//! route that clients ask, every function and type that a page for engineers names. Paths, links and limits
//! are tidy's.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Folders of the code that pages tell of.
const CODE: [&str; 7] = [
    "protocol/src",
    "engine/src",
    "storage/src",
    "actors/src",
    "transport/src",
    "server/src",
    "bench/src",
];

/// Pages that name functions and types.
const PAGES: [&str; 5] = [
    "docs/architecture.md",
    "docs/journey.md",
    "docs/actors.md",
    "docs/adding-a-feature.md",
    "docs/decisions/008-the-appender-repeats.md",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn page(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap()
}

/// All code of the crates.
fn code() -> String {
    let mut folders: Vec<PathBuf> = CODE.iter().map(|folder| root().join(folder)).collect();
    let mut code = String::new();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                code += &std::fs::read_to_string(path).unwrap();
            }
        }
    }
    code
}

/// What stands between pairs of a mark, line by line.
fn between(text: &str, mark: char) -> impl Iterator<Item = &str> {
    text.lines()
        .flat_map(move |line| line.split(mark).skip(1).step_by(2))
}

/// Names of metrics: in quotation marks in the code, in code marks on pages.
fn metrics(text: &str, mark: char) -> BTreeSet<&str> {
    let names = between(text, mark).map(|word| word.split('{').next().unwrap_or_default());
    let plain = |name: &&str| name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
    let ours = |name: &&str| name.starts_with("fanfare_") && plain(name);
    names.filter(ours).collect()
}

/// Rust names in code marks: `Type`, `function`, `Type::function`.
fn names(text: &str) -> BTreeSet<&str> {
    let rust = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    between(text, '`')
        .map(|word| word.split(['(', '<']).next().unwrap_or_default())
        .filter(|word| word.chars().all(rust) && (word.contains("::") || !word.contains(':')))
        .flat_map(|word| word.split("::"))
        .filter(|name| name.starts_with(|c: char| c.is_ascii_alphabetic()))
        .collect()
}

/// Names that stand nowhere in the code as a whole word.
fn unknown<'a>(page: &'a str, code: &str) -> Vec<&'a str> {
    let words: BTreeSet<&str> = code
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .collect();
    let names = names(page).into_iter();
    names.filter(|name| !words.contains(name)).collect()
}

#[test]
fn every_metric_is_explained_and_every_one_explained_is_counted() {
    let (page, code) = (page("docs/operations.md"), code());
    let (explained, counted) = (metrics(&page, '`'), metrics(&code, '"'));
    assert!(counted.len() > 20, "the code was not found: {counted:?}");
    let silent: Vec<_> = counted.difference(&explained).collect();
    assert!(silent.is_empty(), "docs/operations.md lacks {silent:?}");
    let gone: Vec<_> = explained.difference(&counted).collect();
    assert!(gone.is_empty(), "docs/operations.md has besides {gone:?}");
}

/// Routes of the API in the code's table: `GET /users/:id`.
fn routes(code: &str) -> BTreeSet<String> {
    let pairs = code.lines().filter_map(|line| {
        let pair = line.trim().strip_prefix("(\"")?.strip_suffix("\"),")?;
        let (method, path) = pair.split_once("\", \"")?;
        Some(format!("{method} {}", path.strip_prefix("/api/v1")?))
    });
    pairs.collect()
}

/// The same in the page's table.
fn told_routes(page: &str) -> BTreeSet<String> {
    let cells = page.lines().filter_map(|line| line.split('|').nth(1));
    cells
        .flat_map(|cell| between(cell, '`').collect::<Vec<_>>())
        .filter(|word| word.contains(" /"))
        .map(str::to_owned)
        .collect()
}

#[test]
fn every_route_is_told_of_and_every_one_told_of_is_there() {
    let code = page("transport/src/routes/table.rs");
    let (there, told) = (routes(&code), told_routes(&page("docs/protocol.md")));
    assert!(there.len() > 20, "the table was not found: {there:?}");
    let silent: Vec<_> = there.difference(&told).collect();
    assert!(silent.is_empty(), "docs/protocol.md lacks {silent:?}");
    let gone: Vec<_> = told.difference(&there).collect();
    assert!(gone.is_empty(), "docs/protocol.md has besides {gone:?}");
}

#[test]
fn a_route_that_nobody_tells_of_is_found() {
    let code = "    (\"GET\", \"/api/v1/users/:id\"),\n    (\"GET\", \"/livez\"),\n";
    let page = "| `GET /users/me` · `GET /users/:id` | `{kind}` | 200 |";
    let there = routes(code);
    assert_eq!(there.iter().collect::<Vec<_>>(), ["GET /users/:id"]);
    let told = told_routes(page);
    assert_eq!(told.difference(&there).count(), 1);
}

#[test]
fn every_name_on_a_page_stands_in_the_code() {
    let code = code();
    for path in PAGES {
        let page = page(path);
        assert!(names(&page).len() > 5, "{path} names nothing");
        let unknown = unknown(&page, &code);
        assert!(unknown.is_empty(), "{path} names {unknown:?}");
    }
}

#[test]
fn a_name_or_metric_that_is_gone_is_found() {
    let code = "impl Room { fn handle() { counter!(\"fanfare_rooms\") } }";
    let page = "`Room::handle` and `Room::vanished(x)`,\n`Ghost` in `a/b.rs`, `session:hello`, `fanfare_rooms{a}`";
    assert_eq!(unknown(page, code), ["Ghost", "vanished"]);
    assert_eq!(metrics(page, '`'), metrics(code, '"'));
    assert_eq!(metrics("`fanfare_gone`", '`').len(), 1);
}
