//! Slots: claimed, raised, handed off.

use fanfare_protocol::limits::{HAND_OFF_MS, LEASE_RETRY_MS, SLOT_SWAPS_AT_ONCE};

use super::node::{Node, given_back, owned, row};
use super::rows::Rows;
use crate::lease::{Effect, Input};

const ALICE: &str = "alice";

/// A node that holds its lease, has read the slots and asks for slot 0.
fn claiming(rows: &mut Rows) -> Node {
    let mut alice = Node::started(ALICE, 1, true);
    alice.assign([0]);
    while !matches!(alice.asked[..], [Effect::SwapSlot { .. }]) {
        alice.answer(rows);
    }
    alice
}

#[test]
fn no_slot_is_claimed_without_the_lease() {
    let mut rows = Rows::default();
    let mut alice = Node::started(ALICE, 1, true);
    alice.assign(0..4);
    // The lease is read and swapped first.
    assert!(matches!(alice.asked[..], [Effect::ReadLease { .. }]));
    alice.answer(&mut rows);
    assert!(matches!(alice.asked[..], [Effect::SwapLease { .. }]));
    // Its answer comes when it has lapsed: only the renewal is asked for.
    alice.sleep(10_000);
    alice.answer(&mut rows);
    assert!(matches!(alice.asked[..], [Effect::SwapLease { .. }]));
    alice.answer(&mut rows);
    assert!(matches!(alice.asked[..], [Effect::ReadSlots { .. }]));
    // And it lapses again before the slots are known.
    alice.sleep(10_000);
    alice.answer(&mut rows);
    let claim = |effect: &Effect| matches!(effect, Effect::SwapSlot { .. });
    assert!(!alice.asked.iter().any(claim), "{:?}", alice.asked);
    alice.serve(&mut rows);
    assert_eq!(alice.lease.owned_of_wanted(), (4, 4));
}

#[test]
fn claims_are_bounded_at_once() {
    let mut rows = Rows::default();
    let mut alice = Node::started(ALICE, 1, true);
    alice.assign(0..100);
    let claims = |alice: &Node| {
        let claim = |effect: &&Effect| matches!(effect, Effect::SwapSlot { .. });
        alice.asked.iter().filter(claim).count()
    };
    let mut most = 0;
    while !alice.asked.is_empty() {
        most = most.max(claims(&alice));
        alice.answer(&mut rows);
    }
    assert_eq!(most, SLOT_SWAPS_AT_ONCE);
    assert_eq!(alice.lease.owned_of_wanted(), (100, 100));
    assert!((0..100).all(|slot| alice.holds(slot, 1)));
    assert!(!alice.holds(100, 1));

    // Those given back as well, and those whose outcome is unknown count.
    alice.assign([]);
    (0..100).for_each(|slot| alice.hear(Input::Drained(slot)));
    assert_eq!(claims(&alice), SLOT_SWAPS_AT_ONCE);
    alice.fail(None);
    assert_eq!(claims(&alice), 0);
    alice.run(1000, &mut rows);
    assert!(rows.slots.values().all(|row| *row == given_back(1)));
    assert_eq!(rows.slots.len(), 100);
}

#[test]
fn an_unknown_claim_is_settled_by_a_read() {
    let foreign = owned("bob", 7, 1);
    let table = [
        ("not written", None, true, Some(1)),
        ("written", Some(owned(ALICE, 1, 1)), false, Some(1)),
        ("somebody was faster", Some(foreign.clone()), false, None),
        (
            "somebody had it, and gave it back",
            Some(given_back(1)),
            true,
            Some(2),
        ),
    ];
    for (what, found, again, epoch) in table {
        let mut rows = Rows::default();
        let mut alice = claiming(&mut rows);
        // A holder of its lease, so that bob stays.
        rows.leases.insert(super::node::name("bob"), row(7, 1));
        alice.fail(None);
        rows.slots.extend(found.map(|row| (0, row)));
        assert_eq!(alice.asked, [], "{what}: not at once");
        alice.sleep(LEASE_RETRY_MS);
        alice.hear(Input::Tick);
        assert!(matches!(alice.asked[..], [Effect::ReadSlot { .. }]));
        alice.answer(&mut rows);
        let swaps = |effect: &Effect| matches!(effect, Effect::SwapSlot { .. });
        assert_eq!(alice.asked.iter().any(swaps), again, "{what}");
        alice.serve(&mut rows);
        assert_eq!(alice.lease.epoch(0), epoch, "{what}");
        let expected: Vec<Effect> = epoch
            .map(|epoch| Effect::Own { slot: 0, epoch })
            .into_iter()
            .collect();
        assert_eq!(alice.said(), expected, "{what}");
    }
}

#[test]
fn a_claim_that_comes_late_all_the_same_is_its_own() {
    let mut rows = Rows::default();
    let mut alice = claiming(&mut rows);
    let late = alice.asked[0].clone();
    alice.fail(None);
    alice.sleep(LEASE_RETRY_MS);
    alice.hear(Input::Tick);
    // The read finds nothing, then the first claim comes, then the second.
    alice.answer(&mut rows);
    rows.perform(&late);
    alice.serve(&mut rows);
    assert!(alice.holds(0, 1));
    assert_eq!(rows.slots[&0], owned(ALICE, 1, 1));
}

#[test]
fn slots_of_an_earlier_life_are_claimed_under_the_next_epoch() {
    let mut rows = Rows::default();
    let all = [
        (0, owned(ALICE, 9, 6)),
        (1, given_back(3)),
        // A claim of this life that was given up for not written.
        (2, owned(ALICE, 1, 8)),
    ];
    rows.slots.extend(all);
    let alice = Node::owning(ALICE, 1, 3, &mut rows);
    let epochs = [0, 1, 2].map(|slot| alice.lease.epoch(slot));
    assert_eq!(epochs, [Some(7), Some(4), Some(9)]);
}

