//! User, Conversation, Participant, Message and their words.

use fanfare_protocol::conversation::{Conversation, JoinPolicy, Kind, Role, Visibility};
use fanfare_protocol::cursor::{Cursor, Gone, GoneReason};
use fanfare_protocol::mark::MarkKind;
use fanfare_protocol::message::{Message, MessageType, MessageVersion};
use fanfare_protocol::participant::{MemberState, Participant, RemovalReason};
use fanfare_protocol::user::{GlobalRole, User};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::*;

/// Out and back again.
fn survives<T: Serialize + DeserializeOwned + PartialEq + std::fmt::Debug>(
    value: &T,
    golden: &str,
) {
    holds(value, golden);
    let back: T = serde_json::from_str(&filled(golden)).unwrap();
    assert_eq!(&back, value);
}

#[test]
fn users() {
    survives(&alice(), "$ALICE_USER");
    let full = User {
        avatar: Some("media-1".into()),
        bio: Some("likes tea".into()),
        role: GlobalRole::Admin,
        verified: true,
        ..alice()
    };
    survives(
        &full,
        r#"{"id":"$ALICE","username":"alice","displayName":"Alice 🦊","avatar":"media-1","bio":"likes tea","role":"admin","verified":true,"createdAt":"2026-11-21T03:16:44.120Z"}"#,
    );
}

#[test]
fn messages() {
    survives(
        &plain_message(),
        r#"{"id":"$MESSAGE","conversation":"$ROOM","seq":41,"epoch":3,"rev":41,"author":"$ALICE","type":"text","text":"hello","reactions":[],"editCount":0,"sentAt":"2026-11-21T03:16:45.120Z"}"#,
    );
    survives(
        &full_message(),
        "{\"id\":\"$MESSAGE\",\"conversation\":\"$ROOM\",\"seq\":41,\"epoch\":3,\"rev\":45,\"author\":\"$ALICE\",\"type\":\"text\",\"text\":\"hi @bob \\u0000\\u001b\u{202E}\\\"\\\\/\\n\",\"replyTo\":\"$OLDER\",\"mentions\":[\"$BOB\"],\"reactions\":[{\"emoji\":\"👍🏽\",\"count\":2}],\"editedAt\":\"2026-11-21T03:16:46.120Z\",\"editCount\":1,\"sentAt\":\"2026-11-21T03:16:45.120Z\",\"key\":\"0199f0a2-key\"}",
    );
    let deleted = Message {
        rev: 46,
        text: String::new(),
        deleted_at: Some(at(9)),
        ..plain_message()
    };
    survives(
        &deleted,
        r#"{"id":"$MESSAGE","conversation":"$ROOM","seq":41,"epoch":3,"rev":46,"author":"$ALICE","type":"text","text":"","reactions":[],"editCount":0,"deletedAt":"2026-11-21T03:16:53.120Z","sentAt":"2026-11-21T03:16:45.120Z"}"#,
    );
    // Only REST answers say whether the asker is among them.
    survives(
        &reaction(Some(true)),
        r#"{"emoji":"👍🏽","count":2,"me":true}"#,
    );
    let version = MessageVersion {
        text: "hello".into(),
        at: at(1),
        rev: 41,
    };
    survives(
        &version,
        r#"{"text":"hello","at":"2026-11-21T03:16:45.120Z","rev":41}"#,
    );
}

