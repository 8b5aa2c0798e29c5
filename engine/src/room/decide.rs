//! What a command makes of the conversation: entries, or a refusal, or a
//! list of what must be read first.

use fanfare_protocol::command::{
    AddParticipants, Command, CreateConversation, DeleteMessage, EditMessage, React,
    RemoveParticipant, SendMessage, UpdateConversation, UpdateParticipant,
};
use fanfare_protocol::conversation::{JoinPolicy, Kind, Role, Visibility};
use fanfare_protocol::participant::RemovalReason;
use fanfare_protocol::user::User;
use fanfare_protocol::{Code, Limits, MessageId, Refusal, UserId};

use super::state::{Held, Needs, RoomState};
use super::submit::{Done, Submission};
use crate::authorize::{Action, authorize};
use crate::entry::{Body, Created, Fields, MessageDeleted, MessageEdited, MessageSent, Moved};
use crate::view::message_of;

/// What a command comes to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Verdict {
    /// These entries, in this order; none when it is so already.
    Entries(Vec<Body>),
    /// Decided when the tick of this message's reactions closes.
    GatherReaction(u64),
    /// Decided when the tick of the channel's comings and goings closes.
    GatherMove,
}

/// Why a command is not decided.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Undecided {
    /// Refused.
    Refused(Refusal),
    /// Something must be read first.
    Needs(Needs),
}

impl From<Refusal> for Undecided {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl RoomState {
    /// Decides a command against this state.
    pub(super) fn decide(&self, asked: &Submission, limits: &Limits) -> Result<Verdict, Undecided> {
        if let Command::Create(create) = &asked.command {
            return self.create(asked.caller, create);
        }
        if self.meta.is_none() {
            return Err(Refusal::not_found("conversation").into());
        }
        self.know(&[asked.caller])?;
        match &asked.command {
            Command::Create(_) => Ok(Verdict::Entries(Vec::new())),
            Command::SendMessage(send) => self.send(asked, send),
            Command::EditMessage(edit) => self.edit(asked, edit, limits),
            Command::DeleteMessage(delete) => self.delete(asked.caller, delete),
            Command::React(react) => self.react(asked.caller, react),
            Command::Join => self.join(asked.caller),
            Command::Leave => self.leave(asked.caller),
            Command::AddParticipants(add) => self.add(asked, add, limits),
            Command::UpdateParticipant(update) => self.promote(asked, update),
            Command::RemoveParticipant(remove) => self.remove(asked.caller, remove),
            Command::UpdateConversation(update) => self.update(asked.caller, update),
            Command::DeleteConversation => {
                authorize(&self.standing(asked.caller), Action::DeleteConversation)?;
                Ok(Verdict::Entries(vec![Body::ConversationDeleted]))
            }
        }
    }

    fn create(&self, caller: UserId, create: &CreateConversation) -> Result<Verdict, Undecided> {
        if self.meta.is_some() {
            // The claim that led here fixed what is created: a repeat.
            return Ok(Verdict::Entries(Vec::new()));
        }
        let direct = create.kind == Kind::Direct;
        let first = if direct { Role::Member } else { Role::Owner };
        let mut members = vec![(caller, first)];
        for user in &create.participant_ids {
            if members.iter().all(|(known, _)| known != user) {
                members.push((*user, Role::Member));
            }
        }
        let public = create.kind == Kind::Channel
            && create.visibility.unwrap_or(Visibility::Public) == Visibility::Public;
        let visibility = if public {
            Visibility::Public
        } else {
            Visibility::Private
        };
        let join_policy = match (create.kind, create.join_policy) {
            (Kind::Channel, Some(policy)) => policy,
            (Kind::Channel, None) if public => JoinPolicy::Open,
            (Kind::Channel | Kind::Group | Kind::Direct, _) => JoinPolicy::Invite,
        };
        Ok(Verdict::Entries(vec![Body::Created(Created {
            kind: create.kind,
            title: create.title.clone(),
            slug: create.slug.clone(),
            description: create.description.clone().filter(|text| !text.is_empty()),
            visibility,
            join_policy,
            members,
        })]))
    }

