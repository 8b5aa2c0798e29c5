//! Backups of a server that people talk to, and of a stopped one (promise G18).

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::account::seq_of;
use crate::harness::server::run;
use crate::harness::{Account, Options, SOON, Server, Socket, eventually};

/// Messages acknowledged so far.
type Acknowledged = Arc<Mutex<Vec<Value>>>;

/// Somebody who says one thing after the other until told to stop.
async fn talker(socket: Socket, group: String, enough: Arc<AtomicBool>, said: Acknowledged) {
    let mut number = 0;
    while !enough.load(Ordering::Relaxed) {
        number += 1;
        let message = socket.say(&group, &format!("number {number}")).await;
        said.lock().unwrap().push(message.unwrap());
    }
}

async fn count_reaches(said: &Acknowledged, count: usize) {
    eventually("more messages", SOON, async || {
        (said.lock().unwrap().len() >= count).then_some(())
    })
    .await;
}

/// Runs a command that must do what it was asked; gives what it printed.
async fn done(arguments: &[&str]) -> String {
    let owned: Vec<String> = arguments.iter().map(|word| (*word).to_owned()).collect();
    let ran = tokio::task::spawn_blocking(move || {
        let words: Vec<&str> = owned.iter().map(String::as_str).collect();
        run(&words, &[])
    });
    let (status, stdout, stderr) = ran.await.unwrap();
    assert!(status.success(), "{arguments:?}: {stderr}");
    stdout
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_backup_under_load_restores_to_its_point_and_later_cursors_resync() {
    let server = Options::new().port_kept().start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let (enough, said) = (Arc::new(AtomicBool::new(false)), Acknowledged::default());
    let mut talkers = Vec::new();
    for _ in 0..4 {
        let (socket, group) = (alice.connect(&server).await, group.clone());
        let (enough, said) = (Arc::clone(&enough), Arc::clone(&said));
        talkers.push(tokio::spawn(talker(socket, group, enough, said)));
    }
    count_reaches(&said, 200).await;
    let before = said.lock().unwrap().clone();
    let folder = tempfile::tempdir().unwrap();
    let (file, data) = (folder.path().join("backup"), server.data());
    let printed = done(&["backup", "--to", text(&file), "--data", text(&data)]).await;
    assert!(printed.contains("backed up"), "{printed}");
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let after = said.lock().unwrap().len();
    count_reaches(&said, after + 200).await;
    enough.store(true, Ordering::Relaxed);
    for talker in talkers {
        talker.await.unwrap();
    }
    let lost = said
        .lock()
        .unwrap()
        .iter()
        .max_by_key(|m| seq_of(m))
        .cloned();
    let lost = lost.unwrap();

    server.kill9();
    std::fs::remove_dir_all(&data).unwrap();
    let printed = done(&["restore", "--from", text(&file), "--data", text(&data)]).await;
    assert!(printed.contains("restored"), "{printed}");
    server.restart().await;
    let (alice, bob) = (alice.log_in(&server).await, bob.log_in(&server).await);
    let history = alice.history(&group).await;
    for message in &before {
        assert!(history.contains(message), "{message} is missing");
    }
    let seqs: Vec<u64> = history.iter().map(seq_of).collect();
    let dense: Vec<u64> = (2..2 + seqs.len() as u64).collect();
    assert_eq!(seqs, dense, "it is of one moment");
    let said = said.lock().unwrap().clone();
    assert!(history.len() < said.len(), "it is older than the end");
    let head = seqs.last().copied().unwrap();
    assert!(history.iter().all(|message| said.contains(message)));

    let cursor = json!([{"conversation": group, "epoch": lost["epoch"], "seq": lost["seq"]}]);
    comes_back(&server, &bob, &cursor, &group).await;
    // The seq is given out again, to something else, under a higher epoch.
    let socket = alice.connect(&server).await;
    let mut again = Value::Null;
    for _ in head..seq_of(&lost) {
        again = socket.say(&group, "afterwards").await.unwrap();
    }
    assert_eq!(again["seq"], lost["seq"]);
    assert!(again["epoch"].as_u64() > lost["epoch"].as_u64());
    comes_back(&server, &bob, &cursor, &group).await;
}

/// With a cursor that the log does not know, and is told so.
async fn comes_back(server: &Server, bob: &Account, cursor: &Value, group: &str) {
    let back = Socket::open(server.address(), &bob.access, cursor.clone());
    assert_eq!(back.await.unwrap().resync(), [group]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_server_is_backed_up_too_and_nothing_is_written_over() {
    let server = Options::new().port_kept().start().await;
    let alice = Account::register(&server, "alice").await;
    let group = alice.group(&[]).await;
    let said = alice.say(&group, "keep me").await;
    server.terminate().await;
    let (folder, data) = (tempfile::tempdir().unwrap(), server.data());
    let printed = done(&["backup", "--to", text(folder.path()), "--data", text(&data)]).await;
    let mut files = std::fs::read_dir(folder.path()).unwrap();
    let file = files.next().unwrap().unwrap().path();
    assert!(
        files.next().is_none() && printed.contains(text(&file)),
        "{printed}"
    );

    let refused = |arguments: &[&str], reason: &str| {
        let (status, _, stderr) = run(arguments, &[]);
        assert!(!status.success() && stderr.contains(reason), "{stderr}");
    };
    refused(
        &["backup", "--to", text(&file), "--data", text(&data)],
        "exists",
    );
    let nowhere = folder.path().join("nowhere");
    let other = folder.path().join("other");
    refused(
        &["backup", "--to", text(&other), "--data", text(&nowhere)],
        "no data",
    );
    assert!(!nowhere.exists() && !other.exists());
    refused(
        &["restore", "--from", text(&file), "--data", text(&data)],
        "not empty",
    );
    std::fs::write(&other, "something else").unwrap();
    refused(
        &["restore", "--from", text(&other), "--data", text(&nowhere)],
        "no backup",
    );
    assert!(!nowhere.exists());

    std::fs::remove_dir_all(&data).unwrap();
    done(&["restore", "--from", text(&file), "--data", text(&data)]).await;
    server.restart().await;
    let alice = alice.log_in(&server).await;
    assert_eq!(alice.history(&group).await, [said]);
}
