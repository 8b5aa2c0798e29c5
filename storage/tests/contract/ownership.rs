//! Slots, epochs, leases, readiness.

use fanfare_engine::lease::{LeaseRow, NodeName, Owner, SlotRow};
use fanfare_engine::port::Swap;
use fanfare_storage::Ports;
use futures_util::future::join_all;
use uuid::Uuid;

use crate::build::{case_number, user};

pub async fn each_claim_is_a_higher_epoch(ports: Ports) {
    // Where several may share the store, leases decide.
    let Some(port) = &ports.sole else { return };
    assert!(!port.holds(3, 1) && !port.holds(3, 0), "not before a claim");
    assert_eq!(port.serves(3), None);
    let first = port.claim_slots().await.unwrap();
    assert!(port.holds(0, first) && port.holds(1023, first));
    assert!(!port.holds(0, first + 1));
    let second = port.claim_slots().await.unwrap();
    assert!(second > first);
    assert_eq!(port.serves(7), Some(second));
    assert!(port.holds(0, second) && !port.holds(0, first));
    assert!(port.keeps(0, second) && !port.keeps(0, first));
}

pub async fn a_lease_changes_for_who_saw_it_last(ports: Ports) {
    let port = &ports.leases;
    // One name among the cases of a store.
    let node = NodeName::new(&format!("node {:?}", user(1))).unwrap();
    let row = |life, renewal, fenced| LeaseRow {
        incarnation: Uuid::from_u128(life),
        renewal,
        fenced,
    };
    let swap = |expected, next| port.swap_lease(node.clone(), expected, next);
    assert_eq!(port.lease(node.clone()).await.unwrap(), None);
    let (one, two) = (row(1, 1, false), row(1, 2, false));
    assert_eq!(swap(Some(one), two).await.unwrap(), Swap::Found(None));
    assert_eq!(swap(None, one).await.unwrap(), Swap::Applied);
    assert_eq!(swap(None, two).await.unwrap(), Swap::Found(Some(one)));
    assert_eq!(port.lease(node.clone()).await.unwrap(), Some(one));
    assert_eq!(swap(Some(one), two).await.unwrap(), Swap::Applied);
    // Every column counts.
    for other in [one, row(2, 2, false), row(1, 2, true)] {
        let found = swap(Some(other), row(3, 3, false)).await.unwrap();
        assert_eq!(found, Swap::Found(Some(two)));
    }
    let fenced = row(1, 3, true);
    assert_eq!(swap(Some(two), fenced).await.unwrap(), Swap::Applied);
    assert_eq!(port.lease(node.clone()).await.unwrap(), Some(fenced));
}

pub async fn a_slot_changes_for_who_saw_it_last(ports: Ports) {
    let port = &ports.leases;
    let slot = u16::from(case_number()) * 4;
    let owned = |name: &str, life, epoch| SlotRow {
        owner: Some(Owner {
            node: NodeName::new(name).unwrap(),
            incarnation: Uuid::from_u128(life),
        }),
        epoch,
    };
    let nobody = |epoch| SlotRow { owner: None, epoch };
    assert_eq!(port.slot(slot).await.unwrap(), None);
    let one = owned("a", 1, 1);
    let swap = |expected, next| port.swap_slot(slot, expected, next);
    assert_eq!(swap(None, one.clone()).await.unwrap(), Swap::Applied);
    assert_eq!(port.slot(slot).await.unwrap(), Some(one.clone()));
    for other in [
        owned("b", 1, 1),
        owned("a", 2, 1),
        owned("a", 1, 2),
        nobody(1),
    ] {
        let found = swap(Some(other), nobody(9)).await.unwrap();
        assert_eq!(found, Swap::Found(Some(one.clone())));
    }
    assert_eq!(swap(Some(one), nobody(1)).await.unwrap(), Swap::Applied);
    let next = owned("b", 2, 2);
    assert_eq!(
        swap(Some(nobody(1)), next.clone()).await.unwrap(),
        Swap::Applied
    );
    let other = owned("c", 3, 70_000);
    let beside = port.swap_slot(slot + 1, None, other.clone()).await.unwrap();
    assert_eq!(beside, Swap::Applied);
    let all = port.slots().await.unwrap();
    assert!(all.contains(&(slot, next)) && all.contains(&(slot + 1, other)));
    assert!(!all.iter().any(|(found, _)| *found == slot + 2));
}

pub async fn many_race_for_a_slot_and_one_wins(ports: Ports) {
    let port = &ports.leases;
    let slot = u16::from(case_number()) * 4;
    let claims = (1..=8).map(|life| {
        let owner = Owner {
            node: NodeName::new("racer").unwrap(),
            incarnation: Uuid::from_u128(life),
        };
        let owner = Some(owner);
        port.swap_slot(slot, None, SlotRow { owner, epoch: 1 })
    });
    let outcomes = join_all(claims).await;
    let won = outcomes.iter().filter(|it| **it == Ok(Swap::Applied));
    // Of those without an answer one may have been the winner.
    let unknown = outcomes.iter().filter(|it| it.is_err()).count();
    assert!(won.clone().count() == 1 || (won.count() == 0 && unknown > 0));
    assert_eq!(port.slot(slot).await.unwrap().unwrap().epoch, 1);
}

pub async fn the_store_is_ready(ports: Ports) {
    assert_eq!(ports.readiness.ready(), Ok(()));
}
