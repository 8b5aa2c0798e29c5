//! What the server sends: replies `{"re", "data"|"error"}`, events
//! `{"type", "conversation", "epoch", "seq", "data"}`, signals without seq.

use bytes::Bytes;
use serde::Serialize;

use super::id::FrameId;
use crate::codec::{Codec, Failed};
use crate::cursor::{Cursor, Gone, Placed};
use crate::event::Event;
use crate::refusal::Refusal;
use crate::signal::Signal;
use crate::user::User;
use crate::{ConversationId, SessionId};

/// The reply to `session:hello`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HelloReply {
    /// The session.
    pub session: SessionId,
    /// Who the server thinks you are.
    pub user: User,
    /// Minor version of the wire.
    pub minor: u32,
    /// Seconds between pings.
    #[serde(rename = "heartbeatS")]
    pub heartbeat_s: u64,
    /// What this session must keep to.
    pub limits: HelloLimits,
    /// Delivered from behind these.
    pub subscribed: Vec<Cursor>,
    /// Delivered, but fetch history anew.
    pub resync: Vec<Cursor>,
    /// Not delivered.
    pub gone: Vec<Gone>,
    /// The owner is just changing.
    pub later: Vec<ConversationId>,
}

/// The limits a client needs to know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HelloLimits {
    /// One frame.
    pub frame_bytes_max: usize,
    /// One message.
    pub message_text_bytes_max: usize,
    /// Subscriptions of this session.
    pub subscriptions_max: usize,
    /// Cursors in one request.
    pub cursors_max: usize,
    /// Above this many members `message:delivered` is not wanted.
    pub delivered_members_max: u64,
}

impl HelloReply {
    /// The reply's lists from what became of the cursors.
    pub fn place(mut self, placed: Placed) -> Self {
        self.subscribed = placed.subscribed;
        self.resync = placed.resync;
        self.gone = placed.gone;
        self.later = placed.later;
        self
    }
}

impl Codec {
    /// Encodes a reply to the frame `re`.
    ///
    /// # Errors
    /// [`Failed`] when `answer` cannot be encoded.
    pub fn reply<T: Serialize>(
        self,
        re: &FrameId,
        answer: &Result<T, Refusal>,
    ) -> Result<Bytes, Failed> {
        #[derive(Serialize)]
        struct Reply<'a, T> {
            re: &'a FrameId,
            #[serde(skip_serializing_if = "Option::is_none")]
            data: Option<&'a T>,
            #[serde(skip_serializing_if = "Option::is_none")]
            error: Option<&'a Refusal>,
        }
        self.encode(&Reply {
            re,
            data: answer.as_ref().ok(),
            error: answer.as_ref().err(),
        })
    }

    /// Encodes a numbered event.
    ///
    /// # Errors
    /// [`Failed`] when the event cannot be encoded.
    pub fn event(
        self,
        conversation: ConversationId,
        epoch: u64,
        seq: u64,
        event: &Event,
    ) -> Result<Bytes, Failed> {
        #[derive(Serialize)]
        struct Numbered<'a> {
            #[serde(rename = "type")]
            kind: &'static str,
            conversation: ConversationId,
            epoch: u64,
            seq: u64,
            data: &'a Event,
        }
        self.encode(&Numbered {
            kind: event.name(),
            conversation,
            epoch,
            seq,
            data: event,
        })
    }

    /// Encodes a signal, of one conversation where it has one.
    ///
    /// # Errors
    /// [`Failed`] when the signal cannot be encoded.
    pub fn signal(
        self,
        conversation: Option<ConversationId>,
        signal: &Signal,
    ) -> Result<Bytes, Failed> {
        #[derive(Serialize)]
        struct Fleeting<'a> {
            #[serde(rename = "type")]
            kind: &'static str,
            #[serde(skip_serializing_if = "Option::is_none")]
            conversation: Option<ConversationId>,
            data: &'a Signal,
        }
        self.encode(&Fleeting {
            kind: signal.name(),
            conversation,
            data: signal,
        })
    }
}
