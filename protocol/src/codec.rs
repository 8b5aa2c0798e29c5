//! The two codecs of the wire: the same shapes, names and rules in JSON and
//! in MessagePack (maps with names; ids and times are strings in both).

use bytes::Bytes;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::decode::{from_json, from_msgpack};
use crate::msgpack::Reader;
use crate::refusal::Refusal;

/// How shapes become bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Codec {
    /// JSON, UTF-8.
    #[default]
    Json,
    /// MessagePack.
    MessagePack,
}

/// A value that could not be encoded: a bug, answered as `internal`.
#[derive(Debug, thiserror::Error)]
#[error("could not be encoded")]
pub enum Failed {
    /// As JSON.
    Json(#[from] serde_json::Error),
    /// As MessagePack.
    MessagePack(#[from] rmp_serde::encode::Error),
}

impl Codec {
    /// Encodes a frame or an answer.
    ///
    /// # Errors
    /// [`Failed`] when `value` has no such form.
    pub fn encode<T: Serialize>(self, value: &T) -> Result<Bytes, Failed> {
        Ok(match self {
            Self::Json => serde_json::to_vec(value)?,
            Self::MessagePack => {
                let mut bytes = Vec::with_capacity(128);
                let named = rmp_serde::Serializer::new(&mut bytes).with_struct_map();
                value.serialize(&mut named.with_human_readable())?;
                bytes
            }
        }
        .into())
    }

    /// Decodes a request body or a frame's `data`: one object.
    ///
    /// # Errors
    /// `invalid_frame` when the bytes are not of this codec,
    /// `invalid_request` with `details` (field → reason) when what they say
    /// does not fit. A refusal repeats no value that was sent, and of an
    /// unknown field only the start of its name.
    pub fn decode<T: DeserializeOwned>(self, bytes: &[u8]) -> Result<T, Refusal> {
        match self {
            Self::Json => from_json(bytes),
            Self::MessagePack => from_msgpack(bytes),
        }
    }

    /// Reads one value that stands by itself, without a word on what is wrong.
    pub(crate) fn read<'de, T: Deserialize<'de>>(self, raw: &'de [u8]) -> Option<T> {
        match self {
            Self::Json => serde_json::from_slice(raw).ok(),
            Self::MessagePack => T::deserialize(&mut Reader::new(raw)).ok(),
        }
    }

    /// Nothing, spelled.
    pub(crate) fn nil(self) -> &'static [u8] {
        match self {
            Self::Json => b"null",
            Self::MessagePack => b"\xc0",
        }
    }

    /// An object without fields, spelled.
    pub fn empty_object(self) -> &'static [u8] {
        match self {
            Self::Json => b"{}",
            Self::MessagePack => b"\x80",
        }
    }
}
