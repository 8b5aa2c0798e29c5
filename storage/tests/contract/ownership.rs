//! Slots, epochs, readiness.

use fanfare_storage::Ports;

pub async fn each_claim_is_a_higher_epoch(ports: Ports) {
    let port = &ports.ownership;
    assert!(!port.holds(3, 1) && !port.holds(3, 0), "not before a claim");
    let first = port.claim_slots().await.unwrap();
    assert!(port.holds(0, first) && port.holds(1023, first));
    assert!(!port.holds(0, first + 1));
    let second = port.claim_slots().await.unwrap();
    assert!(second > first);
    assert!(port.holds(0, second) && !port.holds(0, first));
}

pub async fn the_store_is_ready(ports: Ports) {
    assert_eq!(ports.readiness.ready(), Ok(()));
}
