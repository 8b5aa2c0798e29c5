//! Reactions: set, taken back, counted, gathered.

use serde_json::{Value, json};

use crate::harness::account::id_of;
use crate::harness::{Account, Server, Socket, eventually, new_key};

/// How many chose `emoji`.
fn count(reactions: &Value, emoji: &str) -> u64 {
    let listed = reactions
        .as_array()
        .unwrap()
        .iter()
        .find(|listed| listed["emoji"] == emoji);
    listed.map_or(0, |listed| listed["count"].as_u64().unwrap())
}

async fn react(socket: &Socket, kind: &str, message: &str, emoji: &str) -> Value {
    socket
        .request_as(
            &new_key(),
            kind,
            json!({"message": message, "emoji": emoji}),
        )
        .await
        .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn reactions_are_counted_and_told() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let (at_alice, at_bob) = (alice.connect(&server).await, bob.connect(&server).await);
    let said = at_alice.say(&group, "cake?").await.unwrap();
    let id = id_of(&said);

    let reply = react(&at_bob, "message:react", &id, "🍰").await;
    assert_eq!(reply["message"], id.as_str());
    assert_eq!(count(&reply["reactions"], "🍰"), 1);
    let event = at_alice.event_of("message:reactions", &group).await;
    assert_eq!(
        (&event.data["message"], event.data["rev"].as_u64()),
        (&json!(id), event.seq)
    );
    assert_eq!(
        event.data["reactions"],
        json!([{"emoji": "🍰", "count": 1}]),
        "no `me` in what all get"
    );
    assert_eq!(
        event.data["changes"],
        json!([{"user": bob.id, "emoji": "🍰", "on": true}])
    );

    at_alice.expect_no_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_sees_the_counts_and_which_are_theirs() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let at_bob = bob.connect(&server).await;
    let id = id_of(&alice.say(&group, "cake?").await);
    react(&at_bob, "message:react", &id, "🍰").await;
    alice
        .rest
        .post(&format!("/messages/{id}/reactions"), json!({"emoji": "🍰"}))
        .await
        .unwrap();
    alice
        .rest
        .post(&format!("/messages/{id}/reactions"), json!({"emoji": "👩‍👩‍👧‍👦"}))
        .await
        .unwrap();
    // A repeat is answered with the state as it is.
    let again = react(&at_bob, "message:react", &id, "🍰").await;
    assert_eq!(count(&again["reactions"], "🍰"), 2);
    let seen = bob.rest.get(&format!("/messages/{id}")).await.unwrap();
    let mine: Vec<(&Value, &Value, &Value)> = seen["data"]["reactions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|listed| (&listed["emoji"], &listed["count"], &listed["me"]))
        .collect();
    let (cake, family) = (json!("🍰"), json!("👩‍👩‍👧‍👦"));
    assert_eq!(
        mine,
        [
            (&cake, &json!(2), &json!(true)),
            (&family, &json!(1), &json!(false))
        ]
    );

    react(&at_bob, "message:unreact", &id, "🍰").await;
    let emoji = "%F0%9F%8D%B0";
    alice
        .rest
        .delete(&format!("/messages/{id}/reactions/{emoji}"))
        .await
        .unwrap();
    let left = alice.rest.get(&format!("/messages/{id}")).await.unwrap();
    assert_eq!(
        (
            count(&left["data"]["reactions"], "🍰"),
            count(&left["data"]["reactions"], "👩‍👩‍👧‍👦")
        ),
        (0, 1)
    );
    // Never set, taken back: as it is.
    react(&at_bob, "message:unreact", &id, "🚀").await;
    at_bob.expect_no_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn many_reactions_at_once_come_out_right() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let mut others = Vec::new();
    for _ in 0..8 {
        others.push(Account::register(&server, "other").await);
    }
    let group = alice.group(&others.iter().collect::<Vec<_>>()).await;
    let at_alice = alice.connect(&server).await;
    let id = id_of(&at_alice.say(&group, "all at once").await.unwrap());
    let mut sockets = Vec::new();
    for other in &others {
        sockets.push(other.connect(&server).await);
    }
    let pending: Vec<_> = sockets
        .iter()
        .flat_map(|socket| {
            ["👍", "🎉"].map(|emoji| {
                socket.start(
                    "message:react",
                    Some(&new_key()),
                    json!({"message": id, "emoji": emoji}),
                )
            })
        })
        .collect();
    for reply in pending {
        reply.answer().await.unwrap();
    }
    let fresh = alice.rest.get(&format!("/messages/{id}")).await.unwrap();
    let counts: Vec<&Value> = fresh["data"]["reactions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|listed| &listed["count"])
        .collect();
    assert_eq!(counts, [&json!(8), &json!(8)]);
    // The last event says the same as the fetch.
    eventually("the last event", crate::harness::SOON, async || {
        let log = at_alice.log(&group);
        let last = log
            .iter()
            .rev()
            .find(|event| event.kind == "message:reactions")?;
        (last.data["rev"] == fresh["data"]["rev"]).then_some(())
    })
    .await;
    let log = at_alice.log(&group);
    let events = log.iter().filter(|event| event.kind == "message:reactions");
    let changes: usize = events
        .map(|event| event.data["changes"].as_array().unwrap().len())
        .sum();
    assert_eq!(changes, 16);
    at_alice.expect_no_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_emoji_is_refused() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    let socket = alice.connect(&server).await;
    let id = id_of(&socket.say(&group, "x").await.unwrap());
    for emoji in ["", "👍👍", "a word", &"👍".repeat(100)] {
        let refused = socket
            .request("message:react", json!({"message": id, "emoji": emoji}))
            .await
            .unwrap_err();
        assert!(refused.detail("emoji").is_some(), "{emoji:?}: {refused:?}");
    }
}
