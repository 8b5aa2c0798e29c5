//! Plays a planned day through the server: authors with a socket each, readers that
//! come and go, and the judgement afterwards. Used by `real_chat` and `kill9`.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::server::{self, data_in};
use crate::harness::{Account, Codec, Event, Options, Refusal, SOON, Server, eventually};
use crate::history::{self, Entry, History, Recorder};
use crate::irc::plan::Plan;

pub mod author;
mod door;
mod quiet;
pub mod reader;
pub mod talk;

pub use author::{Author, Job};
pub use door::Door;
pub use quiet::QuietRoom;
pub use reader::Returning;

/// So many of the accounts are registered over REST; the others are seeded, since each
/// password costs 50 ms.
const REGISTERED: usize = 3;

/// A server with an account for everybody in a plan.
pub struct Stage {
    pub server: Arc<Server>,
    /// Makes the channels and kicks.
    pub owner: Account,
    /// In the plan's order.
    pub people: Vec<Account>,
    /// Others, to listen and to look on.
    pub guests: Vec<Account>,
    pub recorder: Arc<Recorder>,
    /// In which the authors speak.
    pub codec: Codec,
}

impl Stage {
    /// Seeds accounts, starts the server, gives everybody the nick of the plan.
    pub async fn set(options: Options, plan: &Plan, guests: usize) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let flags = options.store_flags();
        let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
        let users = plan.nicks.len() + guests + 1;
        let seeded = seed(&data_in(folder.path()), users, &flags);
        let server = options.start_on(folder).await;
        let mut accounts: Vec<Account> = seeded
            .iter()
            .map(|line| Account::of_seed(&server, line))
            .collect();
        let owner = accounts.remove(0);
        let guests = accounts.drain(..guests).collect();
        for (who, account) in accounts.iter_mut().enumerate().take(REGISTERED) {
            *account = Account::register(&server, &format!("speaker{who}x")).await;
        }
        for (account, nick) in accounts.iter().zip(&plan.nicks) {
            account
                .rest
                .patch("/users/me", json!({"displayName": nick}))
                .await
                .unwrap();
        }
        Self {
            server: Arc::new(server),
            owner,
            people: accounts,
            guests,
            recorder: Arc::new(Recorder::new()),
            codec: Codec::Json,
        }
    }

    /// Opens a socket for everybody and lets a worker do what they are told in order.
    pub async fn authors(&self, channel: &str, pipelined: bool) -> Vec<Author> {
        let mut authors = Vec::new();
        for account in &self.people {
            authors.push(Author::new(self, account, channel, pipelined));
        }
        for author in &authors {
            author.connected().await;
        }
        authors
    }
}

/// Runs `fanfare seed` for `users` accounts on `data`; gives its lines.
pub fn seed(data: &std::path::Path, users: usize, more: &[&str]) -> Vec<Value> {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("users.jsonl");
    let (users, out_name, data) = (
        users.to_string(),
        out.to_str().unwrap(),
        data.to_str().unwrap(),
    );
    let mut arguments = vec![
        "seed",
        "--users",
        &users,
        "--conversations",
        "1",
        "--members",
        "1",
        "--out",
        out_name,
        "--data",
        data,
    ];
    arguments.extend_from_slice(more);
    let (status, stdout, stderr) = server::run(&arguments, &[]);
    assert!(status.success(), "seed: {status}\n{stdout}\n{stderr}");
    let lines = std::fs::read_to_string(&out).unwrap();
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// The numbered events as the checkers take them.
pub fn entries(events: &[Event]) -> Vec<Entry> {
    events
        .iter()
        .filter_map(|event| {
            Some(Entry {
                seq: event.seq?,
                epoch: event.epoch,
                kind: event.kind.clone(),
                data: event.data.clone(),
            })
        })
        .collect()
}

/// The same from frames that another language's listener wrote down.
pub fn entries_of_frames(frames: &[Value]) -> Vec<Entry> {
    frames
        .iter()
        .map(|frame| Entry {
            seq: frame["seq"].as_u64().unwrap(),
            epoch: frame["epoch"].as_u64().unwrap(),
            kind: frame["type"].as_str().unwrap().to_owned(),
            data: frame["data"].clone(),
        })
        .collect()
}

/// Author and text of the messages in a log.
pub fn said(log: &[Entry]) -> Vec<(String, String)> {
    log.iter()
        .filter(|entry| entry.kind == "message:received")
        .map(|entry| author_and_text(&entry.data["message"]))
        .collect()
}

/// Author and text of a wire message.
pub fn author_and_text(message: &Value) -> (String, String) {
    let text = |field: &str| {
        message[field]
            .as_str()
            .unwrap_or_else(|| panic!("no {field} in {message}"))
            .to_owned()
    };
    (text("author"), text("text"))
}

/// Judges everything that can be judged of one conversation, and panics if anything is
/// wrong. The readers' logs must begin behind `snapshot`.
pub fn judge(conversation: &str, history: &History, snapshot: &[Value], fresh: &[Value]) {
    let attempts: Vec<_> = history
        .attempts
        .iter()
        .filter(|attempt| attempt.conversation == conversation)
        .cloned()
        .collect();
    let readers: Vec<_> = history
        .readers
        .iter()
        .filter(|reader| reader.conversation == conversation)
        .cloned()
        .collect();
    let history = History { attempts, readers };
    history::none(&history::order::check(&history));
    history::none(&history::durable::check(
        conversation,
        &history.attempts,
        fresh,
    ));
    history::none(&history::fence::check(&history.readers, &history.attempts));
    for reader in &history.readers {
        history::none(&history::equal::check(snapshot, &reader.entries, fresh));
    }
}

/// Each author's texts in order.
pub fn by_author(said: &[(String, String)]) -> HashMap<&str, Vec<&str>> {
    let mut lines: HashMap<&str, Vec<&str>> = HashMap::new();
    for (author, text) in said {
        lines.entry(author).or_default().push(text);
    }
    lines
}

/// The whole history, asked for again while it is refused for now.
pub async fn settled_history(account: &Account, conversation: &str) -> Vec<Value> {
    eventually("a history", SOON, async || {
        for_now(account.try_history(conversation).await)
    })
    .await
}

/// Refusals must be temporary: the caller asks again.
fn for_now<T>(answer: Result<T, Refusal>) -> Option<T> {
    answer
        .inspect_err(|refusal| assert_eq!(refusal.error["retryable"], json!(true), "{refusal:?}"))
        .ok()
}

/// The newest seq of a conversation once nothing is in flight any more: gathered joins
/// and reactions included, so two looks a second apart agree.
pub async fn settled_head(account: &Account, conversation: &str) -> u64 {
    let mut before = None;
    eventually("a head that stays", Duration::from_secs(30), async || {
        let seen = for_now(account.try_conversation(conversation).await)?;
        let head = seen["headSeq"].as_u64();
        let stays = head.is_some() && head == before;
        if !stays {
            before = head;
            tokio::time::sleep(Duration::from_millis(1200)).await;
        }
        stays.then_some(head).flatten()
    })
    .await
}
