//! A store without the larger atomicity of ours: every cell is written by
//! itself, and it dies between any two of them. Whatever is repeated then
//! ends where it would have ended undisturbed.
use std::ops::{Bound, ControlFlow};
use std::sync::Arc;

use bytes::Bytes;
use fanfare_engine::effect::{Effect, Effects, Set};
use fanfare_engine::member::{Marks, MemberRow};
use fanfare_engine::port::{
    Claim, ClaimRow, Log, Mark, MarkWrite, MarksPort, Members, Names, Order, PortFuture, RowRange,
    Scope, StoreError,
};
use fanfare_engine::row::LogRow;
use fanfare_protocol::conversation::Role;
use fanfare_protocol::participant::MemberState;
use fanfare_protocol::{ConversationId, Timestamp, UserId};
use parking_lot::Mutex;

use crate::cells::memory::MemoryCells;
use crate::cells::{Cells, Change, Job, Range, Work};
use crate::tables::Tables;

/// Performs a number of cell writes, then dies.
struct Steps {
    inner: Arc<dyn Cells>,
    left: Mutex<usize>,
}

impl Steps {
    fn step(&self) -> Result<(), StoreError> {
        let mut left = self.left.lock();
        *left = left
            .checked_sub(1)
            .ok_or_else(|| StoreError::OutcomeUnknown("planted".into()))?;
        Ok(())
    }
}

impl Cells for Steps {
    fn commit(&self, work: Work) -> PortFuture<'_, ()> {
        Box::pin(async move {
            match work {
                Work::Write(writes) => {
                    for write in writes {
                        self.step()?;
                        self.inner.write(vec![write]).await?;
                    }
                }
                Work::Decide { keys, decision } => {
                    let read = move |values: &[Option<Bytes>]| {
                        let changes = decision(values)?;
                        Ok((vec![Change::Keep; changes.len()], changes))
                    };
                    let changes = self.inner.decide(keys.clone(), read).await?;
                    for (key, change) in keys.into_iter().zip(changes) {
                        self.step()?;
                        let decide = move |_: Option<&Bytes>| Ok((change, ()));
                        self.inner.decide_one(key, decide).await?;
                    }
                }
            }
            Ok(())
        })
    }

    fn read(&self, job: Job) -> PortFuture<'_, ()> {
        self.inner.read(job)
    }

    fn ready(&self) -> Result<(), String> {
        Ok(())
    }
}

fn store() -> (Tables, Arc<Steps>) {
    let steps = Arc::new(Steps {
        inner: Arc::new(MemoryCells::default()),
        left: Mutex::new(usize::MAX),
    });
    (Tables::new(steps.clone()), steps)
}

async fn all_cells(tables: &Tables) -> Vec<(Vec<u8>, Vec<u8>)> {
    let range = Range {
        from: Bound::Unbounded,
        to: Bound::Unbounded,
        order: Order::Ascending,
    };
    let read = move |view: &dyn crate::cells::View| {
        let mut cells = Vec::new();
        view.scan(range, &mut |key, cell| {
            cells.push((key.to_vec(), cell.to_vec()));
            Ok(ControlFlow::Continue(()))
        })?;
        Ok(cells)
    };
    tables.cells.fetch(read).await.unwrap()
}

/// Runs `operation` on a prepared store undisturbed, then dying after every
/// number of steps and repeated, and compares every byte. Returns how many
/// steps it has.
async fn survives(
    prepare: impl AsyncFn(&Tables),
    operation: impl AsyncFn(&Tables) -> Result<(), StoreError>,
) -> usize {
    let (undisturbed, _) = store();
    prepare(&undisturbed).await;
    operation(&undisturbed).await.unwrap();
    let expected = all_cells(&undisturbed).await;
    for steps_done in 0.. {
        let (tables, steps) = store();
        prepare(&tables).await;
        *steps.left.lock() = steps_done;
        let outcome = operation(&tables).await;
        *steps.left.lock() = usize::MAX;
        read_everything(&tables).await;
        operation(&tables).await.unwrap();
        assert_eq!(all_cells(&tables).await, expected, "after {steps_done}");
        if outcome.is_ok() {
            return steps_done;
        }
    }
    unreachable!("an operation has an end")
}

/// What is there in part can be read.
async fn read_everything(tables: &Tables) {
    let everything = RowRange {
        conversation: ROOM,
        from: 0,
        to: u64::MAX,
        limit: usize::MAX,
        order: Order::Ascending,
    };
    let rows = tables.rows(everything).await.unwrap();
    assert!(rows.iter().all(|row| !row.entry.is_empty()));
    tables.members_of(ROOM, None, 9).await.unwrap();
    tables.conversations_of(ALICE, None, 9).await.unwrap();
    tables.marks_of(ROOM, None, 9).await.unwrap();
}

