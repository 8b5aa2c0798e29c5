//! Rooms that fall asleep, and snapshots taken in the middle of changes.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::outcome;
use crate::harness::account::{id_of, seq_of};
use crate::harness::rest::history;
use crate::harness::{Account, Dice, Options, Server, Socket, new_key};
use crate::history::{self, equal};
use crate::replay::{entries, settled_head};

#[tokio::test(flavor = "multi_thread")]
async fn a_room_falls_asleep_while_people_come_and_go() {
    // So short that it sleeps between any two lines.
    let server = Options::new().limit("room_idle_ms", 20).start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let watcher = bob.connect(&server).await;
    let mut said = Vec::new();
    let mut dice = Dice::new(20);
    for round in 0..60 {
        // Around the time at which the room goes to sleep: that is the race.
        tokio::time::sleep(std::time::Duration::from_millis(10 + dice.roll(25))).await;
        let cursors = watcher.cursors();
        let text = format!("round {round}");
        let (message, comer) = tokio::join!(
            alice.say(&group, &text),
            Socket::open(server.address(), &bob.access, cursors)
        );
        let comer = comer.unwrap();
        comer.reaches(&group, seq_of(&message)).await;
        comer.expect_no_faults();
        assert!(comer.resync().is_empty());
        watcher.reaches(&group, seq_of(&message)).await;
        said.push(message);
    }
    watcher.expect_no_faults();
    assert_eq!(bob.history(&group).await, said);
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshot_and_events_are_the_fresh_state_whatever_races() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let carol = Account::register(&server, "carol").await;
    let group = alice.group(&[&bob, &carol]).await;
    let reader = carol.connect(&server).await;
    let mut tasks = JoinSet::new();
    for (seed, who) in [(1, &alice), (2, &bob)] {
        let socket = who.connect(&server).await;
        tasks.spawn(mutate(socket, group.clone(), seed));
    }
    // Snapshots at any moment, each with the head it was read under.
    let mut snapshots = Vec::new();
    while !tasks.is_empty() {
        snapshots.push(history(&carol.rest, &group).await.unwrap());
        while let Some(done) = tasks.try_join_next() {
            done.unwrap();
        }
    }
    let head = settled_head(&carol, &group).await;
    reader.reaches(&group, head).await;
    reader.expect_no_faults();
    let fresh = history(&carol.rest, &group).await.unwrap();
    let log = entries(&reader.log(&group));
    assert!(
        snapshots.len() > 2 && fresh.len() == 120,
        "{} snapshots, {} messages",
        snapshots.len(),
        fresh.len()
    );
    for snapshot in &snapshots {
        history::none(&equal::check(snapshot, &log, &fresh));
    }
}

/// 60 messages, and edits, reactions and deletions of what the group has.
async fn mutate(socket: Socket, group: String, seed: u64) {
    let mut dice = Dice::new(seed);
    let mut pending = Vec::new();
    let mut own: Vec<String> = Vec::new();
    for at in 0..60 {
        own.push(id_of(
            &socket.say(&group, &format!("{seed}-{at}")).await.unwrap(),
        ));
        let all = socket.log(&group);
        let messages: Vec<&Value> = all
            .iter()
            .filter(|event| event.kind == "message:received")
            .map(|event| &event.data["message"]["id"])
            .collect();
        let any = messages
            .get(usize::try_from(dice.roll(messages.len().max(1) as u64)).unwrap())
            .map(|id| (*id).clone());
        let mine = own[usize::try_from(dice.roll(own.len() as u64)).unwrap()].clone();
        let (kind, data) = match (dice.roll(6), any) {
            (0 | 1, _) => (
                "message:edit",
                json!({"message": mine, "text": format!("{seed}-{at}, edited")}),
            ),
            (2, _) => ("message:delete", json!({"message": mine})),
            (3, Some(any)) => ("message:unreact", json!({"message": any, "emoji": "👍"})),
            (_, Some(any)) => ("message:react", json!({"message": any, "emoji": "👍"})),
            (_, None) => continue,
        };
        pending.push((kind, socket.start(kind, Some(&new_key()), data)));
    }
    for (kind, reply) in pending {
        // What was deleted meanwhile may be refused, in one of these ways.
        if let Err(code) = outcome(reply.answer().await) {
            assert!(
                ["gone", "not_found", "conflict", "invalid_request"].contains(&code.as_str()),
                "{kind}: {code}"
            );
        }
    }
}
