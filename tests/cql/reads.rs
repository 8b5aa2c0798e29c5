//! How many reads of the store a page, a log-in, a hello and a resume take: the table
//! in `docs/performance.md`. Fails when a count grows.

use serde_json::json;

use crate::harness::account::{PASSWORD, seq_of};
use crate::harness::keyspace::Keyspace;
use crate::harness::{Account, Options, Server, Socket};

/// Times each act is repeated; what happens beside it weighs little.
const TIMES: usize = 10;

/// What is measured, in this order.
const ACTS: [&str; 5] = [
    "newest page of 50",
    "older page of 50",
    "log-in",
    "hello with one conversation",
    "resume of one conversation that moved",
];

/// Somebody who was away, and from where on.
struct Away {
    who: Account,
    group: String,
    epoch: u64,
    head: u64,
}

/// Reads of one act, the mean of some.
async fn reads(server: &Server, mut act: impl AsyncFnMut()) -> f64 {
    let before = server.metric("fanfare_store_reads_total").await;
    for _ in 0..TIMES {
        act().await;
    }
    let after = server.metric("fanfare_store_reads_total").await;
    (after - before) / TIMES as f64
}

impl Away {
    /// Reads of each of [`ACTS`].
    async fn measured(&self, server: &Server) -> [f64; 5] {
        let (who, group) = (&self.who, &self.group);
        let page = async |more: &str| {
            let page = format!("/conversations/{group}/messages?limit=50{more}");
            let read = reads(server, async || drop(who.rest.get(&page).await.unwrap()));
            read.await
        };
        let login = reads(server, async || {
            let body = json!({"login": who.username, "password": PASSWORD});
            server.rest().post("/auth/login", body).await.unwrap();
        });
        let hello = reads(server, async || drop(who.connect(server).await));
        let behind = json!([{
            "conversation": group, "epoch": self.epoch, "seq": self.head - 100,
        }]);
        let resume = reads(server, async || {
            let back = Socket::open(server.address(), &who.access, behind.clone()).await;
            back.unwrap().reaches(group, self.head).await;
        });
        [
            page("").await,
            page("&before=70").await,
            login.await,
            hello.await,
            resume.await,
        ]
    }
}

fn assert_few(when: &str, found: [f64; 5], most: [f64; 5]) {
    println!("reads {when}: {ACTS:?} {found:?}");
    for ((what, found), most) in ACTS.iter().zip(found).zip(most) {
        assert!(
            found <= most + 0.5,
            "{when}, {what}: {found} reads, at most {most}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_log_ins_hellos_and_resumes_take_few_reads() {
    let Some(keyspace) = Keyspace::shared() else {
        return;
    };
    let server = Options::new().cql(&keyspace).port_kept().start().await;
    let alice = Account::register(&server, "alice").await;
    let bob = Account::register(&server, "bob").await;
    let group = alice.group(&[&bob]).await;
    let at_alice = alice.connect(&server).await;
    let mut last = 0;
    for at in 0..120 {
        last = seq_of(&at_alice.say(&group, &format!("line {at}")).await.unwrap());
    }
    at_alice.reaches(&group, last).await;
    let at_bob = bob.connect(&server).await;
    let epoch = at_bob.hello["subscribed"][0]["epoch"].as_u64().unwrap();
    drop(at_bob);
    let away = Away {
        who: bob,
        group,
        epoch,
        head: last,
    };
    // Its room is awake, and somebody listens.
    let hot = away.measured(&server).await;
    drop(at_alice);

    // Its room sleeps, and each who comes is alone.
    server.terminate().await;
    server.restart().await;
    let cold = away.measured(&server).await;
    assert_few("of a hot conversation", hot, [0.0, 0.0, 2.0, 3.0, 3.0]);
    assert_few("of one that sleeps", cold, [4.0, 4.0, 2.0, 6.0, 9.0]);
}
