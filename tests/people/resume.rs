//! Coming back: cursors in hello, resume, resync, gone, restarts.

use serde_json::{Value, json};

use crate::harness::account::seq_of;
use crate::harness::{Account, Options, Server, Socket};
use crate::history::{self, equal};
use crate::replay::entries;

struct Talk {
    alice: Account,
    bob: Account,
    group: String,
    at_alice: Socket,
}

async fn talk(server: &Server) -> Talk {
    let alice = Account::register(server, "alice").await;
    let bob = Account::register(server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let at_alice = alice.connect(server).await;
    Talk {
        alice,
        bob,
        group,
        at_alice,
    }
}

impl Talk {
    async fn say(&self, texts: std::ops::Range<usize>) -> u64 {
        let mut last = 0;
        for at in texts {
            last = seq_of(
                &self
                    .at_alice
                    .say(&self.group, &format!("number {at}"))
                    .await
                    .unwrap(),
            );
        }
        last
    }

    fn cursor(&self, epoch: u64, seq: u64) -> Value {
        json!([{"conversation": self.group, "epoch": epoch, "seq": seq}])
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bob_comes_back_and_gets_exactly_what_he_missed() {
    let server = Server::start().await;
    let talk = talk(&server).await;
    let at_bob = talk.bob.connect(&server).await;
    let before = talk.say(0..5).await;
    at_bob.reaches(&talk.group, before).await;
    let cursors = at_bob.cursors();
    let epoch = at_bob.cursor(&talk.group).unwrap().epoch;
    drop(at_bob);
    let missed = talk.say(5..45).await;
    let back = Socket::open(server.address(), &talk.bob.access, cursors)
        .await
        .unwrap();
    assert_eq!(back.hello["subscribed"], talk.cursor(epoch, before));
    back.reaches(&talk.group, missed).await;
    let live = talk.say(45..50).await;
    back.reaches(&talk.group, live).await;
    back.expect_no_faults();
    let seqs: Vec<u64> = back
        .log(&talk.group)
        .iter()
        .filter_map(|event| event.seq)
        .collect();
    assert_eq!(seqs, (before + 1..=live).collect::<Vec<_>>());
    talk.at_alice.reaches(&talk.group, live).await;
    let at_alice = talk.at_alice.log(&talk.group);
    assert_eq!(
        back.log(&talk.group)[..],
        at_alice[at_alice.len() - back.log(&talk.group).len()..],
        "replay and live are the same events"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_running_session_rewinds() {
    let server = Server::start().await;
    let talk = talk(&server).await;
    let at_bob = talk.bob.connect(&server).await;
    let start = at_bob.cursor(&talk.group).unwrap();
    let last = talk.say(0..10).await;
    at_bob.reaches(&talk.group, last).await;
    let first_time = at_bob.log(&talk.group);
    let reply = at_bob
        .request(
            "session:resume",
            json!({"cursors": talk.cursor(start.epoch, start.seq)}),
        )
        .await
        .unwrap();
    assert_eq!(reply["subscribed"], talk.cursor(start.epoch, start.seq));
    at_bob.reaches(&talk.group, last).await;
    at_bob.expect_no_faults();
    let both = at_bob.log(&talk.group);
    assert_eq!(
        both[..first_time.len()],
        both[first_time.len()..],
        "the same events again"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn too_far_behind_is_told_to_fetch_again() {
    let server = Options::new().limit("resume_entries_max", 20).start().await;
    let talk = talk(&server).await;
    let start = talk.at_alice.cursor(&talk.group).unwrap();
    let mut head = talk.say(0..30).await;
    for (epoch, seq, why) in [
        (start.epoch, start.seq, "more than 20 behind"),
        (start.epoch, head + 50, "ahead of the log"),
        (
            start.epoch + 7,
            head - 3,
            "of an epoch that does not own it",
        ),
    ] {
        let back = Socket::open(server.address(), &talk.bob.access, talk.cursor(epoch, seq))
            .await
            .unwrap();
        assert_eq!(back.resync(), [talk.group.as_str()], "{why}");
        assert_eq!(
            back.cursor(&talk.group).map(|cursor| cursor.seq),
            Some(head),
            "{why}"
        );
        let snapshot = talk.bob.history(&talk.group).await;
        let next = seq_of(&talk.at_alice.say(&talk.group, why).await.unwrap());
        back.reaches(&talk.group, next).await;
        back.expect_no_faults();
        let log = entries(&back.log(&talk.group));
        assert_eq!(log[0].seq, head + 1, "the first event is the named seq + 1");
        let fresh = talk.bob.history(&talk.group).await;
        history::none(&equal::check(&snapshot, &log, &fresh));
        head = next;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn below_what_a_member_may_see_is_resync() {
    let server = Server::start().await;
    let talk = talk(&server).await;
    talk.say(0..5).await;
    let carol = Account::register(&server, "carol").await;
    let path = format!("/conversations/{}/participants", talk.group);
    talk.alice
        .rest
        .post(&path, json!({"userIds": [carol.id]}))
        .await
        .unwrap();
    let from = carol.conversation(&talk.group).await["me"]["fromSeq"]
        .as_u64()
        .unwrap();
    let epoch = talk.at_alice.cursor(&talk.group).unwrap().epoch;
    let back = Socket::open(server.address(), &carol.access, talk.cursor(epoch, 2))
        .await
        .unwrap();
    assert_eq!(back.resync(), [talk.group.as_str()]);
    let last = talk.say(5..8).await;
    back.reaches(&talk.group, last).await;
    assert!(
        back.log(&talk.group)
            .iter()
            .all(|event| event.seq >= Some(from))
    );
    back.expect_no_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn cursors_lead_on_through_restarts_and_epochs_rise() {
    let server = Options::new().port_kept().start().await;
    let talk = talk(&server).await;
    let at_bob = talk.bob.connect(&server).await;
    let first = talk.say(0..5).await;
    at_bob.reaches(&talk.group, first).await;
    let cursors = at_bob.cursors();
    let missed = talk.say(5..10).await;

    server.kill9();
    server.restart().await;
    let back = Socket::open(server.address(), &talk.bob.access, cursors.clone())
        .await
        .unwrap();
    back.reaches(&talk.group, missed).await;
    let at_alice = talk.alice.connect(&server).await;
    let after = at_alice.say(&talk.group, "after the kill").await.unwrap();
    assert_eq!(seq_of(&after), missed + 1, "no seq is left out");
    back.reaches(&talk.group, seq_of(&after)).await;
    back.expect_no_faults();
    let epochs: Vec<u64> = back
        .log(&talk.group)
        .iter()
        .map(|event| event.epoch)
        .collect();
    assert!(
        epochs.is_sorted() && epochs[0] < epochs[epochs.len() - 1],
        "{epochs:?}"
    );

    server.terminate().await;
    server.restart().await;
    let back = Socket::open(server.address(), &talk.bob.access, cursors)
        .await
        .unwrap();
    back.reaches(&talk.group, seq_of(&after)).await;
    back.expect_no_faults();
    assert_eq!(back.log(&talk.group).len() as u64, seq_of(&after) - first);
}

#[tokio::test(flavor = "multi_thread")]
async fn too_many_cursors_are_refused() {
    let server = Options::new().limit("cursors_max", 3).start().await;
    let talk = talk(&server).await;
    let cursor = |at: u8| json!({"conversation": format!("0199f0a2-0000-7000-8000-0000000000{at:02}"), "epoch": 1, "seq": 1});
    let four: Value = (10..14).map(cursor).collect();
    let refused = Socket::open(server.address(), &talk.bob.access, four.clone())
        .await
        .map(drop)
        .unwrap_err();
    assert!(
        refused.code == "too_large" || refused.detail("cursors").is_some(),
        "{refused:?}"
    );
    let at_bob = talk.bob.connect(&server).await;
    let refused = at_bob
        .request("session:resume", json!({"cursors": four}))
        .await
        .unwrap_err();
    assert!(
        refused.code == "too_large" || refused.detail("cursors").is_some(),
        "{refused:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_has_no_more_subscriptions_than_it_may() {
    let server = Options::new()
        .limit("subscriptions_per_session_max", 2)
        .start()
        .await;
    let alice = Account::register(&server, "alice").await;
    let mut groups = Vec::new();
    let mut cursors = Vec::new();
    for _ in 0..3 {
        let group = alice.group(&[]).await;
        let said = alice.say(&group, "the first").await;
        cursors.push(json!({"conversation": group, "epoch": said["epoch"], "seq": said["seq"]}));
        groups.push(group);
    }
    let third_gone = json!([{"conversation": groups[2], "reason": "too_many"}]);
    let count = |answer: &Value| answer["subscribed"].as_array().map(Vec::len);

    let named = Socket::open(server.address(), &alice.access, json!(cursors))
        .await
        .unwrap();
    assert_eq!(count(&named.hello), Some(2), "{}", named.hello);
    assert_eq!(named.hello["gone"], third_gone);
    let asked = json!({"cursors": [cursors[2]]});
    let refused = named
        .request("conversations:subscribe", asked.clone())
        .await
        .unwrap();
    assert_eq!(
        (count(&refused), &refused["gone"]),
        (Some(0), &third_gone),
        "{refused}"
    );
    named
        .request(
            "conversations:unsubscribe",
            json!({"conversations": [groups[0]]}),
        )
        .await
        .unwrap();
    let taken = named
        .request("conversations:subscribe", asked)
        .await
        .unwrap();
    assert_eq!(count(&taken), Some(1), "{taken}");

    // Of what nobody named nothing is said: `unread:update` tells of it.
    let recent = alice.connect(&server).await;
    assert_eq!(count(&recent.hello), Some(2), "{}", recent.hello);
    assert_eq!(recent.hello["gone"], json!([]));
    let info = recent.request("session:info", json!({})).await.unwrap();
    assert_eq!(count(&info), Some(2), "{info}");
}
