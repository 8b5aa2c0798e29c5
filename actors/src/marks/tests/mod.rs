//! Marks over real rooms and a store that fails on command.

pub(crate) mod house;
mod own;
mod status;

use fanfare_engine::member::MemberRow;
use fanfare_protocol::mark::MarkKind;
use fanfare_protocol::{Code, ConversationId, Limits};
use fanfare_storage::dying::{Fault, Operation};
use house::{House, until};

/// A group of three with four messages: seq 1 created it, 2 to 5 are Alice's.
async fn talk(limits: Limits) -> House {
    let house = House::of(3, limits).await;
    for _ in 0..4 {
        house.say(1, &[]).await;
    }
    house.settled().await;
    house
}

#[tokio::test]
async fn marks_only_rise_and_are_answered_as_they_stand() {
    let house = talk(Limits::default()).await;
    assert_eq!(house.read(2, 4).await, Ok(4));
    assert_eq!(house.read(2, 3).await, Ok(4));
    assert_eq!(house.read(2, 5).await, Ok(5));
    assert_eq!(house.delivered(2, 2).await, Ok(2), "marks of their own");
    let stored = house.stored(2).await;
    assert_eq!((stored.read_seq, stored.read_mno), (5, 4));
    assert_eq!(stored.delivered_seq, 2);
    assert_eq!(house.stored(3).await.read_seq, 0, "nobody else's");
}

#[tokio::test]
async fn a_mark_is_clamped_to_what_is_there_and_may_be_seen() {
    let house = talk(Limits::default()).await;
    assert_eq!(house.read(2, u64::MAX).await, Ok(5));
    let stored = house.stored(2).await;
    assert_eq!(
        (stored.read_seq, stored.read_mno, stored.read_ano),
        (5, 4, 0)
    );
    // Between: the numbers are those of the row.
    assert_eq!(house.read(3, 3).await, Ok(3));
    let stored = house.stored(3).await;
    assert_eq!((stored.read_seq, stored.read_mno), (3, 2));

    let late = MemberRow {
        from_seq: 5,
        joined_seq: 1,
        ..house.member(3).await
    };
    let ask = |seq| house.ask_as(4, late, MarkKind::Delivered, seq);
    assert_eq!(ask(3).await.unwrap(), Ok(0), "below what they may see");
    assert_eq!(house.stored(4).await.delivered_seq, 0);
    assert_eq!(ask(4).await.unwrap(), Ok(4), "nothing of what they see");
    let added = MemberRow {
        joined_seq: 4,
        ..late
    };
    let answer = house.ask_as(4, added, MarkKind::Read, 2).await;
    assert_eq!(answer.unwrap(), Ok(4), "read up to where they were added");
}

#[tokio::test]
async fn an_unknown_conversation_is_not_found() {
    let mut house = talk(Limits::default()).await;
    let member = house.member(2).await;
    house.conversation = ConversationId::from_bytes([1; 16]);
    let answer = house.ask_as(2, member, MarkKind::Read, 3).await.unwrap();
    assert_eq!(answer.unwrap_err().code, Code::NotFound);
}

#[tokio::test]
async fn an_answer_waits_for_its_flush_and_the_next_takes_what_gathered() {
    let house = talk(Limits::default()).await;
    let flushes = || house.switch.count(Operation::Raise);
    let before = flushes();
    house.switch.fail_next(Operation::Raise, Fault::Hang);
    let mut first = house.ask(2, MarkKind::Read, 2).await;
    until("a flush in flight", || house.switch.hanging() == 1).await;
    let mut waiting = Vec::new();
    for (n, kind) in [
        (2, MarkKind::Read),
        (3, MarkKind::Read),
        (3, MarkKind::Delivered),
    ] {
        for seq in [3, 5, 4] {
            waiting.push(house.ask(n, kind, seq).await);
        }
    }
    // One lookup at a time: when these are answered, those are looked up.
    for _ in 0..2 {
        assert_eq!(house.read(1, 0).await, Ok(5));
    }
    assert!(first.try_recv().is_err(), "answered before its flush");
    assert!(waiting.iter_mut().all(|answer| answer.try_recv().is_err()));
    assert_eq!(flushes(), before + 1);
    house.switch.release();
    assert!(matches!(first.await.unwrap(), Ok(2 | 5)));
    for answer in waiting {
        assert_eq!(answer.await.unwrap(), Ok(5), "the highest of the flush");
    }
    assert_eq!(flushes(), before + 2);
    assert_eq!(house.stored(3).await.read_mno, 4);
}

