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
        ("{}", "invalid_request"),
        (r#"{"id": 1}"#, "invalid_request"),
        (r#"{"id": 1, "type": 7, "data": {}}"#, "invalid_request"),
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
            "invalid_request",
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
        assert_eq!(code_of(&received), expected, "{text}: {received:?}");
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

/// The field that must be named, the command, its data. GROUP and MESSAGE stand for ids.
const WRONG_FIELDS: &str = r#"
author        message:send              {"conversation": "GROUP", "text": "x", "author": "me"}
text          message:send              {"conversation": "GROUP"}
text          message:send              {"conversation": "GROUP", "text": null}
conversation  message:send              {"conversation": "nonsense", "text": "x"}
type          message:send              {"conversation": "GROUP", "text": "x", "type": "hologram"}
rev           message:edit              {"message": "MESSAGE", "text": "x", "rev": 1}
message       message:edit              {"message": "nonsense", "text": "x"}
for           message:delete            {"message": "MESSAGE", "for": "me"}
emoji         message:react             {"message": "MESSAGE"}
seq           message:read              {"conversation": "GROUP", "seq": "1"}
seq           message:read              {"conversation": "GROUP", "seq": -1}
seq           message:delivered         {"conversation": "GROUP"}
as            conversation:join         {"conversation": "GROUP", "as": "owner"}
sequence      conversations:subscribe   {"cursors": [{"conversation": "GROUP", "sequence": 1}]}
conversation  conversations:unsubscribe {"conversation": "GROUP"}
cursors       session:resume            {}
token         session:refresh           {}
loud          session:ping              {"loud": true}
"#;

#[tokio::test(flavor = "multi_thread")]
async fn unknown_fields_are_named_in_commands_too() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    let socket = alice.connect(&server).await;
    let message = socket.say(&group, "x").await.unwrap();
    let table = WRONG_FIELDS
        .replace("GROUP", &group)
        .replace("MESSAGE", message["id"].as_str().unwrap());
    for line in table.lines().filter(|line| !line.is_empty()) {
        let (field, rest) = line.split_once(' ').unwrap();
        let (kind, data) = rest.trim_start().split_once(' ').unwrap();
        let data: Value = serde_json::from_str(data).unwrap();
        let refusal = socket
            .request_as(&new_key(), kind, data)
            .await
            .expect_err(line);
        assert_eq!(refusal.code, "invalid_request", "{line}: {refusal:?}");
        let details = refusal.error["details"]
            .as_object()
            .cloned()
            .unwrap_or_default();
        assert!(
            details.keys().any(|named| named.contains(field)),
            "{line}: {refusal:?}"
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
