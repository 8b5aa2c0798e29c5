//! People, and what they ask for.

use fanfare_protocol::command::{
    AddParticipants, Command, CreateConversation, DeleteMessage, EditMessage, React,
    RemoveParticipant, SendMessage, UpdateConversation, UpdateParticipant,
};
use fanfare_protocol::conversation::{Kind, Role, Visibility};
use fanfare_protocol::message::MessageType;
use fanfare_protocol::user::{GlobalRole, User};
use fanfare_protocol::{ConversationId, MessageId, Timestamp, UserId};
use uuid::Uuid;

use crate::room::Order;

pub const LOG: ConversationId = ConversationId(Uuid::from_u128(0xF));
pub const ALICE: UserId = UserId(Uuid::from_u128(1));
pub const BOB: UserId = UserId(Uuid::from_u128(2));
pub const CAROL: UserId = UserId(Uuid::from_u128(3));
pub const DAVE: UserId = UserId(Uuid::from_u128(4));
pub const ERIN: UserId = UserId(Uuid::from_u128(5));

/// A command with everything that may come with it.
#[derive(Debug, Clone, Default)]
pub struct With {
    pub key: Option<String>,
    pub order: Option<Order>,
    pub mentions: Vec<UserId>,
    pub all: bool,
}

pub fn person(id: UserId) -> User {
    let name = match id.0.as_u128() {
        1 => "alice".to_owned(),
        2 => "bob".to_owned(),
        3 => "carol".to_owned(),
        4 => "dave".to_owned(),
        5 => "erin".to_owned(),
        other => format!("user{other}"),
    };
    User {
        id,
        display_name: name.clone(),
        username: name,
        avatar: None,
        bio: None,
        role: GlobalRole::User,
        verified: false,
        created_at: Timestamp(0),
    }
}

pub fn named_in(command: &Command) -> Vec<UserId> {
    match command {
        Command::AddParticipants(add) => add.user_ids.clone(),
        Command::UpdateParticipant(update) => vec![update.user],
        _ => Vec::new(),
    }
}

// --- commands ----------------------------------------------------------------

pub fn group(others: &[UserId]) -> Command {
    create(Kind::Group, others, None)
}

pub fn channel(others: &[UserId], visibility: Visibility) -> Command {
    create(Kind::Channel, others, Some(visibility))
}

pub fn direct(other: UserId) -> Command {
    create(Kind::Direct, &[other], None)
}

fn create(kind: Kind, others: &[UserId], visibility: Option<Visibility>) -> Command {
    Command::Create(CreateConversation {
        kind,
        title: (kind != Kind::Direct).then(|| "Tea".to_owned()),
        slug: (kind == Kind::Channel).then(|| "tea".to_owned()),
        description: None,
        participant_ids: others.to_vec(),
        visibility,
        join_policy: None,
    })
}

pub fn send(text: &str) -> Command {
    reply(text, None)
}

pub fn reply(text: &str, reply_to: Option<MessageId>) -> Command {
    Command::SendMessage(SendMessage {
        text: text.to_owned(),
        reply_to,
        kind: MessageType::Text,
    })
}

pub fn edit(message: MessageId, text: &str) -> Command {
    let text = text.to_owned();
    Command::EditMessage(EditMessage { message, text })
}

pub fn delete(message: MessageId) -> Command {
    Command::DeleteMessage(DeleteMessage { message })
}

pub fn react(message: MessageId, emoji: &str, on: bool) -> Command {
    let emoji = emoji.to_owned();
    Command::React(React { message, emoji, on })
}

pub fn add(users: &[UserId], role: Option<Role>) -> Command {
    Command::AddParticipants(AddParticipants {
        user_ids: users.to_vec(),
        role,
    })
}

pub fn remove(user: UserId) -> Command {
    Command::RemoveParticipant(RemoveParticipant { user })
}

pub fn promote(user: UserId, role: Role) -> Command {
    Command::UpdateParticipant(UpdateParticipant { user, role })
}

pub fn retitle(title: &str) -> Command {
    Command::UpdateConversation(UpdateConversation {
        title: Some(title.to_owned()),
        ..UpdateConversation::default()
    })
}

pub fn publish_as(visibility: Visibility) -> Command {
    Command::UpdateConversation(UpdateConversation {
        visibility: Some(visibility),
        ..UpdateConversation::default()
    })
}

pub fn keyed(key: &str) -> With {
    With {
        key: Some(key.to_owned()),
        ..With::default()
    }
}

pub fn ordered(session: u64, number: u64, oldest: u64) -> With {
    With {
        order: Some(Order {
            session,
            number,
            oldest,
        }),
        ..With::default()
    }
}
