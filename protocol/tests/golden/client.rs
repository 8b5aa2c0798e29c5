//! What clients send: `{"id", "type", "data", "key"?}`, and how each frame
//! is understood.

use fanfare_protocol::Code;
use fanfare_protocol::command::{
    Command, DeleteMessage, EditMessage, MoveMark, React, SendMessage,
};
use fanfare_protocol::cursor::CursorWish;
use fanfare_protocol::frame::{ClientBody, ClientFrame, Device, DeviceKind, FrameId, Hello};
use fanfare_protocol::mark::MarkKind;

use super::*;

/// Numbers the bodies, as in `event.rs`; commands of frames by themselves.
const BODIES: usize = 15;
fn number(body: &ClientBody) -> usize {
    match body {
        ClientBody::Hello(_) => 0,
        ClientBody::Resume(_) => 1,
        ClientBody::Info => 2,
        ClientBody::Ping => 3,
        ClientBody::Refresh { .. } => 4,
        ClientBody::Subscribe(_) => 5,
        ClientBody::Unsubscribe(_) => 6,
        ClientBody::Mark(_) => 7,
        ClientBody::Command(_, command) => match command {
            Command::Join => 8,
            Command::Leave => 9,
            Command::SendMessage(_) => 10,
            Command::EditMessage(_) => 11,
            Command::DeleteMessage(_) => 12,
            Command::React(React { on: true, .. }) => 13,
            Command::React(React { on: false, .. }) => 14,
            Command::Create(_)
            | Command::AddParticipants(_)
            | Command::UpdateParticipant(_)
            | Command::RemoveParticipant(_)
            | Command::UpdateConversation(_)
            | Command::DeleteConversation => panic!("over REST only"),
        },
    }
}

