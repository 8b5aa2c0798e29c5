//! Golden bytes: every shape that clients may rely on, byte for byte. A
//! changed byte fails here and is a reviewed decision (PROTOCOL, "The wire").
//! Texts are written by hand from the protocol page, never from the output.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod client;
mod event;
mod msgpack;
#[path = "../packed/mod.rs"]
mod packed;
mod record;
mod reply;
mod rest;
mod signal;

use bytes::Bytes;
use fanfare_protocol::codec::{Codec, Failed};
use fanfare_protocol::conversation::{Conversation, JoinPolicy, Kind, Me, Role, Visibility};
use fanfare_protocol::cursor::Cursor;
use fanfare_protocol::message::{Message, MessageType, ReactionCount};
use fanfare_protocol::participant::{MemberState, Participant};
use fanfare_protocol::user::{GlobalRole, User};
use fanfare_protocol::{ConversationId, MessageId, SessionId, Timestamp, UserId};
use packed::packed;
use serde::Serialize;
use uuid::Uuid;

const ALICE: &str = "0199f0a2-0000-7000-8000-00000000a11c";
const BOB: &str = "0199f0a2-0000-7000-8000-000000000b0b";
const ROOM: &str = "0199f0a2-1111-7000-8000-00000000c0de";
const SESSION: &str = "0199f0a2-2222-7000-8000-000000005e55";
/// Of entry 41, epoch 3.
const MESSAGE: &str = "AZnwohERcACAAAAAAADA3gAAAAAAAAADAAAAAAAAACk";
/// Of entry 7, epoch 1.
const OLDER: &str = "AZnwohERcACAAAAAAADA3gAAAAAAAAABAAAAAAAAAAc";

const ALICE_USER: &str = r#"{"id":"0199f0a2-0000-7000-8000-00000000a11c","username":"alice","displayName":"Alice 🦊","role":"user","verified":false,"createdAt":"2026-11-21T03:16:44.120Z"}"#;

/// Replaces the names of this file in a golden text.
fn filled(golden: &str) -> String {
    golden
        .replace("$ALICE_USER", ALICE_USER)
        .replace("$ALICE", ALICE)
        .replace("$BOB", BOB)
        .replace("$ROOM", ROOM)
        .replace("$SESSION", SESSION)
        .replace("$MESSAGE", MESSAGE)
        .replace("$OLDER", OLDER)
}

/// The bytes of a value are exactly these.
fn holds<T: Serialize>(value: &T, golden: &str) {
    are(golden, |codec| codec.encode(value));
}

/// What is encoded has exactly these bytes, and in MessagePack what they are
/// there.
fn are(golden: &str, encode: impl Fn(Codec) -> Result<Bytes, Failed>) {
    let golden = filled(golden);
    let json = encode(Codec::Json).unwrap();
    assert_eq!(std::str::from_utf8(&json).unwrap(), golden);
    let msgpack = encode(Codec::MessagePack).unwrap();
    assert_eq!(msgpack, packed(&golden), "{golden} as MessagePack");
}

/// A golden text in both codecs.
fn both(text: &str) -> [(Codec, Vec<u8>); 2] {
    let (json, msgpack) = (text.as_bytes().to_vec(), packed(text));
    [(Codec::Json, json), (Codec::MessagePack, msgpack)]
}

fn user(id: &str) -> UserId {
    id.parse().unwrap()
}

fn room() -> ConversationId {
    ROOM.parse().unwrap()
}

fn session() -> SessionId {
    SESSION.parse().unwrap()
}

fn message_id() -> MessageId {
    MessageId {
        conversation: room(),
        epoch: 3,
        seq: 41,
    }
}

fn older_id() -> MessageId {
    MessageId {
        conversation: room(),
        epoch: 1,
        seq: 7,
    }
}

/// 2026-11-21T03:16:44.120Z and so many seconds.
fn at(s: i64) -> Timestamp {
    Timestamp(1_795_231_004_120 + s * 1000)
}

fn cursor() -> Cursor {
    Cursor {
        conversation: room(),
        epoch: 3,
        seq: 41,
    }
}

fn alice() -> User {
    User {
        id: user(ALICE),
        username: "alice".into(),
        display_name: "Alice 🦊".into(),
        avatar: None,
        bio: None,
        role: GlobalRole::User,
        verified: false,
        created_at: at(0),
    }
}

fn plain_message() -> Message {
    Message {
        id: message_id(),
        conversation: room(),
        seq: 41,
        epoch: 3,
        rev: 41,
        author: user(ALICE),
        kind: MessageType::Text,
        text: "hello".into(),
        reply_to: None,
        mentions: Vec::new(),
        reactions: Vec::new(),
        edited_at: None,
        edit_count: 0,
        deleted_at: None,
        sent_at: at(1),
        key: None,
    }
}

fn full_message() -> Message {
    Message {
        rev: 45,
        text: "hi @bob \u{0}\u{1b}\u{202E}\"\\/\n".into(),
        reply_to: Some(older_id()),
        mentions: vec![user(BOB)],
        reactions: vec![reaction(None)],
        edited_at: Some(at(2)),
        edit_count: 1,
        key: Some("0199f0a2-key".into()),
        ..plain_message()
    }
}

fn reaction(me: Option<bool>) -> ReactionCount {
    ReactionCount {
        emoji: "👍🏽".into(),
        count: 2,
        me,
    }
}

fn participant() -> Participant {
    Participant {
        user: alice(),
        role: Role::Admin,
        state: MemberState::Active,
        joined_at: at(3),
        delivered_seq: None,
        read_seq: None,
    }
}

fn channel() -> Conversation {
    Conversation {
        id: room(),
        kind: Kind::Channel,
        title: Some("Tea".into()),
        slug: Some("tea".into()),
        description: Some("all about tea".into()),
        visibility: Visibility::Public,
        join_policy: JoinPolicy::Open,
        member_count: 2,
        head_seq: 41,
        last_message: None,
        me: Some(Me {
            role: Role::Owner,
            unread: 3,
            mentions: 1,
            read_seq: 38,
            from_seq: 1,
            muted_until: None,
        }),
        created_at: at(0),
    }
}

#[test]
fn the_names_of_this_file_are_what_they_say() {
    assert_eq!(message_id().to_string(), MESSAGE);
    assert_eq!(older_id().to_string(), OLDER);
    assert_eq!(
        user(ALICE),
        UserId(Uuid::from_u128(0x0199f0a2_0000_7000_8000_00000000a11c))
    );
    holds(&alice(), "$ALICE_USER");
}
