//! Registration: refusals, repeats, and death between every two steps.

use fanfare_engine::port::Scope;
use fanfare_protocol::Code;
use fanfare_protocol::rest::Register;
use fanfare_storage::dying::{Fault, Operation};

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
    assert!(is_whole(&house).await);
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
    // The refused one's free name stays free.
    assert!(house.claim_of(Scope::Username, "other").await.is_none());
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
    assert_eq!(house.switch.operations(), 0);
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
    assert_eq!(house.switch.count(Operation::PutAccount), 1);
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
    assert!(house.is_settled(Scope::Username, "alice").await);
}

const FAULTS: [Fault; 3] = [
    Fault::Unavailable,
    Fault::UnknownPerformed,
    Fault::UnknownNotPerformed,
];

/// Alice's registration dies at this step; then comes a new process.
async fn died(step: u64, fault: Fault) -> Option<House> {
    let house = House::new();
    house.switch.die_at(step, fault);
    let alice = registration("alice", "alice@example.org");
    let died = house.book.register(alice, Some("key"), HERE).await;
    let refusal = died.err()?;
    house.switch.revive();
    let begun = house.claim_of(Scope::Username, "alice").await.is_some();
    let settled = house.is_settled(Scope::Username, "alice").await;
    if begun && !settled {
        assert_eq!(
            refusal.code,
            Code::OutcomeUnknown,
            "others may finish step {step}"
        );
    }
    Some(house.restarted())
}

/// Does the same after a death at every step, in every way.
async fn after_each_death(then: impl AsyncFn(House)) {
    for fault in FAULTS {
        let mut steps = 0;
        while let Some(house) = died(steps + 1, fault).await {
            then(house).await;
            steps += 1;
        }
        // Claim of the key, two looks for its names, claims of username and
        // e-mail, account, two settled, the log-in.
        assert_eq!(steps, 9, "{fault:?}");
    }
}

async fn is_whole(house: &House) -> bool {
    house.is_settled(Scope::Username, "alice").await
        && house.is_settled(Scope::Email, "alice@example.org").await
}

#[tokio::test]
async fn a_crash_anywhere_lets_alice_repeat() {
    after_each_death(async |house| {
        let alice = registration("alice", "alice@example.org");
        let made = house.book.register(alice, Some("key"), HERE).await.unwrap();
        assert!(is_whole(&house).await);
        let login = login("alice@example.org", PASSWORD);
        let tokens = house.book.login(login, HERE).await.unwrap();
        assert_eq!(tokens.user.id, made.tokens.user.id);
    })
    .await;
}

#[tokio::test]
async fn a_crash_anywhere_orphans_no_username() {
    after_each_death(async |house| {
        let other = registration("alice", "bob@example.org");
        match house.book.register(other, None, HERE).await {
            Ok(made) => {
                assert_eq!(made.tokens.user.username, "alice");
                let mail = house.claim_of(Scope::Email, "alice@example.org").await;
                assert!(mail.is_none(), "she got no further than her key");
            }
            // Then Alice has it and can log in.
            Err(refusal) => {
                assert_eq!(refusal.code, Code::AlreadyExists);
                let login = login("alice", PASSWORD);
                house.book.login(login, HERE).await.unwrap();
                assert!(is_whole(&house).await);
            }
        }
    })
    .await;
}

#[tokio::test]
async fn a_crash_anywhere_orphans_no_address() {
    after_each_death(async |house| {
        let other = registration("bob", "alice@example.org");
        match house.book.register(other, None, HERE).await {
            Ok(_) => {
                // Alice's claim may still stand, but she has not her name.
                let alice = registration("alice", "new@example.org");
                house.book.register(alice, None, HERE).await.unwrap();
                assert!(house.is_settled(Scope::Username, "alice").await);
            }
            Err(refusal) => {
                assert_eq!(refusal.code, Code::AlreadyExists);
                let login = login("alice", PASSWORD);
                house.book.login(login, HERE).await.unwrap();
                assert!(is_whole(&house).await);
                // What Bob claimed on the way is free again.
                let bob = registration("bob", "bob@example.org");
                house.book.register(bob, None, HERE).await.unwrap();
            }
        }
    })
    .await;
}

#[tokio::test]
async fn who_logs_in_or_is_mentioned_first_finishes_it_too() {
    after_each_death(async |house| {
        if house.claim_of(Scope::Username, "alice").await.is_none() {
            return;
        }
        let found = house.book.resolve(&["Alice".into(), "bob".into()]).await;
        assert_eq!(found.unwrap().len(), 1);
        assert!(is_whole(&house).await);
    })
    .await;
    // The e-mail is claimed, the account is not written.
    let house = died(6, Fault::Unavailable).await.unwrap();
    assert!(!is_whole(&house).await);
    let login = login("alice@example.org", PASSWORD);
    house.book.login(login, HERE).await.unwrap();
    assert!(is_whole(&house).await);
}

#[tokio::test]
async fn two_who_finish_it_at_once_come_to_one_end() {
    let house = died(6, Fault::Unavailable).await.unwrap();
    let again = registration("alice", "alice@example.org");
    let (one, two, three) = tokio::join!(
        house.book.login(login("alice", PASSWORD), HERE),
        house.book.login(login("alice@example.org", PASSWORD), HERE),
        house.book.register(again, Some("key"), HERE),
    );
    let id = one.unwrap().user.id;
    assert_eq!(two.unwrap().user.id, id);
    assert_eq!(three.unwrap().tokens.user.id, id);
    assert!(is_whole(&house).await);
}

#[tokio::test]
async fn registrations_are_limited_per_address() {
    // The next one is allowed after a minute: no machine is as busy as that.
    let limits = fanfare_protocol::Limits {
        auth_per_address_per_min: 1,
        ..fanfare_protocol::Limits::default()
    };
    let house = House::with(Rates::on(&limits));
    let alice = registration("alice", "alice@example.org");
    house.book.register(alice, None, HERE).await.unwrap();
    let bob = registration("bob", "bob@example.org");
    let refusal = house.book.register(bob, None, HERE).await.err();
    assert_eq!(refusal.unwrap().code, Code::RateLimited);
}