fn of_the_session() -> Vec<(&'static str, ClientBody)> {
    let hello = Hello {
        token: Some("t".into()),
        ticket: None,
        device: Some(Device {
            kind: DeviceKind::Web,
            name: Some("Firefox".into()),
        }),
        cursors: vec![cursor()],
    };
    let from_now = CursorWish {
        conversation: room(),
        epoch: None,
        seq: None,
    };
    let ticket = Hello {
        ticket: Some("t".into()),
        ..Hello::default()
    };
    vec![
        (
            r#""session:hello","data":{"token":"t","device":{"kind":"web","name":"Firefox"},"cursors":[{"conversation":"$ROOM","epoch":3,"seq":41}]}"#,
            ClientBody::Hello(hello),
        ),
        (
            r#""session:hello","data":{"ticket":"t"}"#,
            ClientBody::Hello(ticket),
        ),
        (
            r#""session:hello","data":{}"#,
            ClientBody::Hello(Hello::default()),
        ),
        (
            r#""session:resume","data":{"cursors":[{"conversation":"$ROOM","epoch":3,"seq":41}]}"#,
            ClientBody::Resume(vec![cursor()]),
        ),
        (r#""session:info","data":{}"#, ClientBody::Info),
        (r#""session:ping","data":{}"#, ClientBody::Ping),
        (r#""session:ping""#, ClientBody::Ping),
        (
            r#""session:refresh","data":{"token":"t"}"#,
            ClientBody::Refresh { token: "t".into() },
        ),
        (
            r#""conversations:subscribe","data":{"cursors":[{"conversation":"$ROOM"},{"conversation":"$ROOM","epoch":3,"seq":41}]}"#,
            ClientBody::Subscribe(vec![from_now, cursor().into()]),
        ),
        (
            r#""conversations:unsubscribe","data":{"conversations":["$ROOM"]}"#,
            ClientBody::Unsubscribe(vec![room()]),
        ),
    ]
}

fn of_a_conversation() -> Vec<(&'static str, ClientBody)> {
    let command = |command| ClientBody::Command(room(), command);
    let mark = |kind| {
        ClientBody::Mark(MoveMark {
            conversation: room(),
            kind,
            seq: 41,
        })
    };
    let react = |on| {
        command(Command::React(React {
            message: message_id(),
            emoji: "👍🏽".into(),
            on,
        }))
    };
    let send = SendMessage {
        text: "hello".into(),
        reply_to: Some(older_id()),
        kind: MessageType::Text,
    };
    let edit = EditMessage {
        message: message_id(),
        text: "new".into(),
    };
    let delete = DeleteMessage {
        message: message_id(),
    };
    vec![
        (
            r#""conversation:join","data":{"conversation":"$ROOM"}"#,
            command(Command::Join),
        ),
        (
            r#""conversation:leave","data":{"conversation":"$ROOM"}"#,
            command(Command::Leave),
        ),
        (
            r#""message:send","data":{"conversation":"$ROOM","text":"hello","replyTo":"$OLDER","type":"text"}"#,
            command(Command::SendMessage(send)),
        ),
        (
            r#""message:edit","data":{"message":"$MESSAGE","text":"new"}"#,
            command(Command::EditMessage(edit)),
        ),
        (
            r#""message:delete","data":{"message":"$MESSAGE"}"#,
            command(Command::DeleteMessage(delete)),
        ),
        (
            r#""message:react","data":{"message":"$MESSAGE","emoji":"👍🏽"}"#,
            react(true),
        ),
        (
            r#""message:unreact","data":{"message":"$MESSAGE","emoji":"👍🏽"}"#,
            react(false),
        ),
        (
            r#""message:delivered","data":{"conversation":"$ROOM","seq":41}"#,
            mark(MarkKind::Delivered),
        ),
        (
            r#""message:read","data":{"conversation":"$ROOM","seq":41}"#,
            mark(MarkKind::Read),
        ),
    ]
}

#[test]
fn every_frame_is_understood() {
    let mut seen = [false; BODIES];
    for (rest, body) in [of_the_session(), of_a_conversation()].concat() {
        seen[number(&body)] = true;
        let text = filled(&format!(r#"{{"id":7,"key":"k","type":{rest}}}"#));
        let frame = ClientFrame {
            id: Some(FrameId::Number(7)),
            key: Some("k".into()),
            body: Ok(body),
        };
        for (codec, bytes) in both(&text) {
            let read = ClientFrame::decode(codec, &bytes);
            assert_eq!(read.as_ref(), Ok(&frame), "{text} {codec:?}");
        }
    }
    assert_eq!(seen, [true; BODIES]);
}

#[test]
fn ids_of_frames() {
    let long = "ä".repeat(64);
    let table = [
        ("0", Some(FrameId::Number(0))),
        ("18446744073709551615", Some(FrameId::Number(u64::MAX))),
        ("-9223372036854775808", Some(FrameId::Negative(i64::MIN))),
        ("1.5", Some(FrameId::Float(1.5))),
        ("0.30000000000000004", Some(FrameId::Float(0.1 + 0.2))),
        ("\"\"", Some(FrameId::Text(String::new()))),
        (r#""a\u00e4""#, Some(FrameId::Text("aä".into()))),
        (&format!("\"{long}\""), Some(FrameId::Text(long.clone()))),
        ("null", None),
    ];
    for (id, expected) in table {
        let text = format!(r#"{{"id":{id},"type":"session:ping"}}"#);
        let frame = ClientFrame::from_json(text.as_bytes()).unwrap();
        assert_eq!(
            (frame.id, frame.body),
            (expected, Ok(ClientBody::Ping)),
            "{id}"
        );
    }
    let frame = ClientFrame::from_json(br#"{"type":"session:ping"}"#).unwrap();
    assert_eq!(frame.id, None);
    for id in [
        "true",
        "[]",
        "{}",
        "[[[]]]",
        "NaN",
        "1e999",
        "1e300",
        "-1e300",
        "18446744073709551616",
        "\"\\ud800\"",
        &format!("\"{long}ä\""),
        "01",
        "+1",
        "0x1",
        "''",
        "Infinity",
    ] {
        let text = format!(r#"{{"id":{id},"type":"session:ping"}}"#);
        let refusal = ClientFrame::from_json(text.as_bytes()).unwrap_err();
        assert_eq!(refusal.code, Code::InvalidFrame, "{id}");
    }
}

/// What is wrong behind the `id` finds its way back by the `id`.
#[test]
fn what_is_refused_keeps_its_id() {
    let long = "k".repeat(129);
    let deep = format!("{}{}", "[".repeat(50_000), "]".repeat(50_000));
    let table = [
        (r#""type":"no:such"}"#, Code::UnknownType, ""),
        (r#""type":"session:Ping"}"#, Code::UnknownType, ""),
        (r#""data":{}}"#, Code::InvalidRequest, "type"),
        (r#""type":5}"#, Code::InvalidRequest, "type"),
        (r#""type":null}"#, Code::InvalidRequest, "type"),
        (
            r#""type":"session:ping","extra":1}"#,
            Code::InvalidRequest,
            "extra",
        ),
        (
            r#""type":"session:ping","id":8}"#,
            Code::InvalidRequest,
            "id",
        ),
        (
            r#""type":"session:ping","type":"session:ping"}"#,
            Code::InvalidRequest,
            "type",
        ),
        (
            r#""type":"session:ping","data":{"x":1}}"#,
            Code::InvalidRequest,
            "x",
        ),
        (
            r#""type":"session:ping","data":[]}"#,
            Code::InvalidRequest,
            "data",
        ),
        (
            r#""type":"session:ping","data":5}"#,
            Code::InvalidRequest,
            "data",
        ),
        (
            r#""type":"session:ping","key":""}"#,
            Code::InvalidRequest,
            "key",
        ),
        (
            r#""type":"session:ping","key":7}"#,
            Code::InvalidRequest,
            "key",
        ),
        (
            &format!(r#""type":"session:ping","key":"{long}"}}"#),
            Code::InvalidRequest,
            "key",
        ),
        (
            &format!(r#""type":"session:ping","data":{deep}}}"#),
            Code::InvalidRequest,
            "data",
        ),
        (
            &format!(r#""type":"session:ping","x":{deep}}}"#),
            Code::InvalidRequest,
            "x",
        ),
        (
            r#""type":"session:hello","data":{"device":{"kind":"fridge"}}}"#,
            Code::InvalidRequest,
            "device.kind",
        ),
        (
            r#""type":"session:hello","data":{"device":["web"]}}"#,
            Code::InvalidRequest,
            "device",
        ),
        (
            r#""type":"session:hello","data":{"cursors":[["$ROOM",3,41]]}}"#,
            Code::InvalidRequest,
            "cursors[0]",
        ),
        (
            r#""type":"session:resume","data":{"cursors":[{"conversation":"$ROOM","epoch":3,"seq":-1}]}}"#,
            Code::InvalidRequest,
            "cursors[0].seq",
        ),
        (
            r#""type":"session:resume","data":{"cursors":[{"conversation":"$ROOM","epoch":3}]}}"#,
            Code::InvalidRequest,
            "cursors[0].seq",
        ),
        (
            r#""type":"session:resume","data":{"cursors":[{"conversation":"$ROOM","epoch":3,"seq":1,"x":1}]}}"#,
            Code::InvalidRequest,
            "cursors[0].x",
        ),
        (
            r#""type":"message:read","data":{"conversation":"$ROOM","seq":9007199254740992}}"#,
            Code::InvalidRequest,
            "seq",
        ),
        (
            r#""type":"message:read","data":{"conversation":"$ROOM","seq":1,"seq":2}}"#,
            Code::InvalidRequest,
            "seq",
        ),
        (
            r#""type":"message:send","data":{"text":"a"}}"#,
            Code::InvalidRequest,
            "conversation",
        ),
        (
            r#""type":"message:send","data":{"conversation":"room","text":"a"}}"#,
            Code::InvalidRequest,
            "conversation",
        ),
        (
            r#""type":"message:send","data":{"conversation":"$ROOM","text":"\ud800"}}"#,
            Code::InvalidFrame,
            "",
        ),
        (
            r#""type":"message:react","data":{"message":"$MESSAGE","emoji":"x","on":true}}"#,
            Code::InvalidRequest,
            "on",
        ),
    ];
    for (rest, code, field) in table {
        let text = filled(&format!("{{\"id\":7,{rest}"));
        let frame = ClientFrame::from_json(text.as_bytes()).unwrap();
        let shown: String = rest.chars().take(120).collect();
        assert_eq!(frame.id, Some(FrameId::Number(7)), "{shown}");
        let refusal = frame.body.unwrap_err();
        let named = refusal.details.keys().next().map_or("", String::as_str);
        assert_eq!((refusal.code, named), (code, field), "{shown}: {refusal:?}");
    }
}
