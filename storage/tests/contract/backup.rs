//! Backups: taken in use, checked, restored; cut and flipped ones refused.

use std::io::{Cursor, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use fanfare_engine::row::LogRow;
use fanfare_protocol::{Limits, Timestamp};
use fanfare_storage::backup::{BackupError, Passed, Totals, restore, verify};
use fanfare_storage::{Embedded, OpenError};

use crate::build::{all_rows, conversation, row};

/// A writer whose bytes can be looked at.
#[derive(Clone, Default)]
struct Shared(Arc<Mutex<Vec<u8>>>);

impl Write for Shared {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn open(folder: &Path) -> Embedded {
    Embedded::open(folder, &Limits::default()).unwrap()
}

async fn taken(store: &Embedded) -> (Vec<u8>, Totals) {
    let out = Shared::default();
    let taking = store.backups();
    let totals = taking.take(out.clone(), Timestamp(7), "1.2.3".into()).await;
    (out.0.lock().unwrap().clone(), totals.unwrap())
}

async fn append(store: &Embedded, from: u64, count: u64) {
    let rows: Arc<[LogRow]> = (from..from + count)
        .map(|seq| {
            let entry = Bytes::from(vec![b'x'; 3000]);
            let mno = seq - 1;
            LogRow {
                entry,
                mno,
                ..row(conversation(1), seq, 1)
            }
        })
        .collect();
    store.ports().log.append(1, rows).await.unwrap();
}

async fn rows_of(store: &Embedded) -> Vec<LogRow> {
    all_rows(store.ports().log.as_ref(), conversation(1)).await
}

fn quiet(_: bool, _: Passed) {}

#[tokio::test(flavor = "multi_thread")]
async fn a_restored_folder_holds_what_was_there() {
    let here = tempfile::tempdir().unwrap();
    let store = open(&here.path().join("a"));
    let secret = store.data_secret([7; 32]).await.unwrap();
    assert_eq!(store.ports().sole.unwrap().claim_slots().await.unwrap(), 1);
    // More than one block.
    append(&store, 1, 200).await;
    let (bytes, totals) = taken(&store).await;
    assert_eq!((totals.messages, totals.conversations), (199, 1));
    append(&store, 201, 1).await;
    let before = rows_of(&store).await;

    let file = here.path().join("file");
    std::fs::write(&file, &bytes).unwrap();
    let folder = here.path().join("b");
    let mut far = Vec::new();
    let mut watched = |writing, passed: Passed| far.push((writing, passed));
    let restored = restore(&file, &folder, &Limits::default(), 1000, &mut watched).unwrap();
    assert_eq!((restored.totals, restored.epoch), (totals, 1001));
    // How far it is: about, while it is checked, and not by too much; then exactly.
    let cells = totals.cells;
    let checked = far.iter().filter(|(writing, _)| !writing);
    assert!(
        checked.clone().count() > 1
            && checked
                .clone()
                .all(|(_, it)| (cells..2 * cells).contains(&it.cells_all)),
        "{far:?} of {cells}"
    );
    let (writing, passed) = *far.last().unwrap();
    assert!(writing && passed.totals == totals && passed.cells_all == cells);
    assert_eq!(restored.header.created_at, Timestamp(7));
    let again = open(&folder);
    let after = rows_of(&again).await;
    assert_eq!(after[..], before[..200]);
    let kept = again.data_secret([8; 32]).await.unwrap();
    assert_eq!(kept.hash(&[b"x"]), secret.hash(&[b"x"]));
    assert_eq!(
        again.ports().sole.unwrap().claim_slots().await.unwrap(),
        1002
    );
    append(&again, 201, 1).await;
    again.close();
    let once_more = open(&folder);
    assert_eq!(rows_of(&once_more).await.len(), 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_is_of_one_moment_and_ends_with_who_takes_it() {
    let here = tempfile::tempdir().unwrap();
    let store = open(here.path());
    append(&store, 1, 200).await;
    let (out, source) = std::io::pipe().map(|(from, to)| (to, from)).unwrap();
    let backups = store.backups();
    let taking = tokio::spawn(async move { backups.take(out, Timestamp(0), String::new()).await });
    // It has begun once something can be read.
    let mut source = source;
    let mut first = [0];
    std::io::Read::read_exact(&mut source, &mut first).unwrap();
    append(&store, 201, 50).await;
    let rest = std::io::Read::chain(&first[..], &mut source);
    let (_, totals) = verify(rest, &mut |_| {}).unwrap();
    assert_eq!(totals.messages, 199);
    assert_eq!(taking.await.unwrap().unwrap(), totals);

    // Nobody takes it any more: the store ends nonetheless.
    let (source, out) = std::io::pipe().unwrap();
    let backups = store.backups();
    let taking = tokio::spawn(async move { backups.take(out, Timestamp(0), String::new()).await });
    drop(source);
    assert!(matches!(taking.await.unwrap(), Err(BackupError::Io { .. })));
    store.close();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_backup_is_refused_and_leaves_no_data() {
    let here = tempfile::tempdir().unwrap();
    let store = open(&here.path().join("a"));
    append(&store, 1, 3).await;
    let (bytes, _) = taken(&store).await;
    let check = |bytes: &[u8]| verify(Cursor::new(bytes), &mut |_| {}).map(drop);
    check(&bytes).unwrap();
    for end in 0..bytes.len() {
        assert!(check(&bytes[..end]).is_err(), "cut at {end}");
    }
    for at in 0..bytes.len() {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1;
        assert!(check(&flipped).is_err(), "flipped at {at}");
    }
    assert!(check(&[&bytes[..], b"x"].concat()).is_err());
    let newer = [b"fanfare backup, format 2\n", &bytes[25..]].concat();
    assert!(matches!(
        check(&newer),
        Err(BackupError::Newer { found: 2, .. })
    ));
    assert!(matches!(check(b"PK\x03\x04"), Err(BackupError::Foreign)));

    let file = here.path().join("file");
    std::fs::write(&file, &bytes[..bytes.len() - 1]).unwrap();
    let folder = here.path().join("b");
    let refused = restore(&file, &folder, &Limits::default(), 1, &mut quiet);
    assert!(matches!(refused, Err(BackupError::Damaged { .. })));
    assert!(!folder.exists(), "it was looked at first");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_empty_folder_is_restored_into() {
    let here = tempfile::tempdir().unwrap();
    let store = open(&here.path().join("a"));
    append(&store, 1, 3).await;
    let (bytes, totals) = taken(&store).await;
    let file = here.path().join("file");
    std::fs::write(&file, &bytes).unwrap();
    let into = |folder: &Path| restore(&file, folder, &Limits::default(), 1, &mut quiet);
    let full = here.path().join("full");
    std::fs::create_dir(&full).unwrap();
    std::fs::write(full.join("mine"), "x").unwrap();
    for folder in [&full, &here.path().join("a")] {
        assert!(matches!(into(folder), Err(BackupError::NotEmpty(_))));
    }
    // What a restore leaves that was killed in the middle is never opened,
    // and may be restored into again.
    let half = here.path().join("half");
    std::fs::create_dir_all(half.join("cells")).unwrap();
    std::fs::write(half.join("cells/rubbish"), "x").unwrap();
    std::fs::write(half.join("restoring"), "").unwrap();
    let opened = Embedded::open(&half, &Limits::default());
    assert!(matches!(opened, Err(OpenError::Foreign { why, .. }) if why.contains("restore")));
    assert_eq!(into(&half).unwrap().totals, totals);
    let restored = open(&half);
    assert_eq!(rows_of(&restored).await.len(), 3);
}
