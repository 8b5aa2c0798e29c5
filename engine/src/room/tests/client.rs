//! A client as PROTOCOL describes it, and a second opinion on the log:
//! written from the promises, sharing no code with the room.

use std::collections::{BTreeMap, BTreeSet};

use fanfare_protocol::conversation::{JoinPolicy, Kind, Role, Visibility};
use fanfare_protocol::event::{ConversationChange, Event};
use fanfare_protocol::message::Message;
use fanfare_protocol::{MessageId, UserId};

use super::store::Store;
use crate::entry::{Body, Entry};
use crate::row::LogRow;
use crate::secret::Fingerprint;
use crate::view::{event_of, message_of};

/// What one client holds of the conversation.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Client {
    pub head: u64,
    pub messages: BTreeMap<u64, Message>,
    title: Option<String>,
    access: Option<(Visibility, JoinPolicy)>,
    member_count: u64,
    deleted: bool,
}

impl Client {
    /// A fresh fetch of everything up to `head`.
    pub fn fetch(store: &Store, head: u64) -> Self {
        let mut client = Self {
            head,
            ..Self::default()
        };
        for row in store.rows_from(1) {
            let (entry, state) = (row.entry().unwrap(), row.state().unwrap());
            let message = message_of(&row, &entry, &state, None);
            client
                .messages
                .extend(message.map(|message| (row.seq, message)));
        }
        client.messages.retain(|seq, _| *seq <= head);
        if let Some(meta) = store.meta() {
            client.title.clone_from(&meta.title);
            client.access = Some((meta.visibility, meta.join_policy));
            client.member_count = meta.member_count;
            client.deleted = meta.deleted_at.is_some();
        }
        client
    }

    /// The next event, whatever its kind.
    pub fn hear(&mut self, row: &LogRow, entry: &Entry) {
        assert_eq!(row.seq, self.head + 1, "no gap and no repeat");
        self.head = row.seq;
        match event_of(row, entry) {
            Event::MessageReceived { message } => {
                self.messages.insert(row.seq, message);
            }
            Event::MessageEdited {
                message,
                rev,
                text,
                mentions,
                edited_at,
                edit_count,
            } => {
                self.change(message, rev, |held| {
                    held.text = text;
                    held.mentions = mentions;
                    held.edited_at = Some(edited_at);
                    held.edit_count = edit_count;
                });
            }
            Event::MessageDeleted {
                message,
                rev,
                deleted_at,
            } => {
                self.change(message, rev, |held| {
                    held.text.clear();
                    held.mentions.clear();
                    held.reactions.clear();
                    held.deleted_at = Some(deleted_at);
                });
            }
            Event::MessageReactions {
                message,
                rev,
                reactions,
                ..
            } => {
                self.change(message, rev, |held| held.reactions = reactions);
            }
            Event::ParticipantAdded { .. } => self.member_count += 1,
            Event::ParticipantRemoved { .. } => self.member_count -= 1,
            Event::ParticipantUpdated { .. } => {}
            Event::ConversationUpdated(change) => self.update(change),
            Event::ConversationDeleted { .. } => self.deleted = true,
        }
    }

    /// Only if the change is newer than what is held.
    fn change(&mut self, id: MessageId, rev: u64, change: impl FnOnce(&mut Message)) {
        let held = self.messages.get_mut(&id.seq).unwrap();
        assert_eq!(held.id, id);
        if rev > held.rev {
            change(held);
            held.rev = rev;
        }
    }

    fn update(&mut self, change: ConversationChange) {
        self.title = change.title.or(self.title.take());
        let (visibility, policy) = self.access.unzip();
        let visibility = change.visibility.or(visibility);
        self.access = visibility.zip(change.join_policy.or(policy));
        self.member_count = change.member_count.unwrap_or(self.member_count);
    }

    /// Whom messages name: (user, seq of the message).
    pub fn mentions(&self) -> Vec<(UserId, u64)> {
        let named = self.messages.values();
        let named = named.flat_map(|it| it.mentions.iter().map(|user| (*user, it.seq)));
        let sorted: BTreeSet<_> = named.collect();
        sorted.into_iter().collect()
    }

    /// What messages hold, whatever else.
    pub fn assert_same_messages(&self, other: &Self) {
        for (seq, message) in &self.messages {
            assert_eq!(other.messages.get(seq), Some(message));
        }
        assert_eq!(self.messages.len(), other.messages.len());
    }
}

/// Reads a log from its beginning and says what must never be.
#[derive(Debug, Default)]
pub struct Auditor {
    members: BTreeMap<UserId, Role>,
    /// What members may see from, and whether those who come see everything.
    from_seqs: BTreeMap<UserId, u64>,
    from_start: bool,
    kind: Option<Kind>,
    authors: BTreeMap<u64, UserId>,
    deleted: BTreeSet<u64>,
    keys: BTreeSet<Fingerprint>,
    ended: bool,
}

