//! Histories of what clients tried and readers saw, and the checkers that judge them.
//!
//! A client records every attempt with monotonic times, its key and its outcome
//! ([`Attempt`]); a reader records every entry it was given ([`Reader`]). Afterwards
//! [`order`], [`durable`], [`equal`], [`access`] and [`fence`] say what was promised
//! and not kept. Each has tests in which it catches a planted fault. Nothing here
//! knows a socket or a server.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Instant;

use serde_json::Value;

pub mod access;
pub mod durable;
pub mod equal;
pub mod fence;
pub mod order;

/// What a client tried to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Deed {
    Send {
        text: String,
    },
    /// Changes the message at `target`.
    Edit {
        target: u64,
        text: String,
    },
    Delete {
        target: u64,
    },
    React {
        target: u64,
        emoji: String,
        on: bool,
    },
}

/// How an attempt ended, as its client knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Acknowledged; for a change, `seq` is the changed message's `rev`.
    Ok { seq: u64, epoch: u64 },
    /// Refused for good: it must not have happened.
    Fail { code: String },
    /// No answer, or one that leaves it open.
    Unknown,
}

/// One attempt by one client; a repeat with the same key is another attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The session it was tried from: within one, sends keep their order.
    pub session: String,
    /// The author's user id.
    pub author: String,
    pub conversation: String,
    pub key: String,
    pub deed: Deed,
    pub invoked_us: u64,
    pub finished_us: u64,
    pub outcome: Outcome,
}

/// One entry as a reader was given it.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    pub seq: u64,
    pub epoch: u64,
    /// Event type, `message:received` and the like.
    pub kind: String,
    pub data: Value,
}

/// What one reader of one conversation was given, in the order it came, without
/// the signals. A reader that was away and came back from its cursor goes on in the
/// same list; one that rewound on purpose starts another.
#[derive(Debug, Clone, PartialEq)]
pub struct Reader {
    pub name: String,
    /// The reader's user id.
    pub user: String,
    pub conversation: String,
    pub entries: Vec<Entry>,
}

/// Everything that was recorded.
#[derive(Debug, Clone, Default)]
pub struct History {
    pub attempts: Vec<Attempt>,
    pub readers: Vec<Reader>,
}

/// Which promise was broken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Rule {
    /// A reader's seqs do not rise by exactly one.
    Gap,
    /// A reader was given an entry twice or backwards.
    Repeat,
    /// Two readers, or a reader and its writer, saw different content at one seq.
    Content,
    /// One key stands at two seqs.
    Doubled,
    /// A send invoked after another was acknowledged stands before it.
    RealTime,
    /// Sends of one session changed their order.
    SessionOrder,
    /// Acknowledged and not in the final read, or not as acknowledged.
    Lost,
    /// Refused, or never tried, and there all the same.
    Ghost,
    /// Snapshot and events do not give the fresh fetch.
    Unequal,
    /// An event reached a non-member, or stopped short for a member.
    Audience,
    /// A non-member's message is in the log.
    Author,
    /// Epochs do not own disjoint, ordered ranges of seq.
    Epoch,
}

/// One broken promise, with what is needed to find it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    pub detail: String,
}

impl Violation {
    fn new(rule: Rule, detail: impl Into<String>) -> Self {
        Self {
            rule,
            detail: detail.into(),
        }
    }
}

/// Panics with the first violations when there are any.
pub fn none(violations: &[Violation]) {
    let shown: Vec<String> = violations
        .iter()
        .take(12)
        .map(|violation| format!("  {violation:?}"))
        .collect();
    assert!(
        violations.is_empty(),
        "{} promises broken:\n{}",
        violations.len(),
        shown.join("\n")
    );
}

/// The fields of a message that the checkers compare.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Said {
    pub id: String,
    pub seq: u64,
    pub author: String,
    pub text: String,
    pub key: Option<String>,
    pub deleted: bool,
}

impl Said {
    /// Reads a wire `Message`; `None` when a field is missing or has another type.
    pub fn of(message: &Value) -> Option<Self> {
        Some(Self {
            id: message["id"].as_str()?.to_owned(),
            seq: message["seq"].as_u64()?,
            author: message["author"].as_str()?.to_owned(),
            text: message["text"].as_str()?.to_owned(),
            key: message["key"].as_str().map(str::to_owned),
            deleted: message.get("deletedAt").is_some_and(|at| !at.is_null()),
        })
    }
}

