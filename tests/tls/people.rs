//! Alice and Bob over wss: what they write arrives, whatever the connection does.

use std::net::Ipv4Addr;

use serde_json::json;

use crate::harness::events::{EventSession, Said};
use crate::harness::listener::{Language, Listener};
use crate::harness::raw::{Raw, Received};
use crate::harness::{Account, Authority, Options, Server, new_key};

use super::counts;

/// A socket of Bob's whose kernel takes little of what he does not read.
async fn slow(server: &Server, bob: &Account) -> Raw {
    let address = server.address();
    let raw = Raw::connect_from(address, Ipv4Addr::LOCALHOST).await;
    let raw = raw.unwrap().upgraded(address).await;
    raw.greeted(&bob.access).await
}

#[tokio::test(flavor = "multi_thread")]
async fn people_talk_over_wss_and_come_back_after_a_kill() {
    let authority = Authority::new();
    let server = Options::new().tls(&authority).port_kept().start().await;
    for printed in ["listens on https://", "wss://127.0.0.1:"] {
        server.says(printed).await;
    }
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let node = Listener::start(Language::Node, server.address(), &bob.access).await;
    let python = Listener::start(Language::Python, server.address(), &bob.access).await;
    let events = Listener::start(Language::PythonEvents, server.address(), &bob.access).await;
    let mut last = 0;
    for round in 0..3 {
        let socket = alice.connect(&server).await;
        for line in 0..20 {
            // Up to more than one TLS record.
            let text = format!("{round} {line} {}", "x".repeat(line * 800));
            let said = socket.say(&group, &text).await.unwrap();
            last = said["seq"].as_u64().unwrap();
        }
        socket.reaches(&group, last).await;
        node.reaches(&group, last).await;
        python.reaches(&group, last).await;
        events.reaches(&group, last).await;
        if round < 2 {
            server.kill9();
            server.restart().await;
        }
    }
    let said = alice.history(&group).await;
    assert_eq!(said.len(), 60);
    for listener in [&node, &python, &events] {
        let log = listener.log(&group);
        let heard: Vec<_> = log
            .iter()
            .filter(|event| event["type"] == "message:received")
            .map(|event| event["data"]["message"]["text"].clone())
            .collect();
        let texts: Vec<_> = said.iter().map(|message| message["text"].clone()).collect();
        assert_eq!(heard, texts);
        assert!(
            !listener.errors().contains("a gap"),
            "{}",
            listener.errors()
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_stream_over_tls_brings_what_is_posted_and_ends_whole() {
    let authority = Authority::new();
    let server = Options::new().tls(&authority).start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    let opening = EventSession::open(&server, &alice, json!([]));
    let (session, mut events) = opening.await.unwrap();
    for id in 1..=20_u64 {
        // Quoted: the last ones fill more than one TLS record each.
        let text = format!("{id} {}", "\"".repeat(id as usize * 600));
        let data = json!({"conversation": group, "text": text});
        let send = json!({"id": id, "type": "message:send", "key": new_key(), "data": data});
        session.say(send).await.unwrap();
        let heard = events.until(|frame| frame["seq"].is_u64()).await;
        assert_eq!(heard.last().unwrap()["data"]["message"]["text"], text);
    }
    server.ask_to_stop();
    let end = loop {
        match events.next().await {
            Said::Frame(_) | Said::Comment => {}
            end => break end,
        }
    };
    assert!(matches!(end, Said::Close { code: 1012, .. }), "{end:?}");
    // A body that TLS or HTTP cut short would be broken.
    assert_eq!(events.next().await, Said::End);
    drop(events);
    assert!(server.ended().await.success(), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mebibyte_waits_for_a_slow_reader_and_arrives_to_the_byte() {
    let authority = Authority::new();
    let server = Options::new().tls(&authority).start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let mut raw = slow(&server, &bob).await;
    let socket = alice.connect(&server).await;
    let texts: Vec<String> = (0..64)
        .map(|line| {
            format!("{line} ")
                .repeat(16_000 / 3)
                .chars()
                .take(16_000)
                .collect()
        })
        .collect();
    for text in &texts {
        socket.say(&group, text.trim()).await.unwrap();
    }
    // All of it is acknowledged and Bob has read none of it.
    let mut heard: Vec<String> = Vec::new();
    while heard.len() < texts.len() {
        match raw.receive().await {
            Received::Text(frame) if frame["type"] == "message:received" => {
                heard.push(frame["data"]["message"]["text"].as_str().unwrap().into());
            }
            Received::Text(_) => {}
            other => panic!("{other:?} after {}", heard.len()),
        }
    }
    assert!(heard.iter().eq(texts.iter().map(|text| text.trim())));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_reads_nothing_is_closed_with_4000_and_the_others_go_on() {
    let authority = Authority::new();
    let options = Options::new().limit("slow_reader_ms_max", 300);
    let server = options.tls(&authority).start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let mut raw = slow(&server, &bob).await;
    let socket = alice.connect(&server).await;
    let text = "x".repeat(16_000);
    let mut last = 0;
    for _ in 0..40 {
        let said = socket.say(&group, &text).await.unwrap();
        last = said["seq"].as_u64().unwrap();
    }
    counts(&server, "fanfare_closes_total{code=\"4000\"}", 1.0).await;
    socket.reaches(&group, last).await;
    // Whole frames up to the close, or the cut that follows it.
    let code = raw.close_code().await;
    assert!([4000, 1006].contains(&code), "{code}");
}

#[tokio::test(flavor = "multi_thread")]
async fn ends_are_clean_on_both_sides() {
    let authority = Authority::new();
    let server = Options::new().tls(&authority).start().await;
    let bob = Account::register(&server, "bob").await;
    // A client that says at the level of TLS that it will say no more.
    let mut half = Raw::hello(server.address(), &bob.access).await;
    counts(&server, "fanfare_sockets", 1.0).await;
    half.say_end().await;
    counts(&server, "fanfare_sockets", 0.0).await;
    assert_eq!(half.close_code().await, 1000);

    let mut raw = Raw::hello(server.address(), &bob.access).await;
    server.ask_to_stop();
    assert_eq!(raw.close_code().await, 1012);
    // A connection that were cut without close_notify would be an error here.
    assert_eq!(raw.rest().await.map_err(|error| error.to_string()), Ok(0));
    drop(raw);
    assert!(server.ended().await.success(), "{}", server.log());
}
