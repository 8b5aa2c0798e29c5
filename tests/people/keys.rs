//! Idempotency keys: one message however often it is sent, whichever way it comes.

use serde_json::{Value, json};

use super::messages::pair;
use crate::harness::{Options, Server, new_key};

#[tokio::test(flavor = "multi_thread")]
async fn a_key_sends_once_however_often_and_whichever_way_it_comes() {
    let server = Server::start().await;
    let (alice, _bob, group) = pair(&server).await;
    let key = new_key();
    let path = format!("/conversations/{group}/messages");
    let post = async |text: &str| {
        alice
            .rest
            .answer("POST", &path, Some(json!({"text": text})), Some(&key))
            .await
            .unwrap()
    };
    let first = post("once").await;
    assert_eq!(first.status, 201);
    let message = first.json()["data"].clone();
    let again = post("once").await;
    assert_eq!((again.status, &again.json()["data"]), (200, &message));
    let other = post("twice").await;
    assert_eq!(
        (other.status, &other.json()["error"]["code"]),
        (409, &json!("idempotency_conflict"))
    );

    let data = json!({"conversation": group, "text": "once"});
    let same = |reply: &Value| {
        assert_eq!(
            (&reply["message"]["id"], &reply["message"]["seq"]),
            (&message["id"], &message["seq"])
        )
    };
    let at_alice = alice.connect(&server).await;
    same(
        &at_alice
            .request_as(&key, "message:send", data.clone())
            .await
            .unwrap(),
    );
    drop(at_alice);
    let at_alice = alice.connect(&server).await;
    same(
        &at_alice
            .request_as(&key, "message:send", data.clone())
            .await
            .unwrap(),
    );
    let conflict = at_alice
        .request_as(
            &key,
            "message:send",
            json!({"conversation": group, "text": "twice"}),
        )
        .await;
    assert_eq!(conflict.unwrap_err().code, "idempotency_conflict");

    // An edit has a key of its own, and the send's repeat shows the message as it is.
    let edit = new_key();
    let change = json!({"message": message["id"], "text": "once, edited"});
    let edited = at_alice
        .request_as(&edit, "message:edit", change.clone())
        .await
        .unwrap();
    let repeated = at_alice
        .request_as(&edit, "message:edit", change.clone())
        .await
        .unwrap();
    assert_eq!(repeated["message"]["editCount"], 1);
    assert_eq!(repeated["message"]["rev"], edited["message"]["rev"]);

    assert_eq!(alice.history(&group).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_is_known_after_kill9_too() {
    let server = Options::new().port_kept().start().await;
    let (alice, _bob, group) = pair(&server).await;
    let (key, edit) = (new_key(), new_key());
    let message = alice
        .say_as(&group, &key, json!({"text": "once"}))
        .await
        .unwrap();
    let data = json!({"conversation": group, "text": "once"});
    let change = json!({"message": message["id"], "text": "once, edited"});
    let at_alice = alice.connect(&server).await;
    at_alice
        .request_as(&edit, "message:edit", change.clone())
        .await
        .unwrap();

    server.kill9();
    server.restart().await;
    let at_alice = alice.connect(&server).await;
    let same = |reply: &Value| {
        assert_eq!(
            (&reply["message"]["id"], &reply["message"]["seq"]),
            (&message["id"], &message["seq"])
        );
    };
    same(
        &at_alice
            .request_as(&key, "message:send", data)
            .await
            .unwrap(),
    );
    let repeated = at_alice
        .request_as(&edit, "message:edit", change)
        .await
        .unwrap();
    assert_eq!(repeated["message"]["editCount"], 1);
    let path = format!("/conversations/{group}/messages");
    let again = alice
        .rest
        .answer("POST", &path, Some(json!({"text": "once"})), Some(&key))
        .await
        .unwrap();
    assert_eq!(
        (again.status, &again.json()["data"]["id"]),
        (200, &message["id"])
    );
    let rows = alice.history(&group).await;
    assert_eq!((rows.len(), &rows[0]["text"]), (1, &json!("once, edited")));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_removed_learns_that_it_was_sent_and_no_more() {
    let server = Server::start().await;
    let (alice, bob, group) = pair(&server).await;
    let at_bob = bob.connect(&server).await;
    let (key, body) = (new_key(), json!({"text": "said in time"}));
    let data = json!({"conversation": group, "text": "said in time"});
    let sent = at_bob
        .request_as(&key, "message:send", data.clone())
        .await
        .unwrap();
    let sent = &sent["message"];
    let path = format!("/conversations/{group}");
    alice
        .rest
        .delete(&format!("{path}/participants/{}", bob.id))
        .await
        .unwrap();

    let place = json!({"message": sent["id"], "seq": sent["seq"], "epoch": sent["epoch"]});
    let again = at_bob.request_as(&key, "message:send", data.clone()).await;
    assert_eq!(again.unwrap(), place);
    let path = format!("{path}/messages");
    let again = bob.rest.answer("POST", &path, Some(body), Some(&key)).await;
    let again = again.unwrap();
    assert_eq!((again.status, &again.json()["data"]), (200, &place));
    let fresh = at_bob.request_as(&new_key(), "message:send", data).await;
    assert_eq!(fresh.unwrap_err().code, "not_a_member");
    assert_eq!(alice.history(&group).await.len(), 1);
}
