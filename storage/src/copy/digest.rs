//! The sum of a store: equal for two stores that hold the same, in whatever
//! order they tell it.

use std::fmt;

use fanfare_engine::codec::encode;
use fanfare_engine::port::{Claim, StoreError};
use fanfare_engine::row::LogRow;
use fanfare_protocol::limits::{COPY_CONVERSATIONS_AT_ONCE, COPY_PART, SCAN_ROWS};
use fanfare_protocol::{ConversationId, Timestamp};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::items::{Item, Items};
use super::run::Tally;
use crate::Ports;
use crate::cells::key::scope_byte;

/// What a store holds, summed up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Digest {
    /// The sum of the hashes of everything.
    #[serde(skip)]
    sum: [u64; 4],
    /// Conversations.
    pub conversations: u64,
    /// Rows of their logs.
    pub rows: u64,
    /// Of those, messages.
    pub messages: u64,
    /// Memberships, marks, mentions, epochs, records and head rows.
    pub details: u64,
    /// Accounts.
    pub accounts: u64,
    /// Log-ins.
    pub families: u64,
    /// Claims that have not ended.
    pub claims: u64,
    /// Values kept for the server.
    pub values: u64,
}

impl fmt::Display for Digest {
    /// The checksum.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.sum
            .iter()
            .try_for_each(|lane| write!(f, "{lane:016x}"))
    }
}

impl Digest {
    /// This and that.
    #[must_use]
    pub fn plus(mut self, other: Self) -> Self {
        for (lane, other) in self.sum.iter_mut().zip(other.sum) {
            *lane = lane.wrapping_add(other);
        }
        self.conversations += other.conversations;
        self.rows += other.rows;
        self.messages += other.messages;
        self.details += other.details;
        self.accounts += other.accounts;
        self.families += other.families;
        self.claims += other.claims;
        self.values += other.values;
        self
    }

