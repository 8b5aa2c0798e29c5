//! Too much from one user, one session or one user's devices, with the rate limits on.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use super::lives;
use crate::harness::{Account, Options, SOON, Socket, eventually};

#[tokio::test(flavor = "multi_thread")]
async fn a_user_who_sends_too_much_is_slowed_down_on_both_ways() {
    let options = Options::new()
        .rates_on()
        .limit("commands_per_user_per_s", 1);
    let server = options.start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let socket = alice.connect(&server).await;
    let path = format!("/conversations/{group}/messages");
    let (mut sent, mut over_rest, mut over_socket) = (0, false, false);
    // Ten may come at once, then one a second.
    for _ in 0..200 {
        let rest = alice.rest.post(&path, json!({"text": "x"}));
        let answers = [
            (rest.await, &mut over_rest),
            (socket.say(&group, "x").await, &mut over_socket),
        ];
        for (answer, refused) in answers {
            match answer {
                Ok(_) => sent += 1,
                Err(refusal) => {
                    assert_eq!(refusal.code, "rate_limited");
                    assert!(refusal.error["retryAfterMs"].as_u64() > Some(0));
                    *refused = true;
                }
            }
        }
        if over_rest && over_socket {
            break;
        }
    }
    assert!(over_rest && over_socket && sent >= 8, "{sent} were sent");
    // Her flood is hers alone.
    bob.say(&group, "I was quiet so far").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_goes_on_and_on_is_closed() {
    let options = Options::new()
        .rates_on()
        .limit("frames_per_session_per_s", 1);
    let server = options.start().await;
    let alice = Account::register(&server, "alice").await;
    let socket = alice.connect(&server).await;
    // Ten are taken, a hundred refused, then it is enough.
    for id in 0..400 {
        let ping = json!({"id": id, "type": "session:ping", "data": {}});
        socket.write(Message::text(ping.to_string()));
    }
    assert_eq!(socket.close_code().await, 4101);
    lives(&server).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_has_so_many_sockets_and_one_more_is_refused() {
    let options = Options::new().limit("sessions_per_user_max", 2);
    let server = options.start().await;
    let alice = Account::register(&server, "alice").await;
    let one = alice.connect(&server).await;
    let _two = alice.connect(&server).await;
    let three = Socket::open(server.address(), &alice.access, json!([])).await;
    assert_eq!(three.map(drop).unwrap_err().code, "overloaded");
    Account::register(&server, "bob")
        .await
        .connect(&server)
        .await;
    // A place that is left can be taken.
    drop(one);
    eventually("a place", SOON, async || {
        let again = Socket::open(server.address(), &alice.access, json!([])).await;
        again.ok().map(drop)
    })
    .await;
}
