//! What those outside a group learn and hear of it: nothing.

use serde_json::json;

use crate::harness::{Account, Server, Socket, new_key};

#[tokio::test(flavor = "multi_thread")]
async fn strangers_learn_nothing_of_a_group() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let carol = Account::register(&server, "carol").await;
    let group = alice.group(&[&bob]).await;
    let said = alice.say(&group, "secret").await;
    let said = said["id"].as_str().unwrap();
    let of_nothing = "0199f0a2-0000-7000-8000-000000000000";
    for id in [group.as_str(), of_nothing] {
        let path = format!("/conversations/{id}");
        for (method, path, body) in [
            ("GET", path.clone(), None),
            ("PATCH", path.clone(), Some(json!({"title": "x"}))),
            ("DELETE", path.clone(), None),
            ("GET", format!("{path}/messages"), None),
            (
                "POST",
                format!("{path}/messages"),
                Some(json!({"text": "x"})),
            ),
            ("GET", format!("{path}/participants"), None),
            (
                "POST",
                format!("{path}/participants"),
                Some(json!({"userIds": [carol.id]})),
            ),
            (
                "PATCH",
                format!("{path}/participants/{}", bob.id),
                Some(json!({"role": "admin"})),
            ),
            ("DELETE", format!("{path}/participants/{}", bob.id), None),
            ("POST", format!("{path}/join"), Some(json!({}))),
            ("POST", format!("{path}/leave"), Some(json!({}))),
            ("POST", format!("{path}/read"), Some(json!({"seq": 1}))),
        ] {
            let refusal = carol
                .rest
                .call(method, &path, body, Some(&new_key()))
                .await
                .unwrap_err();
            assert_eq!(
                (refusal.status, refusal.code.as_str()),
                (404, "not_found"),
                "{method} {path}"
            );
        }
    }
    for (method, path, body) in [
        ("GET", format!("/messages/{said}"), None),
        (
            "PATCH",
            format!("/messages/{said}"),
            Some(json!({"text": "x"})),
        ),
        ("DELETE", format!("/messages/{said}"), None),
        ("GET", format!("/messages/{said}/history"), None),
        (
            "POST",
            format!("/messages/{said}/reactions"),
            Some(json!({"emoji": "👍"})),
        ),
    ] {
        let refusal = carol
            .rest
            .call(method, &path, body, Some(&new_key()))
            .await
            .unwrap_err();
        assert_eq!(
            (refusal.status, refusal.code.as_str()),
            (404, "not_found"),
            "{method} {path}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn strangers_hear_nothing_of_a_group() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let carol = Account::register(&server, "carol").await;
    let group = alice.group(&[&bob]).await;
    let said = alice.say(&group, "secret").await;
    let said = said["id"].as_str().unwrap();
    let socket = carol.connect(&server).await;
    for (kind, data) in [
        ("message:send", json!({"conversation": group, "text": "x"})),
        ("message:edit", json!({"message": said, "text": "x"})),
        ("message:delete", json!({"message": said})),
        ("message:react", json!({"message": said, "emoji": "👍"})),
        ("message:read", json!({"conversation": group, "seq": 1})),
        ("conversation:join", json!({"conversation": group})),
        ("conversation:leave", json!({"conversation": group})),
    ] {
        let refusal = socket.request(kind, data).await.unwrap_err();
        assert_eq!(refusal.code, "not_found", "{kind}");
    }
    let wish = json!({"cursors": [{"conversation": group}]});
    let reply = socket
        .request("conversations:subscribe", wish)
        .await
        .unwrap();
    assert_eq!(reply["gone"][0]["conversation"], group.as_str());
    let cursors = json!([{"conversation": group, "epoch": 1, "seq": 0}]);
    let hello = Socket::open(server.address(), &carol.access, cursors)
        .await
        .unwrap();
    assert_eq!(hello.gone(), [group.as_str()]);
    alice.say(&group, "more").await;
    socket.request("session:ping", json!({})).await.unwrap();
    assert!(socket.log(&group).is_empty() && hello.log(&group).is_empty());
}
