//! Several nodes over one store: one owns, the others wait; one that was
//! replaced acknowledges nothing, and what it wrote late is nobody's.

use std::sync::Arc;

use fanfare_engine::lease::NodeName;
use fanfare_engine::port::{Order, RowRange};
use fanfare_engine::reader::settled;
use fanfare_engine::row::{HeadRow, LogRow};
use fanfare_protocol::command::{Command, SendMessage};
use fanfare_protocol::limits::SLOT_RECOVERIES_AT_ONCE;
use fanfare_protocol::message::MessageType;
use fanfare_protocol::{Code, ConversationId, Limits, UserId};
use fanfare_storage::Memory;
use fanfare_storage::dying::{Fault, Operation};
use serde_json::{Value, json};

use super::faults::{group, say};
use super::world::{PATIENCE, Peer, World, until};

/// Milliseconds: far beyond [`PATIENCE`].
const LONG_MS: u64 = 600_000;

async fn ready(world: &World) {
    until(|| world.node.ready().is_ok()).await;
}

/// Node `one` that owns everything; alice and bob, a group of theirs with a
/// first message, and alice's socket.
type Serving = (World, [UserId; 2], ConversationId, Peer);

/// With the usual lease of the tests.
async fn serving(store: &Arc<Memory>) -> Serving {
    served_by(World::leased(Arc::clone(store), "one").await).await
}

/// With a lease that nobody has the patience to see lapse.
async fn serving_for_long(store: &Arc<Memory>) -> Serving {
    served_by(World::leased_for(LONG_MS, Arc::clone(store), "one", true).await).await
}

async fn served_by(one: World) -> Serving {
    ready(&one).await;
    let people = [one.person("alice").await, one.person("bob").await];
    let room = group(&one, &people).await;
    let mut a = one.connect(people[0], json!([])).await;
    let first = say(&mut a, room, "first", "first").await;
    assert_eq!(*text(&first), json!("first"), "{first}");
    (one, people, room, a)
}

/// Rooms wait for the store no longer than this.
fn impatient() -> Limits {
    Limits {
        append_ms_max: 200,
        ..Limits::default()
    }
}

fn text(reply: &Value) -> &Value {
    &reply["data"]["message"]["text"]
}

fn code(reply: &Value) -> &Value {
    &reply["error"]["code"]
}

/// Sends the same until it is neither refused for now nor unknown.
async fn insist(peer: &mut Peer, room: ConversationId, what: &str) -> Value {
    let insisting = async {
        loop {
            let reply = say(peer, room, what, what).await;
            if reply["error"]["retryable"] != json!(true) {
                return reply;
            }
        }
    };
    tokio::time::timeout(PATIENCE, insisting).await.unwrap()
}

