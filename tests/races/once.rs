//! What may happen once, tried by several at the same moment.

use std::sync::Arc;

use serde_json::json;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::outcome;
use crate::harness::account::{PASSWORD, id_of, seq_of};
use crate::harness::{Account, Server, Socket, new_key, unique};

#[tokio::test(flavor = "multi_thread")]
async fn both_halves_of_a_pair_create_their_direct_conversation_at_once() {
    let server = Server::start().await;
    for _ in 0..6 {
        let alice = Account::register(&server, "alice").await;
        let bob = Account::register(&server, "bob").await;
        let together = Arc::new(Barrier::new(8));
        let mut tasks = JoinSet::new();
        for at in 0..8 {
            let (me, other) = if at % 2 == 0 {
                (alice.clone(), bob.clone())
            } else {
                (bob.clone(), alice.clone())
            };
            let together = Arc::clone(&together);
            tasks.spawn(async move {
                together.wait().await;
                let body = json!({"kind": "direct", "participantIds": [other.id]});
                let answer = me
                    .rest
                    .answer("POST", "/conversations", Some(body), Some(&new_key()))
                    .await
                    .unwrap();
                assert!(
                    [200, 201].contains(&answer.status),
                    "{}: {}",
                    answer.status,
                    answer.json()
                );
                let id = id_of(&answer.json()["data"]);
                me.say(&id, "hello").await;
                (answer.status, id)
            });
        }
        let made = tasks.join_all().await;
        let (_, first) = &made[0];
        assert!(made.iter().all(|(_, id)| id == first), "{made:?}");
        assert_eq!(
            made.iter().filter(|(status, _)| *status == 201).count(),
            1,
            "{made:?}"
        );
        let conversation = alice.conversation(first).await;
        assert_eq!(conversation["memberCount"], 2);
        assert_eq!(alice.history(first).await, bob.history(first).await);
        assert_eq!(alice.history(first).await.len(), 8);
        let listed = bob.rest.get("/conversations").await.unwrap();
        assert_eq!(listed["data"].as_array().map(Vec::len), Some(1));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_from_many_devices_is_one_message() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    let watcher = alice.connect(&server).await;
    for round in 0..20 {
        let key = new_key();
        let text = format!("round {round}");
        let together = Arc::new(Barrier::new(4));
        let mut tasks = JoinSet::new();
        for device in 0..4 {
            let (alice, group, key, text, together) = (
                alice.clone(),
                group.clone(),
                key.clone(),
                text.clone(),
                Arc::clone(&together),
            );
            let socket = alice.connect(&server).await;
            tasks.spawn(async move {
                together.wait().await;
                if device == 0 {
                    return seq_of(
                        &alice
                            .say_as(&group, &key, json!({"text": text}))
                            .await
                            .unwrap(),
                    );
                }
                let data = json!({"conversation": group, "text": text});
                seq_of(&socket.request_as(&key, "message:send", data).await.unwrap()["message"])
            });
        }
        let seqs = tasks.join_all().await;
        assert!(seqs.iter().all(|seq| *seq == seqs[0]), "{seqs:?}");
        watcher.reaches(&group, seqs[0]).await;
    }
    assert_eq!(watcher.log(&group).len(), 20);
    assert_eq!(alice.history(&group).await.len(), 20);
    watcher.expect_no_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_key_with_two_texts_is_one_message_and_conflicts() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    let (one, other) = (alice.connect(&server).await, alice.connect(&server).await);
    for round in 0..20 {
        let key = new_key();
        let say = |socket: &Socket, text: &str| {
            socket.start(
                "message:send",
                Some(&key),
                json!({"conversation": group, "text": text}),
            )
        };
        let pending = [say(&one, "this"), say(&other, "that")];
        let mut codes = Vec::new();
        for reply in pending {
            codes.push(outcome(reply.answer().await).err());
        }
        codes.sort();
        assert_eq!(
            codes,
            [None, Some("idempotency_conflict".into())],
            "round {round}"
        );
    }
    assert_eq!(alice.history(&group).await.len(), 20);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_registered_at_once_is_had_by_one() {
    let server = Server::start().await;
    let username = unique("popular");
    let together = Arc::new(Barrier::new(6));
    let mut tasks = JoinSet::new();
    for at in 0..6 {
        let (rest, username, together) = (server.rest(), username.clone(), Arc::clone(&together));
        tasks.spawn(async move {
            together.wait().await;
            let body = json!({"username": username, "email": format!("{username}-{at}@example.org"), "password": PASSWORD});
            outcome(rest.post("/auth/register", body).await).map(|answer| id_of(&answer["data"]["user"]))
        });
    }
    let results = tasks.join_all().await;
    assert_eq!(
        results.iter().filter(|result| result.is_ok()).count(),
        1,
        "{results:?}"
    );
    assert!(
        results
            .iter()
            .flat_map(|result| result.as_ref().err())
            .all(|code| code == "already_exists"),
        "{results:?}"
    );
    // An address that lost its race is free for another name.
    let free = (0..6).filter(|at| results[*at].is_err()).count();
    assert_eq!(free, 5);
    let login = json!({"login": username, "password": PASSWORD});
    server.rest().post("/auth/login", login).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refresh_token_used_at_once_by_two_gives_sound_tokens() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let mut tasks = JoinSet::new();
    for _ in 0..4 {
        let (rest, token) = (server.rest(), alice.refresh.clone());
        tasks.spawn(async move {
            outcome(
                rest.post("/auth/refresh", json!({"refreshToken": token}))
                    .await,
            )
        });
    }
    let results = tasks.join_all().await;
    let good: Vec<Account> = results
        .iter()
        .flatten()
        .map(|answer| Account::of_tokens(&server, &answer["data"]))
        .collect();
    assert!(!good.is_empty(), "{results:?}");
    for account in good {
        assert_eq!(
            account.rest.get("/users/me").await.unwrap()["data"]["id"],
            alice.id.as_str()
        );
    }
}
