//! What is on its way to the log: gathered rows, batches, outcomes.

use std::collections::VecDeque;
use std::sync::Arc;

use fanfare_protocol::{ConversationId, Limits};

use crate::effect::{Effect, Effects, Set};
use crate::entry::Entry;
use crate::row::{HeadRow, LogRow, bucket_of};
use crate::view::{Ends, ends_of};

/// A row decided and applied to the tentative state, not yet durable.
#[derive(Debug, Clone)]
pub(super) struct Gathered {
    pub row: LogRow,
    pub entry: Arc<Entry>,
    pub effects: Vec<Effect>,
    /// Active members after it.
    pub member_count: u64,
}

/// Rows for one append: one conversation, one bucket.
#[derive(Debug, Clone)]
pub struct Batch {
    /// Epoch of the writer.
    pub epoch: u64,
    /// Rows, ascending, dense.
    pub rows: Arc<[LogRow]>,
    /// Durable before the rows: they open a new bucket.
    pub head_before: Option<HeadRow>,
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// Durable, and the lease held when it returned.
    Durable,
    /// Nothing was written.
    NotWritten,
    /// It may have been written.
    Unknown,
}

/// Entries that everybody may see now.
#[derive(Debug, Clone)]
pub struct Published {
    /// Conversation.
    pub conversation: ConversationId,
    /// Epoch of the owner.
    pub epoch: u64,
    /// Entries, ascending, dense.
    pub rows: Vec<PublishedRow>,
    /// Active members after them.
    pub member_count: u64,
}

/// One published entry.
#[derive(Debug, Clone)]
pub struct PublishedRow {
    /// Row.
    pub row: LogRow,
    /// The same, decoded.
    pub entry: Arc<Entry>,
}

impl Published {
    /// Newest seq among them.
    pub fn head_seq(&self) -> u64 {
        self.rows.last().map_or(0, |published| published.row.seq)
    }

    /// Bytes they occupy on their way to a relay.
    pub fn weight_bytes(&self) -> usize {
        self.rows
            .iter()
            .map(|published| published.row.weight_bytes())
            .sum()
    }
}

/// The one append in flight, through all its stages.
#[derive(Debug)]
pub(super) struct InFlight {
    pub rows: Vec<PublishedRow>,
    pub batch: Batch,
    pub effects: Arc<Effects>,
    pub member_count: u64,
    pub stage: Stage,
    /// When it was sent, in milliseconds of [`super::Now`].
    pub since_ms: u64,
    /// Some attempt may have been written: only success settles it.
    pub unknown: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Append,
    Apply,
}

impl InFlight {
    /// Takes what fits from the front of `gathered`: at most 256 rows and
    /// 64 KiB (one row of any size), 1024 effects, one bucket; an entry that
    /// removes rights is the last of its batch.
    pub fn take(
        gathered: &mut VecDeque<Gathered>,
        conversation: ConversationId,
        epoch: u64,
        limits: &Limits,
        now_ms: u64,
    ) -> Option<Self> {
        let first = gathered.front()?.row.seq;
        let (mut bytes, mut list, mut rows) = (0, Vec::new(), Vec::new());
        let mut member_count = 0;
        while let Some(next) = gathered.front() {
            bytes += next.row.weight_bytes();
            let full = rows.len() >= limits.append_rows_max
                || bytes > limits.append_bytes_max
                || list.len() + next.effects.len() > limits.append_effects_max
                || bucket_of(next.row.seq) != bucket_of(first);
            if full && !rows.is_empty() {
                break;
            }
            let Some(next) = gathered.pop_front() else {
                break;
            };
            let last = ends_of(&next.entry) != Ends::Nobody;
            // The sender's own mark is never waited for: whoever publishes
            // raises it, and an activation repeats it.
            let awaited = |effect: &Effect| !matches!(effect.set, Set::Mark { .. });
            member_count = next.member_count;
            list.extend(next.effects.into_iter().filter(awaited));
            rows.push(PublishedRow {
                row: next.row,
                entry: next.entry,
            });
            if last {
                break;
            }
        }
        let batch = Batch {
            epoch,
            rows: rows.iter().map(|published| published.row.clone()).collect(),
            head_before: None,
        };
        Some(Self {
            rows,
            batch,
            effects: Arc::new(Effects {
                conversation,
                epoch,
                list,
            }),
            member_count,
            stage: Stage::Append,
            since_ms: now_ms,
            unknown: false,
        })
    }

    /// Newest seq in it.
    pub fn last_seq(&self) -> u64 {
        self.rows.last().map_or(0, |published| published.row.seq)
    }
}
