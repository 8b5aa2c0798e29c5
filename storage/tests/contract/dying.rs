//! The dying wrapper fails as it is told.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fanfare_engine::effect::Set;
use fanfare_engine::port::StoreError;
use fanfare_protocol::Timestamp;
use fanfare_storage::dying::{self, Fault, Operation, Switch};
use fanfare_storage::{Memory, Ports};

use crate::build::{all_rows, conversation, effects, rows};

fn dying_store() -> (Memory, Ports, Arc<Switch>) {
    let store = Memory::new();
    let (ports, switch) = dying::wrap(store.ports());
    (store, ports, switch)
}

async fn stored(store: &Memory) -> usize {
    all_rows(&*store.ports().log, conversation(7)).await.len()
}

#[tokio::test]
async fn an_append_fails_in_each_way() {
    let ways = [
        (Fault::Unavailable, 0, false),
        (Fault::Overloaded, 0, false),
        (Fault::UnknownNotPerformed, 0, true),
        (Fault::UnknownPartly(2), 2, true),
        (Fault::UnknownPartly(9), 3, true),
        (Fault::UnknownPerformed, 3, true),
    ];
    for (fault, expected, unknown) in ways {
        let (store, ports, switch) = dying_store();
        switch.fail_next(Operation::Append, fault);
        let append = || ports.log.append(1, rows(conversation(7), 1..=3, 1));
        let error = append().await.unwrap_err();
        assert_eq!(error.may_have_happened(), unknown, "{fault:?}");
        assert_eq!(stored(&store).await, expected, "{fault:?}");
        append().await.unwrap();
        assert_eq!(stored(&store).await, 3);
        assert_eq!(switch.count(Operation::Append), 2);
    }
}

#[tokio::test]
async fn it_dies_at_the_operation_named_and_comes_back() {
    let (store, ports, switch) = dying_store();
    let append = |seq| ports.log.append(1, rows(conversation(7), seq..=seq, 1));
    switch.die_at(3, Fault::UnknownPerformed);
    append(1).await.unwrap();
    ports.log.head(conversation(7)).await.unwrap();
    assert!(append(2).await.unwrap_err().may_have_happened());
    assert!(switch.is_dead() && ports.readiness.ready().is_err());
    let refused = append(3).await.unwrap_err();
    assert!(matches!(refused, StoreError::Unavailable(_)));
    let read = ports.log.head(conversation(7)).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))));
    assert_eq!((stored(&store).await, switch.operations()), (2, 5));
    switch.revive();
    append(3).await.unwrap();
    assert_eq!(ports.readiness.ready(), Ok(()));
    // A read has no outcome that could be unknown.
    switch.fail_next(Operation::Head, Fault::UnknownPerformed);
    let read = ports.log.head(conversation(7)).await;
    assert!(matches!(read, Err(StoreError::Unavailable(_))));
}

#[tokio::test]
async fn an_operation_hangs_until_released() {
    let (store, ports, switch) = dying_store();
    let hung = async |switch: &Switch| {
        let deadline = Instant::now() + Duration::from_secs(5);
        while switch.hanging() == 0 {
            assert!(Instant::now() < deadline, "it never hung");
            tokio::task::yield_now().await;
        }
    };
    for dies in [false, true] {
        switch.fail_next(Operation::Append, Fault::Hang);
        let log = ports.log.clone();
        let seq = if dies { 2 } else { 1 };
        let rows = rows(conversation(7), seq..=seq, 1);
        let append = tokio::spawn(async move { log.append(1, rows).await });
        hung(&switch).await;
        assert_eq!(stored(&store).await, usize::from(dies));
        if dies {
            switch.die();
        }
        switch.release();
        let outcome = append.await.unwrap();
        assert_eq!(outcome.is_err_and(|e| e.may_have_happened()), dies);
        assert_eq!((stored(&store).await, switch.hanging()), (1, 0));
    }
}

#[tokio::test]
async fn effects_may_happen_in_part() {
    let (store, ports, switch) = dying_store();
    let room = conversation(7);
    let live = ports.log.put_live(1, 3, room, Timestamp(1));
    live.await.unwrap();
    ports.log.append(1, rows(room, 1..=2, 1)).await.unwrap();
    let state = |target| Set::State {
        target,
        state: "edited".into(),
    };
    let both = effects(room, 1, vec![(3, state(1)), (4, state(2))]);
    switch.fail_next(Operation::Apply, Fault::UnknownPartly(1));
    assert!(ports.log.apply(both.clone()).await.is_err());
    let edited = async || {
        let rows = all_rows(&*store.ports().log, room).await;
        rows.iter().filter(|row| !row.state.is_empty()).count()
    };
    assert_eq!(edited().await, 1);
    ports.log.apply(both).await.unwrap();
    assert_eq!(edited().await, 2);
}
