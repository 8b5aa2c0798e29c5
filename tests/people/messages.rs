//! Messages: sent, answered, changed, deleted, with any text.

use serde_json::{Value, json};

use crate::harness::account::{id_of, seq_of};
use crate::harness::{Account, Event, Server, Socket, new_key};
use crate::replay::entries;

/// Alice, Bob and their group.
pub async fn pair(server: &Server) -> (Account, Account, String) {
    let alice = Account::register(server, "alice").await;
    let bob = Account::register(server, "bob").await;
    let group = alice.group(&[&bob]).await;
    (alice, bob, group)
}

#[tokio::test(flavor = "multi_thread")]
async fn alice_says_hello_and_bob_hears_it() {
    let server = Server::start().await;
    let (alice, bob, group) = pair(&server).await;
    let (at_alice, at_bob) = (alice.connect(&server).await, bob.connect(&server).await);
    let key = new_key();
    let data = json!({"conversation": group, "text": "hello, bob"});
    let reply = at_alice
        .request_as(&key, "message:send", data)
        .await
        .unwrap();
    let message = &reply["message"];
    for (field, expected) in [
        ("conversation", json!(group)),
        ("author", json!(alice.id)),
        ("text", json!("hello, bob")),
        ("type", json!("text")),
        ("key", json!(key)),
        ("editCount", json!(0)),
        ("reactions", json!([])),
        ("rev", message["seq"].clone()),
    ] {
        assert_eq!(message[field], expected, "{field}");
    }
    let sent_at = message["sentAt"].as_str().unwrap();
    assert!(
        sent_at.ends_with('Z') && sent_at.len() == "2026-01-01T00:00:00.000Z".len(),
        "{sent_at}"
    );
    for socket in [&at_alice, &at_bob] {
        let event = socket.event_of("message:received", &group).await;
        assert_eq!(
            (event.seq, event.epoch),
            (message["seq"].as_u64(), message["epoch"].as_u64().unwrap())
        );
        assert_eq!(&event.data["message"], message);
    }
    let answer = bob
        .say_as(
            &group,
            &new_key(),
            json!({"text": "hello, alice", "replyTo": message["id"], "type": "text"}),
        )
        .await
        .unwrap();
    assert_eq!(answer["replyTo"], message["id"]);
    let heard = at_alice
        .event("the answer", |event| event.seq == answer["seq"].as_u64())
        .await;
    assert_eq!(heard.data["message"], answer);
    let read = alice
        .rest
        .get(&format!("/messages/{}", id_of(&answer)))
        .await
        .unwrap();
    assert_eq!(read["data"], answer);
    at_alice.expect_no_faults();
    at_bob.expect_no_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reply_answers_a_message_of_the_same_conversation() {
    let server = Server::start().await;
    let (alice, bob, group) = pair(&server).await;
    let elsewhere = alice.group(&[&bob]).await;
    let other = alice.say(&elsewhere, "elsewhere").await;
    let refused = alice
        .say_as(
            &group,
            &new_key(),
            json!({"text": "x", "replyTo": other["id"]}),
        )
        .await
        .unwrap_err();
    assert!(
        ["invalid_request", "not_found"].contains(&refused.code.as_str()),
        "{refused:?}"
    );
    let nonsense = alice
        .say_as(
            &group,
            &new_key(),
            json!({"text": "x", "replyTo": "nonsense"}),
        )
        .await
        .unwrap_err();
    assert!(
        ["invalid_request", "not_found"].contains(&nonsense.code.as_str()),
        "{nonsense:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_reaches_everybody_and_its_history_stays() {
    let server = Server::start().await;
    let (alice, bob, group) = pair(&server).await;
    let (at_alice, at_bob) = (alice.connect(&server).await, bob.connect(&server).await);
    let said = at_alice.say(&group, "frist").await.unwrap();
    let id = id_of(&said);
    let reply = at_alice
        .request_as(
            &new_key(),
            "message:edit",
            json!({"message": id, "text": "first"}),
        )
        .await
        .unwrap();
    let edited = &reply["message"];
    assert_eq!(
        (&edited["text"], &edited["editCount"]),
        (&json!("first"), &json!(1))
    );
    assert_eq!(
        (
            &edited["seq"],
            edited["rev"].as_u64() > said["seq"].as_u64()
        ),
        (&said["seq"], true)
    );
    let event = at_bob.event_of("message:edited", &group).await;
    assert_eq!(event.seq, event.data["rev"].as_u64());
    for (field, expected) in [
        ("message", json!(id)),
        ("text", json!("first")),
        ("editCount", json!(1)),
        ("editedAt", edited["editedAt"].clone()),
    ] {
        assert_eq!(event.data[field], expected, "{field}");
    }
    alice
        .rest
        .patch(&format!("/messages/{id}"), json!({"text": "first!"}))
        .await
        .unwrap();
    let versions = bob
        .rest
        .get(&format!("/messages/{id}/history"))
        .await
        .unwrap();
    let texts: Vec<&Value> = versions["data"]
        .as_array()
        .unwrap()
        .iter()
        .map(|version| &version["text"])
        .collect();
    let mut expected = [json!("frist"), json!("first"), json!("first!")];
    if texts[0] == &expected[2] {
        expected.reverse();
    }
    assert_eq!(texts, expected.iter().collect::<Vec<_>>());

    let not_bobs = at_bob
        .request_as(
            &new_key(),
            "message:edit",
            json!({"message": id, "text": "bob's"}),
        )
        .await
        .unwrap_err();
    assert_eq!(not_bobs.code, "forbidden");
    assert_eq!(alice.history(&group).await[0]["text"], "first!");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_text_is_gone_everywhere_and_its_place_stays() {
    let server = Server::start().await;
    let (alice, bob, group) = pair(&server).await;
    let at_bob = bob.connect(&server).await;
    let before = at_bob.cursors();
    let said = alice.say(&group, "a CANARY sings").await;
    let id = id_of(&said);
    alice
        .rest
        .patch(
            &format!("/messages/{id}"),
            json!({"text": "the CANARY sang"}),
        )
        .await
        .unwrap();
    let answer = bob
        .say_as(
            &group,
            &new_key(),
            json!({"text": "did it?", "replyTo": id}),
        )
        .await
        .unwrap();
    let at_alice = alice.connect(&server).await;
    let reply = at_alice
        .request_as(&new_key(), "message:delete", json!({"message": id}))
        .await
        .unwrap();
    let event = at_bob.event_of("message:deleted", &group).await;
    assert_eq!(
        (&event.data["message"], event.data["rev"].as_u64()),
        (&json!(id), event.seq)
    );
    assert_eq!(reply["rev"].as_u64(), event.seq, "{reply}");

    let deleted = bob.rest.get(&format!("/messages/{id}")).await.unwrap();
    assert_eq!(
        (&deleted["data"]["text"], &deleted["data"]["seq"]),
        (&json!(""), &said["seq"])
    );
    assert!(deleted["data"]["deletedAt"].is_string());
    let versions = bob
        .rest
        .get(&format!("/messages/{id}/history"))
        .await
        .map(|versions| versions.to_string());
    let list = bob.rest.get("/conversations").await.unwrap().to_string();
    let rows = Value::from(bob.history(&group).await).to_string();
    assert!(rows.contains(&id_of(&answer)));
    // A reader that comes from before gets the places, in order, without the text.
    let replayed = Socket::open(server.address(), &bob.access, before)
        .await
        .unwrap();
    replayed.reaches(&group, event.seq.unwrap()).await;
    replayed.expect_no_faults();
    let kinds: Vec<String> = replayed
        .log(&group)
        .into_iter()
        .map(|event| event.kind)
        .collect();
    assert_eq!(
        kinds,
        [
            "message:received",
            "message:edited",
            "message:received",
            "message:deleted"
        ]
    );
    let replayed = format!("{:?}", entries(&replayed.events()));
    for place in [versions.unwrap_or_default(), list, rows, replayed] {
        assert!(!place.contains("CANARY"), "{place}");
    }
    assert!(!server.log().contains("CANARY"));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_deleted_stays_deleted() {
    let server = Server::start().await;
    let (alice, bob, group) = pair(&server).await;
    let id = id_of(&alice.say(&group, "gone").await);
    alice.rest.delete(&format!("/messages/{id}")).await.unwrap();
    let answers = [
        alice.rest.delete(&format!("/messages/{id}")).await,
        alice
            .rest
            .patch(&format!("/messages/{id}"), json!({"text": "back"}))
            .await,
        bob.rest
            .post(&format!("/messages/{id}/reactions"), json!({"emoji": "👍"}))
            .await,
    ];
    for (at, answer) in answers.into_iter().enumerate() {
        // Deleting again may be answered as done.
        match answer {
            Ok(_) => assert_eq!(at, 0),
            Err(refusal) => assert!(
                ["gone", "not_found", "conflict"].contains(&refusal.code.as_str()),
                "{refusal:?}"
            ),
        }
    }
    assert_eq!(bob.history(&group).await[0]["text"], "");
}

#[tokio::test(flavor = "multi_thread")]
async fn texts_name_people() {
    let server = Server::start().await;
    let (alice, bob, group) = pair(&server).await;
    let carol = Account::register(&server, "carol").await;
    let named = alice
        .say(
            &group,
            &format!(
                "hi @{}, not @{} nor a@{}",
                bob.username.to_uppercase(),
                carol.username,
                bob.username
            ),
        )
        .await;
    assert_eq!(named["mentions"], json!([bob.id]));
    let edited = alice
        .rest
        .patch(
            &format!("/messages/{}", id_of(&named)),
            json!({"text": "hi all"}),
        )
        .await
        .unwrap();
    assert!(
        edited["data"]
            .get("mentions")
            .is_none_or(|mentions| mentions == &json!([])),
        "{edited}"
    );
    let unnamed = alice.say(&group, "hi").await;
    assert!(unnamed.get("mentions").is_none(), "{unnamed}");
}

#[tokio::test(flavor = "multi_thread")]
async fn any_text_comes_back_byte_for_byte() {
    let server = Server::start().await;
    let (alice, bob, group) = pair(&server).await;
    let (at_alice, at_bob) = (alice.connect(&server).await, bob.connect(&server).await);
    let texts: Vec<String> = vec![
        " leading and trailing ".into(),
        "\n\r\n\ttabs and lines\u{b}\u{c}".into(),
        "\u{0}\u{1}\u{7}\u{8}\u{1b}[31mred\u{1b}[0m\u{7f}\u{80}\u{9f}".into(),
        "\u{202e}right to left\u{202c} \u{2066}isolated\u{2069} \u{200f}\u{61c}".into(),
        "שלום עליכם مرحبا".into(),
        "👩‍👩‍👧‍👦🏳️‍🌈👍🏽🇩🇪 e\u{301} \u{e9} \u{1f468}\u{200d}\u{1f680}".into(),
        "Z\u{351}\u{36b}\u{343}a\u{334}\u{31b}l\u{322}g\u{328}o".into(),
        "\u{2028}\u{2029}\u{feff}\u{fffd}\u{ffff}\u{10ffff}\u{e000}".into(),
        "\"\\/{}[]:,'`$(rm -rf /)'; DROP TABLE messages;-- <script>alert(1)</script> &amp; %00 %s"
            .into(),
        "{\"id\":1,\"type\":\"message:send\"}".into(),
        "ﷺ".repeat(100),
        "x".repeat(16 * 1024),
        "😀".repeat(4 * 1024),
        "\u{1}".repeat(16 * 1024),
    ];
    let mut last = 0;
    for (index, text) in texts.iter().enumerate() {
        let message = if index % 2 == 0 {
            at_alice.say(&group, text).await.unwrap()
        } else {
            alice.say(&group, text).await
        };
        assert_eq!(message["text"], text.as_str());
        last = seq_of(&message);
    }
    at_bob.reaches(&group, last).await;
    let received: Vec<Event> = at_bob
        .log(&group)
        .into_iter()
        .filter(|event| event.kind == "message:received")
        .collect();
    let heard: Vec<&str> = received
        .iter()
        .map(|event| event.data["message"]["text"].as_str().unwrap())
        .collect();
    assert_eq!(heard, texts);
    let rows = bob.history(&group).await;
    let read: Vec<&str> = rows
        .iter()
        .map(|message| message["text"].as_str().unwrap())
        .collect();
    assert_eq!(read, texts);

    for (text, why) in [
        ("x".repeat(16 * 1024 + 1), "too long"),
        (String::new(), "empty"),
    ] {
        for refused in [
            at_alice.say(&group, &text).await.unwrap_err(),
            alice
                .say_as(&group, &new_key(), json!({"text": text}))
                .await
                .unwrap_err(),
        ] {
            assert!(
                refused.code == "too_large" || refused.detail("text").is_some(),
                "{why}: {refused:?}"
            );
        }
    }
}
