//! The `id` of a frame, echoed as it came.

use std::fmt;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize};

use crate::limits::{FRAME_ID_CHARS_MAX, WHOLE_NUMBER_MAX};

/// A frame's `id`: a number or a string of at most 64 characters. Numbers
/// beyond 64 bits, and fractions too large to be exact, are none.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum FrameId {
    /// An unsigned integer.
    Number(u64),
    /// A negative integer.
    Negative(i64),
    /// Any other number.
    Float(f64),
    /// A string.
    Text(String),
}

impl<'de> Deserialize<'de> for FrameId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IdVisitor;
        impl Visitor<'_> for IdVisitor {
            type Value = FrameId;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(
                    f,
                    "a number or a string of at most {FRAME_ID_CHARS_MAX} characters"
                )
            }
            fn visit_u64<E: de::Error>(self, id: u64) -> Result<FrameId, E> {
                Ok(FrameId::Number(id))
            }
            fn visit_i64<E: de::Error>(self, id: i64) -> Result<FrameId, E> {
                Ok(u64::try_from(id).map_or(FrameId::Negative(id), FrameId::Number))
            }
            fn visit_f64<E: de::Error>(self, id: f64) -> Result<FrameId, E> {
                if id.abs() <= WHOLE_NUMBER_MAX as f64 {
                    Ok(FrameId::Float(id))
                } else {
                    Err(E::invalid_value(de::Unexpected::Float(id), &self))
                }
            }
            fn visit_str<E: de::Error>(self, id: &str) -> Result<FrameId, E> {
                if id.chars().count() <= FRAME_ID_CHARS_MAX {
                    Ok(FrameId::Text(id.to_owned()))
                } else {
                    Err(E::invalid_length(id.chars().count(), &self))
                }
            }
        }
        deserializer.deserialize_any(IdVisitor)
    }
}