const ROOM: ConversationId = ConversationId(uuid::Uuid::from_u128(7));
const ALICE: UserId = UserId(uuid::Uuid::from_u128(1));

fn rows(epoch: u64) -> Arc<[LogRow]> {
    let row = |seq| LogRow {
        conversation: ROOM,
        seq,
        epoch: 1,
        mno: seq,
        ano: 0,
        key: None,
        request: None,
        entry: Bytes::from_static(b"entry"),
        state: Bytes::from_static(if epoch > 1 { b"state" } else { b"" }),
    };
    (1..=3).map(row).collect()
}

fn effects(epoch: u64) -> Arc<Effects> {
    let member = MemberRow {
        role: Role::Member,
        state: MemberState::Active,
        joined_at: Timestamp(1),
        from_seq: 1,
        changed_seq: 4,
        joined_mno: 0,
        joined_seq: 1,
        joined_ano: 0,
    };
    let left = MemberRow {
        state: MemberState::Left,
        ..member
    };
    let set = |row| Set::Member { user: ALICE, row };
    let mention = |on| Set::Mention {
        user: ALICE,
        message: 1,
        on,
    };
    let marks = Marks {
        read_seq: 3,
        read_mno: 3,
        read_ano: 0,
        delivered_seq: 3,
    };
    let emptied = Bytes::from_static(b"emptied");
    let list = vec![
        (4, set(member)),
        (4, mention(true)),
        (
            5,
            Set::State {
                target: 1,
                state: Bytes::from_static(b"edited"),
            },
        ),
        (5, mention(false)),
        (
            6,
            Set::Emptied {
                target: 2,
                entry: emptied,
            },
        ),
        (7, Set::Mark { user: ALICE, marks }),
        (8, set(left)),
    ];
    let list = list.into_iter().map(|(seq, set)| Effect { seq, set });
    Arc::new(Effects {
        conversation: ROOM,
        epoch,
        list: list.collect(),
    })
}

#[tokio::test]
async fn an_append_that_stopped_halfway_is_repeated() {
    let steps = survives(async |_| {}, async |tables| tables.append(1, rows(1)).await).await;
    assert_eq!(steps, 3);
    // The redo of a takeover, with the states it read.
    let prepare = async |tables: &Tables| {
        tables.append(1, rows(1)).await.unwrap();
        tables.apply(effects(1)).await.unwrap();
    };
    let steps = survives(prepare, async |tables| tables.append(2, rows(2)).await).await;
    assert_eq!(steps, 6);
}

#[tokio::test]
async fn effects_that_stopped_halfway_are_repeated() {
    let prepare = async |tables: &Tables| tables.append(1, rows(1)).await.unwrap();
    let steps = survives(prepare, async |tables| tables.apply(effects(1)).await).await;
    assert_eq!(steps, 10);
    // Repeated by the next owner, under its own epoch.
    let halfway = async |tables: &Tables| {
        prepare(tables).await;
        let mut some = Effects::clone(&effects(1));
        some.list.truncate(4);
        tables.apply(Arc::new(some)).await.unwrap();
    };
    survives(halfway, async |tables| tables.apply(effects(2)).await).await;
}

#[tokio::test]
async fn marks_that_stopped_halfway_are_repeated() {
    let write = |mark| MarkWrite {
        conversation: ROOM,
        user: ALICE,
        mark,
    };
    let writes = || {
        let read = Mark::Read {
            seq: 9,
            mno: 9,
            ano: 1,
        };
        vec![write(read), write(Mark::Delivered { seq: 9 })]
    };
    let steps = survives(async |_| {}, async |tables| tables.raise(writes()).await).await;
    assert_eq!(steps, 2);
}

#[tokio::test]
async fn a_claim_that_stopped_halfway_is_repeated() {
    let claim = |name: &str, end| Claim {
        scope: Scope::Request,
        name: name.into(),
        row: ClaimRow {
            owner: [1; 16],
            intent: Bytes::from_static(b"intent"),
            expires_at: Some(Timestamp(end)),
        },
    };
    // Two that ended stand there to be cleared away.
    let prepare = async |tables: &Tables| {
        for name in ["one", "two"] {
            let old = tables.claim(claim(name, 10), Timestamp(1));
            old.await.unwrap();
        }
    };
    let operation = async |tables: &Tables| {
        let claimed = tables.claim(claim("three", 99), Timestamp(50)).await;
        claimed.map(drop)
    };
    let steps = survives(prepare, operation).await;
    assert_eq!(steps, 6);
}
