//! The slots that a node wants: what stands in their rows, and what is on its
//! way there.

use uuid::Uuid;

use super::messages::{Answer, Ask};
use super::row::{Moment, NodeName, Owner, SlotRow};

/// One slot.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Slot {
    /// Its row was not read yet.
    Unread,
    /// Nobody owns it: it is to be claimed, with an epoch above this one.
    Free { row: Option<SlotRow>, above: u64 },
    /// Somebody else's, as long as that incarnation may hold a lease. Its
    /// lease was taken before it claimed the slot; so a lease row that was asked
    /// for after the slot's row had come, by a request above `before`, is of
    /// that incarnation or a later one.
    Taken {
        row: SlotRow,
        owner: Owner,
        before: Ask,
    },
    /// A change of its row whose outcome is not known.
    Swapping(Swapping),
    /// Ours.
    Owned { row: SlotRow },
    /// Ours still, but nothing new is admitted.
    Draining { row: SlotRow, since: Moment },
    /// Frozen, to be given back.
    Frozen { row: SlotRow },
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Swapping {
    pub expected: Option<SlotRow>,
    pub next: SlotRow,
    pub asked: Option<Ask>,
    /// Some request failed; its row is read, not before a pause from here.
    pub failed_at: Option<Moment>,
}

impl Slot {
    /// What a row that was read says to a node that wants the slot and did
    /// not claim it under this incarnation, or gave it up. `newest`: of all
    /// requests sent so far.
    pub fn of_row(row: Option<SlotRow>, me: &NodeName, newest: Ask) -> Self {
        match row {
            Some(SlotRow {
                owner: Some(owner),
                epoch,
            }) if owner.node != *me => Self::Taken {
                row: SlotRow {
                    owner: Some(owner.clone()),
                    epoch,
                },
                owner,
                before: newest,
            },
            row => Self::Free { row, above: 0 },
        }
    }

    /// Whether a row that was read says more than is known: of a slot that
    /// was not read yet, or that somebody else has.
    pub fn is_news(&self, found: Option<&SlotRow>) -> bool {
        match (self, found) {
            (Self::Unread, _) => true,
            (Self::Taken { row, .. }, Some(found)) => {
                let given_back = found.owner.is_none() && row.owner.is_some();
                found.epoch > row.epoch || (found.epoch == row.epoch && given_back)
            }
            _ => false,
        }
    }

    /// Whether its row is to be changed: claimed, unless another node goes
    /// first, or given back.
    pub fn is_to_be_changed(&self, stands_by: bool) -> bool {
        match self {
            Self::Free { .. } => !stands_by,
            Self::Frozen { .. } => true,
            _ => false,
        }
    }

    /// Begins a claim, if the slot is free.
    pub fn claim(&mut self, me: &NodeName, incarnation: Uuid, ask: Ask) -> Option<Swapping> {
        let Self::Free { row, above } = self else {
            return None;
        };
        let before = row.as_ref().map_or(0, |row| row.epoch);
        let next = SlotRow {
            owner: Some(Owner {
                node: me.clone(),
                incarnation,
            }),
            epoch: before.max(*above) + 1,
        };
        let row = row.take();
        Some(self.swap(row, next, ask))
    }

    /// Begins to give the slot back, if it is frozen.
    pub fn give_back(&mut self, ask: Ask) -> Option<Swapping> {
        let Self::Frozen { row } = self else {
            return None;
        };
        let row = row.clone();
        let next = SlotRow {
            owner: None,
            epoch: row.epoch,
        };
        Some(self.swap(Some(row), next, ask))
    }

    fn swap(&mut self, expected: Option<SlotRow>, next: SlotRow, ask: Ask) -> Swapping {
        let swapping = Swapping {
            expected,
            next,
            asked: Some(ask),
            failed_at: None,
        };
        *self = Self::Swapping(swapping.clone());
        swapping
    }

    /// An answer about a change that is under way. Returns the epoch that is
    /// ours from now on, if any.
    pub fn answered(
        &mut self,
        ask: Ask,
        answer: Answer<SlotRow>,
        me: &NodeName,
        newest: Ask,
        now: Moment,
    ) -> Option<u64> {
        let Self::Swapping(swapping) = self else {
            return None;
        };
        if swapping.asked != Some(ask) {
            return None;
        }
        swapping.asked = None;
        match answer {
            Answer::Failed => {
                swapping.failed_at = Some(now);
                None
            }
            Answer::Found(found) if found.as_ref() != Some(&swapping.next) => {
                let giving_back = swapping.next.owner.is_none() && found == swapping.expected;
                *self = match found {
                    Some(row) if giving_back => Self::Frozen { row },
                    found => Self::of_row(found, me, newest),
                };
                None
            }
            Answer::Applied | Answer::Found(_) => {
                let row = swapping.next.clone();
                if row.owner.is_none() {
                    *self = Self::Free {
                        row: Some(row),
                        above: 0,
                    };
                    return None;
                }
                let epoch = row.epoch;
                *self = Self::Owned { row };
                Some(epoch)
            }
        }
    }

    /// Whose it is, if somebody else's.
    pub fn rival(&self) -> Option<&Owner> {
        match self {
            Self::Taken { owner, .. } => Some(owner),
            Self::Unread
            | Self::Free { .. }
            | Self::Swapping(_)
            | Self::Owned { .. }
            | Self::Draining { .. }
            | Self::Frozen { .. } => None,
        }
    }

    /// The epoch under which it is ours.
    pub fn epoch(&self) -> Option<u64> {
        match self {
            Self::Owned { row } | Self::Draining { row, .. } => Some(row.epoch),
            Self::Unread
            | Self::Free { .. }
            | Self::Taken { .. }
            | Self::Swapping(_)
            | Self::Frozen { .. } => None,
        }
    }
}
