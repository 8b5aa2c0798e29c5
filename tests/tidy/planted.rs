//! Each rule of [`super`] finds a fault planted for it, and lets pass what only
//! looks like one.

use super::{Finding, Source, arrows, pages, rules};

fn source(path: &str, text: &str) -> Source {
    Source {
        path: path.to_owned(),
        text: text.to_owned(),
    }
}

fn lines(findings: &[Finding]) -> Vec<usize> {
    findings.iter().map(|finding| finding.line).collect()
}

#[test]
fn an_arrow_against_the_drawing_is_found() {
    let manifest = |dependency: &str| format!("[dependencies]\n{dependency}\n");
    let against = [
        ("protocol", "fanfare-engine.workspace = true"),
        ("engine", "fanfare-storage.workspace = true"),
        ("storage", "fanfare-actors = { path = \"../actors\" }"),
        ("actors", "fanfare-storage.workspace = true"),
        ("actors", "fanfare-transport.workspace = true"),
        ("transport", "fanfare-storage.workspace = true"),
        ("transport", "fanfare = { path = \"../server\" }"),
        (
            "transport",
            "store = { package = \"fanfare-storage\", path = \"../storage\" }",
        ),
    ];
    for (folder, dependency) in against {
        let planted = source(&format!("{folder}/Cargo.toml"), &manifest(dependency));
        assert_eq!(
            arrows::crate_arrows(&[planted]).len(),
            1,
            "{folder}: {dependency}"
        );
    }
    let along = [
        ("engine", "fanfare-protocol.workspace = true"),
        ("transport", "fanfare-actors.workspace = true"),
        ("server", "fanfare-storage.workspace = true"),
    ];
    for (folder, dependency) in along {
        let fine = source(&format!("{folder}/Cargo.toml"), &manifest(dependency));
        assert_eq!(arrows::crate_arrows(&[fine]), [], "{folder}: {dependency}");
    }
}

#[test]
fn an_arrow_in_a_target_or_build_table_is_found_but_not_one_of_tests() {
    let table = "[target.'cfg(unix)'.dependencies]\nfanfare-storage.workspace = true\n";
    assert_eq!(
        arrows::crate_arrows(&[source("actors/Cargo.toml", table)]).len(),
        1
    );
    let build = "[build-dependencies]\nfanfare-server.workspace = true\n";
    assert_eq!(
        arrows::crate_arrows(&[source("actors/Cargo.toml", build)]).len(),
        1
    );
    let tests = "[dev-dependencies]\nfanfare-storage.workspace = true\n";
    assert_eq!(
        arrows::crate_arrows(&[source("actors/Cargo.toml", tests)]),
        []
    );
}

#[test]
fn a_crate_missing_in_the_drawing_is_found() {
    let planted = source(
        "Cargo.toml",
        "[workspace]\nmembers = [\"engine\", \"cellar\"]\n",
    );
    assert_eq!(arrows::crate_arrows(&[planted]).len(), 1);
}

#[test]
fn a_runtime_in_the_engine_or_a_store_in_an_actor_is_found() {
    for (folder, dependency) in [
        ("engine", "tokio"),
        ("protocol", "getrandom"),
        ("actors", "fjall"),
    ] {
        let manifest = format!("[dependencies]\n{dependency} = \"1\"\n");
        let planted = source(&format!("{folder}/Cargo.toml"), &manifest);
        assert_eq!(
            arrows::foreign_crates(&[planted]).len(),
            1,
            "{folder}: {dependency}"
        );
    }
    let fine = source(
        "storage/Cargo.toml",
        "[dependencies]\nfjall = \"3\"\ntokio = \"1\"\n",
    );
    assert_eq!(arrows::foreign_crates(&[fine]), []);
}

#[test]
fn a_long_file_is_found() {
    assert_eq!(
        rules::file_length(&[source("engine/src/a.rs", &"x\n".repeat(500))]),
        []
    );
    assert_eq!(
        lines(&rules::file_length(&[source(
            "engine/src/a.rs",
            &"x\n".repeat(501)
        )])),
        [501]
    );
    assert_eq!(
        rules::file_length(&[source("docs/a.md", &"x\n".repeat(501))]),
        []
    );
}

#[test]
fn long_module_docs_are_found() {
    assert_eq!(
        rules::module_docs(&[source("a.rs", &"//! x\n".repeat(10))]),
        []
    );
    assert_eq!(
        rules::module_docs(&[source("a.rs", &"//! x\n".repeat(11))]).len(),
        1
    );
}

#[test]
fn a_name_that_says_nothing_is_found() {
    let planted = [
        "pub struct RoomManager {",
        "    enum HelperKind {",
        "pub(crate) trait MessageService: Send {",
        "type UserDto = ();",
        "mod utils;",
        "pub mod test_helpers {",
        "struct StoreImpl;",
        "struct MessageDTO;",
    ];
    for line in planted {
        assert_eq!(rules::names(&[source("a.rs", line)]).len(), 1, "{line}");
    }
    for path in [
        "actors/src/room_manager.rs",
        "tests/python/util.py",
        "web/helpers/a.ts",
    ] {
        assert_eq!(rules::names(&[source(path, "")]).len(), 1, "{path}");
    }
    let fine = "impl Service<Request> for Routes {\nstruct Utility;\nstruct Simple;\nuse std::x::Helper;\n";
    assert_eq!(rules::names(&[source("a.rs", fine)]), []);
}

