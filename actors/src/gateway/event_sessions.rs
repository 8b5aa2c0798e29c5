//! Sessions without a socket of their own: hello and frames are POSTed, what
//! the server says goes down an event stream. Everything else about them is a
//! session like any other.
//!
//! **Invariant:** whoever drops an [`EventStream`] ends its session, so none
//! outlives its stream, nor the time in which that must be opened.

use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use fanfare_protocol::frame::{ClientFrame, Hello};
use fanfare_protocol::limits::{EVENT_STREAM_BYTES_MAX, RETRY_AFTER_MS, TOKEN_BYTES_MAX};
use fanfare_protocol::rest::{EventSessionBegun, Ticket};
use fanfare_protocol::{Code, Codec, Limits, Refusal, UserId};
use futures_util::Stream;
use parking_lot::Mutex;
use sha2::{Digest, Sha256};
use tokio::sync::{MutexGuard, OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use super::{Connection, Gateway};
use crate::account::{Identity, random};
use crate::fanout::{BodyReader, CutOff, Format, Wire, body};

/// The node's event sessions.
pub(super) struct EventSessions {
    /// By id, as long as they last.
    open: Mutex<HashMap<String, Arc<EventSession>>>,
    /// Streams not yet opened, by their ticket's SHA-256: how long a look-up
    /// takes tells nothing about a ticket.
    waiting: Mutex<HashMap<[u8; 32], Waiting>>,
    places: Arc<Semaphore>,
    ticket_s: u64,
}

struct Waiting {
    stream: EventStream,
    expiry: AbortHandle,
    _place: OwnedSemaphorePermit,
}

/// One session, from the side of who POSTs its frames.
pub struct EventSession {
    id: String,
    user: UserId,
    connection: Connection,
    turn: tokio::sync::Mutex<()>,
    limits: Arc<Limits>,
}

/// What the server says in one session: ready bytes of `text/event-stream`.
pub struct EventStream {
    reader: BodyReader,
    session: Arc<EventSession>,
    sessions: Arc<EventSessions>,
}

impl EventSessions {
    pub(super) fn new(limits: &Limits) -> Self {
        let waiting_max = limits.event_sessions_waiting_max;
        Self {
            open: Mutex::default(),
            waiting: Mutex::default(),
            places: Arc::new(Semaphore::new(waiting_max.min(Semaphore::MAX_PERMITS))),
            ticket_s: limits.ticket_s,
        }
    }

    /// Keeps a stream until its ticket comes or ends.
    fn keep(
        self: &Arc<Self>,
        stream: EventStream,
        place: OwnedSemaphorePermit,
    ) -> Result<Ticket, Refusal> {
        let ticket = URL_SAFE_NO_PAD.encode(random::<32>()?);
        let hash = hash(&ticket);
        let (sessions, life) = (Arc::clone(self), Duration::from_secs(self.ticket_s));
        // Under the lock: even a life of no time ends behind the insertion.
        let mut waiting = self.waiting.lock();
        let expiry = tokio::spawn(async move {
            tokio::time::sleep(life).await;
            let expired = sessions.waiting.lock().remove(&hash);
            if expired.is_some() {
                metrics::counter!("fanfare_event_sessions_expired_total").increment(1);
            }
        });
        let expiry = expiry.abort_handle();
        waiting.insert(
            hash,
            Waiting {
                stream,
                expiry,
                _place: place,
            },
        );
        Ok(Ticket {
            ticket,
            expires_in_s: self.ticket_s,
        })
    }
}

impl Gateway {
    /// Begins a session with a hello of `bytes` bytes and answers it; the
    /// ticket opens the stream.
    ///
    /// # Errors
    /// What hello is refused with; `overloaded` when too many sessions wait
    /// for their streams.
    pub async fn begin_event_session(
        self: &Arc<Self>,
        identity: Identity,
        address: IpAddr,
        hello: Hello,
        bytes: usize,
    ) -> Result<EventSessionBegun, Refusal> {
        let sessions = &self.event_sessions;
        let place = Arc::clone(&sessions.places).try_acquire_owned();
        let place = place.map_err(|_| {
            let refusal = Refusal::new(Code::Overloaded, "too many sessions wait for a stream");
            refusal.after_ms(RETRY_AFTER_MS)
        })?;
        let id = URL_SAFE_NO_PAD.encode(random::<16>()?);
        let (writer, reader) = body(EVENT_STREAM_BYTES_MAX);
        let wire = Wire::Body(writer);
        let connection = self.connect(wire, Format::EventStream, address, Some(identity))?;
        let session = Arc::new(EventSession {
            id: id.clone(),
            user: identity.user,
            connection,
            turn: tokio::sync::Mutex::new(()),
            limits: Arc::clone(self.limits()),
        });
        let stream = EventStream {
            reader,
            session: Arc::clone(&session),
            sessions: Arc::clone(sessions),
        };
        let permit = session.connection.permit(bytes).await?;
        let hello = session.connection.hello(hello, permit).await?;
        sessions.open.lock().insert(id.clone(), session);
        let ticket = sessions.keep(stream, place)?;
        Ok(EventSessionBegun { id, ticket, hello })
    }

    /// The stream of a ticket, once.
    ///
    /// # Errors
    /// `unauthenticated` for a ticket that was used, has ended or never was.
    pub fn event_stream(&self, ticket: &str) -> Result<EventStream, Refusal> {
        let waiting = (ticket.len() <= TOKEN_BYTES_MAX)
            .then(|| self.event_sessions.waiting.lock().remove(&hash(ticket)))
            .flatten();
        let stream = waiting.map(|waiting| {
            waiting.expiry.abort();
            waiting.stream
        });
        let stream = stream.filter(|stream| !stream.reader.is_cut());
        stream.ok_or_else(|| {
            Refusal::new(
                Code::Unauthenticated,
                "the ticket was used, has ended or never was",
            )
        })
    }

    /// A user's own session.
    ///
    /// # Errors
    /// `not_found`, also for another user's.
    pub fn event_session(&self, user: UserId, id: &str) -> Result<Arc<EventSession>, Refusal> {
        let session = self.event_sessions.open.lock().get(id).cloned();
        session
            .filter(|session| session.user == user && !session.connection.socket.is_over())
            .ok_or_else(no_session)
    }
}

impl EventSession {
    /// The right to say something; one at a time, so that frames keep the
    /// order in which they were answered.
    ///
    /// # Errors
    /// `conflict` while another has it.
    pub fn turn(&self) -> Result<MutexGuard<'_, ()>, Refusal> {
        self.turn.try_lock().map_err(|_| {
            Refusal::new(
                Code::Conflict,
                "another frame of this session is being read",
            )
        })
    }

    /// Hands a frame to the session, as soon as it may have one more in
    /// flight and its replies are taken: whoever reads nothing says nothing.
    ///
    /// # Errors
    /// What is wrong with the frame; `overloaded` when the node has too much
    /// in flight; `not_found` when the session ended meanwhile.
    pub async fn say(&self, codec: Codec, bytes: &[u8]) -> Result<(), Refusal> {
        let bytes_max = self.limits.frame_bytes_max;
        if bytes.len() > bytes_max {
            let reason = format!("a frame has at most {bytes_max} bytes");
            return Err(Refusal::new(Code::TooLarge, reason));
        }
        let frame = ClientFrame::decode(codec, bytes)?;
        if let Err(refusal) = &frame.body {
            return Err(refusal.clone());
        }
        let socket = &self.connection.socket;
        socket.writable(self.limits.control_queue_bytes_max).await;
        let permit = self.connection.permit(bytes.len()).await?;
        if socket.is_over() {
            return Err(no_session());
        }
        self.connection.frame(frame, permit);
        Ok(())
    }
}

fn no_session() -> Refusal {
    Refusal::not_found("session")
}

impl Stream for EventStream {
    type Item = Result<Bytes, CutOff>;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.reader.poll_take(context)
    }
}

impl Drop for EventStream {
    fn drop(&mut self) {
        self.sessions.open.lock().remove(&self.session.id);
        self.session.connection.closed();
    }
}

fn hash(ticket: &str) -> [u8; 32] {
    Sha256::digest(ticket.as_bytes()).into()
}
