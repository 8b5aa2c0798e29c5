//! What a reader was shown must stay: it remembers the newest rows of each
//! log and compares them with what is there later.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;
use fanfare_protocol::ConversationId;
use sha2::{Digest, Sha256};

use super::finding::{Finding, What};
use crate::codec::encode;
use crate::row::LogRow;
use crate::view::emptied;

type Hash = [u8; 16];

/// One row as it was shown.
#[derive(Clone, Copy)]
struct Seen {
    epoch: u64,
    /// Of everything that never changes.
    fixed: Hash,
    entry: Hash,
    /// Of the entry without its text: the only thing it may become.
    emptied: Hash,
}

/// Rows that were shown, the newest ones of each log.
pub struct Shown {
    logs: HashMap<ConversationId, BTreeMap<u64, Seen>>,
    rows_max: usize,
}

impl Shown {
    /// Remembers `rows_max` rows of each log.
    pub fn new(rows_max: usize) -> Self {
        Self {
            logs: HashMap::new(),
            rows_max,
        }
    }

    /// The newest seq that was shown; the oldest that is remembered.
    pub fn range(&self, conversation: ConversationId) -> Option<(u64, u64)> {
        let rows = self.logs.get(&conversation)?;
        Some((*rows.first_key_value()?.0, *rows.last_key_value()?.0))
    }

    /// Rows remembered.
    pub fn count(&self) -> usize {
        self.logs.values().map(BTreeMap::len).sum()
    }

    /// Takes `rows` of one log, read again from `from` to `to` and judged by
    /// the reader's rule as far as they are new. What was shown before must
    /// be among them as it was; what is new counts as shown from now on.
    pub fn show(
        &mut self,
        conversation: ConversationId,
        from: u64,
        rows: &[LogRow],
    ) -> Vec<Finding> {
        let log = self.logs.entry(conversation).or_default();
        let now: HashMap<u64, Seen> = rows.iter().map(|row| (row.seq, seen(row))).collect();
        let mut findings = Vec::new();
        let mut find = |seq, what| {
            findings.push(Finding {
                conversation,
                seq,
                what,
            });
        };
        for (seq, before) in log.range_mut(from..) {
            let Some(now) = now.get(seq) else {
                let epoch = before.epoch;
                find(*seq, What::Vanished { epoch });
                continue;
            };
            let stayed = now.fixed == before.fixed
                && (now.entry == before.entry || now.entry == before.emptied);
            if !stayed {
                let (before, now) = (before.epoch, now.epoch);
                find(*seq, What::Changed { before, now });
            }
            *before = *now;
        }
        for (seq, seen) in now {
            log.entry(seq).or_insert(seen);
        }
        while log.len() > self.rows_max {
            log.pop_first();
        }
        findings
    }
}

fn seen(row: &LogRow) -> Seen {
    let number = |number: u64| number.to_be_bytes();
    let print = |print: Option<crate::secret::Fingerprint>| print.map_or([0; 16], |print| print.0);
    // What cannot be read has no other form.
    let without_text = row.entry().and_then(|entry| encode(&emptied(&entry)));
    let without_text = without_text.unwrap_or_else(|_| Bytes::clone(&row.entry));
    Seen {
        epoch: row.epoch,
        fixed: hash(&[
            &number(row.epoch),
            &number(row.mno),
            &number(row.ano),
            &print(row.key),
            &print(row.request),
        ]),
        entry: hash(&[&row.entry]),
        emptied: hash(&[&without_text]),
    }
}

fn hash(parts: &[&[u8]]) -> Hash {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest: [u8; 32] = hash.finalize().into();
    let mut short = [0; 16];
    short.copy_from_slice(&digest[..16]);
    short
}
