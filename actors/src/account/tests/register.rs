//! Registration: refusals, repeats, and death between every two steps.

use fanfare_engine::port::Scope;
use fanfare_protocol::Code;
use fanfare_protocol::rest::Register;

use super::{HERE, House, PASSWORD, login, registration};
use crate::rates::Rates;

#[tokio::test]
async fn alice_registers_and_her_names_are_hers() {
    let house = House::new();
    let alice = registration("Alice", "Alice@Example.org");
    let made = house.book.register(alice, None, HERE).await.unwrap();
    assert!(!made.repeated);
    let user = &made.tokens.user;
    assert_eq!(
        (user.username.as_str(), user.display_name.as_str()),
        ("Alice", "Alice")
    );
    assert_eq!(house.shelf.unsettled(), 0);
    for (username, email, field) in [
        ("aLICE", "other@example.org", "username"),
        ("other", "aLICE@example.ORG", "email"),
    ] {
        let refused = house
            .book
            .register(registration(username, email), None, HERE)
            .await;
        let refusal = refused.err().unwrap();
        assert_eq!(refusal.code, Code::AlreadyExists);
        assert!(refusal.details.contains_key(field), "{refusal:?}");
    }
    assert_eq!(house.shelf.accounts(), 1);
    // The refused one's free name stays free.
    assert!(house.shelf.claim_of(Scope::Username, "other").is_none());
}

#[tokio::test]
async fn bad_fields_are_named_before_anything_is_claimed() {
    let house = House::new();
    let good = registration("alice", "alice@example.org");
    let bad = [
        (
            "username",
            Register {
                username: "a b".into(),
                ..good.clone()
            },
        ),
        (
            "email",
            Register {
                email: "nobody".into(),
                ..good.clone()
            },
        ),
        (
            "password",
            Register {
                password: "short".into(),
                ..good.clone()
            },
        ),
        (
            "displayName",
            Register {
                display_name: Some(String::new()),
                ..good
            },
        ),
    ];
    for (field, request) in bad {
        let refused = house.book.register(request, Some("k"), HERE).await;
        let refusal = refused.err().unwrap();
        assert_eq!(refusal.code, Code::InvalidRequest);
        assert!(refusal.details.contains_key(field), "{refusal:?}");
    }
    assert_eq!(house.shelf.accounts() + house.shelf.unsettled(), 0);
}

#[tokio::test]
async fn a_repeat_gets_the_same_account_and_another_body_a_conflict() {
    let house = House::new();
    let alice = || registration("alice", "alice@example.org");
    let register = async |request| house.book.register(request, Some("key-1"), HERE).await;
    let first = register(alice()).await.unwrap();
    let again = register(alice()).await.unwrap();
    assert!(again.repeated);
    assert_eq!(again.tokens.user.id, first.tokens.user.id);
    for other in [
        registration("alicia", "alicia@example.org"),
        registration("alice", "alicia@example.org"),
        Register {
            display_name: Some("A".into()),
            ..alice()
        },
        Register {
            password: "another password".into(),
            ..alice()
        },
    ] {
        let refusal = register(other).await.err().unwrap();
        assert_eq!(refusal.code, Code::IdempotencyConflict);
    }
    let refused = house.book.register(alice(), Some("key-2"), HERE).await;
    assert_eq!(refused.err().unwrap().code, Code::AlreadyExists);
    assert_eq!(house.shelf.accounts(), 1);
}

#[tokio::test]
async fn two_who_want_one_name_at_once_get_one_account() {
    let house = House::new();
    let one = registration("alice", "one@example.org");
    let two = registration("alice", "two@example.org");
    let (one, two) = tokio::join!(
        house.book.register(one, None, HERE),
        house.book.register(two, None, HERE)
    );
    assert_eq!(usize::from(one.is_ok()) + usize::from(two.is_ok()), 1);
    assert_eq!(house.shelf.accounts(), 1);
    assert_eq!(house.shelf.unsettled(), 0);
}

