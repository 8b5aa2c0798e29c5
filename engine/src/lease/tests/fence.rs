//! Two nodes: one waits for the end of the other's lease.

use fanfare_protocol::limits::{
    COME_BACK_MS, LEASE_GAP_MS, LEASE_MARGIN_MS, LEASE_MS, LEASE_POLL_MS, SLOT_LOOK_MS,
};

use super::node::{Node, fenced, life, name, owned, row, run_both};
use super::rows::Rows;
use crate::lease::{Effect, Input, LeaseRow};

/// What an observer waits in all, but for a poll.
const SILENCE_MS: u64 = LEASE_MS + LEASE_MARGIN_MS;

/// Alice owns slot 0 in her life 1, bob wants it in his life 11.
fn two() -> (Node, Node, Rows) {
    let mut rows = Rows::default();
    let alice = Node::owning("alice", 1, 1, &mut rows);
    let mut bob = Node::started("bob", 11, true);
    bob.assign([0]);
    bob.serve(&mut rows);
    bob.said();
    (alice, bob, rows)
}

fn alice_s_lease(rows: &Rows) -> LeaseRow {
    rows.leases[&name("alice")]
}

fn is_fence(effect: &Effect) -> bool {
    matches!(effect, Effect::SwapLease { next, .. } if next.fenced)
}

#[test]
fn a_node_that_renews_is_let_alone() {
    let (mut alice, mut bob, mut rows) = two();
    run_both(&mut alice, &mut bob, 60_000, &mut rows);
    assert!(alice.holds(0, 1) && !bob.holds(0, 2));
    assert_eq!((alice.said(), bob.said()), (vec![], vec![]));
    assert_eq!(rows.slots[&0], owned("alice", 1, 1));
}

#[test]
fn a_silent_node_is_fenced_after_lease_and_margin() {
    let (mut alice, mut bob, mut rows) = two();
    bob.run(SILENCE_MS - 100, &mut rows);
    assert_eq!(alice_s_lease(&rows), row(1, 1), "not before the margin");
    bob.run(LEASE_POLL_MS, &mut rows);
    assert_eq!(alice_s_lease(&rows), fenced(1, 2));
    assert_eq!(bob.said(), [Effect::Own { slot: 0, epoch: 2 }]);
    assert!(bob.holds(0, 2));

    // Alice finds out, and waits her turn in a new life.
    alice.sleep(SILENCE_MS);
    alice.hear(Input::Tick);
    assert!(!alice.holds(0, 1), "before she knows");
    alice.serve(&mut rows);
    let give_up = Effect::GiveUp { slot: 0, epoch: 1 };
    assert_eq!(alice.said(), [give_up, Effect::Fenced]);
    alice.hear(Input::Start(life(2)));
    alice.serve(&mut rows);
    run_both(&mut alice, &mut bob, 10_000, &mut rows);
    assert!(alice.is_held() && bob.holds(0, 2));
    assert_eq!(alice.lease.epoch(0), None);
    // And gets the slot back the same way.
    alice.run(SILENCE_MS + LEASE_POLL_MS, &mut rows);
    assert!(alice.holds(0, 3));
    assert_eq!(rows.leases[&name("bob")].incarnation, life(11));
    assert!(rows.leases[&name("bob")].fenced);
}

#[test]
fn silence_is_counted_without_gaps() {
    // Reads further apart than a gap begin anew; those just as far go on.
    for (apart_ms, fences) in [(LEASE_GAP_MS, true), (LEASE_GAP_MS + 1, false)] {
        let (_, mut bob, mut rows) = two();
        for _ in 0..20 {
            bob.sleep(apart_ms);
            bob.hear(Input::Tick);
            bob.serve(&mut rows);
        }
        assert_eq!(alice_s_lease(&rows).fenced, fences, "{apart_ms}");
    }
}

#[test]
fn an_outage_of_the_store_fences_nobody() {
    for outage_ms in [2_000, 5_000, 30_000, 600_000] {
        let (mut alice, mut bob, mut rows) = two();
        run_both(&mut alice, &mut bob, 3_000, &mut rows);
        alice.run_in_outage(outage_ms);
        bob.run_in_outage(outage_ms);
        // Bob is back first, for almost as long as a lease.
        bob.run(LEASE_MS, &mut rows);
        alice.sleep(LEASE_MS);
        run_both(&mut alice, &mut bob, 10_000, &mut rows);
        assert!(alice.holds(0, 1), "{outage_ms}");
        assert_eq!((alice.said(), bob.said()), (vec![], vec![]), "{outage_ms}");
    }
}

#[test]
fn whoever_does_not_hold_a_lease_fences_nobody() {
    let (_, mut bob, mut rows) = two();
    // Bob's own renewals get lost while he can read alice's row all the time.
    for _ in 0..300 {
        bob.tick();
        while !bob.asked.is_empty() {
            let request = bob.asked.remove(0);
            let own = matches!(&request, Effect::ReadLease { node, .. }
                | Effect::SwapLease { node, .. } if *node == name("bob"));
            if is_fence(&request) {
                assert!(bob.is_held(), "a fence without the own lease");
            }
            if own {
                bob.hear(super::rows::failed(&request));
            } else {
                bob.hear(rows.perform(&request));
            }
        }
    }
    assert_eq!(alice_s_lease(&rows), row(1, 1));
    // With it he begins to count: what he saw before was too long ago.
    bob.run(LEASE_MS, &mut rows);
    assert!(bob.is_held());
    assert_eq!(alice_s_lease(&rows), row(1, 1));
    bob.run(2_000, &mut rows);
    assert_eq!(alice_s_lease(&rows), fenced(1, 2));
}