#[test]
fn a_limit_outside_the_limits_file_is_found() {
    let planted = "\
pub const TEXT_BYTES_MAX: usize = 16 * 1024;
const RETRY_MS: u64 = 250;
    pub(crate) const MAX_ROOMS: u32 = 10;
let pause = Duration::from_millis(20);
const FLUSH: Duration = std::time::Duration::from_secs(1);
";
    assert_eq!(
        lines(&rules::limits(&[source("actors/src/a.rs", planted)])),
        [1, 2, 3, 4, 5]
    );
    assert_eq!(
        rules::limits(&[source("protocol/src/limits.rs", planted)]),
        []
    );
    for aside in [
        "tests/a.rs",
        "storage/tests/a.rs",
        "engine/src/room/tests.rs",
    ] {
        assert_eq!(rules::limits(&[source(aside, planted)]), [], "{aside}");
    }
    let fine = "\
const TEXT_BYTES_MAX: usize = limits::TEXT_BYTES_MAX;
const SLOTS: u64 = 1024;
let pause = Duration::from_millis(limits::PAUSE_MS);
let other = Duration::from_secs(settings.seconds);
// const OLD_MAX: usize = 3;
const NAMES_MAX: &[&str] = &[\"a\"];
";
    assert_eq!(rules::limits(&[source("actors/src/a.rs", fine)]), []);
}

#[test]
fn a_limit_is_found_behind_a_test_module_but_not_in_it() {
    let text = "\
#[cfg(test)]
use std::time::Duration;
const A_MAX: u32 = 1;
#[cfg(test)]
mod tests {
    const B_MAX: u32 = 2;
    fn f() {
    }
}
const C_MAX: u32 = 3;
";
    assert_eq!(
        lines(&rules::limits(&[source("actors/src/a.rs", text)])),
        [3, 10]
    );
}

#[test]
fn unfinished_work_silenced_tests_and_foreign_paths_are_found() {
    let planted = [
        ("to", "do!()"),
        ("unimple", "mented!()"),
        ("// TO", "DO: later"),
        ("#[ig", "nore]"),
        ("open(\"/wo", "rk/data\")"),
        ("https://registry.npm", "js.org/ws"),
    ];
    for (head, tail) in planted {
        let line = format!("fine\n{head}{tail}\n");
        assert_eq!(
            lines(&rules::words(&[source("docs/a.md", &line)])),
            [2],
            "{line}"
        );
    }
    assert_eq!(
        rules::words(&[source("a.rs", "a method to do it; framework/x; network/")]),
        []
    );
}

#[test]
fn unjustified_unsafe_is_found() {
    let bare = "fn f() {\n    unsafe { g() }\n}\n";
    assert_eq!(
        lines(&rules::unsafe_code(&[source("transport/src/a.rs", bare)])),
        [2]
    );
    let justified = "fn f() {\n    // SAFETY: g has no preconditions.\n    unsafe { g() }\n}\n";
    assert_eq!(
        rules::unsafe_code(&[source("transport/src/a.rs", justified)]),
        []
    );
    let spoken_of = "// unsafe { } is not used here\n";
    assert_eq!(
        rules::unsafe_code(&[source("transport/src/a.rs", spoken_of)]),
        []
    );
}

#[test]
fn an_actor_missing_in_the_drawing_is_found() {
    let page = source(
        "docs/actors.md",
        "```\n room supervisor, marks\n```\nsession\n",
    );
    let code =
        "impl Actor for RoomSupervisor {\nimpl Actor for MarksActor {\nimpl Actor for Session {\n";
    let findings = pages::actors_are_drawn(&[page, source("actors/src/a.rs", code)]);
    assert_eq!(lines(&findings), [3]);
    let without_page = pages::actors_are_drawn(&[source("actors/src/a.rs", code)]);
    assert_eq!(lines(&without_page), [1, 2, 3]);
}

#[test]
fn a_limit_that_nothing_uses_is_found() {
    let limits = "    /// Rows.\n    rows_max: usize = 1,\npub const PAGE_MAX: u64 = 2;\n";
    let limits = || source("protocol/src/limits.rs", limits);
    let some = source("actors/src/a.rs", "limits.rows_max; LAST_PAGE_MAX");
    assert_eq!(lines(&pages::limits_are_used(&[limits(), some])), [3]);
    let all = source("actors/src/a.rs", "limits.rows_max; PAGE_MAX");
    assert_eq!(pages::limits_are_used(&[limits(), all]), []);
}

#[test]
fn a_page_that_names_what_is_gone_is_found() {
    let page = "\
[words](words.md#room) and [there](../README.md) and [far](https://example.com/x)
[gone](gone.md)
`actors/src/a.rs`, `fanfare config`, `rows_max`
`actors/src/gone.rs`
`gone_max`
";
    let house = [
        source("docs/a.md", page),
        source("docs/words.md", ""),
        source("README.md", ""),
        source("actors/src/a.rs", ""),
        source("protocol/src/limits.rs", "    rows_max: usize = 1,\n"),
    ];
    assert_eq!(lines(&pages::pages_name_what_exists(&house)), [2, 4, 5]);
}