/// Alice's registration dies after each number of writes; then a new process.
async fn died(writes: u64) -> Option<House> {
    let house = House::new();
    house.shelf.die_after(writes);
    let alice = registration("alice", "alice@example.org");
    let died = house.book.register(alice, Some("key"), HERE).await;
    house.shelf.revive();
    let refusal = died.err()?;
    // Once the username is claimed, somebody may finish it.
    let expected = match writes {
        0 | 1 => Code::Unavailable,
        2..=5 => Code::OutcomeUnknown,
        _ => Code::Unavailable,
    };
    assert_eq!(refusal.code, expected, "after {writes} writes");
    Some(house.restarted())
}

#[tokio::test]
async fn a_crash_anywhere_lets_alice_repeat() {
    let mut deaths = 0;
    while let Some(house) = died(deaths).await {
        let alice = registration("alice", "alice@example.org");
        let made = house.book.register(alice, Some("key"), HERE).await.unwrap();
        assert_eq!(house.shelf.accounts(), 1, "after {deaths} writes");
        assert_eq!(house.shelf.unsettled(), 0, "after {deaths} writes");
        let by_mail = house
            .book
            .login(login("alice@example.org", PASSWORD), HERE)
            .await
            .unwrap();
        assert_eq!(by_mail.user.id, made.tokens.user.id);
        deaths += 1;
    }
    // Key, username, e-mail, account, two settled, log-in.
    assert_eq!(deaths, 7);
}

#[tokio::test]
async fn a_crash_anywhere_orphans_no_username() {
    let mut deaths = 0;
    while let Some(house) = died(deaths).await {
        let other = registration("alice", "bob@example.org");
        let got = house.book.register(other, None, HERE).await;
        assert_eq!(house.shelf.unsettled(), 0, "after {deaths} writes");
        match got {
            Ok(made) => assert_eq!(made.tokens.user.username, "alice"),
            // Then Alice has it and can log in.
            Err(refusal) => {
                assert_eq!(refusal.code, Code::AlreadyExists);
                house
                    .book
                    .login(login("alice", PASSWORD), HERE)
                    .await
                    .unwrap();
            }
        }
        assert_eq!(house.shelf.accounts(), 1, "after {deaths} writes");
        deaths += 1;
    }
    assert_eq!(deaths, 7);
}

#[tokio::test]
async fn a_crash_anywhere_orphans_no_address() {
    let mut deaths = 0;
    while let Some(house) = died(deaths).await {
        let other = registration("bob", "alice@example.org");
        let got = house.book.register(other, None, HERE).await;
        match got {
            Ok(_) => {
                // Alice's username is free, though her claim may still stand.
                let alice = registration("alice", "new@example.org");
                house.book.register(alice, None, HERE).await.unwrap();
                assert_eq!(house.shelf.accounts(), 2);
            }
            Err(refusal) => {
                assert_eq!(refusal.code, Code::AlreadyExists);
                house
                    .book
                    .login(login("alice", PASSWORD), HERE)
                    .await
                    .unwrap();
                let bob = registration("bob", "bob@example.org");
                house.book.register(bob, None, HERE).await.unwrap();
            }
        }
        assert_eq!(house.shelf.unsettled(), 0, "after {deaths} writes");
        deaths += 1;
    }
    assert_eq!(deaths, 7);
}

#[tokio::test]
async fn who_logs_in_or_is_mentioned_first_finishes_it_too() {
    for writes in 3..6 {
        let house = died(writes).await.unwrap();
        house
            .book
            .login(login("alice", PASSWORD), HERE)
            .await
            .unwrap();
        assert_eq!(house.shelf.unsettled(), 0);
        let house = died(writes).await.unwrap();
        let found = house
            .book
            .resolve(&["Alice".into(), "bob".into()])
            .await
            .unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(house.shelf.unsettled(), 0);
    }
}

#[tokio::test]
async fn registrations_are_limited_per_address() {
    let limits = fanfare_protocol::Limits::default();
    let house = House::over(Default::default(), Rates::on(&limits));
    let mut refused = None;
    for n in 0..=limits.auth_per_address_per_min {
        // Taken after the first: no hash is computed.
        let same = registration("alice", "alice@example.org");
        let refusal = house.book.register(same, None, HERE).await.err();
        assert_eq!(refusal.is_none(), n == 0);
        refused = refusal;
    }
    assert_eq!(refused.unwrap().code, Code::RateLimited);
}
