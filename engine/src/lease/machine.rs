//! The machine: told what time it is, what the store answered and what this
//! node ought to own, it says what to ask and what is owned from now on.
//!
//! A lease that is not renewed in time lapses: nothing [`Lease::holds`],
//! everything is `unavailable`. If nobody fenced it meanwhile the next renewal
//! brings it back, epochs and all, since no slot can have changed hands. If
//! somebody did, the slots are given up for good ([`Effect::GiveUp`]) and the
//! node goes on as a new incarnation, without any.

use std::collections::{BTreeMap, BTreeSet};

use uuid::Uuid;

use super::messages::{Answer, Ask, Asks, Effect, Input, Resignation};
use super::observed::{Observed, Peer};
use super::own::{Own, Turn};
use super::row::{LeaseRow, Moment, NodeName, SlotRow, Terms};
use super::slots::Slot;

/// A node's lease and slots.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Lease {
    me: NodeName,
    terms: Terms,
    folder_locked: bool,
    asks: Asks,
    /// `None`: not started, or fenced.
    own: Option<Own>,
    wanted: BTreeSet<u16>,
    slots: BTreeMap<u16, Slot>,
    slots_asked: Option<Ask>,
    /// When they were last read, or failed to be.
    slots_looked_at: Option<Moment>,
    slots_failed: bool,
    peers: BTreeMap<NodeName, Peer>,
}

impl Lease {
    /// A node that was not started yet.
    ///
    /// `folder_locked`: this process holds the lock of the data folder that
    /// the name lives in, so no other process of the name runs, and its
    /// predecessor's lease need not lapse first: the kernel gave the lock away
    /// only after that process had ended. What it left on its way to the store
    /// is fenced like any other owner's writes, by the next epoch. A folder
    /// on a network file system, or two copies of one, prove nothing: say
    /// `false`, and the node waits for its own name like any observer.
    pub fn new(me: NodeName, folder_locked: bool, terms: Terms) -> Self {
        Self {
            me,
            terms,
            folder_locked,
            asks: Asks::default(),
            own: None,
            wanted: BTreeSet::new(),
            slots: BTreeMap::new(),
            slots_asked: None,
            slots_looked_at: None,
            slots_failed: false,
            peers: BTreeMap::new(),
        }
    }

    /// Whether the lease holds: without it everything is `unavailable`, and
    /// the node unready.
    pub fn is_held(&self, now: Moment) -> bool {
        let holds = |own: &Own| own.holds(now, &self.terms);
        self.own.as_ref().is_some_and(holds)
    }

    /// Whether what was written to `slot` under `epoch` may be acknowledged
    /// and published. `now` is read *after* the write returned.
    pub fn holds(&self, slot: u16, epoch: u64, now: Moment) -> bool {
        self.epoch(slot) == Some(epoch) && self.is_held(now)
    }

    /// The epoch under which new commands for `slot` are taken.
    pub fn admits(&self, slot: u16, now: Moment) -> Option<u64> {
        match self.slots.get(&slot) {
            Some(Slot::Owned { row }) if self.is_held(now) => Some(row.epoch),
            _ => None,
        }
    }

    /// The epoch under which `slot` was claimed and not given up.
    pub fn epoch(&self, slot: u16) -> Option<u64> {
        self.slots.get(&slot).and_then(Slot::epoch)
    }

    /// Slots that are ours, and slots that ought to be.
    pub fn owned_of_wanted(&self) -> (usize, usize) {
        let owned = |slot: &&u16| self.epoch(**slot).is_some();
        (self.wanted.iter().filter(owned).count(), self.wanted.len())
    }

    /// Ends in order: everything is given up, and the lease row is to be
    /// changed so that nobody waits for it to lapse.
    pub fn resign(&mut self) -> Resignation {
        self.slots.clear();
        self.wanted.clear();
        match self.own.take() {
            None => Resignation::Done,
            Some(own) if own.is_changing() => {
                self.own = Some(own);
                Resignation::Later
            }
            Some(own) => own.resigned(),
        }
    }

    /// Of the nodes that own slots which this one wants, the one whose name is
    /// the smallest.
    pub fn rival(&self) -> Option<&NodeName> {
        let owners = self.slots.values().filter_map(Slot::rival);
        owners.map(|owner| &owner.node).min()
    }

