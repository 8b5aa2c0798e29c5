//! Hellos wait for their turn, and one that hangs keeps its turn from nobody for long.

use fanfare_protocol::limits::HELLOS_AT_ONCE;
use fanfare_storage::dying::{Fault, Operation};
use serde_json::json;

use super::world::{World, until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hello_reads_nothing_before_its_turn() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let mut a = world.connect(alice, json!([])).await;
    let gateway = world.node.gateway();
    let all = u32::try_from(HELLOS_AT_ONCE).unwrap();
    let taken = gateway.hello_turns.acquire_many(all).await.unwrap();
    let before = world.switch.count(Operation::ConversationsOf);
    let turn = async {
        // Those who are connected are served meanwhile.
        for _ in 0..50 {
            a.ask("session:ping", json!({}), None).await;
        }
        assert_eq!(world.switch.count(Operation::ConversationsOf), before);
        drop(taken);
    };
    let (b, ()) = tokio::join!(world.connect(bob, json!([])), turn);
    assert!(b.welcome["data"].is_object());
    assert_eq!(world.switch.count(Operation::ConversationsOf), before + 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hellos_that_hang_give_their_turns_back() {
    let world = World::new().await;
    let mut people = Vec::new();
    for number in 0..=HELLOS_AT_ONCE {
        people.push(world.person(&format!("p{number}")).await);
    }
    let last = people.pop().unwrap();
    for _ in &people {
        let hang = Fault::Hang;
        world.switch.fail_next(Operation::ConversationsOf, hang);
    }
    let hanging = people.into_iter().map(|who| world.connect(who, json!([])));
    let next = async {
        until(|| world.switch.hanging() == HELLOS_AT_ONCE).await;
        // All turns are taken by hellos that get no answer.
        let peer = world.connect(last, json!([])).await;
        assert_eq!(world.switch.hanging(), HELLOS_AT_ONCE);
        world.switch.release();
        peer
    };
    let (all, peer) = tokio::join!(futures_util::future::join_all(hanging), next);
    assert!(peer.welcome["data"].is_object());
    assert_eq!(all.len(), HELLOS_AT_ONCE);
}
