//! Every documented bad input gets its typed answer, and the server lives afterwards.

use crate::harness::{Account, Server};

mod commands;
mod floods;
mod frames;
mod requests;
mod upgrade;

/// The server answers, talks and stores as before.
async fn lives(server: &Server) {
    assert!(server.is_running());
    let alice = Account::register(server, "survivor").await;
    let group = alice.group(&[]).await;
    let socket = alice.connect(server).await;
    let said = socket.say(&group, "still here").await.unwrap();
    socket.reaches(&group, said["seq"].as_u64().unwrap()).await;
    assert_eq!(alice.history(&group).await, [said]);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}
