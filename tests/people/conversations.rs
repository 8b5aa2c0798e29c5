//! Conversations: direct, group, channel; lists, changes, the end.

use std::cmp::Reverse;

use serde_json::{Value, json};

use crate::harness::account::id_of;
use crate::harness::{Account, Server, new_key, unique};

/// The ids in a list of conversations.
fn ids(list: &Value) -> Vec<String> {
    list["data"].as_array().unwrap().iter().map(id_of).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pair_has_one_direct_conversation() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let with = |other: &Account| Some(json!({"kind": "direct", "participantIds": [other.id]}));

    let first = alice
        .rest
        .answer("POST", "/conversations", with(&bob), None)
        .await
        .unwrap();
    assert_eq!(first.status, 201, "{:?}", first.json());
    let direct = &first.json()["data"];
    assert_eq!(
        (&direct["kind"], &direct["memberCount"]),
        (&json!("direct"), &json!(2))
    );
    assert_eq!(direct["me"]["fromSeq"], 1);
    for (who, other) in [(&alice, &bob), (&bob, &alice)] {
        let again = who
            .rest
            .answer("POST", "/conversations", with(other), None)
            .await
            .unwrap();
        assert_eq!(again.status, 200);
        assert_eq!(again.json()["data"]["id"], direct["id"]);
    }
    let direct = id_of(direct);
    alice.say(&direct, "just us").await;
    assert_eq!(
        ids(&bob.rest.get("/conversations").await.unwrap()),
        [direct.as_str()]
    );

    let alone = alice
        .rest
        .post("/conversations", with(&alice).unwrap())
        .await
        .unwrap_err();
    assert_eq!(
        (alone.status, alone.code.as_str()),
        (422, "invalid_request")
    );
    let carol = Account::register(&server, "carol").await;
    let foreign = carol
        .rest
        .get(&format!("/conversations/{direct}"))
        .await
        .unwrap_err();
    assert_eq!((foreign.status, foreign.code.as_str()), (404, "not_found"));
    let kicked = alice
        .rest
        .delete(&format!("/conversations/{direct}/participants/{}", bob.id))
        .await
        .unwrap_err();
    assert_eq!(kicked.code, "forbidden");
}

