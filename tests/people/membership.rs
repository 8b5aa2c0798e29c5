//! Members: added, removed, joining, leaving, and what their roles allow.

use serde_json::{Value, json};

use crate::harness::account::seq_of;
use crate::harness::{Account, Refusal, Server, eventually, new_key};

async fn people(server: &Server) -> (Account, Account, Account) {
    let alice = Account::register(server, "alice").await;
    let bob = Account::register(server, "bob").await;
    (alice, bob, Account::register(server, "carol").await)
}

async fn add(by: &Account, conversation: &str, whom: &Account) -> Result<Value, Refusal> {
    by.rest
        .post(
            &format!("/conversations/{conversation}/participants"),
            json!({"userIds": [whom.id]}),
        )
        .await
}

async fn remove(by: &Account, conversation: &str, whom: &Account) -> Result<Value, Refusal> {
    by.rest
        .delete(&format!(
            "/conversations/{conversation}/participants/{}",
            whom.id
        ))
        .await
}

async fn promote(
    by: &Account,
    conversation: &str,
    whom: &Account,
    role: &str,
) -> Result<Value, Refusal> {
    by.rest
        .patch(
            &format!("/conversations/{conversation}/participants/{}", whom.id),
            json!({"role": role}),
        )
        .await
}

fn code(result: Result<Value, Refusal>) -> String {
    result.map_or_else(|refusal| refusal.code, |data| format!("allowed: {data}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_added_sees_from_then_on() {
    let server = Server::start().await;
    let (alice, bob, carol) = people(&server).await;
    let group = alice.group(&[&bob]).await;
    let before = seq_of(&alice.say(&group, "before carol").await);
    let (at_bob, at_carol) = (bob.connect(&server).await, carol.connect(&server).await);
    add(&alice, &group, &carol).await.unwrap();
    let added = at_bob
        .event("carol added", |event| {
            event.kind == "participant:added"
                && event.data["participant"]["user"]["id"] == carol.id.as_str()
        })
        .await;
    let participant = &added.data["participant"];
    assert_eq!(
        (&participant["role"], &participant["state"]),
        (&json!("member"), &json!("active"))
    );
    assert_eq!(participant["user"]["username"], carol.username.as_str());
    let created = at_carol
        .event("conversation:created", |event| {
            event.kind == "conversation:created"
        })
        .await;
    assert_eq!(created.data["conversation"]["id"], group.as_str());

    let after = seq_of(&alice.say(&group, "after carol").await);
    at_carol
        .event("the message", |event| event.seq == Some(after))
        .await;
    at_carol.expect_no_faults();
    let seen = carol.conversation(&group).await;
    let from = seen["me"]["fromSeq"].as_u64().unwrap();
    assert_eq!(Some(from), added.seq);
    assert!(before < from && from < after);
    let texts: Vec<Value> = carol
        .history(&group)
        .await
        .into_iter()
        .map(|mut message| message["text"].take())
        .collect();
    assert_eq!(texts, [json!("after carol")]);
    let hidden = carol
        .rest
        .get(&format!("/conversations/{group}/messages?around={before}"))
        .await
        .unwrap();
    assert!(
        hidden["data"]
            .as_array()
            .unwrap()
            .iter()
            .all(|message| seq_of(message) >= from),
        "{hidden}"
    );
    let old = &alice.history(&group).await[0];
    let single = carol
        .rest
        .get(&format!("/messages/{}", old["id"].as_str().unwrap()))
        .await
        .unwrap_err();
    assert_eq!(single.code, "not_found");
    // Adding a member again changes nothing.
    let count = alice.conversation(&group).await["memberCount"].clone();
    add(&alice, &group, &carol).await.unwrap();
    assert_eq!(alice.conversation(&group).await["memberCount"], count);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_gets_that_and_nothing_after() {
    let server = Server::start().await;
    let (alice, bob, carol) = people(&server).await;
    let group = alice.group(&[&bob, &carol]).await;
    let (at_alice, at_bob) = (alice.connect(&server).await, bob.connect(&server).await);
    let said = bob.say(&group, "hello").await;
    at_bob.reaches(&group, seq_of(&said)).await;
    let cursors = at_bob.cursors();
    remove(&alice, &group, &bob).await.unwrap();
    let removed = at_bob.event_of("participant:removed", &group).await;
    assert_eq!(
        (&removed.data["user"], &removed.data["by"]),
        (&json!(bob.id), &json!(alice.id))
    );
    let after = alice.say(&group, "without bob").await;
    at_alice.reaches(&group, seq_of(&after)).await;

    let path = format!("/conversations/{group}");
    for (method, path, body) in [
        ("GET", format!("{path}/messages"), None),
        ("GET", format!("{path}/participants"), None),
        (
            "POST",
            format!("{path}/messages"),
            Some(json!({"text": "still here?"})),
        ),
        ("POST", format!("{path}/read"), Some(json!({"seq": 1}))),
        (
            "GET",
            format!("/messages/{}", said["id"].as_str().unwrap()),
            None,
        ),
        (
            "PATCH",
            format!("/messages/{}", said["id"].as_str().unwrap()),
            Some(json!({"text": "changed"})),
        ),
        (
            "POST",
            format!("/messages/{}/reactions", said["id"].as_str().unwrap()),
            Some(json!({"emoji": "👍"})),
        ),
    ] {
        let refusal = bob
            .rest
            .call(method, &path, body, Some(&new_key()))
            .await
            .unwrap_err();
        assert_eq!(
            (refusal.status, refusal.code.as_str()),
            (403, "not_a_member"),
            "{method} {path}"
        );
    }
    let send = at_bob.say(&group, "or here?").await.unwrap_err();
    assert_eq!(send.code, "not_a_member");
    let resumed = at_bob
        .request("session:resume", json!({"cursors": cursors}))
        .await
        .unwrap();
    assert_eq!(
        resumed["gone"][0]["conversation"],
        group.as_str(),
        "{resumed}"
    );
    assert_eq!(resumed["gone"][0]["reason"], "not_a_member");
    // The session is alive, and what it got of the group ends with the removal.
    at_bob.request("session:ping", json!({})).await.unwrap();
    assert_eq!(
        at_bob.log(&group).last().and_then(|event| event.seq),
        removed.seq
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn channels_are_joined_and_left_over_both_ways() {
    let server = Server::start().await;
    let (alice, bob, carol) = people(&server).await;
    let channel = alice.channel().await;
    alice.say(&channel, "welcome").await;
    let (at_bob, at_carol) = (bob.connect(&server).await, carol.connect(&server).await);
    at_bob
        .request_as(
            &new_key(),
            "conversation:join",
            json!({"conversation": channel}),
        )
        .await
        .unwrap();
    carol
        .rest
        .post(&format!("/conversations/{channel}/join"), json!({}))
        .await
        .unwrap();
    for socket in [&at_bob, &at_carol] {
        socket
            .event("conversation:created", |event| {
                event.kind == "conversation:created"
            })
            .await;
    }
    assert_eq!(bob.conversation(&channel).await["memberCount"], 3);
    assert_eq!(bob.conversation(&channel).await["me"]["fromSeq"], 1);
    assert_eq!(
        bob.history(&channel).await.len(),
        1,
        "public channels show what was before"
    );
    // Again is harmless.
    at_bob
        .request_as(
            &new_key(),
            "conversation:join",
            json!({"conversation": channel}),
        )
        .await
        .unwrap();

    let said = seq_of(&at_bob.say(&channel, "hello").await.unwrap());
    at_carol.reaches(&channel, said).await;
    at_bob
        .request_as(
            &new_key(),
            "conversation:leave",
            json!({"conversation": channel}),
        )
        .await
        .unwrap();
    carol
        .rest
        .post(&format!("/conversations/{channel}/leave"), json!({}))
        .await
        .unwrap();
    let count = async || (alice.conversation(&channel).await["memberCount"] == 1).then_some(());
    eventually("both left", crate::harness::SOON, count).await;
    assert_eq!(
        at_bob.say(&channel, "gone").await.unwrap_err().code,
        "not_a_member"
    );
    at_bob.expect_no_faults();
    at_carol.expect_no_faults();
    // Back again, with what was said meanwhile.
    alice.say(&channel, "meanwhile").await;
    bob.rest
        .post(&format!("/conversations/{channel}/join"), json!({}))
        .await
        .unwrap();
    assert_eq!(bob.history(&channel).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_and_private_channels_are_not_joined() {
    let server = Server::start().await;
    let (alice, bob, carol) = people(&server).await;
    let group = alice.group(&[&bob]).await;
    assert_eq!(
        code(
            carol
                .rest
                .post(&format!("/conversations/{group}/join"), json!({}))
                .await
        ),
        "not_found"
    );
    remove(&alice, &group, &bob).await.unwrap();
    let back = code(
        bob.rest
            .post(&format!("/conversations/{group}/join"), json!({}))
            .await,
    );
    assert!(back == "forbidden" || back == "not_a_member", "{back}");
}

#[tokio::test(flavor = "multi_thread")]
async fn members_and_moderators_may_what_their_role_says() {
    let server = Server::start().await;
    let (alice, bob, carol) = people(&server).await;
    let dave = Account::register(&server, "dave").await;
    let group = alice.group(&[&bob, &carol]).await;
    let at_carol = carol.connect(&server).await;

    // A member does none of it.
    assert_eq!(code(add(&bob, &group, &dave).await), "forbidden");
    assert_eq!(code(remove(&bob, &group, &carol).await), "forbidden");
    assert_eq!(
        code(promote(&bob, &group, &bob, "admin").await),
        "forbidden"
    );
    let carols = carol.say(&group, "mine").await;
    let carols = format!("/messages/{}", carols["id"].as_str().unwrap());
    assert_eq!(code(bob.rest.delete(&carols).await), "forbidden");

    // A moderator deletes and removes those below, and no more.
    promote(&alice, &group, &bob, "moderator").await.unwrap();
    let updated = at_carol.event_of("participant:updated", &group).await;
    assert_eq!(updated.data["participant"]["role"], "moderator");
    bob.rest.delete(&carols).await.unwrap();
    assert_eq!(
        code(bob.rest.patch(&carols, json!({"text": "not mine"})).await),
        "forbidden"
    );
    assert_eq!(code(add(&bob, &group, &dave).await), "forbidden");
    assert_eq!(code(remove(&bob, &group, &alice).await), "forbidden");
    assert_eq!(
        code(promote(&bob, &group, &carol, "moderator").await),
        "forbidden"
    );

    at_carol.expect_no_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn admins_add_and_promote_and_one_owns() {
    let server = Server::start().await;
    let (alice, bob, carol) = people(&server).await;
    let dave = Account::register(&server, "dave").await;
    let group = alice.group(&[&bob, &carol]).await;
    let at_carol = carol.connect(&server).await;
    promote(&alice, &group, &bob, "admin").await.unwrap();

    // An admin adds and promotes below the own role.
    add(&bob, &group, &dave).await.unwrap();
    promote(&bob, &group, &carol, "moderator").await.unwrap();
    assert_eq!(
        code(promote(&bob, &group, &carol, "owner").await),
        "forbidden"
    );
    assert_eq!(code(remove(&bob, &group, &alice).await), "forbidden");
    bob.rest
        .patch(
            &format!("/conversations/{group}"),
            json!({"title": "by an admin"}),
        )
        .await
        .unwrap();
    assert_eq!(
        code(bob.rest.delete(&format!("/conversations/{group}")).await),
        "forbidden"
    );
    remove(&bob, &group, &dave).await.unwrap();

    // The owner does not leave without handing over.
    let leave = format!("/conversations/{group}/leave");
    assert_eq!(code(alice.rest.post(&leave, json!({})).await), "conflict");
    promote(&alice, &group, &bob, "owner").await.unwrap();
    let listed = alice
        .rest
        .get(&format!("/conversations/{group}/participants"))
        .await
        .unwrap();
    let owners = listed["data"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|one| one["role"] == "owner");
    let owners: Vec<&Value> = owners.map(|owner| &owner["user"]["id"]).collect();
    assert_eq!(owners, [&json!(bob.id)]);
    alice.rest.post(&leave, json!({})).await.unwrap();
    assert_eq!(
        code(
            alice
                .rest
                .get(&format!("/conversations/{group}/messages"))
                .await
        ),
        "not_a_member"
    );
    at_carol.expect_no_faults();
}
