//! Hello: who it is, and the first subscriptions, answered in one order:
//! registered, identified, placed, replied, released.

use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fanfare_engine::check;
use fanfare_protocol::cursor::{CursorWish, Gone, GoneReason, Placed};
use fanfare_protocol::frame::{FrameId, Hello, HelloLimits, HelloReply};
use fanfare_protocol::limits::HELLO_TURN_MS_MAX;
use fanfare_protocol::reply::Reply;
use fanfare_protocol::user::User;
use fanfare_protocol::{Code, ConversationId, Refusal};
use tokio::sync::oneshot;

use super::actor::{Phase, SessionMessage, State, Welcome, refuse};
use super::place::SessionRef;
use crate::account::Identity;
use crate::fanout::{Close, SocketHandle};
use crate::frames;
use crate::gateway::{Active, Asked, Gateway, Permit, Placement, Seen};
use crate::sessions::Present;

/// Whom hello is answered to.
pub(super) enum Asker {
    /// A frame, if it asked for an answer.
    Frame(Option<FrameId>),
    /// Whoever began the session in the client's name.
    Caller(oneshot::Sender<Result<HelloReply, Refusal>>),
}

impl Asker {
    /// Tells a caller at once; gives the frame for a frame.
    fn welcome(self, socket: &SocketHandle, reply: HelloReply) -> Option<bytes::Bytes> {
        match self {
            Self::Frame(id) => {
                let reply = Reply::Hello(Box::new(reply));
                frames::reply(socket.format(), &id?, &Ok(&reply))
            }
            Self::Caller(caller) => {
                // One that went away ends the session.
                let _ = caller.send(Ok(reply));
                None
            }
        }
    }

    fn refuse(self, socket: &SocketHandle, refusal: Refusal) {
        match self {
            Self::Frame(id) => refuse(socket, id, None, refusal),
            Self::Caller(caller) => drop(caller.send(Err(refusal))),
        }
    }
}

impl State {
    pub(super) fn hello(
        &mut self,
        myself: &SessionRef,
        asker: Asker,
        hello: Hello,
        permit: Permit,
    ) {
        let identity = match self.identity_of(&hello) {
            Ok(identity) => identity,
            Err(refusal) => return asker.refuse(&self.socket, refusal),
        };
        if let Err(refusal) =
            check::cursor_count("cursors", hello.cursors.len(), self.gateway.limits())
        {
            return asker.refuse(&self.socket, refusal);
        }
        self.phase = Phase::Greeting(VecDeque::new());
        let greeting = Greeting {
            gateway: Arc::clone(&self.gateway),
            socket: self.socket.clone(),
            session: myself.clone(),
            identity,
            end_ms: self.end_ms(&identity),
        };
        tokio::spawn(async move {
            let session = greeting.session.clone();
            let gateway = Arc::clone(&greeting.gateway);
            // Closed by nobody.
            let turn = gateway.hello_turns.acquire().await;
            let mut greet = std::pin::pin!(greeting.greet(hello, asker));
            let turn_max = Duration::from_millis(HELLO_TURN_MS_MAX);
            let in_time = tokio::time::timeout(turn_max, &mut greet).await;
            // One that waits for a room to load holds up no others.
            drop(turn);
            let welcome = match in_time {
                Ok(welcome) => welcome,
                Err(_) => greet.await,
            };
            session.tell(SessionMessage::Welcomed(Box::new(welcome)));
            drop(permit);
        });
    }

    fn identity_of(&self, hello: &Hello) -> Result<Identity, Refusal> {
        let accounts = self.gateway.accounts();
        // The first there is: the upgrade's, else hello's.
        if let Some(identity) = self.offered {
            return Ok(identity);
        }
        match (&hello.token, &hello.ticket) {
            (Some(token), _) => accounts.authenticate(token),
            (None, Some(ticket)) => accounts.redeem_ticket(ticket),
            (None, None) => Err(Refusal::new(
                Code::Unauthenticated,
                "no token and no ticket",
            )),
        }
    }

    pub(super) fn welcomed(&mut self, myself: &SessionRef, welcome: Result<Welcome, Refusal>) {
        let early = match std::mem::replace(&mut self.phase, Phase::New) {
            Phase::Greeting(early) => early,
            Phase::New | Phase::Ready(_) => VecDeque::new(),
        };
        if let Ok(welcome) = welcome {
            let Welcome {
                identity,
                user,
                later,
                registered,
            } = welcome;
            tracing::debug!(user = %identity.user, address = %self.address, "session begins");
            self.phase = Phase::Ready(Box::new((identity, user, registered)));
            self.put_off(myself, later);
            self.next_job(myself);
        }
        for (frame, permit) in early {
            self.frame(myself, frame, permit);
        }
    }
}