    /// Takes note of what happened at `now`.
    pub fn handle(&mut self, input: Input, now: Moment) -> Vec<Effect> {
        let mut effects = Vec::new();
        match input {
            Input::Start(incarnation) => self.start(incarnation, &mut effects),
            Input::Assign(wanted) => self.wanted = wanted,
            Input::Tick => {}
            Input::Lease(node, ask, answer) if node == self.me => {
                self.own_answered(ask, answer, now, &mut effects);
            }
            Input::Lease(node, ask, answer) => self.peer_answered(&node, ask, answer, now),
            Input::Slots(ask, rows) => self.slots_answered(ask, rows, now),
            Input::Slot(slot, ask, answer) => {
                let newest = self.asks.newest();
                let epoch = (self.slots.get_mut(&slot))
                    .and_then(|it| it.answered(ask, answer, &self.me, newest, now));
                effects.extend(epoch.map(|epoch| Effect::Own { slot, epoch }));
            }
            Input::Drained(slot) => self.freeze(slot, &mut effects),
            Input::StepBack => self.step_back(&mut effects),
            Input::EpochAbove(slot, epoch) => self.raise(slot, epoch, &mut effects),
        }
        self.pursue(now, &mut effects);
        effects
    }

    fn start(&mut self, incarnation: Uuid, effects: &mut Vec<Effect>) {
        self.give_up_all(effects);
        self.own = Some(Own::new(incarnation, self.folder_locked));
    }

    fn step_back(&mut self, effects: &mut Vec<Effect>) {
        let Some(Resignation::Swap(row, over)) = self.own.as_ref().map(Own::resigned) else {
            return;
        };
        if self.own.as_ref().is_some_and(Own::is_changing) {
            return;
        }
        self.own = None;
        self.give_up_all(effects);
        effects.push(Effect::SwapLease {
            ask: self.asks.next(),
            node: self.me.clone(),
            expected: Some(row),
            next: over,
        });
    }

    fn own_answered(
        &mut self,
        ask: Ask,
        answer: Answer<LeaseRow>,
        now: Moment,
        effects: &mut Vec<Effect>,
    ) {
        let turn = (self.own.as_mut()).map_or(Turn::None, |own| {
            own.answered(ask, answer, now, &self.terms)
        });
        if turn == Turn::Fenced {
            self.give_up_all(effects);
            self.own = None;
            effects.push(Effect::Fenced);
        }
    }

    fn give_up_all(&mut self, effects: &mut Vec<Effect>) {
        for (slot, it) in std::mem::take(&mut self.slots) {
            effects.extend(it.epoch().map(|epoch| Effect::GiveUp { slot, epoch }));
        }
        self.slots_asked = None;
        self.peers.clear();
    }

    fn peer_answered(&mut self, node: &NodeName, ask: Ask, answer: Answer<LeaseRow>, now: Moment) {
        let Some(peer) = self.peers.get_mut(node) else {
            return;
        };
        if peer.asked != Some(ask) {
            return;
        }
        peer.asked = None;
        let fence = peer.fence.take();
        let row = match answer {
            Answer::Failed => {
                // A fence that failed has spent what was observed for it.
                if fence.is_some() {
                    peer.observed = None;
                }
                return;
            }
            Answer::Found(row) => row,
            Answer::Applied => fence,
        };
        peer.note(row, ask, now, &self.terms);
    }

    fn slots_answered(&mut self, ask: Ask, rows: Option<Vec<(u16, SlotRow)>>, now: Moment) {
        if self.slots_asked != Some(ask) {
            return;
        }
        self.slots_asked = None;
        self.slots_looked_at = Some(now);
        self.slots_failed = rows.is_none();
        let Some(rows) = rows else { return };
        let mut rows: BTreeMap<u16, SlotRow> = rows.into_iter().collect();
        let newest = self.asks.newest();
        for (slot, it) in &mut self.slots {
            let found = rows.remove(slot);
            if it.is_news(found.as_ref()) {
                *it = Slot::of_row(found, &self.me, newest);
            }
        }
    }

    fn freeze(&mut self, slot: u16, effects: &mut Vec<Effect>) {
        if let Some(it) = self.slots.get_mut(&slot)
            && let Slot::Draining { row, .. } = it
        {
            let row = row.clone();
            let epoch = row.epoch;
            *it = Slot::Frozen { row };
            effects.push(Effect::GiveUp { slot, epoch });
        }
    }

    fn raise(&mut self, slot: u16, above: u64, effects: &mut Vec<Effect>) {
        if let Some(it) = self.slots.get_mut(&slot)
            && let Slot::Owned { row } = it
            && row.epoch <= above
        {
            let row = row.clone();
            effects.push(Effect::GiveUp {
                slot,
                epoch: row.epoch,
            });
            let row = Some(row);
            *it = Slot::Free { row, above };
        }
    }

    /// Everything that is due: the own lease first; slots only while it holds.
    fn pursue(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let Some(own) = &mut self.own else { return };
        effects.extend(own.due(&self.me, &mut self.asks, now, &self.terms));
        if !own.holds(now, &self.terms) {
            return;
        }
        let incarnation = own.incarnation();
        self.adjust(now, effects);
        self.look_at_slots(now, effects);
        self.look_at_peers(now, effects);
        self.swap_slots(incarnation, now, effects);
    }

