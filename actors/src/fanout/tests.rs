//! One shard and real sockets, without relays and sessions.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use fanfare_protocol::limits::LARGE_ROOM_SUBSCRIBERS;
use fanfare_protocol::{ConversationId, Limits, UserId};
use parking_lot::Mutex;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::{
    Close, Ends, Fanout, Feed, Format, Frames, Run, RunBuilder, SocketHandle, Source, Start, Watch,
    Wire, text_frame,
};

const ROOM: ConversationId = ConversationId(uuid::Uuid::from_u128(1));
const FEED: Feed = Feed {
    conversation: ROOM,
    format: Format::Json,
};
const BOB: UserId = UserId(uuid::Uuid::from_u128(2));
const PATIENCE: Duration = Duration::from_secs(20);

/// What a shard asked for, in words.
#[derive(Default)]
struct Asked(Mutex<Vec<String>>);

impl Source for Asked {
    fn fetch(&self, _: usize, _: Feed, page: u64) {
        self.0.lock().push(format!("page {page}"));
    }

    fn refollow(&self, _: usize, _: Feed, head: u64) {
        self.0.lock().push(format!("refollow {head}"));
    }

    fn idle(&self, _: usize, _: Feed, _: u64) {}
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
    let client = TcpSocket::new_v4().unwrap();
    // Who stops reading is felt soon.
    client.set_recv_buffer_size(16 << 10).unwrap();
    let (client, server) = tokio::join!(client.connect(address), listener.accept());
    let wire = Wire::Plain(Arc::new(server.unwrap().0));
    let socket = fanout
        .attach(wire, Format::Json, |_| Some(Arc::new(Nobody)))
        .unwrap();
    socket.identify(BOB, u64::MAX);
    (socket, client.unwrap())
}

fn run(first_seq: u64, texts: &[&str]) -> Arc<Run> {
    let mut runs = RunBuilder::new(Format::Json, first_seq, usize::MAX);
    texts.iter().for_each(|text| runs.push(text.as_bytes()));
    Arc::new(runs.finish().remove(0))
}

fn frames(first_seq: u64, texts: &[&str]) -> Frames {
    Frames {
        feed: FEED,
        run: run(first_seq, texts),
        ends: None,
    }
}

fn start(seq: u64, joined_seq: u64) -> Vec<Start> {
    vec![Start {
        conversation: ROOM,
        seq,
        joined_seq,
    }]
}

/// The next `count` frames' payloads (short ones), without pings.
async fn read(client: &mut TcpStream, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let mut head = [0; 2];
        let whole = async {
            client.read_exact(&mut head).await.unwrap();
            let mut payload = vec![0; usize::from(head[1])];
            client.read_exact(&mut payload).await.unwrap();
            String::from_utf8_lossy(&payload).into_owned()
        };
        let text = tokio::time::timeout(PATIENCE, whole).await.unwrap();
        if head != [0x89, 0] {
            texts.push(text);
        }
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
    entries.ends = Some(Arc::new(Ends {
        users: vec![(2, Some(vec![BOB])), (5, Some(vec![BOB]))],
        evicted: Vec::new(),
    }));
    shard.entries(entries);
    socket.release(Some(text_frame(b"reply")), start(3, 3));
    assert_eq!(read(&mut client, 1).await, ["reply"]);
    shard.page(FEED, 0, Some(run(1, &["1", "2", "3", "4", "5", "6"])));
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
    entries.ends = Some(Arc::new(Ends {
        users: Vec::new(),
        evicted: vec![2],
    }));
    shard.entries(entries);
    assert_eq!(read(&mut client, 1).await, ["reply"]);
    shard.page(FEED, 0, Some(run(1, &["1", "", "deleted"])));
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
    fanout.close_all(&Close::new(1012, "restarting"), |_| text_frame(b"later"));
    let (_socket, mut client) = socket(&fanout).await;
    assert_eq!(read(&mut client, 1).await, ["later"]);
    assert!(read(&mut client, 1).await[0].ends_with("restarting"));
}

/// Releases `count` sockets from behind seq 0 of the room.
async fn crowd(fanout: &Fanout, count: usize) -> Vec<(SocketHandle, TcpStream)> {
    let mut crowd = Vec::new();
    for _ in 0..count {
        let (socket, client) = socket(fanout).await;
        fanout.shards()[0].hold(socket.id(), ROOM, 0, 1);
        socket.release(None, start(0, 0));
        crowd.push((socket, client));
    }
    crowd
}