#[tokio::test(flavor = "multi_thread")]
async fn alice_makes_a_group_and_bob_hears_of_it_at_once() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let (at_alice, at_bob) = (alice.connect(&server).await, bob.connect(&server).await);
    let group = alice
        .create(json!({"kind": "group", "title": "Gruppe ✓", "description": "d", "participantIds": [bob.id]}))
        .await;
    let id = id_of(&group);
    for (field, expected) in [
        ("kind", json!("group")),
        ("title", json!("Gruppe ✓")),
        ("memberCount", json!(2)),
        ("visibility", json!("private")),
    ] {
        assert_eq!(group[field], expected, "{field}");
    }
    assert_eq!(group["me"]["role"], "owner");
    for (socket, role) in [(&at_alice, "owner"), (&at_bob, "member")] {
        let created = socket
            .event("conversation:created", |event| {
                event.kind == "conversation:created"
            })
            .await;
        assert_eq!(created.seq, None);
        assert_eq!(id_of(&created.data["conversation"]), id);
        assert_eq!(created.data["conversation"]["me"]["role"], role);
    }
    alice.say(&id, "hello").await;
    at_bob.event_of("message:received", &id).await;
    at_alice.event_of("message:received", &id).await;
    at_alice.expect_no_faults();
    at_bob.expect_no_faults();

    let untitled = alice
        .rest
        .post(
            "/conversations",
            json!({"kind": "group", "participantIds": [bob.id]}),
        )
        .await
        .unwrap_err();
    assert!(untitled.detail("title").is_some(), "{untitled:?}");
    let nobody = json!({"kind": "group", "title": "x", "participantIds": ["0199f0a2-0000-7000-8000-000000000000"]});
    let nobody = alice.rest.post("/conversations", nobody).await.unwrap_err();
    assert!(
        ["invalid_request", "not_found"].contains(&nobody.code.as_str()),
        "{nobody:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_creation_repeated_under_its_key_makes_one_conversation() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let key = new_key();
    let body = json!({"kind": "group", "title": "once", "participantIds": []});
    let create = async |body: &Value| {
        alice
            .rest
            .call("POST", "/conversations", Some(body.clone()), Some(&key))
            .await
    };
    let first = create(&body).await.unwrap();
    let again = create(&body).await.unwrap();
    assert_eq!(first["data"]["id"], again["data"]["id"]);
    let other = create(&json!({"kind": "group", "title": "twice", "participantIds": []}))
        .await
        .unwrap_err();
    assert_eq!(
        (other.status, other.code.as_str()),
        (409, "idempotency_conflict")
    );
    assert_eq!(
        ids(&alice.rest.get("/conversations").await.unwrap()).len(),
        1
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slug_is_had_once_and_private_channels_are_unknown_to_strangers() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let slug = unique("news-");
    let channel = |slug: &str, visibility: &str| json!({"kind": "channel", "title": "News", "slug": slug, "visibility": visibility});
    let public = alice.create(channel(&slug, "public")).await;
    assert_eq!(
        (&public["slug"], &public["joinPolicy"]),
        (&json!(slug), &json!("open"))
    );
    let taken = bob
        .rest
        .post("/conversations", channel(&slug, "public"))
        .await
        .unwrap_err();
    assert_eq!((taken.status, taken.code.as_str()), (409, "already_exists"));
    let private = alice.create(channel(&unique("secret-"), "private")).await;
    assert_eq!(private["joinPolicy"], "invite");

    let seen = bob
        .rest
        .get(&format!("/conversations/{}", id_of(&public)))
        .await
        .unwrap();
    assert_eq!(seen["data"]["title"], "News");
    let id = id_of(&private);
    for (method, path) in [
        ("GET", format!("/conversations/{id}")),
        ("GET", format!("/conversations/{id}/messages")),
        ("GET", format!("/conversations/{id}/participants")),
        ("POST", format!("/conversations/{id}/join")),
    ] {
        let unknown = bob.rest.call(method, &path, None, None).await.unwrap_err();
        assert_eq!(
            (unknown.status, unknown.code.as_str()),
            (404, "not_found"),
            "{method} {path}"
        );
    }
    // By its slug the same people see the same.
    let by_slug = |slug: &str| format!("/conversations/by-slug/{slug}");
    let seen = bob.rest.get(&by_slug(&slug)).await.unwrap();
    assert_eq!(seen["data"]["id"], public["id"]);
    let hidden = private["slug"].as_str().unwrap();
    let own = alice.rest.get(&by_slug(hidden)).await.unwrap();
    assert_eq!(own["data"]["id"], private["id"]);
    for unknown in [hidden, "nobody-has-this", "No Slug"] {
        let path = by_slug(&unknown.replace(' ', "%20"));
        let refused = bob.rest.get(&path).await.unwrap_err();
        assert_eq!(
            (refused.status, refused.code.as_str()),
            (404, "not_found"),
            "{unknown}"
        );
    }
    // A public one is known, but read by members only.
    let unread = bob
        .rest
        .get(&format!("/conversations/{}/messages", id_of(&public)))
        .await
        .unwrap_err();
    assert_eq!((unread.status, unread.code.as_str()), (403, "not_a_member"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_list_is_by_last_activity_and_pages() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let mut groups = Vec::new();
    for _ in 0..5 {
        groups.push(alice.group(&[&bob]).await);
    }
    let mut active = Vec::new();
    for at in [3, 0, 4, 1, 2] {
        let sent = bob.say(&groups[at], &format!("in {at}")).await;
        let sent_at = sent["sentAt"].as_str().unwrap().to_owned();
        active.push((Reverse(sent_at), groups[at].clone()));
    }
    // Times have milliseconds; within one the id decides.
    active.sort();
    let newest_text = groups.iter().position(|group| *group == active[0].1);
    let newest_text = format!("in {}", newest_text.unwrap());
    let expected: Vec<String> = active.into_iter().map(|(_, group)| group).collect();
    let whole = alice.rest.get("/conversations").await.unwrap();
    assert_eq!(ids(&whole), expected);
    let newest = &whole["data"][0];
    assert_eq!(
        (&newest["lastMessage"]["text"], &newest["me"]["unread"]),
        (&json!(newest_text), &json!(1))
    );

    let mut paged = Vec::new();
    let mut cursor = String::new();
    for _ in 0..5 {
        let page = alice
            .rest
            .get(&format!("/conversations?limit=2{cursor}"))
            .await
            .unwrap();
        assert!(page["data"].as_array().unwrap().len() <= 2);
        paged.extend(ids(&page));
        match page["meta"]["nextCursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(paged, expected);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_group_is_renamed_and_everybody_hears_what_changed() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let at_bob = bob.connect(&server).await;
    let path = format!("/conversations/{group}");
    let changed = alice
        .rest
        .patch(&path, json!({"title": "renamed"}))
        .await
        .unwrap();
    assert_eq!(changed["data"]["title"], "renamed");
    let event = at_bob.event_of("conversation:updated", &group).await;
    assert!(event.seq.is_some());
    assert_eq!(event.data["title"], "renamed");
    assert!(
        event.data.get("description").is_none(),
        "only what changed: {event:?}"
    );
    assert_eq!(bob.conversation(&group).await["title"], "renamed");

    let forbidden = bob
        .rest
        .patch(&path, json!({"title": "mine"}))
        .await
        .unwrap_err();
    assert_eq!(
        (forbidden.status, forbidden.code.as_str()),
        (403, "forbidden")
    );
    let long = alice
        .rest
        .patch(&path, json!({"title": "x".repeat(2000)}))
        .await
        .unwrap_err();
    assert!(
        long.code == "too_large" || long.detail("title").is_some(),
        "{long:?}"
    );
    let kind = alice
        .rest
        .patch(&path, json!({"kind": "channel"}))
        .await
        .unwrap_err();
    assert!(kind.detail("kind").is_some(), "{kind:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_deleted_group_is_gone_for_all() {
    let server = Server::start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let kept = alice.group(&[&bob]).await;
    alice.say(&group, "the last word").await;
    alice.say(&kept, "another").await;
    let at_bob = bob.connect(&server).await;
    let cursors = at_bob.cursors();
    let path = format!("/conversations/{group}");
    assert_eq!(bob.rest.delete(&path).await.unwrap_err().code, "forbidden");
    alice.rest.delete(&path).await.unwrap();

    at_bob.event_of("conversation:deleted", &group).await;
    for who in [&alice, &bob] {
        let gone = who.rest.get(&path).await.unwrap_err();
        assert!(
            ["gone", "not_found"].contains(&gone.code.as_str()),
            "{gone:?}"
        );
        let history = who.rest.get(&format!("{path}/messages")).await.unwrap_err();
        assert!(
            ["gone", "not_found", "not_a_member"].contains(&history.code.as_str()),
            "{history:?}"
        );
        assert_eq!(
            ids(&who.rest.get("/conversations").await.unwrap()),
            [kept.as_str()]
        );
    }
    let send = bob
        .say_as(&group, &new_key(), json!({"text": "hello?"}))
        .await
        .unwrap_err();
    assert!(
        ["gone", "not_found", "not_a_member"].contains(&send.code.as_str()),
        "{send:?}"
    );
    let back = crate::harness::Socket::open(server.address(), &bob.access, cursors)
        .await
        .unwrap();
    assert_eq!(back.gone(), [group]);
    assert!(back.cursor(&kept).is_some());
}
