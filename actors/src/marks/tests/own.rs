//! Senders' own marks.

use std::time::{Duration, Instant};

use fanfare_engine::member::Marks;
use fanfare_engine::port::{Mark, MarkWrite, MarksPort as _};
use fanfare_protocol::limits::{OWN_MARKS_MESSAGES, OWN_MARKS_MS};
use fanfare_protocol::{ConversationId, Limits};
use fanfare_storage::Memory;
use fanfare_storage::dying::{Fault, Operation};

use super::house::{House, until, user};
use crate::marks::OwnMarks;
use crate::marks::own::Wake;

fn at(seq: u64) -> Marks {
    Marks {
        read_seq: seq,
        read_mno: seq + 100,
        read_ano: seq + 200,
        delivered_seq: seq,
    }
}

#[tokio::test]
async fn sending_reads_at_once_and_durably_soon() {
    let house = House::of(2, Limits::default()).await;
    let start = Instant::now();
    let sent = house.say(1, &[1]).await;
    assert_eq!(house.counts(1).await, (0, 0), "one's own is never unread");
    assert_eq!(house.counted(1).await.read_seq, sent.seq);
    house.settled().await;
    let soon = Duration::from_millis(OWN_MARKS_MS * 10);
    assert!(start.elapsed() < soon, "{:?}", start.elapsed());
    let stored = house.stored(1).await;
    assert_eq!((stored.read_seq, stored.read_mno), (sent.seq, 1));
    assert_eq!(stored.delivered_seq, sent.seq);
    assert_eq!(house.counts(1).await, (0, 0));
    assert_eq!(house.counts(2).await, (1, 0));
}

#[tokio::test]
async fn an_own_mark_goes_with_the_next_flush() {
    let house = super::talk(Limits::default()).await;
    house.settled().await;
    // Nobody looks after this one, so no timer can be what flushes it.
    house.own.add(house.conversation, user(3), at(4));
    let before = house.switch.count(Operation::Raise);
    assert_eq!(house.read(2, 2).await, Ok(2));
    assert_eq!(house.stored(3).await, at(4));
    assert_eq!(house.switch.count(Operation::Raise), before + 1);
}

#[tokio::test]
async fn an_own_mark_that_could_not_be_written_is_written_later() {
    let house = House::of(2, Limits::default()).await;
    house.switch.fail_next(Operation::Raise, Fault::Unavailable);
    house
        .switch
        .fail_next(Operation::Raise, Fault::UnknownNotPerformed);
    house.say(1, &[]).await;
    house.settled().await;
    assert_eq!(house.stored(1).await.read_seq, 2);
    assert_eq!(house.switch.count(Operation::Raise), 3);
}

#[tokio::test]
async fn own_marks_outlive_the_actor() {
    let house = House::of(2, Limits::default()).await;
    let failed = house.marks.fail();
    house.say(1, &[]).await;
    assert_eq!(house.counts(1).await, (0, 0));
    until("another actor", || house.marks.actor() != failed).await;
    house.settled().await;
    assert_eq!(house.stored(1).await.read_seq, 2);
}

#[tokio::test]
async fn what_waits_is_part_of_every_answer() {
    let (conversation, limits) = (ConversationId::from_bytes([3; 16]), Limits::default());
    let stored = Memory::new().ports().marks;
    let own = OwnMarks::over(stored.clone(), &limits);
    let read = |n, seq| MarkWrite {
        conversation,
        user: user(n),
        mark: Mark::Read {
            seq,
            mno: seq + 100,
            ano: seq + 200,
        },
    };
    own.raise(vec![read(1, 5), read(3, 5)]).await.unwrap();
    assert_eq!(own.add(conversation, user(1), at(7)), Wake::Later);
    assert_eq!(own.add(conversation, user(1), at(6)), Wake::Nobody);
    own.add(conversation, user(2), at(4));
    own.add(conversation, user(3), at(2));
    assert_eq!(own.marks(conversation, user(1)).await.unwrap(), at(7));
    let third = Marks {
        delivered_seq: 2,
        ..at(5)
    };
    let page = own.marks_of(conversation, None, 10).await.unwrap();
    let all = vec![(user(1), at(7)), (user(2), at(4)), (user(3), third)];
    assert_eq!(page, all);
    let page = own.marks_of(conversation, Some(user(1)), 1).await.unwrap();
    assert_eq!(page, all[1..2]);

    let some = own.some(10);
    assert_eq!(some.len(), 3);
    own.add(conversation, user(2), at(9));
    own.flushed(&some);
    assert!(!own.is_empty(), "what rose meanwhile waits on");
    assert_eq!(own.marks(conversation, user(2)).await.unwrap(), at(9));
    own.flushed(&own.some(10));
    assert!(own.is_empty());
}

#[tokio::test]
async fn a_busy_conversation_does_not_wait_for_the_timer() {
    let (conversation, limits) = (ConversationId::from_bytes([3; 16]), Limits::default());
    let own = OwnMarks::over(Memory::new().ports().marks, &limits);
    let wakes: Vec<Wake> = (1..=OWN_MARKS_MESSAGES * 2)
        .map(|seq| own.add(conversation, user(1), at(seq)))
        .collect();
    let now = wakes.iter().filter(|wake| **wake == Wake::Now).count();
    assert_eq!((wakes[0], now), (Wake::Later, 1));
    assert_eq!(wakes[OWN_MARKS_MESSAGES as usize - 1], Wake::Now);
}

#[tokio::test]
async fn no_more_wait_than_may() {
    let limits = Limits {
        marks_waiting_max: 2,
        ..Limits::default()
    };
    let conversation = ConversationId::from_bytes([3; 16]);
    let own = OwnMarks::over(Memory::new().ports().marks, &limits);
    for n in 1..=3 {
        own.add(conversation, user(n), at(1));
    }
    own.add(conversation, user(2), at(8));
    assert_eq!(own.some(10).len(), 2);
    assert_eq!(own.marks(conversation, user(2)).await.unwrap(), at(8));
    assert_eq!(
        own.marks(conversation, user(3)).await.unwrap(),
        Marks::default()
    );
}