    /// Brings slots into line with what is wanted.
    fn adjust(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        for slot in &self.wanted {
            self.slots.entry(*slot).or_insert(Slot::Unread);
        }
        let wanted = &self.wanted;
        let idle = |it: &Slot| matches!(it, Slot::Unread | Slot::Free { .. } | Slot::Taken { .. });
        self.slots
            .retain(|slot, it| wanted.contains(slot) || !idle(it));
        let mut late = Vec::new();
        for (slot, it) in &mut self.slots {
            match it {
                Slot::Owned { row } if !self.wanted.contains(slot) => {
                    let row = row.clone();
                    *it = Slot::Draining { row, since: now };
                    effects.push(Effect::Drain { slot: *slot });
                }
                Slot::Draining { since, .. } if now.since_ms(*since) >= self.terms.hand_off_ms => {
                    late.push(*slot);
                }
                _ => {}
            }
        }
        for slot in late {
            self.freeze(slot, effects);
        }
    }

    /// Reads the slots: at once what was not read yet, now and then what
    /// somebody else has, who may have given it back.
    fn look_at_slots(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        if self.slots_asked.is_some() {
            return;
        }
        let unread = self.slots.values().any(|it| *it == Slot::Unread);
        let taken = |it: &Slot| matches!(it, Slot::Taken { .. });
        let pause_ms = match unread {
            true if self.slots_failed => self.terms.retry_ms,
            true => 0,
            false if self.slots.values().any(taken) => self.terms.look_ms,
            false => return,
        };
        let waits = |at: Moment| now.since_ms(at) < pause_ms;
        if !self.slots_looked_at.is_some_and(waits) {
            let ask = self.asks.next();
            self.slots_asked = Some(ask);
            effects.push(Effect::ReadSlots { ask });
        }
    }

    /// Watches the nodes whose slots are wanted, and fences those that lapsed.
    fn look_at_peers(&mut self, now: Moment, effects: &mut Vec<Effect>) {
        let mut live: BTreeSet<NodeName> = BTreeSet::new();
        for it in self.slots.values_mut() {
            let Slot::Taken { row, owner, before } = it else {
                continue;
            };
            let peer = self.peers.entry(owner.node.clone()).or_default();
            let life = owner.incarnation;
            if peer.is_over(life, *before) && !peer.comes_back(life, now, &self.terms) {
                let row = Some(row.clone());
                *it = Slot::Free { row, above: 0 };
            } else {
                live.insert(owner.node.clone());
            }
        }
        self.peers
            .retain(|node, peer| live.contains(node) || peer.asked.is_some());
        for (node, peer) in &mut self.peers {
            if !live.contains(node) || peer.asked.is_some() {
                continue;
            }
            let lapsed = |it: &&Observed| it.has_lapsed(&self.terms);
            let expected = peer.observed.as_ref().filter(lapsed).map(|it| it.row);
            if expected.is_none() && !peer.is_due(now, &self.terms) {
                continue;
            }
            let (ask, node) = (self.asks.next(), node.clone());
            peer.asked = Some(ask);
            peer.asked_at = Some(now);
            peer.fence = expected.map(|row| LeaseRow {
                renewal: row.renewal + 1,
                fenced: true,
                ..row
            });
            effects.push(match peer.fence {
                Some(next) => Effect::SwapLease {
                    ask,
                    node,
                    expected,
                    next,
                },
                None => Effect::ReadLease { ask, node },
            });
        }
    }

    /// Whether somebody who goes first lives and owns some of what this node
    /// wants: until there is a word on who owns what, one of the two has all.
    fn stands_by(&self) -> bool {
        self.rival().is_some_and(|rival| *rival < self.me)
    }

    /// Claims what is free, gives back what is frozen, and reads again what
    /// failed; a bounded number at once.
    fn swap_slots(&mut self, incarnation: Uuid, now: Moment, effects: &mut Vec<Effect>) {
        let stands_by = self.stands_by();
        let swapping = |it: &&Slot| matches!(it, Slot::Swapping(_));
        let mut room = self.terms.swaps_at_once;
        room = room.saturating_sub(self.slots.values().filter(swapping).count());
        for (slot, it) in &mut self.slots {
            let slot = *slot;
            if let Slot::Swapping(swapping) = it {
                let waits = |at: Moment| now.since_ms(at) < self.terms.retry_ms;
                if swapping.asked.is_none() && !swapping.failed_at.is_some_and(waits) {
                    let ask = self.asks.next();
                    swapping.asked = Some(ask);
                    effects.push(Effect::ReadSlot { ask, slot });
                }
            } else if room > 0 && it.is_to_be_changed(stands_by) {
                let ask = self.asks.next();
                let claimed = it.claim(&self.me, incarnation, ask);
                let Some(swapping) = claimed.or_else(|| it.give_back(ask)) else {
                    continue;
                };
                room -= 1;
                effects.push(Effect::SwapSlot {
                    ask,
                    slot,
                    expected: swapping.expected,
                    next: swapping.next,
                });
            }
        }
    }
}
