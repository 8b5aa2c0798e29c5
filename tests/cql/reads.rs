//! How many reads of the store a page, a log-in, a hello and a resume take: the table
//! in `docs/performance.md`. Fails when a count grows.

use serde_json::json;

use crate::harness::account::{PASSWORD, seq_of};
use crate::harness::keyspace::Keyspace;
use crate::harness::{Account, Options, Server, Socket};

/// Times each act is repeated; what happens beside it weighs little.
const TIMES: usize = 10;

/// Reads of one act, the mean of some.
async fn reads(server: &Server, mut act: impl AsyncFnMut()) -> f64 {
    let before = server.metric("fanfare_store_reads_total").await;
    for _ in 0..TIMES {
        act().await;
    }
    let after = server.metric("fanfare_store_reads_total").await;
    (after - before) / TIMES as f64
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_log_ins_hellos_and_resumes_take_few_reads() {
    let Some(keyspace) = Keyspace::shared() else {
        return;
    };
    let server = Options::new().cql(&keyspace).start().await;
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

    let page = format!("/conversations/{group}/messages?limit=50");
    let newest = reads(&server, async || {
        bob.rest.get(&page).await.unwrap();
    });
    let newest = newest.await;
    let before = format!("{page}&before=70");
    let older = reads(&server, async || {
        bob.rest.get(&before).await.unwrap();
    });
    let older = older.await;
    let login = reads(&server, async || {
        let body = json!({"login": bob.username, "password": PASSWORD});
        server.rest().post("/auth/login", body).await.unwrap();
    });
    let login = login.await;
    let hello = reads(&server, async || drop(bob.connect(&server).await));
    let hello = hello.await;
    let behind = json!([{"conversation": group, "epoch": epoch, "seq": last - 100}]);
    let resume = reads(&server, async || {
        let cursors = behind.clone();
        let back = Socket::open(server.address(), &bob.access, cursors).await;
        back.unwrap().reaches(&group, last).await;
    });
    let resume = resume.await;

    println!(
        "reads: newest page {newest}, older page {older}, log-in {login}, hello {hello}, resume {resume}"
    );
    for (what, found, most) in [
        ("newest page of 50", newest, 3.0),
        ("older page of 50", older, 3.0),
        ("log-in", login, 2.0),
        ("hello with one conversation", hello, 5.0),
        ("resume of one conversation that moved", resume, 8.5),
    ] {
        assert!(found <= most + 0.5, "{what}: {found} reads, at most {most}");
    }
}
