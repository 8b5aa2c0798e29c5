//! A node's own lease row: taken, renewed, lost.

use uuid::Uuid;

use super::messages::{Answer, Ask, Asks, Effect, Resignation};
use super::observed::Observed;
use super::row::{LeaseRow, Moment, NodeName, Terms};

/// The own row and what is on its way to it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Own {
    incarnation: Uuid,
    /// No other process of this name runs: the data folder is locked.
    folder_locked: bool,
    /// The row as this incarnation last wrote it; `None`: not taken yet.
    held: Option<Held>,
    /// A change whose outcome is not known.
    pending: Option<Pending>,
    /// The request that is not answered yet.
    asked: Option<Ask>,
    /// Not before this is anything asked again.
    pause_from: Option<Moment>,
    /// Before it is taken: an earlier life that may still hold.
    before: Option<Observed>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Held {
    row: LeaseRow,
    since: Moment,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Pending {
    expected: Option<LeaseRow>,
    next: LeaseRow,
    /// Before the *first* request that may have written it. Which of several
    /// did is never known for sure, so the lease counts from there.
    since: Moment,
    /// Some request failed: a read settles it.
    unsure: bool,
}

/// What an answer meant for the lease.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// Nothing new.
    None,
    /// Taken.
    Taken,
    /// Somebody else changed the row: this incarnation is over.
    Fenced,
}

impl Own {
    pub fn new(incarnation: Uuid, folder_locked: bool) -> Self {
        Self {
            incarnation,
            folder_locked,
            held: None,
            pending: None,
            asked: None,
            pause_from: None,
            before: None,
        }
    }

    pub fn incarnation(&self) -> Uuid {
        self.incarnation
    }

    pub fn holds(&self, now: Moment, terms: &Terms) -> bool {
        let within = |held: &Held| now.within_ms(held.since, terms.lease_ms);
        self.held.as_ref().is_some_and(within)
    }

    /// Whether a change of the row is under way.
    pub fn is_changing(&self) -> bool {
        self.pending.is_some()
    }

    /// From the row as it is to the row of an incarnation that is over.
    pub fn resigned(&self) -> Resignation {
        let Some(Held { row, .. }) = self.held else {
            return Resignation::Done;
        };
        let over = LeaseRow {
            renewal: row.renewal + 1,
            fenced: true,
            ..row
        };
        Resignation::Swap(row, over)
    }

    /// What is due now.
    pub fn due(
        &mut self,
        me: &NodeName,
        asks: &mut Asks,
        now: Moment,
        terms: &Terms,
    ) -> Option<Effect> {
        let pause_ms = match (&self.held, &self.pending, &self.before) {
            (None, None, Some(_)) => terms.poll_ms,
            _ => terms.retry_ms,
        };
        let waits = |from: Moment| now.since_ms(from) < pause_ms;
        if self.asked.is_some() || self.pause_from.is_some_and(waits) {
            return None;
        }
        if self.pending.is_none()
            && let Some(held) = &self.held
        {
            if now.since_ms(held.since) < terms.renew_ms {
                return None;
            }
            self.pending = Some(Pending {
                expected: Some(held.row),
                next: LeaseRow {
                    renewal: held.row.renewal + 1,
                    ..held.row
                },
                since: now,
                unsure: false,
            });
        }
        let ask = asks.next();
        self.asked = Some(ask);
        let node = me.clone();
        Some(match &self.pending {
            Some(pending) if !pending.unsure => Effect::SwapLease {
                ask,
                node,
                expected: pending.expected,
                next: pending.next,
            },
            _ => Effect::ReadLease { ask, node },
        })
    }

    /// An answer to what [`Self::due`] asked.
    pub fn answered(
        &mut self,
        ask: Ask,
        answer: Answer<LeaseRow>,
        now: Moment,
        terms: &Terms,
    ) -> Turn {
        if self.asked != Some(ask) {
            return Turn::None;
        }
        self.asked = None;
        self.pause_from = None;
        let Some(pending) = &mut self.pending else {
            match answer {
                Answer::Found(found) => self.consider(found, now, terms),
                Answer::Applied | Answer::Failed => self.pause_from = Some(now),
            }
            return Turn::None;
        };
        match answer {
            Answer::Failed => {
                pending.unsure = true;
                self.pause_from = Some(now);
                Turn::None
            }
            Answer::Found(found) if found != Some(pending.next) => {
                if found == pending.expected {
                    // Not written so far; should the first request still come,
                    // it writes the same row.
                    self.pause_from = (!pending.unsure).then_some(now);
                    pending.unsure = false;
                    return Turn::None;
                }
                self.pending = None;
                if self.held.is_some() {
                    return Turn::Fenced;
                }
                self.consider(found, now, terms);
                Turn::None
            }
            Answer::Applied | Answer::Found(_) => {
                let (row, since) = (pending.next, pending.since);
                self.pending = None;
                let first = self.held.replace(Held { row, since }).is_none();
                if first { Turn::Taken } else { Turn::None }
            }
        }
    }

    /// The row is not ours yet: take it, if nobody can hold it.
    fn consider(&mut self, found: Option<LeaseRow>, now: Moment, terms: &Terms) {
        let free = match found {
            None => true,
            Some(row) if row.fenced || self.folder_locked => true,
            Some(row) => {
                let observed = Observed::read(self.before.take(), row, now, terms);
                let lapsed = observed.has_lapsed(terms);
                self.before = Some(observed);
                self.pause_from = (!lapsed).then_some(now);
                lapsed
            }
        };
        if !free {
            return;
        }
        self.pending = Some(Pending {
            expected: found,
            next: LeaseRow {
                incarnation: self.incarnation,
                renewal: found.map_or(1, |row| row.renewal + 1),
                fenced: false,
            },
            since: now,
            unsure: false,
        });
    }
}
