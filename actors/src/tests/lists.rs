//! Lists of conversations: hints say where to look, heads decide.

use fanfare_engine::activity::{ALWAYS_LOOK, latest};
use fanfare_protocol::ConversationId;
use fanfare_storage::dying::Operation;
use serde_json::json;

use super::faults::{group, say};
use super::world::{World, until};
use crate::clock;
use crate::gateway::Asked;

const MANY: usize = 140;

async fn listed(
    world: &World,
    user: fanfare_protocol::UserId,
    wanted: usize,
) -> Vec<ConversationId> {
    let gateway = world.node.gateway();
    let active = gateway
        .active(user, None, wanted, Asked::Records)
        .await
        .unwrap();
    let ids = active.iter().map(|it| it.membership.conversation);
    ids.take(wanted).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_many_conversations_the_recent_ones_are_looked_at() {
    let world = World::new().await;
    let alice = world.person("alice").await;
    let mut rooms = Vec::new();
    for _ in 0..MANY {
        rooms.push(group(&world, &[alice]).await);
    }
    let mut a = world.connect(alice, json!([])).await;
    for room in [rooms[70], rooms[3], rooms[99]] {
        let before = clock::wall();
        until(|| clock::wall() > before).await;
        say(&mut a, room, "hello", &format!("{room}")).await;
    }
    let expected = [rooms[99], rooms[3], rooms[70]];
    let reads = || {
        (
            world.switch.count(Operation::Metas),
            world.switch.count(Operation::Inbox),
        )
    };
    let before = reads();
    assert_eq!(listed(&world, alice, 3).await, expected);
    let after = reads();
    assert_eq!(
        (after.0 - before.0, after.1 - before.1),
        (1, 1),
        "one chunk"
    );
    assert_eq!(listed(&world, alice, MANY).await.len(), MANY);

    // Whoever takes over knows no head, and finds the same order.
    let world = world.reborn().await;
    assert_eq!(listed(&world, alice, 3).await, expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_get_a_hint_that_bounds_the_activity() {
    let world = World::new().await;
    let (alice, bob) = (world.person("alice").await, world.person("bob").await);
    let room = group(&world, &[alice, bob]).await;
    let mut a = world.connect(alice, json!([])).await;
    say(&mut a, room, "hello", "k1").await;
    let head = world.node.directory().head(room).await.unwrap().unwrap();
    let inbox = world.store.ports().inbox;
    for user in [alice, bob] {
        // Nobody waits for it.
        let hint = loop {
            let hints = inbox.inbox(user, None, 9).await.unwrap();
            if let Some((of, at)) = hints.first() {
                assert_eq!((*of, hints.len()), (room, 1));
                break *at;
            }
            tokio::task::yield_now().await;
        };
        assert!(hint <= head.at && latest(Some(hint)) >= head.at && hint < ALWAYS_LOOK);
    }
    let touched = world.switch.count(Operation::Touch);
    say(&mut a, room, "again", "k2").await;
    let same = latest(
        inbox
            .inbox(alice, None, 1)
            .await
            .unwrap()
            .first()
            .map(|it| it.1),
    );
    if clock::wall() <= same {
        assert_eq!(
            world.switch.count(Operation::Touch),
            touched,
            "once in a window"
        );
    }
}
