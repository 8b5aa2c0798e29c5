//! Role: one connection: who it is, what it asks, how it ends. Commands are
//! cast to rooms with a reply handle, so many may be in flight.
//! Arguments: its state, as it was when it last slept. Messages:
//! [`SessionMessage`], through its [`SessionRef`] only. Supervised by
//! [`super::SessionSupervisor`].

use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;

use fanfare_engine::room::Submission;
use fanfare_protocol::cursor::{Cursor, CursorWish};
use fanfare_protocol::frame::{ClientBody, ClientFrame, FrameId, Hello, HelloReply};
use fanfare_protocol::limits::FRAME_STRIKES_MAX;
use fanfare_protocol::reply::{Reply, SessionInfo};
use fanfare_protocol::signal::Signal;
use fanfare_protocol::user::User;
use fanfare_protocol::{Code, ConversationId, Refusal, Timestamp};
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;

use super::hello::Asker;
use super::lane::Lane;
use super::place::SessionRef;
use super::places::{Job, Outcome};
use crate::account::Identity;
use crate::clock;
use crate::fanout::{Close, SocketHandle};
use crate::frames;
use crate::gateway::{Gateway, Permit};
use crate::reply::Answered;
use crate::sessions::Registered;

/// What a session is told.
pub enum SessionMessage {
    /// A frame came in.
    Frame(Box<ClientFrame>, Permit),
    /// Hello, before any frame, from whoever began the session in the
    /// client's name.
    Hello(
        Box<Hello>,
        Permit,
        oneshot::Sender<Result<HelloReply, Refusal>>,
    ),
    /// Hello is answered: who it is and what it is subscribed to.
    Welcomed(Box<Result<Welcome, Refusal>>),
    /// What a command names was looked up.
    Prepared(ConversationId, u64, Box<Result<Submission, Refusal>>),
    /// A room answered.
    Answered(ConversationId, u64, Answered),
    /// These subscriptions are about to be released: told before they can end.
    Subscribed(Vec<ConversationId>),
    /// Cursors were placed and answered.
    Placed(Outcome),
    /// Its user has become a member, at this cursor.
    Added(Cursor),
    /// A subscription ended with its last entry.
    Ended(ConversationId),
    /// Repeat what had to wait for an owner.
    Again,
    /// A heartbeat went by in which it was told nothing.
    Rest,
    /// The socket is closed.
    Closed,
}

/// Who a session turned out to be.
pub struct Welcome {
    pub(super) identity: Identity,
    pub(super) user: User,
    pub(super) later: Vec<CursorWish>,
    pub(super) registered: Registered,
}

/// The actor.
pub(super) struct Session(pub SessionRef);

/// What the actor has in hand.
pub(super) struct Awake {
    /// Handed back when it goes to sleep.
    state: Option<Box<State>>,
    handled: u64,
}

/// A session. Dropping it closes the socket.
pub(crate) struct State {
    pub(super) socket: SocketHandle,
    pub(super) gateway: Arc<Gateway>,
    pub(super) address: IpAddr,
    pub(super) offered: Option<Identity>,
    pub(super) phase: Phase,
    pub(super) connected_at: Timestamp,
    pub(super) subscribed: HashSet<ConversationId>,
    /// What waits for its owner, and whether it will be asked again.
    pub(super) later: HashMap<ConversationId, CursorWish>,
    pub(super) again: bool,
    /// New memberships that wait for an older subscription's last entry.
    pub(super) returning: HashMap<ConversationId, Cursor>,
    pub(super) lanes: HashMap<ConversationId, Lane>,
    pub(super) jobs: VecDeque<Job>,
    pub(super) placing: bool,
    strikes: usize,
}

pub(super) enum Phase {
    /// Waits for hello.
    New,
    /// Hello is being answered; what comes meanwhile waits (it has permits).
    Greeting(VecDeque<(ClientFrame, Permit)>),
    /// Serves.
    Ready(Box<(Identity, User, Registered)>),
}

impl Actor for Session {
    type Msg = SessionMessage;
    type State = Awake;
    type Arguments = Box<State>;

    async fn pre_start(
        &self,
        _: ActorRef<SessionMessage>,
        state: Box<State>,
    ) -> Result<Awake, ActorProcessingErr> {
        metrics::gauge!("fanfare_session_actors").increment(1.0);
        Ok(Awake {
            state: Some(state),
            handled: 0,
        })
    }

