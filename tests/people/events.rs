//! Sessions without WebSocket: frames by POST, an event stream down.

use serde_json::{Value, json};

use crate::harness::events::{EventSession, Events, Said};
use crate::harness::raw::Raw;
use crate::harness::{Account, Options, SOON, Server, eventually, new_key};

/// The numbered events of a conversation: (seq, type, text).
fn numbered(frames: &[Value], conversation: &str) -> Vec<(u64, String, String)> {
    let own = |frame: &&Value| frame["conversation"] == conversation && frame["seq"].is_u64();
    let shape = |frame: &Value| {
        let text = frame["data"]["message"]["text"].as_str();
        (
            frame["seq"].as_u64().unwrap(),
            frame["type"].as_str().unwrap().to_owned(),
            text.unwrap_or_default().to_owned(),
        )
    };
    frames.iter().filter(own).map(shape).collect()
}

fn says(text: &str) -> impl Fn(&Value) -> bool {
    move |frame| frame["data"]["message"]["text"] == text && frame["seq"].is_u64()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_posted_is_answered_down_the_stream_and_a_key_counts_once() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let (session, mut events) = EventSession::open(&server, &alice, json!([]))
        .await
        .unwrap();
    let begun = &session.begun;
    assert_eq!(begun["user"]["id"], alice.id.as_str());
    assert_eq!(begun["subscribed"][0]["conversation"], group.as_str());
    assert_eq!(begun["expiresInS"], 30);
    for field in ["id", "ticket", "session"] {
        assert!(begun[field].is_string(), "{field} in {begun}");
    }

    let key = new_key();
    let data = json!({"conversation": group, "text": "line\nbreaks\r\nstay"});
    for id in [1, 2] {
        let send = json!({"id": id, "type": "message:send", "key": key, "data": data});
        assert_eq!(session.say(send).await.unwrap()["data"], json!({}));
    }
    let first = events.reply(1).await;
    let second = events.reply(2).await;
    assert_eq!(first["data"], second["data"], "one message");
    bob.say(&group, "I heard").await;
    events.until(says("I heard")).await;
    let history = alice.history(&group).await;
    let texts: Vec<_> = history.iter().map(|message| &message["text"]).collect();
    assert_eq!(texts, ["line\nbreaks\r\nstay", "I heard"]);

    // What fails without an id is told by an event, as on a socket.
    let send =
        json!({"type": "message:send", "key": "k", "data": {"conversation": group, "text": ""}});
    session.say(send).await.unwrap();
    let told = events.until(|frame| frame["type"] == "error").await;
    assert_eq!(told.last().unwrap()["data"]["key"], "k");

    // Whoever leaves the stream has left the session.
    drop(events);
    eventually("the session's end", SOON, async || {
        let ping = json!({"id": 3, "type": "session:ping"});
        session.say(ping).await.err().filter(|it| it.status == 404)
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_stream_goes_on_from_its_cursors() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let (session, mut events) = EventSession::open(&server, &bob, json!([])).await.unwrap();
    let mut cursor = session.begun["subscribed"][0].clone();
    let start = cursor["seq"].as_u64().unwrap();
    alice.say(&group, "before").await;
    let mut heard = numbered(&events.until(says("before")).await, &group);
    drop(events);
    for number in 0..30 {
        alice.say(&group, &format!("missed {number}")).await;
    }
    cursor["seq"] = json!(heard.last().unwrap().0);
    let (session, mut events) = EventSession::open(&server, &bob, json!([cursor]))
        .await
        .unwrap();
    assert_eq!(session.begun["subscribed"], json!([cursor]));
    alice.say(&group, "after").await;
    heard.extend(numbered(&events.until(says("after")).await, &group));
    let seqs: Vec<u64> = heard.iter().map(|(seq, ..)| *seq).collect();
    let expected: Vec<u64> = (start + 1..=start + 32).collect();
    assert_eq!(seqs, expected, "once each, in order");
}

#[tokio::test(flavor = "multi_thread")]
async fn hello_is_refused_in_its_answer() {
    let server = Options::new()
        .limit("sessions_per_user_max", 2)
        .limit("event_sessions_waiting_max", 3)
        .start()
        .await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let ask = async |hello: Value| alice.rest.post("/session", hello).await.unwrap_err();
    let refused = server.rest().post("/session", json!({})).await.unwrap_err();
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (401, "unauthenticated")
    );
    let refused = ask(json!({"devices": []})).await;
    assert_eq!(
        (refused.status, refused.code.as_str()),
        (422, "invalid_request")
    );
    assert!(refused.detail("devices").is_some(), "{refused:?}");
    let refused = ask(json!([])).await;
    assert_eq!(refused.status, 422, "{refused:?}");
    let cursor = json!({"conversation": new_key(), "epoch": 1, "seq": 1});
    let refused = ask(json!({"cursors": vec![cursor; 201]})).await;
    assert!(refused.detail("cursors").is_some(), "{refused:?}");

    // Those that were refused take no place: neither of the user's two …
    let first = EventSession::begin(&server, &alice, json!([]))
        .await
        .unwrap();
    let _second = EventSession::begin(&server, &alice, json!([]))
        .await
        .unwrap();
    let refused = ask(json!({})).await;
    assert_eq!((refused.status, refused.code.as_str()), (503, "overloaded"));
    // … nor of the node's three.
    let _third = EventSession::begin(&server, &bob, json!([])).await.unwrap();
    let refused = bob.rest.post("/session", json!({})).await.unwrap_err();
    assert_eq!((refused.status, refused.code.as_str()), (503, "overloaded"));
    assert!(refused.error["retryAfterMs"].is_u64(), "{refused:?}");
    let _open = first.events().await.unwrap();
    EventSession::begin(&server, &bob, json!([])).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_opens_one_stream_once_and_in_time() {
    let server = Options::new().limit("ticket_s", 1).start().await;
    let alice = Account::register(&server, "alice").await;
    let (session, mut events) = EventSession::open(&server, &alice, json!([]))
        .await
        .unwrap();
    let other = alice.rest.post("/auth/ticket", json!({})).await.unwrap();
    let used = session.begun["ticket"].as_str().unwrap();
    let foreign = other["data"]["ticket"].as_str().unwrap();
    for query in [
        String::new(),
        "?ticket=nonsense".to_owned(),
        format!("?ticket={used}"),
        format!("?ticket={foreign}"),
    ] {
        let refused = Events::of(server.address(), &query).await.err().unwrap();
        assert_eq!(
            (refused.status, refused.code.as_str()),
            (401, "unauthenticated")
        );
    }
    let late = EventSession::begin(&server, &alice, json!([]))
        .await
        .unwrap();
    eventually("the end of a session without a stream", SOON, async || {
        let ping = json!({"id": 1, "type": "session:ping"});
        late.say(ping).await.err().filter(|it| it.status == 404)
    })
    .await;
    assert_eq!(late.events().await.err().unwrap().status, 401);
    // The one that was opened in time outlives its ticket.
    session
        .say(json!({"id": 2, "type": "session:ping"}))
        .await
        .unwrap();
    events.reply(2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn frames_are_judged_where_they_are_posted() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let (session, mut events) = EventSession::open(&server, &alice, json!([]))
        .await
        .unwrap();
    let ping = json!({"id": 1, "type": "session:ping"});
    let foreign = session.say_as(&bob, ping.clone()).await.unwrap_err();
    let nowhere = alice
        .rest
        .post("/session/nowhere/frames", ping)
        .await
        .unwrap_err();
    assert_eq!((foreign.status, foreign.code.as_str()), (404, "not_found"));
    assert_eq!(foreign.error, nowhere.error);
    let long = "x".repeat(130 * 1024);
    for (frame, status, code) in [
        (json!([]), 400, "invalid_frame"),
        (json!({"id": 1, "type": "no:such"}), 400, "unknown_type"),
        (
            json!({"id": 1, "type": "session:ping", "data": {"a": 1}}),
            422,
            "invalid_request",
        ),
        (
            json!({"id": 1, "type": "session:ping", "key": long}),
            413,
            "too_large",
        ),
    ] {
        let refused = session.say(frame).await.unwrap_err();
        assert_eq!((refused.status, refused.code.as_str()), (status, code));
    }

    // One whose body has not come yet keeps the others out.
    let mut slow = Raw::connect(server.address()).await;
    let head = format!(
        "POST /api/v1/session/{}/frames HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: 30\r\n\r\n",
        session.id(),
        alice.access
    );
    slow.write(head.as_bytes()).await;
    eventually("a frame that is kept out", SOON, async || {
        let info = json!({"id": 8, "type": "session:info"});
        let refused = session.say(info).await.err()?;
        assert_eq!((refused.status, refused.code.as_str()), (409, "conflict"));
        Some(())
    })
    .await;
    let answer = slow.request(r#"{"id":9,"type":"session:ping"}"#).await;
    assert!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    assert_eq!(events.reply(9).await["data"], json!({}));
    session
        .say(json!({"id": 10, "type": "session:hello"}))
        .await
        .unwrap();
    assert_eq!(events.reply(10).await["error"]["code"], "conflict");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kick_ends_the_stream_of_a_conversation_at_its_entry() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let other = alice.group(&[&bob]).await;
    let (_session, mut events) = EventSession::open(&server, &bob, json!([])).await.unwrap();
    alice.say(&group, "before").await;
    let path = format!("/conversations/{group}/participants/{}", bob.id);
    alice.rest.delete(&path).await.unwrap();
    alice.say(&group, "after").await;
    let is_removal = |frame: &Value| frame["type"] == "participant:removed";
    let mut frames = events.until(is_removal).await;
    alice.say(&other, "elsewhere").await;
    frames.extend(events.until(says("elsewhere")).await);
    let heard = numbered(&frames, &group);
    let kinds: Vec<_> = heard
        .iter()
        .map(|(_, kind, text)| (kind.as_str(), text.as_str()))
        .collect();
    let expected = [("message:received", "before"), ("participant:removed", "")];
    assert_eq!(kinds, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_stream_lives_and_one_that_is_not_read_is_closed() {
    let server = Options::new()
        .limit("heartbeat_ms", 300)
        .limit("slow_reader_ms_max", 500)
        .limit("response_stalled_ms_max", 3000)
        .start()
        .await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let (_idle, mut idle) = EventSession::open(&server, &alice, json!([]))
        .await
        .unwrap();
    // Longer than a silent socket or a stalled answer may last.
    for _ in 0..12 {
        assert_eq!(idle.next().await, Said::Comment);
    }
    let (session, mut unread) = EventSession::open(&server, &bob, json!([])).await.unwrap();
    let text = "x".repeat(16 * 1024);
    let mut said = 0;
    loop {
        alice.say(&group, &text).await;
        said += 1;
        assert!(said < 5000, "never closed");
        let ping = json!({"id": 1, "type": "session:subscribe"});
        if session.say(ping).await.unwrap_err().status == 404 {
            break;
        }
        idle.until(says(&text)).await;
    }
    let metrics = server
        .rest()
        .try_raw("GET", "/metrics", &[], None)
        .await
        .unwrap();
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(
        metrics.contains(r#"fanfare_closes_total{code="4000"} 1"#),
        "{metrics}"
    );
    let mut next = session.begun["subscribed"][0]["seq"].as_u64().unwrap();
    let end = loop {
        match unread.next().await {
            Said::Frame(frame)
                if frame["conversation"] == group.as_str() && frame["seq"].is_u64() =>
            {
                next += 1;
                assert_eq!(frame["seq"], next, "no gap in what came");
            }
            Said::Frame(_) | Said::Comment => {}
            end => break end,
        }
    };
    let slow = Said::Close {
        code: 4000,
        reason: "slow consumer".into(),
    };
    assert!(end == Said::Broken || end == slow, "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_goes_says_when_to_come_back() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let (_session, mut events) = EventSession::open(&server, &alice, json!([]))
        .await
        .unwrap();
    server.ask_to_stop();
    let told = events
        .until(|frame| frame["type"] == "session:reconnect")
        .await;
    assert!(told.last().unwrap()["data"]["delayMs"].is_u64(), "{told:?}");
    let reason = "restarting".into();
    assert_eq!(events.next().await, Said::Close { code: 1012, reason });
    assert_eq!(events.next().await, Said::End);
    let status = server.ended().await;
    assert!(status.success(), "{status}: {}", server.log());
    assert!(!server.log().contains("cut off"), "{}", server.log());
}
