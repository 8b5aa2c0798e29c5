//! An engine that comes back on its own data folder takes its slots over at once, each
//! under the next epoch; after a reboot, when nobody knows whether its earlier life has
//! ended, it waits like any other.

use serde_json::json;

use super::pair::{Pair, Side};
use crate::harness::{SOON, eventually};
use crate::replay::Stage;

/// What an engine says when it does not wait, and when it did.
const AT_ONCE: &str = "lease taken over at once";
const WAITED: &str = "lease taken once it had lapsed";

/// kill -9 and a start with the first engine alone.
pub async fn takes_over_at_once(stage: &Stage, side: &Side, rooms: &[String]) {
    let before = epochs(stage, side, rooms).await;
    side.server.kill9();
    side.server.restart().await;
    side.server.says(AT_ONCE).await;
    let after = epochs(stage, side, rooms).await;
    let expected: Vec<u64> = before.iter().map(|epoch| epoch + 1).collect();
    assert_eq!(after, expected, "each slot was claimed once");
    assert!(!side.server.log().contains(WAITED));
    assert!(side.server.metric("fanfare_lease_held").await > 0.0);
    assert_eq!(side.server.metric("fanfare_slots_owned").await, 1024.0);
}

/// The same, as if the machine had started anew; the other engine is gone.
pub async fn waits_after_a_reboot(pair: &Pair, owner: usize) {
    let side = &pair.sides[owner];
    pair.sides[1 - owner].server.kill9();
    let rooms: Vec<String> = pair.rooms.iter().map(|room| room.id.clone()).collect();
    let before = epochs(&pair.stage, side, &rooms).await;
    side.server.kill9();
    let name = side.server.data().join("node");
    let noted = std::fs::read_to_string(&name).unwrap();
    let boot = noted
        .split_once(" boot ")
        .and_then(|(_, place)| place.split(' ').next());
    // In place: a file that is another one would be a copy of the folder.
    std::fs::write(&name, noted.replace(boot.unwrap(), "another")).unwrap();
    side.server.restart().await;
    side.server.says(WAITED).await;
    let after = epochs(&pair.stage, side, &rooms).await;
    let expected: Vec<u64> = before.iter().map(|epoch| epoch + 1).collect();
    assert_eq!(after, expected, "each slot was claimed once");
}

/// Under which epoch each room is written at present.
async fn epochs(stage: &Stage, side: &Side, rooms: &[String]) -> Vec<u64> {
    let mut epochs = Vec::new();
    let account = side.seen_by(&stage.owner);
    for room in rooms {
        let path = format!("/conversations/{room}/messages");
        // Without a key: no attempt that a checker should know of.
        let body = json!({"text": "which epoch is it?"});
        let said = eventually("an epoch", SOON, async || {
            account.rest.post(&path, body.clone()).await.ok()
        })
        .await;
        epochs.push(said["data"]["epoch"].as_u64().unwrap());
    }
    epochs
}
