//! Rows of the log's tables, as ports carry them.

use bytes::Bytes;
use fanfare_protocol::limits::BUCKET_ROWS;
use fanfare_protocol::{ConversationId, MessageId, Timestamp};

use crate::codec::{CodecError, decode, encode};
use crate::entry::Entry;
use crate::secret::Fingerprint;
use crate::state::MessageState;

/// One row of a log: every column is always written (ARCHITECTURE §6).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LogRow {
    /// Conversation.
    pub conversation: ConversationId,
    /// Place, dense from 1.
    pub seq: u64,
    /// Epoch it was decided under.
    pub epoch: u64,
    /// Messages up to and including this row.
    pub mno: u64,
    /// Messages that mention everybody, up to and including this row.
    pub ano: u64,
    /// Stands for (author, key).
    pub key: Option<Fingerprint>,
    /// Stands for the request.
    pub request: Option<Fingerprint>,
    /// Encoded [`Entry`].
    pub entry: Bytes,
    /// Encoded [`MessageState`]; empty for what nothing changed.
    pub state: Bytes,
}

impl LogRow {
    /// The id of the message or other entry in this row.
    pub fn id(&self) -> MessageId {
        MessageId {
            conversation: self.conversation,
            epoch: self.epoch,
            seq: self.seq,
        }
    }

    /// Decodes the entry.
    ///
    /// # Errors
    /// When the bytes are no entry: damage, or a newer version's.
    pub fn entry(&self) -> Result<Entry, CodecError> {
        decode(&self.entry)
    }

    /// Decodes the state.
    ///
    /// # Errors
    /// When the bytes are no state: damage, or a newer version's.
    pub fn state(&self) -> Result<MessageState, CodecError> {
        if self.state.is_empty() {
            Ok(MessageState::default())
        } else {
            decode(&self.state)
        }
    }

    /// Bytes this row adds to a batch.
    pub fn weight_bytes(&self) -> usize {
        self.entry.len() + self.state.len() + 96
    }
}

/// Encodes a state for [`LogRow::state`].
///
/// # Errors
/// See [`encode`].
pub fn encode_state(state: &MessageState) -> Result<Bytes, CodecError> {
    encode(state)
}

/// The partition of a seq, from 0.
pub fn bucket_of(seq: u64) -> u64 {
    seq.saturating_sub(1) / BUCKET_ROWS
}

/// Where a log's owner left it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct HeadRow {
    /// Conversation.
    pub conversation: ConversationId,
    /// Epoch of the row at `seq`.
    pub epoch: u64,
    /// Newest seq when written.
    pub seq: u64,
    /// `mno` there.
    pub mno: u64,
    /// `ano` there.
    pub ano: u64,
    /// When that entry was taken.
    pub at: Timestamp,
    /// Equal to `seq` when every effect is durable and nothing is in flight.
    pub clean: u64,
}

impl HeadRow {
    /// Whether the log may be served without an activation.
    pub fn is_clean(&self) -> bool {
        self.clean == self.seq
    }
}

/// An epoch's place in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EpochRow {
    /// Conversation.
    pub conversation: ConversationId,
    /// Epoch.
    pub epoch: u64,
    /// First seq it owns; `None` while its activation is under way,
    /// [`Self::NEVER`] when a later epoch closed it before it began.
    pub first_seq: Option<u64>,
}

impl EpochRow {
    /// The first seq of an epoch that owns none and never will.
    pub const NEVER: u64 = fanfare_protocol::limits::WHOLE_NUMBER_MAX;

    /// The first seq it owns, if it began.
    pub fn begins_at(&self) -> Option<u64> {
        self.first_seq.filter(|first| *first < Self::NEVER)
    }
}
