//! What a command is answered with, from the state as it now is.

use fanfare_protocol::command::Command;
use fanfare_protocol::{MessageId, Refusal, UserId};

use super::decide::Undecided;
use super::state::{Held, Needs, RoomState};
use super::submit::{Done, Submission};
use crate::authorize::{Action, authorize};
use crate::entry::Body;
use crate::view::message_of;

impl RoomState {
    /// What to answer a repeat of the command that made the entry at `seq`:
    /// a message only to those who may still read it.
    pub(super) fn done_again(&self, seq: u64, caller: UserId) -> Result<Done, Undecided> {
        let done = self.done(seq)?;
        let message = match &done {
            Done::Message(message) => message.id,
            Done::Reactions { message, .. } => *message,
            Done::Deleted { .. } | Done::Unreadable { .. } | Done::Applied => return Ok(done),
        };
        self.know(&[caller])?;
        let from = self.member(caller).flatten().map_or(1, |row| row.from_seq);
        let reads = authorize(&self.standing(caller), Action::ReadHistory).is_ok();
        if reads && message.seq >= from {
            Ok(done)
        } else {
            Ok(Done::Unreadable { message })
        }
    }

    /// What to answer for the entry at `seq`, with the state as it now is.
    pub(super) fn done(&self, seq: u64) -> Result<Done, Undecided> {
        let held = self.held(seq)?;
        match &held.entry.body {
            Body::MessageSent(_) => self.done_message(seq),
            Body::MessageEdited(edited) => self.done_message(edited.message.seq),
            Body::MessageDeleted(deleted) => Ok(Done::Deleted {
                message: deleted.message,
                rev: seq,
                deleted_at: held.entry.at,
            }),
            Body::ReactionsChanged(changed) => self.done_reactions(changed.message),
            Body::Created(_)
            | Body::MemberAdded { .. }
            | Body::MemberUpdated { .. }
            | Body::MemberRemoved { .. }
            | Body::MembersMoved { .. }
            | Body::ConversationUpdated(_)
            | Body::ConversationDeleted => Ok(Done::Applied),
        }
    }

    /// The answer to a command that changed nothing because it is so already.
    pub(super) fn done_already(&self, asked: &Submission) -> Result<Done, Undecided> {
        match &asked.command {
            Command::DeleteMessage(delete) => {
                let held = self.message(delete.message, "message")?;
                Ok(Done::Deleted {
                    message: delete.message,
                    rev: held.state.rev,
                    deleted_at: held.state.deleted_at.unwrap_or(held.entry.at),
                })
            }
            Command::React(react) => self.done_reactions(react.message),
            _ => Ok(Done::Applied),
        }
    }

    pub(super) fn done_reactions(&self, message: MessageId) -> Result<Done, Undecided> {
        let held = self.message(message, "message")?;
        Ok(Done::Reactions {
            message,
            rev: held.row.seq.max(held.state.rev),
            reactions: held.state.counts(None),
        })
    }

    fn done_message(&self, seq: u64) -> Result<Done, Undecided> {
        let held = self.held(seq)?;
        message_of(&held.row, &held.entry, &held.state, None)
            .map(|message| Done::Message(Box::new(message)))
            .ok_or_else(|| Undecided::Refused(Refusal::internal()))
    }

    fn held(&self, seq: u64) -> Result<&Held, Undecided> {
        self.rows.get(&seq).ok_or_else(|| {
            Undecided::Needs(Needs {
                rows: vec![seq],
                ..Needs::default()
            })
        })
    }
}
