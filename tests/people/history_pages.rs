//! History: before, after, around, in pages.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::harness::account::seq_of;
use crate::harness::{Account, Server, new_key};

struct Shelf {
    alice: Account,
    group: String,
    /// Seqs of its messages; between them stand edits.
    seqs: Vec<u64>,
}

async fn shelf(server: &Server, messages: usize) -> Shelf {
    let alice = Account::register(server, "alice").await;
    let group = alice.group(&[]).await;
    let socket = Arc::new(alice.connect(server).await);
    let mut seqs = Vec::new();
    for at in 0..messages {
        let data = json!({"conversation": group, "text": format!("number {at}")});
        let message = socket
            .request_as(&new_key(), "message:send", data)
            .await
            .unwrap();
        seqs.push(seq_of(&message["message"]));
        if at % 10 == 3 {
            let change = json!({"message": message["message"]["id"], "text": format!("number {at}, edited")});
            socket
                .request_as(&new_key(), "message:edit", change)
                .await
                .unwrap();
        }
    }
    Shelf { alice, group, seqs }
}

impl Shelf {
    async fn page(&self, query: &str) -> (Vec<u64>, Value) {
        let page = self
            .alice
            .rest
            .get(&format!("/conversations/{}/messages{query}", self.group))
            .await
            .unwrap();
        let seqs = page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(seq_of)
            .collect();
        (seqs, page["meta"].clone())
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_go_back_forth_and_around() {
    let server = Server::start().await;
    let shelf = shelf(&server, 130).await;
    let seqs = &shelf.seqs;
    let (newest, meta) = shelf.page("").await;
    assert_eq!(newest, seqs[80..], "the newest 50, ascending");
    assert!(meta["headSeq"].as_u64() >= seqs.last().copied(), "{meta}");
    let (all_at_most, _) = shelf.page("?limit=100").await;
    assert_eq!(all_at_most, seqs[30..]);
    let (before, _) = shelf.page(&format!("?before={}&limit=10", seqs[50])).await;
    assert_eq!(before, seqs[40..50]);
    let (after, _) = shelf.page(&format!("?after={}&limit=10", seqs[50])).await;
    assert_eq!(after, seqs[51..61]);
    let (around, _) = shelf.page(&format!("?around={}&limit=11", seqs[50])).await;
    assert!(
        around.contains(&seqs[50]) && around.len() <= 11,
        "{around:?}"
    );
    assert!(
        around[0] < seqs[50] && around[around.len() - 1] > seqs[50],
        "{around:?}"
    );
    assert!(shelf.page("?before=1").await.0.is_empty());
    assert!(
        shelf
            .page(&format!("?after={}", seqs[129]))
            .await
            .0
            .is_empty()
    );

    let (mut walked, mut query) = (Vec::new(), "?limit=17".to_owned());
    loop {
        let (page, meta) = shelf.page(&query).await;
        walked.splice(0..0, page);
        match meta["nextCursor"].as_str() {
            Some(next) => query = format!("?limit=17&before={next}"),
            None => break,
        }
    }
    assert_eq!(&walked, seqs, "walked backwards by cursor");
    let whole: Vec<u64> = shelf
        .alice
        .history(&shelf.group)
        .await
        .iter()
        .map(seq_of)
        .collect();
    assert_eq!(&whole, seqs, "walked forwards by cursor");
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_pages_are_refused_by_name() {
    let server = Server::start().await;
    let shelf = shelf(&server, 1).await;
    let path = format!("/conversations/{}/messages", shelf.group);
    for (query, field) in [
        ("?before=x", "before"),
        ("?after=-1", "after"),
        ("?around=1.5", "around"),
        ("?limit=0", "limit"),
        ("?limit=101", "limit"),
        ("?limit=many", "limit"),
        ("?offset=3", "offset"),
    ] {
        let refusal = shelf
            .alice
            .rest
            .get(&format!("{path}{query}"))
            .await
            .unwrap_err();
        assert_eq!(
            (refusal.status, refusal.code.as_str()),
            (422, "invalid_request"),
            "{query}"
        );
        assert!(refusal.detail(field).is_some(), "{query}: {refusal:?}");
    }
    let two = shelf
        .alice
        .rest
        .get(&format!("{path}?before=5&after=1"))
        .await
        .unwrap_err();
    assert_eq!(two.code, "invalid_request");
}
