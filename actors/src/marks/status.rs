//! What others are told of marks: gathered per conversation into one
//! `message:status`. A signal: what is dropped here nobody waits for.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use fanfare_engine::port::{Mark, MarkWrite};
use fanfare_protocol::mark::MarkUpdate;
use fanfare_protocol::signal::Signal;
use fanfare_protocol::{ConversationId, Limits, UserId};

use super::handle::MarksParts;

/// Marks that rose, per conversation. Bounded by `marks_waiting_max`
/// conversations of `marks_shown_members_max` members.
#[derive(Default)]
pub(super) struct Gathered {
    conversations: HashMap<ConversationId, Marks>,
    /// When each is told, in milliseconds, ascending.
    due: VecDeque<(u64, ConversationId)>,
}

/// Marks of one conversation; `None` once they are of too many members to be
/// told at all.
type Marks = Option<BTreeMap<UserId, MarkUpdate>>;

impl Gathered {
    /// Adds a mark that rose.
    pub fn add(&mut self, rose: &MarkWrite, now_ms: u64, limits: &Limits) {
        let full = self.conversations.len() >= limits.marks_waiting_max;
        let marks = match self.conversations.entry(rose.conversation) {
            Entry::Occupied(marks) => marks.into_mut(),
            Entry::Vacant(_) if full => {
                metrics::counter!("fanfare_mark_status_dropped_total").increment(1);
                return;
            }
            Entry::Vacant(place) => {
                let due_ms = now_ms + limits.marks_gather_ms;
                self.due.push_back((due_ms, rose.conversation));
                place.insert(Some(BTreeMap::new()))
            }
        };
        let Some(users) = marks else {
            return;
        };
        let update = users.entry(rose.user).or_insert(MarkUpdate {
            user: rose.user,
            delivered_seq: None,
            read_seq: None,
        });
        match rose.mark {
            Mark::Read { seq, .. } => update.read_seq = update.read_seq.max(Some(seq)),
            Mark::Delivered { seq } => update.delivered_seq = update.delivered_seq.max(Some(seq)),
        }
        if users.len() as u64 > limits.marks_shown_members_max {
            *marks = None;
        }
    }

    /// When the next ones are told, in milliseconds.
    pub fn next_ms(&self) -> Option<u64> {
        self.due.front().map(|(due_ms, _)| *due_ms)
    }

    /// Takes those that are due.
    pub fn take_due(&mut self, now_ms: u64) -> Vec<(ConversationId, Vec<MarkUpdate>)> {
        let mut taken = Vec::new();
        while let Some((due_ms, conversation)) = self.due.front().copied() {
            if due_ms > now_ms {
                break;
            }
            self.due.pop_front();
            if let Some(Some(users)) = self.conversations.remove(&conversation) {
                taken.push((conversation, users.into_values().collect()));
            }
        }
        taken
    }
}

/// Tells them, where the conversation is small enough.
pub(super) async fn announce(parts: &MarksParts, told: Vec<(ConversationId, Vec<MarkUpdate>)>) {
    for (conversation, marks) in told {
        match parts.log.meta(conversation).await {
            Ok(Some(meta)) if meta.member_count <= parts.limits.marks_shown_members_max => {
                let status = Arc::new(Signal::MessageStatus { marks });
                parts.directory.signal(conversation, status);
            }
            Ok(_) => {}
            Err(error) => {
                metrics::counter!("fanfare_mark_status_dropped_total").increment(1);
                tracing::debug!(%conversation, %error, "marks not told");
            }
        }
    }
}
