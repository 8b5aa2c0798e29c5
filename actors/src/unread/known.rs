//! What the unread actor remembers of conversations whose counts change all the
//! time: who is a member, and where those who are connected stand. Forgotten
//! with the rows, at the end of a window in which nothing happened.
//!
//! **Invariant:** whatever changes a membership, a read mark or whom a message
//! names is noted ([`super::waiting`]) once it is durable, or the head has
//! another epoch. Bounded by the actor's rows and [`UNREAD_MEMBERS_KNOWN_MAX`].

use fanfare_engine::member::Marks;
use fanfare_engine::port::Standing;
use fanfare_engine::row::HeadRow;
use fanfare_protocol::limits::UNREAD_MEMBERS_KNOWN_MAX;
use fanfare_protocol::{ConversationId, UserId};

use super::actor::{Job, Key, State};
use super::count::count_one;
use super::waiting::Note;

/// What a count rests on, as long as nothing is noted that changes it.
pub(super) struct Known {
    pub standing: Standing,
    /// Of the head then: another owner's entries and marks are not noted here.
    pub epoch: u64,
    /// Tick at which it was read.
    pub at: u64,
}

impl Known {
    /// Where they stand if nothing has changed it since, with marks of their
    /// own that nobody noted yet.
    fn standing(&self, head: &HeadRow, since: u64, own: Marks) -> Option<Standing> {
        let mut standing = self.standing;
        let marks = standing.marks.highest(own);
        // Behind a higher mark there may be fewer names.
        let counts = standing.named == 0 || marks == standing.marks;
        standing.marks = marks;
        (counts && self.epoch == head.epoch && self.at >= since).then_some(standing)
    }
}

impl State {
    /// Who is a member is read again, and where each of them stands.
    pub(super) fn forget_members(&mut self, conversation: ConversationId) {
        self.tick += 1;
        if let Some(moved) = self.conversations.get_mut(&conversation) {
            moved.since = self.tick;
            let members = moved.members.take();
            self.members_known -= members.map_or(0, |members| members.len());
        }
    }

    /// Something changed for one member.
    pub(super) fn noted(&mut self, key: Key, note: Note) {
        if let Some(push) = self.pushes.get_mut(&key) {
            push.fresh = false;
            match (push.known.as_mut(), note.reached) {
                // Behind a higher mark there are no more names than before.
                (Some(known), Some(reached)) if known.standing.named == 0 => {
                    known.standing.marks = known.standing.marks.highest(reached);
                }
                _ => push.known = None,
            }
        }
        if self.parts.sessions.is_present(key.1) {
            self.touch(key, note.due);
        }
    }

    pub(super) fn know_members(&mut self, conversation: ConversationId, members: Vec<UserId>) {
        let all = self.members_known + members.len();
        if let Some(moved) = self.conversations.get_mut(&conversation)
            && moved.members.is_none()
            && moved.scanned >= moved.since
            && all <= UNREAD_MEMBERS_KNOWN_MAX
        {
            moved.members = Some(members.into());
            self.members_known = all;
        }
    }

    /// Counts those of `users` whose standing is known, without a read; the
    /// others stay.
    pub(super) fn count_known(&mut self, conversation: ConversationId, users: &mut Vec<UserId>) {
        // In this order: a sender's own message is never newer than their mark,
        // and a mark that is durable by now was noted.
        let Some(head) = self.parts.directory.known_head(conversation) else {
            return;
        };
        let own = self.parts.marks.of_each(conversation, users);
        self.look();
        let moved = self.conversations.get(&conversation);
        let since = moved.map_or(u64::MAX, |moved| moved.since);
        let mut unknown = Vec::new();
        for (user, own) in std::mem::take(users).into_iter().zip(own) {
            let key = (conversation, user);
            let known = self.pushes.get(&key).and_then(|push| push.known.as_ref());
            match known.and_then(|known| known.standing(&head, since, own)) {
                Some(standing) => self.counted_one(key, Some(count_one(&standing, &head))),
                None => unknown.push(user),
            }
        }
        *users = unknown;
    }

    /// The same without a read; `false` when it takes one.
    pub(super) fn scan_known(&mut self, conversation: ConversationId) -> bool {
        // Who is no member any more is not told.
        self.look();
        let Some(moved) = self.conversations.get_mut(&conversation) else {
            return false;
        };
        let Some(members) = moved.members.take() else {
            return false;
        };
        moved.scanned = moved.changed;
        self.tell_all(conversation, &members);
        if let Some(moved) = self.conversations.get_mut(&conversation) {
            moved.members = Some(members);
        }
        self.open_window(Job::Scan(conversation));
        true
    }
}