    fn send(&self, asked: &Submission, send: &SendMessage) -> Result<Verdict, Undecided> {
        authorize(&self.standing(asked.caller), Action::Send)?;
        if let Some(message) = send.reply_to {
            let from = self
                .member(asked.caller)
                .flatten()
                .map_or(1, |row| row.from_seq);
            if message.seq < from {
                return Err(Refusal::not_found("message to reply to").into());
            }
            self.message(message, "message to reply to")?;
        }
        let (mentions, mentions_all) = self.mentioned(asked)?;
        Ok(Verdict::Entries(vec![Body::MessageSent(MessageSent {
            kind: send.kind,
            text: send.text.clone(),
            reply_to: send.reply_to,
            mentions,
            mentions_all,
            key: asked.key.clone(),
        })]))
    }

    fn edit(
        &self,
        asked: &Submission,
        edit: &EditMessage,
        limits: &Limits,
    ) -> Result<Verdict, Undecided> {
        let (held, own) = self.visible_message(asked.caller, edit.message)?;
        let action = if own {
            Action::EditOwn
        } else {
            Action::EditOther
        };
        authorize(&self.standing(asked.caller), action)?;
        if held.state.deleted_at.is_some() {
            return Err(Refusal::new(Code::Gone, "the message was deleted").into());
        }
        if held.state.edits.len() >= limits.edits_per_message_max {
            return Err(Refusal::new(Code::Conflict, "the message was edited too often").into());
        }
        let (mentions, _) = self.mentioned(asked)?;
        Ok(Verdict::Entries(vec![Body::MessageEdited(MessageEdited {
            message: edit.message,
            text: edit.text.clone(),
            mentions,
            edit_count: held.state.edits.len() as u64 + 1,
        })]))
    }

    fn delete(&self, caller: UserId, delete: &DeleteMessage) -> Result<Verdict, Undecided> {
        let (held, own) = self.visible_message(caller, delete.message)?;
        let author = held.entry.author;
        let action = if own {
            Action::DeleteOwn
        } else {
            self.know(&[author])?;
            Action::DeleteOther {
                author: self.role(author),
            }
        };
        authorize(&self.standing(caller), action)?;
        if held.state.deleted_at.is_some() {
            return Ok(Verdict::Entries(Vec::new()));
        }
        let edits = held.state.edits.clone();
        let mut needs = Needs::default();
        for seq in &edits {
            self.want_row(*seq, &mut needs);
        }
        if !needs.is_empty() {
            return Err(Undecided::Needs(needs));
        }
        let deleted = MessageDeleted {
            message: delete.message,
            edits,
        };
        Ok(Verdict::Entries(vec![Body::MessageDeleted(deleted)]))
    }

    fn react(&self, caller: UserId, react: &React) -> Result<Verdict, Undecided> {
        let (held, _) = self.visible_message(caller, react.message)?;
        authorize(&self.standing(caller), Action::React)?;
        if held.state.deleted_at.is_some() {
            return Err(Refusal::new(Code::Gone, "the message was deleted").into());
        }
        Ok(Verdict::GatherReaction(react.message.seq))
    }

    fn join(&self, caller: UserId) -> Result<Verdict, Undecided> {
        authorize(&self.standing(caller), Action::Join)?;
        if self.role(caller).is_some() {
            return Ok(Verdict::Entries(Vec::new()));
        }
        Ok(Verdict::GatherMove)
    }

    fn leave(&self, caller: UserId) -> Result<Verdict, Undecided> {
        authorize(&self.standing(caller), Action::Leave)?;
        Ok(self.removal(caller, RemovalReason::Left))
    }

