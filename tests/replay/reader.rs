//! A reader that comes back: it listens to one conversation, loses its connection now
//! and then (or when the server does, or its door leads elsewhere), and resumes where it
//! stood.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};

use super::{Door, entries};
use crate::harness::{Account, SOON, Socket, eventually};
use crate::history::{Entry, Reader};

/// How long it is away.
const AWAY: Duration = Duration::from_millis(150);

/// How soon it notices that it is sent away or called back.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// A reader at work in a task of its own.
pub struct Returning {
    name: String,
    user: String,
    conversation: String,
    seen: Arc<Mutex<Seen>>,
    task: tokio::task::JoinHandle<()>,
}

#[derive(Default)]
struct Seen {
    entries: Vec<Entry>,
    /// It shall be away.
    sent_away: bool,
    connected: bool,
    /// Connections so far.
    connections: u32,
    /// What must not happen: gaps, `resync`, `gone`.
    faults: Vec<String>,
}

impl Returning {
    /// Starts reading; with `every` it cuts its connection that often.
    pub async fn start(
        name: &str,
        door: impl Into<Door>,
        account: &Account,
        conversation: &str,
        every: Option<Duration>,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let task = tokio::spawn(read(
            door.into(),
            account.access.clone(),
            conversation.to_owned(),
            every.unwrap_or(Duration::from_secs(3600)),
            Arc::clone(&seen),
        ));
        let reader = Self {
            name: name.into(),
            user: account.id.clone(),
            conversation: conversation.into(),
            seen,
            task,
        };
        eventually("a first connection", SOON, async || {
            (reader.connections() > 0).then_some(())
        })
        .await;
        reader
    }

    pub fn connections(&self) -> u32 {
        self.seen.lock().unwrap().connections
    }

    /// Cuts the connection, and stays away until it is called back.
    pub async fn goes_away(&self) {
        self.seen.lock().unwrap().sent_away = true;
        eventually("a reader that is gone", SOON, async || {
            (!self.seen.lock().unwrap().connected).then_some(())
        })
        .await;
    }

    pub fn may_come_back(&self) {
        self.seen.lock().unwrap().sent_away = false;
    }

    /// The newest seq it has.
    pub fn newest(&self) -> u64 {
        self.seen
            .lock()
            .unwrap()
            .entries
            .last()
            .map_or(0, |entry| entry.seq)
    }

    /// Waits until it has the entry `seq`.
    pub async fn reaches(&self, seq: u64, within: Duration) {
        let what = format!("{} at {seq} of {}", self.name, self.conversation);
        eventually(&what, within, async || (self.newest() >= seq).then_some(())).await;
    }

    /// What it was given, for the checkers; panics when something was amiss.
    pub fn reader(&self) -> Reader {
        let seen = self.seen.lock().unwrap();
        assert!(seen.faults.is_empty(), "{}: {:?}", self.name, seen.faults);
        Reader {
            name: self.name.clone(),
            user: self.user.clone(),
            conversation: self.conversation.clone(),
            entries: seen.entries.clone(),
        }
    }
}

impl Drop for Returning {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn read(
    door: Door,
    token: String,
    conversation: String,
    every: Duration,
    seen: Arc<Mutex<Seen>>,
) {
    let mut place = None;
    loop {
        while seen.lock().unwrap().sent_away {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let cursors = place
            .iter()
            .map(|(epoch, seq)| json!({"conversation": conversation, "epoch": epoch, "seq": seq}))
            .collect();
        let address = door.leads_to();
        let opened = tokio::select! {
            opened = Socket::open(address, &token, cursors) => opened.ok(),
            () = door.left(address) => None,
        };
        let Some(socket) = opened else {
            tokio::time::sleep(AWAY).await;
            continue;
        };
        let before = {
            let mut seen = seen.lock().unwrap();
            seen.connections += 1;
            seen.connected = true;
            seen.entries.len()
        };
        let until = tokio::time::Instant::now() + every;
        let stays = || {
            tokio::time::Instant::now() < until
                && !seen.lock().unwrap().sent_away
                && door.leads_to() == address
        };
        let mut taken = 0;
        while socket.is_open() && stays() {
            taken = keep(&socket, &conversation, before, taken, &seen);
            socket.changed_within(LOOK_AGAIN).await;
        }
        keep(&socket, &conversation, before, taken, &seen);
        place = conclude(&socket, &conversation, place, &seen).or(place);
        drop(socket);
        seen.lock().unwrap().connected = false;
        tokio::time::sleep(AWAY).await;
    }
}

/// Collects what was amiss on a connection that came from `place`; gives the cursor to
/// come back with, which is that of the last entry kept, or where hello placed us.
fn conclude(
    socket: &Socket,
    conversation: &str,
    place: Option<(u64, u64)>,
    seen: &Mutex<Seen>,
) -> Option<(u64, u64)> {
    let mut seen = seen.lock().unwrap();
    let connection = seen.connections;
    let lost = ["resync", "gone"].into_iter().flat_map(|list| {
        let lost = socket.hello[list].as_array().into_iter().flatten();
        lost.map(move |lost| format!("{list}: {lost}, from {place:?}"))
    });
    let faults = socket.faults().into_iter().chain(lost);
    let faults = faults.map(|fault| format!("connection {connection}: {fault}"));
    seen.faults.extend(faults);
    let last = seen.entries.last().map(|entry| (entry.epoch, entry.seq));
    last.or_else(|| placed(&socket.hello, conversation))
}

/// Where hello placed the conversation.
fn placed(hello: &Value, conversation: &str) -> Option<(u64, u64)> {
    let places = hello["subscribed"].as_array()?;
    let place = places
        .iter()
        .find(|place| place["conversation"] == conversation)?;
    Some((place["epoch"].as_u64()?, place["seq"].as_u64()?))
}

/// Copies what came since; gives how much has come on this connection.
fn keep(
    socket: &Socket,
    conversation: &str,
    before: usize,
    taken: usize,
    seen: &Mutex<Seen>,
) -> usize {
    let log = socket.log_from(conversation, taken);
    let mut seen = seen.lock().unwrap();
    debug_assert_eq!(seen.entries.len(), before + taken);
    seen.entries.extend(entries(&log));
    taken + log.len()
}
