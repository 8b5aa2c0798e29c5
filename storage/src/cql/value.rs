//! Values that statements are filled with.

use bytes::Bytes;
use fanfare_engine::stamp::Stamp;
use fanfare_protocol::{ConversationId, SessionId, UserId};
use scylla::cluster::metadata::ColumnType;
use scylla::serialize::SerializationError;
use scylla::serialize::value::SerializeValue;
use scylla::serialize::writers::{CellWriter, WrittenCellProof};

/// One value. A closed set, so that statements of one batch share a type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) enum Value {
    /// `blob`.
    Bytes(Bytes),
    /// `blob`: an id, whose order is that of its bytes.
    Id([u8; 16]),
    /// `bigint`.
    Number(i64),
    /// `int`.
    Int(i32),
    /// `smallint`.
    Small(i16),
    /// `boolean`.
    Flag(bool),
    /// `text`.
    Text(String),
}

impl Value {
    /// A number as the store keeps it. Seqs, epochs and counts end below 2⁴⁰
    /// (see [`Stamp`]), so only bounds of ranges are ever cut off.
    pub(crate) fn number(number: u64) -> Self {
        Self::Number(i64::try_from(number).unwrap_or(i64::MAX))
    }

    /// Bytes it adds to a request, about.
    pub(crate) fn weight_bytes(&self) -> usize {
        8 + match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Text(text) => text.len(),
            Self::Id(_) => 16,
            Self::Number(_) | Self::Int(_) | Self::Small(_) | Self::Flag(_) => 8,
        }
    }
}

impl SerializeValue for Value {
    fn serialize<'b>(
        &self,
        typ: &ColumnType<'_>,
        writer: CellWriter<'b>,
    ) -> Result<WrittenCellProof<'b>, SerializationError> {
        match self {
            Self::Bytes(bytes) => bytes.serialize(typ, writer),
            Self::Id(id) => (&id[..]).serialize(typ, writer),
            Self::Number(number) => number.serialize(typ, writer),
            Self::Int(number) => number.serialize(typ, writer),
            Self::Small(number) => number.serialize(typ, writer),
            Self::Flag(flag) => flag.serialize(typ, writer),
            Self::Text(text) => text.serialize(typ, writer),
        }
    }
}

impl From<ConversationId> for Value {
    fn from(id: ConversationId) -> Self {
        Self::Id(*id.as_bytes())
    }
}

impl From<UserId> for Value {
    fn from(id: UserId) -> Self {
        Self::Id(*id.as_bytes())
    }
}

impl From<SessionId> for Value {
    fn from(id: SessionId) -> Self {
        Self::Id(*id.as_bytes())
    }
}

impl From<Bytes> for Value {
    fn from(bytes: Bytes) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<Stamp> for Value {
    fn from(stamp: Stamp) -> Self {
        Self::Number(stamp.micros())
    }
}