    fn add(&mut self, kind: &str, parts: &[&[u8]]) {
        let mut hash = Sha256::new();
        for part in std::iter::once(&kind.as_bytes()).chain(parts) {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let hash: [u8; 32] = hash.finalize().into();
        for (lane, bytes) in self.sum.iter_mut().zip(hash.chunks_exact(8)) {
            let number = bytes.iter().fold(0, |n, byte| n << 8 | u64::from(*byte));
            *lane = lane.wrapping_add(number);
        }
    }

    fn add_value<T: Serialize>(
        &mut self,
        kind: &str,
        key: &[&[u8]],
        value: &T,
    ) -> Result<(), StoreError> {
        let value = encode(value)?;
        let parts: Vec<&[u8]> = key.iter().copied().chain([&value[..]]).collect();
        self.add(kind, &parts);
        Ok(())
    }

    fn add_row(&mut self, row: &LogRow) {
        let print = |print: Option<fanfare_engine::secret::Fingerprint>| match print {
            Some(print) => print.0.to_vec(),
            None => Vec::new(),
        };
        self.rows += 1;
        self.add(
            "row",
            &[
                row.conversation.as_bytes(),
                &row.seq.to_be_bytes(),
                &row.epoch.to_be_bytes(),
                &row.mno.to_be_bytes(),
                &row.ano.to_be_bytes(),
                &print(row.key),
                &print(row.request),
                &row.entry,
                &row.state,
            ],
        );
    }

    /// Adds a part of a conversation.
    pub(super) fn add_item(&mut self, of: ConversationId, item: &Item) -> Result<(), StoreError> {
        let log = of.as_bytes();
        match item {
            Item::Rows(rows) => {
                rows.iter().for_each(|row| self.add_row(row));
                self.messages = rows.last().map_or(self.messages, |row| row.mno);
            }
            Item::Head(head) => {
                self.details += 1;
                let numbers = [head.epoch, head.seq, head.mno, head.ano, head.clean];
                self.add_value("head", &[log], &(numbers, head.at))?;
            }
            Item::Epochs(epochs) => {
                for row in epochs {
                    self.details += 1;
                    self.add_value("epoch", &[log], &(row.epoch, row.first_seq))?;
                }
            }
            Item::Record(meta) => {
                self.details += 1;
                self.add_value("record", &[log], meta)?;
            }
            Item::Members(members) => {
                for member in members {
                    self.details += 1;
                    self.add_value("member", &[log, member.user.as_bytes()], &member.row)?;
                }
            }
            Item::Mentions(mentions) => {
                for (user, message, on) in mentions {
                    self.details += 1;
                    self.add_value("mention", &[log, user.as_bytes()], &(message, on))?;
                }
            }
            Item::Marks(marks) => {
                for (user, marks) in marks {
                    self.details += 1;
                    self.add_value("marks", &[log, user.as_bytes()], marks)?;
                }
            }
        }
        Ok(())
    }
}

/// Sums up one conversation.
pub(super) async fn of_conversation(
    ports: &Ports,
    conversation: ConversationId,
    tally: &Tally,
) -> Result<Digest, StoreError> {
    let mut digest = Digest::default();
    let mut items = Items::of(ports, conversation, u64::MAX);
    while let Some(item) = tally.again(async || items.next().await).await? {
        if let Item::Rows(rows) = &item {
            tally.add_rows(rows.len());
        }
        digest.add_item(conversation, &item)?;
    }
    digest.conversations = 1;
    Ok(digest)
}

/// Sums up a store. Claims that ended before `now` are left out: stores
/// forget them when they like.
///
/// # Errors
/// As every read, after it was tried for a while.
pub async fn digest(ports: &Ports, now: Timestamp, tally: &Tally) -> Result<Digest, StoreError> {
    let mut digest = Digest::default();
    for (name, value) in tally.again(|| ports.census.all_values()).await? {
        digest.values += 1;
        digest.add("value", &[name.as_bytes(), &value]);
    }
    let mut from = None;
    loop {
        let part = tally.again(|| ports.census.all_accounts(from.clone(), SCAN_ROWS));
        let part = part.await?;
        for account in &part.items {
            digest.accounts += 1;
            digest.add_value("account", &[], account)?;
        }
        from = part.next;
        if from.is_none() {
            break;
        }
    }
    loop {
        let part = tally.again(|| ports.census.all_families(from.clone(), SCAN_ROWS));
        let part = part.await?;
        for family in &part.items {
            digest.families += 1;
            digest.add_value("family", &[], family)?;
        }
        from = part.next;
        if from.is_none() {
            break;
        }
    }
    loop {
        let part = tally.again(|| ports.census.all_claims(from.clone(), SCAN_ROWS));
        let part = part.await?;
        for claim in part.items.iter().filter(|claim| lasts(claim, now)) {
            digest.claims += 1;
            let key: [&[u8]; 2] = [&[scope_byte(claim.scope)], claim.name.as_bytes()];
            digest.add_value("claim", &key, &claim.row)?;
        }
        from = part.next;
        if from.is_none() {
            break;
        }
    }
    loop {
        let part = tally.again(|| ports.census.all_conversations(from.clone(), COPY_PART));
        let part = part.await?;
        let sums = part
            .items
            .into_iter()
            .map(|id| of_conversation(ports, id, tally));
        let sums: Vec<Digest> = stream::iter(sums.collect::<Vec<_>>())
            .buffer_unordered(COPY_CONVERSATIONS_AT_ONCE)
            .inspect(|_| tally.add_conversation())
            .try_collect()
            .await?;
        digest = sums.into_iter().fold(digest, Digest::plus);
        from = part.next;
        if from.is_none() {
            return Ok(digest);
        }
    }
}

/// Whether a claim has not ended yet.
pub(super) fn lasts(claim: &Claim, now: Timestamp) -> bool {
    claim.row.expires_at.is_none_or(|end| end >= now)
}
