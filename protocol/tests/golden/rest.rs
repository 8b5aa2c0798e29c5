//! Bodies of REST requests and answers.

use fanfare_protocol::command::{
    AddParticipants, Command, CreateConversation, SendMessage, UpdateConversation,
};
use fanfare_protocol::frame::{HelloLimits, HelloReply};
use fanfare_protocol::rest::{
    Answer, EventSessionBegun, Login, Meta, NewReaction, NewRole, NewText, ReadUpTo, RefreshToken,
    Register, Ticket, Tokens, UpdateMe,
};
use serde::de::DeserializeOwned;

use super::*;

fn read<T: DeserializeOwned>(codec: Codec, golden: &str) -> T {
    let text = filled(golden);
    // Every body refuses a field it does not know, and names it.
    let more = format!(
        "{},\"extra\":1}}",
        text.strip_suffix('}').unwrap().trim_end_matches(',')
    );
    let more = more.replace("{,", "{");
    for (codec, bytes) in both(&more) {
        let refusal = codec.decode::<T>(&bytes).map(|_| ()).unwrap_err();
        assert_eq!(refusal.details.keys().next().unwrap(), "extra", "{more}");
    }
    let bytes = both(&text).into_iter().find(|(known, _)| *known == codec);
    codec.decode(&bytes.unwrap().1).unwrap()
}

#[test]
fn accounts() {
    for codec in [Codec::Json, Codec::MessagePack] {
        accounts_in(codec);
    }
}