#[test]
fn slots_are_read_again_when_a_read_failed() {
    let mut rows = Rows::default();
    let mut alice = Node::started(ALICE, 1, true);
    alice.assign([0]);
    while !matches!(alice.asked[..], [Effect::ReadSlots { .. }]) {
        alice.answer(&mut rows);
    }
    alice.fail(None);
    assert_eq!(alice.asked, []);
    alice.sleep(LEASE_RETRY_MS);
    alice.hear(Input::Tick);
    alice.serve(&mut rows);
    assert!(alice.holds(0, 1));
}

#[test]
fn a_slot_is_handed_off_when_nothing_is_in_flight() {
    let mut rows = Rows::default();
    let mut alice = Node::owning(ALICE, 1, 2, &mut rows);
    alice.assign([1]);
    assert_eq!(alice.said(), [Effect::Drain { slot: 0 }]);
    assert_eq!(alice.asked, [], "not while something may be in flight");
    // What is in flight is still acknowledged; nothing new is taken.
    assert!(alice.holds(0, 1));
    assert_eq!(alice.lease.admits(0, alice.now), None);
    alice.hear(Input::Drained(0));
    assert_eq!(alice.said(), [Effect::GiveUp { slot: 0, epoch: 1 }]);
    assert!(!alice.holds(0, 1), "before the row says so");
    alice.serve(&mut rows);
    assert_eq!(rows.slots[&0], given_back(1));
    assert!(alice.holds(1, 1));
    // It is forgotten: another Drained says nothing.
    alice.hear(Input::Drained(0));
    alice.hear(Input::Drained(1));
    assert_eq!((alice.said(), alice.asked.len()), (vec![], 0));
}

#[test]
fn whatever_is_in_flight_too_long_is_frozen() {
    let mut rows = Rows::default();
    let mut alice = Node::owning(ALICE, 1, 1, &mut rows);
    alice.assign([]);
    alice.run(HAND_OFF_MS - 100, &mut rows);
    assert_eq!(alice.said(), [Effect::Drain { slot: 0 }]);
    assert!(alice.holds(0, 1));
    alice.tick();
    assert_eq!(alice.said(), [Effect::GiveUp { slot: 0, epoch: 1 }]);
    assert!(!alice.holds(0, 1));
    alice.hear(Input::Drained(0));
    alice.serve(&mut rows);
    assert_eq!(
        (alice.said(), rows.slots[&0].clone()),
        (vec![], given_back(1))
    );
}

#[test]
fn an_unknown_giving_back_is_settled_by_a_read() {
    for written in [false, true] {
        let mut rows = Rows::default();
        let mut alice = Node::owning(ALICE, 1, 1, &mut rows);
        alice.assign([]);
        alice.hear(Input::Drained(0));
        alice.said();
        alice.fail(written.then_some(&mut rows));
        alice.run(1000, &mut rows);
        assert_eq!(rows.slots[&0], given_back(1), "{written}");
        assert_eq!(alice.said(), [], "{written}");
    }
}

#[test]
fn a_slot_wanted_again_is_claimed_anew() {
    let mut rows = Rows::default();
    let mut alice = Node::owning(ALICE, 1, 1, &mut rows);
    alice.assign([]);
    alice.assign([0]);
    // What was drained is given back all the same: the room knows of it.
    assert!(!alice.said().contains(&Effect::GiveUp { slot: 0, epoch: 1 }));
    alice.hear(Input::Drained(0));
    alice.serve(&mut rows);
    let expected = [
        Effect::GiveUp { slot: 0, epoch: 1 },
        Effect::Own { slot: 0, epoch: 2 },
    ];
    assert_eq!(alice.said(), expected);
    assert!(alice.holds(0, 2) && !alice.holds(0, 1));
}

#[test]
fn an_epoch_above_raises_the_slot() {
    // What a log knows, and the epoch of the slot afterwards.
    for (above, epoch) in [(1, 1), (2, 2), (3, 4), (70, 71)] {
        let mut rows = Rows::default();
        rows.slots.insert(0, given_back(2));
        let mut alice = Node::owning(ALICE, 1, 1, &mut rows);
        assert!(alice.holds(0, 3));
        // Another slot, and one that is not ours.
        alice.hear(Input::EpochAbove(9, 80));
        assert_eq!((alice.said(), alice.asked.len()), (vec![], 0));
        alice.hear(Input::EpochAbove(0, above));
        if above < 3 {
            assert_eq!((alice.said(), alice.asked.len()), (vec![], 0));
            continue;
        }
        let said = alice.said();
        assert_eq!(said, [Effect::GiveUp { slot: 0, epoch: 3 }], "{above}");
        assert!(!alice.holds(0, 3));
        // Should its answer get lost, the log says so once more.
        alice.serve(&mut rows);
        assert_eq!(alice.said(), [Effect::Own { slot: 0, epoch }]);
        assert_eq!(rows.slots[&0], owned(ALICE, 1, epoch));
        assert!(alice.holds(0, epoch));
    }
}

#[test]
fn an_answer_that_comes_after_its_failure_says_nothing() {
    for asked_again in [false, true] {
        let mut rows = Rows::default();
        let mut alice = claiming(&mut rows);
        let claim = alice.asked[0].clone();
        alice.fail(None);
        if asked_again {
            alice.sleep(LEASE_RETRY_MS);
            alice.hear(Input::Tick);
        }
        alice.hear(rows.perform(&claim));
        assert_eq!(alice.lease.epoch(0), None, "{asked_again}");
        // The read finds it written.
        alice.run(1000, &mut rows);
        assert!(alice.holds(0, 1), "{asked_again}");
    }
}
