//! A client that reads nothing: it costs a cursor and a partial frame, is
//! closed, and harms nobody.

use fanfare_protocol::Limits;
use serde_json::json;

use super::faults::{group, say};
use super::world::World;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_reader_is_closed_and_comes_back_by_its_cursor() {
    let limits = Limits {
        slow_reader_ms_max: 300,
        ..Limits::default()
    };
    let world = World::with(limits).await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    let slow = world.connect(bob, json!([])).await;
    let place = slow.subscribed_at(room);
    let text = "x".repeat(16 * 1024);
    let mut sent = 0;
    // Until the kernel's buffers are full and the patience is over.
    while !slow.connection.socket.is_over() {
        sent += 1;
        let reply = say(&mut a, room, &text, &format!("k{sent}")).await;
        assert!(reply["data"]["message"].is_object(), "{reply}");
        a.event("message:received").await;
        assert!(sent < 20_000, "the slow reader was never closed");
    }
    drop(slow);
    // Behind the ring by now: pages bring what is missing, in order.
    let cursor = json!([{ "conversation": room, "epoch": 1, "seq": place }]);
    let mut b = world.connect(bob, cursor).await;
    if b.welcome["data"]["resync"] == json!([]) {
        for number in 1..=sent {
            assert_eq!(
                b.event("message:received").await["seq"],
                json!(place + number)
            );
        }
    }
}
