use std::collections::BTreeMap;
use std::sync::Arc;

use super::*;
use crate::cells::Write;
use crate::cells::cell::Column;
use crate::cells::key::{Table, key};
use crate::cells::{Change, Decision};
use fanfare_engine::stamp::Stamp;

/// A disk whose commits can be made to fail, with or without having written.
#[derive(Default)]
struct Plate {
    cells: BTreeMap<Key, Bytes>,
    commits: usize,
    fails: Option<&'static str>,
    panics: bool,
    is_ill: bool,
}

impl Disk for Plate {
    fn get(&self, key: &[u8]) -> Result<Option<Bytes>, StoreError> {
        Ok(self.cells.get(key).cloned())
    }

    fn commit(&mut self, changes: Vec<(Key, Option<Bytes>)>) -> Result<(), String> {
        assert!(!self.panics, "planted");
        self.commits += 1;
        if let Some(failure) = self.fails {
            return Err(failure.into());
        }
        for (key, value) in changes {
            match value {
                Some(value) => self.cells.insert(key, value),
                None => self.cells.remove(&key),
            };
        }
        Ok(())
    }

    fn probe(&mut self) -> Result<(), String> {
        if self.is_ill {
            Err("ill".into())
        } else {
            Ok(())
        }
    }
}

type Outcome = oneshot::Receiver<Result<(), StoreError>>;

fn request(work: Work) -> (Request, Outcome) {
    let (reply, outcome) = oneshot::channel();
    (Request { work, reply }, outcome)
}

fn put(seq: u64) -> Work {
    Work::Write(vec![Write::Put {
        key: key(Table::Head, &[b"one"]),
        columns: vec![Column {
            id: 0,
            stamp: Stamp::new(1, seq),
            value: seq.to_be_bytes().to_vec().into(),
        }],
    }])
}

fn keep() -> Work {
    let decision: Decision = Box::new(|_| Ok(vec![Change::Keep]));
    Work::Decide {
        keys: vec![key(Table::Claims, &[b"name"])],
        decision,
    }
}

fn seen(mut outcome: Outcome) -> Result<(), StoreError> {
    outcome.try_recv().unwrap()
}

fn queue_of(works: Vec<Work>) -> (Arc<Queue<Request>>, Vec<Outcome>) {
    let queue = Arc::new(Queue::new(100, 1 << 20));
    let outcomes = works
        .into_iter()
        .map(|work| {
            let (request, outcome) = request(work);
            queue.push(1, request).unwrap();
            outcome
        })
        .collect();
    (queue, outcomes)
}

#[test]
fn what_waits_goes_into_one_batch_and_the_latest_wins() {
    let (queue, outcomes) = queue_of(vec![put(2), put(3), put(1), keep()]);
    queue.close();
    let health = Arc::new(Health::new());
    let mut plate = Plate::default();
    run(&queue, &health, &mut plate);
    assert_eq!(plate.commits, 1);
    assert!(outcomes.into_iter().all(|outcome| seen(outcome).is_ok()));
    let cell = plate.cells.values().next().unwrap();
    let stored = crate::cells::cell::column(cell, 0).unwrap().unwrap();
    assert_eq!(stored.value, 3u64.to_be_bytes());
}

#[test]
fn after_a_write_error_everything_is_refused_and_it_is_unready() {
    let (queue, mut outcomes) = queue_of(vec![put(1), keep()]);
    let health = Arc::new(Health::new());
    let mut plate = Plate {
        fails: Some("planted"),
        ..Plate::default()
    };
    let taken =
        |queue: &Queue<Request>| match queue.take(9, 9, Some(Duration::ZERO), || Gather::NOT) {
            Taken::Items(items) => items,
            Taken::Idle | Taken::Closed => Vec::new(),
        };
    commit(taken(&queue), &health, &mut plate);
    assert!(health.check().is_err());
    let decided = seen(outcomes.pop().unwrap());
    assert!(matches!(decided, Err(StoreError::Unavailable(_))));
    let written = seen(outcomes.pop().unwrap());
    assert!(matches!(written, Err(StoreError::OutcomeUnknown(_))));

    plate.fails = None;
    let (later, outcome) = request(put(2));
    queue.push(1, later).unwrap();
    commit(taken(&queue), &health, &mut plate);
    assert!(matches!(seen(outcome), Err(StoreError::Unavailable(_))));
    assert_eq!(plate.commits, 1, "not even tried");
}

