//! What is around every client frame, read so that the `id` is found even
//! where the rest does not fit: only then does a refusal find its request.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::id::FrameId;
use crate::decode::{no_json, unknown_field};
use crate::limits::KEY_CHARS_MAX;
use crate::refusal::{Code, Refusal};

/// A frame taken apart, its `data` still unread.
pub(super) struct Envelope<'a> {
    pub(super) id: Option<FrameId>,
    pub(super) key: Option<String>,
    /// `type` and `data`, or what is wrong around them.
    pub(super) content: Result<(String, &'a [u8]), Refusal>,
}

impl<'a> Envelope<'a> {
    /// # Errors
    /// `invalid_frame` for what is no JSON object, or whose `id` cannot be
    /// echoed.
    pub(super) fn open(text: &'a [u8]) -> Result<Self, Refusal> {
        let parts: Parts<'a> = serde_json::from_slice(text).map_err(|error| {
            if error.is_data() {
                Refusal::new(Code::InvalidFrame, "not a frame: expected an object")
            } else {
                no_json(&error)
            }
        })?;
        let id = match parts.id {
            None => None,
            Some(raw) => serde_json::from_str(raw.get()).map_err(|_| {
                Refusal::new(
                    Code::InvalidFrame,
                    "id must be a number or a string of at most 64 characters",
                )
            })?,
        };
        let key = parts.key.map_or(Ok(None), key_of);
        let content = match parts.fault {
            Some(fault) => Err(fault),
            None => content(parts.kind, parts.data),
        };
        Ok(match key {
            Ok(key) => Self { id, key, content },
            Err(fault) => Self {
                id,
                key: None,
                content: content.and(Err(fault)),
            },
        })
    }
}

/// Checks an idempotency key, wherever it came from: 1 to 128 characters.
///
/// # Errors
/// `invalid_request` naming `key`.
pub fn check_key(key: &str) -> Result<(), Refusal> {
    if key.is_empty() {
        return Err(Refusal::field("key", "must not be empty"));
    }
    if key.chars().count() > KEY_CHARS_MAX {
        return Err(Refusal::field(
            "key",
            format!("longer than {KEY_CHARS_MAX} characters"),
        ));
    }
    Ok(())
}

fn key_of(raw: &RawValue) -> Result<Option<String>, Refusal> {
    let key: Option<String> =
        serde_json::from_str(raw.get()).map_err(|_| Refusal::field("key", "expected a string"))?;
    key.as_deref().map_or(Ok(()), check_key)?;
    Ok(key)
}

fn content<'a>(
    kind: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
) -> Result<(String, &'a [u8]), Refusal> {
    let kind = kind.ok_or_else(|| Refusal::field("type", "missing field"))?;
    let kind = serde_json::from_str(kind.get())
        .map_err(|_| Refusal::field("type", "expected a string"))?;
    let data = match data.map(RawValue::get) {
        None | Some("null") => "{}",
        Some(data) => data,
    };
    Ok((kind, data.as_bytes()))
}

#[derive(Default)]
struct Parts<'a> {
    id: Option<&'a RawValue>,
    kind: Option<&'a RawValue>,
    data: Option<&'a RawValue>,
    key: Option<&'a RawValue>,
    /// The first field that is unknown or stands there twice.
    fault: Option<Refusal>,
}

impl<'de> Deserialize<'de> for Parts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct PartsVisitor;
        impl<'de> Visitor<'de> for PartsVisitor {
            type Value = Parts<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Parts<'de>, A::Error> {
                let mut parts = Parts::default();
                while let Some(name) = map.next_key::<Name>()? {
                    let (slot, name) = match name {
                        Name::Id => (&mut parts.id, "id"),
                        Name::Kind => (&mut parts.kind, "type"),
                        Name::Data => (&mut parts.data, "data"),
                        Name::Key => (&mut parts.key, "key"),
                        Name::Unknown(refusal) => {
                            map.next_value::<IgnoredAny>()?;
                            parts.fault.get_or_insert(refusal);
                            continue;
                        }
                    };
                    let value = map.next_value()?;
                    if slot.is_some() {
                        let twice = Refusal::field(name, "duplicate field");
                        parts.fault.get_or_insert(twice);
                    } else {
                        *slot = Some(value);
                    }
                }
                Ok(parts)
            }
        }
        deserializer.deserialize_map(PartsVisitor)
    }
}

enum Name {
    Id,
    Kind,
    Data,
    Key,
    Unknown(Refusal),
}

impl<'de> Deserialize<'de> for Name {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NameVisitor;
        impl Visitor<'_> for NameVisitor {
            type Value = Name;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a field")
            }
            fn visit_str<E: de::Error>(self, name: &str) -> Result<Name, E> {
                Ok(match name {
                    "id" => Name::Id,
                    "type" => Name::Kind,
                    "data" => Name::Data,
                    "key" => Name::Key,
                    unknown => Name::Unknown(unknown_field(unknown)),
                })
            }
        }
        deserializer.deserialize_str(NameVisitor)
    }
}
