//! What operators do with a CQL store: migrate, examine, seed, and read errors.

use std::net::TcpListener;

use serde_json::Value;

use crate::harness::keyspace::Keyspace;
use crate::harness::server::{data_in, run};
use crate::harness::{Account, Options};

/// Runs `fanfare` with the keyspace's flags and these.
fn fanfare(keyspace: &Keyspace, words: &[&str]) -> (bool, String, String) {
    let flags = keyspace.flags();
    let flags = flags.iter().map(String::as_str);
    let words: Vec<&str> = words.iter().copied().chain(flags).collect();
    let (status, out, err) = run(&words, &[]);
    (status.success(), out, err)
}

fn finding<'a>(report: &'a Value, check: &str) -> &'a Value {
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|finding| finding["check"] == check);
    found.unwrap_or_else(|| panic!("no {check} in {report:#}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_operator_migrates_examines_seeds_and_starts() {
    let Some(keyspace) = Keyspace::shared() else {
        return;
    };
    let (well, table, _) = fanfare(&keyspace, &["migrate", "--check"]);
    assert!(!well && table.contains("1  0001_tables.cql  "), "{table}");
    assert!(table.contains("MISSING"), "{table}");
    // Nothing was made, and a start that may make nothing says what to do.
    let (well, _, error) = fanfare(
        &keyspace,
        &["--cql-migrate", "off", "--listen", "127.0.0.1:0"],
    );
    assert!(!well && error.contains("run `fanfare migrate`"), "{error}");
    let (_, report, _) = fanfare(&keyspace, &["doctor", "--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(finding(&report, "CQL schema")["measured"], "no tables yet");

    let (well, table, error) = fanfare(&keyspace, &["migrate"]);
    assert!(well && table.contains("applied now"), "{table} {error}");
    let (well, table, _) = fanfare(&keyspace, &["migrate", "--check"]);
    assert!(well && !table.contains("MISSING"), "{table}");

    let (_, report, _) = fanfare(&keyspace, &["doctor", "--json"]);
    let report: Value = serde_json::from_str(&report).unwrap();
    for (check, verdict, measured) in [
        ("CQL servers", "ok", "of datacenter1"),
        ("CQL schema", "ok", "version "),
        ("CQL timestamps", "ok", "kept as given"),
        ("CQL copies", "fail", " in datacenter1"),
    ] {
        let found = finding(&report, check);
        assert_eq!(found["verdict"], verdict, "{found}");
        assert!(
            found["measured"].as_str().unwrap().contains(measured),
            "{found}"
        );
    }

    let folder = tempfile::tempdir().unwrap();
    let (data, who) = (data_in(folder.path()), folder.path().join("who"));
    let seed = [
        "seed",
        "--users",
        "3",
        "--conversations",
        "2",
        "--members",
        "2",
        "--data",
        data.to_str().unwrap(),
        "--out",
        who.to_str().unwrap(),
    ];
    let (well, _, error) = fanfare(&keyspace, &seed);
    assert!(well, "{error}");
    let server = Options::new().cql(&keyspace).start().await;
    server
        .says(&format!("CQL, keyspace {}", keyspace.name))
        .await;
    let who = std::fs::read_to_string(who).unwrap();
    let first: Value = serde_json::from_str(who.lines().next().unwrap()).unwrap();
    let seeded = Account::of_seed(&server, &first);
    let conversation = first["conversations"][0].as_str().unwrap();
    seeded.say(conversation, "sown and grown").await;
    assert_eq!(seeded.history(conversation).await.len(), 1);
}

#[test]
fn what_cannot_work_is_refused_with_what_to_do() {
    let nobody = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (status, _, error) = run(&["--store", "cql", "--cql-nodes", &nobody.to_string()], &[]);
    assert!(!status.success());
    for part in [
        "keyspace fanfare on 127.0.0.1:",
        "no CQL server answers",
        "--cql-nodes",
    ] {
        assert!(error.contains(part), "{error}");
    }
    let Some(keyspace) = Keyspace::shared() else {
        return;
    };
    for (words, parts) in [
        (
            ["--cql-datacenter", "elsewhere"],
            [
                "the datacentre datacenter1, and no \"elsewhere\"",
                "--cql-datacenter",
            ],
        ),
        (
            ["--cql-replicas", "7"],
            [
                "kept 7 times, and datacentre datacenter1 has",
                "--cql-replicas",
            ],
        ),
        (
            ["--cql-keyspace", "Nope"],
            ["`Nope` is no name", "cql_keyspace"],
        ),
    ] {
        // The last of two equal flags is an error of its own: leave ours out.
        let flags = keyspace.flags();
        let pairs = flags.chunks(2).filter(|pair| pair[0] != words[0]);
        let flags: Vec<&str> = pairs.flatten().map(String::as_str).collect();
        let words = [&words[..], &flags].concat();
        let (status, _, error) = run(&words, &[]);
        assert!(!status.success(), "{words:?}");
        for part in parts {
            assert!(error.contains(part), "{part}: {error}");
        }
    }
    let variables = [
        ("FANFARE_CQL_PASSWORD", "canary"),
        ("FANFARE_CQL_USER", "u"),
    ];
    let flags = keyspace.flags();
    let words: Vec<&str> = ["config"]
        .into_iter()
        .chain(flags.iter().map(String::as_str))
        .collect();
    let (status, printed, _) = run(&words, &variables);
    assert!(
        status.success() && printed.contains("cql_password = \"…\""),
        "{printed}"
    );
    assert!(!printed.contains("canary"), "{printed}");
}
