//! What rows look like to clients: events and messages.

use fanfare_protocol::conversation::Role;
use fanfare_protocol::event::{ConversationChange, Event};
use fanfare_protocol::message::Message;
use fanfare_protocol::participant::{MemberState, Participant, RemovalReason};
use fanfare_protocol::user::User;
use fanfare_protocol::{Timestamp, UserId};

use crate::entry::{Body, Created, Entry, Fields, MessageSent};
use crate::row::LogRow;
use crate::state::MessageState;

/// The event of an entry: a pure function of the row.
pub fn event_of(row: &LogRow, entry: &Entry) -> Event {
    let by = entry.author;
    match &entry.body {
        Body::Created(created) => Event::ConversationUpdated(creation(created)),
        Body::MessageSent(sent) => Event::MessageReceived {
            message: as_sent(row, entry.at, by, sent),
        },
        Body::MessageEdited(edited) => Event::MessageEdited {
            message: edited.message,
            rev: row.seq,
            text: edited.text.clone(),
            mentions: edited.mentions.clone(),
            edited_at: entry.at,
            edit_count: edited.edit_count,
        },
        Body::MessageDeleted(deleted) => Event::MessageDeleted {
            message: deleted.message,
            rev: row.seq,
            deleted_at: entry.at,
        },
        Body::ReactionsChanged(changed) => Event::MessageReactions {
            message: changed.message,
            rev: row.seq,
            reactions: changed.reactions.clone(),
            changes: changed.changes.clone(),
        },
        Body::MemberAdded { user, role, .. } => Event::ParticipantAdded {
            participant: participant(user, *role, entry.at),
        },
        Body::MemberUpdated {
            user,
            role,
            joined_at,
        } => Event::ParticipantUpdated {
            participant: participant(user, *role, *joined_at),
        },
        Body::MemberRemoved { user, reason, .. } => Event::ParticipantRemoved {
            user: *user,
            reason: *reason,
            by: (*reason != RemovalReason::Left).then_some(by),
        },
        Body::MembersMoved { member_count, .. } => Event::ConversationUpdated(ConversationChange {
            member_count: Some(*member_count),
            ..ConversationChange::default()
        }),
        Body::ConversationUpdated(fields) => Event::ConversationUpdated(change(fields)),
        Body::ConversationDeleted => Event::ConversationDeleted { by },
    }
}

/// A message with all that happened to it; `None` for other entries.
pub fn message_of(
    row: &LogRow,
    entry: &Entry,
    state: &MessageState,
    viewer: Option<UserId>,
) -> Option<Message> {
    let Body::MessageSent(sent) = &entry.body else {
        return None;
    };
    let mut message = as_sent(row, entry.at, entry.author, sent);
    message.rev = row.seq.max(state.rev);
    if let Some(text) = &state.text {
        message.text.clone_from(text);
    }
    if let Some(mentions) = &state.mentions {
        message.mentions.clone_from(mentions);
    }
    message.reactions = state.counts(viewer);
    message.edited_at = state.edited_at;
    message.edit_count = state.edits.len() as u64;
    message.deleted_at = state.deleted_at;
    if message.deleted_at.is_some() {
        message.text.clear();
        message.mentions.clear();
    }
    Some(message)
}

/// Whose delivery ends with this entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ends {
    /// Nobody's.
    Nobody,
    /// These users'.
    Users(Vec<UserId>),
    /// Everybody's: the conversation ended.
    Everybody,
}

/// Whose delivery ends with this entry, this entry included.
pub fn ends_of(entry: &Entry) -> Ends {
    match &entry.body {
        Body::MemberRemoved { user, .. } => Ends::Users(vec![*user]),
        Body::MembersMoved { left, .. } if !left.is_empty() => {
            Ends::Users(left.iter().map(|moved| moved.user).collect())
        }
        Body::ConversationDeleted => Ends::Everybody,
        Body::Created(_)
        | Body::MessageSent(_)
        | Body::MessageEdited(_)
        | Body::MessageDeleted(_)
        | Body::ReactionsChanged(_)
        | Body::MemberAdded { .. }
        | Body::MemberUpdated { .. }
        | Body::MembersMoved { .. }
        | Body::ConversationUpdated(_) => Ends::Nobody,
    }
}

/// Who becomes a member with this entry.
pub fn added_by(entry: &Entry) -> Vec<UserId> {
    match &entry.body {
        Body::Created(created) => created.members.iter().map(|(user, _)| *user).collect(),
        Body::MemberAdded { user, .. } => vec![user.id],
        Body::MembersMoved { joined, .. } => joined.iter().map(|moved| moved.user).collect(),
        Body::MessageSent(_)
        | Body::MessageEdited(_)
        | Body::MessageDeleted(_)
        | Body::ReactionsChanged(_)
        | Body::MemberUpdated { .. }
        | Body::MemberRemoved { .. }
        | Body::ConversationUpdated(_)
        | Body::ConversationDeleted => Vec::new(),
    }
}

/// The entry without what a deletion takes away.
pub fn emptied(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    match &mut entry.body {
        Body::MessageSent(sent) => {
            sent.text.clear();
            sent.mentions.clear();
        }
        Body::MessageEdited(edited) => {
            edited.text.clear();
            edited.mentions.clear();
        }
        Body::Created(_)
        | Body::MessageDeleted(_)
        | Body::ReactionsChanged(_)
        | Body::MemberAdded { .. }
        | Body::MemberUpdated { .. }
        | Body::MemberRemoved { .. }
        | Body::MembersMoved { .. }
        | Body::ConversationUpdated(_)
        | Body::ConversationDeleted => {}
    }
    entry
}

/// A member for an event: without marks.
pub fn participant(user: &User, role: Role, joined_at: Timestamp) -> Participant {
    Participant {
        user: user.clone(),
        role,
        state: MemberState::Active,
        joined_at,
        delivered_seq: None,
        read_seq: None,
    }
}

fn as_sent(row: &LogRow, at: Timestamp, author: UserId, sent: &MessageSent) -> Message {
    Message {
        id: row.id(),
        conversation: row.conversation,
        seq: row.seq,
        epoch: row.epoch,
        rev: row.seq,
        author,
        kind: sent.kind,
        text: sent.text.clone(),
        reply_to: sent.reply_to,
        mentions: sent.mentions.clone(),
        reactions: Vec::new(),
        edited_at: None,
        edit_count: 0,
        deleted_at: None,
        sent_at: at,
        key: sent.key.clone(),
    }
}

fn creation(created: &Created) -> ConversationChange {
    ConversationChange {
        kind: Some(created.kind),
        title: created.title.clone(),
        slug: created.slug.clone(),
        description: created.description.clone(),
        visibility: Some(created.visibility),
        join_policy: Some(created.join_policy),
        member_count: Some(created.members.len() as u64),
    }
}

fn change(fields: &Fields) -> ConversationChange {
    ConversationChange {
        title: fields.title.clone(),
        description: fields.description.clone(),
        visibility: fields.visibility,
        join_policy: fields.join_policy,
        ..ConversationChange::default()
    }
}
