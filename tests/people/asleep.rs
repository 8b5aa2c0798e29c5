//! Sessions that have nothing to do: they give their actor back, and nobody
//! can tell.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::socket::Socket;
use crate::harness::{Account, Options, SOON, Server, eventually};

const HEARTBEAT_MS: u64 = 300;

async fn server() -> Server {
    Options::new()
        .limit("heartbeat_ms", HEARTBEAT_MS)
        .limit("sessions_per_user_max", 3)
        .start()
        .await
}

async fn all_sleep(server: &Server) {
    eventually("every session sleeps", SOON, async || {
        (server.metric("fanfare_session_actors").await == 0.0).then_some(())
    })
    .await;
}

async fn subscribed(socket: &Socket) -> Value {
    let info = socket.request("session:info", json!({})).await.unwrap();
    info["subscribed"].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sleeps_gets_everything_and_wakes_for_what_is_said_and_done() {
    let server = server().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let socket = bob.connect(&server).await;
    assert_eq!(server.metric("fanfare_session_actors").await, 1.0);
    all_sleep(&server).await;

    // Delivery wakes nobody.
    let first = alice.say(&group, "are you there?").await;
    socket.reaches(&group, first["seq"].as_u64().unwrap()).await;
    assert_eq!(server.metric("fanfare_session_actors").await, 0.0);

    // A frame does, and finds everything as it was.
    assert_eq!(subscribed(&socket).await, json!([group]));
    assert_eq!(server.metric("fanfare_session_actors").await, 1.0);
    let said = socket.say(&group, "now I am").await.unwrap();
    socket.reaches(&group, said["seq"].as_u64().unwrap()).await;
    all_sleep(&server).await;

    // So does a membership that begins, and one that ends.
    let second = alice.group(&[&bob]).await;
    socket.event_of("conversation:created", &second).await;
    all_sleep(&server).await;
    let path = format!("/conversations/{group}/participants/{}", bob.id);
    alice.rest.delete(&path).await.unwrap();
    eventually("the subscription has ended", SOON, async || {
        (subscribed(&socket).await == json!([second])).then_some(())
    })
    .await;
    all_sleep(&server).await;
    let last = alice.say(&second, "and here?").await;
    socket.reaches(&second, last["seq"].as_u64().unwrap()).await;
    socket.expect_no_faults();
}

#[tokio::test(flavor = "multi_thread")]
async fn who_sleeps_can_be_closed_and_leaves_its_place() {
    let server = server().await;
    let alice = Account::register(&server, "alice").await;
    for _ in 0..3 {
        let sockets = [
            alice.connect(&server).await,
            alice.connect(&server).await,
            alice.connect(&server).await,
        ];
        all_sleep(&server).await;
        drop(sockets);
        eventually("all are gone", SOON, async || {
            (server.metric("fanfare_sockets").await == 0.0).then_some(())
        })
        .await;
    }
    let socket = alice.connect(&server).await;
    all_sleep(&server).await;
    let log_out = json!({"refreshToken": alice.refresh});
    let answer = alice
        .rest
        .answer("POST", "/auth/logout", Some(log_out), None);
    assert_eq!(answer.await.unwrap().status, 204);
    assert_eq!(socket.close_code().await, 4201);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_talks_in_every_heartbeat_keeps_its_actor() {
    let server = server().await;
    let alice = Account::register(&server, "alice").await;
    let socket = alice.connect(&server).await;
    let start = std::time::Instant::now();
    while start.elapsed() < Duration::from_millis(6 * HEARTBEAT_MS) {
        socket.request("session:ping", json!({})).await.unwrap();
        tokio::time::sleep(Duration::from_millis(HEARTBEAT_MS / 10)).await;
    }
    assert_eq!(server.metric("fanfare_session_actors").await, 1.0);
}
