//! Two processes with clocks, one slot, and a store that answers late, never,
//! or not at all. The processes are the real [`Lease`]; time is counted in
//! steps, of which a lease lasts three and the margin is one.

use std::collections::BTreeSet;

use uuid::Uuid;

use super::clock_scope::{Act, Scope};
use super::rows::{Rows, failed, is_request};
use crate::lease::{Answer, Ask, Effect, Input, Lease, LeaseRow, Moment, NodeName, Resignation};

/// The slot of all scopes, and the one that some have beside it.
pub const SLOT: u16 = 0;
pub const SECOND: u16 = 1;
/// Room for subtractions.
const START: u64 = 100;

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct World {
    pub rows: Rows,
    pub processes: [Process; 2],
    pub time: u64,
    faults: u8,
    restarts: u8,
    slow: u8,
    leaves: u8,
    pub unassigned: bool,
    /// A swap that failed and may still be carried out.
    limbo: Option<Effect>,
    out: Outage,
    /// A fence was sent by one whose lease did not hold.
    pub fenced_without_lease: bool,
    /// A fence was sent upon a silence that an outage explains.
    pub fenced_upon_outage: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outage {
    NotYet,
    Since(u64),
    /// Ended then, and was longer than a gap; 0: shorter.
    Ended(u64),
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Process {
    name: NodeName,
    pub lease: Lease,
    /// Steps that its clock has missed.
    behind: u64,
    pub lives: u8,
    stopped: bool,
    pub away: Away,
    /// Requests without an answer, oldest first.
    asked: Vec<Effect>,
    late: Option<Late>,
    /// When its row was last renewed in truth, by its own clock.
    renewed_at: u64,
    /// When it heard so.
    heard_at: u64,
    /// In this life it owned the slot while its lease did not hold.
    pub lapsed: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Away {
    No,
    /// It stepped back.
    ForNow,
    /// It ended in order.
    ForGood,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Late {
    Request(Effect),
    Answer(Input),
}

impl World {
    pub fn new(scope: Scope) -> Self {
        let names = match scope {
            Scope { one_name: true, .. } => ["a", "a"],
            // Who claims the second slot beside the other's must go first.
            Scope {
                second_slot: true, ..
            } => ["b", "a"],
            _ => ["a", "b"],
        };
        let locked = !scope.one_name || scope.folder_lock_believed;
        let processes = names.map(|name| {
            let name = NodeName::new(name).unwrap();
            Process {
                lease: Lease::new(name.clone(), locked, scope.terms()),
                name,
                behind: 0,
                lives: 0,
                stopped: false,
                away: Away::No,
                asked: Vec::new(),
                late: None,
                renewed_at: START,
                heard_at: START,
                lapsed: false,
            }
        });
        let mut world = Self {
            rows: Rows::default(),
            processes,
            time: START,
            faults: scope.faults,
            restarts: scope.restarts,
            slow: scope.slow,
            leaves: scope.leaves,
            unassigned: false,
            limbo: None,
            out: Outage::NotYet,
            fenced_without_lease: false,
            fenced_upon_outage: false,
        };
        for i in 0..2 {
            world.assign(i, scope);
            world.start(i, scope);
            while !scope.unowned && !world.is_settled(i) {
                world.act(Act::Serves(i), scope);
            }
        }
        world
    }

    fn is_settled(&self, i: usize) -> bool {
        let second = |it: &Effect| matches!(it, Effect::SwapSlot { slot: SECOND, .. });
        self.processes[i].asked.iter().all(second)
    }

    fn assign(&mut self, i: usize, scope: Scope) {
        let mut slots = BTreeSet::from([SLOT]);
        if scope.second_slot && (i == 1 || self.processes[i].lives > 0) {
            slots.insert(SECOND);
        }
        self.hear(i, Input::Assign(slots), scope);
    }

    pub fn now(&self, i: usize) -> Moment {
        let local = self.time - self.processes[i].behind;
        Moment {
            boot_ms: local,
            wall_ms: local.cast_signed(),
        }
    }

    pub fn life(&self, i: usize) -> Uuid {
        Uuid::from_u128(i as u128 * 100 + u128::from(self.processes[i].lives))
    }

    /// Whether a process takes its lease for held.
    pub fn believes(&self, i: usize, scope: Scope) -> bool {
        let it = &self.processes[i];
        if scope.counts_from_answer {
            return self.now(i).boot_ms - it.heard_at < scope.terms().lease_ms;
        }
        it.lease.is_held(self.now(i))
    }

    pub fn lease_row(&self, i: usize) -> Option<&LeaseRow> {
        self.rows.leases.get(&self.processes[i].name)
    }

    /// Whether no lease can have lapsed yet.
    pub fn is_early(&self, scope: Scope) -> bool {
        self.time - START < scope.terms().lease_ms
    }

    pub fn acts(&self, scope: Scope, acts: &mut Vec<Act>) {
        let out = matches!(self.out, Outage::Since(_));
        for (i, it) in self.processes.iter().enumerate() {
            let faulty = self.faults > 0;
            let asked = !it.asked.is_empty() && !out;
            if it.stopped {
                acts.push(Act::GoesOn(i));
                if asked && it.late.is_none() {
                    acts.push(Act::Delays(i));
                }
                continue;
            }
            if asked {
                acts.push(Act::Serves(i));
            }
            if asked && faulty {
                acts.push(Act::Fails(i));
            }
            if asked && faulty && it.late.is_none() {
                acts.extend([Act::Delays(i), Act::Holds(i)]);
            }
            if it.late.is_some() && !out {
                acts.push(Act::Comes(i));
            }
            if faulty {
                acts.push(Act::Stops(i));
            }
            if self.restarts > 0 {
                acts.push(Act::Restarts(i));
            }
            match it.away {
                Away::No if self.leaves > 0 => {
                    acts.extend([Act::StepsBack(i), Act::Resigns(i)]);
                }
                Away::ForNow => acts.push(Act::Starts(i)),
                _ => {}
            }
        }
        if self.limbo.is_some() && !out {
            acts.push(Act::Lands);
        }
        let mut running = self.processes.iter().filter(|it| !it.stopped);
        if !out && running.any(|it| !it.asked.is_empty()) {
            return;
        }
        match self.out {
            Outage::NotYet if scope.outage => acts.push(Act::GoesOut),
            Outage::Since(_) => acts.push(Act::IsBack),
            _ => {}
        }
        if scope.hand_off && !self.unassigned {
            acts.push(Act::Unassigns);
        }
        if self.time < START + u64::from(scope.steps) {
            acts.push(Act::Passes(None));
            if self.slow > 0 {
                acts.extend([0, 1].map(|i| Act::Passes(Some(i))));
            }
        }
    }

    pub fn act(&mut self, act: Act, scope: Scope) {
        match act {
            Act::Passes(slow) => self.passes(slow, scope),
            Act::Serves(i) => {
                let request = self.processes[i].asked.remove(0);
                let answer = self.perform(i, &request, scope);
                self.hear(i, answer, scope);
            }
            Act::Delays(i) => {
                self.faults -= u8::from(!self.processes[i].stopped);
                let request = self.processes[i].asked.remove(0);
                let answer = self.perform(i, &request, scope);
                self.processes[i].late = Some(Late::Answer(answer));
            }
            Act::Holds(i) => {
                self.faults -= 1;
                let request = self.processes[i].asked.remove(0);
                self.processes[i].late = Some(Late::Request(request));
            }
            Act::Comes(i) => {
                let answer = match self.processes[i].late.take() {
                    Some(Late::Request(request)) => self.perform(i, &request, scope),
                    Some(Late::Answer(answer)) => answer,
                    None => return,
                };
                self.hear(i, answer, scope);
            }
            Act::Fails(i) => {
                self.faults -= 1;
                let request = self.processes[i].asked.remove(0);
                let answer = failed(&request);
                self.leave(request);
                self.hear(i, answer, scope);
            }
            Act::Lands => {
                if let Some(request) = self.limbo.take() {
                    let i = usize::from(is_of(&request, &self.processes[1].name));
                    self.perform(i, &request, scope);
                }
            }
            Act::Stops(i) => {
                self.faults -= 1;
                self.processes[i].stopped = true;
            }
            Act::GoesOn(i) => self.processes[i].stopped = false,
            Act::Restarts(i) => {
                self.restarts -= 1;
                for request in std::mem::take(&mut self.processes[i].asked) {
                    self.leave(request);
                }
                if let Some(Late::Request(request)) = self.processes[i].late.take() {
                    self.leave(request);
                }
                let name = self.processes[i].name.clone();
                self.processes[i].lease = Lease::new(name, true, scope.terms());
                self.assign(i, scope);
                self.start(i, scope);
            }
            Act::GoesOut => self.out = Outage::Since(self.time),
            Act::IsBack => {
                let Outage::Since(since) = self.out else {
                    return;
                };
                let long = self.time - since >= 3;
                self.out = Outage::Ended(if long { self.time } else { 0 });
            }
            Act::StepsBack(i) => {
                self.leaves -= 1;
                self.hear(i, Input::StepBack, scope);
                if !self.believes(i, scope) {
                    self.processes[i].away = Away::ForNow;
                }
            }
            Act::Starts(i) => {
                self.processes[i].away = Away::No;
                self.start(i, scope);
            }
            Act::Resigns(i) => self.resigns(i, scope),
            Act::Unassigns => {
                self.unassigned = true;
                self.hear(0, Input::Assign(BTreeSet::new()), scope);
            }
        }
        // What finds other rows than it expects never will find them: both
        // kinds of rows only ever rise.
        self.limbo = self.limbo.take().filter(|it| self.rows.would_apply(it));
    }

    fn resigns(&mut self, i: usize, scope: Scope) {
        self.leaves -= 1;
        let it = &mut self.processes[i];
        let resignation = if scope.ends_while_owning {
            it.lease.clone().resign()
        } else {
            it.lease.resign()
        };
        let Resignation::Swap(row, over) = resignation else {
            return;
        };
        it.away = Away::ForGood;
        let last = Effect::SwapLease {
            ask: Ask::default(),
            node: it.name.clone(),
            expected: Some(row),
            next: over,
        };
        for request in std::mem::replace(&mut it.asked, vec![last]) {
            self.leave(request);
        }
    }

    fn passes(&mut self, slow: Option<usize>, scope: Scope) {
        self.time += 1;
        if let Some(i) = slow {
            self.slow -= 1;
            self.processes[i].behind += 1;
        }
        for i in 0..2 {
            let it = &mut self.processes[i];
            if it.stopped {
                continue;
            }
            // The store is out: whatever was asked has failed meanwhile.
            for request in std::mem::take(&mut it.asked) {
                self.hear(i, failed(&request), scope);
            }
            self.hear(i, Input::Tick, scope);
            let owns = self.processes[i].lease.epoch(SLOT).is_some();
            if owns && !self.believes(i, scope) {
                self.processes[i].lapsed = true;
            }
        }
    }

    fn leave(&mut self, request: Effect) {
        let swap = matches!(request, Effect::SwapLease { .. } | Effect::SwapSlot { .. });
        if swap && self.limbo.is_none() {
            self.limbo = Some(request);
        }
    }

    fn perform(&mut self, i: usize, request: &Effect, scope: Scope) -> Input {
        let it = &mut self.processes[i];
        if let Effect::SwapLease {
            node,
            ask,
            expected,
            ..
        } = request
            && *node == it.name
        {
            if scope.renewals_imagined && i == 1 && expected.is_some() {
                return Input::Lease(node.clone(), *ask, Answer::Applied);
            }
            if self.rows.would_apply(request) {
                it.renewed_at = self.time - it.behind;
            }
        }
        self.rows.perform(request)
    }

    fn start(&mut self, i: usize, scope: Scope) {
        self.processes[i].lives += 1;
        self.processes[i].lapsed = false;
        self.hear(i, Input::Start(self.life(i)), scope);
    }

    fn hear(&mut self, i: usize, input: Input, scope: Scope) {
        let now = self.now(i);
        let renewed = matches!(&input, Input::Lease(node, _, Answer::Applied)
            if *node == self.processes[i].name);
        if renewed && scope.counts_from_answer {
            self.processes[i].heard_at = now.boot_ms;
        }
        for effect in self.processes[i].lease.handle(input, now) {
            match &effect {
                Effect::Fenced => self.start(i, scope),
                Effect::SwapLease { next, node, .. }
                    if next.fenced && *node != self.processes[i].name =>
                {
                    self.judge_fence(i, scope);
                    self.processes[i].asked.push(effect);
                }
                other if is_request(other) => self.processes[i].asked.push(effect),
                _ => {}
            }
        }
    }

    fn judge_fence(&mut self, i: usize, scope: Scope) {
        let terms = scope.terms();
        let since_renewal = self.now(i).boot_ms - self.processes[i].renewed_at;
        self.fenced_without_lease |= since_renewal >= terms.lease_ms;
        self.fenced_upon_outage |= match self.out {
            Outage::NotYet | Outage::Ended(0) => false,
            Outage::Since(at) => self.time - at >= 3,
            Outage::Ended(at) => self.time - at < terms.lease_ms + 1,
        };
    }
}

/// Whether a swap renews this node's row or claims its slot.
fn is_of(request: &Effect, name: &NodeName) -> bool {
    match request {
        Effect::SwapLease { node, .. } => node == name,
        Effect::SwapSlot { next, .. } => {
            next.owner.as_ref().is_some_and(|owner| owner.node == *name)
        }
        _ => false,
    }
}