    async fn handle(
        &self,
        actor: ActorRef<SessionMessage>,
        message: SessionMessage,
        awake: &mut Awake,
    ) -> Result<(), ActorProcessingErr> {
        let myself = &self.0;
        awake.handled += 1;
        let Some(state) = &mut awake.state else {
            return Ok(());
        };
        match message {
            SessionMessage::Frame(frame, permit) => state.frame(myself, *frame, permit),
            SessionMessage::Hello(hello, permit, caller) => {
                state.hello(myself, Asker::Caller(caller), *hello, permit);
            }
            SessionMessage::Welcomed(welcome) => state.welcomed(myself, *welcome),
            SessionMessage::Prepared(conversation, number, result) => {
                state.prepared(myself, conversation, number, *result);
            }
            SessionMessage::Answered(conversation, number, answered) => {
                state.answered(myself, conversation, number, answered);
            }
            SessionMessage::Subscribed(conversations) => state.subscribed.extend(conversations),
            SessionMessage::Placed(outcome) => state.placed(myself, outcome),
            SessionMessage::Added(cursor) => state.enqueue(myself, Job::Added(cursor)),
            SessionMessage::Ended(conversation) => state.ended(myself, conversation),
            SessionMessage::Again => state.enqueue(myself, Job::Again),
            SessionMessage::Rest => {
                if state.rests() && myself.sleep(awake.handled, &mut awake.state) {
                    actor.stop(None);
                }
            }
            SessionMessage::Closed => actor.stop(None),
        }
        Ok(())
    }
}

impl Drop for Awake {
    fn drop(&mut self) {
        metrics::gauge!("fanfare_session_actors").decrement(1.0);
    }
}

impl Drop for State {
    fn drop(&mut self) {
        // Does nothing when the socket is closed or closing already.
        self.socket.close(Close::new(1011, "session ended"));
    }
}

impl State {
    /// A connection of which nothing is known yet. `identity` is what the
    /// upgrade said.
    pub fn new(
        socket: SocketHandle,
        gateway: Arc<Gateway>,
        address: IpAddr,
        identity: Option<Identity>,
    ) -> Self {
        Self {
            socket,
            gateway,
            address,
            offered: identity,
            phase: Phase::New,
            connected_at: clock::wall(),
            subscribed: HashSet::new(),
            later: HashMap::new(),
            again: false,
            returning: HashMap::new(),
            lanes: HashMap::new(),
            jobs: VecDeque::new(),
            placing: false,
            strikes: 0,
        }
    }

    /// Whose child its actor is.
    pub(super) fn supervisor(&self) -> Option<ActorCell> {
        let supervisors = &self.gateway.parts.supervisors;
        let number = usize::try_from(self.socket.id().number()).unwrap_or(0);
        supervisors.get(number % supervisors.len().max(1)).cloned()
    }

    /// Whether nothing is in flight; gives back the memory it took.
    fn rests(&mut self) -> bool {
        let rests = matches!(self.phase, Phase::Ready(_))
            && self.lanes.is_empty()
            && self.jobs.is_empty()
            && !self.placing
            && !self.again
            && self.returning.is_empty();
        if rests {
            self.lanes = HashMap::new();
            self.jobs = VecDeque::new();
            self.later.shrink_to_fit();
            self.returning = HashMap::new();
            self.subscribed.shrink_to_fit();
        }
        rests
    }

    pub(super) fn frame(&mut self, myself: &SessionRef, frame: ClientFrame, permit: Permit) {
        let ClientFrame { id, key, body } = frame;
        let body = match body {
            Ok(body) => body,
            Err(refusal) => return self.refuse(id, key, refusal),
        };
        match (&mut self.phase, body) {
            (Phase::Greeting(early), body) => {
                early.push_back((
                    ClientFrame {
                        id,
                        key,
                        body: Ok(body),
                    },
                    permit,
                ));
            }
            (Phase::New, ClientBody::Hello(hello)) => {
                self.hello(myself, Asker::Frame(id), hello, permit);
            }
            (Phase::New, _) => {
                let refusal = Refusal::new(Code::Unauthenticated, "say session:hello first");
                self.refuse(id, key, refusal);
            }
            (Phase::Ready(who), body) => {
                let (identity, user) = (who.0, who.1.clone());
                if let Err(refusal) = self.gateway.rates().frame(identity.session) {
                    return self.strike(id, key, refusal);
                }
                self.asked(myself, &identity, user, id, key, body, permit);
            }
        }
    }

