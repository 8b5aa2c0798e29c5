//! What a command makes of the conversation: entries, or a refusal, or a
//! list of what must be read first.

use fanfare_protocol::command::{
    AddParticipants, Command, CreateConversation, DeleteMessage, EditMessage, React,
    RemoveParticipant, SendMessage, UpdateConversation, UpdateParticipant,
};
use fanfare_protocol::conversation::{Kind, Role};
use fanfare_protocol::participant::RemovalReason;
use fanfare_protocol::user::User;
use fanfare_protocol::{Code, Limits, MessageId, Refusal, UserId};

use super::apply::sees_all;
use super::state::{Held, Needs, RoomState};
use super::submit::Submission;
use crate::authorize::{Action, authorize};
use crate::check;
use crate::entry::{Body, Fields, MessageDeleted, MessageEdited, MessageSent, Moved};
use crate::member::MemberRow;

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
            return self.create(asked.caller, create, limits);
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

    fn create(
        &self,
        caller: UserId,
        create: &CreateConversation,
        limits: &Limits,
    ) -> Result<Verdict, Undecided> {
        if self.meta.is_some() {
            // The claim that led here fixed what is created: a repeat.
            return Ok(Verdict::Entries(Vec::new()));
        }
        let created = check::creation(caller, create, limits)?;
        Ok(Verdict::Entries(vec![Body::Created(created)]))
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
        let mut withdrawn = self.named_in(edit.message.seq);
        withdrawn.retain(|user| !mentions.contains(user));
        Ok(Verdict::Entries(vec![Body::MessageEdited(MessageEdited {
            message: edit.message,
            text: edit.text.clone(),
            mentions,
            withdrawn,
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
            withdrawn: self.named_in(delete.message.seq),
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
        let (users, role) = check::additions(add, limits)?;
        authorize(&self.standing(asked.caller), Action::Add { role })?;
        self.know(&users)?;
        let new: Vec<UserId> = users
            .into_iter()
            .filter(|user| self.role(*user).is_none())
            .collect();
        let Some(meta) = self.meta.as_ref().filter(|_| !new.is_empty()) else {
            return Ok(Verdict::Entries(Vec::new()));
        };
        let member_count = meta.member_count + new.len() as u64;
        if meta.kind == Kind::Group && member_count > limits.group_members_max {
            let reason = format!("a group has at most {} members", limits.group_members_max);
            return Err(Refusal::new(Code::Conflict, reason).into());
        }
        let records: Vec<User> = new
            .iter()
            .map(|user| asked.resolved.user(*user))
            .collect::<Result<_, _>>()?;
        let from_start = sees_all(meta.kind, meta.visibility);
        if meta.kind == Kind::Channel && role == Role::Member {
            let moved = |user| Moved { user, key: None };
            return Ok(Verdict::Entries(vec![Body::MembersMoved {
                joined: new.into_iter().map(moved).collect(),
                left: Vec::new(),
                from_start,
                member_count,
            }]));
        }
        let added = |user| Body::MemberAdded {
            user,
            role,
            from_start,
        };
        Ok(Verdict::Entries(records.into_iter().map(added).collect()))
    }

    fn promote(
        &self,
        asked: &Submission,
        update: &UpdateParticipant,
    ) -> Result<Verdict, Undecided> {
        self.know(&[update.user])?;
        let active = |user| self.member(user).flatten().filter(MemberRow::is_active);
        let Some(target) = active(update.user) else {
            authorize(&self.standing(asked.caller), Action::ListMembers)?;
            return Err(Refusal::not_found("participant").into());
        };
        let updated = |id: UserId, role: Role, row: MemberRow| {
            let user = asked.resolved.user(id)?;
            Ok::<Body, Refusal>(Body::MemberUpdated {
                user,
                role,
                joined_at: row.joined_at,
            })
        };
        // Handing over: the owner before stays as an admin.
        let before = active(asked.caller).filter(|_| {
            update.role == Role::Owner
                && update.user != asked.caller
                && self.role(asked.caller) == Some(Role::Owner)
        });
        let mut bodies = Vec::new();
        // Where only the first half became durable, there are two owners:
        // the repeat does the rest.
        let half_done = before.is_some() && target.role == Role::Owner;
        let action = Action::ChangeRole {
            from: if half_done { Role::Admin } else { target.role },
            to: update.role,
        };
        authorize(&self.standing(asked.caller), action)?;
        if !half_done {
            if target.role == update.role {
                return Ok(Verdict::Entries(bodies));
            }
            bodies.push(updated(update.user, update.role, target)?);
        }
        if let Some(row) = before {
            bodies.push(updated(asked.caller, Role::Admin, row)?);
        }
        Ok(Verdict::Entries(bodies))
    }

    fn update(&self, caller: UserId, update: &UpdateConversation) -> Result<Verdict, Undecided> {
        authorize(&self.standing(caller), Action::UpdateFields)?;
        let Some(meta) = &self.meta else {
            return Ok(Verdict::Entries(Vec::new()));
        };
        let asked = check::fields(meta.kind, update)?;
        let described = meta.description.as_deref().unwrap_or_default();
        let fields = Fields {
            title: asked
                .title
                .filter(|title| meta.title.as_ref() != Some(title)),
            description: asked.description.filter(|text| text != described),
            visibility: asked.visibility.filter(|it| *it != meta.visibility),
            join_policy: asked.join_policy.filter(|it| *it != meta.join_policy),
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

    pub(super) fn message(&self, id: MessageId, what: &str) -> Result<&Held, Undecided> {
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

    pub(super) fn know(&self, users: &[UserId]) -> Result<(), Undecided> {
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
}
