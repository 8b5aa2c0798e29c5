//! A TCP proxy in front of a server, which can hold what is sent to it, from now on or
//! once so much has passed: a network that is cut in one direction, or bytes that arrive
//! much later.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

/// Listens as long as this value lives; connections last as long as their ends do.
pub struct Proxy {
    address: SocketAddr,
    held: Arc<watch::Sender<bool>>,
    waiting_bytes: Arc<AtomicUsize>,
    /// Bytes that may still pass.
    left_bytes: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Proxy {
    pub async fn before(server: SocketAddr) -> Self {
        // A CQL driver takes the server's own address and the port that it was told.
        let listener = TcpListener::bind((server.ip(), 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let held = Arc::new(watch::Sender::new(false));
        let waiting_bytes = Arc::new(AtomicUsize::new(0));
        let left_bytes = Arc::new(AtomicU64::new(u64::MAX));
        let way = Way {
            server,
            held: Arc::clone(&held),
            waiting_bytes: Arc::clone(&waiting_bytes),
            left_bytes: Arc::clone(&left_bytes),
        };
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                tokio::spawn(join(client, way.clone()));
            }
        });
        Self {
            address,
            held,
            waiting_bytes,
            left_bytes,
            accepting,
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Bytes that came and did not go on yet.
    pub fn waiting_bytes(&self) -> usize {
        self.waiting_bytes.load(Ordering::Relaxed)
    }

    /// From now on nothing reaches the server; what it says still comes out.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// From when so many more bytes have passed nothing reaches the server.
    pub fn hold_after(&self, bytes: u64) {
        self.left_bytes.store(bytes, Ordering::Relaxed);
    }

    /// Everything held goes on, in its order, also of clients that gave up meanwhile.
    pub fn release(&self) {
        self.left_bytes.store(u64::MAX, Ordering::Relaxed);
        self.held.send_replace(false);
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.release();
    }
}

#[derive(Clone)]
struct Way {
    server: SocketAddr,
    held: Arc<watch::Sender<bool>>,
    waiting_bytes: Arc<AtomicUsize>,
    left_bytes: Arc<AtomicU64>,
}

impl Way {
    /// Waits until these may go on.
    async fn lets_pass(&self, bytes: usize) {
        let spend = |left: u64| (left < u64::MAX).then(|| left.saturating_sub(bytes as u64));
        let left = self
            .left_bytes
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, spend);
        if left.is_ok_and(|left| left < bytes as u64) {
            self.held.send_replace(true);
        }
        // Err: impossible, the sender is `self`.
        self.held.subscribe().wait_for(|held| !held).await.ok();
    }
}

async fn join(client: TcpStream, way: Way) {
    let Ok(server) = TcpStream::connect(way.server).await else {
        return;
    };
    client.set_nodelay(true).ok();
    server.set_nodelay(true).ok();
    let ((from_client, mut to_client), (mut from_server, to_server)) =
        (client.into_split(), server.into_split());
    tokio::spawn(async move {
        // Err: one of the two is gone.
        tokio::io::copy(&mut from_server, &mut to_client).await.ok();
    });
    let (queue, waiting) = mpsc::unbounded_channel();
    let waiting_bytes = Arc::clone(&way.waiting_bytes);
    tokio::spawn(deliver(waiting, to_server, way));
    take(from_client, queue, &waiting_bytes).await;
}

/// Reads at once whatever comes, so that it outlives its sender.
async fn take(
    mut from: OwnedReadHalf,
    queue: mpsc::UnboundedSender<Bytes>,
    waiting_bytes: &AtomicUsize,
) {
    let mut buffer = BytesMut::with_capacity(64 * 1024);
    while from.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
        waiting_bytes.fetch_add(buffer.len(), Ordering::Relaxed);
        if queue.send(buffer.split().freeze()).is_err() {
            return;
        }
        buffer.reserve(64 * 1024);
    }
}

async fn deliver(mut waiting: mpsc::UnboundedReceiver<Bytes>, mut to: OwnedWriteHalf, way: Way) {
    let mut broken = false;
    while let Some(bytes) = waiting.recv().await {
        way.lets_pass(bytes.len()).await;
        broken = broken || to.write_all(&bytes).await.is_err();
        way.waiting_bytes.fetch_sub(bytes.len(), Ordering::Relaxed);
    }
}
