//! What changed and has not reached the actor yet: one row per conversation
//! and user, however often it changes. Bounded by [`UNREAD_WAITING_MAX`].

use std::collections::HashMap;

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

/// What changed in one conversation.
#[derive(Default)]
pub(super) struct Changed {
    /// For all members.
    pub everybody: bool,
    /// For these.
    pub users: HashMap<UserId, Due>,
}

/// See the module.
#[derive(Default)]
pub(super) struct Waiting {
    conversations: HashMap<ConversationId, Changed>,
    rows: usize,
}

impl Waiting {
    /// Notes a change for all members; `true` when the actor must be woken.
    pub fn everybody(&mut self, conversation: ConversationId) -> bool {
        let wake = self.conversations.is_empty();
        if self.conversations.contains_key(&conversation) || self.take_row() {
            let changed = self.conversations.entry(conversation).or_default();
            changed.everybody = true;
            return wake;
        }
        false
    }

    /// Notes a change for one; `true` when the actor must be woken.
    pub fn user(&mut self, conversation: ConversationId, user: UserId, due: Due) -> bool {
        let wake = self.conversations.is_empty();
        let known = self.conversations.get_mut(&conversation);
        if let Some(noted) = known.and_then(|changed| changed.users.get_mut(&user)) {
            *noted = due.max(*noted);
        } else if self.take_row() {
            let changed = self.conversations.entry(conversation).or_default();
            changed.users.insert(user, due);
        } else {
            return false;
        }
        wake
    }

    /// Takes everything.
    pub fn take(&mut self) -> HashMap<ConversationId, Changed> {
        self.rows = 0;
        std::mem::take(&mut self.conversations)
    }

    fn take_row(&mut self) -> bool {
        let room = self.rows < UNREAD_WAITING_MAX;
        if room {
            self.rows += 1;
        } else {
            metrics::counter!("fanfare_unread_dropped_total").increment(1);
        }
        room
    }
}
