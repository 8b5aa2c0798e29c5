//! Keys of the newest entries: while one is remembered for certain it makes
//! no second entry (promise G6).

use std::collections::{HashMap, VecDeque};

use fanfare_protocol::limits::IDEMPOTENT_ENTRIES;

use crate::entry::{Body, Entry};
use crate::row::LogRow;
use crate::secret::Fingerprint;

/// The keys of the newest entries that are remembered for certain.
#[derive(Default)]
pub(super) struct Keys {
    used: HashMap<Fingerprint, u64>,
    by_age: VecDeque<(u64, Fingerprint)>,
}

impl Keys {
    /// Takes the keys of the next entry; gives the rows that had one of them.
    pub(super) fn add(&mut self, row: &LogRow, entry: &Entry) -> Vec<u64> {
        while let Some((seq, key)) = self.by_age.front().copied() {
            if seq + IDEMPOTENT_ENTRIES > row.seq {
                break;
            }
            self.by_age.pop_front();
            if self.used.get(&key) == Some(&seq) {
                self.used.remove(&key);
            }
        }
        let mut twice = Vec::new();
        for key in keys_of(row, entry) {
            if let Some(first) = self.used.insert(key, row.seq) {
                twice.push(first);
            }
            self.by_age.push_back((row.seq, key));
        }
        twice
    }
}

fn keys_of(row: &LogRow, entry: &Entry) -> Vec<Fingerprint> {
    let mut keys: Vec<Fingerprint> = row.key.into_iter().collect();
    match &entry.body {
        Body::ReactionsChanged(changed) => {
            keys.extend(changed.keys.iter().flatten().map(|(key, _)| *key));
        }
        Body::MembersMoved { joined, left, .. } => {
            let moved = joined.iter().chain(left);
            keys.extend(moved.filter_map(|moved| moved.key).map(|(key, _)| key));
        }
        Body::Created(_)
        | Body::MessageSent(_)
        | Body::MessageEdited(_)
        | Body::MessageDeleted(_)
        | Body::MemberAdded { .. }
        | Body::MemberUpdated { .. }
        | Body::MemberRemoved { .. }
        | Body::ConversationUpdated(_)
        | Body::ConversationDeleted => {}
    }
    keys
}
