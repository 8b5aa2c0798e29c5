//! What is told without asking the store: few reads, and nothing stale.

use std::sync::Arc;

use fanfare_engine::stamp::slot_of;
use fanfare_protocol::command::{Command, RemoveParticipant};
use fanfare_protocol::cursor::CursorWish;
use fanfare_protocol::{ConversationId, Limits};
use fanfare_storage::Memory;
use fanfare_storage::dying::{Fault, Operation};
use serde_json::{Value, json};

use super::faults::{group, say};
use super::world::{Peer, World, until};
use crate::gateway::{Draft, Seen};

/// Reads of the store by those who ask, beside what runs in the background.
const READS: [Operation; 11] = [
    Operation::Family,
    Operation::Account,
    Operation::ConversationsOf,
    Operation::Metas,
    Operation::Meta,
    Operation::Heads,
    Operation::Head,
    Operation::Memberships,
    Operation::Member,
    Operation::Rows,
    Operation::Epochs,
];

/// How often each of them was asked for since.
pub(super) struct Count<'a>(&'a World, Vec<u64>);

impl<'a> Count<'a> {
    pub(super) fn begin(world: &'a World) -> Self {
        let counts = READS.iter().map(|it| world.switch.count(*it));
        Self(world, counts.collect())
    }

    pub(super) fn reads(&self) -> Vec<(Operation, u64)> {
        let before = READS.iter().zip(&self.1);
        let since = before.map(|(it, before)| (*it, self.0.switch.count(*it) - before));
        since.filter(|(_, reads)| *reads > 0).collect()
    }
}

