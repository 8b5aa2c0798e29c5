//! What a room tells from memory: rows and memberships as they are durable.
//! Where something not yet durable changes them, the log is asked instead.

use fanfare_protocol::UserId;

use super::machine::{Phase, Room};
use crate::entry::{Body, Entry};
use crate::member::MemberRow;
use crate::meta::ConversationMeta;
use crate::port::{Order, RowRange};
use crate::row::LogRow;

impl Room {
    /// The durable rows of a range, as the log would give them. `None` when not
    /// all of them are held, or one of them is about to change.
    pub fn recent(&self, range: &RowRange) -> Option<Vec<LogRow>> {
        if self.phase != Phase::Serving {
            return None;
        }
        let (from, to) = (range.from.max(1), range.to.min(self.durable.seq));
        if from > to {
            return Some(Vec::new());
        }
        let all = to - from + 1;
        let wanted = usize::try_from(all).map_or(range.limit, |all| all.min(range.limit));
        let held = self.state.rows.range(from..=to).map(|(_, held)| &held.row);
        let rows: Vec<LogRow> = match range.order {
            Order::Ascending => held.take(wanted).cloned().collect(),
            Order::Descending => held.rev().take(wanted).cloned().collect(),
        };
        let (first, last) = (rows.first()?.seq, rows.last()?.seq);
        let begins = match range.order {
            Order::Ascending => first == from,
            Order::Descending => first == to,
        };
        let (low, high) = (first.min(last), first.max(last));
        let dense = rows.len() == wanted && high - low + 1 == rows.len() as u64;
        let about_to_change = || self.changes(|seq| (low..=high).contains(&seq));
        (begins && dense && !about_to_change()).then_some(rows)
    }

    /// The record, and how somebody stands. `None` when it is not held, or about
    /// to change.
    pub fn standing(&self, user: UserId) -> Option<(ConversationMeta, Option<MemberRow>)> {
        if self.phase != Phase::Serving {
            return None;
        }
        let durable = |seq: u64| seq <= self.durable.seq;
        let meta = self.state.meta.as_ref().filter(|meta| durable(meta.rev))?;
        let member = self.state.member(user)?;
        let known = member.is_none_or(|member| durable(member.changed_seq));
        known.then(|| (meta.clone(), member))
    }

    /// Whether an entry that is not yet durable changes such a row.
    fn changes(&self, is_one: impl Fn(u64) -> bool) -> bool {
        let in_flight = self.in_flight.iter().flat_map(|flight| &flight.rows);
        let in_flight = in_flight.map(|published| &published.entry);
        let gathered = self.gathered.iter().map(|gathered| &gathered.entry);
        let changes = |entry: &Entry| match &entry.body {
            Body::MessageEdited(edited) => is_one(edited.message.seq),
            Body::ReactionsChanged(changed) => is_one(changed.message.seq),
            Body::MessageDeleted(deleted) => {
                is_one(deleted.message.seq) || deleted.edits.iter().any(|seq| is_one(*seq))
            }
            _ => false,
        };
        in_flight.chain(gathered).any(|entry| changes(entry))
    }
}
