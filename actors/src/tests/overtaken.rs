//! Reads that a removal or a deletion overtakes: nobody gets what is no
//! longer theirs.

use fanfare_storage::dying::{Fault, Operation};
use serde_json::json;

use super::faults::{group, say};
use super::rooms::kick;
use super::world::{World, until};
use crate::gateway::Page;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whoever_is_removed_while_rows_are_read_gets_none() {
    let world = World::drowsy().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    let reply = say(&mut a, room, "hello", "k1").await;
    let id = serde_json::from_value(reply["data"]["message"]["id"].clone()).unwrap();
    let gateway = world.node.gateway();
    // A room that is awake would tell rows from memory.
    world.asleep().await;
    for _ in 0..2 {
        world.switch.fail_next(Operation::Rows, Fault::Hang);
    }
    let removal = async {
        until(|| world.switch.hanging() == 2).await;
        kick(&mut a, &world, room, bob).await;
        world.switch.release();
    };
    let history = gateway.history(bob, room, Page::default());
    let (history, message, ()) = tokio::join!(history, gateway.message(bob, id), removal);
    let refused = [history.map(drop), message.map(drop)];
    for refusal in refused.map(Result::unwrap_err) {
        assert_eq!(refusal.code, fanfare_protocol::Code::NotAMember);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pages_that_shards_hold_lose_a_deleted_text_and_its_edits() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    let message = say(&mut a, room, "secret", "k").await["data"]["message"]["id"].clone();
    // The edit stands on another page.
    for number in 0..fanfare_protocol::limits::PAGE_SEQS {
        say(&mut a, room, "between", &format!("k{number}")).await;
    }
    let edit = json!({ "message": message, "text": "secret too" });
    a.ask("message:edit", edit, Some("edit")).await;
    let mut readers = Vec::new();
    for is_deleted in [false, true] {
        if is_deleted {
            let data = json!({ "message": message });
            let reply = a.ask("message:delete", data, Some("delete")).await;
            assert!(reply["data"].is_object(), "{reply}");
        }
        // One on each shard; all stay.
        for _ in 0..2 {
            let cursor = json!([{ "conversation": room, "epoch": 1, "seq": 1 }]);
            let mut b = world.connect(bob, cursor).await;
            for kind in ["message:received", "message:edited"] {
                let event = b.event(kind).await;
                let has_text = event.to_string().contains("secret");
                assert_eq!(has_text, !is_deleted, "{event}");
            }
            readers.push(b);
        }
    }
}
