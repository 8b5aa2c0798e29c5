//! The harness catches what it is for: a server that loses, doubles, swaps,
//! delays or misdelivers one delivery in some thousand is found out, and a
//! sound one is not accused.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

use std::path::Path;
use std::process::Command;

/// Rooms, members, messages per second in each, seconds before and while
/// measuring: 100 messages in all.
const LOAD: [&str; 10] = [
    "--rooms",
    "2",
    "--members",
    "50",
    "--rate",
    "20",
    "--warm-up",
    "0.5",
    "--seconds",
    "2",
];
/// Of 5000 deliveries, four are broken, none of them of a room's last message.
const EVERY: &str = "1201";

/// Runs the load against a limit server; its exit code and its result.
fn run(server: &str, late_ms: &str, server_args: &str) -> (Option<i32>, serde_json::Value) {
    let folder = tempfile::tempdir().unwrap();
    let json = folder.path().join("rows.jsonl");
    let output = Command::new(Path::new(env!("CARGO_BIN_EXE_fanfare-bench")))
        .args(["fanout", "--quiet", "--server", server])
        .args(LOAD)
        .args(["--late-ms", late_ms, "--server-args", server_args])
        .arg("--json")
        .arg(&json)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    let line = std::fs::read_to_string(&json).unwrap_or_else(|_| panic!("no result: {said}"));
    (output.status.code(), serde_json::from_str(&line).unwrap())
}

/// The only fault found when this one is planted.
fn only_fault(planted: &str) -> (String, u64, String) {
    let (code, row) = run(
        "limit",
        "60000",
        &format!("--fault {planted} --every {EVERY}"),
    );
    assert_eq!(code, Some(2), "{row}");
    let faults = row["faults"].as_object().unwrap();
    assert_eq!(faults.len(), 1, "{faults:?}");
    let (name, seen) = faults.iter().next().unwrap();
    let example = seen["example"].as_str().unwrap().to_owned();
    (name.clone(), seen["count"].as_u64().unwrap(), example)
}

#[test]
fn a_lost_delivery_is_named() {
    let (name, count, example) = only_fault("lose");
    assert_eq!((name.as_str(), count), ("lost", 4));
    assert!(example.contains("never reached receiver"), "{example}");
}

#[test]
fn a_doubled_delivery_is_named() {
    let (name, count, example) = only_fault("double");
    assert_eq!((name.as_str(), count), ("doubled", 4));
    assert!(example.contains("twice"), "{example}");
}

#[test]
fn swapped_deliveries_are_named() {
    let (name, count, example) = only_fault("swap");
    assert_eq!((name.as_str(), count), ("out_of_order", 4));
    assert!(example.contains("behind later ones"), "{example}");
}

#[test]
fn a_delivery_to_a_stranger_is_named() {
    let (name, count, example) = only_fault("misroute");
    assert_eq!((name.as_str(), count), ("misrouted", 4));
    assert!(example.contains("no member"), "{example}");
}

#[test]
fn a_late_delivery_is_named_and_nothing_else_is_wrong_with_it() {
    let (code, row) = run("limit", "250", &format!("--fault late --every {EVERY}"));
    assert_eq!(code, Some(2), "{row}");
    let faults = row["faults"].as_object().unwrap();
    assert_eq!(faults.keys().collect::<Vec<_>>(), ["late"]);
    // From the intended time on: never less than the server held it.
    assert!(
        row["latency_us"]["max"].as_f64().unwrap() >= 300_000.0,
        "{row}"
    );
}

#[test]
fn sound_servers_are_not_accused() {
    for server in ["limit", "limit-coalesce"] {
        let (code, row) = run(server, "60000", "");
        assert_eq!(row["faults"].as_object().unwrap().len(), 0, "{row}");
        assert_eq!(code, Some(0));
        // Those of the last moments of warming up may come while measuring.
        assert!(row["deliveries"].as_u64().unwrap() > 3000, "{row}");
        assert_eq!(row["sent"], 80);
    }
}
