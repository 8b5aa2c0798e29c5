//! Members removed while they send, resume, subscribe and read.

use std::sync::Arc;

use serde_json::{Value, json};
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::outcome;
use crate::harness::account::seq_of;
use crate::harness::rest::history;
use crate::harness::{Account, Dice, Server, Socket, new_key};
use crate::history::{self, History, Reader, access, equal, order};
use crate::replay::entries;

#[tokio::test(flavor = "multi_thread")]
async fn a_kick_races_sends_resumes_subscriptions_and_history() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    for round in 0..12 {
        kick_round(&server, &alice, &bob, round).await;
    }
}

/// Bob sends, resumes, subscribes and reads while Alice talks and removes him.
async fn kick_round(server: &Server, alice: &Account, bob: &Account, round: u64) {
    let group = alice.group(&[bob]).await;
    let at_alice = Arc::new(alice.connect(server).await);
    let sending = Arc::new(bob.connect(server).await);
    let resuming = Arc::new(bob.connect(server).await);
    let listening = bob.connect(server).await;
    let start = listening.cursor(&group).unwrap();
    let cursors = json!([{"conversation": group, "epoch": start.epoch, "seq": start.seq}]);
    let together = Arc::new(Barrier::new(4));
    let mut tasks = JoinSet::new();
    tasks.spawn(talk(
        Arc::clone(&at_alice),
        group.clone(),
        Arc::clone(&together),
    ));
    tasks.spawn(send(
        Arc::clone(&sending),
        group.clone(),
        Arc::clone(&together),
    ));
    tasks.spawn(come_back(
        Arc::clone(&resuming),
        bob.clone(),
        group.clone(),
        cursors.clone(),
        Arc::clone(&together),
    ));
    tasks.spawn(kick(
        alice.clone(),
        bob.id.clone(),
        group.clone(),
        round,
        together,
    ));
    while let Some(done) = tasks.join_next().await {
        done.unwrap();
    }
    let after = alice.say(&group, "after the kick").await;
    at_alice.reaches(&group, seq_of(&after)).await;
    listening.event_of("participant:removed", &group).await;

    // From now on nothing is his.
    let path = format!("/conversations/{group}/messages");
    assert_eq!(
        outcome(bob.rest.get(&path).await),
        Err("not_a_member".into())
    );
    assert_eq!(
        outcome(sending.say(&group, "me again").await),
        Err("not_a_member".into())
    );
    let back = Socket::open(server.address(), &bob.access, cursors)
        .await
        .unwrap();
    assert_eq!(back.gone(), [group.as_str()]);
    listening.request("session:ping", json!({})).await.unwrap();

    let log = entries(&at_alice.log(&group));
    let stays = access::stays(&log, &[&alice.id, &bob.id]);
    let reader = |name: &str, account: &Account, socket: &Socket| Reader {
        name: name.into(),
        user: account.id.clone(),
        conversation: group.clone(),
        entries: entries(&socket.log(&group)),
    };
    let readers = vec![
        reader("alice", alice, &at_alice),
        reader("bob listening", bob, &listening),
        reader("bob sending", bob, &sending),
    ];
    history::none(&access::check(&log, &stays, &readers));
    history::none(&order::check(&History {
        attempts: Vec::new(),
        readers,
    }));
    let fresh = history(&alice.rest, &group).await.unwrap();
    history::none(&equal::check(&[], &log, &fresh));
    for socket in [&*at_alice, &sending, &resuming, &listening] {
        socket.expect_no_faults();
    }
}

async fn talk(socket: Arc<Socket>, group: String, together: Arc<Barrier>) {
    together.wait().await;
    for at in 0..12 {
        socket.say(&group, &format!("alice {at}")).await.unwrap();
    }
}

/// Sends without waiting: what came before the kick is accepted, nothing after it.
async fn send(socket: Arc<Socket>, group: String, together: Arc<Barrier>) {
    together.wait().await;
    let pending: Vec<_> = (0..24)
        .map(|at| {
            let data = json!({"conversation": group, "text": format!("bob {at}")});
            socket.start("message:send", Some(&new_key()), data)
        })
        .collect();
    let mut refused = false;
    for reply in pending {
        match outcome(reply.answer().await) {
            Ok(_) => assert!(!refused, "accepted after a refusal for the same kick"),
            Err(code) => {
                assert_eq!(code, "not_a_member");
                refused = true;
            }
        }
    }
}

