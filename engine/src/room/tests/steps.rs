//! The six steps of an activation: which come, in which order, with what.

use bytes::Bytes;
use fanfare_protocol::{ConversationId, Timestamp};
use uuid::Uuid;

use crate::room::activation::AdoptError;
use crate::room::steps::{Activation, Did, Step};
use crate::row::{EpochRow, HeadRow, LogRow};

const LOG: ConversationId = ConversationId(Uuid::from_u128(1));
/// Of the activation.
const OWN: u64 = 7;

/// What the store holds: rows as pairs (seq, epoch), epochs as pairs (epoch,
/// first seq; 0: under way), the head row as (seq, clean).
#[derive(Clone, Default)]
struct Store {
    rows: Vec<(u64, u64)>,
    epochs: Vec<(u64, u64)>,
    head: Option<(u64, u64)>,
}

fn store(rows: &[(u64, u64)], epochs: &[(u64, u64)], head: Option<(u64, u64)>) -> Store {
    Store {
        rows: rows.to_vec(),
        epochs: epochs.to_vec(),
        head,
    }
}

impl Store {
    fn tail(&self) -> Vec<LogRow> {
        let row = |&(seq, epoch): &(u64, u64)| LogRow {
            conversation: LOG,
            seq,
            epoch,
            mno: seq,
            ano: 0,
            key: None,
            request: None,
            entry: Bytes::new(),
            state: Bytes::new(),
        };
        self.rows.iter().map(row).collect()
    }

    fn head(&self) -> Option<HeadRow> {
        let (seq, clean) = self.head?;
        let row = self.rows.iter().find(|row| row.0 == seq);
        Some(HeadRow {
            conversation: LOG,
            epoch: row.map_or(3, |row| row.1),
            seq,
            mno: seq,
            ano: 0,
            at: Timestamp(0),
            clean,
        })
    }

    fn epochs(&self) -> Vec<EpochRow> {
        let row = |&(epoch, first): &(u64, u64)| EpochRow {
            conversation: LOG,
            epoch,
            first_seq: (first > 0).then_some(first),
        };
        self.epochs.iter().map(row).collect()
    }

    fn put(&mut self, row: EpochRow) {
        self.epochs.retain(|(epoch, _)| *epoch != row.epoch);
        self.epochs.push((row.epoch, row.first_seq.unwrap_or(0)));
    }

    /// Carries a step out, and says so in a word.
    fn carry_out(&mut self, step: &Step) -> (String, Did) {
        match step {
            Step::ReadEpochs => ("epochs".into(), Did::Epochs(self.epochs())),
            Step::ReadLog => {
                let (head, tail) = (self.head(), self.tail());
                ("log".into(), Did::Log { head, tail })
            }
            Step::PutEpoch(row) => {
                self.put(*row);
                let first = match row.first_seq {
                    None => "null".into(),
                    Some(EpochRow::NEVER) => "never".into(),
                    Some(first) => first.to_string(),
                };
                (format!("put {}={first}", row.epoch), Did::Written)
            }
            Step::WriteAgain(rows) => (said("again", rows), Did::Written),
            Step::RepeatEffects(rows) => (said("effects", rows), Did::Written),
            Step::Serve => panic!("nothing is to be carried out"),
        }
    }
}

fn said(what: &str, rows: &[LogRow]) -> String {
    let seqs: Vec<String> = rows.iter().map(|row| row.seq.to_string()).collect();
    format!("{what} {}", seqs.join(","))
}

/// Runs an activation to its end; what it did, and how it ended.
fn run(mut store: Store) -> (Vec<String>, Result<Activation, AdoptError>) {
    let mut activation = Activation::new(LOG, OWN);
    let mut done = Vec::new();
    loop {
        let step = activation.step();
        if step == Step::Serve {
            return (done, Ok(activation));
        }
        let (word, did) = store.carry_out(&step);
        done.push(word);
        if let Err(error) = activation.did(did) {
            return (done, Err(error));
        }
    }
}

