//! Signals: `{"type", "conversation"?, "data"}`, without seq.

use fanfare_protocol::cursor::Placed;
use fanfare_protocol::mark::MarkUpdate;
use fanfare_protocol::signal::Signal;
use fanfare_protocol::{Code, Refusal};

use super::*;

/// Numbers the signals, as in `event.rs`.
const SIGNALS: usize = 6;
fn number(signal: &Signal) -> usize {
    match signal {
        Signal::MessageStatus { .. } => 0,
        Signal::UnreadUpdate { .. } => 1,
        Signal::ConversationCreated { .. } => 2,
        Signal::SessionResumed(_) => 3,
        Signal::SessionReconnect { .. } => 4,
        Signal::Error { .. } => 5,
    }
}

fn of_a_conversation() -> Vec<(Signal, &'static str)> {
    vec![
        (
            Signal::MessageStatus {
                marks: vec![
                    MarkUpdate {
                        user: user(BOB),
                        delivered_seq: Some(41),
                        read_seq: None,
                    },
                    MarkUpdate {
                        user: user(ALICE),
                        delivered_seq: Some(41),
                        read_seq: Some(40),
                    },
                ],
            },
            r#"{"type":"message:status","conversation":"$ROOM","data":{"marks":[{"user":"$BOB","deliveredSeq":41},{"user":"$ALICE","deliveredSeq":41,"readSeq":40}]}}"#,
        ),
        (
            Signal::UnreadUpdate {
                unread: 3,
                mentions: 1,
                read_seq: 38,
            },
            r#"{"type":"unread:update","conversation":"$ROOM","data":{"unread":3,"mentions":1,"readSeq":38}}"#,
        ),
        (
            Signal::ConversationCreated {
                conversation: Box::new(channel()),
                cursor: cursor(),
            },
            r#"{"type":"conversation:created","conversation":"$ROOM","data":{"conversation":{"id":"$ROOM","kind":"channel","title":"Tea","slug":"tea","description":"all about tea","visibility":"public","joinPolicy":"open","memberCount":2,"headSeq":41,"me":{"role":"owner","unread":3,"mentions":1,"readSeq":38,"fromSeq":1},"createdAt":"2026-11-21T03:16:44.120Z"},"cursor":{"conversation":"$ROOM","epoch":3,"seq":41}}}"#,
        ),
    ]
}

fn of_the_session() -> Vec<(Signal, &'static str)> {
    vec![
        (
            Signal::SessionResumed(Placed {
                subscribed: vec![cursor()],
                ..Placed::default()
            }),
            r#"{"type":"session:resumed","data":{"subscribed":[{"conversation":"$ROOM","epoch":3,"seq":41}],"resync":[],"gone":[],"later":[]}}"#,
        ),
        (
            Signal::SessionReconnect { delay_ms: 750 },
            r#"{"type":"session:reconnect","data":{"delayMs":750}}"#,
        ),
        (
            Signal::Error {
                key: Some("k".into()),
                refusal: Refusal::not_a_member(),
            },
            r#"{"type":"error","data":{"key":"k","code":"not_a_member","message":"you are not a member of this conversation","retryable":false}}"#,
        ),
        (
            Signal::Error {
                key: None,
                refusal: Refusal::new(Code::InvalidFrame, "not JSON"),
            },
            r#"{"type":"error","data":{"code":"invalid_frame","message":"not JSON","retryable":false}}"#,
        ),
    ]
}

#[test]
fn every_signal_has_these_bytes() {
    let mut seen = [false; SIGNALS];
    let lists = [
        (Some(room()), of_a_conversation()),
        (None, of_the_session()),
    ];
    for (conversation, signals) in lists {
        for (signal, golden) in signals {
            are(golden, |codec| codec.signal(conversation, &signal));
            seen[number(&signal)] = true;
        }
    }
    assert_eq!(seen, [true; SIGNALS]);
}
