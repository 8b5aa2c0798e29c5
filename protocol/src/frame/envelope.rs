//! What is around every client frame, read so that the `id` is found even
//! where the rest does not fit: only then does a refusal find its request.

use std::fmt;

use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::id::FrameId;
use crate::Codec;
use crate::decode::{no_json, no_msgpack, unknown_field};
use crate::limits::KEY_CHARS_MAX;
use crate::msgpack::{self, Reader};
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
    /// `invalid_frame` for what is no object, or whose `id` cannot be echoed.
    pub(super) fn open(codec: Codec, bytes: &'a [u8]) -> Result<Self, Refusal> {
        let parts = match codec {
            Codec::Json => Parts::of_json(bytes)?,
            Codec::MessagePack => Parts::of_msgpack(bytes)?,
        };
        let id = match parts.id {
            None => None,
            Some(raw) => codec.read(raw).ok_or_else(|| {
                Refusal::new(
                    Code::InvalidFrame,
                    "id must be a number or a string of at most 64 characters",
                )
            })?,
        };
        let key = parts.key.map_or(Ok(None), |raw| key_of(codec, raw));
        let content = match parts.fault {
            Some(fault) => Err(fault),
            None => content(codec, parts.kind, parts.data),
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

fn key_of(codec: Codec, raw: &[u8]) -> Result<Option<String>, Refusal> {
    let key: Option<Option<String>> = codec.read(raw);
    let key = key.ok_or_else(|| Refusal::field("key", "expected a string"))?;
    key.as_deref().map_or(Ok(()), check_key)?;
    Ok(key)
}

fn content<'a>(
    codec: Codec,
    kind: Option<&'a [u8]>,
    data: Option<&'a [u8]>,
) -> Result<(String, &'a [u8]), Refusal> {
    let kind = kind.ok_or_else(|| Refusal::field("type", "missing field"))?;
    let kind = codec
        .read(kind)
        .ok_or_else(|| Refusal::field("type", "expected a string"))?;
    let data = data.filter(|data| *data != codec.nil());
    Ok((kind, data.unwrap_or(codec.empty_object())))
}

/// The fields of a frame, each value's bytes as they came.
#[derive(Default)]
struct Parts<'a> {
    id: Option<&'a [u8]>,
    kind: Option<&'a [u8]>,
    data: Option<&'a [u8]>,
    key: Option<&'a [u8]>,
    /// The first field that is unknown or stands there twice.
    fault: Option<Refusal>,
}

impl<'a> Parts<'a> {
    fn of_json(text: &'a [u8]) -> Result<Self, Refusal> {
        serde_json::from_slice(text).map_err(|error| {
            if error.is_data() {
                no_object()
            } else {
                no_json(&error)
            }
        })
    }

    fn of_msgpack(bytes: &'a [u8]) -> Result<Self, Refusal> {
        Self::walk(bytes)
            .map_err(|error| no_msgpack(&error))?
            .ok_or_else(no_object)
    }

    /// `None` for what is no map.
    fn walk(bytes: &'a [u8]) -> Result<Option<Self>, msgpack::Error> {
        let mut whole = Reader::new(bytes);
        whole.raw()?;
        whole.end()?;
        let mut reader = Reader::new(bytes);
        let Some(pairs) = reader.open_map()? else {
            return Ok(None);
        };
        let mut parts = Self::default();
        for _ in 0..pairs {
            let name = Codec::MessagePack.read(reader.raw()?);
            let no_name =
                || Name::Unknown(Refusal::new(Code::InvalidFrame, "a key is not a string"));
            parts.put(name.unwrap_or_else(no_name), reader.raw()?);
        }
        Ok(Some(parts))
    }

    fn put(&mut self, name: Name, value: &'a [u8]) {
        let (slot, name) = match name {
            Name::Id => (&mut self.id, "id"),
            Name::Kind => (&mut self.kind, "type"),
            Name::Data => (&mut self.data, "data"),
            Name::Key => (&mut self.key, "key"),
            Name::Unknown(refusal) => {
                self.fault.get_or_insert(refusal);
                return;
            }
        };
        if slot.is_some() {
            let twice = Refusal::field(name, "duplicate field");
            self.fault.get_or_insert(twice);
        } else {
            *slot = Some(value);
        }
    }
}

fn no_object() -> Refusal {
    Refusal::new(Code::InvalidFrame, "not a frame: expected an object")
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
                while let Some(name) = map.next_key()? {
                    let value: &RawValue = map.next_value()?;
                    parts.put(name, value.get().as_bytes());
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
