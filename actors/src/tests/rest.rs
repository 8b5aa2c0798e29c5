//! Rooms at rest: what a room, a directory and a node leave behind.

use fanfare_engine::stamp::slot_of;
use fanfare_protocol::Limits;
use serde_json::json;

use super::faults::{group, say};
use super::world::{World, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_leaves_nothing_to_repair() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let room = group(&world, &[alice]).await;
    let mut a = world.connect(alice, json!([])).await;
    say(&mut a, room, "good night", "k1").await;
    world.node.stop().await;
    let ports = world.store.ports();
    let head = ports.log.head(room).await.unwrap().unwrap();
    assert!(head.is_clean() && head.seq == 2, "{head:?}");
    let live = ports.log.live(slot_of(room), None, 10).await.unwrap();
    assert!(live.is_empty(), "{live:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_conversation_that_sleeps_unfollowed_is_forgotten() {
    let world = World::with(Limits {
        room_idle_ms: 1,
        ..Limits::default()
    })
    .await;
    let alice = world.person("alice").await;
    for _ in 0..50 {
        group(&world, &[alice]).await;
    }
    let directory = world.node.directory();
    until(|| directory.live_rooms() == 0).await;
    until(|| directory.remembered() == 0).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_room_keeps_one_timer() {
    let world = World::with(Limits {
        reactions_gather_ms: 1,
        ..Limits::default()
    })
    .await;
    let alice = world.person("alice").await;
    let room = group(&world, &[alice]).await;
    let mut a = world.connect(alice, json!([])).await;
    let message = say(&mut a, room, "hello", "k1").await["data"]["message"]["id"].clone();
    let tasks = || {
        tokio::runtime::Handle::current()
            .metrics()
            .num_alive_tasks()
    };
    let before = tasks();
    for round in 0..100 {
        let kind = ["message:react", "message:unreact"][round % 2];
        let data = json!({ "message": message, "emoji": "👍" });
        let reply = a.ask(kind, data, None).await;
        assert!(reply["data"].is_object(), "{reply}");
    }
    until(|| tasks() < before + 20).await;
}
