//! Entries from their hand-over to a shard until every subscriber has read them,
//! beside one `write` of the ready frames to each of as many sockets. Both are read
//! the same way, which is part of both; loopback TCP, one thread.

#[path = "../../benches/table.rs"]
mod table;

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::Arc;

use fanfare_actors::fanout::{
    Fanout, Feed, Format, Frames, Run, RunBuilder, SocketHandle, Source, Start, Watch, Wire,
};
use fanfare_protocol::{ConversationId, Limits, UserId};
use table::Table;
use tokio::runtime::Runtime;

const ROOM: ConversationId = ConversationId(uuid::Uuid::from_u128(1));
const FEED: Feed = Feed {
    conversation: ROOM,
    format: Format::Json,
};
/// Of an event with a text of 200 bytes.
const EVENT_BYTES: usize = 624;

type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

/// Nobody lags here.
struct NoPages;

impl Source for NoPages {
    fn fetch(&self, _: usize, _: Feed, _: u64) {}
    fn refollow(&self, _: usize, _: Feed, _: u64) {}
    fn idle(&self, _: usize, _: Feed, _: u64) {}
}

struct Nobody;

impl Watch for Nobody {
    fn ended(&self, _: ConversationId) {}
    fn closed(&self) {}
}

/// Both ends of connections.
fn pairs(count: usize) -> std::io::Result<Vec<(TcpStream, TcpStream)>> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let address = listener.local_addr()?;
    let pair = |_| {
        let client = TcpStream::connect(address)?;
        client.set_nonblocking(true)?;
        let server = listener.accept()?.0;
        server.set_nodelay(true)?;
        Ok((client, server))
    };
    (0..count).map(pair).collect()
}

/// Ready frames of `count` entries from `first_seq` on.
fn frames(first_seq: u64, count: u64) -> Option<Arc<Run>> {
    let mut runs = RunBuilder::new(Format::Json, first_seq, usize::MAX);
    let event = [b'x'; EVENT_BYTES];
    (0..count).for_each(|_| runs.push(&event));
    runs.finish().pop().map(Arc::new)
}

/// A room whose members are on one shard.
struct Room {
    fanout: Fanout,
    members: Vec<(SocketHandle, TcpStream)>,
    next_seq: u64,
}

impl Room {
    fn open(size: usize) -> Outcome<Self> {
        let limits = Arc::new(Limits {
            heartbeat_ms: 3_600_000,
            ..Limits::default()
        });
        let fanout = Fanout::start(1, &limits, Arc::new(NoPages));
        let mut members = Vec::new();
        for (client, server) in pairs(size)? {
            server.set_nonblocking(true)?;
            let wire = Wire::Plain(Arc::new(tokio::net::TcpStream::from_std(server)?));
            let member = fanout.attach(wire, Format::Json, |_| Some(Arc::new(Nobody)));
            let member = member.ok_or("there is one shard")?;
            member.identify(UserId(uuid::Uuid::from_u128(2)), u64::MAX);
            fanout.shards()[0].hold(member.id(), ROOM, 1, 1);
            let start = Start {
                conversation: ROOM,
                seq: 1,
                joined_seq: 1,
            };
            member.release(None, vec![start]);
            members.push((member, client));
        }
        Ok(Self {
            fanout,
            members,
            next_seq: 2,
        })
    }

    /// So many entries, until everybody has read them.
    async fn hears(&mut self, count: u64) {
        let Some(run) = frames(self.next_seq, count) else {
            return;
        };
        self.next_seq += count;
        let bytes = run.len();
        self.fanout.shards()[0].entries(Frames {
            feed: FEED,
            run,
            ends: None,
        });
        for (_, client) in &mut self.members {
            while !has_read(client, bytes) {
                tokio::task::yield_now().await;
            }
        }
    }
}

/// Takes `bytes` out of a connection if something is there. They are written at once,
/// and loopback splits nothing that fits its buffers.
fn has_read(client: &mut TcpStream, bytes: usize) -> bool {
    let mut buffer = [0; 32 << 10];
    match client.read(&mut buffer) {
        Ok(read) => {
            assert_eq!(read, bytes, "all of it");
            true
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::WouldBlock, "{error}");
            false
        }
    }
}

fn bare(sockets: &mut [(TcpStream, TcpStream)], bytes: &[u8]) {
    for (_, server) in &mut *sockets {
        let written = server.write_all(bytes);
        assert!(written.is_ok(), "it takes a frame: {written:?}");
    }
    for (client, _) in sockets {
        assert!(has_read(client, bytes.len()), "loopback delivers at once");
    }
}

fn main() -> Outcome<()> {
    let runtime: Runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    // Members and entries at once: alone, a small room, the largest that is not cut in
    // slices (`LARGE_ROOM_SUBSCRIBERS`), and the same when entries were gathered.
    for (size, count) in [(1, 1), (10, 1), (64, 1), (64, 8)] {
        let mut sockets = pairs(size)?;
        let mut room = runtime.block_on(async { Room::open(size) })?;
        let bytes = vec![b'x'; frames(1, count).ok_or("there are entries")?.len()];
        let deliveries = size as u64 * count;
        Table::new("shard write: a delivery")
            .case(
                format!("write, {count} to each of {size}"),
                deliveries,
                || bare(&mut sockets, &bytes),
            )
            .case(
                format!("shard, {count} to each of {size}"),
                deliveries,
                || {
                    runtime.block_on(room.hears(count));
                },
            )
            .print();
    }
    Ok(())
}