#[tokio::test]
async fn everybody_in_a_large_room_gets_everything_while_others_come_and_go() {
    const ENTRIES: usize = 40;
    let (fanout, _) = shard().await;
    let shard = fanout.shards()[0].clone();
    let mut crowd = crowd(&fanout, 5 * LARGE_ROOM_SUBSCRIBERS / 2).await;
    for seq in 1..=ENTRIES {
        shard.entries(frames(seq as u64, &[&seq.to_string()]));
        // One leaves from the middle: the last takes its place in the list.
        let (leaver, _client) = crowd.swap_remove(crowd.len() / 2);
        leaver.unsubscribe(vec![ROOM]);
        tokio::task::yield_now().await;
    }
    let expected: Vec<String> = (1..=ENTRIES).map(|seq| seq.to_string()).collect();
    for (_, client) in &mut crowd {
        assert_eq!(read(client, ENTRIES).await, expected);
    }
}

#[tokio::test]
async fn a_reader_that_stops_gets_every_byte_once_it_reads_again() {
    // More than the kernel takes and more than the ring holds.
    stops_and_reads_again(1, 64 * 1024).await;
}

#[tokio::test]
async fn one_of_a_large_room_that_stops_gets_every_byte_once_it_reads_again() {
    stops_and_reads_again(LARGE_ROOM_SUBSCRIBERS + 1, 16 * 1024).await;
}

/// The first of `members` reads nothing until `entries` were delivered to the
/// others.
async fn stops_and_reads_again(members: usize, entries: u64) {
    let (fanout, asked) = shard().await;
    let shard = fanout.shards()[0].clone();
    let mut crowd = crowd(&fanout, members).await;
    for (_, mut client) in crowd.split_off(1) {
        tokio::spawn(async move { tokio::io::copy(&mut client, &mut tokio::io::sink()).await });
    }
    let (socket, client) = &mut crowd[0];
    let text = |seq: u64| format!("{seq:0>120}");
    for first in (1..=entries).step_by(64) {
        let texts: Vec<String> = (first..first + 64).map(text).collect();
        let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
        shard.entries(frames(first, &texts));
        socket.send(text_frame(b"control"));
        if first % 4096 == 1 {
            tokio::task::yield_now().await;
        }
    }
    let (mut next, mut controls) = (1, 0);
    while next <= entries || controls < entries / 64 {
        for page in std::mem::take(&mut *asked.0.lock()) {
            let page: u64 = page.strip_prefix("page ").unwrap().parse().unwrap();
            let texts: Vec<String> = (page * 64 + 1..=page * 64 + 64).map(text).collect();
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            shard.page(FEED, page, Some(run(page * 64 + 1, &texts)));
        }
        let ready = tokio::time::timeout(Duration::from_millis(50), client.readable()).await;
        if ready.is_err() {
            // Waits for a page that was just asked for.
            continue;
        }
        match read(client, 1).await.remove(0) {
            control if control == "control" => controls += 1,
            entry => {
                assert_eq!(entry, text(next));
                next += 1;
            }
        }
    }
}

#[tokio::test]
async fn entries_within_the_window_of_a_hot_room_come_with_its_end() {
    let (fanout, _) = shard().await;
    let shard = fanout.shards()[0].clone();
    let mut crowd = crowd(&fanout, LARGE_ROOM_SUBSCRIBERS + 1).await;
    // The first goes at once, the others within one window.
    for seq in 1..=9 {
        shard.entries(frames(seq, &[&seq.to_string()]));
    }
    for (_, client) in &mut crowd {
        assert_eq!(
            read(client, 9).await,
            ["1", "2", "3", "4", "5", "6", "7", "8", "9"]
        );
    }
}

#[tokio::test]
async fn what_can_wait_goes_out_with_the_next_entries_or_by_itself() {
    let (fanout, _) = shard().await;
    let shard = fanout.shards()[0].clone();
    let mut crowd = crowd(&fanout, 1).await;
    let (waits, client) = &mut crowd[0];
    let (marker, mut marked) = socket(&fanout).await;
    waits.send_beside(ROOM, text_frame(b"count"));
    marker.send(text_frame(b"marker"));
    assert_eq!(read(&mut marked, 1).await, ["marker"]);
    let nothing = client.try_read(&mut [0; 8]).unwrap_err();
    assert_eq!(nothing.kind(), std::io::ErrorKind::WouldBlock);
    shard.entries(frames(1, &["1"]));
    assert_eq!(read(client, 2).await, ["count", "1"]);
    // Nothing comes to take it along.
    waits.send_beside(ROOM, text_frame(b"another"));
    assert_eq!(read(client, 1).await, ["another"]);
    // Who is not subscribed to the conversation waits for nothing.
    marker.send_beside(ROOM, text_frame(b"at once"));
    assert_eq!(read(&mut marked, 1).await, ["at once"]);
}
