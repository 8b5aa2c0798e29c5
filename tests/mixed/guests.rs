//! People who come and go in the hall, and visitors over REST.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::harness::account::id_of;
use crate::harness::events::{EventSession, Said};
use crate::harness::inbox::Inbox;
use crate::harness::socket::Opening;
use crate::harness::{Account, Dice, Keep, unique};

use super::house::House;

/// How far a session rewinds at most.
const REWIND: u64 = 5;

/// Connects, stays a while, is gone, and comes back from its cursors, until the end.
/// Gives how often.
pub async fn churn(house: &House, at: usize, until: Instant, seed: u64) -> u64 {
    let mut dice = Dice::new(seed);
    let (mut cursors, mut visits) = (json!([]), 0);
    let account = &house.churners[at];
    while Instant::now() < until {
        let socket = house
            .socket(at + visits, account, cursors, Keep::Cursors)
            .await;
        assert_eq!(socket.hello["resync"], json!([]), "of {}", account.username);
        visits += 1;
        stay(&mut dice, house).await;
        if dice.roll(4) == 0 {
            let mut here = socket.cursor(&house.hall).unwrap();
            here.seq = here.seq.saturating_sub(dice.roll(REWIND));
            let rewound = json!({"cursors": [{
                "conversation": house.hall, "epoch": here.epoch, "seq": here.seq,
            }]});
            socket.request("session:resume", rewound).await.unwrap();
            stay(&mut dice, house).await;
        }
        if dice.roll(3) == 0 {
            // With a close frame; else the connection only breaks.
            socket.write(Message::Close(None));
            socket.close_code().await;
        }
        socket.expect_no_faults();
        cursors = socket.cursors();
    }
    visits as u64
}

/// The same without WebSocket: an event stream down, marks by POST. Gives how often.
pub async fn stream(house: &House, at: usize, until: Instant, seed: u64) -> u64 {
    let mut dice = Dice::new(seed);
    let (mut cursors, mut visits) = (json!([]), 0);
    let account = &house.churners[at];
    while Instant::now() < until {
        let opened = EventSession::open(&house.server, account, cursors).await;
        let (session, mut events) = opened.unwrap();
        visits += 1;
        let mut inbox = Inbox::default();
        inbox.place(&session.begun);
        assert!(inbox.resync.is_empty(), "of {}", account.username);
        let hears = async {
            loop {
                match events.next().await {
                    Said::Frame(frame) => inbox.take(&frame.to_string(), Keep::Cursors),
                    Said::Comment => {}
                    other => panic!("{other:?} on the stream of {}", account.username),
                }
            }
        };
        tokio::select! {
            () = hears => {}
            () = stay(&mut dice, house) => {}
        }
        let seq = inbox.cursors[&house.hall].seq;
        let mark = json!({"conversation": house.hall, "seq": seq});
        let mark = json!({"type": "message:read", "data": mark});
        session.say(mark).await.unwrap();
        assert_eq!(
            inbox.faults,
            Vec::<String>::new(),
            "of {}",
            account.username
        );
        cursors = inbox.places();
    }
    visits
}

async fn stay(dice: &mut Dice, house: &House) {
    let stay_ms = 20 + dice.roll(house.form.stay_ms_max);
    tokio::time::sleep(Duration::from_millis(stay_ms)).await;
}

/// Joins the hall and leaves it, by REST and by socket in turns.
pub async fn joins_and_leaves(house: &House, account: &Account, until: Instant) {
    let path = format!("/conversations/{}", house.hall);
    let hall = || json!({"conversation": house.hall});
    while Instant::now() < until {
        let socket = account.connect(&house.server).await;
        account
            .rest
            .post(&format!("{path}/join"), json!({}))
            .await
            .unwrap();
        socket.request("conversation:leave", hall()).await.unwrap();
        socket.request("conversation:join", hall()).await.unwrap();
        account
            .rest
            .post(&format!("{path}/leave"), json!({}))
            .await
            .unwrap();
        tokio::time::sleep(house.form.visit_pace).await;
    }
}

/// Reads lists and pages, and writes once in a while.
pub async fn browses(house: &House, account: &Account, until: Instant, seed: u64) {
    let mut dice = Dice::new(seed);
    let mut head = 1;
    while Instant::now() < until {
        let at = 1 + dice.roll(head);
        let messages = format!("/conversations/{}/messages", house.hall);
        for path in [
            format!("{messages}?limit=50"),
            format!("{messages}?around={at}&limit=20"),
            format!("{messages}?before={at}"),
            format!("/conversations/{}/participants", house.hall),
            "/conversations".to_owned(),
            "/users/me".to_owned(),
        ] {
            let answer = account.rest.get(&path).await.unwrap();
            head = answer["meta"]["headSeq"].as_u64().unwrap_or(head);
        }
        let name = json!({"displayName": format!("number {}", dice.roll(1000))});
        account.rest.patch("/users/me", name).await.unwrap();
        tokio::time::sleep(house.form.visit_pace).await;
    }
}

/// Somebody new: registers, connects by ticket, refreshes, talks to the owner, logs
/// out, which ends the socket.
pub async fn registers(house: &House) {
    let server = &house.server;
    let somebody = Account::register(server, "somebody").await;
    let answer = somebody.rest.post("/auth/ticket", json!({})).await.unwrap();
    let opening = Opening {
        query: format!("?ticket={}", answer["data"]["ticket"].as_str().unwrap()),
        ..Opening::default()
    };
    let socket = opening.connect(server.address(), Keep::All).await.unwrap();
    socket.request("session:hello", json!({})).await.unwrap();
    let refresh = json!({"refreshToken": somebody.refresh});
    let tokens = server.rest().post("/auth/refresh", refresh).await.unwrap();
    let fresh = Account::of_tokens(server, &tokens["data"]);
    let token = json!({"token": fresh.access});
    socket.request("session:refresh", token).await.unwrap();
    let direct = json!({"kind": "direct", "participantIds": [house.owner.id]});
    let direct: Value = fresh.create(direct).await;
    socket
        .say(&id_of(&direct), &unique("hello "))
        .await
        .unwrap();
    let logout = json!({"refreshToken": fresh.refresh});
    server.rest().post("/auth/logout", logout).await.unwrap();
    assert_eq!(socket.close_code().await, 4201);
    house.registered.log_in(server).await;
}
