//! One message of 200 bytes in both codecs, in and out, beside what serde_json
//! takes for the same bytes without knowing what they mean.

#[path = "../../benches/table.rs"]
mod table;

use std::hint::black_box;

use fanfare_protocol::event::Event;
use fanfare_protocol::frame::{ClientFrame, FrameId};
use fanfare_protocol::message::{Message, MessageType};
use fanfare_protocol::{Codec, ConversationId, MessageId, Refusal, Timestamp, UserId};
use table::Table;

const ROOM: ConversationId = ConversationId(uuid::Uuid::from_u128(1));
const ALICE: UserId = UserId(uuid::Uuid::from_u128(2));

fn message() -> Message {
    Message {
        id: MessageId {
            conversation: ROOM,
            epoch: 3,
            seq: 41,
        },
        conversation: ROOM,
        seq: 41,
        epoch: 3,
        rev: 41,
        author: ALICE,
        kind: MessageType::Text,
        text: "x".repeat(200),
        reply_to: None,
        mentions: Vec::new(),
        reactions: Vec::new(),
        edited_at: None,
        edit_count: 0,
        deleted_at: None,
        sent_at: Timestamp(1_795_231_005_120),
        key: None,
    }
}

fn main() {
    let event = Event::MessageReceived { message: message() };
    let reply: Result<Message, Refusal> = Ok(message());
    let id = FrameId::Number(7);
    let text = "x".repeat(200);
    let frame = format!(
        r#"{{"id":7,"type":"message:send","key":"0199f0a2-hello","data":{{"conversation":"{}","text":"{text}"}}}}"#,
        serde_json::to_value(ROOM)
            .ok()
            .and_then(|room| Some(room.as_str()?.to_owned()))
            .unwrap_or_default(),
    );
    // A frame that is refused would be measured as one.
    assert!(ClientFrame::from_json(frame.as_bytes()).is_ok(), "{frame}");

    let encoded = Codec::Json.event(ROOM, 3, 41, &event).unwrap_or_default();
    let value: serde_json::Value = serde_json::from_slice(&encoded).unwrap_or_default();
    Table::new("codec: encode a message of 200 bytes")
        .case("the same as serde_json::Value", 1, || {
            let _ = black_box(serde_json::to_vec(black_box(&value)));
        })
        .case("event, JSON", 1, || {
            let _ = black_box(Codec::Json.event(ROOM, 3, 41, black_box(&event)));
        })
        .case("event, MessagePack", 1, || {
            let _ = black_box(Codec::MessagePack.event(ROOM, 3, 41, black_box(&event)));
        })
        .case("reply, JSON", 1, || {
            let _ = black_box(Codec::Json.reply(&id, black_box(&reply)));
        })
        .case("reply, MessagePack", 1, || {
            let _ = black_box(Codec::MessagePack.reply(&id, black_box(&reply)));
        })
        .print();
    Table::new("codec: decode a send of 200 bytes")
        .case("the same to serde_json::Value", 1, || {
            let _ = black_box(serde_json::from_slice::<serde_json::Value>(black_box(
                frame.as_bytes(),
            )));
        })
        .case("ClientFrame::from_json", 1, || {
            let _ = black_box(ClientFrame::from_json(black_box(frame.as_bytes())));
        })
        .print();
}
