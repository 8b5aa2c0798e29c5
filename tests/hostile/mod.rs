//! Strangers who mean harm: whatever they send, leave out or never read, it is bounded
//! and ends, and meanwhile everybody else is served.

use std::time::Duration;

use crate::harness::account::seq_of;
use crate::harness::{Account, SOON, Server, Socket, eventually};

mod bodies;
mod crowds;
mod descriptors;
mod heads;
mod readers;
mod smuggling;

/// A limit that a test reaches, in ms: short, and far above what an honest client of a
/// busy machine needs.
const SHORT_MS: u64 = 700;
/// Nothing has moved for this long: buffers are full.
const STILL: Duration = Duration::from_millis(300);

/// The people who have nothing to do with it: one talks, on a connection that stands.
struct Others<'a> {
    server: &'a Server,
    alice: Account,
    group: String,
    socket: Socket,
}

impl<'a> Others<'a> {
    async fn on(server: &'a Server) -> Self {
        let alice = Account::register(server, "alice").await;
        let group = alice.group(&[]).await;
        let socket = alice.connect(server).await;
        Self {
            server,
            alice,
            group,
            socket,
        }
    }

    /// Who is connected goes on: a message is stored, acknowledged and delivered.
    async fn go_on(&self) {
        let said = self.socket.say(&self.group, "still here").await.unwrap();
        self.socket.reaches(&self.group, seq_of(&said)).await;
    }

    /// The same, and who comes anew is let in.
    async fn are_served(&self) {
        self.go_on().await;
        self.alice.rest.get("/users/me").await.unwrap();
        let socket = self.alice.connect(self.server).await;
        let said = socket.say(&self.group, "and a new one").await.unwrap();
        self.socket.reaches(&self.group, seq_of(&said)).await;
    }
}

/// Waits until a counter or gauge is what it should be.
async fn counted(server: &Server, name: &str, right: impl Fn(f64) -> bool) {
    eventually(name, SOON * 2, async || {
        right(server.metric(name).await).then_some(())
    })
    .await;
}

/// The statuses of all answers in what a connection said.
fn statuses(said: &str) -> Vec<&str> {
    let answers = said.split("HTTP/1.1 ").skip(1);
    answers.filter_map(|answer| answer.get(..3)).collect()
}
