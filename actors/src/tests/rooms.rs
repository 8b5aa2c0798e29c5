//! Rooms among themselves: one that dies, one that sleeps while somebody
//! subscribes, removals racing messages.

use fanfare_protocol::ConversationId;
use fanfare_protocol::Limits;
use fanfare_storage::dying::{Fault, Operation};
use serde_json::{Value, json};

use super::faults::{group, say};
use super::world::{Peer, World, until};

pub(super) async fn kick(
    peer: &mut Peer,
    world: &World,
    room: ConversationId,
    whom: fanfare_protocol::UserId,
) {
    use fanfare_protocol::command::{Command, RemoveParticipant};
    let caller = peer.user;
    let command = Command::RemoveParticipant(RemoveParticipant { user: whom });
    let draft = crate::gateway::Draft {
        caller,
        conversation: room,
        command,
        key: None,
    };
    world.node.gateway().submit(draft).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_that_dies_harms_nobody_else_and_comes_back() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let doomed = group(&world, &[alice, bob]).await;
    let other = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    let mut b = world.connect(bob, json!([])).await;
    say(&mut a, doomed, "before", "k1").await;
    assert_eq!(
        b.event("message:received").await["data"]["message"]["text"],
        json!("before")
    );
    for round in 0..3 {
        world.node.directory().kill(doomed);
        let reply = say(&mut a, other, "untouched", &format!("o{round}")).await;
        assert!(reply["data"]["message"].is_object(), "{reply}");
        b.event("message:received").await;
        let key = format!("r{round}");
        let mut reply = say(&mut a, doomed, &key, &key).await;
        while reply["error"]["retryable"] == json!(true) {
            reply = say(&mut a, doomed, &key, &key).await;
        }
        assert!(reply["data"]["message"].is_object(), "{reply}");
        let event = b.event("message:received").await;
        assert_eq!(event["data"]["message"]["text"], json!(key));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_falls_asleep_while_people_subscribe() {
    let world = World::with(Limits {
        room_idle_ms: 1,
        ..Limits::default()
    })
    .await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    for number in 0..60 {
        let text = format!("{number}");
        let sent = a
            .send(
                "message:send",
                json!({ "conversation": room, "text": text }),
                Some(&text),
            )
            .await;
        let mut b = world.connect(bob, json!([])).await;
        let reply = a.reply(sent).await;
        let seq = reply["data"]["message"]["seq"].as_u64().unwrap();
        // Either hello already stood behind the message, or it comes.
        if b.subscribed_at(room) < seq {
            assert_eq!(b.event("message:received").await["seq"], json!(seq));
        }
        let text = format!("{number} again");
        say(&mut a, room, &text, &text).await;
        assert_eq!(
            b.event("message:received").await["data"]["message"]["text"],
            json!(text)
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_entry_that_a_shard_lost_is_healed_by_the_head() {
    let world = World::with(Limits {
        shard_queue_max: 0,
        ..Limits::default()
    })
    .await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    let mut b = world.connect(bob, json!([])).await;
    for number in 0..200 {
        let text = format!("{number}");
        say(&mut a, room, &text, &text).await;
    }
    for number in 0..200 {
        let event = b.event("message:received").await;
        assert_eq!(event["data"]["message"]["text"], json!(format!("{number}")));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn the_newest_entry_that_a_relay_lost_is_healed_by_the_repeated_head() {
    let world = World::with(Limits {
        relay_queue_bytes_max: 0,
        head_repeat_ms: 10,
        ..Limits::default()
    })
    .await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    let mut b = world.connect(bob, json!([])).await;
    let (word, heard) = std::sync::mpsc::channel();
    world.node.gateway().parts.relays.kill(room, heard);
    // The relay is stopped: the first fills its queue, the second is lost.
    say(&mut a, room, "queued", "k1").await;
    say(&mut a, room, "lost", "k2").await;
    drop(word);
    for text in ["queued", "lost"] {
        let event = b.event("message:received").await;
        assert_eq!(event["data"]["message"]["text"], json!(text));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_followed_room_that_dies_while_it_writes_comes_back_by_itself() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    let mut b = world.connect(bob, json!([])).await;
    world.switch.fail_next(Operation::Append, Fault::Hang);
    let message = json!({ "conversation": room, "text": "durable" });
    let sent = a.send("message:send", message, Some("k1")).await;
    until(|| world.switch.hanging() > 0).await;
    world.node.directory().kill(room);
    let reply = a.reply(sent).await;
    assert_eq!(reply["error"]["code"], json!("outcome_unknown"), "{reply}");
    world.switch.release();
    let event = b.event("message:received").await;
    assert_eq!(event["data"]["message"]["text"], json!("durable"));
}

/// A message of the kicked before the kick in one batch, another arriving
/// while the kick is in flight.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kick_between_two_messages_of_the_kicked() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    let mut b = world.connect(bob, json!([])).await;
    say(&mut a, room, "begin", "k0").await;
    // Something in flight, so that what follows gathers into one batch.
    world.switch.fail_next(Operation::Append, Fault::Hang);
    let first = a
        .send(
            "message:send",
            json!({ "conversation": room, "text": "held" }),
            Some("k1"),
        )
        .await;
    while world.switch.hanging() == 0 {
        tokio::task::yield_now().await;
    }
    let before = b
        .send(
            "message:send",
            json!({ "conversation": room, "text": "before" }),
            Some("b1"),
        )
        .await;
    // Answered behind it: the message is with the room.
    b.ask("session:ping", json!({}), None).await;
    let world_ref = &world;
    let alice_kicks = async {
        kick(&mut a, world_ref, room, bob).await;
        a.reply(first).await
    };
    let bob_talks = async {
        let after = b
            .send(
                "message:send",
                json!({ "conversation": room, "text": "after" }),
                Some("b2"),
            )
            .await;
        (b.reply(before).await, b.reply(after).await)
    };
    let release = async { world_ref.switch.release() };
    let (_, (before, after), ()) = tokio::join!(alice_kicks, bob_talks, release);
    assert!(before["data"]["message"].is_object(), "{before}");
    let removed = b.event("participant:removed").await;
    let removed_at = removed["seq"].as_u64().unwrap();
    if let Some(seq) = after["data"]["message"]["seq"].as_u64() {
        assert!(seq < removed_at, "sent after the removal: {after}");
    } else {
        assert_eq!(after["error"]["code"], json!("not_a_member"), "{after}");
    }
    say(&mut a, room, "end", "k9").await;
    let ended = b.ask("session:info", json!({}), None).await;
    let rest: Vec<&Value> = b
        .events
        .iter()
        .filter(|event| event["seq"].is_u64())
        .collect();
    assert!(rest.is_empty(), "heard after the removal: {rest:?}");
    assert_eq!(ended["data"]["subscribed"], json!([]));
}
