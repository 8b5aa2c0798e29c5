//! What an entry makes of the state, and what it must make of the store:
//! effects as absolute values. Used by the room for new entries and by an
//! activation that repeats the effects of old ones.

use fanfare_protocol::conversation::{Kind, Role, Visibility};
use fanfare_protocol::participant::MemberState;
use fanfare_protocol::{Timestamp, UserId};

use super::state::{Held, Needs, RoomState};
use crate::codec::{CodecError, encode};
use crate::effect::{Effect, Set};
use crate::entry::{Body, Created, Entry, Fields, MessageDeleted, MessageEdited, MessageSent};
use crate::member::{Marks, MemberRow};
use crate::meta::ConversationMeta;
use crate::row::{LogRow, encode_state};
use crate::state::MessageState;
use crate::view::emptied;

impl RoomState {
    /// What must be held before `entry` can be applied.
    pub fn needs_of(&self, entry: &Entry) -> Needs {
        let mut needs = Needs::default();
        match &entry.body {
            Body::MessageEdited(edited) => self.want_row(edited.message.seq, &mut needs),
            Body::ReactionsChanged(changed) => self.want_row(changed.message.seq, &mut needs),
            Body::MessageDeleted(deleted) => {
                self.want_row(deleted.message.seq, &mut needs);
                for edit in &deleted.edits {
                    self.want_row(*edit, &mut needs);
                }
            }
            Body::MemberUpdated { user, .. } => self.want_member(user.id, &mut needs),
            Body::MemberRemoved { user, .. } => self.want_member(*user, &mut needs),
            Body::MembersMoved { left, .. } => {
                for moved in left {
                    self.want_member(moved.user, &mut needs);
                }
            }
            Body::Created(_)
            | Body::MessageSent(_)
            | Body::MemberAdded { .. }
            | Body::ConversationUpdated(_)
            | Body::ConversationDeleted => {}
        }
        needs
    }

    pub(super) fn want_row(&self, seq: u64, needs: &mut Needs) {
        if !self.rows.contains_key(&seq) && !needs.rows.contains(&seq) {
            needs.rows.push(seq);
        }
    }

    pub(super) fn want_member(&self, user: UserId, needs: &mut Needs) {
        if self.member(user).is_none() && !needs.members.contains(&user) {
            needs.members.push(user);
        }
    }

    /// Applies a new entry at the head.
    ///
    /// # Errors
    /// When a value cannot be encoded.
    pub fn apply_new(&mut self, row: &LogRow, entry: &Entry) -> Result<Vec<Effect>, CodecError> {
        self.advance(row, entry);
        let held = Held {
            row: row.clone(),
            entry: std::sync::Arc::new(entry.clone()),
            state: MessageState::default(),
        };
        self.rows.insert(row.seq, held);
        self.effects_of(row, entry)
    }

    /// The effects of an entry on the held state, absolute. What already
    /// carries a later change is left as it is and written as it stands.
    /// The sender's own mark is among them ([`Set::Mark`]).
    ///
    /// # Errors
    /// When a value cannot be encoded.
    pub fn effects_of(&mut self, row: &LogRow, entry: &Entry) -> Result<Vec<Effect>, CodecError> {
        let mut sets = Vec::new();
        match &entry.body {
            Body::Created(created) => self.begin(row, entry, created, &mut sets),
            Body::MessageSent(sent) => self.send_message(row, entry.author, sent, &mut sets),
            Body::MessageEdited(edited) => self.edit_message(row, entry.at, edited, &mut sets)?,
            Body::MessageDeleted(deleted) => {
                self.delete_message(row, entry, deleted, &mut sets)?;
            }
            Body::ReactionsChanged(changed) => {
                let target = changed.message.seq;
                self.change_message(target, row.seq, |state| {
                    for change in &changed.changes {
                        set_reaction(state, &change.emoji, change.user, change.on);
                    }
                });
                self.push_state(target, &mut sets)?;
            }
            Body::MemberAdded {
                user,
                role,
                from_start,
            } => {
                let new = new_member(row, entry.at, *role, *from_start);
                self.add_member(user.id, new, &mut sets);
                self.change_meta(row.seq, |meta| meta.member_count += 1, &mut sets);
            }
            Body::MemberUpdated { user, role, .. } => {
                self.change_member(row.seq, user.id, |member| member.role = *role, &mut sets);
            }
            Body::MemberRemoved {
                user, member_count, ..
            } => {
                self.remove_member(row.seq, *user, &mut sets);
                self.change_meta(row.seq, |meta| meta.member_count = *member_count, &mut sets);
            }
            Body::MembersMoved {
                joined,
                left,
                from_start,
                member_count,
            } => {
                let new = new_member(row, entry.at, Role::Member, *from_start);
                for moved in joined {
                    self.add_member(moved.user, new, &mut sets);
                }
                for moved in left {
                    self.remove_member(row.seq, moved.user, &mut sets);
                }
                self.change_meta(row.seq, |meta| meta.member_count = *member_count, &mut sets);
            }
            Body::ConversationUpdated(fields) => {
                self.change_meta(row.seq, |meta| set_fields(meta, fields), &mut sets);
            }
            Body::ConversationDeleted => {
                self.change_meta(row.seq, |meta| meta.deleted_at = Some(entry.at), &mut sets);
            }
        }
        Ok(sets
            .into_iter()
            .map(|set| Effect { seq: row.seq, set })
            .collect())
    }