#[test]
fn the_steps_of_each_case() {
    let log = [(1, 3), (2, 3), (3, 5)];
    let table: &[(&str, Store, &[&str])] = &[
        (
            "a new log",
            Store::default(),
            &["epochs", "put 7=null", "log", "epochs", "put 7=1"],
        ),
        (
            "a log that was not left clean",
            store(&log, &[(3, 1), (5, 3)], Some((2, 2))),
            &[
                "epochs",
                "put 7=null",
                "log",
                "epochs",
                "put 5=3",
                "again 1,2,3",
                "effects 1,2,3",
                "put 7=4",
            ],
        ),
        (
            "one that was left clean: neither step 3 nor 4",
            store(&log, &[(3, 1), (5, 3)], Some((3, 3))),
            &[
                "epochs",
                "put 7=null",
                "log",
                "epochs",
                "put 5=3",
                "put 7=4",
            ],
        ),
        (
            "an epoch between that never began is closed",
            store(&log, &[(3, 1), (4, 0), (5, 3), (6, 0)], None),
            &[
                "epochs",
                "put 7=null",
                "log",
                "epochs",
                "put 6=never",
                "put 5=3",
                "again 1,2,3",
                "effects 1,2,3",
                "put 7=4",
            ],
        ),
        (
            "what the newest one that began has pinned is left alone",
            store(&log, &[(3, 1), (4, EpochRow::NEVER), (5, 3)], Some((3, 3))),
            &[
                "epochs",
                "put 7=null",
                "log",
                "epochs",
                "put 5=3",
                "put 7=4",
            ],
        ),
        (
            "interrupted under this epoch before it began: all over again",
            store(&log, &[(3, 1), (5, 3), (7, 0)], None),
            &[
                "epochs",
                "put 7=null",
                "log",
                "epochs",
                "put 5=3",
                "again 1,2,3",
                "effects 1,2,3",
                "put 7=4",
            ],
        ),
        (
            "activated under this epoch before: neither step 1 nor 5, nothing pinned",
            store(&[(1, 3), (2, 7)], &[(3, 1), (7, 2)], None),
            &["epochs", "log", "again 1,2", "effects 1,2"],
        ),
        (
            "the same, and left clean",
            store(&[(1, 3), (2, 7)], &[(3, 1), (7, 2)], Some((2, 2))),
            &["epochs", "log"],
        ),
        (
            "begun under this epoch, and nothing written since",
            store(&[(1, 3)], &[(3, 1), (7, 2)], Some((1, 1))),
            &["epochs", "log"],
        ),
        (
            "rows behind a gap are not written again",
            store(&[(1, 3), (2, 3), (4, 3)], &[(3, 1)], None),
            &[
                "epochs",
                "put 7=null",
                "log",
                "epochs",
                "put 3=1",
                "again 1,2",
                "effects 1,2",
                "put 7=3",
            ],
        ),
    ];
    for (name, store, expected) in table {
        let (done, end) = run(store.clone());
        assert_eq!(done, *expected, "{name}");
        let adopted = end.as_ref().ok().and_then(Activation::adopted);
        assert!(adopted.is_some(), "{name}: {end:?}");
    }
}

#[test]
fn what_may_not_be_served_ends_the_activation() {
    let read: &[&str] = &["epochs", "put 7=null", "log", "epochs"];
    let table: &[(&str, Store, &[&str], AdoptError)] = &[
        (
            "a higher epoch noted itself",
            store(&[(1, 3)], &[(3, 1), (8, 0)], None),
            read,
            AdoptError::EpochAbove(8),
        ),
        (
            "rows of a higher epoch",
            store(&[(1, 3), (2, 9)], &[], None),
            read,
            AdoptError::EpochAbove(9),
        ),
        (
            "a higher epoch after the own one began",
            store(&[(1, 3), (2, 7)], &[(3, 1), (7, 2), (8, 3)], None),
            &["epochs", "log"],
            AdoptError::EpochAbove(8),
        ),
        (
            "less than the head row says",
            store(&[(1, 3)], &[(3, 1)], Some((2, 2))),
            read,
            AdoptError::RowsMissing(2),
        ),
        (
            "less than an epoch began with",
            store(&[(1, 3)], &[(3, 1), (5, 3)], None),
            read,
            AdoptError::RowsMissing(2),
        ),
    ];
    for (name, store, expected, error) in table {
        let (done, end) = run(store.clone());
        assert_eq!(done, *expected, "{name}");
        assert_eq!(end.err(), Some(*error), "{name}");
    }
}

