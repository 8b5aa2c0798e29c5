//! What changed and has not reached the actor yet: one row per conversation
//! and user, however often it changes. Bounded by [`UNREAD_WAITING_MAX`].

use std::collections::HashMap;

use fanfare_engine::member::Marks;
use fanfare_protocol::limits::UNREAD_WAITING_MAX;
use fanfare_protocol::{ConversationId, UserId};

/// Why a count may have to be pushed; the greater reason holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Due {
    /// It need not.
    #[default]
    No,
    /// If it is not what was told last: the member's own message was read by
    /// sending it, which a push since then knew already.
    Check,
    /// Something changed.
    Tell,
}

/// What changed for one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Note {
    /// Whether they are told.
    pub due: Due,
    /// Marks that were reached, if nothing else changed.
    pub reached: Option<Marks>,
}

impl Note {
    /// Both of them.
    fn and(self, other: Self) -> Self {
        let both = self.reached.zip(other.reached);
        Self {
            due: self.due.max(other.due),
            reached: both.map(|(one, other)| one.highest(other)),
        }
    }
}

/// What changed in one conversation.
#[derive(Default)]
pub(super) struct Changed {
    /// For all members.
    pub everybody: bool,
    /// Who is a member, or as what.
    pub members: bool,
    /// For these.
    pub users: HashMap<UserId, Note>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Waiting {
    conversations: HashMap<ConversationId, Changed>,
    rows: usize,
    /// Something changed that is not in here.
    lost: bool,
    /// Counts that are finished.
    #[cfg(test)]
    pub counted: usize,
}

impl Waiting {
    /// Notes a change for all members; `true` when the actor must be woken.
    pub fn everybody(&mut self, conversation: ConversationId) -> bool {
        self.of(conversation, |changed| changed.everybody = true)
    }

    /// Notes that memberships changed; `true` when the actor must be woken.
    pub fn members(&mut self, conversation: ConversationId) -> bool {
        self.of(conversation, |changed| changed.members = true)
    }

    /// Notes a change for one; `true` when the actor must be woken.
    pub fn user(&mut self, conversation: ConversationId, user: UserId, note: Note) -> bool {
        let wake = self.conversations.is_empty();
        let known = self.conversations.get_mut(&conversation);
        if let Some(noted) = known.and_then(|changed| changed.users.get_mut(&user)) {
            *noted = noted.and(note);
        } else if self.take_row() {
            let changed = self.conversations.entry(conversation).or_default();
            changed.users.insert(user, note);
        } else {
            return false;
        }
        wake
    }

    fn of(&mut self, conversation: ConversationId, note: impl FnOnce(&mut Changed)) -> bool {
        let wake = self.conversations.is_empty();
        if self.conversations.contains_key(&conversation) || self.take_row() {
            note(self.conversations.entry(conversation).or_default());
            return wake;
        }
        false
    }

    /// Takes everything, and whether something changed that is not in it.
    pub fn take(&mut self) -> (HashMap<ConversationId, Changed>, bool) {
        self.rows = 0;
        let lost = std::mem::take(&mut self.lost);
        (std::mem::take(&mut self.conversations), lost)
    }

    fn take_row(&mut self) -> bool {
        let room = self.rows < UNREAD_WAITING_MAX;
        if room {
            self.rows += 1;
        } else {
            self.lost = true;
            metrics::counter!("fanfare_unread_dropped_total").increment(1);
        }
        room
    }
}
