//! What the node knows of a log without the store, as long as it serves the
//! log's slot; and the order in which memberships end, by which a membership
//! that was read is known to hold still.

use std::sync::atomic::{AtomicU64, Ordering};

use fanfare_engine::entry::Body;
use fanfare_engine::room::Published;
use fanfare_engine::row::HeadRow;
use fanfare_engine::stamp::slot_of;
use fanfare_engine::view::{Ends, ends_of};
use fanfare_protocol::ConversationId;
use fanfare_protocol::limits::SLOTS;

use super::Directory;

/// One log as its owner knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Known {
    /// How far it is published.
    pub head: HeadRow,
    /// Every row from here to the head has the head's epoch.
    pub run_from: u64,
    /// Whether the conversation ended; `None`: a record would have to say.
    pub ended: Option<bool>,
}

impl Known {
    /// Nothing but the head.
    pub(super) fn head(head: HeadRow) -> Self {
        Self {
            head,
            run_from: head.seq,
            ended: None,
        }
    }

    /// After these entries, of which `head` is the newest.
    pub(super) fn after(before: Option<Self>, head: HeadRow, published: &Published) -> Self {
        let first = published.rows.first().map_or(head.seq, |row| row.row.seq);
        let mut known = Self {
            run_from: first,
            ..Self::head(head)
        };
        let goes_on = |it: &Self| it.head.seq + 1 == first;
        if let Some(before) = before.filter(goes_on) {
            known.ended = before.ended;
            if before.head.epoch == head.epoch {
                known.run_from = before.run_from;
            }
        }
        for row in &published.rows {
            match &row.entry.body {
                Body::Created(_) => known.ended = Some(false),
                Body::ConversationDeleted => known.ended = Some(true),
                _ => {}
            }
        }
        known
    }
}

/// Epochs of the rows at and behind a seq; `None`: no such row.
pub(crate) type EpochsAround = (Option<u64>, Option<u64>);

/// A point in the order in which memberships end on this node.
#[derive(Debug, Clone, Copy)]
pub struct Moment(u64);

/// When a membership last ended, by slot. Whatever may have ended one counts:
/// an entry that does, a log that was activated, a slot that came or went.
pub(super) struct Departures {
    clock: AtomicU64,
    slots: Vec<AtomicU64>,
}

impl Departures {
    pub(super) fn new() -> Self {
        Self {
            clock: AtomicU64::new(0),
            slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(),
        }
    }

    /// A membership ended in this slot, or may have: its end is durable and
    /// nobody who follows has been told of it yet.
    pub(super) fn note(&self, slot: u16) {
        let now = self.clock.fetch_add(1, Ordering::SeqCst) + 1;
        if let Some(at) = self.slots.get(usize::from(slot)) {
            at.fetch_max(now, Ordering::SeqCst);
        }
    }

    fn is_none_since(&self, slot: u16, moment: Moment) -> bool {
        let at = self.slots.get(usize::from(slot));
        at.is_some_and(|at| at.load(Ordering::SeqCst) <= moment.0)
    }
}

impl Directory {
    /// Now, in the order in which memberships end. Taken before memberships
    /// are read.
    pub fn moment(&self) -> Moment {
        Moment(self.0.departures.clock.load(Ordering::SeqCst))
    }

    /// Whether a membership of this conversation that was read after `since`
    /// holds still. Then this node serves it at present, and nobody left.
    /// `false` says nothing.
    pub fn nobody_left(&self, conversation: ConversationId, since: Moment) -> bool {
        let slot = slot_of(conversation);
        // In this order: whoever else could end one needs the slot first.
        self.0.departures.is_none_since(slot, since) && self.is_served(conversation)
    }

    /// How far a conversation is of which this node knows that it did not end.
    pub fn going_on(&self, conversation: ConversationId) -> Option<HeadRow> {
        let known = self.known(conversation)?;
        (known.ended == Some(false)).then_some(known.head)
    }

    /// Its record was read after `since` and said that it did not end.
    pub fn goes_on(&self, conversation: ConversationId, since: Moment) {
        let Some(epoch) = self.0.ownership.serves(slot_of(conversation)) else {
            return;
        };
        let mut owned = self.part(conversation).owned.lock();
        // Under the lock: an end that comes is noted before it is known here.
        if !self.nobody_left(conversation, since) {
            return;
        }
        let row = owned.get_mut(&conversation);
        if let Some(row) = row.filter(|row| row.epoch == epoch)
            && let Some(known) = &mut row.known
        {
            known.ended.get_or_insert(false);
        }
    }

    /// Epochs of the rows at and behind `seq`, as far as the node knows.
    pub(crate) fn epochs_around(
        &self,
        conversation: ConversationId,
        seq: u64,
    ) -> Option<EpochsAround> {
        let known = self.known(conversation)?;
        let next = seq.checked_add(1)?;
        let epoch = |at: u64| (at <= known.head.seq).then_some(known.head.epoch);
        (seq >= known.run_from).then(|| (epoch(seq), epoch(next)))
    }

    pub(crate) fn known(&self, conversation: ConversationId) -> Option<Known> {
        let epoch = self.0.ownership.serves(slot_of(conversation))?;
        let owned = self.part(conversation).owned.lock();
        let row = owned.get(&conversation).filter(|it| it.epoch == epoch)?;
        row.known
    }

    /// How far the log is published, as far as the node knows.
    pub(crate) fn known_head(&self, conversation: ConversationId) -> Option<HeadRow> {
        self.known(conversation).map(|known| known.head)
    }

    /// Notes whether entries end memberships, before anybody is told of them.
    pub(super) fn note_departures(&self, published: &Published) {
        let ends = |entry| ends_of(entry) != Ends::Nobody;
        if published.rows.iter().any(|row| ends(&row.entry)) {
            self.0.departures.note(slot_of(published.conversation));
        }
    }
}
