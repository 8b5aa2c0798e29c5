//! A node's own lease: taken, renewed, lapsed, lost.

use fanfare_protocol::limits::{LEASE_MARGIN_MS, LEASE_MS, LEASE_RENEW_MS, LEASE_RETRY_MS};

use super::node::{Node, fenced, life, name, owned, row};
use super::rows::Rows;
use crate::lease::{Effect, Input, LeaseRow};

const ALICE: &str = "alice";

fn lease_of(rows: &Rows) -> Option<LeaseRow> {
    rows.leases.get(&name(ALICE)).copied()
}

fn rows_with(found: Option<LeaseRow>) -> Rows {
    let mut rows = Rows::default();
    rows.leases.extend(found.map(|row| (name(ALICE), row)));
    rows
}

#[test]
fn a_lease_that_nobody_can_hold_is_taken_at_once() {
    let table = [
        (None, false, true),
        (None, true, true),
        (Some(fenced(9, 4)), false, true),
        // Of a process that this folder's lock has outlived.
        (Some(row(9, 4)), true, true),
        // Of a process that may run elsewhere, with a copy of the folder.
        (Some(row(9, 4)), false, false),
    ];
    for (found, folder_locked, taken) in table {
        let mut rows = rows_with(found);
        let mut alice = Node::started(ALICE, 1, folder_locked);
        alice.serve(&mut rows);
        assert_eq!(alice.is_held(), taken, "{found:?} {folder_locked}");
        let next = found.map_or(1, |row| row.renewal + 1);
        let expected = if taken { Some(row(1, next)) } else { found };
        assert_eq!(lease_of(&rows), expected);
    }
}

#[test]
fn an_earlier_life_is_waited_for() {
    let mut rows = rows_with(Some(row(9, 4)));
    let mut alice = Node::started(ALICE, 1, false);
    alice.serve(&mut rows);
    alice.run(LEASE_MS + LEASE_MARGIN_MS - 100, &mut rows);
    assert_eq!(lease_of(&rows), Some(row(9, 4)), "not before the margin");
    alice.run(500, &mut rows);
    assert_eq!(lease_of(&rows), Some(row(1, 5)));
    assert!(alice.is_held());

    // It lives: whenever its row changes, the time starts over.
    let mut rows = rows_with(Some(row(9, 4)));
    let mut alice = Node::started(ALICE, 1, false);
    for renewal in 5..9 {
        alice.run(LEASE_MS, &mut rows);
        rows.leases.insert(name(ALICE), row(9, renewal));
    }
    alice.run(LEASE_MS + LEASE_MARGIN_MS - 100, &mut rows);
    assert_eq!(lease_of(&rows), Some(row(9, 8)));
    alice.run(1000, &mut rows);
    assert!(alice.is_held());

    // So it does after an outage, in which it could not renew either.
    let mut rows = rows_with(Some(row(9, 4)));
    let mut alice = Node::started(ALICE, 1, false);
    alice.run(LEASE_MS, &mut rows);
    alice.run_in_outage(2 * LEASE_MS);
    alice.run(LEASE_MS, &mut rows);
    assert!(!alice.is_held());
    alice.run(LEASE_MARGIN_MS + 500, &mut rows);
    assert!(alice.is_held());
}

#[test]
fn it_is_renewed_in_time() {
    let mut rows = Rows::default();
    let mut alice = Node::started(ALICE, 1, true);
    alice.serve(&mut rows);
    for _ in 0..600 {
        alice.run(100, &mut rows);
        assert!(alice.is_held());
    }
    let renewals = 60_000 / LEASE_RENEW_MS;
    assert_eq!(lease_of(&rows), Some(row(1, 1 + renewals)));
    assert_eq!(alice.said(), []);
}

#[test]
fn a_lapse_is_told_by_both_clocks() {
    const HOUR: i64 = 3_600_000;
    let lease = i64::try_from(LEASE_MS).unwrap();
    let table = [
        (LEASE_MS - 1, lease - 1, true),
        (LEASE_MS, lease, false),
        // Suspended: only one of the clocks noticed.
        (HOUR as u64, 0, false),
        (0, HOUR, false),
        // The wall clock was set.
        (100, 100 + lease - 100, true),
        (100, 101 + lease, false),
        (100, -lease, true),
        (100, -lease - 1, false),
        // It may go either way within the lease.
        (LEASE_MS - 1, 0, true),
    ];
    for (boot_ms, wall_ms, held) in table {
        let mut rows = Rows::default();
        let mut alice = Node::started(ALICE, 1, true);
        alice.serve(&mut rows);
        alice.now.boot_ms += boot_ms;
        alice.now.wall_ms += wall_ms;
        assert_eq!(alice.is_held(), held, "{boot_ms} {wall_ms}");
    }
}

#[test]
fn it_counts_from_before_the_request() {
    let mut rows = Rows::default();
    let mut alice = Node::started(ALICE, 1, true);
    alice.answer(&mut rows);
    // The swap is asked for now, and answered late.
    let asked_at = alice.now.boot_ms;
    alice.sleep(3000);
    alice.answer(&mut rows);
    alice.now.boot_ms = asked_at + LEASE_MS - 1;
    assert!(alice.is_held());
    alice.now.boot_ms += 1;
    assert!(!alice.is_held());
}

/// What may have become of a swap without an answer, and of the lease then.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lost {
    NotWritten,
    Written,
    Fenced,
}

