//! Ids: opaque strings to clients, UUIDv7 or a packed address to us.

use std::fmt;
use std::marker::PhantomData;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::de::{self, Deserializer, Visitor};
use serde::ser::Serializer;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// An id that is not of its form. Shown to clients as `invalid_request`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a valid {0} id")]
pub struct InvalidId(pub &'static str);

macro_rules! uuid_id {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
        #[serde(transparent)]
        pub struct $name(pub Uuid);

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                if deserializer.is_human_readable() {
                    deserializer.deserialize_str(Spelled::new($what))
                } else {
                    Uuid::deserialize(deserializer).map(Self)
                }
            }
        }

        impl $name {
            /// The sixteen bytes, as stored in keys.
            pub fn as_bytes(&self) -> &[u8; 16] {
                self.0.as_bytes()
            }

            /// Reads sixteen bytes as [`Self::as_bytes`] wrote them.
            pub fn from_bytes(bytes: [u8; 16]) -> Self {
                Self(Uuid::from_bytes(bytes))
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.hyphenated().fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(self, f)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;
            fn from_str(text: &str) -> Result<Self, InvalidId> {
                uuid_as_written(text).map(Self).ok_or(InvalidId($what))
            }
        }
    };
}

uuid_id!(
    /// A user account (UUIDv7).
    UserId,
    "user"
);
uuid_id!(
    /// A conversation (UUIDv7).
    ConversationId,
    "conversation"
);
uuid_id!(
    /// One login of one device (UUIDv7): what log-out and revocation name.
    SessionId,
    "session"
);

/// A message's address: its conversation, epoch and seq. Opaque to clients,
/// so that no second index is needed to find a message by id.
///
/// Text form: base64url without padding of 16 bytes conversation, 8 bytes
/// epoch, 8 bytes seq, both big-endian (43 characters).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageId {
    /// The conversation that holds it.
    pub conversation: ConversationId,
    /// The epoch its entry was written under.
    pub epoch: u64,
    /// Its place in the conversation's log, from 1.
    pub seq: u64,
}

impl MessageId {
    fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        bytes[..16].copy_from_slice(self.conversation.as_bytes());
        bytes[16..24].copy_from_slice(&self.epoch.to_be_bytes());
        bytes[24..].copy_from_slice(&self.seq.to_be_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (conversation, rest) = bytes.split_first_chunk::<16>()?;
        let (epoch, rest) = rest.split_first_chunk::<8>()?;
        let (seq, rest) = rest.split_first_chunk::<8>()?;
        rest.is_empty().then_some(Self {
            conversation: ConversationId::from_bytes(*conversation),
            epoch: u64::from_be_bytes(*epoch),
            seq: u64::from_be_bytes(*seq),
        })
    }
}

impl fmt::Display for MessageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&URL_SAFE_NO_PAD.encode(self.to_bytes()))
    }
}

impl FromStr for MessageId {
    type Err = InvalidId;
    fn from_str(text: &str) -> Result<Self, InvalidId> {
        if text.len() != 43 {
            return Err(InvalidId("message"));
        }
        let bytes = URL_SAFE_NO_PAD
            .decode(text)
            .map_err(|_| InvalidId("message"))?;
        Self::from_bytes(&bytes).ok_or(InvalidId("message"))
    }
}

impl Serialize for MessageId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            serializer.serialize_bytes(&self.to_bytes())
        }
    }
}

impl<'de> Deserialize<'de> for MessageId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Packed;
        impl Visitor<'_> for Packed {
            type Value = MessageId;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a message id")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<MessageId, E> {
                MessageId::from_bytes(bytes).ok_or_else(|| E::custom(InvalidId("message")))
            }
        }
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Spelled::new("message"))
        } else {
            deserializer.deserialize_bytes(Packed)
        }
    }
}

/// The hyphenated form in lowercase only: one id has one spelling.
fn uuid_as_written(text: &str) -> Option<Uuid> {
    let one_spelling = text.len() == 36 && !text.bytes().any(|byte| byte.is_ascii_uppercase());
    one_spelling.then(|| Uuid::try_parse(text).ok()).flatten()
}

/// Reads an id as people see it.
struct Spelled<T> {
    what: &'static str,
    id: PhantomData<T>,
}

impl<T> Spelled<T> {
    fn new(what: &'static str) -> Self {
        let id = PhantomData;
        Self { what, id }
    }
}

impl<T: FromStr<Err = InvalidId>> Visitor<'_> for Spelled<T> {
    type Value = T;
    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a {} id", self.what)
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        text.parse().map_err(E::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_id_survives_both_forms() {
        let id = MessageId {
            conversation: ConversationId(Uuid::from_u128(7)),
            epoch: 3,
            seq: 41,
        };
        assert_eq!(id.to_string().parse::<MessageId>(), Ok(id));
        assert_eq!(MessageId::from_bytes(&id.to_bytes()), Some(id));
        assert_eq!("AA".parse::<MessageId>(), Err(InvalidId("message")));
    }

    #[test]
    fn an_id_has_one_spelling() {
        let id = UserId(Uuid::from_u128(0xABCD));
        let text = "00000000-0000-0000-0000-00000000abcd";
        assert_eq!(text.parse(), Ok(id));
        assert_eq!(
            serde_json::from_str::<UserId>(&format!("\"{text}\"")).ok(),
            Some(id)
        );
        for other in [
            "0000000000000000000000000000abcd",
            "{00000000-0000-0000-0000-00000000abcd}",
            "urn:uuid:00000000-0000-0000-0000-00000000abcd",
            "00000000-0000-0000-0000-00000000ABCD",
            "00000000-0000-0000-0000-00000000abcd ",
            "",
        ] {
            assert!(other.parse::<UserId>().is_err(), "{other}");
            let json = serde_json::to_string(other).unwrap();
            assert!(serde_json::from_str::<UserId>(&json).is_err(), "{other}");
        }
        let message = MessageId {
            conversation: ConversationId(id.0),
            epoch: 1,
            seq: 2,
        };
        let text = message.to_string();
        let (head, last) = text.split_at(42);
        assert_eq!(last, "I", "the last character has two bits to spare");
        assert!(format!("{head}J").parse::<MessageId>().is_err());
    }
}
