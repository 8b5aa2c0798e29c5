//! Sessions: hello, devices, ping, heartbeats, the time to say hello.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::inbox::Keep;
use crate::harness::raw::{Frame, Raw, Received, TEXT};
use crate::harness::socket::Opening;
use crate::harness::{Account, Options, Server};

#[tokio::test(flavor = "multi_thread")]
async fn hello_says_who_and_what() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    alice.say(&group, "for later").await;
    let socket = alice.connect(&server).await;
    let hello = &socket.hello;
    assert_eq!(hello["user"]["id"], alice.id.as_str());
    assert_eq!(hello["minor"], 0);
    assert!(
        hello["session"].is_string() && hello["limits"].is_object(),
        "{hello}"
    );
    assert!(
        hello["heartbeatS"]
            .as_u64()
            .is_some_and(|beat_s| beat_s > 0),
        "{hello}"
    );
    let head = alice.conversation(&group).await["headSeq"].clone();
    assert_eq!(
        (
            &hello["subscribed"][0]["conversation"],
            &hello["subscribed"][0]["seq"]
        ),
        (&json!(group), &head)
    );
    for list in ["resync", "gone"] {
        assert_eq!(hello[list], json!([]), "{list}");
    }
    let info = socket.request("session:info", json!({})).await.unwrap();
    assert_eq!(info["session"], hello["session"]);
    socket.request("session:ping", json!({})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn credentials_come_in_the_header_too_and_either_subprotocol_is_named() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let opening = Opening {
        bearer: Some(alice.access.clone()),
        subprotocol: Some("fanfare.v1.json".into()),
        ..Opening::default()
    };
    let socket = opening.connect(server.address(), Keep::All).await.unwrap();
    let hello = socket
        .request(
            "session:hello",
            json!({"device": {"kind": "mobile", "name": "phone"}}),
        )
        .await
        .unwrap();
    assert_eq!(hello["user"]["id"], alice.id.as_str());
    let second = socket
        .request("session:hello", json!({"device": {"kind": "mobile"}}))
        .await
        .unwrap_err();
    assert!(
        ["conflict", "invalid_request", "invalid_frame"].contains(&second.code.as_str()),
        "{second:?}"
    );
    let broken = Opening {
        bearer: Some("not.a.token".into()),
        ..Opening::default()
    };
    let refused = broken
        .connect(server.address(), Keep::All)
        .await
        .map(drop)
        .unwrap_err();
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (401, "unauthenticated")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn every_device_gets_everything() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let devices = [
        alice.connect(&server).await,
        alice.connect(&server).await,
        bob.connect(&server).await,
        bob.connect(&server).await,
    ];
    let mut last = Value::Null;
    for (at, device) in devices.iter().enumerate() {
        last = device
            .say(&group, &format!("from device {at}"))
            .await
            .unwrap();
    }
    let logs: Vec<_> = {
        let mut logs = Vec::new();
        for device in &devices {
            device.reaches(&group, last["seq"].as_u64().unwrap()).await;
            device.expect_no_faults();
            logs.push(device.log(&group));
        }
        logs
    };
    assert_eq!(logs[0].len(), 4);
    for log in &logs {
        assert_eq!(log, &logs[0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn ids_are_echoed_as_they_came_and_frames_without_one_get_no_reply() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    let mut raw = Raw::hello(server.address(), &alice.access).await;
    for id in [
        json!(7),
        json!("seven"),
        json!("x".repeat(64)),
        json!(9_007_199_254_740_991_u64),
    ] {
        let frame = json!({"id": id, "type": "session:ping", "data": {}});
        raw.frame(&Frame::new(TEXT, frame.to_string())).await;
        let Received::Text(reply) = raw.receive().await else {
            panic!("no reply to {frame}")
        };
        assert_eq!(reply["re"], id);
    }
    // Without an id: only the event comes of what works …
    let send = json!({"type": "message:send", "key": "k1", "data": {"conversation": group, "text": "no reply, please"}});
    raw.frame(&Frame::new(TEXT, send.to_string())).await;
    let Received::Text(event) = raw.receive().await else {
        panic!("no event")
    };
    assert_eq!(
        (&event["type"], &event["data"]["message"]["key"]),
        (&json!("message:received"), &json!("k1"))
    );
    // … and an error event of what does not.
    let send =
        json!({"type": "message:send", "key": "k2", "data": {"conversation": group, "text": ""}});
    raw.frame(&Frame::new(TEXT, send.to_string())).await;
    let error = loop {
        let Received::Text(frame) = raw.receive().await else {
            panic!("no error event")
        };
        if frame["type"] == "error" {
            break frame;
        }
        assert_eq!(frame.get("re"), None, "{frame}");
    };
    assert_eq!(error["data"]["key"], "k2", "{error}");
    assert!(
        error["data"]["code"] == "invalid_request"
            || error["data"]["error"]["code"] == "invalid_request",
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn the_silent_are_closed_and_the_living_are_not() {
    let server = Options::new()
        .limit("heartbeat_ms", 400)
        .limit("hello_ms_max", 600)
        .start()
        .await;
    let alice = Account::register(&server, "alice").await;
    let living = alice.connect(&server).await;
    // Told in whole seconds, rounded up: never "no heartbeat".
    assert_eq!(living.hello["heartbeatS"], 1);
    // Reads nothing and so answers no ping.
    let mut silent = Raw::hello(server.address(), &alice.access).await;
    let mut without_hello = Raw::upgrade(server.address()).await;
    let code = without_hello.close_code().await;
    assert!([4300, 1008, 4001].contains(&code), "{code}");
    // `receive` skips pings, it does not answer them.
    assert_eq!(silent.close_code().await, 4001);
    tokio::time::timeout(Duration::from_millis(1500), living.close_code())
        .await
        .expect_err("the living stay");
    living.request("session:ping", json!({})).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_hears_of_the_most_recent_and_subscribes_to_others() {
    let server = Options::new().limit("hello_subscriptions", 2).start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let mut groups = Vec::new();
    for _ in 0..4 {
        let group = alice.group(&[&bob]).await;
        alice.say(&group, "old").await;
        groups.push(group);
    }
    alice.say(&groups[0], "newer").await;
    let at_bob = bob.connect(&server).await;
    let mut subscribed: Vec<&str> = at_bob.hello["subscribed"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|cursor| cursor["conversation"].as_str())
        .collect();
    subscribed.sort_unstable();
    let mut recent = vec![groups[0].as_str(), groups[3].as_str()];
    recent.sort_unstable();
    assert_eq!(subscribed, recent);

    // Of the others it hears by unread:update …
    alice.say(&groups[1], "hear me?").await;
    let update = at_bob.event_of("unread:update", &groups[1]).await;
    assert_eq!(update.data["unread"], 2);
    assert!(at_bob.log(&groups[1]).is_empty());
    // … until it subscribes, from a cursor or from now.
    let wishes = json!({"cursors": [{"conversation": groups[1], "epoch": at_epoch(&bob, &groups[1]).await, "seq": first_seq(&bob, &groups[1]).await}, {"conversation": groups[2]}]});
    let reply = at_bob
        .request("conversations:subscribe", wishes)
        .await
        .unwrap();
    assert_eq!(
        reply["subscribed"].as_array().map(Vec::len),
        Some(2),
        "{reply}"
    );
    let missed = at_bob.event_of("message:received", &groups[1]).await;
    assert_eq!(missed.data["message"]["text"], "hear me?");
    alice.say(&groups[2], "now").await;
    let now = at_bob.event_of("message:received", &groups[2]).await;
    assert_eq!(now.data["message"]["text"], "now");

    at_bob
        .request(
            "conversations:unsubscribe",
            json!({"conversations": [groups[2]]}),
        )
        .await
        .unwrap();
    let unheard = alice.say(&groups[2], "unheard").await;
    alice.say(&groups[1], "heard").await;
    at_bob
        .event("heard", |event| event.data["message"]["text"] == "heard")
        .await;
    at_bob.request("session:ping", json!({})).await.unwrap();
    assert!(
        at_bob
            .log(&groups[2])
            .iter()
            .all(|event| event.seq < unheard["seq"].as_u64())
    );
    at_bob.expect_no_faults();
}

async fn first_seq(who: &Account, conversation: &str) -> Value {
    who.history(conversation).await[0]["seq"].clone()
}

async fn at_epoch(who: &Account, conversation: &str) -> Value {
    who.history(conversation).await[0]["epoch"].clone()
}
