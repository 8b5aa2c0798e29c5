//! One node of a scenario: its machine, its clocks, what it asked and what it
//! said.

use std::collections::BTreeSet;

use fanfare_protocol::limits::LEASE_TICK_MS;
use uuid::Uuid;

use super::rows::{Rows, failed, is_request};
use crate::lease::{Effect, Input, Lease, LeaseRow, Moment, NodeName, Owner, SlotRow, Terms};

pub struct Node {
    pub lease: Lease,
    pub now: Moment,
    /// Requests without an answer, oldest first.
    pub asked: Vec<Effect>,
    /// What else it said since it was last looked at.
    said: Vec<Effect>,
}

pub fn name(name: &str) -> NodeName {
    NodeName::new(name).unwrap()
}

pub fn life(n: u128) -> Uuid {
    Uuid::from_u128(n)
}

pub fn row(of: u128, renewal: u64) -> LeaseRow {
    LeaseRow {
        incarnation: life(of),
        renewal,
        fenced: false,
    }
}

pub fn fenced(of: u128, renewal: u64) -> LeaseRow {
    LeaseRow {
        fenced: true,
        ..row(of, renewal)
    }
}

pub fn owned(node: &str, of: u128, epoch: u64) -> SlotRow {
    let owner = Owner {
        node: name(node),
        incarnation: life(of),
    };
    SlotRow {
        owner: Some(owner),
        epoch,
    }
}

pub fn given_back(epoch: u64) -> SlotRow {
    SlotRow { owner: None, epoch }
}

impl Node {
    /// A node that has just started its life `of`, and whose requests nobody
    /// has answered yet.
    pub fn started(node: &str, of: u128, folder_locked: bool) -> Self {
        let mut it = Self {
            lease: Lease::new(name(node), folder_locked, Terms::default()),
            now: Moment {
                boot_ms: 1_000_000,
                wall_ms: 1_700_000_000_000,
            },
            asked: Vec::new(),
            said: Vec::new(),
        };
        it.hear(Input::Start(life(of)));
        it
    }

    /// One that holds its lease and owns what it wants, slots 0 to `slots` − 1.
    pub fn owning(node: &str, of: u128, slots: u16, rows: &mut Rows) -> Self {
        let mut it = Self::started(node, of, true);
        it.assign(0..slots);
        it.serve(rows);
        assert_eq!(it.lease.owned_of_wanted().0, usize::from(slots));
        it.said();
        it
    }

    pub fn hear(&mut self, input: Input) {
        for effect in self.lease.handle(input, self.now) {
            let list = if is_request(&effect) {
                &mut self.asked
            } else {
                &mut self.said
            };
            list.push(effect);
        }
    }

    pub fn assign(&mut self, slots: impl IntoIterator<Item = u16>) {
        self.hear(Input::Assign(slots.into_iter().collect::<BTreeSet<u16>>()));
    }

    /// What it said that is not a request, since the last look.
    pub fn said(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.said)
    }

    /// Answers the oldest request.
    pub fn answer(&mut self, rows: &mut Rows) {
        let request = self.asked.remove(0);
        self.hear(rows.perform(&request));
    }

    /// Answers everything, and what is asked upon it.
    pub fn serve(&mut self, rows: &mut Rows) {
        while !self.asked.is_empty() {
            self.answer(rows);
        }
    }

    /// Every request fails. `written`: it was carried out all the same.
    pub fn fail(&mut self, written: Option<&mut Rows>) {
        let asked = std::mem::take(&mut self.asked);
        if let Some(rows) = written {
            for request in &asked {
                rows.perform(request);
            }
        }
        for request in asked {
            self.hear(failed(&request));
        }
    }

    /// Time passes without anybody looking.
    pub fn sleep(&mut self, ms: u64) {
        self.now.boot_ms += ms;
        self.now.wall_ms += i64::try_from(ms).unwrap();
    }

    pub fn tick(&mut self) {
        self.sleep(LEASE_TICK_MS);
        self.hear(Input::Tick);
    }

    /// Time passes; the store answers at once.
    pub fn run(&mut self, ms: u64, rows: &mut Rows) {
        for _ in 0..ms / LEASE_TICK_MS {
            self.tick();
            self.serve(rows);
        }
    }

    /// Time passes; the store answers nothing in time.
    pub fn run_in_outage(&mut self, ms: u64) {
        for _ in 0..ms / LEASE_TICK_MS {
            self.tick();
            self.fail(None);
        }
    }

    pub fn is_held(&self) -> bool {
        self.lease.is_held(self.now)
    }

    pub fn holds(&self, slot: u16, epoch: u64) -> bool {
        self.lease.holds(slot, epoch, self.now)
    }
}

/// Time passes for both; the store answers both at once.
pub fn run_both(a: &mut Node, b: &mut Node, ms: u64, rows: &mut Rows) {
    for _ in 0..ms / LEASE_TICK_MS {
        for node in [&mut *a, &mut *b] {
            node.tick();
            node.serve(rows);
        }
    }
}