fn accounts_in(codec: Codec) {
    let ask: Register = read(
        codec,
        r#"{"username":"alice","email":"a@b.example","password":"pässword","displayName":"Alice"}"#,
    );
    assert_eq!(ask.username, "alice");
    assert_eq!(ask.email, "a@b.example");
    assert_eq!(ask.password, "pässword");
    assert_eq!(ask.display_name.as_deref(), Some("Alice"));
    let ask: Register = read(
        codec,
        r#"{"username":"alice","email":"a@b.example","password":"p"}"#,
    );
    assert_eq!(ask.display_name, None);
    let ask: Login = read(codec, r#"{"login":"alice","password":"p"}"#);
    assert_eq!((ask.login.as_str(), ask.password.as_str()), ("alice", "p"));
    let ask: RefreshToken = read(codec, r#"{"refreshToken":"r"}"#);
    assert_eq!(ask.refresh_token, "r");
    let ask: UpdateMe = read(codec, r#"{"displayName":"A","bio":""}"#);
    assert_eq!(
        (ask.display_name.as_deref(), ask.bio.as_deref()),
        (Some("A"), Some(""))
    );
    assert_eq!(read::<UpdateMe>(codec, "{}"), UpdateMe::default());

    let tokens = Tokens {
        user: alice(),
        access_token: "a".into(),
        refresh_token: "r".into(),
        expires_in_s: 900,
    };
    holds(
        &Answer {
            data: tokens,
            meta: None,
        },
        r#"{"data":{"user":$ALICE_USER,"accessToken":"a","refreshToken":"r","expiresInS":900}}"#,
    );
    let ticket = Ticket {
        ticket: "t".into(),
        expires_in_s: 30,
    };
    holds(
        &Answer {
            data: ticket,
            meta: None,
        },
        r#"{"data":{"ticket":"t","expiresInS":30}}"#,
    );
}

#[test]
fn event_sessions() {
    let begun = EventSessionBegun {
        id: "i".into(),
        ticket: Ticket {
            ticket: "t".into(),
            expires_in_s: 30,
        },
        hello: HelloReply {
            session: session(),
            user: alice(),
            minor: 0,
            heartbeat_s: 20,
            limits: HelloLimits {
                frame_bytes_max: 1,
                message_text_bytes_max: 2,
                subscriptions_max: 3,
                cursors_max: 4,
                delivered_members_max: 5,
            },
            subscribed: vec![cursor()],
            resync: Vec::new(),
            gone: Vec::new(),
            later: Vec::new(),
        },
    };
    holds(
        &begun,
        r#"{"id":"i","ticket":"t","expiresInS":30,"session":"$SESSION","user":$ALICE_USER,"minor":0,"heartbeatS":20,"limits":{"frameBytesMax":1,"messageTextBytesMax":2,"subscriptionsMax":3,"cursorsMax":4,"deliveredMembersMax":5},"subscribed":[{"conversation":"$ROOM","epoch":3,"seq":41}],"resync":[],"gone":[],"later":[]}"#,
    );
}

#[test]
fn conversations() {
    for codec in [Codec::Json, Codec::MessagePack] {
        conversations_in(codec);
    }
}

fn conversations_in(codec: Codec) {
    let ask: CreateConversation = read(
        codec,
        r#"{"kind":"channel","title":"Tea","slug":"tea","description":"d","participantIds":["$BOB"],"visibility":"private","joinPolicy":"open"}"#,
    );
    let expected = CreateConversation {
        kind: Kind::Channel,
        title: Some("Tea".into()),
        slug: Some("tea".into()),
        description: Some("d".into()),
        participant_ids: vec![user(BOB)],
        visibility: Some(Visibility::Private),
        join_policy: Some(JoinPolicy::Open),
    };
    assert_eq!(ask, expected);
    let ask: CreateConversation = read(codec, r#"{"kind":"direct","participantIds":["$BOB"]}"#);
    assert_eq!(
        (ask.kind, ask.participant_ids),
        (Kind::Direct, vec![user(BOB)])
    );
    let ask: UpdateConversation = read(
        codec,
        r#"{"title":"T","description":"","visibility":"public","joinPolicy":"invite"}"#,
    );
    let expected = UpdateConversation {
        title: Some("T".into()),
        description: Some(String::new()),
        visibility: Some(Visibility::Public),
        join_policy: Some(JoinPolicy::Invite),
    };
    assert_eq!(ask, expected);
    let ask: AddParticipants = read(codec, r#"{"userIds":["$ALICE","$BOB"],"role":"moderator"}"#);
    assert_eq!(ask.user_ids, [user(ALICE), user(BOB)]);
    assert_eq!(ask.role, Some(Role::Moderator));
    assert_eq!(
        read::<NewRole>(codec, r#"{"role":"owner"}"#).role,
        Role::Owner
    );
    assert_eq!(read::<ReadUpTo>(codec, r#"{"seq":41}"#).seq, 41);
}

#[test]
fn messages() {
    for codec in [Codec::Json, Codec::MessagePack] {
        messages_in(codec);
    }
}

fn messages_in(codec: Codec) {
    let ask: SendMessage = read(
        codec,
        r#"{"text":"hello","replyTo":"$OLDER","type":"text"}"#,
    );
    let expected = SendMessage {
        text: "hello".into(),
        reply_to: Some(older_id()),
        kind: MessageType::Text,
    };
    assert_eq!(ask, expected);
    assert_eq!(read::<SendMessage>(codec, r#"{"text":"a"}"#).reply_to, None);
    assert_eq!(read::<NewText>(codec, r#"{"text":"new"}"#).text, "new");
    assert_eq!(read::<NewReaction>(codec, r#"{"emoji":"👍🏽"}"#).emoji, "👍🏽");
}

#[test]
fn pages() {
    let page = Answer {
        data: vec![cursor()],
        meta: Some(Meta {
            head_seq: Some(41),
            next_cursor: Some("n".into()),
        }),
    };
    holds(
        &page,
        r#"{"data":[{"conversation":"$ROOM","epoch":3,"seq":41}],"meta":{"headSeq":41,"nextCursor":"n"}}"#,
    );
    let last: Answer<[u8; 0]> = Answer {
        data: [],
        meta: Some(Meta::default()),
    };
    holds(&last, r#"{"data":[],"meta":{}}"#);
}

/// Commands are no wire, but they stand behind fingerprints of requests:
/// other bytes make every repeat of an older request a conflict.
#[test]
fn commands() {
    let send = SendMessage {
        text: "a".into(),
        reply_to: None,
        kind: MessageType::Text,
    };
    let table = [
        (
            Command::SendMessage(send),
            r#"{"command":"sendMessage","data":{"text":"a","replyTo":null,"type":"text"}}"#,
        ),
        (Command::Join, r#"{"command":"join"}"#),
    ];
    for (command, golden) in table {
        holds(&command, golden);
        let back: Command = serde_json::from_str(golden).unwrap();
        assert_eq!(back, command);
    }
}