/// What every hello reads: the log-in, the account, the memberships.
const OF_A_HELLO: [(Operation, u64); 3] = [
    (Operation::Family, 1),
    (Operation::Account, 1),
    (Operation::ConversationsOf, 1),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_reads_nothing_of_conversations_that_are_known_here() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut rooms = Vec::new();
    for _ in 0..5 {
        rooms.push(group(&world, &[alice, bob]).await);
    }
    let mut a = world.connect(alice, json!([])).await;
    for room in &rooms {
        say(&mut a, *room, "hello", "k1").await;
    }
    let count = Count::begin(&world);
    let b = world.connect(bob, json!([])).await;
    assert_eq!(count.reads(), OF_A_HELLO);
    for room in &rooms {
        assert_eq!(b.subscribed_at(*room), 2);
    }

    // After a restart the first who comes reads for all.
    drop((a, b));
    let world = world.reborn().await;
    let _a = world.connect(alice, json!([])).await;
    let count = Count::begin(&world);
    let b = world.connect(bob, json!([])).await;
    assert_eq!(count.reads(), OF_A_HELLO);
    for room in &rooms {
        assert_eq!(b.subscribed_at(*room), 2);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_is_removed_while_they_say_hello_hears_nothing() {
    let world = World::drowsy().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let removal = Command::RemoveParticipant(RemoveParticipant { user: bob });
    for command in [removal, Command::DeleteConversation] {
        let room = group(&world, &[alice, bob]).await;
        // Unknown here: memberships, records and heads are read, in this order.
        until(|| world.node.directory().remembered() == 0).await;
        world.switch.fail_next(Operation::Heads, Fault::Hang);
        let draft = Draft {
            caller: alice,
            conversation: room,
            command,
            key: None,
        };
        let meanwhile = async {
            until(|| world.switch.hanging() == 1).await;
            world.node.gateway().submit(draft).await.unwrap();
            world.switch.release();
        };
        let (b, ()) = tokio::join!(world.connect(bob, json!([])), meanwhile);
        let gone = json!([{ "conversation": room, "reason": "not_a_member" }]);
        assert_eq!(b.welcome["data"]["gone"], gone, "{}", b.welcome);
        assert_eq!(b.welcome["data"]["subscribed"], json!([]), "{}", b.welcome);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_is_known_to_have_ended_is_no_longer_subscribed() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    say(&mut a, room, "hello", "k1").await;
    // Its record is read, and noted to go on.
    let b = world.connect(bob, json!([])).await;
    assert_eq!(b.subscribed_at(room), 2);
    let draft = Draft {
        caller: alice,
        conversation: room,
        command: Command::DeleteConversation,
        key: None,
    };
    world.node.gateway().submit(draft).await.unwrap();
    let b = world.connect(bob, json!([])).await;
    assert_eq!(b.welcome["data"]["subscribed"], json!([]), "{}", b.welcome);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_what_is_not_served_nothing_is_read() {
    let world = World::leased_for(3000, Arc::new(Memory::new()), "one", false).await;
    until(|| world.node.ready().is_ok()).await;
    let alice = world.person("alice").await;
    let room = group(&world, &[alice]).await;
    let a = world.connect(alice, json!([])).await;
    world.switch.die();
    until(|| !world.node.directory().is_served(room)).await;
    let count = Count::begin(&world);
    let wish = CursorWish {
        conversation: room,
        epoch: None,
        seq: None,
    };
    let (gateway, seen) = (world.node.gateway(), Seen::nothing(world.node.directory()));
    let placement = gateway.place(alice, &a.connection.socket, vec![wish], seen);
    assert_eq!(placement.await.placed.later, [room]);
    assert_eq!(count.reads(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memberships_that_were_read_do_not_outlast_a_slot() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    let directory = world.node.directory();
    let slot = slot_of(room);

    let since = directory.moment();
    say(&mut a, room, "hello", "k1").await;
    assert!(directory.nobody_left(room, since));
    assert!(directory.going_on(room).is_some());
    directory.give_up(slot);
    assert!(!directory.nobody_left(room, since), "given up meanwhile");
    assert!(directory.going_on(room).is_none());

    let since = directory.moment();
    directory.activated_head(room).await.unwrap();
    assert!(!directory.nobody_left(room, since), "activated meanwhile");

    let since = directory.moment();
    directory.recover_once(slot, 1).await.unwrap();
    assert!(!directory.nobody_left(room, since), "recovered meanwhile");
}

fn placed(peer: &Peer, room: ConversationId) -> (&str, Value) {
    for place in ["subscribed", "resync"] {
        let cursors = peer.welcome["data"][place].as_array().unwrap();
        let cursor = cursors.iter().find(|it| it["conversation"] == json!(room));
        if let Some(cursor) = cursor {
            return (place, json!([cursor["epoch"], cursor["seq"]]));
        }
    }
    ("gone", Value::Null)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn epochs_that_are_known_judge_cursors_as_the_log_would() {
    let awake = Limits::default().room_idle_ms;
    for room_idle_ms in [awake, 1] {
        let world = World::with(Limits {
            room_idle_ms,
            ..Limits::default()
        });
        let world = world.await;
        let alice = world.person("alice").await;
        let room = group(&world, &[alice]).await;
        let mut a = world.connect(alice, json!([])).await;
        for number in 2..4 {
            say(&mut a, room, "first epoch", &format!("k{number}")).await;
        }
        drop(a);
        // Epoch 1 wrote 1 to 3, epoch 2 writes 4 to 6.
        let world = world.reborn().await;
        let mut a = world.connect(alice, json!([])).await;
        for number in 4..7 {
            say(&mut a, room, "second epoch", &format!("k{number}")).await;
        }
        if room_idle_ms == 1 {
            world.asleep().await;
        }
        let before = world.switch.count(Operation::Rows);
        for (epoch, seq, expected) in [
            (2, 6, ("subscribed", json!([2, 6]))),
            (3, 6, ("subscribed", json!([2, 6]))),
            (2, 4, ("subscribed", json!([2, 4]))),
            (1, 4, ("resync", json!([2, 6]))),
            (1, 7, ("resync", json!([2, 6]))),
            (1, 3, ("subscribed", json!([1, 3]))),
            (2, 3, ("subscribed", json!([1, 3]))),
            (2, 2, ("resync", json!([2, 6]))),
        ] {
            let cursor = json!([{ "conversation": room, "epoch": epoch, "seq": seq }]);
            let peer = world.connect(alice, cursor).await;
            assert_eq!(placed(&peer, room), expected, "epoch {epoch}, seq {seq}");
        }
        let reads = world.switch.count(Operation::Rows) - before;
        assert_eq!(reads > 0, room_idle_ms == 1, "{reads} reads");
    }
}
