//! Pages and catching up from a room's memory: no read of the store, and never
//! anything that the log would not say.

use std::sync::Arc;

use fanfare_engine::port::{Order, RowRange};
use fanfare_protocol::command::{AddParticipants, Command};
use fanfare_protocol::message::Message;
use fanfare_protocol::{Code, ConversationId, UserId};
use fanfare_storage::Memory;
use fanfare_storage::dying::{Fault, Operation};
use serde_json::{Value, json};

use super::faults::{group, say};
use super::reads::Count;
use super::rooms::kick;
use super::world::{Peer, World, until};
use crate::gateway::{Draft, Page};

async fn page(world: &World, reader: UserId, room: ConversationId) -> Vec<Message> {
    let page = Page {
        limit: Some(20),
        ..Page::default()
    };
    let history = world.node.gateway().history(reader, room, page).await;
    history.unwrap().messages
}

/// The same, which may read nothing.
async fn page_from_memory(world: &World, reader: UserId, room: ConversationId) -> Vec<Message> {
    let count = Count::begin(world);
    let messages = page(world, reader, room).await;
    assert_eq!(count.reads(), []);
    messages
}

fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|it| it.text.as_str()).collect()
}

async fn add(world: &World, caller: UserId, conversation: ConversationId, whom: UserId) {
    let command = Command::AddParticipants(AddParticipants {
        user_ids: vec![whom],
        role: None,
    });
    let draft = Draft {
        caller,
        conversation,
        command,
        key: None,
    };
    world.node.gateway().submit(draft).await.unwrap();
}

