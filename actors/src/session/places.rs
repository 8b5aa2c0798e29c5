//! Placing cursors of a running session, one job at a time, so that replies
//! and the subscriptions they name keep one order.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfare_engine::check;
use fanfare_protocol::cursor::{Cursor, CursorWish, Gone, GoneReason, Placed};
use fanfare_protocol::frame::FrameId;
use fanfare_protocol::limits::LATER_MS;
use fanfare_protocol::reply::Reply;
use fanfare_protocol::signal::Signal;
use fanfare_protocol::{ConversationId, UserId};

use super::actor::{Phase, SessionMessage, State};
use super::hello::later_of;
use super::place::SessionRef;
use crate::fanout::{SocketHandle, Start};
use crate::frames;
use crate::gateway::{Gateway, Permit, Placement, Seen};

/// Something to place.
pub(super) enum Job {
    /// A request: resume or subscribe.
    Asked(Option<FrameId>, Vec<CursorWish>, Permit),
    /// The opposite.
    Unsubscribe(Option<FrameId>, Vec<ConversationId>, Permit),
    /// The user has become a member.
    Added(Cursor),
    /// What earlier answers put off.
    Again,
}

/// What became of a job, beside what it subscribed.
#[derive(Default)]
pub struct Outcome {
    /// Not subscribed any more.
    ended: Vec<ConversationId>,
    /// To be asked again.
    later: Vec<CursorWish>,
}

impl State {
    pub(super) fn subscribe(
        &mut self,
        myself: &SessionRef,
        id: Option<FrameId>,
        key: Option<String>,
        field: &str,
        mut wishes: Vec<CursorWish>,
        permit: Permit,
    ) {
        if let Err(refusal) = check::cursor_count(field, wishes.len(), self.gateway.limits()) {
            return self.refuse(id, key, refusal);
        }
        // As in hello, the first counts.
        let mut named = HashSet::new();
        wishes.retain(|wish| named.insert(wish.conversation));
        self.enqueue(myself, Job::Asked(id, wishes, permit));
    }

    /// Jobs are bounded: requests by permits, additions by memberships.
    pub(super) fn enqueue(&mut self, myself: &SessionRef, job: Job) {
        self.jobs.push_back(job);
        self.next_job(myself);
    }

    pub(super) fn next_job(&mut self, myself: &SessionRef) {
        while !self.placing {
            let Phase::Ready(who) = &self.phase else {
                return;
            };
            let user = who.0.user;
            let Some(job) = self.jobs.pop_front() else {
                return;
            };
            match job {
                Job::Unsubscribe(id, conversations, _permit) => self.unsubscribe(id, conversations),
                // An older subscription is still being written to its end, or
                // one was asked for meanwhile and delivers this already.
                Job::Added(cursor) if self.subscribed.contains(&cursor.conversation) => {
                    self.returning.insert(cursor.conversation, cursor);
                }
                Job::Added(cursor) => {
                    self.place(myself, user, Asked::Added(vec![cursor.into()], cursor))
                }
                Job::Asked(id, wishes, permit) => {
                    self.place(myself, user, Asked::Request(id, wishes, permit));
                }
                Job::Again => {
                    self.again = false;
                    let wishes: Vec<CursorWish> = self.later.values().copied().collect();
                    if !wishes.is_empty() {
                        self.place(myself, user, Asked::Again(wishes));
                    }
                }
            }
        }
    }

    fn place(&mut self, myself: &SessionRef, user: UserId, mut asked: Asked) {
        self.placing = true;
        let too_many = self.within_limit(asked.wishes());
        for wish in asked.wishes() {
            self.later.remove(&wish.conversation);
        }
        let placing = Placing {
            gateway: Arc::clone(&self.gateway),
            socket: self.socket.clone(),
            session: myself.clone(),
            user,
        };
        let session = myself.clone();
        tokio::spawn(async move {
            let outcome = placing.carry_out(asked, too_many).await;
            session.tell(SessionMessage::Placed(outcome));
        });
    }

    fn unsubscribe(&mut self, id: Option<FrameId>, conversations: Vec<ConversationId>) {
        for conversation in &conversations {
            self.subscribed.remove(conversation);
            self.later.remove(conversation);
            self.returning.remove(conversation);
        }
        self.socket.unsubscribe(conversations);
        self.answer(id, &Reply::Done {});
    }

    pub(super) fn placed(&mut self, myself: &SessionRef, outcome: Outcome) {
        self.placing = false;
        self.put_off(myself, outcome.later);
        for conversation in outcome.ended {
            self.ended(myself, conversation);
        }
        self.next_job(myself);
    }

    pub(super) fn ended(&mut self, myself: &SessionRef, conversation: ConversationId) {
        self.subscribed.remove(&conversation);
        if let Some(cursor) = self.returning.remove(&conversation) {
            self.enqueue(myself, Job::Added(cursor));
        }
    }