    fn remove(&self, caller: UserId, remove: &RemoveParticipant) -> Result<Verdict, Undecided> {
        if remove.user == caller {
            return self.leave(caller);
        }
        self.know(&[remove.user])?;
        let Some(target) = self.role(remove.user) else {
            // Whether somebody is a member is only for those who may look.
            authorize(&self.standing(caller), Action::ListMembers)?;
            return Err(Refusal::not_found("participant").into());
        };
        authorize(&self.standing(caller), Action::Remove { target })?;
        Ok(self.removal(remove.user, RemovalReason::Removed))
    }

    /// Plain members who leave a channel are gathered; whoever held a role
    /// or is removed gets an entry of their own.
    fn removal(&self, user: UserId, reason: RemovalReason) -> Verdict {
        let channel = self
            .meta
            .as_ref()
            .is_some_and(|meta| meta.kind == Kind::Channel);
        let plain = self.role(user) == Some(Role::Member);
        if channel && plain && reason == RemovalReason::Left {
            return Verdict::GatherMove;
        }
        let member_count = self.member_count().saturating_sub(1);
        Verdict::Entries(vec![Body::MemberRemoved {
            user,
            reason,
            member_count,
        }])
    }

    fn add(
        &self,
        asked: &Submission,
        add: &AddParticipants,
        limits: &Limits,
    ) -> Result<Verdict, Undecided> {
        let role = add.role.unwrap_or(Role::Member);
        authorize(&self.standing(asked.caller), Action::Add { role })?;
        self.know(&add.user_ids)?;
        let new: Vec<&User> = asked
            .resolved
            .users
            .iter()
            .filter(|user| self.role(user.id).is_none())
            .collect();
        let Some(meta) = &self.meta else {
            return Ok(Verdict::Entries(Vec::new()));
        };
        let member_count = meta.member_count + new.len() as u64;
        if meta.kind == Kind::Group && member_count > limits.group_members_max {
            let reason = format!("a group has at most {} members", limits.group_members_max);
            return Err(Refusal::new(Code::Conflict, reason).into());
        }
        if new.is_empty() {
            return Ok(Verdict::Entries(Vec::new()));
        }
        if meta.kind == Kind::Channel && role == Role::Member {
            let joined = new
                .iter()
                .map(|user| Moved {
                    user: user.id,
                    key: None,
                })
                .collect();
            let moved = Body::MembersMoved {
                joined,
                left: Vec::new(),
                member_count,
            };
            return Ok(Verdict::Entries(vec![moved]));
        }
        let added = |user: &User| Body::MemberAdded {
            user: user.clone(),
            role,
        };
        Ok(Verdict::Entries(new.into_iter().map(added).collect()))
    }

    fn promote(
        &self,
        asked: &Submission,
        update: &UpdateParticipant,
    ) -> Result<Verdict, Undecided> {
        self.know(&[update.user])?;
        let target = self
            .member(update.user)
            .flatten()
            .filter(|row| row.is_active());
        let Some(target) = target else {
            authorize(&self.standing(asked.caller), Action::ListMembers)?;
            return Err(Refusal::not_found("participant").into());
        };
        let action = Action::ChangeRole {
            from: target.role,
            to: update.role,
        };
        authorize(&self.standing(asked.caller), action)?;
        if target.role == update.role {
            return Ok(Verdict::Entries(Vec::new()));
        }
        let record = |id: UserId| {
            asked
                .resolved
                .users
                .iter()
                .find(|user| user.id == id)
                .cloned()
        };
        let Some(user) = record(update.user) else {
            return Err(Refusal::not_found("user").into());
        };
        let updated = |user: User, role, joined_at| Body::MemberUpdated {
            user,
            role,
            joined_at,
        };
        let mut bodies = vec![updated(user, update.role, target.joined_at)];
        if update.role == Role::Owner {
            // Handing over: the owner before stays as an admin.
            let before = self.member(asked.caller).flatten();
            if let (Some(user), Some(row)) = (record(asked.caller), before) {
                bodies.push(updated(user, Role::Admin, row.joined_at));
            }
        }
        Ok(Verdict::Entries(bodies))
    }

