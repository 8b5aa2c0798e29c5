//! Pages tell of what exists: every path of the project that a page names in code
//! marks, every page that it links to, every metric that operators read.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Folders of the project whose files pages name.
const FOLDERS: [&str; 11] = [
    "protocol/",
    "engine/",
    "storage/",
    "actors/",
    "transport/",
    "server/",
    "tests/",
    "docs/",
    "examples/",
    "tools/",
    ".ci/",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Every page, relative to the root.
fn pages() -> Vec<PathBuf> {
    let mut pages = vec!["README.md".into(), "CONTRIBUTING.md".into()];
    for folder in ["docs", "docs/decisions"] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        let names = entries.map(|entry| Path::new(folder).join(entry.unwrap().file_name()));
        pages.extend(names.filter(|name| name.extension().is_some_and(|it| it == "md")));
    }
    pages
}

/// What a page says in code marks: inside a pair of backticks on one line.
fn marked(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Files of the project among the words in code marks.
fn files(text: &str) -> impl Iterator<Item = &str> {
    marked(text)
        .flat_map(str::split_whitespace)
        .filter(|word| FOLDERS.iter().any(|folder| word.starts_with(folder)))
        .map(|word| word.trim_end_matches([',', ';', ':']))
}

/// Targets of links that are neither addresses nor places on the same page.
fn links(text: &str) -> impl Iterator<Item = &str> {
    text.split("](")
        .skip(1)
        .filter_map(|rest| rest.split(')').next())
        .filter(|target| !target.contains("://") && !target.starts_with('#'))
        .map(|target| target.split('#').next().unwrap_or_default())
}

/// What a page names that is not there.
fn missing(page: &Path, text: &str) -> Vec<String> {
    let folder = page.parent().unwrap_or(Path::new(""));
    let files = files(text).map(|file| (file, root().join(file)));
    let links = links(text).map(|link| (link, root().join(folder).join(link)));
    // Installed by the targets that need them.
    let installed = |name: &str| name.contains("node_modules");
    files
        .chain(links)
        .filter(|(name, path)| !installed(name) && !path.exists())
        .map(|(name, _)| format!("{}: {name}", page.display()))
        .collect()
}

#[test]
fn pages_name_only_what_exists() {
    let pages = pages();
    assert!(pages.len() > 10, "the pages were not found: {pages:?}");
    let (mut named, mut gone) = (0, Vec::new());
    for page in pages {
        let text = std::fs::read_to_string(root().join(&page)).unwrap();
        named += files(&text).count() + links(&text).count();
        gone.extend(missing(&page, &text));
    }
    assert!(named > 100, "only {named} files are named");
    assert!(gone.is_empty(), "pages name what is not there: {gone:#?}");
}

#[test]
fn a_file_or_page_that_is_not_there_is_found() {
    let page = Path::new("docs/page.md");
    let sound =
        "`engine/src/lib.rs` and `tests/`, [more](README.md#pages), [far](https://example.org/x)";
    assert_eq!(missing(page, sound), Vec::<String>::new());
    let text = "see `engine/src/nothing.rs:7` and\n[more](nothing.md)";
    let found = missing(page, text);
    assert_eq!(found.len(), 2, "{found:?}");
    assert!(found[0].ends_with("engine/src/nothing.rs:7") && found[1].ends_with("nothing.md"));
}

/// Names of metrics in a text: in quotation marks as in code, or in code marks.
fn metrics(text: &str, mark: char) -> BTreeSet<String> {
    let quoted = text
        .lines()
        .flat_map(|line| line.split(mark).skip(1).step_by(2));
    let names = quoted.map(|word| word.split('{').next().unwrap_or_default());
    let metric = |name: &&str| {
        let plain = name.chars().all(|c| c.is_ascii_lowercase() || c == '_');
        name.starts_with("fanfare_") && plain
    };
    names.filter(metric).map(str::to_owned).collect()
}

/// Metrics of all crates, as the code names them.
fn counted() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut folders: Vec<PathBuf> = FOLDERS[..6]
        .iter()
        .map(|folder| root().join(folder).join("src"))
        .collect();
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.extend(metrics(&std::fs::read_to_string(path).unwrap(), '"'));
            }
        }
    }
    found
}

#[test]
fn every_metric_is_explained_and_every_one_explained_is_counted() {
    let page = std::fs::read_to_string(root().join("docs/operations.md")).unwrap();
    let (explained, counted) = (metrics(&page, '`'), counted());
    assert!(counted.len() > 20, "the code was not found: {counted:?}");
    let silent: Vec<_> = counted.difference(&explained).collect();
    assert!(silent.is_empty(), "docs/operations.md lacks {silent:?}");
    let gone: Vec<_> = explained.difference(&counted).collect();
    assert!(gone.is_empty(), "docs/operations.md has besides {gone:?}");
}
