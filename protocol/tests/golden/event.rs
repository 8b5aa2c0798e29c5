//! Numbered events: `{"type", "conversation", "epoch", "seq", "data"}`.

use fanfare_protocol::conversation::{JoinPolicy, Kind, Visibility};
use fanfare_protocol::event::{ConversationChange, Event};
use fanfare_protocol::message::ReactionChange;
use fanfare_protocol::participant::RemovalReason;

use super::*;

/// Numbers the events: a new one does not compile before it stands here,
/// and fails below before it has its bytes.
const EVENTS: usize = 9;
fn number(event: &Event) -> usize {
    match event {
        Event::MessageReceived { .. } => 0,
        Event::MessageEdited { .. } => 1,
        Event::MessageDeleted { .. } => 2,
        Event::MessageReactions { .. } => 3,
        Event::ParticipantAdded { .. } => 4,
        Event::ParticipantUpdated { .. } => 5,
        Event::ParticipantRemoved { .. } => 6,
        Event::ConversationUpdated(_) => 7,
        Event::ConversationDeleted { .. } => 8,
    }
}

fn of_messages() -> Vec<(Event, &'static str, &'static str)> {
    vec![
        (
            Event::MessageReceived {
                message: Message {
                    key: Some("k".into()),
                    ..plain_message()
                },
            },
            "message:received",
            r#"{"message":{"id":"$MESSAGE","conversation":"$ROOM","seq":41,"epoch":3,"rev":41,"author":"$ALICE","type":"text","text":"hello","reactions":[],"editCount":0,"sentAt":"2026-11-21T03:16:45.120Z","key":"k"}}"#,
        ),
        (
            Event::MessageEdited {
                message: older_id(),
                rev: 41,
                text: "hi @bob".into(),
                mentions: vec![user(BOB)],
                edited_at: at(2),
                edit_count: 1,
            },
            "message:edited",
            r#"{"message":"$OLDER","rev":41,"text":"hi @bob","mentions":["$BOB"],"editedAt":"2026-11-21T03:16:46.120Z","editCount":1}"#,
        ),
        (
            // Absolute: who is named no longer is not in the list.
            Event::MessageEdited {
                message: older_id(),
                rev: 41,
                text: "hi".into(),
                mentions: Vec::new(),
                edited_at: at(2),
                edit_count: 2,
            },
            "message:edited",
            r#"{"message":"$OLDER","rev":41,"text":"hi","mentions":[],"editedAt":"2026-11-21T03:16:46.120Z","editCount":2}"#,
        ),
        (
            Event::MessageDeleted {
                message: older_id(),
                rev: 41,
                deleted_at: at(3),
            },
            "message:deleted",
            r#"{"message":"$OLDER","rev":41,"deletedAt":"2026-11-21T03:16:47.120Z"}"#,
        ),
        (
            Event::MessageReactions {
                message: older_id(),
                rev: 41,
                reactions: vec![reaction(None)],
                changes: vec![ReactionChange {
                    user: user(BOB),
                    emoji: "👍🏽".into(),
                    on: true,
                }],
            },
            "message:reactions",
            r#"{"message":"$OLDER","rev":41,"reactions":[{"emoji":"👍🏽","count":2}],"changes":[{"user":"$BOB","emoji":"👍🏽","on":true}]}"#,
        ),
    ]
}

fn of_people() -> Vec<(Event, &'static str, &'static str)> {
    let removed = |reason, by| Event::ParticipantRemoved {
        user: user(BOB),
        reason,
        by,
    };
    vec![
        (
            Event::ParticipantAdded {
                participant: participant(),
            },
            "participant:added",
            r#"{"participant":{"user":$ALICE_USER,"role":"admin","state":"active","joinedAt":"2026-11-21T03:16:47.120Z"}}"#,
        ),
        (
            Event::ParticipantUpdated {
                participant: participant(),
            },
            "participant:updated",
            r#"{"participant":{"user":$ALICE_USER,"role":"admin","state":"active","joinedAt":"2026-11-21T03:16:47.120Z"}}"#,
        ),
        (
            removed(RemovalReason::Removed, Some(user(ALICE))),
            "participant:removed",
            r#"{"user":"$BOB","reason":"removed","by":"$ALICE"}"#,
        ),
        (
            removed(RemovalReason::Left, None),
            "participant:removed",
            r#"{"user":"$BOB","reason":"left"}"#,
        ),
    ]
}

fn of_the_conversation() -> Vec<(Event, &'static str, &'static str)> {
    vec![
        (
            Event::ConversationUpdated(ConversationChange {
                kind: Some(Kind::Channel),
                title: Some("Tea".into()),
                slug: Some("tea".into()),
                description: Some(String::new()),
                visibility: Some(Visibility::Public),
                join_policy: Some(JoinPolicy::Open),
                member_count: Some(1),
            }),
            "conversation:updated",
            r#"{"kind":"channel","title":"Tea","slug":"tea","description":"","visibility":"public","joinPolicy":"open","memberCount":1}"#,
        ),
        (
            Event::ConversationUpdated(ConversationChange {
                member_count: Some(300),
                ..ConversationChange::default()
            }),
            "conversation:updated",
            r#"{"memberCount":300}"#,
        ),
        (
            Event::ConversationDeleted { by: user(ALICE) },
            "conversation:deleted",
            r#"{"by":"$ALICE"}"#,
        ),
    ]
}

#[test]
fn every_event_has_these_bytes() {
    let mut seen = [false; EVENTS];
    let all = [of_messages(), of_people(), of_the_conversation()].concat();
    for (event, name, data) in all {
        let golden = format!(
            r#"{{"type":"{name}","conversation":"$ROOM","epoch":3,"seq":41,"data":{data}}}"#
        );
        are(&golden, |codec| codec.event(room(), 3, 41, &event));
        seen[number(&event)] = true;
    }
    assert_eq!(seen, [true; EVENTS]);
}
