//! Counts over real rooms: exact, on every device, not too often.

use std::time::Duration;

use fanfare_engine::member::Marks;
use fanfare_engine::room::Resolved;
use fanfare_protocol::command::{Command, DeleteMessage, EditMessage, RemoveParticipant};
use fanfare_protocol::limits::OWN_MARKS_MS;
use fanfare_protocol::message::Message;
use fanfare_protocol::{Limits, MessageId};
use fanfare_storage::dying::{Fault, Operation};

use crate::marks::tests::house::{House, until, user};

/// Windows long enough to tell pushes apart, short enough to wait for.
fn quick() -> Limits {
    Limits {
        unread_gather_ms: 60,
        ..Limits::default()
    }
}

async fn edit(house: &House, message: MessageId, named: &[u8]) {
    let edit = EditMessage {
        message,
        text: "hello again".into(),
    };
    let resolved = Resolved {
        mentions: named.iter().copied().map(user).collect(),
        ..Resolved::default()
    };
    house.submit(1, Command::EditMessage(edit), resolved).await;
}

async fn delete(house: &House, message: &Message) {
    let delete = DeleteMessage {
        message: message.id,
    };
    let command = Command::DeleteMessage(delete);
    house.submit(1, command, Resolved::default()).await;
}

#[tokio::test]
async fn counts_are_exact_after_everything_that_changes_them() {
    let house = House::of(3, quick()).await;
    let (laptop, phone) = (house.device(2).await, house.device(2).await);
    let first = house.say(1, &[]).await;
    let named = house.say(1, &[2, 3]).await;
    for device in [&laptop, &phone] {
        device.hears(2, 1).await;
    }
    assert_eq!(house.counts(2).await, (2, 1));
    edit(&house, named.id, &[3]).await;
    phone.hears(2, 0).await;
    edit(&house, named.id, &[2]).await;
    phone.hears(2, 1).await;
    assert_eq!(house.counts(3).await, (2, 0));

    assert_eq!(house.read(2, first.seq).await, Ok(first.seq));
    for device in [&laptop, &phone] {
        device.hears(1, 1).await;
        assert_eq!(device.updates().last().unwrap().2, first.seq);
    }
    delete(&house, &named).await;
    phone.hears(1, 0).await;
    assert_eq!(
        house.counts(2).await,
        (1, 0),
        "deleted messages count until read"
    );
    let own = house.say(2, &[]).await;
    phone.hears(0, 0).await;
    assert_eq!(phone.updates().last().unwrap().2, own.seq);
    assert_eq!(house.counts(3).await, (3, 0));
}

#[tokio::test]
async fn the_first_comes_at_once_then_one_in_a_while_and_one_after_the_last() {
    let limits = Limits {
        unread_gather_ms: 400,
        ..Limits::default()
    };
    let house = House::of(2, limits).await;
    let device = house.device(2).await;
    for _ in 0..30 {
        house.say(1, &[]).await;
        tokio::time::sleep(Duration::from_millis(15)).await;
    }
    device.hears(30, 0).await;
    let times: Vec<_> = device
        .heard("unread:update")
        .into_iter()
        .map(|it| it.0)
        .collect();
    assert!(
        times.len() >= 2 && times.len() < 10,
        "{} frames",
        times.len()
    );
    for pair in times.windows(2) {
        let apart = pair[1] - pair[0];
        // What the wire and a busy machine may shift.
        assert!(apart > Duration::from_millis(300), "{apart:?} apart");
    }
    assert_eq!(
        device.updates()[0].0,
        1,
        "the first message was told at once"
    );
}

#[tokio::test]
async fn a_mark_within_the_window_is_told_at_its_end() {
    let house = House::of(2, quick()).await;
    let device = house.device(2).await;
    for round in 1..=10 {
        let sent = house.say(1, &[2]).await;
        device.hears(1, 1).await;
        assert_eq!(house.read(2, sent.seq).await, Ok(sent.seq));
        device.hears(0, 0).await;
        assert!(device.updates().len() >= round * 2);
    }
}

#[tokio::test]
async fn above_the_limit_only_the_mentioned_hear() {
    let limits = Limits {
        unread_pushed_members_max: 2,
        ..quick()
    };
    let house = House::of(3, limits).await;
    let (bob, carol) = (house.device(2).await, house.device(3).await);
    let first = house.say(1, &[2]).await;
    bob.hears(1, 1).await;
    house.say(1, &[3]).await;
    carol.hears(2, 1).await;
    assert_eq!(carol.updates().len(), 1);
    edit(&house, first.id, &[]).await;
    bob.hears(2, 0).await;
    assert_eq!(bob.updates().len(), 2);
    assert_eq!(carol.updates().len(), 1);
}

