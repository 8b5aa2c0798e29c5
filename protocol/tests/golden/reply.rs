//! Replies: `{"re", "data"}` or `{"re", "error"}`, and every refusal.

use fanfare_protocol::cursor::{Gone, GoneReason, Placed};
use fanfare_protocol::frame::{FrameId, HelloLimits, HelloReply};
use fanfare_protocol::reply::{Reply, SessionInfo};
use fanfare_protocol::{Code, Refusal};

use super::*;

/// Numbers the replies, as in `event.rs`.
const REPLIES: usize = 11;
fn number(reply: &Reply) -> usize {
    match reply {
        Reply::Hello(_) => 0,
        Reply::Placed(_) => 1,
        Reply::Info(_) => 2,
        Reply::Message { .. } => 3,
        Reply::MessagePlace { .. } => 4,
        Reply::MessageDeleted { .. } => 5,
        Reply::MessageReactions { .. } => 6,
        Reply::Read { .. } => 7,
        Reply::Delivered { .. } => 8,
        Reply::Joined { .. } => 9,
        Reply::Done {} => 10,
    }
}

fn of_the_session() -> Vec<(Reply, &'static str)> {
    let placed = Placed {
        subscribed: vec![cursor()],
        resync: vec![cursor()],
        gone: vec![Gone {
            conversation: room(),
            reason: GoneReason::NotAMember,
        }],
        later: vec![room()],
    };
    let hello = HelloReply {
        session: session(),
        user: alice(),
        minor: 0,
        heartbeat_s: 20,
        limits: HelloLimits {
            frame_bytes_max: 131_072,
            message_text_bytes_max: 16_384,
            subscriptions_max: 1000,
            cursors_max: 200,
            delivered_members_max: 64,
        },
        subscribed: Vec::new(),
        resync: Vec::new(),
        gone: Vec::new(),
        later: Vec::new(),
    };
    let info = SessionInfo {
        session: session(),
        user: alice(),
        subscribed: vec![cursor().conversation],
        connected_at: at(5),
    };
    vec![
        (
            Reply::Hello(Box::new(hello.clone())),
            r#"{"session":"$SESSION","user":$ALICE_USER,"minor":0,"heartbeatS":20,"limits":{"frameBytesMax":131072,"messageTextBytesMax":16384,"subscriptionsMax":1000,"cursorsMax":200,"deliveredMembersMax":64},"subscribed":[],"resync":[],"gone":[],"later":[]}"#,
        ),
        (
            Reply::Hello(Box::new(hello.place(placed.clone()))),
            r#"{"session":"$SESSION","user":$ALICE_USER,"minor":0,"heartbeatS":20,"limits":{"frameBytesMax":131072,"messageTextBytesMax":16384,"subscriptionsMax":1000,"cursorsMax":200,"deliveredMembersMax":64},"subscribed":[{"conversation":"$ROOM","epoch":3,"seq":41}],"resync":[{"conversation":"$ROOM","epoch":3,"seq":41}],"gone":[{"conversation":"$ROOM","reason":"not_a_member"}],"later":["$ROOM"]}"#,
        ),
        (
            Reply::Placed(placed),
            r#"{"subscribed":[{"conversation":"$ROOM","epoch":3,"seq":41}],"resync":[{"conversation":"$ROOM","epoch":3,"seq":41}],"gone":[{"conversation":"$ROOM","reason":"not_a_member"}],"later":["$ROOM"]}"#,
        ),
        (
            Reply::Info(Box::new(info)),
            r#"{"session":"$SESSION","user":$ALICE_USER,"subscribed":["$ROOM"],"connectedAt":"2026-11-21T03:16:49.120Z"}"#,
        ),
        (Reply::Done {}, "{}"),
    ]
}

fn of_a_conversation() -> Vec<(Reply, &'static str)> {
    vec![
        (
            Reply::Message {
                message: Box::new(plain_message()),
            },
            r#"{"message":{"id":"$MESSAGE","conversation":"$ROOM","seq":41,"epoch":3,"rev":41,"author":"$ALICE","type":"text","text":"hello","reactions":[],"editCount":0,"sentAt":"2026-11-21T03:16:45.120Z"}}"#,
        ),
        (
            Reply::MessagePlace {
                message: message_id(),
                seq: 41,
                epoch: 3,
            },
            r#"{"message":"$MESSAGE","seq":41,"epoch":3}"#,
        ),
        (
            Reply::MessageDeleted {
                message: message_id(),
                rev: 46,
                deleted_at: at(9),
            },
            r#"{"message":"$MESSAGE","rev":46,"deletedAt":"2026-11-21T03:16:53.120Z"}"#,
        ),
        (
            Reply::MessageReactions {
                message: message_id(),
                rev: 45,
                reactions: vec![reaction(None)],
            },
            r#"{"message":"$MESSAGE","rev":45,"reactions":[{"emoji":"👍🏽","count":2}]}"#,
        ),
        (
            Reply::Read {
                conversation: room(),
                read_seq: 41,
            },
            r#"{"conversation":"$ROOM","readSeq":41}"#,
        ),
        (
            Reply::Delivered {
                conversation: room(),
                delivered_seq: 41,
            },
            r#"{"conversation":"$ROOM","deliveredSeq":41}"#,
        ),
        (
            Reply::Joined {
                conversation: Box::new(channel()),
            },
            r#"{"conversation":{"id":"$ROOM","kind":"channel","title":"Tea","slug":"tea","description":"all about tea","visibility":"public","joinPolicy":"open","memberCount":2,"headSeq":41,"me":{"role":"owner","unread":3,"mentions":1,"readSeq":38,"fromSeq":1},"createdAt":"2026-11-21T03:16:44.120Z"}}"#,
        ),
    ]
}