async fn changed(peer: &mut Peer, kind: &str, data: Value) {
    let reply = peer.ask(kind, data, None).await;
    assert!(reply["data"].is_object(), "{reply}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_page_of_a_hot_conversation_reads_nothing_and_is_as_the_log_says() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice]).await;
    let mut a = world.connect(alice, json!([])).await;
    let mut ids = Vec::new();
    for text in ["one", "two", "three", "four"] {
        let reply = say(&mut a, room, text, text).await;
        ids.push(reply["data"]["message"]["id"].clone());
    }
    let messages = page_from_memory(&world, alice, room).await;
    assert_eq!(texts(&messages), ["one", "two", "three", "four"]);

    changed(
        &mut a,
        "message:edit",
        json!({ "message": ids[0], "text": "uno" }),
    )
    .await;
    changed(
        &mut a,
        "message:edit",
        json!({ "message": ids[1], "text": "dos" }),
    )
    .await;
    changed(&mut a, "message:delete", json!({ "message": ids[1] })).await;
    changed(
        &mut a,
        "message:react",
        json!({ "message": ids[2], "emoji": "👍" }),
    )
    .await;
    let messages = page_from_memory(&world, alice, room).await;
    assert_eq!(texts(&messages), ["uno", "", "three", "four"]);
    assert_eq!(messages[0].edit_count, 1);
    assert!(messages[1].deleted_at.is_some());
    assert_eq!(messages[2].reactions[0].count, 1);
    let one = Page {
        after: Some(messages[0].seq),
        limit: Some(2),
        ..Page::default()
    };
    let count = Count::begin(&world);
    let after = world
        .node
        .gateway()
        .history(alice, room, one)
        .await
        .unwrap();
    assert_eq!(
        (after.messages, count.reads()),
        (messages[1..3].to_vec(), vec![])
    );

    // History begins with joining, and ends with leaving.
    add(&world, alice, room, bob).await;
    say(&mut a, room, "five", "five").await;
    assert_eq!(texts(&page_from_memory(&world, bob, room).await), ["five"]);
    kick(&mut a, &world, room, bob).await;
    say(&mut a, room, "six", "six").await;
    let count = Count::begin(&world);
    let refused = world
        .node
        .gateway()
        .history(bob, room, Page::default())
        .await;
    assert_eq!(refused.unwrap_err().code, Code::NotAMember);
    assert_eq!(count.reads(), []);
    add(&world, alice, room, bob).await;
    say(&mut a, room, "seven", "seven").await;
    assert_eq!(texts(&page_from_memory(&world, bob, room).await), ["seven"]);

    let hot = page_from_memory(&world, alice, room).await;
    drop(a);
    let world = world.reborn().await;
    world.node.directory().sleep().await;
    assert_eq!(page(&world, alice, room).await, hot, "as the log says");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_durable_is_in_no_page() {
    for (operation, kind) in [
        (Operation::Append, "message:edit"),
        (Operation::Apply, "message:edit"),
        (Operation::Append, "message:delete"),
    ] {
        let world = World::new().await;
        let alice = world.person("alice").await;
        let room = group(&world, &[alice]).await;
        let mut a = world.connect(alice, json!([])).await;
        let reply = say(&mut a, room, "before", "k1").await;
        let id = &reply["data"]["message"]["id"];
        let mut data = json!({ "message": id });
        if kind == "message:edit" {
            data["text"] = json!("after");
        }
        world.switch.fail_next(operation, Fault::Hang);
        let change = a.send(kind, data, None).await;
        until(|| world.switch.hanging() == 1).await;
        let messages = page(&world, alice, room).await;
        assert_eq!(texts(&messages), ["before"], "{kind} {operation:?}");
        world.switch.release();
        let reply = a.reply(change).await;
        assert!(reply["data"].is_object(), "{reply}");
        let messages = page_from_memory(&world, alice, room).await;
        assert_ne!(texts(&messages), ["before"], "{kind} {operation:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_being_removed_reads_until_that_is_durable() {
    for operation in [Operation::Append, Operation::Apply] {
        let world = World::new().await;
        let (alice, bob) = (world.person("alice").await, world.person("bob").await);
        let room = group(&world, &[alice, bob]).await;
        let mut a = world.connect(alice, json!([])).await;
        say(&mut a, room, "before", "k1").await;
        let directory = world.node.directory();
        world.switch.fail_next(operation, Fault::Hang);
        let removal = kick(&mut a, &world, room, bob);
        let meanwhile = async {
            until(|| world.switch.hanging() == 1).await;
            let told = directory.standing(room, bob).await;
            world.switch.release();
            told
        };
        let ((), told) = tokio::join!(removal, meanwhile);
        assert_eq!(told, None, "{operation:?}");
        let (_, told) = directory.standing(room, bob).await.unwrap();
        assert!(told.is_some_and(|member| !member.is_active()));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_comes_back_to_an_awake_room_reads_no_row() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let room = group(&world, &[alice]).await;
    let mut a = world.connect(alice, json!([])).await;
    for number in 0..150 {
        say(
            &mut a,
            room,
            &format!("line {number}"),
            &format!("k{number}"),
        )
        .await;
    }
    drop(a);
    // Whoever takes over activates it, and has nothing in its rings.
    let world = world.reborn().await;
    assert!(world.node.directory().is_live(room));
    let count = Count::begin(&world);
    let cursor = json!([{ "conversation": room, "epoch": 1, "seq": 1 }]);
    let mut again = world.connect(alice, cursor).await;
    for number in 0..150 {
        let event = again.event("message:received").await;
        assert_eq!(
            event["data"]["message"]["text"],
            json!(format!("line {number}"))
        );
    }
    let reads = count.reads();
    assert!(
        reads.iter().all(|(it, _)| *it != Operation::Rows),
        "{reads:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_room_whose_lease_lapsed_meanwhile_tells_nothing() {
    let world = World::leased_for(3000, Arc::new(Memory::new()), "one", false).await;
    until(|| world.node.ready().is_ok()).await;
    let alice = world.person("alice").await;
    let room = group(&world, &[alice]).await;
    let mut a = world.connect(alice, json!([])).await;
    say(&mut a, room, "hello", "k1").await;
    let directory = world.node.directory();
    let range = RowRange {
        conversation: room,
        from: 1,
        to: 2,
        limit: 2,
        order: Order::Ascending,
    };
    let told = directory.recent(range).await;
    assert_eq!(told.map(|rows| rows.len()), Some(2));

    let word = directory.hold_up(room);
    let (recent, standing) = (directory.recent(range), directory.standing(room, alice));
    let lapse = async {
        world.switch.die();
        until(|| !directory.is_served(room)).await;
        word.send(()).unwrap();
    };
    let (recent, standing, ()) = tokio::join!(recent, standing, lapse);
    assert_eq!(recent, None);
    assert!(standing.is_none(), "{standing:?}");
}