#[test]
fn a_lost_renewal_is_settled_by_a_read() {
    for lost in [Lost::NotWritten, Lost::Written, Lost::Fenced] {
        let mut rows = Rows::default();
        let mut alice = Node::owning(ALICE, 1, 1, &mut rows);
        while alice.asked.is_empty() {
            alice.tick();
        }
        let asked_at = alice.now.boot_ms;
        alice.fail((lost == Lost::Written).then_some(&mut rows));
        if lost == Lost::Fenced {
            rows.leases.insert(name(ALICE), fenced(1, 2));
        }
        assert_eq!(alice.asked, [], "not at once");
        alice.sleep(LEASE_RETRY_MS);
        alice.hear(Input::Tick);
        assert!(matches!(alice.asked[..], [Effect::ReadLease { .. }]));
        alice.serve(&mut rows);
        if lost == Lost::Fenced {
            let give_up = Effect::GiveUp { slot: 0, epoch: 1 };
            assert_eq!(alice.said(), [give_up, Effect::Fenced]);
            assert!(!alice.holds(0, 1));
            continue;
        }
        assert_eq!(lease_of(&rows), Some(row(1, 2)), "{lost:?}");
        // Which of two requests wrote it nobody knows: the first counts.
        alice.now.boot_ms = asked_at + LEASE_MS - 1;
        assert!(alice.holds(0, 1), "{lost:?}");
        alice.now.boot_ms += 1;
        assert!(!alice.is_held(), "{lost:?}");
    }
}

#[test]
fn a_lost_taking_is_settled_by_a_read() {
    for lost in [Lost::NotWritten, Lost::Written, Lost::Fenced] {
        let mut rows = Rows::default();
        let mut alice = Node::started(ALICE, 1, false);
        alice.answer(&mut rows);
        alice.fail((lost == Lost::Written).then_some(&mut rows));
        if lost == Lost::Fenced {
            // Another process of the name was faster, and ended.
            rows.leases.insert(name(ALICE), fenced(9, 2));
        }
        alice.run(1000, &mut rows);
        let renewal = if lost == Lost::Fenced { 3 } else { 1 };
        assert_eq!(lease_of(&rows), Some(row(1, renewal)), "{lost:?}");
        assert!(alice.is_held());
        assert_eq!(alice.said(), [], "nothing was lost");
    }
}

#[test]
fn a_read_that_fails_is_asked_again() {
    let mut rows = Rows::default();
    let mut alice = Node::started(ALICE, 1, false);
    alice.run_in_outage(10_000);
    assert!(!alice.is_held());
    alice.run(1000, &mut rows);
    assert!(alice.is_held());
}

#[test]
fn a_lapsed_lease_that_nobody_fenced_comes_back_as_it_was() {
    let mut rows = Rows::default();
    let mut alice = Node::owning(ALICE, 1, 3, &mut rows);
    alice.run_in_outage(60_000);
    assert!(!alice.holds(2, 1) && alice.lease.admits(2, alice.now).is_none());
    assert_eq!(alice.lease.epoch(2), Some(1), "it is not given up");
    alice.run(1000, &mut rows);
    assert!((0..3).all(|slot| alice.holds(slot, 1)));
    assert_eq!(alice.lease.admits(2, alice.now), Some(1));
    assert_eq!(alice.said(), [], "nobody is told to do anything");
    assert_eq!(rows.slots[&2], owned(ALICE, 1, 1));
}

#[test]
fn whoever_was_fenced_goes_on_without_slots() {
    let mut rows = Rows::default();
    let mut alice = Node::owning(ALICE, 1, 3, &mut rows);
    rows.leases.insert(name(ALICE), fenced(1, 8));
    alice.run(LEASE_RENEW_MS, &mut rows);
    let mut expected: Vec<Effect> = (0..3)
        .map(|slot| Effect::GiveUp { slot, epoch: 1 })
        .collect();
    expected.push(Effect::Fenced);
    assert_eq!(alice.said(), expected);
    // Nothing is asked or answered until it has a new life.
    alice.run(10_000, &mut rows);
    assert_eq!((alice.said(), alice.is_held()), (vec![], false));
    assert_eq!(lease_of(&rows), Some(fenced(1, 8)));

    alice.hear(Input::Start(life(2)));
    assert_eq!(alice.lease.owned_of_wanted(), (0, 3));
    assert!((0..3).all(|slot| !alice.holds(slot, 1)));
    alice.serve(&mut rows);
    assert_eq!(lease_of(&rows), Some(row(2, 9)));
    let claimed: Vec<Effect> = (0..3).map(|slot| Effect::Own { slot, epoch: 2 }).collect();
    assert_eq!(alice.said(), claimed);
    assert!(alice.holds(0, 2) && !alice.holds(0, 1));
}

#[test]
fn answers_of_an_earlier_life_say_nothing() {
    let mut rows = Rows::default();
    let mut alice = Node::owning(ALICE, 1, 1, &mut rows);
    while alice.asked.is_empty() {
        alice.tick();
    }
    let late = rows.perform(&alice.asked.remove(0));
    alice.hear(Input::Start(life(2)));
    assert_eq!(alice.said(), [Effect::GiveUp { slot: 0, epoch: 1 }]);
    alice.hear(late);
    assert!(!alice.is_held());
    alice.serve(&mut rows);
    assert!(alice.holds(0, 2));
}
