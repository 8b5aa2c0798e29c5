//! What a room notes for the lists of its members: when it was active.

use std::sync::Arc;

use fanfare_engine::activity;
use fanfare_engine::room::Published;
use fanfare_engine::view::added_by;
use fanfare_protocol::Timestamp;

use super::actor::State;

impl State {
    /// When the newest entry was taken, and how many members there are; of a
    /// room that holds all of them.
    pub(super) fn activity(&self) -> Option<(Timestamp, u64)> {
        let head = self.machine.head();
        let members = self.machine.all_members()?.len() as u64;
        (head.seq > 0).then_some((head.at, members))
    }

    /// Hints for the lists of members, where all of them are known; not waited
    /// for.
    pub(super) fn note_activity(&mut self, published: &Published) {
        let Some(last) = published.rows.last() else {
            return;
        };
        let (at, members) = (last.entry.at, published.member_count);
        let (mut before, members_before) = self.active.unzip();
        self.active = Some((at, members));
        let mut rows = published.rows.iter();
        if rows.any(|row| !added_by(&row.entry).is_empty()) {
            // Who comes has no hint, or one of an earlier time here.
            before = None;
        }
        let noted = activity::noted(before, at, members_before.unwrap_or(0), members);
        let (Some(noted), Some(users)) = (noted, self.machine.all_members()) else {
            return;
        };
        let (inbox, conversation) = (Arc::clone(&self.ports.inbox), self.conversation);
        tokio::spawn(async move {
            if let Err(error) = inbox.touch(conversation, users, noted).await {
                tracing::debug!(%conversation, %error, "activity not noted");
            }
        });
    }
}
