//! Two owners with clocks, exhaustively: never do two hold the slot, and each
//! planted fault is found.

use stateright::{Model, Property};

use super::clock_scope::{Act, Scope};
use super::clock_world::{Away, SECOND, SLOT, World};
use super::proof;
use crate::lease::LeaseRow;

const LEASE: &str = "whoever holds the slot has the lease that its row names";
const OWNER: &str = "whoever holds the slot has claimed it last";
const FENCE: &str = "only who holds a lease fences";
const OUTAGE: &str = "an outage fences nobody";

struct ClockModel(Scope);

impl Model for ClockModel {
    type State = World;
    type Action = Act;

    fn init_states(&self) -> Vec<World> {
        vec![World::new(self.0)]
    }

    fn actions(&self, world: &World, acts: &mut Vec<Act>) {
        world.acts(self.0, acts);
    }

    fn next_state(&self, world: &World, act: Act) -> Option<World> {
        let mut next = world.clone();
        next.act(act, self.0);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let scope = self.0;
        let mut properties = vec![
            Property::always(LEASE, |model: &Self, world: &World| {
                (0..2).all(|i| has_lease(world, i, model.0))
            }),
            Property::always(OWNER, |model: &Self, world: &World| {
                (0..2).all(|i| has_slot(world, i, model.0))
            }),
            Property::always(FENCE, |_, world: &World| !world.fenced_without_lease),
            Property::always(OUTAGE, |_, world: &World| !world.fenced_upon_outage),
        ];
        if scope.faults > 0 && !scope.unowned && scope.steps > 5 {
            properties.push(Property::sometimes(
                "the second takes over from the first",
                |model: &Self, world: &World| {
                    holds(world, 1, model.0) == Some(2) && world.processes[0].lapsed
                },
            ));
        }
        if scope.steps > 4 {
            properties.push(Property::sometimes(
                "a lapsed lease comes back with its slot",
                |model: &Self, world: &World| {
                    let back =
                        |i: usize| world.processes[i].lapsed && holds(world, i, model.0).is_some();
                    back(0) || back(1)
                },
            ));
        }
        if scope.restarts > 0 {
            properties.push(Property::sometimes(
                "a new life claims its slot again",
                |model: &Self, world: &World| {
                    world.processes[0].lives > 1 && holds(world, 0, model.0) == Some(2)
                },
            ));
        }
        if scope.leaves > 0 {
            properties.push(Property::sometimes(
                "a slot that was left is taken before the lease has lapsed",
                |model: &Self, world: &World| {
                    let first = &world.processes[0];
                    let left = first.away != Away::No && !first.lapsed;
                    left && holds(world, 1, model.0) == Some(2) && world.is_early(model.0)
                },
            ));
        }
        if scope.hand_off {
            properties.push(Property::sometimes(
                "the slot is handed over while both hold their leases",
                |model: &Self, world: &World| {
                    world.believes(0, model.0)
                        && world.processes[0].lives == 1
                        && holds(world, 1, model.0) == Some(2)
                },
            ));
        }
        properties
    }
}

/// The epoch under which a process would acknowledge now.
fn holds(world: &World, i: usize, scope: Scope) -> Option<u64> {
    holds_slot(world, i, SLOT, scope)
}

fn holds_slot(world: &World, i: usize, slot: u16, scope: Scope) -> Option<u64> {
    let epoch = world.processes[i].lease.epoch(slot);
    epoch.filter(|_| world.believes(i, scope))
}

fn has_lease(world: &World, i: usize, scope: Scope) -> bool {
    let named = |row: &LeaseRow| row.incarnation == world.life(i) && !row.fenced;
    holds(world, i, scope).is_none() || world.lease_row(i).is_some_and(named)
}

fn has_slot(world: &World, i: usize, scope: Scope) -> bool {
    [SLOT, SECOND].iter().all(|slot| {
        let Some(epoch) = holds_slot(world, i, *slot, scope) else {
            return true;
        };
        let row = world.rows.slots.get(slot);
        let owner = row.and_then(|row| row.owner.as_ref());
        row.is_some_and(|row| row.epoch == epoch)
            && owner.is_some_and(|owner| owner.incarnation == world.life(i))
    })
}

fn is_proven(scope: Scope) {
    proof::is_proven(ClockModel(scope), &scope);
}

fn is_found(planted: Scope, expected: &[&str]) {
    proof::is_found(ClockModel(planted), &planted, expected);
}

#[test]
fn two_names_with_clocks() {
    is_proven(Scope {
        steps: 7,
        faults: 1,
        slow: 1,
        ..Scope::NONE
    });
}

#[test]
fn two_names_and_what_gets_lost() {
    is_proven(Scope {
        steps: 6,
        faults: 2,
        ..Scope::NONE
    });
}

#[test]
fn a_store_that_is_out() {
    is_proven(Scope {
        steps: 9,
        faults: 1,
        outage: true,
        ..Scope::NONE
    });
}

#[test]
fn processes_that_start_again() {
    is_proven(Scope {
        steps: 3,
        restarts: 2,
        ..Scope::NONE
    });
}

#[test]
fn a_claim_that_meets_a_new_life() {
    is_proven(Scope {
        steps: 3,
        faults: 1,
        restarts: 1,
        second_slot: true,
        ..Scope::NONE
    });
}

#[test]
fn two_that_start_at_once() {
    is_proven(Scope {
        steps: 3,
        faults: 2,
        unowned: true,
        ..Scope::NONE
    });
}

#[test]
fn two_of_one_name() {
    is_proven(Scope {
        steps: 6,
        faults: 2,
        slow: 1,
        one_name: true,
        ..Scope::NONE
    });
}

#[test]
fn a_slot_that_is_handed_over() {
    is_proven(Scope {
        steps: 5,
        faults: 1,
        hand_off: true,
        ..Scope::NONE
    });
}

#[test]
fn processes_that_leave_in_order() {
    is_proven(Scope {
        steps: 4,
        faults: 1,
        leaves: 2,
        ..Scope::NONE
    });
}

#[test]
fn a_missing_margin_is_found() {
    let planted = Scope {
        no_margin: true,
        steps: 6,
        faults: 1,
        slow: 1,
        ..Scope::NONE
    };
    is_found(planted, &[LEASE, OWNER]);
}

#[test]
fn a_lease_that_counts_from_the_answer_is_found() {
    let planted = Scope {
        counts_from_answer: true,
        steps: 5,
        faults: 2,
        ..Scope::NONE
    };
    is_found(planted, &[LEASE, OWNER]);
}

#[test]
fn a_folder_s_lock_wrongly_believed_is_found() {
    let planted = Scope {
        folder_lock_believed: true,
        one_name: true,
        steps: 2,
        ..Scope::NONE
    };
    is_found(planted, &[LEASE, OWNER]);
}

#[test]
fn an_end_while_slots_are_owned_is_found() {
    let planted = Scope {
        ends_while_owning: true,
        steps: 2,
        leaves: 1,
        ..Scope::NONE
    };
    is_found(planted, &[LEASE, OWNER]);
}

#[test]
fn an_observer_that_ignores_gaps_is_found() {
    let planted = Scope {
        gaps_ignored: true,
        outage: true,
        steps: 9,
        ..Scope::NONE
    };
    is_found(planted, &[OUTAGE]);
}

#[test]
fn a_fence_without_the_own_lease_is_found() {
    let planted = Scope {
        renewals_imagined: true,
        steps: 9,
        faults: 1,
        ..Scope::NONE
    };
    is_found(planted, &[FENCE]);
}
