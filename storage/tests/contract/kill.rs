//! kill -9 while four logs grow: what was acknowledged is there afterwards.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use fanfare_engine::effect::Set;
use fanfare_engine::row::LogRow;
use fanfare_protocol::Limits;
use fanfare_storage::{Embedded, Ports};

use crate::build::{all_rows, conversation, effects, row};

const FOLDER: &str = "FANFARE_TEST_KILL_FOLDER";
const WRITERS: u8 = 4;

/// The child: appends for ever and says what was acknowledged. Started
/// without a folder, as one test of many, it has nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_is_killed() {
    let Some(folder) = std::env::var_os(FOLDER) else {
        return;
    };
    let store = Embedded::open(folder.as_ref(), &Limits::default()).unwrap();
    let epoch = store.ports().sole.unwrap().claim_slots().await.unwrap();
    let mut writers = tokio::task::JoinSet::new();
    for n in 0..WRITERS {
        writers.spawn(write_for_ever(store.ports(), n, epoch));
    }
    writers.join_all().await;
}

async fn write_for_ever(ports: Ports, n: u8, epoch: u64) {
    let room = conversation(n);
    let mut next = all_rows(&*ports.log, room).await.len() as u64 + 1;
    loop {
        // Batches of different sizes, and an effect on every other row.
        let batch: Vec<LogRow> = (next..=next + next % 5)
            .map(|seq| row(room, seq, epoch))
            .collect();
        let last = next + next % 5;
        ports.log.append(epoch, batch.into()).await.unwrap();
        say(&format!("append {n} {last}"));
        let state = Set::State {
            target: last,
            state: "edited".into(),
        };
        let effect = effects(room, epoch, vec![(last + 1, state)]);
        ports.log.apply(effect).await.unwrap();
        say(&format!("effect {n} {last}"));
        next = last + 1;
    }
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    // On a line of its own, whatever the test runner left on the one before.
    write!(out, "\n{line}\n").unwrap();
    out.flush().unwrap();
}

/// What children said was acknowledged.
#[derive(Default)]
pub struct Said {
    appended: HashMap<u8, u64>,
    edited: Vec<(u8, u64)>,
}

impl Said {
    pub fn hear(&mut self, lines: &[String]) {
        for line in lines {
            let words: Vec<&str> = line.split(' ').collect();
            let (n, seq) = (words[1].parse().unwrap(), words[2].parse().unwrap());
            match words[0] {
                "append" => drop(self.appended.insert(n, seq)),
                _ => self.edited.push((n, seq)),
            }
        }
    }

    /// How much of it is not there. What is there must be what was written,
    /// and dense.
    pub async fn lost(&self, ports: &Ports) -> usize {
        let mut lost = 0;
        for n in 0..WRITERS {
            let rows = all_rows(&*ports.log, conversation(n)).await;
            let acknowledged = self.appended.get(&n).copied().unwrap_or(0);
            let missing = acknowledged.saturating_sub(rows.len() as u64);
            lost += usize::try_from(missing).unwrap();
            for (seq, stored) in (1..).zip(&rows) {
                let expected = row(conversation(n), seq, stored.epoch);
                assert_eq!(stored.entry, expected.entry);
                assert_eq!(stored.seq, seq, "dense");
            }
            for (_, seq) in self.edited.iter().filter(|(of, _)| *of == n) {
                let row = rows.get(*seq as usize - 1);
                lost += usize::from(row.is_none_or(|row| row.state != "edited"));
            }
        }
        lost
    }

    fn has_something_of_each(&self) -> bool {
        self.appended.len() == usize::from(WRITERS) && !self.edited.is_empty()
    }
}

#[tokio::test]
async fn what_was_acknowledged_survives_kill_9() {
    let folder = tempfile::tempdir().unwrap();
    let mut said = Said::default();
    for round in 1..=4 {
        let lines = 50 * round;
        let kill = |count: usize, child: &mut Child| {
            if count == lines {
                child.kill().unwrap();
            }
        };
        said.hear(&run_child(folder.path(), lines, &[], kill));
        let store = Embedded::open(folder.path(), &Limits::default()).unwrap();
        let epoch = store.ports().sole.unwrap().claim_slots().await.unwrap();
        assert_eq!(epoch as usize, 2 * round, "one each, none lost");
        assert_eq!(said.lost(&store.ports()).await, 0);
    }
    assert!(said.has_something_of_each());
}

/// Whole lines that the child said before it ended; `heard` is told their
/// number with each, and ends it once there are `lines`.
pub fn run_child(
    folder: &Path,
    lines: usize,
    environment: &[(&str, &OsStr)],
    mut heard: impl FnMut(usize, &mut Child),
) -> Vec<String> {
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "kill::child_that_is_killed", "--nocapture"])
        .env(FOLDER, folder)
        .envs(environment.iter().copied())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut said = Vec::new();
    loop {
        let mut line = String::new();
        if out.read_line(&mut line).unwrap() == 0 || !line.ends_with('\n') {
            break;
        }
        if line.starts_with("append ") || line.starts_with("effect ") {
            said.push(line.trim_end().to_owned());
            heard(said.len(), &mut child);
        }
    }
    child.wait().unwrap();
    assert!(said.len() >= lines, "the child ended by itself");
    said
}
