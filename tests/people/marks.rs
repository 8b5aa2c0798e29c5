//! Delivered and read marks, unread and mention counts.

use serde_json::json;

use crate::harness::account::{id_of, seq_of};
use crate::harness::{Account, SOON, Server, Socket, eventually};

/// What the server says is unread, by REST.
async fn counts(who: &Account, conversation: &str) -> (u64, u64) {
    let me = &who.conversation(conversation).await["me"];
    (
        me["unread"].as_u64().unwrap(),
        me["mentions"].as_u64().unwrap(),
    )
}

/// Waits until the newest `unread:update` of a device says this.
async fn hears(socket: &Socket, conversation: &str, unread: u64, mentions: u64) {
    eventually(
        &format!("unread:update {unread}, {mentions}"),
        SOON,
        async || {
            let events = socket.events();
            let newest = events.iter().rev().find(|event| {
                event.kind == "unread:update" && event.conversation == conversation
            })?;
            assert_eq!(newest.seq, None);
            (newest.data["unread"] == unread && newest.data["mentions"] == mentions).then_some(())
        },
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unread_and_mentions_are_exact_on_every_device() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    assert_eq!(counts(&bob, &group).await, (0, 0));
    let first = seq_of(&alice.say(&group, "one").await);
    alice.say(&group, &format!("two, @{}", bob.username)).await;
    alice.say(&group, "three, @all").await;
    assert_eq!(counts(&bob, &group).await, (3, 2));
    assert_eq!(counts(&alice, &group).await, (0, 0), "one's own are read");

    let (laptop, phone) = (bob.connect(&server).await, bob.connect(&server).await);
    let last = seq_of(&alice.say(&group, "four").await);
    for device in [&laptop, &phone] {
        hears(device, &group, 4, 2).await;
    }
    let reply = laptop
        .request("message:read", json!({"conversation": group, "seq": first}))
        .await
        .unwrap();
    assert_eq!(
        (&reply["conversation"], &reply["readSeq"]),
        (&json!(group), &json!(first))
    );
    for device in [&laptop, &phone] {
        hears(device, &group, 3, 2).await;
    }
    assert_eq!(counts(&bob, &group).await, (3, 2));

    // Marks only rise, and not beyond the head.
    let back = phone
        .request("message:read", json!({"conversation": group, "seq": 1}))
        .await
        .unwrap();
    assert_eq!(back["readSeq"], first);
    bob.rest
        .post(
            &format!("/conversations/{group}/read"),
            json!({"seq": last}),
        )
        .await
        .unwrap();
    for device in [&laptop, &phone] {
        hears(device, &group, 0, 0).await;
    }
    assert_eq!(counts(&bob, &group).await, (0, 0));
    let beyond = phone
        .request(
            "message:read",
            json!({"conversation": group, "seq": 1_000_000}),
        )
        .await;
    let head = bob.conversation(&group).await["headSeq"].as_u64().unwrap();
    assert!(
        beyond.is_err_and(|refusal| refusal.code == "invalid_request")
            || bob.conversation(&group).await["me"]["readSeq"].as_u64() <= Some(head)
    );

    alice.say(&group, "five").await;
    assert_eq!(counts(&bob, &group).await, (1, 0));
    phone
        .say(&group, "sending reads what was before")
        .await
        .unwrap();
    eventually("the own mark", SOON, async || {
        (counts(&bob, &group).await == (0, 0)).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn edits_and_deletions_move_mentions_not_messages() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    alice.say(&group, "one").await;
    let named = alice.say(&group, &format!("two, @{}", bob.username)).await;
    alice.say(&group, "three, @all").await;
    assert_eq!(counts(&bob, &group).await, (3, 2));
    alice
        .rest
        .patch(
            &format!("/messages/{}", id_of(&named)),
            json!({"text": "two"}),
        )
        .await
        .unwrap();
    assert_eq!(counts(&bob, &group).await, (3, 1));
    let again = format!("two again, @{}", bob.username);
    alice
        .rest
        .patch(
            &format!("/messages/{}", id_of(&named)),
            json!({"text": again}),
        )
        .await
        .unwrap();
    assert_eq!(counts(&bob, &group).await, (3, 2));
    alice
        .rest
        .delete(&format!("/messages/{}", id_of(&named)))
        .await
        .unwrap();
    assert_eq!(
        counts(&bob, &group).await,
        (3, 1),
        "a deleted message counts until read"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn counts_survive_kill9() {
    let server = crate::harness::Options::new().port_kept().start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let first = seq_of(&alice.say(&group, "one").await);
    alice.say(&group, &format!("two, @{}", bob.username)).await;
    alice.say(&group, "@here: three").await;
    bob.rest
        .post(
            &format!("/conversations/{group}/read"),
            json!({"seq": first}),
        )
        .await
        .unwrap();
    assert_eq!(counts(&bob, &group).await, (2, 2));
    server.kill9();
    server.restart().await;
    assert_eq!(counts(&bob, &group).await, (2, 2));
    assert_eq!(bob.conversation(&group).await["me"]["readSeq"], first);
    alice.say(&group, "four").await;
    assert_eq!(counts(&bob, &group).await, (3, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn marks_are_told_to_the_others() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let (at_alice, at_bob) = (alice.connect(&server).await, bob.connect(&server).await);
    let seq = seq_of(&at_alice.say(&group, "did you get this?").await.unwrap());
    let told = async |field: &str| {
        at_alice
            .event(field, |event| {
                event.kind == "message:status"
                    && event.conversation == group
                    && event.seq.is_none()
                    && event.data["marks"]
                        .as_array()
                        .into_iter()
                        .flatten()
                        .any(|mark| mark["user"] == bob.id.as_str() && mark[field] == seq)
            })
            .await;
    };
    let reply = at_bob
        .request(
            "message:delivered",
            json!({"conversation": group, "seq": seq}),
        )
        .await
        .unwrap();
    assert_eq!(reply["deliveredSeq"], seq);
    told("deliveredSeq").await;
    at_bob
        .request("message:read", json!({"conversation": group, "seq": seq}))
        .await
        .unwrap();
    told("readSeq").await;
    let listed = alice
        .rest
        .get(&format!("/conversations/{group}/participants"))
        .await
        .unwrap();
    let bobs = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .find(|one| one["user"]["id"] == bob.id.as_str())
        .unwrap();
    assert_eq!(
        (&bobs["deliveredSeq"], &bobs["readSeq"]),
        (&json!(seq), &json!(seq))
    );
    at_alice.expect_no_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_joins_starts_with_nothing_unread() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let channel = alice.channel().await;
    for text in ["one", "two @all", "three"] {
        alice.say(&channel, text).await;
    }
    bob.rest
        .post(&format!("/conversations/{channel}/join"), json!({}))
        .await
        .unwrap();
    assert_eq!(counts(&bob, &channel).await, (0, 0));
    alice
        .say(&channel, &format!("welcome @{}", bob.username))
        .await;
    assert_eq!(counts(&bob, &channel).await, (1, 1));
}
