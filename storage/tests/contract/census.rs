//! Everything there is, part by part, and single values.

use std::collections::BTreeSet;

use bytes::Bytes;
use fanfare_engine::effect::Set;
use fanfare_engine::port::{Claim, ClaimRow, Part, Place, Scope, Single};
use fanfare_protocol::{ConversationId, SessionId, Timestamp};
use fanfare_storage::Ports;
use uuid::Uuid;

use crate::build::{account, conversation, effects, family, name, rows, user};

/// All parts of a list that holds more than one case's things: those of ours.
async fn listed<T>(
    mut part: impl AsyncFnMut(Option<Place>) -> Part<T>,
    ours: impl Fn(&T) -> bool,
) -> Vec<T> {
    let (mut found, mut from) = (Vec::new(), None);
    loop {
        let part = part(from.clone()).await;
        if part.next.is_some() {
            assert_ne!(part.next, from, "it goes on");
        }
        found.extend(part.items.into_iter().filter(|item| ours(item)));
        from = part.next;
        if from.is_none() {
            return found;
        }
    }
}

pub async fn every_log_is_listed_once(ports: Ports) {
    let ids: BTreeSet<ConversationId> = (1..=7).map(conversation).collect();
    for id in &ids {
        ports.log.append(1, rows(*id, 1..=3, 1)).await.unwrap();
    }
    // More than one bucket is still one log.
    let long = conversation(7);
    ports
        .log
        .append(1, rows(long, 8193..=8194, 1))
        .await
        .unwrap();
    for limit in [1, 3, 1000] {
        let part = async |from| ports.census.all_conversations(from, limit).await.unwrap();
        let found = listed(part, |id| ids.contains(id)).await;
        assert_eq!(found.len(), ids.len(), "limit {limit}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), ids);
    }
}

pub async fn accounts_log_ins_and_claims_are_listed(ports: Ports) {
    let users: BTreeSet<_> = (1..=5).map(user).collect();
    let sessions: BTreeSet<SessionId> = (1..=5)
        .map(|n| SessionId::from_bytes(*user(n).as_bytes()))
        .collect();
    for n in 1..=5 {
        let new = account(user(n), "A", 3);
        assert!(ports.accounts.put_account(new, None).await.unwrap());
    }
    for session in &sessions {
        let new = family(*session, 1, 2);
        assert!(ports.tokens.put_family(new, None).await.unwrap());
    }
    let claims: Vec<Claim> = [
        Scope::Username,
        Scope::Email,
        Scope::Slug,
        Scope::Pair,
        Scope::Request,
    ]
    .into_iter()
    .zip(1..)
    .map(|(scope, n)| Claim {
        scope,
        name: name("a näme"),
        row: ClaimRow {
            owner: [n; 16],
            intent: Bytes::from(vec![n; 3]),
            expires_at: (n == 5).then_some(Timestamp(86_400_000)),
        },
    })
    .collect();
    for claim in &claims {
        ports
            .names
            .claim(claim.clone(), Timestamp(0))
            .await
            .unwrap();
    }
    for limit in [1, 2, 100] {
        let part = async |from| ports.census.all_accounts(from, limit).await.unwrap();
        let found = listed(part, |account| users.contains(&account.user.id)).await;
        let found: Vec<_> = found.iter().map(|account| account.user.id).collect();
        assert_eq!(
            (found.len(), found.into_iter().collect()),
            (5, users.clone())
        );
        let part = async |from| ports.census.all_families(from, limit).await.unwrap();
        let found = listed(part, |family| sessions.contains(&family.session)).await;
        let found: Vec<_> = found.iter().map(|family| family.session).collect();
        assert_eq!(
            (found.len(), found.into_iter().collect()),
            (5, sessions.clone())
        );
        let part = async |from| ports.census.all_claims(from, limit).await.unwrap();
        let found = listed(part, |claim| claims.contains(claim)).await;
        assert_eq!(found.len(), claims.len());
    }
}

pub async fn mentions_come_in_pages_withdrawn_ones_too(ports: Ports) {
    let log = conversation(1);
    let named = [(3, true), (9, false), (10, true)];
    let notes = named.map(|(message, on)| {
        let user = user(1);
        (message, Set::Mention { user, message, on })
    });
    ports
        .log
        .apply(effects(log, 1, notes.to_vec()))
        .await
        .unwrap();
    let page = async |after, limit| {
        let page = ports.census.mentions_of(log, user(1), after, limit);
        page.await.unwrap()
    };
    assert_eq!(page(0, 10).await, named);
    assert_eq!(page(0, 2).await, named[..2]);
    assert_eq!(page(9, 10).await, named[2..]);
    assert_eq!(page(10, 10).await, []);
    let other = ports.census.mentions_of(conversation(2), user(1), 0, 10);
    assert_eq!(other.await.unwrap(), []);
}

pub async fn single_values_are_compared_and_set(ports: Ports) {
    let single = Single::Value(Uuid::now_v7().to_string());
    let put = async |value: &'static str, expected: Option<&'static str>| {
        let (value, expected) = (Bytes::from(value), expected.map(Bytes::from));
        let put = ports.singles.put_single(single.clone(), value, expected);
        put.await.unwrap()
    };
    let get = async || ports.singles.single(single.clone()).await.unwrap();
    assert_eq!(get().await, None);
    assert!(!put("b", Some("a")).await);
    assert!(put("a", None).await);
    assert!(
        put("a", None).await,
        "the repeat of a write whose answer was lost"
    );
    assert!(!put("b", None).await);
    assert!(put("b", Some("a")).await);
    assert!(!put("c", Some("a")).await);
    assert_eq!(get().await, Some(Bytes::from("b")));
    let Single::Value(name) = &single else { return };
    let all = ports.census.all_values().await.unwrap();
    assert!(all.contains(&(name.clone(), Bytes::from("b"))));
    // What a copy notes is none of the values that travel.
    let copy = ports
        .singles
        .put_single(Single::Copy, Bytes::from("x"), None);
    assert!(copy.await.unwrap());
    let all = ports.census.all_values().await.unwrap();
    assert!(all.iter().all(|(_, value)| value != "x"));
}

pub async fn epochs_go_on_above_what_they_were_raised_to(ports: Ports) {
    let sole = ports.sole.as_ref().unwrap();
    let first = sole.claim_slots().await.unwrap();
    assert_eq!(ports.singles.newest_epoch().await.unwrap(), first);
    ports.singles.raise_epoch(first + 1000).await.unwrap();
    ports.singles.raise_epoch(3).await.unwrap();
    assert_eq!(ports.singles.newest_epoch().await.unwrap(), first + 1000);
    assert_eq!(sole.claim_slots().await.unwrap(), first + 1001);
}
