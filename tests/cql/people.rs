//! Alice and Bob over a CQL store.

use serde_json::json;

use crate::harness::account::{id_of, seq_of};
use crate::harness::keyspace::Keyspace;
use crate::harness::{Account, Options, Socket};

#[tokio::test(flavor = "multi_thread")]
async fn people_talk_the_server_is_killed_they_talk_on() {
    let Some(keyspace) = Keyspace::shared() else {
        return;
    };
    let server = Options::new().port_kept().cql(&keyspace).start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let at_alice = alice.connect(&server).await;
    let at_bob = bob.connect(&server).await;
    let mut said = Vec::new();
    for at in 0..5 {
        let text = format!("before {at}");
        said.push(id_of(&at_alice.say(&group, &text).await.unwrap()));
    }
    let last = seq_of(&at_bob.say(&group, "Heard.").await.unwrap());
    at_alice.reaches(&group, last).await;
    at_bob.reaches(&group, last).await;
    let cursors = at_bob.cursors();
    let epoch = at_bob.cursor(&group).unwrap().epoch;
    let missed = seq_of(&at_alice.say(&group, "Last words").await.unwrap());
    server.kill9();
    server.restart().await;

    // The tokens of before are good: their key lies in the store.
    let history = bob.history(&group).await;
    let texts: Vec<_> = history
        .iter()
        .map(|m| m["text"].as_str().unwrap())
        .collect();
    let expected: Vec<_> = (0..5).map(|at| format!("before {at}")).collect();
    let expected = expected.iter().map(String::as_str);
    let expected: Vec<_> = expected.chain(["Heard.", "Last words"]).collect();
    assert_eq!(texts, expected);
    assert_eq!(id_of(&history[0]), said[0]);

    let back = Socket::open(server.address(), &bob.access, cursors).await;
    let back = back.unwrap();
    let again = alice.connect(&server).await;
    let next = seq_of(&again.say(&group, "after").await.unwrap());
    back.reaches(&group, next).await;
    back.expect_no_faults();
    let seqs: Vec<u64> = back
        .log(&group)
        .iter()
        .filter_map(|event| event.seq)
        .collect();
    assert_eq!(seqs, (last + 1..=next).collect::<Vec<_>>());
    assert!(missed > last && back.cursor(&group).unwrap().epoch > epoch);

    // Names, log-in and refresh work as on the embedded store.
    let carol = Account::register(&server, "carol").await;
    carol.log_in(&server).await;
    let taken = json!({
        "username": carol.username, "email": "other@example.org", "password": "correct horse battery"
    });
    let refusal = server
        .rest()
        .post("/auth/register", taken)
        .await
        .unwrap_err();
    assert_eq!(refusal.code, "already_exists");
    server.terminate().await;
}
