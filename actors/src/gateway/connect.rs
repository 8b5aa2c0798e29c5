//! Taking sockets in: a shard for the writing side, a session for what
//! comes in, permits for what waits.

use std::net::IpAddr;
use std::sync::Arc;

use fanfare_protocol::frame::{ClientFrame, FrameId, Hello, HelloReply};
use fanfare_protocol::{Code, Refusal};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::Gateway;
use crate::account::Identity;
use crate::fanout::{Format, SocketHandle, Watch, Wire};
use crate::session::{SessionMessage, SessionRef, State};

/// A connection from its reader's side.
pub struct Connection {
    /// The writing side.
    pub socket: SocketHandle,
    session: SessionRef,
    session_permits: Arc<Semaphore>,
    node_permits: Arc<Semaphore>,
    session_permits_max: usize,
}

/// Room for one command, weighed in KiB, per session and node; given back
/// when its reply is queued.
#[derive(Debug)]
pub struct Permit {
    _session: OwnedSemaphorePermit,
    _node: OwnedSemaphorePermit,
}

#[cfg(test)]
impl Permit {
    /// One that weighs on nothing.
    pub(crate) fn weightless() -> Self {
        let one = || Arc::new(Semaphore::new(1)).try_acquire_owned();
        let (Ok(session), Ok(node)) = (one(), one()) else {
            unreachable!("there is one")
        };
        Self {
            _session: session,
            _node: node,
        }
    }
}

impl Gateway {
    /// Takes a connection in. `identity` comes from the upgrade's
    /// credentials; without it, hello must bring some.
    ///
    /// # Errors
    /// `unavailable` while the node is shutting down.
    pub fn connect(
        self: &Arc<Self>,
        wire: Wire,
        format: Format,
        address: IpAddr,
        identity: Option<Identity>,
    ) -> Result<Connection, Refusal> {
        let parts = &self.parts;
        let mut session = None;
        let socket = parts.fanout.attach(wire, format, |socket| {
            let state = State::new(socket.clone(), Arc::clone(self), address, identity);
            let watch = Arc::new(session.insert(SessionRef::new(state)).clone());
            Some(watch as Arc<dyn Watch>)
        });
        let (Some(socket), Some(session)) = (socket, session) else {
            return Err(Refusal::unavailable("the node is shutting down"));
        };
        let session_permits_max = (parts.limits.inbound_permits_session_bytes / 1024).max(1);
        Ok(Connection {
            socket,
            session,
            session_permits: Arc::new(Semaphore::new(session_permits_max)),
            node_permits: Arc::clone(&self.node_permits),
            session_permits_max,
        })
    }
}

impl Connection {
    /// Waits until this session may have so many more bytes in flight; a
    /// reader that waits here reads nothing.
    ///
    /// # Errors
    /// `overloaded` when the node has too much in flight.
    pub async fn permit(&self, bytes: usize) -> Result<Permit, Refusal> {
        let kib = (bytes / 1024 + 1).min(self.session_permits_max);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        let overloaded = || {
            metrics::counter!("fanfare_inbound_refused_total").increment(1);
            Refusal::new(Code::Overloaded, "the node has too much to do").after_ms(1000)
        };
        let session = Arc::clone(&self.session_permits)
            .acquire_many_owned(kib)
            .await;
        let session = session.map_err(|_| overloaded())?;
        let node = Arc::clone(&self.node_permits).try_acquire_many_owned(kib);
        let node = node.map_err(|_| overloaded())?;
        Ok(Permit {
            _session: session,
            _node: node,
        })
    }

    /// Waits until everything it asked is answered: the replies are queued.
    pub async fn answered(&self) {
        let all = u32::try_from(self.session_permits_max).unwrap_or(u32::MAX);
        // Never closed; and if it were, nothing would be left to wait for.
        let _ = self.session_permits.acquire_many(all).await;
    }

    /// Says hello in the client's name, once and before any frame.
    ///
    /// # Errors
    /// What the session refuses; `unavailable` when it ended meanwhile.
    pub(super) async fn hello(&self, hello: Hello, permit: Permit) -> Result<HelloReply, Refusal> {
        let (answer, answered) = oneshot::channel();
        self.tell(SessionMessage::Hello(Box::new(hello), permit, answer));
        let ended = |_| Err(Refusal::unavailable("the session ended"));
        answered.await.unwrap_or_else(ended)
    }

    /// Hands a frame to the session.
    pub fn frame(&self, frame: ClientFrame, permit: Permit) {
        self.tell(SessionMessage::Frame(Box::new(frame), permit));
    }

    /// Answers a frame that could not be read.
    pub fn bad_frame(&self, refusal: Refusal) {
        self.refuse(None, None, refusal);
    }

    /// Refuses a frame before the session sees it.
    pub fn refuse(&self, id: Option<FrameId>, key: Option<String>, refusal: Refusal) {
        crate::session::refuse(&self.socket, id, key, refusal);
    }

    /// The peer is gone.
    pub fn closed(&self) {
        self.socket.gone();
        self.tell(SessionMessage::Closed);
    }

    fn tell(&self, message: SessionMessage) {
        // A session that ended has closed its socket: the reader sees that.
        self.session.tell(message);
    }
}
