//! What others are told.

use std::sync::Arc;

use fanfare_engine::port::{Mark, MarkWrite};
use fanfare_protocol::Limits;
use fanfare_protocol::mark::MarkUpdate;
use fanfare_protocol::signal::Signal;
use serde_json::{Value, json};

use super::house::{Device, House, until, user};
use super::talk;
use crate::marks::MarksParts;
use crate::marks::status::{Gathered, announce};

fn told(device: &Device) -> Vec<Value> {
    let heard = device.heard("message:status");
    heard
        .into_iter()
        .map(|(_, data)| data["marks"].clone())
        .collect()
}

fn quick() -> Limits {
    Limits {
        marks_gather_ms: 500,
        ..Limits::default()
    }
}

#[tokio::test]
async fn marks_are_gathered_into_one_frame() {
    let house = talk(quick()).await;
    let device = house.device(1).await;
    house.subscribe(&device).await;
    assert_eq!(house.delivered(2, 3).await, Ok(3));
    assert_eq!(house.delivered(2, 5).await, Ok(5));
    assert_eq!(house.read(3, 4).await, Ok(4));
    assert_eq!(house.read(2, 2).await, Ok(2));
    until("a status", || !told(&device).is_empty()).await;
    let expected = json!([
        {"user": user(2), "deliveredSeq": 5, "readSeq": 2},
        {"user": user(3), "readSeq": 4},
    ]);
    assert_eq!(told(&device), [expected]);

    // What does not rise is not told, and one's own messages are not either.
    assert_eq!(house.delivered(2, 4).await, Ok(5));
    house.say(1, &[]).await;
    house.settled().await;
    assert_eq!(house.read(2, 3).await, Ok(3));
    until("another status", || told(&device).len() > 1).await;
    assert_eq!(told(&device)[1], json!([{"user": user(2), "readSeq": 3}]));
}

#[tokio::test]
async fn in_larger_conversations_nobody_is_told() {
    let limits = Limits {
        marks_shown_members_max: 2,
        ..quick()
    };
    for (members, heard) in [(2, 2), (3, 1)] {
        let house = House::of(members, limits.clone()).await;
        let device = house.device(1).await;
        house.subscribe(&device).await;
        let parts = MarksParts {
            log: house.ports.log.clone(),
            marks: house.own.clone(),
            directory: house.directory.clone(),
            unread: house.unread.clone(),
            limits: house.limits.clone(),
        };
        let update = MarkUpdate {
            user: user(2),
            delivered_seq: Some(1),
            read_seq: None,
        };
        announce(&parts, vec![(house.conversation, vec![update])]).await;
        // Signals keep their order: this one comes last.
        let last = Arc::new(Signal::MessageStatus { marks: Vec::new() });
        house.directory.signal(house.conversation, last);
        until("the last", || {
            told(&device).last() == Some(&Value::Array(Vec::new()))
        })
        .await;
        assert_eq!(told(&device).len(), heard, "{members} members");
    }
}

#[test]
fn what_gathers_is_bounded() {
    let limits = Limits {
        marks_waiting_max: 2,
        marks_shown_members_max: 2,
        marks_gather_ms: 1000,
        ..Limits::default()
    };
    let conversation = |n| fanfare_protocol::ConversationId::from_bytes([n; 16]);
    let rose = |room, n, seq| MarkWrite {
        conversation: conversation(room),
        user: user(n),
        mark: Mark::Delivered { seq },
    };
    let mut gathered = Gathered::default();
    assert_eq!(gathered.next_ms(), None);
    for n in 1..=3 {
        gathered.add(&rose(1, n, 5), 100, &limits);
    }
    gathered.add(&rose(2, 1, 5), 200, &limits);
    gathered.add(&rose(2, 1, 4), 300, &limits);
    gathered.add(&rose(3, 1, 5), 300, &limits);
    assert_eq!(gathered.next_ms(), Some(1100));
    assert!(gathered.take_due(1199).is_empty(), "of too many members");
    let update = MarkUpdate {
        user: user(1),
        delivered_seq: Some(5),
        read_seq: None,
    };
    assert_eq!(gathered.take_due(1200), [(conversation(2), vec![update])]);
    assert_eq!(
        gathered.next_ms(),
        None,
        "a third conversation was too many"
    );
    gathered.add(&rose(1, 1, 6), 2000, &limits);
    assert_eq!(gathered.take_due(3000).len(), 1, "told anew");
}
