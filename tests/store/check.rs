//! `fanfare store check` on what real people and real kills left behind.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::harness::account::{id_of, seq_of};
use crate::harness::server::run;
use crate::harness::{Account, Options, Server, Socket, eventually};

/// What the check says of a stopped server's data: exit code 0 or not, and its JSON.
fn checked(server: &Server) -> (bool, Value) {
    let data = server.data();
    let asked = ["store", "check", "--json", "--data", data.to_str().unwrap()];
    let (status, stdout, stderr) = run(&asked, &[]);
    let json = serde_json::from_str(&stdout);
    assert!(stderr.contains("conversations to check"), "{stderr}");
    (
        status.success(),
        json.unwrap_or_else(|_| panic!("{stderr}")),
    )
}

/// Says, edits, reacts, marks and deletes until told to stop or cut off.
async fn talker(socket: Socket, group: String, enough: Arc<AtomicBool>) {
    let mut number = 0;
    while !enough.load(Ordering::Relaxed) {
        number += 1;
        let Ok(message) = socket.say(&group, &format!("number {number}")).await else {
            return;
        };
        let (kind, data) = match number % 4 {
            0 => (
                "message:edit",
                json!({"message": id_of(&message), "text": "edited"}),
            ),
            1 => (
                "message:react",
                json!({"message": id_of(&message), "emoji": "👍"}),
            ),
            2 => ("message:delete", json!({"message": id_of(&message)})),
            _ => (
                "message:read",
                json!({"conversation": group, "seq": seq_of(&message)}),
            ),
        };
        if socket.request(kind, data).await.is_err() && !socket.is_open() {
            return;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_found_after_talk_and_kills() {
    let server = Options::new().port_kept().start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let carol = Account::register(&server, "carol").await;
    let group = alice.group(&[&bob]).await;
    let channel = alice.channel().await;
    bob.rest
        .post(&format!("/conversations/{channel}/join"), json!({}))
        .await
        .unwrap();
    for _ in 0..2 {
        let enough = Arc::new(AtomicBool::new(false));
        let mut talkers = Vec::new();
        for person in [&alice, &bob] {
            for place in [&group, &channel] {
                let socket = person.connect(&server).await;
                talkers.push(tokio::spawn(talker(
                    socket,
                    place.clone(),
                    Arc::clone(&enough),
                )));
            }
        }
        let path = format!("/conversations/{group}/participants");
        let before = alice.history(&group).await.len();
        let talked = async || (alice.history(&group).await.len() > before + 40).then_some(());
        eventually("some talk", crate::harness::SOON, talked).await;
        // Err: the second time she is a member already.
        alice
            .rest
            .post(&path, json!({"userIds": [carol.id]}))
            .await
            .ok();
        server.kill9();
        enough.store(true, Ordering::Relaxed);
        for talker in talkers {
            talker.await.unwrap();
        }
        let (sound, json) = checked(&server);
        assert!(sound, "{json:#}");
        assert_eq!(json["conversations"], 2);
        assert!(json["messages"].as_u64() > Some(40), "{json}");
        server.restart().await;
    }
    alice.say(&group, &format!("hello @{}", bob.username)).await;
    server.terminate().await;
    let (sound, json) = checked(&server);
    assert!(sound && json["not_clean"] == 0, "{json:#}");
    assert!(json["mentions"].as_u64() > Some(0), "{json}");
    assert!(json["marks"].as_u64() > Some(1), "{json}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_in_use_or_that_is_not_there_is_refused() {
    let server = Server::start().await;
    let data = server.data();
    let refused = |folder: &str, reason: &str| {
        let (status, _, stderr) = run(&["store", "check", "--data", folder], &[]);
        assert!(!status.success() && stderr.contains(reason), "{stderr}");
    };
    refused(data.to_str().unwrap(), "in use by another process");
    let nowhere = data.join("nowhere");
    refused(nowhere.to_str().unwrap(), "no data");
    assert!(!nowhere.exists());
    let (status, _, stderr) = run(&["store", "copy", "--from", "x", "--to", "y"], &[]);
    assert!(!status.success() && stderr.contains("neither"), "{stderr}");
}