/// Collects attempts from many clients at once and gives them one clock.
pub struct Recorder {
    start: Instant,
    attempts: Mutex<Vec<Attempt>>,
    refusals: Mutex<Vec<(u64, String)>>,
}

impl Recorder {
    /// An empty recorder; its clock starts now.
    pub fn new() -> Self {
        Self {
            start: Instant::now(),
            attempts: Mutex::default(),
            refusals: Mutex::default(),
        }
    }

    /// Microseconds since the recorder was made, monotonic.
    pub fn now_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub fn record(&self, attempt: Attempt) {
        self.attempts.lock().unwrap().push(attempt);
    }

    /// Notes an answer that was none, by its code.
    pub fn refused(&self, code: &str) {
        let at_us = self.now_us();
        self.refusals.lock().unwrap().push((at_us, code.to_owned()));
    }

    /// How often each code was the answer in this time.
    pub fn refusals(&self, within_us: std::ops::Range<u64>) -> BTreeMap<String, usize> {
        let mut codes: BTreeMap<String, usize> = BTreeMap::new();
        for (at_us, code) in &*self.refusals.lock().unwrap() {
            if within_us.contains(at_us) {
                *codes.entry(code.clone()).or_default() += 1;
            }
        }
        codes
    }

    /// What was recorded so far.
    pub fn attempts(&self) -> Vec<Attempt> {
        self.attempts.lock().unwrap().clone()
    }
}

/// Makers of small histories for the checkers' own tests.
#[cfg(test)]
pub mod sample {
    use serde_json::json;

    use super::*;

    pub fn message(seq: u64, author: &str, text: &str) -> Value {
        json!({
            "id": format!("m{seq}"), "conversation": "c", "seq": seq, "epoch": 1, "rev": seq,
            "author": author, "type": "text", "text": text, "reactions": [], "editCount": 0,
            "sentAt": "2026-01-01T00:00:00.000Z", "key": format!("k{seq}"),
        })
    }

    pub fn received(seq: u64, author: &str, text: &str) -> Entry {
        Entry {
            seq,
            epoch: 1,
            kind: "message:received".into(),
            data: json!({"message": message(seq, author, text)}),
        }
    }

    pub fn event(seq: u64, kind: &str, data: Value) -> Entry {
        Entry {
            seq,
            epoch: 1,
            kind: kind.into(),
            data,
        }
    }

    pub fn reader(name: &str, entries: Vec<Entry>) -> Reader {
        Reader {
            name: name.into(),
            user: name.into(),
            conversation: "c".into(),
            entries,
        }
    }

    /// An acknowledged send under key `k{seq}` between two times.
    pub fn sent(author: &str, seq: u64, text: &str, times_us: (u64, u64)) -> Attempt {
        Attempt {
            session: format!("{author}/1"),
            author: author.into(),
            conversation: "c".into(),
            key: format!("k{seq}"),
            deed: Deed::Send { text: text.into() },
            invoked_us: times_us.0,
            finished_us: times_us.1,
            outcome: Outcome::Ok { seq, epoch: 1 },
        }
    }

    /// Alice and Bob say three things; two readers saw them; nothing is wrong.
    pub fn sound() -> History {
        let entries = vec![
            received(1, "alice", "one"),
            received(2, "bob", "two"),
            received(3, "alice", "three"),
        ];
        History {
            attempts: vec![
                sent("alice", 1, "one", (0, 10)),
                sent("bob", 2, "two", (5, 20)),
                sent("alice", 3, "three", (21, 30)),
            ],
            readers: vec![reader("alice", entries.clone()), reader("bob", entries)],
        }
    }

    /// The final read that fits [`sound`].
    pub fn final_read() -> Vec<Value> {
        vec![
            message(1, "alice", "one"),
            message(2, "bob", "two"),
            message(3, "alice", "three"),
        ]
    }

    pub fn rules(violations: &[Violation]) -> Vec<Rule> {
        violations.iter().map(|violation| violation.rule).collect()
    }
}