#[tokio::test]
async fn rows_are_read_once_for_all_and_not_at_all_for_the_head() {
    let house = talk(Limits::default()).await;
    let reads = || house.switch.count(Operation::Rows);
    let before = reads();
    assert_eq!(house.read(2, 5).await, Ok(5));
    assert_eq!(house.delivered(3, 3).await, Ok(3));
    assert_eq!(reads(), before);
    // Three lookups at most: the first wish, those gathered meanwhile.
    let (second, third) = (house.member(2).await, house.member(3).await);
    let asked: Vec<_> = (0..40)
        .map(|n| match n % 2 {
            0 => house.ask_as(2, second, MarkKind::Read, 3),
            _ => house.ask_as(3, third, MarkKind::Read, 3),
        })
        .collect();
    for answer in asked {
        assert!(answer.await.unwrap().is_ok());
    }
    assert!(reads() <= before + 3, "{} reads", reads() - before);
}

#[tokio::test]
async fn what_the_store_refuses_is_refused_and_the_next_is_not() {
    let house = talk(Limits::default()).await;
    let table = [
        (Operation::Raise, Fault::Unavailable, Code::Unavailable),
        (Operation::Raise, Fault::Overloaded, Code::Overloaded),
        (
            Operation::Raise,
            Fault::UnknownNotPerformed,
            Code::OutcomeUnknown,
        ),
        (Operation::Marks, Fault::Unavailable, Code::Unavailable),
        (Operation::Rows, Fault::Unavailable, Code::Unavailable),
    ];
    for (operation, fault, code) in table {
        house.switch.fail_next(operation, fault);
        let refused = house.read(2, 3).await.unwrap_err();
        assert_eq!(refused.code, code, "{operation:?} {fault:?}");
        assert_eq!(house.stored(2).await.read_seq, 0);
    }
    assert_eq!(house.read(2, 3).await, Ok(3));
    house
        .switch
        .fail_next(Operation::Raise, Fault::UnknownPerformed);
    assert_eq!(
        house.read(2, 4).await.unwrap_err().code,
        Code::OutcomeUnknown
    );
    assert_eq!(house.read(2, 4).await, Ok(4));
}

#[tokio::test]
async fn more_than_may_wait_is_overloaded() {
    let limits = Limits {
        marks_waiting_max: 2,
        ..Limits::default()
    };
    let house = talk(limits).await;
    house.switch.fail_next(Operation::Raise, Fault::Hang);
    let first = house.ask(2, MarkKind::Read, 3).await;
    until("a flush in flight", || house.switch.hanging() == 1).await;
    let second = house.ask(3, MarkKind::Read, 3).await;
    let third = house.read(3, 4).await.unwrap_err();
    assert_eq!(third.code, Code::Overloaded);
    assert!(third.retry_after_ms.is_some());
    house.switch.release();
    assert_eq!(first.await.unwrap(), Ok(3));
    assert_eq!(second.await.unwrap(), Ok(3));
    assert_eq!(house.read(3, 4).await, Ok(4));
}

#[tokio::test]
async fn whoever_waits_is_answered_when_the_actor_fails_and_another_goes_on() {
    let house = talk(Limits::default()).await;
    house.switch.fail_next(Operation::Raise, Fault::Hang);
    let hanging = house.ask(2, MarkKind::Read, 3).await;
    until("a flush in flight", || house.switch.hanging() == 1).await;
    let gathered = house.ask(3, MarkKind::Read, 3).await;
    let failed = house.marks.fail();
    let refused = gathered.await.unwrap().unwrap_err();
    assert_eq!(refused.code, Code::OutcomeUnknown);
    until("another actor", || house.marks.actor() != failed).await;
    assert_eq!(house.read(3, 4).await, Ok(4));
    house.switch.release();
    assert_eq!(hanging.await.unwrap(), Ok(3), "a flush outlives its actor");
}