#[tokio::test]
async fn senders_hear_of_their_own_message_once_and_as_read() {
    let limits = Limits {
        unread_gather_ms: OWN_MARKS_MS * 3,
        ..Limits::default()
    };
    let house = House::of(2, limits).await;
    let (laptop, phone) = (house.device(1).await, house.device(1).await);
    let sent = house.say(1, &[1]).await;
    for device in [&laptop, &phone] {
        device.hears(0, 0).await;
    }
    house.settled().await;
    // Counted again because of the mark, found to be what was told.
    until("a second count", || house.unread.counted() == 2).await;
    let answer = house.say(2, &[]).await;
    for device in [&laptop, &phone] {
        device.hears(1, 0).await;
        assert_eq!(device.updates(), [(0, 0, sent.seq), (1, 0, sent.seq)]);
    }
    assert_eq!(answer.seq, sent.seq + 1);
}

#[tokio::test]
async fn in_large_conversations_senders_hear_once_their_mark_is_durable() {
    let limits = Limits {
        unread_pushed_members_max: 1,
        ..quick()
    };
    let house = House::of(2, limits).await;
    let (alice, bob) = (house.device(1).await, house.device(2).await);
    house.say(2, &[]).await;
    bob.hears(0, 0).await;
    house.say(1, &[]).await;
    alice.hears(0, 0).await;
    assert_eq!(alice.updates().len(), 1);
}

#[tokio::test]
async fn who_was_removed_hears_nothing_more() {
    let house = House::of(3, quick()).await;
    let (bob, carol) = (house.device(2).await, house.device(3).await);
    house.say(1, &[]).await;
    carol.hears(1, 0).await;
    let remove = RemoveParticipant { user: user(3) };
    let command = Command::RemoveParticipant(remove);
    house.submit(1, command, Resolved::default()).await;
    house
        .unread
        .marked(house.conversation, user(3), Marks::default());
    for _ in 0..5 {
        house.say(1, &[3]).await;
    }
    bob.hears(6, 0).await;
    // Its frames would stand before this one.
    let marker = crate::fanout::text_frame(br#"{"type": "marker", "data": 1}"#);
    carol.socket.send(marker);
    until("the marker", || !carol.heard("marker").is_empty()).await;
    assert_eq!(carol.updates(), [(1, 0, 1)]);
}

#[tokio::test]
async fn a_store_that_fails_delays_a_push_and_loses_none() {
    let house = House::of(2, quick()).await;
    let device = house.device(2).await;
    house.say(1, &[]).await;
    device.hears(1, 0).await;
    for operation in [Operation::MembersOf, Operation::Standings] {
        let before = house.counts(2).await.0;
        house.switch.fail_next(operation, Fault::Unavailable);
        house.say(1, &[]).await;
        device.hears(before + 1, 0).await;
    }
}

#[tokio::test]
async fn another_actor_takes_over() {
    let house = House::of(2, quick()).await;
    let device = house.device(2).await;
    let failed = house.unread.fail();
    house.say(1, &[]).await;
    device.hears(1, 0).await;
    assert_ne!(house.unread.actor(), failed);
    house.say(1, &[]).await;
    device.hears(2, 0).await;
}

#[tokio::test]
async fn nobody_is_counted_who_is_not_connected() {
    let house = House::of(5, quick()).await;
    let device = house.device(2).await;
    let counted = || house.switch.standings();
    let before = counted();
    house.say(1, &[]).await;
    device.hears(1, 0).await;
    assert_eq!(counted(), before + 1);
    // The record is what tells how many members there are.
    let meta = house.ports.log.meta(house.conversation).await.unwrap();
    assert_eq!(meta.unwrap().member_count, 5);
}

#[tokio::test]
async fn in_a_busy_conversation_nothing_is_read_again() {
    let limits = Limits {
        unread_gather_ms: 300,
        ..Limits::default()
    };
    let house = House::of(3, limits).await;
    let (alice, bob) = (house.device(1).await, house.device(2).await);
    house.say(1, &[]).await;
    bob.hears(1, 0).await;
    alice.hears(0, 0).await;
    let reads = || {
        (
            house.switch.count(Operation::MembersOf),
            house.switch.standings(),
        )
    };
    let before = reads();
    for sent in 2..=8 {
        let message = house.say(1, &[]).await;
        bob.hears(sent, 0).await;
        // Their own marks rise in memory.
        until("the sender's mark", || {
            alice.updates().last().map(|it| (it.0, it.2)) == Some((0, message.seq))
        })
        .await;
    }
    assert_eq!(reads(), before);
    // What is not known any more is: a name, and who is a member.
    house.say(1, &[2]).await;
    bob.hears(9, 1).await;
    assert_eq!(reads(), (before.0, before.1 + 1));
    let carol = house.device(3).await;
    house.say(1, &[]).await;
    carol.hears(10, 0).await;
}

#[tokio::test]
async fn who_read_while_away_is_counted_right_when_back() {
    let limits = Limits {
        unread_gather_ms: 300,
        ..Limits::default()
    };
    let house = House::of(3, limits).await;
    let (phone, carol) = (house.device(2).await, house.device(3).await);
    let sent = house.say(1, &[]).await;
    phone.hears(1, 0).await;
    drop(phone);
    assert_eq!(house.read(2, sent.seq).await, Ok(sent.seq));
    let phone = house.device(2).await;
    house.say(1, &[]).await;
    carol.hears(2, 0).await;
    phone.hears(1, 0).await;
    assert!(phone.updates().iter().all(|it| it.0 == 1));
}
