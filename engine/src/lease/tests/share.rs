//! Two nodes that both want everything: one of them has it in the end.

use fanfare_protocol::limits::{COME_BACK_MS, SLOT_LOOK_MS};

use super::node::{Node, fenced, life, name, run_both};
use super::rows::Rows;
use crate::lease::{Input, Resignation};

const SLOTS: usize = 100;

/// Two that start at once; the store answers them in turns, the second one
/// more often for a while, so that each has some of the slots.
fn two_at_once() -> (Node, Node, Rows) {
    let mut rows = Rows::default();
    let mut nodes = [("alice", 1), ("bob", 2)].map(|(node, of)| {
        let mut node = Node::started(node, of, true);
        node.assign(0..100);
        node
    });
    while nodes.iter().any(|node| !node.asked.is_empty()) {
        for (i, node) in nodes.iter_mut().enumerate() {
            let turns = if i == 1 && owned(node) < SLOTS / 3 {
                2
            } else {
                1
            };
            for _ in 0..turns.min(node.asked.len()) {
                node.answer(&mut rows);
            }
        }
    }
    let [alice, bob] = nodes;
    (alice, bob, rows)
}

fn owned(node: &Node) -> usize {
    node.lease.owned_of_wanted().0
}

#[test]
fn of_two_that_start_at_once_the_first_name_has_all_in_the_end() {
    let (mut alice, mut bob, mut rows) = two_at_once();
    assert!(owned(&alice) > 0 && owned(&bob) > 0);
    assert_eq!(owned(&alice) + owned(&bob), SLOTS);
    assert_eq!(bob.lease.rival(), Some(&name("alice")));
    let before = owned(&bob);
    bob.said();
    bob.hear(Input::StepBack);
    assert_eq!((owned(&bob), bob.is_held()), (0, false));
    assert_eq!(bob.said().len(), before, "each slot is given up");
    bob.serve(&mut rows);
    // Its lease is over: nobody waits for it to lapse.
    run_both(&mut alice, &mut bob, 2 * SLOT_LOOK_MS, &mut rows);
    assert_eq!(owned(&alice), SLOTS);
    bob.hear(Input::Start(life(3)));
    run_both(&mut alice, &mut bob, 2 * COME_BACK_MS, &mut rows);
    assert_eq!((owned(&alice), owned(&bob)), (SLOTS, 0));
    assert!(bob.is_held());
}

#[test]
fn one_that_stepped_back_and_is_too_early_claims_nothing_all_the_same() {
    let (mut alice, mut bob, mut rows) = two_at_once();
    bob.hear(Input::StepBack);
    bob.serve(&mut rows);
    // It goes on before the other has claimed anything of it.
    bob.hear(Input::Start(life(3)));
    bob.serve(&mut rows);
    assert_eq!(owned(&bob), 0);
    run_both(&mut alice, &mut bob, 2 * COME_BACK_MS, &mut rows);
    assert_eq!((owned(&alice), owned(&bob)), (SLOTS, 0));
}

#[test]
fn while_the_own_lease_changes_nobody_steps_back() {
    let (_, mut bob, mut rows) = two_at_once();
    let before = owned(&bob);
    bob.run(1_400, &mut rows);
    while bob.asked.is_empty() {
        bob.tick();
    }
    // Its renewal is on the way, so what the row says is not known.
    bob.hear(Input::StepBack);
    assert_eq!(owned(&bob), before);
    assert_eq!(bob.lease.resign(), Resignation::Later);
}

#[test]
fn who_stands_by_leaves_a_restart_its_slots() {
    for (owner, other) in [("alice", "bob"), ("bob", "alice")] {
        let mut rows = Rows::default();
        let mut first = Node::owning(owner, 1, 100, &mut rows);
        let mut second = Node::started(other, 11, true);
        second.assign(0..100);
        second.serve(&mut rows);
        run_both(&mut first, &mut second, 3_000, &mut rows);
        // It ends without a word, and starts again in the same folder.
        let mut again = Node::started(owner, 2, true);
        again.now = first.now;
        again.assign(0..100);
        while !again.asked.is_empty() {
            again.answer(&mut rows);
            // The other one looks all the time.
            for node in [&mut again, &mut second] {
                node.sleep(10);
                node.hear(Input::Tick);
            }
            second.serve(&mut rows);
        }
        assert_eq!((owned(&again), owned(&second)), (SLOTS, 0), "{owner}");
        run_both(&mut again, &mut second, 2 * COME_BACK_MS, &mut rows);
        assert_eq!((owned(&again), owned(&second)), (SLOTS, 0), "{owner}");
    }
}

#[test]
fn who_starts_again_and_dies_is_replaced_when_its_lease_has_lapsed() {
    let mut rows = Rows::default();
    let mut alice = Node::owning("alice", 1, 4, &mut rows);
    let mut bob = Node::started("bob", 11, true);
    bob.assign(0..4);
    run_both(&mut alice, &mut bob, 3_000, &mut rows);
    let mut again = Node::started("alice", 2, true);
    again.assign([]);
    again.serve(&mut rows);
    bob.run(6_800, &mut rows);
    assert_eq!(bob.lease.owned_of_wanted(), (4, 4));
    assert_eq!(rows.leases[&name("alice")], fenced(2, again_renewal(&rows)));
}

fn again_renewal(rows: &Rows) -> u64 {
    rows.leases[&name("alice")].renewal
}
