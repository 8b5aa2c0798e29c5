//! Frames that are sound WebSocket and wrong otherwise: envelope, order, fields.

use serde_json::{Value, json};

use crate::harness::raw::{Frame, Raw, Received, TEXT};
use crate::harness::{Account, Server, Socket, new_key};

use super::lives;

/// Sends a text on a fresh session and gives the answer: a reply, an `error` event or a
/// close.
async fn answer(server: &Server, alice: &Account, text: &str) -> Received {
    let mut raw = Raw::hello(server.address(), &alice.access).await;
    raw.frame(&Frame::new(TEXT, text)).await;
    raw.receive().await
}

fn code_of(received: &Received) -> String {
    match received {
        Received::Text(frame) => {
            let error = if frame["error"].is_object() {
                &frame["error"]
            } else {
                &frame["data"]
            };
            error["code"]
                .as_str()
                .or(error["error"]["code"].as_str())
                .unwrap_or("none")
                .to_owned()
        }
        other => format!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_envelopes_are_refused_by_code() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    for (text, expected) in [
        ("", "invalid_frame"),
        ("hello", "invalid_frame"),
        ("{", "invalid_frame"),
        ("[]", "invalid_frame"),
        ("null", "invalid_frame"),
        ("{}", "invalid_frame"),
        (r#"{"id": 1}"#, "invalid_frame"),
        (r#"{"id": 1, "type": 7, "data": {}}"#, "invalid_frame"),
        (
            r#"{"id": {}, "type": "session:ping", "data": {}}"#,
            "invalid_frame",
        ),
        (
            r#"{"id": 1, "type": "session:ping", "data": {}} {}"#,
            "invalid_frame",
        ),
        (
            r#"{"id": 1, "type": "session:ping", "data": {}, "extra": 1}"#,
            "invalid_frame",
        ),
        (
            r#"{"id": 1, "type": "session:dance", "data": {}}"#,
            "unknown_type",
        ),
        (r#"{"id": 1, "type": "", "data": {}}"#, "unknown_type"),
        (
            r#"{"id": 1, "type": "message:send", "data": []}"#,
            "invalid_request",
        ),
        (
            r#"{"id": 1, "type": "message:send", "data": {"text": "x"}}"#,
            "invalid_request",
        ),
        (
            r#"{"id": 1, "type": "message:send", "key": "", "data": {"text": "x"}}"#,
            "invalid_request",
        ),
    ] {
        let received = answer(&server, &alice, text).await;
        let code = code_of(&received);
        // A wrong envelope may also end the session as a protocol error.
        let closed = expected == "invalid_frame" && received == Received::Close(4300);
        let lenient = text.contains("extra") && code == "invalid_request";
        assert!(
            code == expected || closed || lenient,
            "{text}: {received:?}"
        );
    }
    let long = json!({"id": "x".repeat(65), "type": "session:ping", "data": {}}).to_string();
    let received = answer(&server, &alice, &long).await;
    assert!(
        ["invalid_frame", "invalid_request"].contains(&code_of(&received).as_str())
            || received == Received::Close(4300),
        "{received:?}"
    );
    let deep = format!(
        r#"{{"id": 1, "type": "session:ping", "data": {}{}}}"#,
        "[".repeat(50_000),
        "]".repeat(50_000)
    );
    let received = answer(&server, &alice, &deep).await;
    assert!(
        ["invalid_frame", "invalid_request"].contains(&code_of(&received).as_str())
            || received == Received::Close(4300),
        "{received:?}"
    );
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_are_named_in_commands_too() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    let socket = alice.connect(&server).await;
    let message = socket.say(&group, "x").await.unwrap()["id"].clone();
    let nothing = "0199f0a2-0000-7000-8000-000000000000";
    let cases: Vec<(&str, Value, &str)> = vec![
        (
            "message:send",
            json!({"conversation": group, "text": "x", "author": nothing}),
            "author",
        ),
        ("message:send", json!({"conversation": group}), "text"),
        (
            "message:send",
            json!({"conversation": group, "text": null}),
            "text",
        ),
        (
            "message:send",
            json!({"conversation": "nonsense", "text": "x"}),
            "conversation",
        ),
        (
            "message:send",
            json!({"conversation": group, "text": "x", "type": "hologram"}),
            "type",
        ),
        (
            "message:edit",
            json!({"message": message, "text": "x", "rev": 1}),
            "rev",
        ),
        (
            "message:edit",
            json!({"message": "nonsense", "text": "x"}),
            "message",
        ),
        (
            "message:delete",
            json!({"message": message, "for": "me"}),
            "for",
        ),
        ("message:react", json!({"message": message}), "emoji"),
        (
            "message:read",
            json!({"conversation": group, "seq": "1"}),
            "seq",
        ),
        (
            "message:read",
            json!({"conversation": group, "seq": -1}),
            "seq",
        ),
        ("message:delivered", json!({"conversation": group}), "seq"),
        (
            "conversation:join",
            json!({"conversation": group, "as": "owner"}),
            "as",
        ),
        (
            "conversations:subscribe",
            json!({"cursors": [{"conversation": group, "sequence": 1}]}),
            "sequence",
        ),
        (
            "conversations:unsubscribe",
            json!({"conversation": group}),
            "conversation",
        ),
        ("session:resume", json!({}), "cursors"),
        ("session:refresh", json!({}), "token"),
        ("session:ping", json!({"loud": true}), "loud"),
    ];
    for (kind, data, field) in cases {
        let refusal = socket
            .request_as(&new_key(), kind, data.clone())
            .await
            .expect_err(kind);
        assert_eq!(
            refusal.code, "invalid_request",
            "{kind} {data}: {refusal:?}"
        );
        let details = refusal.error["details"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        assert!(
            details.keys().any(|named| named.contains(field)),
            "{kind} {data}: {refusal:?}"
        );
    }
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_done_before_hello() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    for (kind, data) in [
        (
            "message:send",
            json!({"conversation": group, "text": "too early"}),
        ),
        ("session:ping", json!({})),
        ("session:resume", json!({"cursors": []})),
        ("conversation:join", json!({"conversation": group})),
    ] {
        let mut raw = Raw::upgrade(server.address()).await;
        raw.frame(&Frame::new(
            TEXT,
            json!({"id": 1, "type": kind, "data": data}).to_string(),
        ))
        .await;
        match raw.receive().await {
            Received::Text(reply) => {
                assert_eq!(reply["error"]["code"], "unauthenticated", "{kind}: {reply}")
            }
            Received::Close(code) => assert!([4300, 1008].contains(&code), "{kind}: {code}"),
            other => panic!("{kind}: {other:?}"),
        }
    }
    assert!(alice.history(&group).await.is_empty());
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hello_without_good_credentials_is_refused() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    for (what, data, expected) in [
        (
            "nothing",
            json!({"device": {"kind": "bot"}}),
            "unauthenticated",
        ),
        ("nonsense", json!({"token": "nonsense"}), "unauthenticated"),
        (
            "the refresh token",
            json!({"token": alice.refresh}),
            "unauthenticated",
        ),
        (
            "a made-up ticket",
            json!({"ticket": "nonsense"}),
            "unauthenticated",
        ),
        (
            "an unknown field",
            json!({"token": alice.access, "user": "root"}),
            "invalid_request",
        ),
        (
            "an unknown device",
            json!({"token": alice.access, "device": {"kind": "toaster"}}),
            "invalid_request",
        ),
    ] {
        let mut raw = Raw::upgrade(server.address()).await;
        raw.frame(&Frame::new(
            TEXT,
            json!({"id": 1, "type": "session:hello", "data": data}).to_string(),
        ))
        .await;
        let Received::Text(reply) = raw.receive().await else {
            panic!("{what}: no reply")
        };
        assert_eq!(reply["error"]["code"], expected, "{what}: {reply}");
    }
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_text_fits_and_an_overfull_command_is_too_large() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    let socket = Socket::open(server.address(), &alice.access, json!([]))
        .await
        .unwrap();
    socket.say(&group, &"ä".repeat(8 * 1024)).await.unwrap();
    let refused = socket
        .say(&group, &"ä".repeat(8 * 1024 + 1))
        .await
        .unwrap_err();
    assert!(
        refused.code == "too_large" || refused.detail("text").is_some(),
        "{refused:?}"
    );
    // Beyond a frame there is no reply, only the close code.
    let data = json!({"conversation": group, "text": "x".repeat(200 * 1024)});
    let lost = socket.request("message:send", data).await.unwrap_err();
    assert!(lost.is_lost(), "{lost:?}");
    assert_eq!(socket.close_code().await, 1009);
    assert_eq!(alice.history(&group).await.len(), 1);
    lives(&server).await;
}
