//! Appends that fail, or whose outcome is unknown, with everything waiting
//! behind them; rooms that sleep and rooms that die.

use std::sync::Arc;

use fanfare_protocol::ConversationId;
use fanfare_protocol::command::CreateConversation;
use fanfare_protocol::conversation::Kind;
use fanfare_storage::dying::{Fault, Operation};
use serde_json::{Value, json};

use super::world::{Peer, World};
use crate::gateway::Page;

pub(super) async fn group(world: &World, people: &[fanfare_protocol::UserId]) -> ConversationId {
    let ask = CreateConversation {
        kind: Kind::Group,
        title: Some("room".to_owned()),
        slug: None,
        description: None,
        participant_ids: people[1..].to_vec(),
        visibility: None,
        join_policy: None,
    };
    let created = world
        .node
        .gateway()
        .create(people[0], ask, None)
        .await
        .unwrap();
    created.conversation.id
}

pub(super) async fn say(peer: &mut Peer, room: ConversationId, text: &str, key: &str) -> Value {
    peer.ask(
        "message:send",
        json!({ "conversation": room, "text": text }),
        Some(key),
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_people_talk() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    let mut b = world.connect(bob, json!([])).await;
    let reply = say(&mut a, room, "hello", "k1").await;
    let event = b.event("message:received").await;
    assert_eq!(reply["data"]["message"], event["data"]["message"]);
    assert_eq!(event["seq"], json!(2));
    assert_eq!(a.event("message:received").await, event);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_append_that_fails_refuses_everything_behind_it() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let room = group(&world, &[alice]).await;
    let mut a = world.connect(alice, json!([])).await;
    say(&mut a, room, "first", "k1").await;
    world
        .switch
        .fail_next(Operation::Append, Fault::Unavailable);
    let sent = [
        a.send(
            "message:send",
            json!({ "conversation": room, "text": "x" }),
            Some("k2"),
        )
        .await,
        a.send(
            "message:send",
            json!({ "conversation": room, "text": "y" }),
            Some("k3"),
        )
        .await,
    ];
    for id in sent {
        let reply = a.reply(id).await;
        // The second may have arrived after the room began again.
        if reply["error"].is_object() {
            assert_eq!(reply["error"]["code"], json!("unavailable"), "{reply}");
        }
    }
    let again = say(&mut a, room, "x", "k2").await;
    assert!(
        again["data"]["message"]["seq"].as_u64().unwrap() >= 3,
        "{again}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_unknown_append_is_repeated_until_it_is_known() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let room = group(&world, &[alice]).await;
    let mut a = world.connect(alice, json!([])).await;
    for (key, fault) in [
        ("k1", Fault::UnknownPerformed),
        ("k2", Fault::UnknownNotPerformed),
    ] {
        world.switch.fail_next(Operation::Append, fault);
        let reply = say(&mut a, room, key, key).await;
        assert!(reply["data"]["message"].is_object(), "{reply}");
    }
    let history = world
        .node
        .gateway()
        .history(alice, room, Page::default())
        .await
        .unwrap();
    let texts: Vec<&str> = history
        .messages
        .iter()
        .map(|message| message.text.as_str())
        .collect();
    assert_eq!(texts, ["k1", "k2"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_acknowledged_survives_and_whoever_was_away_resumes() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    let first = say(&mut a, room, "one", "k1").await;
    let message = first["data"]["message"].clone();
    say(&mut a, room, "two", "k2").await;
    drop(a);
    let world = world.reborn().await;
    let cursor =
        json!([{ "conversation": room, "epoch": message["epoch"], "seq": message["seq"] }]);
    let mut b = world.connect(bob, cursor).await;
    assert_eq!(
        b.event("message:received").await["data"]["message"]["text"],
        json!("two")
    );
    let mut a = world.connect(alice, json!([])).await;
    let again = say(&mut a, room, "one", "k1").await;
    assert_eq!(again["data"]["message"]["seq"], message["seq"]);
    say(&mut a, room, "three", "k3").await;
    assert_eq!(
        b.event("message:received").await["data"]["message"]["text"],
        json!("three")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rooms_that_fall_asleep_lose_nothing() {
    let limits = fanfare_protocol::Limits {
        room_idle_ms: 1,
        ..Default::default()
    };
    let world = World::with(limits).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    let mut b = world.connect(bob, json!([])).await;
    for number in 0..200 {
        let text = format!("{number}");
        let reply = say(&mut a, room, &text, &text).await;
        assert!(reply["data"]["message"].is_object(), "{reply}");
        assert_eq!(
            b.event("message:received").await["data"]["message"]["text"],
            json!(text)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_dies_at_any_step_of_a_send_loses_nothing_acknowledged() {
    for step in 1..60 {
        let world = World::new().await;
        let (alice, bob) = (world.person("alice").await, world.person("bob").await);
        let room = group(&world, &[alice, bob]).await;
        let mut a = world.connect(alice, json!([])).await;
        let first = say(&mut a, room, "one", "k1").await;
        let id = first["data"]["message"]["id"].clone();
        world
            .switch
            .die_at(world.switch.operations() + step, Fault::UnknownPerformed);
        let sent = a
            .send(
                "message:send",
                json!({ "conversation": room, "text": "two" }),
                Some("k2"),
            )
            .await;
        let edit = a
            .send(
                "message:edit",
                json!({ "message": id, "text": "ONE" }),
                Some("k3"),
            )
            .await;
        let dead = Arc::clone(&world.switch);
        let (mut sent_ok, mut edit_ok) = (false, false);
        if !dead.is_dead() {
            let limit = std::time::Duration::from_millis(300);
            let both = async {
                let sent = a.reply(sent).await;
                let edit = a.reply(edit).await;
                (sent["data"].is_object(), edit["data"].is_object())
            };
            if let Ok((one, two)) = tokio::time::timeout(limit, both).await {
                (sent_ok, edit_ok) = (one, two);
            }
        }
        let world = world.reborn().await;
        let mut a = world.connect(alice, json!([])).await;
        let history = world
            .node
            .gateway()
            .history(alice, room, Page::default())
            .await
            .unwrap();
        let texts: Vec<String> = history.messages.iter().map(|it| it.text.clone()).collect();
        assert!(
            !sent_ok || texts.contains(&"two".to_owned()),
            "step {step}: {texts:?}"
        );
        assert!(
            !edit_ok || texts.contains(&"ONE".to_owned()),
            "step {step}: {texts:?}"
        );
        say(&mut a, room, "two", "k2").await;
        let edited = a
            .ask(
                "message:edit",
                json!({ "message": id, "text": "ONE" }),
                Some("k3"),
            )
            .await;
        assert_eq!(
            edited["data"]["message"]["text"],
            json!("ONE"),
            "step {step}"
        );
        let history = world
            .node
            .gateway()
            .history(alice, room, Page::default())
            .await
            .unwrap();
        let texts: Vec<String> = history.messages.iter().map(|it| it.text.clone()).collect();
        assert_eq!(texts, ["ONE", "two"], "step {step}");
        assert_eq!(history.messages[0].edit_count, 1, "step {step}");
    }
}