#[test]
fn what_rests_on_a_batch_that_failed_is_unknown_too() {
    let name = || key(Table::Claims, &[b"name"]);
    let decide = |change| {
        let decision: Decision = Box::new(move |_| Ok(vec![change]));
        let keys = vec![name()];
        Work::Decide { keys, decision }
    };
    let set = decide(Change::Set("mine".into()));
    // The repeat of a write, and a decision that saw what is not durable.
    let works = vec![put(1), put(1), set, decide(Change::Keep)];
    let (queue, outcomes) = queue_of(works);
    queue.close();
    let mut plate = Plate {
        fails: Some("planted"),
        ..Plate::default()
    };
    run(&queue, &Health::new(), &mut plate);
    for outcome in outcomes {
        let outcome = seen(outcome);
        assert!(matches!(outcome, Err(StoreError::OutcomeUnknown(_))));
    }
}

#[test]
fn when_the_committer_dies_outcomes_in_hand_are_unknown_and_nothing_hangs() {
    let (queue, mut outcomes) = queue_of(vec![put(1)]);
    let health = Arc::new(Health::new());
    let (for_thread, its_health) = (Arc::clone(&queue), Arc::clone(&health));
    let thread = std::thread::spawn(move || {
        let mut plate = Plate {
            panics: true,
            ..Plate::default()
        };
        run(&for_thread, &its_health, &mut plate);
    });
    assert!(thread.join().is_err());
    assert!(outcomes.pop().unwrap().blocking_recv().is_err());
    assert!(health.check().is_err());
    let (late, _outcome) = request(put(2));
    assert!(queue.push(1, late).is_err());
}

#[test]
fn an_error_in_the_background_turns_an_idle_store_unready() {
    let (queue, _) = queue_of(vec![]);
    let health = Arc::new(Health::new());
    let (for_thread, its_health) = (Arc::clone(&queue), Arc::clone(&health));
    let thread = std::thread::spawn(move || {
        let mut plate = Plate {
            is_ill: true,
            ..Plate::default()
        };
        run(&for_thread, &its_health, &mut plate);
    });
    let deadline = Instant::now() + Duration::from_secs(5);
    while health.check().is_ok() {
        assert!(Instant::now() < deadline, "never noticed");
        std::thread::yield_now();
    }
    queue.close();
    thread.join().unwrap();
}

#[test]
fn a_committer_that_does_not_come_back_is_unready() {
    let mut health = Health::new();
    health.busy_since_ms.store(0, Ordering::Relaxed);
    assert!(health.check().is_ok());
    let long_ago = Duration::from_millis(COMMIT_STALLED_MS + 1);
    health.started = Instant::now().checked_sub(long_ago).unwrap();
    assert!(health.check().is_err());
}

#[test]
fn alone_a_request_waits_for_nobody() {
    let (mut pace, now) = (Pace::new(), Instant::now());
    assert_eq!(pace.gather(now), Gather::NOT);
    pace.learn(1, 0, now);
    assert_eq!(pace.gather(now), Gather::NOT);
    // Others were under way, but long ago.
    pace.learn(3, 1, now);
    let later = now + GATHER_MAX + Duration::from_millis(1);
    assert_eq!(pace.gather(later), Gather::NOT);
}

#[test]
fn with_others_under_way_it_waits_for_as_many() {
    let (mut pace, now) = (Pace::new(), Instant::now());
    pace.learn(3, 1, now);
    let gather = pace.gather(now + Duration::from_millis(1));
    assert_eq!((gather.wanted, gather.window), (4, GATHER_MAX));
}