/// Resumes, subscribes and reads the history, again and again.
async fn come_back(
    socket: Arc<Socket>,
    bob: Account,
    group: String,
    cursors: Value,
    together: Arc<Barrier>,
) {
    together.wait().await;
    for at in 0..8 {
        let kind = if at % 2 == 0 {
            "session:resume"
        } else {
            "conversations:subscribe"
        };
        let reply = socket
            .request(kind, json!({"cursors": cursors}))
            .await
            .unwrap();
        if let Some(gone) = reply["gone"].as_array().and_then(|gone| gone.first()) {
            assert_eq!(gone["reason"], "not_a_member");
        }
        let read = outcome(
            bob.rest
                .get(&format!("/conversations/{group}/messages"))
                .await,
        );
        assert!(
            read.as_ref()
                .err()
                .is_none_or(|code| code == "not_a_member"),
            "{read:?}"
        );
    }
}

/// Removes Bob, a bit later in each round.
async fn kick(alice: Account, bob: String, group: String, round: u64, together: Arc<Barrier>) {
    together.wait().await;
    for _ in 0..Dice::new(round).roll(6) {
        alice
            .rest
            .get(&format!("/conversations/{group}"))
            .await
            .unwrap();
    }
    alice
        .rest
        .delete(&format!("/conversations/{group}/participants/{bob}"))
        .await
        .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn adding_and_removing_race_and_every_stay_is_whole() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[]).await;
    let (at_alice, at_bob) = (alice.connect(&server).await, bob.connect(&server).await);
    let mut talking = JoinSet::new();
    let (talker, talk_in) = (alice.connect(&server).await, group.clone());
    talking.spawn(async move {
        for at in 0..150 {
            talker.say(&talk_in, &format!("number {at}")).await.unwrap();
        }
    });
    for _ in 0..10 {
        let path = format!("/conversations/{group}/participants");
        alice
            .rest
            .post(&path, json!({"userIds": [bob.id]}))
            .await
            .unwrap();
        alice
            .rest
            .delete(&format!("{path}/{}", bob.id))
            .await
            .unwrap();
    }
    while let Some(done) = talking.join_next().await {
        done.unwrap();
    }
    // The last stay has no end: once he has all of it he has what came before.
    let path = format!("/conversations/{group}/participants");
    let again = json!({"userIds": [bob.id]});
    alice.rest.post(&path, again).await.unwrap();
    let last = seq_of(&alice.say(&group, "the end").await);
    at_alice.reaches(&group, last).await;
    at_bob.reaches(&group, last).await;
    let log = entries(&at_alice.log(&group));
    let stays = access::stays(&log, &[&alice.id]);
    let bobs = Reader {
        name: "bob".into(),
        user: bob.id.clone(),
        conversation: group.clone(),
        entries: entries(&at_bob.log(&group)),
    };
    history::none(&access::check(&log, &stays, std::slice::from_ref(&bobs)));
    let his: Vec<_> = stays.iter().filter(|stay| stay.user == bob.id).collect();
    assert_eq!((his.len(), his[10].until), (11, None));
    // Who was removed before his device heard of it misses that stay; of any other
    // nothing is missing but, maybe, the entry that begins it.
    let mut seen_of = 0;
    for stay in his {
        let until = stay.until.unwrap_or(last);
        let seen: Vec<u64> = bobs
            .entries
            .iter()
            .map(|entry| entry.seq)
            .filter(|seq| (stay.from..=until).contains(seq))
            .collect();
        let whole: Vec<u64> = (stay.from..=until).collect();
        let missed = seen.is_empty() && stay.until.is_some();
        assert!(
            seen == whole || seen == whole[1..] || missed,
            "{stay:?}: {seen:?}"
        );
        seen_of += usize::from(!missed);
    }
    let told = at_bob.events();
    let told = told
        .iter()
        .filter(|event| event.kind == "conversation:created");
    assert_eq!(told.count(), seen_of);
    at_bob.expect_no_faults();
}
