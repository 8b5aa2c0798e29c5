//! One shard and real sockets, without relays and sessions.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfare_protocol::{ConversationId, Limits, UserId};
use parking_lot::Mutex;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use super::{Close, Fanout, Frames, SocketHandle, Source, Start, Watch, Wire, text_frame};

const ROOM: ConversationId = ConversationId(uuid::Uuid::from_u128(1));
const BOB: UserId = UserId(uuid::Uuid::from_u128(2));
const PATIENCE: Duration = Duration::from_secs(20);

/// What a shard asked for, in words.
#[derive(Default)]
struct Asked(Mutex<Vec<String>>);

impl Source for Asked {
    fn fetch(&self, _: usize, _: ConversationId, page: u64) {
        self.0.lock().push(format!("page {page}"));
    }

    fn refollow(&self, _: usize, _: ConversationId, head: u64) {
        self.0.lock().push(format!("refollow {head}"));
    }

    fn idle(&self, _: usize, _: ConversationId, _: u64) {}
}

struct Nobody;

impl Watch for Nobody {
    fn ended(&self, _: ConversationId) {}
    fn closed(&self) {}
}

async fn shard() -> (Fanout, Arc<Asked>) {
    let asked = Arc::new(Asked::default());
    let source = Arc::clone(&asked) as Arc<dyn Source>;
    (
        Fanout::start(1, &Arc::new(Limits::default()), source),
        asked,
    )
}

async fn socket(fanout: &Fanout) -> (SocketHandle, TcpStream) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
    let wire = Wire::Plain(Arc::new(server.unwrap().0));
    let socket = fanout.attach(wire, |_| Some(Arc::new(Nobody))).unwrap();
    socket.identify(BOB, u64::MAX);
    (socket, client.unwrap())
}

fn frames(first_seq: u64, texts: &[&str]) -> Frames {
    Frames {
        conversation: ROOM,
        first_seq,
        frames: texts.iter().map(|it| text_frame(it.as_bytes())).collect(),
        ends: Vec::new(),
        evicted: Vec::new(),
    }
}

fn start(seq: u64, joined_seq: u64) -> Vec<Start> {
    vec![Start {
        conversation: ROOM,
        seq,
        joined_seq,
    }]
}

/// The next `count` frames' payloads (short ones).
async fn read(client: &mut TcpStream, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    for _ in 0..count {
        let mut head = [0; 2];
        let whole = async {
            client.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; usize::from(head[1])];
            client.read_exact(&mut payload).await.unwrap();
            String::from_utf8_lossy(&payload).into_owned()
        };
        texts.push(tokio::time::timeout(PATIENCE, whole).await.unwrap());
    }
    texts
}

#[tokio::test]
async fn a_removal_before_the_membership_ends_no_subscription() {
    let (fanout, _) = shard().await;
    let (socket, mut client) = socket(&fanout).await;
    let shard = fanout.shards()[0].clone();
    shard.hold(socket.id(), ROOM, 1, 1);
    // Removed by 2, added again by 3, removed by 5: known when it is released.
    let mut entries = frames(2, &["2", "3", "4", "5", "6"]);
    entries.ends = vec![(2, Some(vec![BOB])), (5, Some(vec![BOB]))];
    shard.entries(Arc::new(entries));
    socket.release(Some(text_frame(b"reply")), start(3, 3));
    assert_eq!(read(&mut client, 1).await, ["reply"]);
    shard.page(
        ROOM,
        0,
        Arc::new(frames(1, &["1", "2", "3", "4", "5", "6"]).frames),
    );
    assert_eq!(read(&mut client, 2).await, ["4", "5"]);
    socket.send(text_frame(b"end"));
    assert_eq!(read(&mut client, 1).await, ["end"]);
}

#[tokio::test]
async fn text_deleted_in_the_same_batch_is_never_written() {
    let (fanout, asked) = shard().await;
    let (socket, mut client) = socket(&fanout).await;
    let shard = fanout.shards()[0].clone();
    shard.hold(socket.id(), ROOM, 1, 1);
    socket.release(Some(text_frame(b"reply")), start(1, 1));
    let mut entries = frames(2, &["secret", "deleted"]);
    entries.evicted = vec![2];
    shard.entries(Arc::new(entries));
    assert_eq!(read(&mut client, 1).await, ["reply"]);
    let page: Vec<Bytes> = ["1", "", "deleted"]
        .iter()
        .map(|it| text_frame(it.as_bytes()))
        .collect();
    shard.page(ROOM, 0, Arc::new(page));
    assert_eq!(read(&mut client, 2).await, ["", "deleted"]);
    assert_eq!(*asked.0.lock(), ["page 0"]);
}

#[tokio::test]
async fn pages_that_a_dead_relay_owes_are_asked_for_again() {
    let (fanout, asked) = shard().await;
    let (socket, mut client) = socket(&fanout).await;
    let shard = fanout.shards()[0].clone();
    shard.hold(socket.id(), ROOM, 2, 1);
    socket.release(Some(text_frame(b"reply")), start(1, 1));
    assert_eq!(read(&mut client, 1).await, ["reply"]);
    shard.refollow(Box::new(|_| true));
    let again = async {
        while asked.0.lock().len() < 3 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, again).await.unwrap();
    assert_eq!(*asked.0.lock(), ["page 0", "refollow 2", "page 0"]);
}

#[tokio::test]
async fn a_socket_that_comes_while_all_are_closed_is_closed_too() {
    let (fanout, _) = shard().await;
    fanout.close_all(&Close::new(1012, "restarting"), || text_frame(b"later"));
    let (_socket, mut client) = socket(&fanout).await;
    assert_eq!(read(&mut client, 1).await, ["later"]);
    assert!(read(&mut client, 1).await[0].ends_with("restarting"));
}
