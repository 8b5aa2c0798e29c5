//! `fanfare store copy`, both ways between a folder and CQL servers, killed in the
//! middle; and a server on what it made.

use serde_json::json;

use super::command::{Copy, checked};

use crate::harness::account::{id_of, seq_of};
use crate::harness::keyspace::Keyspace;
use crate::harness::server::run;
use crate::harness::{Account, Options, Socket};

/// So many that a copy takes a while.
const CONVERSATIONS: &str = "300";

#[tokio::test(flavor = "multi_thread")]
async fn everything_moves_to_cql_and_back_and_edits_after_it_win() {
    let Some(keyspace) = Keyspace::shared() else {
        return;
    };
    let server = Options::new().start().await;
    let data = server.data();
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let at_bob = bob.connect(&server).await;
    let mut messages = Vec::new();
    for number in 0..40 {
        messages.push(alice.say(&group, &format!("number {number}")).await);
    }
    let path = |at: usize| format!("/messages/{}", id_of(&messages[at]));
    alice
        .rest
        .patch(&path(3), json!({"text": "edited before"}))
        .await
        .unwrap();
    alice.rest.delete(&path(4)).await.unwrap();
    at_bob.reaches(&group, seq_of(&messages[39]) + 2).await;
    let cursors = at_bob.cursors();
    let before = alice.history(&group).await;
    server.terminate().await;
    let out = data.join("../seed.jsonl");
    let (data, out) = (data.to_str().unwrap(), out.to_str().unwrap());
    let seed = ["seed", "--users", "50", "--conversations", CONVERSATIONS];
    let rest = ["--members", "3", "--out", out, "--data", data];
    let (status, _, stderr) = run(&[&seed[..], &rest].concat(), &[]);
    assert!(status.success(), "{stderr}");

    let settings = keyspace.flags();
    let here = format!("embedded:{data}");
    let there = format!("cql:{}/{}", keyspace.nodes.join(","), keyspace.name);
    let out = Copy {
        from: &here,
        to: &there,
        settings: &settings,
    };
    for _ in 0..2 {
        out.is_killed();
    }
    out.is_unfinished();
    let checksum = out.ends();
    let found = checked(&there, &settings);
    assert_eq!(found["conversations"], 301);
    let home = format!("embedded:{data}/../home");
    let back = Copy {
        from: &there,
        to: &home,
        settings: &settings,
    };
    assert_eq!(back.ends(), checksum);
    assert_eq!(checked(&home, &[]), checked(&here, &[]));

    let server = Options::new().cql(&keyspace).start().await;
    let (alice, bob) = (alice.log_in(&server).await, bob.log_in(&server).await);
    assert_eq!(alice.history(&group).await, before);
    let back = Socket::open(server.address(), &bob.access, cursors).await;
    let back = back.unwrap();
    let none: [String; 0] = [];
    assert_eq!(back.resync(), none);
    let edit = json!({"text": "edited after the copy"});
    alice.rest.patch(&path(3), edit).await.unwrap();
    let said = seq_of(&alice.say(&group, "after the copy").await);
    back.reaches(&group, said).await;
    let after = alice.history(&group).await;
    assert_eq!(after[3]["text"], "edited after the copy");
    server.terminate().await;
    assert_eq!(checked(&there, &settings)["conversations"], 301);
}
