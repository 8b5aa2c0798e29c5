//! Somebody else's lease, as one who waits for its end sees it.

use uuid::Uuid;

use super::messages::Ask;
use super::row::{LeaseRow, Moment, Terms};

/// How long a lease row was seen unchanged, without a gap.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Observed {
    pub row: LeaseRow,
    /// When the first of these reads had returned.
    since: Moment,
    /// When the last one had.
    seen: Moment,
}

impl Observed {
    /// Another read returned. Only time between reads that follow closely
    /// counts: while the store is out nobody can renew either, so an outage
    /// must not look like silence.
    pub fn read(before: Option<Self>, row: LeaseRow, now: Moment, terms: &Terms) -> Self {
        let goes_on =
            |before: &Self| before.row == row && now.since_ms(before.seen) <= terms.gap_ms;
        let since = match before {
            Some(before) if goes_on(&before) => before.since,
            _ => now,
        };
        Self {
            row,
            since,
            seen: now,
        }
    }

    /// Whether its holder's clock says so too, within the margin.
    pub fn has_lapsed(&self, terms: &Terms) -> bool {
        self.seen.since_ms(self.since) >= terms.lease_ms + terms.margin_ms
    }
}

/// A node that owns slots which this one wants.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Peer {
    pub observed: Option<Observed>,
    /// The request that found it so.
    pub found_by: Ask,
    /// The row is gone: whatever life it had is over.
    pub absent: bool,
    /// The life that was seen last, and when it was seen first.
    life: Option<(Uuid, Moment)>,
    /// A request that is not answered yet.
    pub asked: Option<Ask>,
    /// The row that a fence in flight writes.
    pub fence: Option<LeaseRow>,
    /// When the last request was sent.
    pub asked_at: Option<Moment>,
}

impl Peer {
    /// Takes note of its row, as it is now.
    pub fn note(&mut self, row: Option<LeaseRow>, ask: Ask, now: Moment, terms: &Terms) {
        self.found_by = ask;
        self.absent = row.is_none();
        let seen = row.map(|row| row.incarnation);
        if seen != self.life.map(|(life, _)| life) {
            self.life = seen.map(|life| (life, now));
        }
        let before = self.observed.take();
        self.observed = row.map(|row| Observed::read(before, row, now, terms));
    }

    /// Whether a younger life of the node began so lately that what an earlier
    /// one owned is left to it.
    pub fn comes_back(&self, incarnation: Uuid, now: Moment, terms: &Terms) -> bool {
        let lives = |it: &Observed| it.row.incarnation != incarnation && !it.row.fenced;
        let lately = |(_, since): (Uuid, Moment)| now.since_ms(since) < terms.come_back_ms;
        self.observed.as_ref().is_some_and(lives) && self.life.is_some_and(lately)
    }

    /// Whether this life of the node can never hold again. Another life's row
    /// says so only if it was asked for after request `before`: else it may be
    /// of a life that was over before this one began.
    pub fn is_over(&self, incarnation: Uuid, before: Ask) -> bool {
        let of_it = |it: &Observed| it.row.incarnation == incarnation;
        match &self.observed {
            Some(observed) if of_it(observed) => observed.row.fenced,
            Some(_) => self.found_by > before,
            None => self.absent && self.found_by > before,
        }
    }

    /// Whether it is time to look again.
    pub fn is_due(&self, now: Moment, terms: &Terms) -> bool {
        let waited = |at: Moment| now.since_ms(at) >= terms.poll_ms;
        self.asked.is_none() && self.asked_at.is_none_or(waited)
    }
}
