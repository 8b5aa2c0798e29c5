//! The log: rows, effects, heads, epochs, and what was in the middle of
//! something.

use std::sync::Arc;

use fanfare_protocol::{ConversationId, Timestamp};

use super::PortFuture;
use crate::effect::Effects;
use crate::meta::ConversationMeta;
use crate::row::{EpochRow, HeadRow, LogRow};

/// Which way rows come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Oldest first.
    Ascending,
    /// Newest first.
    Descending,
}

/// Rows `from..=to` of a log, at most `limit` of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRange {
    /// Conversation.
    pub conversation: ConversationId,
    /// First seq.
    pub from: u64,
    /// Last seq.
    pub to: u64,
    /// Rows at most.
    pub limit: usize,
    /// Which way.
    pub order: Order,
}

/// The log of every conversation. An append is atomic *as seen by the
/// appender*; a reader after a failure may see part of a batch whose outcome
/// was unknown. Every write carries the logical timestamp of
/// [`crate::stamp::Stamp`]: the later one wins, repeating is harmless.
pub trait Log: Send + Sync {
    /// Writes rows of one conversation and one bucket, under
    /// `(epoch of the writer, seq of each row)`. Durable when it returns.
    fn append(&self, epoch: u64, rows: Arc<[LogRow]>) -> PortFuture<'_, ()>;

    /// Writes effects, each under `(effects.epoch, effect.seq)`; marks under
    /// `(0, marked seq)`. Durable when it returns.
    fn apply(&self, effects: Arc<Effects>) -> PortFuture<'_, ()>;

    /// Reads rows with their state.
    fn rows(&self, range: RowRange) -> PortFuture<'_, Vec<LogRow>>;

    /// The conversation's own record.
    fn meta(&self, conversation: ConversationId) -> PortFuture<'_, Option<ConversationMeta>>;

    /// The records of these conversations, in their order, read at once.
    fn metas(
        &self,
        conversations: Vec<ConversationId>,
    ) -> PortFuture<'_, Vec<Option<ConversationMeta>>>;

    /// Where the owner left the log.
    fn head(&self, conversation: ConversationId) -> PortFuture<'_, Option<HeadRow>>;

    /// The same for these conversations, in their order, read at once.
    fn heads(&self, conversations: Vec<ConversationId>) -> PortFuture<'_, Vec<Option<HeadRow>>>;

    /// Writes the head row under `(epoch of the writer, seq)`.
    fn put_head(&self, epoch: u64, head: HeadRow) -> PortFuture<'_, ()>;

    /// Notes under the epoch of the writer that a conversation is in the
    /// middle of something, before its first append after waking and once an
    /// hour.
    fn put_live(
        &self,
        epoch: u64,
        slot: u16,
        conversation: ConversationId,
        at: Timestamp,
    ) -> PortFuture<'_, ()>;

    /// Takes the note back, after a clean head is durable. What another
    /// owner noted under a later epoch stays.
    fn drop_live(&self, epoch: u64, slot: u16, conversation: ConversationId) -> PortFuture<'_, ()>;

    /// Conversations of a slot that were in the middle of something, behind
    /// `after`, at most `limit`.
    fn live(
        &self,
        slot: u16,
        after: Option<ConversationId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<ConversationId>>;

    /// All epochs of a log, oldest first.
    fn epochs(&self, conversation: ConversationId) -> PortFuture<'_, Vec<EpochRow>>;

    /// Writes an epoch row under `(epoch of the writer, 0)` for `first_seq:
    /// None`, `(epoch of the writer, 1)` otherwise. Who takes a log over
    /// writes the rows of older epochs again, so that what is still on its
    /// way to them comes too late.
    fn put_epoch(&self, epoch: u64, row: EpochRow) -> PortFuture<'_, ()>;
}