struct Greeting {
    gateway: Arc<Gateway>,
    socket: SocketHandle,
    session: SessionRef,
    identity: Identity,
    end_ms: u64,
}

/// What hello subscribes.
struct Wished {
    wishes: Vec<CursorWish>,
    too_many: Vec<Gone>,
    /// What the user was just found to be a member of.
    seen: Seen,
}

impl Greeting {
    async fn greet(self, hello: Hello, asker: Asker) -> Result<Welcome, Refusal> {
        let (welcome, placement) = match self.place(&hello).await {
            Ok(welcome) => welcome,
            Err(refusal) => {
                asker.refuse(&self.socket, refusal.clone());
                return Err(refusal);
            }
        };
        let subscribed: Vec<ConversationId> = placement
            .from
            .iter()
            .map(|start| start.conversation)
            .collect();
        let reply = self.reply(welcome.user.clone(), placement.placed);
        self.session.tell(SessionMessage::Subscribed(subscribed));
        let frame = asker.welcome(&self.socket, reply);
        self.socket.release(frame, placement.from);
        Ok(welcome)
    }

    /// Registers, identifies, places.
    async fn place(&self, hello: &Hello) -> Result<(Welcome, Placement), Refusal> {
        let identity = self.identity;
        let user = self.gateway.accounts().check_session(&identity).await?;
        let present = Present {
            session: identity.session,
            socket: self.socket.clone(),
            told: self.session.clone(),
        };
        let registered = self.gateway.parts.sessions.add(identity.user, present)?;
        // Whoever revoked it before it was registered did not find it.
        if self.gateway.accounts().is_revoked(identity.session) {
            self.socket.close(Close::new(4201, "revoked"));
            return Err(Refusal::new(Code::Unauthenticated, "logged out"));
        }
        self.socket.identify(identity.user, self.end_ms);
        let Wished {
            wishes,
            too_many,
            seen,
        } = self.wishes(hello).await?;
        let mut placement = self
            .gateway
            .place(identity.user, &self.socket, wishes.clone(), seen)
            .await;
        placement.placed.gone.extend(too_many);
        let later = later_of(&placement.placed, &wishes);
        let welcome = Welcome {
            identity,
            user,
            later,
            registered,
        };
        Ok((welcome, placement))
    }

    /// The client's cursors, then its most recently active conversations, as
    /// many as a session may be subscribed to; and the cursors beyond that.
    async fn wishes(&self, hello: &Hello) -> Result<Wished, Refusal> {
        let limits = self.gateway.limits();
        let max = limits.subscriptions_per_session_max;
        let mut known = HashSet::new();
        let named = hello.cursors.iter().map(|cursor| (*cursor).into());
        let mut wishes: Vec<CursorWish> = named
            .filter(|wish: &CursorWish| known.insert(wish.conversation))
            .collect();
        let too_many = wishes.split_off(wishes.len().min(max));
        let mut seen = Seen::nothing(&self.gateway.parts.directory);
        let wanted = limits.hello_subscriptions;
        let active = (self.gateway)
            .active(self.identity.user, None, wanted, Asked::Places)
            .await?;
        for Active { membership, .. } in &active {
            seen.add(membership.conversation, membership.row);
        }
        let recent = active.iter().take(limits.hello_subscriptions);
        let recent = recent.map(|active| CursorWish {
            conversation: active.membership.conversation,
            epoch: None,
            seq: None,
        });
        wishes.extend(recent.filter(|wish| known.insert(wish.conversation)));
        wishes.truncate(max);
        let gone = too_many.into_iter().map(|wish| Gone {
            conversation: wish.conversation,
            reason: GoneReason::TooMany,
        });
        Ok(Wished {
            wishes,
            too_many: gone.collect(),
            seen,
        })
    }

    fn reply(&self, user: User, placed: Placed) -> HelloReply {
        let limits = self.gateway.limits();
        let reply = HelloReply {
            session: self.identity.session,
            user,
            minor: 0,
            heartbeat_s: limits.heartbeat_ms.div_ceil(1000),
            limits: HelloLimits {
                frame_bytes_max: limits.frame_bytes_max,
                message_text_bytes_max: limits.message_text_bytes_max,
                subscriptions_max: limits.subscriptions_per_session_max,
                cursors_max: limits.cursors_max,
                delivered_members_max: limits.marks_shown_members_max,
            },
            subscribed: Vec::new(),
            resync: Vec::new(),
            gone: Vec::new(),
            later: Vec::new(),
        };
        reply.place(placed)
    }
}

/// The wishes behind `later`.
pub(super) fn later_of(placed: &Placed, wishes: &[CursorWish]) -> Vec<CursorWish> {
    let later = |wish: &&CursorWish| placed.later.contains(&wish.conversation);
    wishes.iter().filter(later).copied().collect()
}