/// Bob, as soon as he asks for alice to be fenced.
fn fencing() -> (Node, Node, Rows) {
    let (alice, mut bob, mut rows) = two();
    while !bob.asked.iter().any(is_fence) {
        if bob.asked.is_empty() {
            bob.tick();
        } else {
            bob.answer(&mut rows);
        }
    }
    (alice, bob, rows)
}

#[test]
fn a_fence_loses_against_a_renewal() {
    let (mut alice, mut bob, mut rows) = fencing();
    alice.sleep(SILENCE_MS);
    alice.hear(Input::Tick);
    alice.serve(&mut rows);
    bob.serve(&mut rows);
    assert!(alice.holds(0, 1) && bob.lease.epoch(0).is_none());
    run_both(&mut alice, &mut bob, 30_000, &mut rows);
    assert!(alice.holds(0, 1));
}

#[test]
fn a_fence_of_unknown_outcome_is_looked_at() {
    for written in [false, true] {
        let (_, mut bob, mut rows) = fencing();
        bob.fail(written.then_some(&mut rows));
        bob.run(1_000, &mut rows);
        assert_eq!(bob.holds(0, 2), written);
        // One that was not written has spent what was seen.
        bob.run(SILENCE_MS - 1_500, &mut rows);
        assert_eq!(bob.holds(0, 2), written);
        bob.run(2_000, &mut rows);
        assert!(bob.holds(0, 2));
    }
}

#[test]
fn a_new_life_of_the_owner_ends_the_old_one_s_slots() {
    let (mut alice, mut bob, mut rows) = two();
    // Alice starts again and does not want the slot any more.
    alice.assign([]);
    alice.hear(Input::Start(life(2)));
    alice.serve(&mut rows);
    // It is left to her for a while, as she may come back for it.
    run_both(&mut alice, &mut bob, COME_BACK_MS - 200, &mut rows);
    assert!(alice.is_held() && bob.lease.epoch(0).is_none());
    run_both(&mut alice, &mut bob, 1_000, &mut rows);
    assert!(alice.is_held() && bob.holds(0, 2));
    assert_eq!(alice_s_lease(&rows).incarnation, life(2));
}

#[test]
fn a_slot_given_back_is_claimed_while_both_live() {
    let (mut alice, mut bob, mut rows) = two();
    run_both(&mut alice, &mut bob, 3_000, &mut rows);
    alice.assign([]);
    alice.hear(Input::Drained(0));
    let give_up = Effect::GiveUp { slot: 0, epoch: 1 };
    assert_eq!(alice.said(), [Effect::Drain { slot: 0 }, give_up]);
    run_both(&mut alice, &mut bob, SLOT_LOOK_MS + 100, &mut rows);
    assert_eq!(bob.said(), [Effect::Own { slot: 0, epoch: 2 }]);
    assert!(alice.is_held() && bob.holds(0, 2));
    // What is behind the store's newest does not take it from anybody.
    let (mut alice, mut bob, mut rows) = two();
    let behind = rows.slots.clone();
    rows.slots.insert(0, owned("alice", 1, 4));
    run_both(&mut alice, &mut bob, SLOT_LOOK_MS + 100, &mut rows);
    rows.slots = behind;
    run_both(&mut alice, &mut bob, 3_000, &mut rows);
    assert_eq!((bob.said(), bob.lease.owned_of_wanted()), (vec![], (0, 1)));
}

/// Regression: a lease row read before a slot's row said that the slot's owner,
/// who had begun a new life in between, was over.
#[test]
fn a_lease_row_read_before_says_nothing_about_a_newer_life() {
    let mut rows = Rows::default();
    let mut alice = Node::owning("alice", 1, 1, &mut rows);
    let mut adam = Node::started("adam", 11, true);
    adam.assign([0, 1]);
    let mut claimed = false;
    while !adam.asked.is_empty() {
        // He goes first, so he claims slot 1, which nobody has; the claim stays on its way.
        let request = adam.asked.remove(0);
        if matches!(request, Effect::SwapSlot { .. }) {
            adam.asked.push(request);
            claimed = true;
            break;
        }
        adam.hear(rows.perform(&request));
    }
    assert!(claimed);
    // Meanwhile alice, whose life 1 adam has seen, begins another and claims it.
    alice.hear(Input::Start(life(2)));
    alice.assign([0, 1]);
    alice.serve(&mut rows);
    assert!(alice.holds(1, 1) && alice.holds(0, 2));
    adam.serve(&mut rows);
    run_both(&mut alice, &mut adam, 10_000, &mut rows);
    assert!(alice.holds(1, 1) && alice.holds(0, 2));
    assert_eq!(rows.slots[&1], owned("alice", 2, 1));
    assert_eq!(adam.lease.owned_of_wanted(), (0, 2));
    assert_eq!(adam.said(), []);
}
