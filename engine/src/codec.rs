//! Stored values: MessagePack with field names, so that a later version
//! reads an earlier one's rows.

use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// A stored value that is not what its table holds.
#[derive(Debug, thiserror::Error)]
pub enum CodecError {
    /// While writing.
    #[error("value could not be encoded")]
    Encode(#[from] rmp_serde::encode::Error),
    /// While reading: a newer version wrote it, or it is damaged.
    #[error("stored value could not be decoded")]
    Decode(#[from] rmp_serde::decode::Error),
}

/// Encodes a value for storage.
///
/// # Errors
/// [`CodecError::Encode`] for values without a MessagePack form.
pub fn encode<T: Serialize>(value: &T) -> Result<Bytes, CodecError> {
    Ok(rmp_serde::to_vec_named(value)?.into())
}

/// Decodes a stored value.
///
/// # Errors
/// [`CodecError::Decode`] when the bytes are not such a value.
pub fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, CodecError> {
    Ok(rmp_serde::from_slice(bytes)?)
}