    #[expect(
        clippy::too_many_arguments,
        reason = "one frame's parts, taken apart once"
    )]
    fn asked(
        &mut self,
        myself: &SessionRef,
        identity: &Identity,
        user: User,
        id: Option<FrameId>,
        key: Option<String>,
        body: ClientBody,
        permit: Permit,
    ) {
        match body {
            ClientBody::Hello(_) => {
                let refusal = Refusal::new(Code::Conflict, "this session said hello already");
                self.refuse(id, key, refusal);
            }
            ClientBody::Ping => self.answer(id, &Reply::Done {}),
            ClientBody::Info => {
                let mut subscribed: Vec<ConversationId> = self.subscribed.iter().copied().collect();
                subscribed.sort_unstable();
                let connected_at = self.connected_at;
                let info = SessionInfo {
                    session: identity.session,
                    user,
                    subscribed,
                    connected_at,
                };
                self.answer(id, &Reply::Info(Box::new(info)));
            }
            ClientBody::Refresh { token } => self.refresh(identity, id, key, &token),
            ClientBody::Resume(cursors) => {
                let wishes = cursors.into_iter().map(CursorWish::from).collect();
                self.subscribe(myself, id, key, "cursors", wishes, permit);
            }
            ClientBody::Subscribe(wishes) => {
                self.subscribe(myself, id, key, "cursors", wishes, permit);
            }
            ClientBody::Unsubscribe(conversations) => {
                self.enqueue(myself, Job::Unsubscribe(id, conversations, permit));
            }
            ClientBody::Command(conversation, command) => {
                self.command(
                    myself,
                    identity.user,
                    conversation,
                    command,
                    id,
                    key,
                    permit,
                );
            }
            ClientBody::Mark(ask) => self.mark(identity.user, ask, id, key, permit),
        }
    }

    fn refresh(
        &mut self,
        identity: &Identity,
        id: Option<FrameId>,
        key: Option<String>,
        token: &str,
    ) {
        match self.gateway.accounts().authenticate(token) {
            Ok(fresh) if fresh.user != identity.user || fresh.session != identity.session => {
                let refusal = Refusal::new(Code::Forbidden, "the token is of another log-in");
                self.refuse(id, key, refusal);
            }
            Ok(fresh) => {
                if let Phase::Ready(who) = &mut self.phase {
                    who.0 = fresh;
                }
                self.socket.identify(fresh.user, self.end_ms(&fresh));
                self.answer(id, &Reply::Done {});
            }
            Err(refusal) => self.refuse(id, key, refusal),
        }
    }

    /// When the socket of this identity closes, in monotonic milliseconds.
    pub(super) fn end_ms(&self, identity: &Identity) -> u64 {
        let left_ms = identity.expires_at.since_ms(clock::wall());
        clock::monotonic_ms() + left_ms + self.gateway.limits().token_grace_ms
    }

    /// Too many frames: refused, and in the end closed.
    fn strike(&mut self, id: Option<FrameId>, key: Option<String>, refusal: Refusal) {
        self.strikes += 1;
        if self.strikes > FRAME_STRIKES_MAX {
            let delay_ms = refusal.retry_after_ms.unwrap_or(1000).max(1000);
            self.socket.close(Close::new(4101, delay_ms.to_string()));
        } else {
            self.refuse(id, key, refusal);
        }
    }

    /// Answers a frame, if it asked for an answer.
    pub(super) fn answer(&self, id: Option<FrameId>, reply: &Reply) {
        if let Some(id) = id {
            answer(&self.socket, &id, &Ok(reply));
        }
    }

    /// Refuses a frame; without id by an `error` event.
    pub(super) fn refuse(&self, id: Option<FrameId>, key: Option<String>, refusal: Refusal) {
        refuse(&self.socket, id, key, refusal);
    }
}

/// Queues a reply.
pub(super) fn answer(socket: &SocketHandle, id: &FrameId, reply: &Result<&Reply, Refusal>) {
    if let Some(frame) = frames::reply(socket.format(), id, reply) {
        socket.send(frame);
    }
}

/// Queues a refusal.
pub(crate) fn refuse(
    socket: &SocketHandle,
    id: Option<FrameId>,
    key: Option<String>,
    refusal: Refusal,
) {
    match id {
        Some(id) => answer(socket, &id, &Err(refusal)),
        None => {
            let error = Signal::Error { key, refusal };
            if let Some(frame) = frames::signal(socket.format(), None, &error) {
                socket.send(frame);
            }
        }
    }
}