    fn begin(&mut self, row: &LogRow, entry: &Entry, created: &Created, sets: &mut Vec<Set>) {
        if self.meta.is_none() {
            self.meta = Some(ConversationMeta {
                kind: created.kind,
                title: created.title.clone(),
                slug: created.slug.clone(),
                description: created.description.clone(),
                visibility: created.visibility,
                join_policy: created.join_policy,
                member_count: created.members.len() as u64,
                created_by: entry.author,
                created_at: entry.at,
                deleted_at: None,
                rev: row.seq,
            });
            // From here on members come one by one or by page.
            self.members_complete = self.members_complete && created.kind != Kind::Channel;
        }
        let from_start = sees_all(created.kind, created.visibility);
        for (user, role) in &created.members {
            let new = new_member(row, entry.at, *role, from_start);
            self.add_member(*user, new, sets);
        }
        if let Some(meta) = &self.meta {
            sets.push(Set::Meta(Box::new(meta.clone())));
        }
    }

    fn send_message(&self, row: &LogRow, author: UserId, sent: &MessageSent, sets: &mut Vec<Set>) {
        // Whom it names now is the newest edit's to say.
        let changed = self
            .rows
            .get(&row.seq)
            .is_some_and(|held| held.state.deleted_at.is_some() || held.state.mentions.is_some());
        if !changed {
            let named = sent.mentions.iter();
            sets.extend(named.map(|user| mention(*user, row.seq, true)));
        }
        sets.push(Set::Mark {
            user: author,
            marks: own_mark(row),
        });
    }

    fn edit_message(
        &mut self,
        row: &LogRow,
        at: Timestamp,
        edited: &MessageEdited,
        sets: &mut Vec<Set>,
    ) -> Result<(), CodecError> {
        let target = edited.message.seq;
        self.change_message(target, row.seq, |state| {
            state.text = Some(edited.text.clone());
            state.mentions = Some(edited.mentions.clone());
            state.edits.push(row.seq);
            state.edited_at = Some(at);
        });
        self.push_mentions(target, &edited.withdrawn, &edited.mentions, sets);
        self.push_state(target, sets)
    }

    fn delete_message(
        &mut self,
        row: &LogRow,
        entry: &Entry,
        deleted: &MessageDeleted,
        sets: &mut Vec<Set>,
    ) -> Result<(), CodecError> {
        let target = deleted.message.seq;
        self.change_message(target, row.seq, |state| {
            state.text = None;
            state.mentions = Some(Vec::new());
            state.reactions.clear();
            state.deleted_at = Some(entry.at);
            state.deleted_by = Some(entry.author);
        });
        self.push_mentions(target, &deleted.withdrawn, &[], sets);
        self.push_state(target, sets)?;
        for seq in std::iter::once(&target).chain(&deleted.edits) {
            if let Some(held) = self.rows.get_mut(seq) {
                let empty = emptied(&held.entry);
                held.row.entry = encode(&empty)?;
                held.entry = std::sync::Arc::new(empty);
                sets.push(Set::Emptied {
                    target: *seq,
                    entry: held.row.entry.clone(),
                });
            }
        }
        Ok(())
    }

    /// What an entry changed in whom a message names, as it stands now.
    fn push_mentions(&self, target: u64, off: &[UserId], on: &[UserId], sets: &mut Vec<Set>) {
        let names = self.named_in(target);
        for user in off.iter().filter(|user| !names.contains(user)) {
            sets.push(mention(*user, target, false));
        }
        for user in on.iter().filter(|user| names.contains(user)) {
            sets.push(mention(*user, target, true));
        }
    }

