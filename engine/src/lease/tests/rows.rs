//! The rows of leases and slots as maps: what the store answers in the
//! scenarios and in the model of clocks.

use std::collections::BTreeMap;

use crate::lease::{Answer, Effect, Input, LeaseRow, NodeName, SlotRow};

#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Rows {
    pub leases: BTreeMap<NodeName, LeaseRow>,
    pub slots: BTreeMap<u16, SlotRow>,
}

impl Rows {
    /// Carries a request out, and returns its answer.
    pub fn perform(&mut self, request: &Effect) -> Input {
        match request.clone() {
            Effect::ReadLease { ask, node } => {
                let found = self.leases.get(&node).copied();
                Input::Lease(node, ask, Answer::Found(found))
            }
            Effect::SwapLease {
                ask,
                node,
                expected,
                next,
            } => {
                let found = self.leases.get(&node).copied();
                if found != expected {
                    return Input::Lease(node, ask, Answer::Found(found));
                }
                self.leases.insert(node.clone(), next);
                Input::Lease(node, ask, Answer::Applied)
            }
            Effect::ReadSlots { ask } => {
                let rows = self.slots.iter().map(|(slot, row)| (*slot, row.clone()));
                Input::Slots(ask, Some(rows.collect()))
            }
            Effect::ReadSlot { ask, slot } => {
                Input::Slot(slot, ask, Answer::Found(self.slots.get(&slot).cloned()))
            }
            Effect::SwapSlot {
                ask,
                slot,
                expected,
                next,
            } => {
                let found = self.slots.get(&slot).cloned();
                if found != expected {
                    return Input::Slot(slot, ask, Answer::Found(found));
                }
                self.slots.insert(slot, next);
                Input::Slot(slot, ask, Answer::Applied)
            }
            other => panic!("not a request: {other:?}"),
        }
    }

    /// Whether a swap finds what it expects.
    pub fn would_apply(&self, request: &Effect) -> bool {
        match request {
            Effect::SwapLease { node, expected, .. } => self.leases.get(node).copied() == *expected,
            Effect::SwapSlot { slot, expected, .. } => self.slots.get(slot) == expected.as_ref(),
            _ => false,
        }
    }
}

pub fn is_request(effect: &Effect) -> bool {
    match effect {
        Effect::ReadLease { .. }
        | Effect::SwapLease { .. }
        | Effect::ReadSlots { .. }
        | Effect::ReadSlot { .. }
        | Effect::SwapSlot { .. } => true,
        Effect::Own { .. } | Effect::Drain { .. } | Effect::GiveUp { .. } | Effect::Fenced => false,
    }
}

/// The answer of a request about which nobody knows anything.
pub fn failed(request: &Effect) -> Input {
    match request.clone() {
        Effect::ReadLease { ask, node } | Effect::SwapLease { ask, node, .. } => {
            Input::Lease(node, ask, Answer::Failed)
        }
        Effect::ReadSlots { ask } => Input::Slots(ask, None),
        Effect::ReadSlot { ask, slot } | Effect::SwapSlot { ask, slot, .. } => {
            Input::Slot(slot, ask, Answer::Failed)
        }
        other => panic!("not a request: {other:?}"),
    }
}
