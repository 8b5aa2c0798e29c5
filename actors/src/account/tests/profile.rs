//! Profiles.

use fanfare_protocol::rest::UpdateMe;
use fanfare_protocol::{Code, UserId};
use fanfare_storage::dying::Operation;
use uuid::Uuid;

use super::{HERE, House, registration};

#[tokio::test]
async fn a_profile_changes_field_by_field() {
    let house = House::new();
    let alice = registration("alice", "alice@example.org");
    let made = house.book.register(alice, None, HERE).await.unwrap();
    let id = made.tokens.user.id;
    let name = |name: &str| UpdateMe {
        display_name: Some(name.into()),
        bio: None,
    };
    let bio = |bio: &str| UpdateMe {
        display_name: None,
        bio: Some(bio.into()),
    };
    // At once: compare-and-set keeps both.
    let (one, two) = tokio::join!(
        house.book.update_me(id, name("Alice Liddell")),
        house.book.update_me(id, bio("down the hole"))
    );
    one.unwrap();
    two.unwrap();
    let user = house.book.user(id).await.unwrap();
    assert_eq!(user.display_name, "Alice Liddell");
    assert_eq!(user.bio.as_deref(), Some("down the hole"));
    assert_eq!(house.book.update_me(id, bio("")).await.unwrap().bio, None);
    let refusal = house.book.update_me(id, name("")).await.unwrap_err();
    assert!(refusal.details.contains_key("displayName"), "{refusal:?}");
    let refusal = house
        .book
        .update_me(id, bio(&"x".repeat(501)))
        .await
        .unwrap_err();
    assert!(refusal.details.contains_key("bio"), "{refusal:?}");
}

#[tokio::test]
async fn unknown_users_are_not_found_or_left_out() {
    let house = House::new();
    let mut ids = Vec::new();
    for name in ["alice", "bob"] {
        let request = registration(name, &format!("{name}@example.org"));
        let made = house.book.register(request, None, HERE).await.unwrap();
        ids.push(made.tokens.user.id);
    }
    let nobody = UserId(Uuid::nil());
    assert_eq!(
        house.book.user(nobody).await.unwrap_err().code,
        Code::NotFound
    );
    let users = house
        .book
        .users(vec![ids[1], nobody, ids[0]])
        .await
        .unwrap();
    let names: Vec<_> = users.iter().map(|user| user.username.as_str()).collect();
    assert_eq!(names, ["bob", "alice"]);
    for _ in 0..2 {
        let wanted = ["Bob".to_owned(), "carol".to_owned(), "bob".to_owned()];
        let found = house.book.resolve(&wanted).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found.get("bob"), Some(&ids[1]));
    }
    // Who was found is remembered, who was not is looked for again.
    let looked = house.switch.count(Operation::Claimed);
    house
        .book
        .resolve(&["alice".to_owned(), "BOB".to_owned()])
        .await
        .unwrap();
    assert_eq!(house.switch.count(Operation::Claimed), looked + 1);
}