/// What an activation that is dropped leaves behind: from `is_writing` on it
/// may not be.
#[test]
fn it_is_writing_from_the_judgement_to_the_end() {
    let mut store = store(&[(1, 3), (2, 3)], &[(3, 1), (5, 0)], None);
    let mut activation = Activation::new(LOG, OWN);
    let mut seen = Vec::new();
    while activation.step() != Step::Serve {
        let (word, did) = store.carry_out(&activation.step());
        let judged = activation.adopted().is_some();
        assert_eq!(activation.is_writing(), judged, "{word}");
        seen.push((word, judged));
        activation.did(did).unwrap();
    }
    let words = |writing: bool| {
        let of = seen.iter().filter(move |(_, judged)| *judged == writing);
        of.map(|(word, _)| word.as_str()).collect::<Vec<_>>()
    };
    assert_eq!(words(false), ["epochs", "put 7=null", "log", "epochs"]);
    let expected = [
        "put 5=never",
        "put 3=1",
        "again 1,2",
        "effects 1,2",
        "put 7=3",
    ];
    assert_eq!(words(true), expected);
    assert!(!activation.is_writing(), "it serves");
    assert_eq!(activation.adopted().map(|it| it.rows.len()), Some(2));
}

#[test]
fn an_epoch_noted_while_the_log_was_read_is_judged_too() {
    let mut before = store(&[(1, 3), (2, 3)], &[(3, 1)], Some((2, 2)));
    let mut activation = Activation::new(LOG, OWN);
    for expected in ["epochs", "put 7=null", "log"] {
        let (word, did) = before.carry_out(&activation.step());
        assert_eq!(word, expected);
        activation.did(did).unwrap();
    }
    // The one before noted itself now; it has adopted nothing yet.
    before.put(EpochRow {
        conversation: LOG,
        epoch: 6,
        first_seq: None,
    });
    let mut pinned = Vec::new();
    while activation.step() != Step::Serve {
        let (word, did) = before.carry_out(&activation.step());
        pinned.push(word);
        activation.did(did).unwrap();
    }
    assert_eq!(pinned, ["epochs", "put 6=never", "put 3=1", "put 7=3"]);
}

#[test]
fn the_newest_256_rows_are_written_again_with_their_effects() {
    let rows: Vec<(u64, u64)> = (1..=300).map(|seq| (seq, 3)).collect();
    let (done, _) = run(store(&rows, &[(3, 1)], None));
    let seqs: Vec<String> = (45..=300).map(|seq: u64| seq.to_string()).collect();
    let seqs = seqs.join(",");
    assert_eq!(
        done[5..],
        [
            format!("again {seqs}"),
            format!("effects {seqs}"),
            "put 7=301".into()
        ]
    );
}

#[test]
fn an_answer_to_no_step_that_is_due_is_passed_over() {
    let nothing = || Did::Log {
        head: None,
        tail: Vec::new(),
    };
    let mut store = store(&[(1, 3)], &[(3, 1)], None);
    let mut activation = Activation::new(LOG, OWN);
    while activation.step() != Step::Serve {
        let step = activation.step();
        let others = [Did::Written, nothing(), Did::Epochs(Vec::new())];
        for other in others {
            let answers = matches!(
                (&step, &other),
                (Step::ReadEpochs, Did::Epochs(_)) | (Step::ReadLog, Did::Log { .. })
            );
            let write = !matches!(step, Step::ReadEpochs | Step::ReadLog);
            if answers || (write && matches!(other, Did::Written)) {
                continue;
            }
            activation.did(other).unwrap();
            assert_eq!(activation.step(), step);
        }
        let (_, did) = store.carry_out(&step);
        activation.did(did).unwrap();
    }
    activation.did(Did::Written).unwrap();
    assert_eq!(activation.step(), Step::Serve);
}