    /// What an owner could not say yet is asked again after a while.
    pub(super) fn put_off(&mut self, myself: &SessionRef, later: Vec<CursorWish>) {
        let wishes = later.into_iter().map(|wish| (wish.conversation, wish));
        self.later.extend(wishes);
        if self.later.is_empty() || self.again {
            return;
        }
        self.again = true;
        let session = myself.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(LATER_MS)).await;
            session.tell(SessionMessage::Again);
        });
    }

    /// Takes out what would be more subscriptions than a session may have.
    fn within_limit(&self, wishes: &mut Vec<CursorWish>) -> Vec<Gone> {
        let max = self.gateway.limits().subscriptions_per_session_max;
        let mut room = max.saturating_sub(self.subscribed.len() + self.later.len());
        let mut too_many = Vec::new();
        wishes.retain(|wish| {
            let conversation = wish.conversation;
            let counted = self.subscribed.contains(&conversation);
            if counted || self.later.contains_key(&conversation) {
                return true;
            }
            if room == 0 {
                too_many.push(Gone {
                    conversation,
                    reason: GoneReason::TooMany,
                });
                return false;
            }
            room -= 1;
            true
        });
        too_many
    }
}

/// What is placed, and how it is answered.
enum Asked {
    Request(Option<FrameId>, Vec<CursorWish>, Permit),
    Added(Vec<CursorWish>, Cursor),
    Again(Vec<CursorWish>),
}

impl Asked {
    fn wishes(&mut self) -> &mut Vec<CursorWish> {
        match self {
            Self::Request(_, wishes, _) | Self::Added(wishes, _) | Self::Again(wishes) => wishes,
        }
    }
}

struct Placing {
    gateway: Arc<Gateway>,
    socket: SocketHandle,
    session: SessionRef,
    user: UserId,
}

impl Placing {
    async fn carry_out(&self, asked: Asked, too_many: Vec<Gone>) -> Outcome {
        match asked {
            Asked::Request(id, wishes, permit) => {
                let answer = |placed: Placed| {
                    let reply = Reply::Placed(placed);
                    frames::reply(self.socket.format(), &id?, &Ok(&reply))
                };
                let outcome = self.place(wishes, too_many, answer).await;
                drop(permit);
                outcome
            }
            Asked::Again(wishes) => {
                // Nothing to tell when all of it still waits.
                let resumed = |placed: Placed| {
                    let news = !placed.subscribed.is_empty()
                        || !placed.resync.is_empty()
                        || !placed.gone.is_empty();
                    let signal = Signal::SessionResumed(placed);
                    news.then(|| frames::signal(self.socket.format(), None, &signal))?
                };
                self.place(wishes, too_many, resumed).await
            }
            // Past the limit the client hears of it by `unread:update`.
            Asked::Added(wishes, _) if wishes.is_empty() => Outcome::default(),
            Asked::Added(wishes, cursor) => self.added(wishes, cursor).await,
        }
    }

    async fn placed(&self, wishes: Vec<CursorWish>) -> Placement {
        let seen = Seen::nothing(&self.gateway.parts.directory);
        self.gateway
            .place(self.user, &self.socket, wishes, seen)
            .await
    }

    async fn place(
        &self,
        wishes: Vec<CursorWish>,
        too_many: Vec<Gone>,
        frame: impl FnOnce(Placed) -> Option<Bytes>,
    ) -> Outcome {
        let mut placement = self.placed(wishes.clone()).await;
        let outcome = Outcome::of(&placement.placed, &wishes);
        placement.placed.gone.extend(too_many);
        self.release(frame(placement.placed), placement.from);
        outcome
    }

    /// Tells of a new membership and delivers from its entry on.
    async fn added(&self, wishes: Vec<CursorWish>, cursor: Cursor) -> Outcome {
        let placement = self.placed(wishes.clone()).await;
        let mut outcome = Outcome::of(&placement.placed, &wishes);
        let Some(start) = placement.from.first().copied() else {
            return outcome;
        };
        let conversation = start.conversation;
        let seen = match self.gateway.conversation(self.user, conversation).await {
            Ok(seen) => seen,
            Err(refusal) => {
                self.socket.unsubscribe(vec![conversation]);
                if refusal.code.retryable() {
                    outcome.later.extend(wishes);
                }
                return outcome;
            }
        };
        let placed = placement
            .placed
            .subscribed
            .iter()
            .chain(&placement.placed.resync);
        let cursor = placed.copied().next().unwrap_or(cursor);
        let signal = Signal::ConversationCreated {
            conversation: Box::new(seen),
            cursor,
        };
        let frame = frames::signal(self.socket.format(), Some(conversation), &signal);
        self.release(frame, placement.from);
        outcome
    }

    fn release(&self, frame: Option<Bytes>, from: Vec<Start>) {
        let subscribed = from.iter().map(|start| start.conversation).collect();
        self.session.tell(SessionMessage::Subscribed(subscribed));
        self.socket.release(frame, from);
    }
}

impl Outcome {
    fn of(placed: &Placed, wishes: &[CursorWish]) -> Self {
        let gone = placed.gone.iter().map(|gone| gone.conversation);
        Self {
            ended: gone.chain(placed.later.iter().copied()).collect(),
            later: later_of(placed, wishes),
        }
    }
}