impl Auditor {
    pub fn read(&mut self, row: &LogRow, entry: &Entry) {
        assert!(!self.ended, "nothing follows the end");
        let author = entry.author;
        for key in row.key.iter().copied().chain(gathered_keys(&entry.body)) {
            assert!(self.keys.insert(key), "one key, one entry");
        }
        match &entry.body {
            Body::Created(created) => {
                self.kind = Some(created.kind);
                self.open(Some(created.visibility));
                self.members.extend(created.members.iter().copied());
                for (user, _) in &created.members {
                    self.sees_from(*user, row.seq);
                }
            }
            Body::MessageSent(sent) => {
                self.assert_member(author);
                sent.mentions
                    .iter()
                    .for_each(|user| self.assert_member(*user));
                self.authors.insert(row.seq, author);
            }
            Body::MessageEdited(edited) => {
                self.assert_member(author);
                assert_eq!(self.authors.get(&edited.message.seq), Some(&author));
                assert!(!self.deleted.contains(&edited.message.seq));
            }
            Body::MessageDeleted(deleted) => {
                self.assert_member(author);
                let of = self.authors[&deleted.message.seq];
                assert!(of == author || self.role(author) > self.role(of));
                assert!(self.deleted.insert(deleted.message.seq), "once");
            }
            Body::ReactionsChanged(changed) => {
                assert!(!changed.changes.is_empty());
                changed
                    .changes
                    .iter()
                    .for_each(|change| self.assert_member(change.user));
                assert!(!self.deleted.contains(&changed.message.seq));
            }
            Body::MemberAdded { .. }
            | Body::MemberUpdated { .. }
            | Body::MemberRemoved { .. }
            | Body::MembersMoved { .. } => self.read_members(row.seq, author, &entry.body),
            Body::ConversationUpdated(fields) => {
                assert!(self.role(author) >= Some(Role::Admin));
                self.open(fields.visibility);
            }
            Body::ConversationDeleted => {
                assert_eq!(self.role(author), Some(Role::Owner));
                self.ended = true;
            }
        }
    }

    fn read_members(&mut self, seq: u64, author: UserId, body: &Body) {
        match body {
            Body::MemberAdded { user, role, .. } => {
                assert!(self.role(author) > Some(*role));
                assert_eq!(self.members.insert(user.id, *role), None);
                self.sees_from(user.id, seq);
            }
            Body::MemberUpdated { user, role, .. } => {
                assert!(self.role(author) >= Some(Role::Admin));
                assert!(self.members.insert(user.id, *role).is_some());
            }
            Body::MemberRemoved {
                user, member_count, ..
            } => {
                assert!(*user == author || self.role(author) > self.role(*user));
                assert!(self.members.remove(user).is_some());
                assert_eq!(self.members.len() as u64, *member_count);
            }
            Body::MembersMoved {
                joined,
                left,
                member_count,
                ..
            } => {
                for moved in joined {
                    assert_eq!(self.members.insert(moved.user, Role::Member), None);
                    self.sees_from(moved.user, seq);
                }
                for moved in left {
                    assert_eq!(self.members.remove(&moved.user), Some(Role::Member));
                }
                assert_eq!(self.members.len() as u64, *member_count);
            }
            _ => {}
        }
    }

    fn open(&mut self, visibility: Option<Visibility>) {
        let Some(visibility) = visibility else { return };
        let channel = self.kind == Some(Kind::Channel);
        let public = channel && visibility == Visibility::Public;
        self.from_start = public || self.kind == Some(Kind::Direct);
    }

    fn sees_from(&mut self, user: UserId, seq: u64) {
        let from = if self.from_start { 1 } else { seq };
        self.from_seqs.insert(user, from);
    }

    fn role(&self, user: UserId) -> Option<Role> {
        self.members.get(&user).copied()
    }

    fn assert_member(&self, user: UserId) {
        assert!(self.members.contains_key(&user), "{user} is no member");
    }

    /// What the store holds is what the log says.
    pub fn assert_stored(&self, store: &Store) {
        let active = store.members().into_iter();
        let active: BTreeMap<UserId, Role> = active
            .filter(|(_, row)| row.is_active())
            .map(|(user, row)| (user, row.role))
            .collect();
        assert_eq!(active, self.members);
        for (user, row) in store.members() {
            assert_eq!(self.from_seqs.get(&user), Some(&row.from_seq));
        }
        let count = store.meta().map_or(0, |meta| meta.member_count);
        assert_eq!(count, self.members.len() as u64);
    }

    pub fn members(&self) -> BTreeSet<UserId> {
        self.members.keys().copied().collect()
    }
}

fn gathered_keys(body: &Body) -> Vec<Fingerprint> {
    let pairs: Vec<_> = match body {
        Body::ReactionsChanged(changed) => changed.keys.iter().flatten().copied().collect(),
        Body::MembersMoved { joined, left, .. } => joined
            .iter()
            .chain(left)
            .filter_map(|moved| moved.key)
            .collect(),
        _ => Vec::new(),
    };
    pairs.into_iter().map(|(key, _)| key).collect()
}