#[test]
fn every_reply_has_these_bytes() {
    let mut seen = [false; REPLIES];
    for (reply, data) in [of_the_session(), of_a_conversation()].concat() {
        seen[number(&reply)] = true;
        let answer = Ok(reply);
        let golden = format!(r#"{{"re":2,"data":{data}}}"#);
        are(&golden, |codec| codec.reply(&FrameId::Number(2), &answer));
    }
    assert_eq!(seen, [true; REPLIES]);
}

#[test]
fn an_id_is_echoed_as_it_came() {
    let table = [
        (FrameId::Number(u64::MAX), "18446744073709551615"),
        (FrameId::Negative(-7), "-7"),
        (FrameId::Float(1.5), "1.5"),
        (FrameId::Text("a\"🦊".into()), r#""a\"🦊""#),
    ];
    for (id, golden) in table {
        let golden = format!(r#"{{"re":{golden},"data":{{}}}}"#);
        are(&golden, |codec| codec.reply(&id, &Ok(Reply::Done {})));
    }
}

/// Code, its word, HTTP status, worth retrying.
const CODES: [(Code, &str, u16, bool); 20] = [
    (Code::InvalidFrame, "invalid_frame", 400, false),
    (Code::UnknownType, "unknown_type", 400, false),
    (Code::InvalidRequest, "invalid_request", 422, false),
    (Code::TooLarge, "too_large", 413, false),
    (Code::UnsupportedVersion, "unsupported_version", 400, false),
    (Code::Unauthenticated, "unauthenticated", 401, false),
    (Code::TokenExpired, "token_expired", 401, false),
    (Code::InvalidCredentials, "invalid_credentials", 401, false),
    (Code::Forbidden, "forbidden", 403, false),
    (Code::NotFound, "not_found", 404, false),
    (Code::NotAMember, "not_a_member", 403, false),
    (Code::Conflict, "conflict", 409, false),
    (Code::AlreadyExists, "already_exists", 409, false),
    (
        Code::IdempotencyConflict,
        "idempotency_conflict",
        409,
        false,
    ),
    (Code::Gone, "gone", 410, false),
    (Code::RateLimited, "rate_limited", 429, true),
    (Code::Overloaded, "overloaded", 503, true),
    (Code::Unavailable, "unavailable", 503, true),
    (Code::OutcomeUnknown, "outcome_unknown", 504, true),
    (Code::Internal, "internal", 500, true),
];

#[test]
fn every_refusal_has_these_bytes() {
    for (code, word, status, retryable) in CODES {
        let refusal: Result<(), Refusal> = Err(Refusal::new(code, "why"));
        let id = FrameId::Text("x".into());
        let golden = format!(
            r#"{{"re":"x","error":{{"code":"{word}","message":"why","retryable":{retryable}}}}}"#
        );
        are(&golden, |codec| codec.reply(&id, &refusal));
        assert_eq!(
            (code.status(), code.retryable()),
            (status, retryable),
            "{word}"
        );
    }
}

#[test]
fn refusals_name_fields_and_times() {
    holds(
        &Refusal::field("text", "must not be empty"),
        r#"{"code":"invalid_request","message":"text: must not be empty","retryable":false,"details":{"text":"must not be empty"}}"#,
    );
    holds(
        &Refusal::new(Code::RateLimited, "slow down").after_ms(1500),
        r#"{"code":"rate_limited","message":"slow down","retryable":true,"retryAfterMs":1500}"#,
    );
    holds(
        &Refusal::outcome_unknown(),
        r#"{"code":"outcome_unknown","message":"it may have happened; repeat with the same key","retryable":true,"retryAfterMs":500}"#,
    );
    holds(
        &Refusal::unavailable("the store does not answer"),
        r#"{"code":"unavailable","message":"the store does not answer","retryable":true,"retryAfterMs":500}"#,
    );
    holds(
        &Refusal::not_found("message"),
        r#"{"code":"not_found","message":"no such message","retryable":false}"#,
    );
}
