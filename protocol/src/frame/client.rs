//! What clients send: `{"id", "type", "data", "key"?}`.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::envelope::Envelope;
use super::id::FrameId;
use crate::command::{Command, DeleteMessage, EditMessage, MoveMark, React, SendMessage};
use crate::cursor::{Cursor, CursorWish};
use crate::limits::{DEVICE_NAME_CHARS_MAX, TOKEN_BYTES_MAX};
use crate::mark::MarkKind;
use crate::refusal::{Code, Refusal};
use crate::{Codec, ConversationId, MessageId, strict};

/// A decoded frame. `id` survives a body that does not decode, so that the
/// refusal finds its request.
#[derive(Debug, Clone, PartialEq)]
pub struct ClientFrame {
    /// Absent: no reply is wanted.
    pub id: Option<FrameId>,
    /// Idempotency key.
    pub key: Option<String>,
    /// What is asked.
    pub body: Result<ClientBody, Refusal>,
}

/// What a frame asks.
#[derive(Debug, Clone, PartialEq)]
pub enum ClientBody {
    /// `session:hello`.
    Hello(Hello),
    /// `session:resume`.
    Resume(Vec<Cursor>),
    /// `session:info`.
    Info,
    /// `session:ping`.
    Ping,
    /// `session:refresh`.
    Refresh {
        /// A fresh access token of the same user.
        token: String,
    },
    /// `conversations:subscribe`.
    Subscribe(Vec<CursorWish>),
    /// `conversations:unsubscribe`.
    Unsubscribe(Vec<ConversationId>),
    /// A command to one conversation.
    Command(ConversationId, Command),
    /// `message:delivered`, `message:read`.
    Mark(MoveMark),
}

/// `session:hello`.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Hello {
    /// Access token.
    #[serde(default)]
    pub token: Option<String>,
    /// One-use ticket.
    #[serde(default)]
    pub ticket: Option<String>,
    /// What the client runs on.
    #[serde(default, deserialize_with = "strict::object_if_any")]
    pub device: Option<Device>,
    /// Where the client stands.
    #[serde(default, deserialize_with = "strict::objects")]
    pub cursors: Vec<Cursor>,
}

/// What a client runs on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Device {
    /// Sort.
    #[serde(deserialize_with = "strict::word")]
    pub kind: DeviceKind,
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// Sort of device.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DeviceKind {
    /// A browser.
    Web,
    /// A telephone.
    Mobile,
    /// A program.
    Desktop,
    /// A machine.
    Bot,
}

impl ClientFrame {
    /// Decodes one message. Counts (`cursors`) are checked by the session,
    /// which knows the configured limits.
    ///
    /// # Errors
    /// `invalid_frame` for what is no object, or whose `id` cannot be
    /// echoed. Whatever else is wrong stands in `body`, beside the `id`.
    pub fn decode(codec: Codec, bytes: &[u8]) -> Result<Self, Refusal> {
        let Envelope { id, key, content } = Envelope::open(codec, bytes)?;
        let body = content.and_then(|(kind, bytes)| body(&kind, Data { codec, bytes }));
        Ok(Self { id, key, body })
    }

    /// [`Self::decode`] of a text message.
    ///
    /// # Errors
    /// As there.
    pub fn from_json(text: &[u8]) -> Result<Self, Refusal> {
        Self::decode(Codec::Json, text)
    }
}

/// A frame's `data`, unread.
#[derive(Clone, Copy)]
struct Data<'a> {
    codec: Codec,
    bytes: &'a [u8],
}

impl Data<'_> {
    fn decode<T: DeserializeOwned>(self) -> Result<T, Refusal> {
        self.codec.decode(self.bytes)
    }
}

impl Hello {
    /// Decodes hello's data where it comes without a frame around it.
    ///
    /// # Errors
    /// As in a frame.
    pub fn decode(codec: Codec, bytes: &[u8]) -> Result<Self, Refusal> {
        hello(Data { codec, bytes })
    }
}

