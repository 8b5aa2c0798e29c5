//! Claims.

use bytes::Bytes;
use fanfare_engine::port::{Claim, ClaimOutcome, ClaimRow, Scope};
use fanfare_protocol::Timestamp;
use fanfare_protocol::limits::CLAIM_NAME_BYTES_MAX;
use fanfare_storage::Ports;
use tokio::task::JoinSet;

use crate::build::name;

const NOW: Timestamp = Timestamp(5000);

fn row(owner: u8) -> ClaimRow {
    ClaimRow {
        owner: [owner; 16],
        intent: Bytes::from(format!("what {owner} wants")),
        expires_at: None,
    }
}

fn claim(name: &str, row: ClaimRow) -> Claim {
    Claim {
        scope: Scope::Slug,
        name: crate::build::name(name),
        row,
    }
}

pub async fn a_name_has_one_owner(ports: Ports) {
    let names = &ports.names;
    let claimed = async |row| names.claim(claim("rust", row), NOW).await.unwrap();
    assert_eq!(claimed(row(1)).await, ClaimOutcome::Mine);
    assert_eq!(claimed(row(2)).await, ClaimOutcome::Taken(row(1)));
    assert_eq!(claimed(row(1)).await, ClaimOutcome::Mine);
    let stored = names.claimed(Scope::Slug, name("rust")).await.unwrap();
    assert_eq!(stored, Some(row(1)));
    for other in ["rus", "rust2", ""] {
        let stored = names.claimed(Scope::Slug, name(other)).await.unwrap();
        assert_eq!(stored, None);
    }
    let long = "x".repeat(CLAIM_NAME_BYTES_MAX + 1);
    assert!(names.claim(claim(&long, row(1)), NOW).await.is_err());
}

pub async fn many_race_and_one_wins(ports: Ports) {
    for round in 0..20 {
        let mut race = JoinSet::new();
        for owner in 0..16 {
            let names = ports.names.clone();
            race.spawn(async move {
                let claim = claim(&format!("name {round}"), row(owner));
                (owner, names.claim(claim, NOW).await.unwrap())
            });
        }
        let outcomes = race.join_all().await;
        let mine: Vec<_> = outcomes
            .iter()
            .filter(|(_, outcome)| *outcome == ClaimOutcome::Mine)
            .collect();
        assert_eq!(mine.len(), 1);
        let winner = row(mine[0].0);
        let taken = ClaimOutcome::Taken(winner);
        assert_eq!(outcomes.iter().filter(|(_, o)| *o == taken).count(), 15);
    }
}

pub async fn a_claim_is_settled_and_given_back(ports: Ports) {
    let names = &ports.names;
    let settle = async |owner| {
        let settled = names.settle(Scope::Slug, name("rust"), [owner; 16]);
        settled.await.unwrap()
    };
    let release = async |owner| {
        let released = names.release(Scope::Slug, name("rust"), [owner; 16]);
        released.await.unwrap()
    };
    assert!(!settle(1).await && !release(1).await, "nobody has it");
    names.claim(claim("rust", row(1)), NOW).await.unwrap();
    assert!(!settle(2).await, "not theirs");
    assert!(settle(1).await && settle(1).await);
    let stored = names.claimed(Scope::Slug, name("rust")).await.unwrap();
    assert!(stored.unwrap().is_settled());
    // Its repeat leaves it settled.
    names.claim(claim("rust", row(1)), NOW).await.unwrap();
    let stored = names.claimed(Scope::Slug, name("rust")).await.unwrap();
    assert!(stored.unwrap().is_settled());
    assert!(!release(2).await);
    assert!(release(1).await && !release(1).await);
    let second = names.claim(claim("rust", row(2)), NOW).await.unwrap();
    assert_eq!(second, ClaimOutcome::Mine);
}

pub async fn a_claim_ends(ports: Ports) {
    let names = &ports.names;
    let until = |owner, end| ClaimRow {
        expires_at: Some(Timestamp(end)),
        ..row(owner)
    };
    let at = async |row, now| {
        let claim = claim("key", row);
        names.claim(claim, Timestamp(now)).await.unwrap()
    };
    assert_eq!(at(until(1, -50), -100).await, ClaimOutcome::Mine);
    let taken = ClaimOutcome::Taken(until(1, -50));
    assert_eq!(at(until(2, 900), -60).await, taken);
    assert_eq!(at(until(2, 900), 600).await, ClaimOutcome::Mine);
    let taken = ClaimOutcome::Taken(until(2, 900));
    assert_eq!(at(row(3), 700).await, taken);
    assert_eq!(at(row(3), 901).await, ClaimOutcome::Mine);
    assert_eq!(at(row(4), i64::MAX).await, ClaimOutcome::Taken(row(3)));
}

pub async fn scopes_do_not_touch(ports: Ports) {
    let scopes = [
        Scope::Username,
        Scope::Email,
        Scope::Slug,
        Scope::Pair,
        Scope::Request,
    ];
    for (owner, scope) in (1..).zip(scopes) {
        let claim = Claim {
            scope,
            ..claim("same", row(owner))
        };
        let outcome = ports.names.claim(claim, NOW).await.unwrap();
        assert_eq!(outcome, ClaimOutcome::Mine);
    }
    for (owner, scope) in (1..).zip(scopes) {
        let stored = ports.names.claimed(scope, name("same")).await.unwrap();
        assert_eq!(stored, Some(row(owner)));
    }
}

pub async fn used_keys_do_not_gather(ports: Ports) {
    let names = &ports.names;
    let at = async |n: u64, now, end| {
        let row = ClaimRow {
            expires_at: Some(Timestamp(end)),
            ..row(1)
        };
        let claim = claim(&format!("key {n}"), row);
        let outcome = names.claim(claim, Timestamp(now)).await.unwrap();
        assert_eq!(outcome, ClaimOutcome::Mine);
    };
    let stored = async || {
        let mut stored = Vec::new();
        for n in 0..40 {
            let claim = names.claimed(Scope::Slug, name(&format!("key {n}")));
            stored.extend(claim.await.unwrap().map(|_| n));
        }
        stored
    };
    for n in 0..20 {
        at(n, 50, 100).await;
    }
    assert_eq!(stored().await, (0..20).collect::<Vec<_>>());
    // One that ended is claimed anew, and keeps its new end.
    at(5, 105, 500).await;
    for n in 20..40 {
        at(n, 200, 500).await;
    }
    let mut left = vec![5];
    left.extend(20..40);
    assert_eq!(stored().await, left, "those that ended are gone");
}
