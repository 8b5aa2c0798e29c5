//! A CQL server that speaks TLS only, and only with those who log in.

use std::path::Path;

use serde_json::Value;

use crate::harness::cassandra::Cassandra;
use crate::harness::keyspace::Keyspace;
use crate::harness::server::{data_in, run};
use crate::harness::{Account, Authority, Options, SOON, eventually, heavy};

/// A start that must not succeed, and what the doctor says of the same: both name the
/// fault and what to do.
fn refused(keyspace: &Keyspace, left_out: &[&str], words: &[&str], password: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let data = data_in(folder.path());
    let flags = keyspace.flags();
    // The last of two equal flags is an error of its own.
    let pairs = flags
        .chunks(2)
        .filter(|pair| !left_out.contains(&pair[0].as_str()));
    let flags = pairs.flatten().map(String::as_str);
    let words: Vec<&str> = words
        .iter()
        .copied()
        .chain(flags)
        .chain(["--listen", "127.0.0.1:0", "--data", data.to_str().unwrap()])
        .collect();
    let variables = [("FANFARE_CQL_PASSWORD", password)];
    let variables = &variables[..usize::from(!password.is_empty())];
    let (status, _, error) = run(&words, variables);
    assert!(!status.success(), "it started");
    let line = error.lines().find(|line| line.starts_with("fanfare: "));
    let line = line.unwrap_or_else(|| panic!("{error}"));
    let (_, report, _) = run(&[&["doctor", "--json"], &words[..]].concat(), variables);
    let report: Value = serde_json::from_str(&report).unwrap();
    let findings = report["findings"].as_array().unwrap();
    let found = findings.iter().find(|it| it["check"] == "CQL servers");
    let found = found.unwrap_or_else(|| panic!("{report:#}"));
    assert_eq!(found["verdict"], "fail");
    for part in ["measured", "change"] {
        let part = found[part].as_str().unwrap();
        assert!(line.contains(part), "{part}: {line}");
    }
    assert!(password.is_empty() || !error.contains(&format!("\"{password}\"")));
    line.to_owned()
}

fn says(line: &str, parts: &[&str]) {
    for part in parts {
        assert!(line.contains(part), "{part}: {line}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn people_talk_over_tls_and_a_log_in() {
    let _alone = heavy().await;
    let Some(cluster) = Cassandra::guarded("TLS and log-in of a CQL server") else {
        return;
    };
    let keyspace = Keyspace::guarded(&cluster);
    lets_in(&keyspace).await;
    let stranger = Authority::new();
    each_fault_is_named(&keyspace, &stranger.root());

    let server = Options::new().port_kept().cql(&keyspace).start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    alice.say(&group, "nobody else hears this").await;
    server.kill9();
    server.restart().await;
    assert_eq!(alice.history(&group).await.len(), 1);
}

/// Its first user is made soon after it takes connections.
async fn lets_in(keyspace: &Keyspace) {
    let flags = keyspace.flags();
    let words = ["migrate"].into_iter();
    let words: Vec<&str> = words.chain(flags.iter().map(String::as_str)).collect();
    eventually("a first user", SOON, async || {
        let (status, _, error) = run(&words, &keyspace.variables());
        let known = status.success() || error.contains("does not let us in");
        assert!(known, "{error}");
        status.success().then_some(())
    })
    .await;
}

fn each_fault_is_named(keyspace: &Keyspace, stranger: &Path) {
    let line = refused(keyspace, &[], &[], "wrong");
    says(&line, &["does not let us in", "cassandra", "cql_password"]);
    let line = refused(keyspace, &["--cql-user"], &[], "");
    says(&line, &["it wants user and password", "set cql_user"]);
    let stranger = ["--cql-ca", stranger.to_str().unwrap()];
    let line = refused(keyspace, &["--cql-ca"], &stranger, "cassandra");
    says(&line, &["no TLS with", "UnknownIssuer", "cql_ca must hold"]);
    let line = refused(keyspace, &["--cql-ca"], &[], "cassandra");
    says(&line, &["cuts the connection", "--cql-ca"]);
    // The other way round: TLS where the server speaks none.
    if let Some(plain) = Keyspace::shared() {
        let line = refused(&plain, &[], &stranger, "");
        says(&line, &["does not speak TLS", "leave cql_ca out"]);
    }
}