async fn rows(world: &World, conversation: ConversationId) -> Vec<LogRow> {
    let range = RowRange {
        conversation,
        from: 1,
        to: u64::MAX,
        limit: 100,
        order: Order::Ascending,
    };
    world.store.ports().log.rows(range).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_without_slots_is_not_ready_and_answers_unavailable() {
    let store = Arc::new(Memory::new());
    let (_one, [alice, _], room, mut a) = serving(&store).await;

    let two = World::leased(store, "two").await;
    // Nobody is told that they have no conversations.
    let elsewhere = two.hello(alice, json!([])).await;
    assert_eq!(*code(&elsewhere.welcome), json!("unavailable"));
    let send = SendMessage {
        text: "there".to_owned(),
        reply_to: None,
        kind: MessageType::default(),
    };
    let draft = crate::gateway::Draft {
        caller: alice,
        conversation: room,
        command: Command::SendMessage(send),
        key: None,
    };
    let refused = two.node.gateway().submit(draft).await.unwrap_err();
    assert_eq!(refused.code, Code::Unavailable);
    let why = two.node.ready().unwrap_err();
    assert!(why.contains("0 of 1024 slots"), "{why}");
    assert_eq!(
        *text(&say(&mut a, room, "still", "k3").await),
        json!("still")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_replaced_owner_writes_late_is_nobodys() {
    let store = Arc::new(Memory::new());
    let (one, [_, bob], room, mut a) = serving(&store).await;

    // The append is on its way when the node loses sight of the store.
    one.switch.fail_next(Operation::Append, Fault::Hang);
    let data = json!({ "conversation": room, "text": "lost" });
    let lost = a.send("message:send", data, Some("k2")).await;
    until(|| one.switch.hanging() == 1).await;
    one.switch.die();

    let two = World::leased(Arc::clone(&store), "two").await;
    ready(&two).await;
    let mut b = two.connect(bob, json!([])).await;
    let won = insist(&mut b, room, "won").await;
    assert_eq!(*text(&won), json!("won"), "{won}");
    let before = rows(&two, room).await;

    // It sees the store again, and its append arrives.
    one.switch.revive();
    one.switch.release();
    let reply = a.reply(lost).await;
    assert_eq!(*code(&reply), json!("outcome_unknown"), "{reply}");
    until(|| one.node.ready().is_err_and(|why| why.contains("owns 0"))).await;
    assert_eq!(rows(&two, room).await, before, "a row was replaced");
    let reply = say(&mut a, room, "never", "k3").await;
    assert_eq!(*code(&reply), json!("unavailable"), "{reply}");

    // A reader that owns nothing sees the new owner's rows only.
    let epochs = two.store.ports().log.epochs(room).await.unwrap();
    let shown = settled(0, before.clone(), &epochs).unwrap();
    assert_eq!(shown, before);
    assert_eq!(shown.last().unwrap().epoch, 2);
    assert_eq!(*text(&insist(&mut b, room, "on").await), json!("on"));

    // Nothing of the old one is in the way when it owns the log again.
    two.node.stop().await;
    ready(&one).await;
    assert_eq!(*text(&insist(&mut a, room, "mine").await), json!("mine"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_outage_of_the_store_fences_nobody_and_keeps_epochs() {
    let store = Arc::new(Memory::new());
    let (one, _, room, mut a) = serving(&store).await;
    let two = World::leased(store, "two").await;

    // Neither node reaches the store, until the lease has lapsed for long.
    one.switch.die();
    two.switch.die();
    until(|| one.node.ready().is_err()).await;
    let reply = say(&mut a, room, "during", "k2").await;
    assert_eq!(*code(&reply), json!("unavailable"), "{reply}");
    one.switch.revive();
    two.switch.revive();
    ready(&one).await;
    assert_eq!(*text(&insist(&mut a, room, "after").await), json!("after"));
    let epochs = one.store.ports().log.epochs(room).await.unwrap();
    assert_eq!(epochs.len(), 1, "nobody else owned it meanwhile");
    assert!(two.node.ready().is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_lease_a_node_takes_no_command_and_tells_no_head() {
    let store = Arc::new(Memory::new());
    let (one, [alice, _], room, mut a) = serving(&store).await;
    let before = rows(&one, room).await;
    // Everything else goes on; only renewals do not come through.
    one.switch.fail_next(Operation::SwapLease, Fault::Hang);
    until(|| one.node.ready().is_err_and(|why| why.contains("no lease"))).await;
    let reply = say(&mut a, room, "during", "k2").await;
    assert_eq!(*code(&reply), json!("unavailable"), "{reply}");
    let elsewhere = one.hello(alice, json!([])).await;
    assert_eq!(*code(&elsewhere.welcome), json!("unavailable"));
    assert_eq!(rows(&one, room).await, before);
    one.switch.release();
    assert_eq!(*text(&insist(&mut a, room, "after").await), json!("after"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restart_of_the_same_folder_waits_for_no_lease() {
    let store = Arc::new(Memory::new());
    let (one, [_, bob], room, _a) = serving_for_long(&store).await;
    one.switch.die();
    let again = World::leased_for(LONG_MS, store, "one", true).await;
    ready(&again).await;
    // What was read last may not have been everywhere: it is written again.
    assert!(again.switch.count(Operation::Append) > 0);
    let mut b = again.connect(bob, json!([])).await;
    assert_eq!(*text(&insist(&mut b, room, "after").await), json!("after"));
    let rows = rows(&again, room).await;
    let seqs: Vec<u64> = rows.iter().map(|row| row.seq).collect();
    assert_eq!(seqs, (1..=rows.len() as u64).collect::<Vec<_>>());
    assert_eq!(rows.last().unwrap().epoch, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_keeper_that_dies_is_replaced_and_claims_again() {
    let store = Arc::new(Memory::new());
    let (one, _, room, mut a) = serving_for_long(&store).await;
    one.node.kill_keeper();
    until(|| one.node.ready().is_err()).await;
    ready(&one).await;
    assert_eq!(*text(&insist(&mut a, room, "after").await), json!("after"));
    assert_eq!(rows(&one, room).await.last().unwrap().epoch, 2);
    let event = a.event("message:received").await;
    assert_eq!(event["data"]["message"]["text"], json!("first"));
    let event = a.event("message:received").await;
    assert_eq!(event["data"]["message"]["text"], json!("after"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_two_that_share_the_slots_one_steps_back() {
    let store = Arc::new(Memory::new());
    let owns = |world: &World| {
        let why = world.node.ready().err()?;
        let (owned, _) = why.strip_prefix("this node owns ")?.split_once(' ')?;
        owned.parse::<u16>().ok()
    };
    let two = World::leased_for(LONG_MS, Arc::clone(&store), "two", true).await;
    until(|| owns(&two).is_some_and(|some| some > 0)).await;
    two.switch.die();
    let one = World::leased_for(LONG_MS, Arc::clone(&store), "one", true).await;
    until(|| owns(&one).is_some_and(|some| some > 0)).await;
    two.switch.revive();
    until(|| one.node.ready().is_ok() && owns(&two) == Some(0)).await;
    let alice = one.person("alice").await;
    let room = group(&one, &[alice]).await;
    let mut a = one.connect(alice, json!([])).await;
    assert_eq!(*text(&insist(&mut a, room, "here").await), json!("here"));
    assert_eq!(owns(&two), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_listens_at_an_owner_that_was_replaced_misses_nothing_once_it_owns_again() {
    let store = Arc::new(Memory::new());
    let (one, [_, bob], room, mut a) = serving(&store).await;
    a.event("message:received").await;
    one.switch.die();

    let two = World::leased(store, "two").await;
    ready(&two).await;
    let mut b = two.connect(bob, json!([])).await;
    for what in ["second", "third"] {
        assert_eq!(*text(&insist(&mut b, room, what).await), json!(what));
    }
    one.switch.revive();
    until(|| one.node.ready().is_err_and(|why| why.contains("owns 0"))).await;
    // Once it owns the slot again it cannot read at once how far the log is.
    one.switch.fail_next(Operation::Head, Fault::Unavailable);
    two.node.stop().await;
    ready(&one).await;
    // Nobody writes, and still they come.
    for what in ["second", "third"] {
        let event = a.event("message:received").await;
        assert_eq!(event["data"]["message"]["text"], json!(what));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_head_is_told_before_what_was_under_way_is_activated() {
    let store = Arc::new(Memory::new());
    let (one, _, room, _a) = serving_for_long(&store).await;
    let newest = rows(&one, room).await.len() as u64;
    // It dies awake: its head row is behind, and says that it is clean.
    let log = store.ports().log;
    let stale = HeadRow {
        seq: newest - 1,
        clean: newest - 1,
        ..one.node.directory().head(room).await.unwrap().unwrap()
    };
    log.put_head(1, stale).await.unwrap();
    one.switch.die();

    let again = World::leased_for(LONG_MS, Arc::clone(&store), "one", true).await;
    // As many recoveries as there are at once, so no slot comes further.
    for _ in 0..SLOT_RECOVERIES_AT_ONCE {
        again.switch.fail_next(Operation::Live, Fault::Hang);
    }
    let recovering = |why: String| why.contains("slots are recovered");
    until(|| again.node.ready().is_err_and(recovering)).await;
    until(|| again.switch.hanging() == SLOT_RECOVERIES_AT_ONCE).await;
    let early = again.node.directory().head(room).await;
    assert!(
        early.is_err() || early.unwrap().unwrap().seq == newest,
        "a stale head was told"
    );
    again.switch.release();
    let heads = async {
        loop {
            if let Ok(head) = again.node.directory().head(room).await {
                return head.unwrap().seq;
            }
            tokio::task::yield_now().await;
        }
    };
    let seq = tokio::time::timeout(PATIENCE, heads).await.unwrap();
    assert_eq!(seq, newest);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_head_that_was_read_late_replaces_none_that_became_known() {
    let limits = Limits {
        room_idle_ms: 50,
        ..Limits::default()
    };
    let store = Arc::new(Memory::new());
    let one = World::leased_under(limits, LONG_MS, store, "one", true).await;
    let (one, _, room, mut a) = served_by(one).await;
    let directory = one.node.directory();
    until(|| directory.live_rooms() == 0).await;
    // Its slot comes anew, and who follows is to be told its head.
    one.switch.fail_next(Operation::Head, Fault::Hang);
    one.node.kill_keeper();
    until(|| one.switch.hanging() == 1).await;
    let reply = insist(&mut a, room, "more").await;
    assert_eq!(*text(&reply), json!("more"), "{reply}");
    let newest = rows(&one, room).await.len() as u64;
    one.switch.release();
    until(|| one.switch.hanging() == 0).await;
    for _ in 0..100 {
        let head = directory.head(room).await.unwrap().unwrap();
        assert_eq!(head.seq, newest);
        tokio::task::yield_now().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_damaged_log_stops_nobody_else_and_its_head_is_not_believed() {
    let store = Arc::new(Memory::new());
    let (one, [alice, _], room, mut a) = serving_for_long(&store).await;
    let other = group(&one, &[alice]).await;
    // It dies awake, with a head row that is behind and says that it is clean.
    let log = store.ports().log;
    let newest = rows(&one, room).await.pop().unwrap();
    let behind = newest.seq - 1;
    let stale = HeadRow {
        seq: behind,
        clean: behind,
        ..one.node.directory().head(room).await.unwrap().unwrap()
    };
    assert_eq!(
        *text(&say(&mut a, other, "here", "k1").await),
        json!("here")
    );
    one.switch.die();
    log.put_head(1, stale).await.unwrap();
    let damaged = LogRow {
        entry: b"no entry".as_slice().into(),
        ..newest.clone()
    };
    log.append(1, [damaged].into()).await.unwrap();

    let again = World::leased_under(impatient(), LONG_MS, Arc::clone(&store), "one", true).await;
    ready(&again).await;
    let head = again.node.directory().head(room).await;
    assert!(head.is_err(), "{head:?}");
    let mut b = again.connect(alice, json!([])).await;
    assert_eq!(*text(&insist(&mut b, other, "on").await), json!("on"));
    // Once it is whole again it is served, to its end.
    log.append(2, [newest].into()).await.unwrap();
    assert_eq!(*text(&insist(&mut b, room, "back").await), json!("back"));
    let head = again.node.directory().head(room).await.unwrap().unwrap();
    assert_eq!(head.seq, behind + 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_load_that_outlives_its_room_is_waited_for_and_used_by_the_next() {
    let store = Arc::new(Memory::new());
    let (one, [alice, _], room, _) = serving_for_long(&store).await;
    one.node.stop().await;
    let again = World::leased_under(impatient(), LONG_MS, store, "one", true).await;
    ready(&again).await;
    let mut a = again.connect(alice, json!([])).await;
    // What is read once the log was judged.
    again.switch.fail_next(Operation::MembersOf, Fault::Hang);
    let early = say(&mut a, room, "early", "k1").await;
    assert_eq!(*code(&early), json!("unavailable"), "{early}");
    let begun = again.switch.count(Operation::Epochs);
    for key in ["k2", "k3"] {
        let reply = say(&mut a, room, "early", key).await;
        assert_eq!(*code(&reply), json!("unavailable"), "{reply}");
    }
    assert_eq!(again.switch.hanging(), 1);
    again.switch.release();
    assert_eq!(*text(&insist(&mut a, room, "on").await), json!("on"));
    // Nobody began another one.
    assert_eq!(again.switch.count(Operation::Epochs), begun);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_stops_in_order_is_not_waited_for() {
    let store = Arc::new(Memory::new());
    let (one, [_, bob], room, _a) = serving(&store).await;
    one.node.stop().await;
    let name = NodeName::new("one").unwrap();
    let lease = store.ports().leases.lease(name).await.unwrap().unwrap();
    assert!(lease.fenced, "{lease:?}");
    let two = World::leased(store, "two").await;
    ready(&two).await;
    let mut b = two.connect(bob, json!([])).await;
    assert_eq!(
        *text(&say(&mut b, room, "after", "k2").await),
        json!("after")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_knows_a_higher_epoch_raises_its_slot() {
    let store = Arc::new(Memory::new());
    let (one, _, room, mut a) = serving(&store).await;
    // As after a restore: the log is ahead of the slots.
    let ahead = fanfare_engine::row::EpochRow {
        conversation: room,
        epoch: 7,
        first_seq: Some(100),
    };
    let log = store.ports().log;
    let epochs = log.epochs(room).await.unwrap();
    log.put_epoch(7, ahead).await.unwrap();
    one.node.directory().kill(room);
    let mut reply = say(&mut a, room, "after", "k2").await;
    // Rows below 100 are missing by that word: only the epoch matters here.
    let never = fanfare_engine::row::EpochRow {
        first_seq: Some(fanfare_engine::row::EpochRow::NEVER),
        ..ahead
    };
    log.put_epoch(8, never).await.unwrap();
    if reply["error"]["retryable"] == json!(true) {
        reply = insist(&mut a, room, "after").await;
    }
    assert_eq!(*text(&reply), json!("after"), "{reply}");
    let later = log.epochs(room).await.unwrap();
    assert!(later.last().unwrap().epoch > 7, "{epochs:?} {later:?}");
}