    /// Members a message names at present.
    pub(super) fn named_in(&self, seq: u64) -> Vec<UserId> {
        let Some(held) = self.rows.get(&seq) else {
            return Vec::new();
        };
        match (&held.state.mentions, &held.entry.body) {
            (Some(mentions), _) => mentions.clone(),
            (None, Body::MessageSent(sent)) => sent.mentions.clone(),
            (None, _) => Vec::new(),
        }
    }

    /// Changes a message's state unless a later entry did already.
    fn change_message(&mut self, target: u64, seq: u64, change: impl FnOnce(&mut MessageState)) {
        if let Some(held) = self.rows.get_mut(&target)
            && held.state.rev < seq
        {
            change(&mut held.state);
            held.state.rev = seq;
        }
    }

    fn push_state(&mut self, target: u64, sets: &mut Vec<Set>) -> Result<(), CodecError> {
        if let Some(held) = self.rows.get_mut(&target) {
            held.row.state = encode_state(&held.state)?;
            sets.push(Set::State {
                target,
                state: held.row.state.clone(),
            });
        }
        Ok(())
    }

    fn add_member(&mut self, user: UserId, new: MemberRow, sets: &mut Vec<Set>) {
        let member = self.members.entry(user).or_insert(None);
        if member.is_none_or(|old| old.changed_seq < new.changed_seq) {
            *member = Some(new);
        }
        if let Some(row) = *member {
            sets.push(Set::Member { user, row });
        }
    }

    fn change_member(
        &mut self,
        seq: u64,
        user: UserId,
        change: impl FnOnce(&mut MemberRow),
        sets: &mut Vec<Set>,
    ) {
        if let Some(Some(member)) = self.members.get_mut(&user) {
            if member.changed_seq < seq {
                change(member);
                member.changed_seq = seq;
            }
            sets.push(Set::Member { user, row: *member });
        }
    }

    fn remove_member(&mut self, seq: u64, user: UserId, sets: &mut Vec<Set>) {
        let leave = |member: &mut MemberRow| {
            member.state = MemberState::Left;
            member.role = Role::Member;
        };
        self.change_member(seq, user, leave, sets);
    }

    fn change_meta(
        &mut self,
        seq: u64,
        change: impl FnOnce(&mut ConversationMeta),
        sets: &mut Vec<Set>,
    ) {
        if let Some(meta) = &mut self.meta {
            if meta.rev < seq {
                change(meta);
                meta.rev = seq;
            }
            sets.push(Set::Meta(Box::new(meta.clone())));
        }
    }
}

/// Whether new members see what was before them (`fromSeq`).
pub(super) fn sees_all(kind: Kind, visibility: Visibility) -> bool {
    match kind {
        Kind::Direct => true,
        Kind::Channel => visibility == Visibility::Public,
        Kind::Group => false,
    }
}

fn new_member(row: &LogRow, at: Timestamp, role: Role, from_start: bool) -> MemberRow {
    MemberRow {
        role,
        state: MemberState::Active,
        joined_at: at,
        from_seq: if from_start { 1 } else { row.seq },
        changed_seq: row.seq,
        joined_mno: row.mno,
        joined_seq: row.seq,
        joined_ano: row.ano,
    }
}

/// The mark a sender's own message sets.
pub fn own_mark(row: &LogRow) -> Marks {
    Marks {
        read_seq: row.seq,
        read_mno: row.mno,
        read_ano: row.ano,
        delivered_seq: row.seq,
    }
}

/// Sets or takes back one reaction; `false` when it was so already.
pub(super) fn set_reaction(state: &mut MessageState, emoji: &str, user: UserId, on: bool) -> bool {
    let place = state.reactions.iter().position(|(known, _)| known == emoji);
    match (place.and_then(|at| state.reactions.get_mut(at)), on) {
        (Some((_, users)), true) if !users.contains(&user) => users.push(user),
        (None, true) => state.reactions.push((emoji.to_owned(), vec![user])),
        (Some((_, users)), false) if users.contains(&user) => {
            users.retain(|other| *other != user);
            state.reactions.retain(|(_, users)| !users.is_empty());
        }
        (Some(_), _) | (None, false) => return false,
    }
    true
}

fn set_fields(meta: &mut ConversationMeta, fields: &Fields) {
    if let Some(title) = &fields.title {
        meta.title = Some(title.clone());
    }
    if let Some(description) = &fields.description {
        meta.description = (!description.is_empty()).then(|| description.clone());
    }
    meta.visibility = fields.visibility.unwrap_or(meta.visibility);
    meta.join_policy = fields.join_policy.unwrap_or(meta.join_policy);
}

fn mention(user: UserId, message: u64, on: bool) -> Set {
    Set::Mention { user, message, on }
}
