//! What the machine is told, and what it says is to be done.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::row::{LeaseRow, NodeName, SlotRow};

/// Number of a request; its answer carries it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Ask(pub u64);

/// Gives requests their numbers.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(super) struct Asks(u64);

impl Asks {
    pub fn next(&mut self) -> Ask {
        self.0 += 1;
        Ask(self.0)
    }

    /// The newest request; those above it are sent later.
    pub fn newest(&self) -> Ask {
        Ask(self.0)
    }
}

/// What a compare-and-set or a serial read of a row came to.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Answer<T> {
    /// The row is as the swap asked for.
    Applied,
    /// What a read found, or a swap found in place of what it expected.
    Found(Option<T>),
    /// No answer in time, or none that says anything: a swap may still come.
    Failed,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Input {
    /// The node starts, or was fenced: it goes on under this incarnation,
    /// a random id never used before.
    Start(Uuid),
    /// The slots that this node ought to own. Until placement over many
    /// nodes comes, all of them.
    Assign(BTreeSet<u16>),
    /// Time passed: due every [`fanfare_protocol::limits::LEASE_TICK_MS`].
    Tick,
    /// Answers [`Effect::ReadLease`] or [`Effect::SwapLease`].
    Lease(NodeName, Ask, Answer<LeaseRow>),
    /// Answers [`Effect::ReadSlots`]: every slot row; `None`: the read failed.
    Slots(Ask, Option<Vec<(u16, SlotRow)>>),
    /// Answers [`Effect::ReadSlot`] or [`Effect::SwapSlot`].
    Slot(u16, Ask, Answer<SlotRow>),
    /// Nothing is in flight any more in a slot that is being handed off.
    Drained(u16),
    /// Gives everything up for a rival's sake; [`Input::Start`] ends the pause.
    StepBack,
    /// A log of this slot knows an epoch at or above the slot's (after a
    /// restore or a copy): the slot is raised above it.
    EpochAbove(u16, u64),
}

/// What to do. Requests are answered once each, with their number, by
/// [`Answer::Failed`] if need be.
#[expect(missing_docs, reason = "fields are what their types say")]
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Serial read of a lease row.
    ReadLease { ask: Ask, node: NodeName },
    /// Compare-and-set of a lease row.
    SwapLease {
        ask: Ask,
        node: NodeName,
        expected: Option<LeaseRow>,
        next: LeaseRow,
    },
    /// A read of all slot rows. It may be behind: only swaps tell for sure.
    ReadSlots { ask: Ask },
    /// Serial read of a slot row.
    ReadSlot { ask: Ask, slot: u16 },
    /// Compare-and-set of a slot row.
    SwapSlot {
        ask: Ask,
        slot: u16,
        expected: Option<SlotRow>,
        next: SlotRow,
    },
    /// The slot is ours under this epoch: activate, then serve.
    Own { slot: u16, epoch: u64 },
    /// Admit nothing new in this slot; say [`Input::Drained`] when nothing is
    /// in flight.
    Drain { slot: u16 },
    /// Nothing written under this epoch is acknowledged any more: what waits
    /// is `outcome_unknown`, what comes `unavailable`.
    GiveUp { slot: u16, epoch: u64 },
    /// This incarnation is over: say [`Input::Start`] with a new one.
    Fenced,
}

/// What is left to do for a node that ends in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resignation {
    /// A change of the lease row is under way: ask again.
    Later,
    /// The row is to be changed from the first to the second.
    Swap(LeaseRow, LeaseRow),
    /// Nothing.
    Done,
}