    fn update(&self, caller: UserId, update: &UpdateConversation) -> Result<Verdict, Undecided> {
        authorize(&self.standing(caller), Action::UpdateFields)?;
        let Some(meta) = &self.meta else {
            return Ok(Verdict::Entries(Vec::new()));
        };
        if meta.kind != Kind::Channel {
            for (field, set) in [
                ("visibility", update.visibility.is_some()),
                ("joinPolicy", update.join_policy.is_some()),
            ] {
                if set {
                    return Err(Refusal::field(field, "only channels have it").into());
                }
            }
        }
        let described = meta.description.as_deref().unwrap_or_default();
        let fields = Fields {
            title: update
                .title
                .clone()
                .filter(|title| meta.title.as_ref() != Some(title)),
            description: update.description.clone().filter(|text| text != described),
            visibility: update.visibility.filter(|it| *it != meta.visibility),
            join_policy: update.join_policy.filter(|it| *it != meta.join_policy),
        };
        if fields == Fields::default() {
            return Ok(Verdict::Entries(Vec::new()));
        }
        Ok(Verdict::Entries(vec![Body::ConversationUpdated(fields)]))
    }

    /// Members among those whose names stand in the text, and whether it
    /// may name everybody (where it may not, the words are only text).
    fn mentioned(&self, asked: &Submission) -> Result<(Vec<UserId>, bool), Undecided> {
        self.know(&asked.resolved.mentions)?;
        let members = asked.resolved.mentions.iter().copied();
        let mentions = members.filter(|user| self.role(*user).is_some()).collect();
        let all = asked.resolved.mentions_all
            && authorize(&self.standing(asked.caller), Action::MentionAll).is_ok();
        Ok((mentions, all))
    }

    /// A message the caller may see, and whether it is their own.
    fn visible_message(&self, caller: UserId, id: MessageId) -> Result<(&Held, bool), Undecided> {
        let standing = self.standing(caller);
        authorize(&standing, Action::ReadHistory)?;
        let from = self.member(caller).flatten().map_or(1, |row| row.from_seq);
        if id.seq < from {
            return Err(Refusal::not_found("message").into());
        }
        let held = self.message(id, "message")?;
        Ok((held, held.entry.author == caller))
    }

    fn message(&self, id: MessageId, what: &str) -> Result<&Held, Undecided> {
        if id.conversation != self.conversation || id.seq == 0 || id.seq > self.head {
            return Err(Refusal::not_found(what).into());
        }
        let Some(held) = self.rows.get(&id.seq) else {
            return Err(Undecided::Needs(Needs {
                rows: vec![id.seq],
                ..Needs::default()
            }));
        };
        if held.row.epoch != id.epoch || !held.entry.body.is_message() {
            return Err(Refusal::not_found(what).into());
        }
        Ok(held)
    }

    fn know(&self, users: &[UserId]) -> Result<(), Undecided> {
        let mut needs = Needs::default();
        for user in users {
            self.want_member(*user, &mut needs);
        }
        if needs.is_empty() {
            Ok(())
        } else {
            Err(Undecided::Needs(needs))
        }
    }

    /// What to answer for the entry at `seq`, with the state as it now is.
    pub(super) fn done(&self, seq: u64) -> Result<Done, Undecided> {
        let Some(held) = self.rows.get(&seq) else {
            return Err(Undecided::Needs(Needs {
                rows: vec![seq],
                ..Needs::default()
            }));
        };
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
        let Some(held) = self.rows.get(&seq) else {
            return Err(Undecided::Needs(Needs {
                rows: vec![seq],
                ..Needs::default()
            }));
        };
        message_of(&held.row, &held.entry, &held.state, None)
            .map(|message| Done::Message(Box::new(message)))
            .ok_or_else(|| Undecided::Refused(Refusal::internal()))
    }
}