fn body(kind: &str, data: Data<'_>) -> Result<ClientBody, Refusal> {
    Ok(match kind {
        "session:hello" => ClientBody::Hello(hello(data)?),
        "session:resume" => ClientBody::Resume(data.decode::<Cursors>()?.cursors),
        "session:info" => data
            .decode::<Nothing>()
            .map(|Nothing {}| ClientBody::Info)?,
        "session:ping" => data
            .decode::<Nothing>()
            .map(|Nothing {}| ClientBody::Ping)?,
        "session:refresh" => ClientBody::Refresh {
            token: data.decode::<Token>()?.token,
        },
        "conversations:subscribe" => ClientBody::Subscribe(data.decode::<Wishes>()?.cursors),
        "conversations:unsubscribe" => {
            ClientBody::Unsubscribe(data.decode::<Conversations>()?.conversations)
        }
        "conversation:join" => ClientBody::Command(whole(data)?, Command::Join),
        "conversation:leave" => ClientBody::Command(whole(data)?, Command::Leave),
        "message:send" => {
            let send: Send = data.decode()?;
            let command = SendMessage {
                text: send.text,
                reply_to: send.reply_to,
                kind: send.kind,
            };
            ClientBody::Command(send.conversation, Command::SendMessage(command))
        }
        "message:edit" => {
            let edit: EditMessage = data.decode()?;
            ClientBody::Command(edit.message.conversation, Command::EditMessage(edit))
        }
        "message:delete" => {
            let delete: DeleteMessage = data.decode()?;
            ClientBody::Command(delete.message.conversation, Command::DeleteMessage(delete))
        }
        "message:react" => react(data, true)?,
        "message:unreact" => react(data, false)?,
        "message:delivered" => mark(data, MarkKind::Delivered)?,
        "message:read" => mark(data, MarkKind::Read)?,
        _ => return Err(Refusal::new(Code::UnknownType, "no such frame type")),
    })
}

fn hello(data: Data<'_>) -> Result<Hello, Refusal> {
    let hello: Hello = data.decode()?;
    for (field, secret) in [("token", &hello.token), ("ticket", &hello.ticket)] {
        if secret
            .as_ref()
            .is_some_and(|secret| secret.len() > TOKEN_BYTES_MAX)
        {
            return Err(Refusal::field(field, "too long"));
        }
    }
    let name = hello
        .device
        .as_ref()
        .and_then(|device| device.name.as_ref());
    if name.is_some_and(|name| name.chars().count() > DEVICE_NAME_CHARS_MAX) {
        return Err(Refusal::field("device.name", "longer than 64 characters"));
    }
    Ok(hello)
}

fn whole(data: Data<'_>) -> Result<ConversationId, Refusal> {
    data.decode::<Whole>().map(|whole| whole.conversation)
}

fn react(data: Data<'_>, on: bool) -> Result<ClientBody, Refusal> {
    let Emoji { message, emoji } = data.decode()?;
    Ok(ClientBody::Command(
        message.conversation,
        Command::React(React { message, emoji, on }),
    ))
}

fn mark(data: Data<'_>, kind: MarkKind) -> Result<ClientBody, Refusal> {
    let At { conversation, seq } = data.decode()?;
    Ok(ClientBody::Mark(MoveMark {
        conversation,
        kind,
        seq,
    }))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Nothing {}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Token {
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Cursors {
    #[serde(deserialize_with = "strict::objects")]
    cursors: Vec<Cursor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wishes {
    #[serde(deserialize_with = "strict::objects")]
    cursors: Vec<CursorWish>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Conversations {
    conversations: Vec<ConversationId>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Whole {
    conversation: ConversationId,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct At {
    conversation: ConversationId,
    #[serde(deserialize_with = "strict::whole")]
    seq: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Emoji {
    message: MessageId,
    emoji: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Send {
    conversation: ConversationId,
    text: String,
    #[serde(default)]
    reply_to: Option<MessageId>,
    #[serde(default, rename = "type", deserialize_with = "strict::word")]
    kind: crate::message::MessageType,
}
