//! What a store in a folder promises beyond the contract.

use bytes::Bytes;
use fanfare_engine::port::StoreError;
use fanfare_engine::secret::DataSecret;
use fanfare_protocol::{Limits, UserId};
use fanfare_storage::{Embedded, FORMAT, Memory, OpenError};
use tempfile::tempdir;

use crate::build::{account, all_rows, conversation, rows, user};

#[tokio::test]
async fn it_is_all_there_after_a_restart() {
    let folder = tempdir().unwrap();
    let room = conversation(7);
    let mut epochs = Vec::new();
    for start in 0..3u64 {
        let store = Embedded::open(folder.path(), &Limits::default()).unwrap();
        let ports = store.ports();
        epochs.push(ports.sole.as_ref().unwrap().claim_slots().await.unwrap());
        let stored = all_rows(&*ports.log, room).await;
        assert_eq!(stored.len() as u64, start * 10);
        let seqs = start * 10 + 1..=start * 10 + 10;
        ports
            .log
            .append(start + 1, rows(room, seqs, 1))
            .await
            .unwrap();
        let put = account(user(start as u8), "somebody", 1);
        assert!(ports.accounts.put_account(put, None).await.unwrap());
    }
    assert!(epochs.is_sorted_by(|a, b| a < b), "{epochs:?}");
    let store = Embedded::open(folder.path(), &Limits::default()).unwrap();
    let ports = store.ports();
    let found = ports.accounts.accounts([0, 1, 2].map(user).into());
    assert_eq!(found.await.unwrap().len(), 3);
}

#[tokio::test]
async fn one_process_has_it_and_closing_gives_it_free() {
    let folder = tempdir().unwrap();
    let store = Embedded::open(folder.path(), &Limits::default()).unwrap();
    let second = Embedded::open(folder.path(), &Limits::default());
    assert!(matches!(second, Err(OpenError::Locked(_))));
    let ports = store.ports();
    store.close();
    store.close();
    // Ports that outlive it refuse, and do not keep the folder.
    let refused = ports.log.append(1, rows(conversation(7), 1..=1, 1)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    let refused = ports.log.head(conversation(7)).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))));
    assert!(ports.readiness.ready().is_err());
    let again = Embedded::open(folder.path(), &Limits::default()).unwrap();
    drop(again);
    Embedded::open(folder.path(), &Limits::default()).unwrap();
}

#[tokio::test]
async fn data_of_a_newer_version_is_refused() {
    let folder = tempdir().unwrap();
    drop(Embedded::open(folder.path(), &Limits::default()).unwrap());
    let mark = folder.path().join("format");
    let text = std::fs::read_to_string(&mark).unwrap();
    let newer = text.replace(&FORMAT.to_string(), &(FORMAT + 1).to_string());
    std::fs::write(&mark, newer).unwrap();
    let error = Embedded::open(folder.path(), &Limits::default())
        .err()
        .unwrap();
    assert!(matches!(error, OpenError::Newer { found, .. } if found == FORMAT + 1));
    assert!(error.to_string().contains("written by a newer version"));
    for (damage, why) in [("", "empty"), ("hello", "foreign"), ("\u{fffd}", "odd")] {
        std::fs::write(&mark, damage).unwrap();
        let error = Embedded::open(folder.path(), &Limits::default())
            .err()
            .unwrap();
        assert!(matches!(error, OpenError::Foreign { .. }), "{why}");
    }
    std::fs::remove_file(&mark).unwrap();
    let error = Embedded::open(folder.path(), &Limits::default())
        .err()
        .unwrap();
    assert!(matches!(error, OpenError::Foreign { .. }), "no mark");
    std::fs::write(&mark, text).unwrap();
    Embedded::open(folder.path(), &Limits::default()).unwrap();
}

#[tokio::test]
async fn a_path_that_cannot_be_a_folder_says_which() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = Embedded::open(&file, &Limits::default()).err().unwrap();
    assert!(error.to_string().contains("file"), "{error}");
}

fn hash(secret: &DataSecret) -> [u8; 16] {
    secret.key(UserId::from_bytes([1; 16]), "key").0
}

#[tokio::test]
async fn secrets_are_made_once_and_stay() {
    let folder = tempdir().unwrap();
    let first = {
        let store = Embedded::open(folder.path(), &Limits::default()).unwrap();
        hash(&store.data_secret([1; 32]).await.unwrap())
    };
    let store = Embedded::open(folder.path(), &Limits::default()).unwrap();
    let second = store.data_secret([2; 32]).await.unwrap();
    assert_eq!(hash(&second), first);
    let memory = Memory::new();
    for value in ["first", "second"] {
        let value = Bytes::from(value);
        let stored = store.value_or_put("jwt", value.clone()).await.unwrap();
        assert_eq!(stored, "first");
        let stored = memory.value_or_put("jwt", value).await.unwrap();
        assert_eq!(stored, "first");
    }
    let other = memory.data_secret([2; 32]).await.unwrap();
    assert_ne!(hash(&other), first);
}
