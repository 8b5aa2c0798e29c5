//! Subscriptions that come, go and come back while something else happens.

use fanfare_protocol::command::{AddParticipants, Command, CreateConversation};
use fanfare_protocol::conversation::{JoinPolicy, Kind, Visibility};
use fanfare_protocol::{ConversationId, UserId};
use fanfare_storage::dying::{Fault, Operation};
use serde_json::{Value, json};

use super::faults::{group, say};
use super::rooms::kick;
use super::world::{Peer, World, until};
use crate::gateway::Draft;

async fn add(world: &World, caller: UserId, room: ConversationId, whom: UserId) {
    let command = Command::AddParticipants(AddParticipants {
        user_ids: vec![whom],
        role: None,
    });
    let draft = Draft {
        caller,
        conversation: room,
        command,
        key: None,
    };
    world.node.gateway().submit(draft).await.unwrap();
}

/// Seqs of the events that came before the answer to a ping.
async fn seqs(peer: &mut Peer) -> Vec<u64> {
    peer.ask("session:ping", json!({}), None).await;
    let seqs = peer.events.iter().filter_map(|event| event["seq"].as_u64());
    seqs.collect()
}

async fn subscribed(peer: &mut Peer) -> Value {
    peer.ask("session:info", json!({}), None).await["data"]["subscribed"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_was_put_off_removed_and_added_again_hears_everything() {
    let world = World::drowsy().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    let mut b = world.connect(bob, json!([])).await;
    world.asleep().await;
    world
        .switch
        .fail_next(Operation::Memberships, Fault::Unavailable);
    let cursors = json!({ "cursors": [{ "conversation": room, "epoch": 1, "seq": 1 }] });
    let put_off = b.ask("session:resume", cursors, None).await;
    assert_eq!(put_off["data"]["later"], json!([room]), "{put_off}");
    assert_eq!(subscribed(&mut b).await, json!([]));
    kick(&mut a, &world, room, bob).await;
    let resumed = b.event("session:resumed").await;
    assert_eq!(resumed["data"]["gone"][0]["conversation"], json!(room));
    add(&world, alice, room, bob).await;
    let created = b.event("conversation:created").await;
    assert_eq!(created["data"]["cursor"]["seq"], json!(3), "{created}");
    say(&mut a, room, "welcome back", "k1").await;
    assert_eq!(b.event("message:received").await["seq"], json!(4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_unsubscribed_while_it_is_being_subscribed_stays_silent() {
    let world = World::drowsy().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    let mut b = world.connect(bob, json!([])).await;
    let cursors = json!({ "cursors": [{ "conversation": room }] });
    let conversations = json!({ "conversations": [room] });
    for fault in [Fault::Hang, Fault::Unavailable] {
        world.asleep().await;
        world.switch.fail_next(Operation::Memberships, fault);
        let on = b
            .send("conversations:subscribe", cursors.clone(), None)
            .await;
        let off = b
            .send("conversations:unsubscribe", conversations.clone(), None)
            .await;
        if fault == Fault::Hang {
            until(|| world.switch.hanging() > 0).await;
            world.switch.release();
        }
        assert!(b.reply(on).await["data"].is_object());
        assert!(b.reply(off).await["data"].is_object());
        assert_eq!(subscribed(&mut b).await, json!([]));
        let reply = say(&mut a, room, "unheard", &format!("{fault:?}")).await;
        assert_eq!(
            a.event("message:received").await["seq"],
            reply["data"]["message"]["seq"]
        );
        assert_eq!(seqs(&mut b).await, [0; 0]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_named_twice_is_delivered_once() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    let mut b = world.connect(bob, json!([])).await;
    for number in 2..6 {
        say(&mut a, room, "hello", &format!("k{number}")).await;
        b.event("message:received").await;
    }
    let at = |seq: u64| json!({ "conversation": room, "epoch": 1, "seq": seq });
    let cursors = json!({ "cursors": [at(2), at(4)] });
    let reply = b.ask("session:resume", cursors, None).await;
    assert_eq!(reply["data"]["subscribed"], json!([at(2)]));
    say(&mut a, room, "last", "k6").await;
    for seq in 3..=6 {
        assert_eq!(b.event("message:received").await["seq"], json!(seq));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_before_the_cursor_in_hello_comes_again() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    world
        .switch
        .fail_next(Operation::ConversationsOf, Fault::Hang);
    let begin = async {
        until(|| world.switch.hanging() > 0).await;
        // Its member hears of it while hello is being answered.
        let room = group(&world, &[alice, bob]).await;
        let mut a = world.connect(alice, json!([])).await;
        say(&mut a, room, "before hello", "k1").await;
        world.switch.release();
        (room, a)
    };
    let (mut b, (room, mut a)) = tokio::join!(world.connect(bob, json!([])), begin);
    assert_eq!(b.subscribed_at(room), 2);
    say(&mut a, room, "after hello", "k2").await;
    assert_eq!(b.event("message:received").await["seq"], json!(3));
    assert_eq!(seqs(&mut b).await, [0; 0]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_relay_that_dies_takes_no_removal_with_it() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    let mut b = world.connect(bob, json!([])).await;
    let (word, heard) = std::sync::mpsc::channel();
    world.node.gateway().parts.relays.kill(room, heard);
    kick(&mut a, &world, room, bob).await;
    say(&mut a, room, "he is gone", "k1").await;
    word.send(()).unwrap();
    assert_eq!(a.event("message:received").await["seq"], json!(3));
    assert_eq!(b.event("participant:removed").await["seq"], json!(2));
    until_unsubscribed(&mut b).await;
    say(&mut a, room, "still gone", "k2").await;
    assert_eq!(a.event("message:received").await["seq"], json!(4));
    assert_eq!(seqs(&mut b).await, [0; 0]);
}

async fn until_unsubscribed(peer: &mut Peer) {
    while subscribed(peer).await != json!([]) {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_join_that_happened_is_never_answered_as_if_it_had_not() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let ask = CreateConversation {
        kind: Kind::Channel,
        title: Some("open".to_owned()),
        slug: Some("open".to_owned()),
        description: None,
        participant_ids: Vec::new(),
        visibility: Some(Visibility::Public),
        join_policy: Some(JoinPolicy::Open),
    };
    let created = world.node.gateway().create(alice, ask, None).await.unwrap();
    let room = created.conversation.id;
    let mut b = world.connect(bob, json!([])).await;
    world.switch.fail_next(Operation::Append, Fault::Hang);
    let joined = b
        .send("conversation:join", json!({ "conversation": room }), None)
        .await;
    until(|| world.switch.hanging() > 0).await;
    // Whatever reads the record next: the answer or the new subscription.
    for _ in 0..2 {
        world.switch.fail_next(Operation::Meta, Fault::Unavailable);
    }
    world.switch.release();
    let reply = b.reply(joined).await;
    assert_ne!(reply["error"]["code"], json!("unavailable"), "{reply}");
}