#[test]
fn conversations() {
    survives(
        &channel(),
        r#"{"id":"$ROOM","kind":"channel","title":"Tea","slug":"tea","description":"all about tea","visibility":"public","joinPolicy":"open","memberCount":2,"headSeq":41,"me":{"role":"owner","unread":3,"mentions":1,"readSeq":38,"fromSeq":1},"createdAt":"2026-11-21T03:16:44.120Z"}"#,
    );
    let mut muted = channel();
    muted.last_message = Some(plain_message());
    muted.me.as_mut().unwrap().muted_until = Some(at(60));
    survives(
        &muted,
        r#"{"id":"$ROOM","kind":"channel","title":"Tea","slug":"tea","description":"all about tea","visibility":"public","joinPolicy":"open","memberCount":2,"headSeq":41,"lastMessage":{"id":"$MESSAGE","conversation":"$ROOM","seq":41,"epoch":3,"rev":41,"author":"$ALICE","type":"text","text":"hello","reactions":[],"editCount":0,"sentAt":"2026-11-21T03:16:45.120Z"},"me":{"role":"owner","unread":3,"mentions":1,"readSeq":38,"fromSeq":1,"mutedUntil":"2026-11-21T03:17:44.120Z"},"createdAt":"2026-11-21T03:16:44.120Z"}"#,
    );
    let direct = Conversation {
        kind: Kind::Direct,
        title: None,
        slug: None,
        description: None,
        visibility: Visibility::Private,
        join_policy: JoinPolicy::Invite,
        me: None,
        ..channel()
    };
    survives(
        &direct,
        r#"{"id":"$ROOM","kind":"direct","visibility":"private","joinPolicy":"invite","memberCount":2,"headSeq":41,"createdAt":"2026-11-21T03:16:44.120Z"}"#,
    );
}

#[test]
fn participants() {
    survives(
        &participant(),
        r#"{"user":$ALICE_USER,"role":"admin","state":"active","joinedAt":"2026-11-21T03:16:47.120Z"}"#,
    );
    let marked = Participant {
        state: MemberState::Left,
        delivered_seq: Some(41),
        read_seq: Some(40),
        ..participant()
    };
    survives(
        &marked,
        r#"{"user":$ALICE_USER,"role":"admin","state":"left","joinedAt":"2026-11-21T03:16:47.120Z","deliveredSeq":41,"readSeq":40}"#,
    );
}

#[test]
fn cursors() {
    survives(&cursor(), r#"{"conversation":"$ROOM","epoch":3,"seq":41}"#);
    let gone = Gone {
        conversation: room(),
        reason: GoneReason::NotAMember,
    };
    survives(&gone, r#"{"conversation":"$ROOM","reason":"not_a_member"}"#);
    let start: Cursor =
        serde_json::from_str(&filled(r#"{"conversation":"$ROOM","epoch":0.0,"seq":0}"#)).unwrap();
    assert_eq!((start.epoch, start.seq), (0, 0));
}

/// Every word of every closed list.
#[test]
fn words() {
    let kinds = [Kind::Direct, Kind::Group, Kind::Channel];
    survives(&kinds.to_vec(), r#"["direct","group","channel"]"#);
    let roles = [Role::Member, Role::Moderator, Role::Admin, Role::Owner];
    survives(&roles.to_vec(), r#"["member","moderator","admin","owner"]"#);
    let seen = [Visibility::Public, Visibility::Private];
    survives(&seen.to_vec(), r#"["public","private"]"#);
    let policies = [JoinPolicy::Open, JoinPolicy::Invite];
    survives(&policies.to_vec(), r#"["open","invite"]"#);
    let states = [MemberState::Active, MemberState::Left];
    survives(&states.to_vec(), r#"["active","left"]"#);
    let reasons = [
        RemovalReason::Left,
        RemovalReason::Removed,
        RemovalReason::Deleted,
    ];
    survives(&reasons.to_vec(), r#"["left","removed","deleted"]"#);
    let globals = [GlobalRole::User, GlobalRole::Moderator, GlobalRole::Admin];
    survives(&globals.to_vec(), r#"["user","moderator","admin"]"#);
    let gone = [GoneReason::NotAMember, GoneReason::TooMany];
    survives(&gone.to_vec(), r#"["not_a_member","too_many"]"#);
    let marks = [MarkKind::Delivered, MarkKind::Read];
    survives(&marks.to_vec(), r#"["delivered","read"]"#);
    survives(&[MessageType::Text].to_vec(), r#"["text"]"#);
}
