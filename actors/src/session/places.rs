//! Placing cursors of a running session, one job at a time, so that replies
//! and the subscriptions they name keep one order.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfare_engine::check;
use fanfare_protocol::cursor::{Cursor, CursorWish, Gone, GoneReason, Placed};
use fanfare_protocol::frame::{FrameId, encode_reply, encode_signal};
use fanfare_protocol::limits::{ADDED_AGAIN_MS, ADDED_TRIES_MAX, LATER_MS};
use fanfare_protocol::reply::Reply;
use fanfare_protocol::signal::Signal;
use fanfare_protocol::{ConversationId, UserId};
use ractor::ActorRef;

use super::actor::{Phase, SessionMessage, State};
use super::hello::later_of;
use crate::fanout::{SocketHandle, text_frame};
use crate::gateway::{Gateway, Permit};

/// Something to place.
pub(super) enum Job {
    /// A request: resume or subscribe.
    Asked(Option<FrameId>, Vec<CursorWish>, Permit),
    /// The user has become a member.
    Added(Cursor),
    /// What an earlier answer put off.
    Again(Vec<CursorWish>),
}

impl State {
    pub(super) fn subscribe(
        &mut self,
        myself: &ActorRef<SessionMessage>,
        id: Option<FrameId>,
        key: Option<String>,
        field: &str,
        wishes: Vec<CursorWish>,
        permit: Permit,
    ) {
        match check::cursor_count(field, wishes.len(), self.gateway.limits()) {
            Ok(()) => self.enqueue(myself, Job::Asked(id, wishes, permit)),
            Err(refusal) => self.refuse(id, key, refusal),
        }
    }

    /// Jobs are bounded: requests by permits, additions by memberships.
    pub(super) fn enqueue(&mut self, myself: &ActorRef<SessionMessage>, job: Job) {
        self.jobs.push_back(job);
        self.next_job(myself);
    }

    /// A new membership. While a subscription from an earlier one is still
    /// being written to its end, the new one waits.
    pub(super) fn added(&mut self, myself: &ActorRef<SessionMessage>, cursor: Cursor, tries: u8) {
        if !self.subscribed.contains(&cursor.conversation) {
            self.enqueue(myself, Job::Added(cursor));
        } else if tries < ADDED_TRIES_MAX {
            let session = myself.clone();
            tokio::spawn(async move {
                tokio::time::sleep(Duration::from_millis(ADDED_AGAIN_MS)).await;
                // A session that ended needs it no more.
                let _ = session.cast(SessionMessage::Added(cursor, tries + 1));
            });
        }
    }

    pub(super) fn next_job(&mut self, myself: &ActorRef<SessionMessage>) {
        let Phase::Ready(who) = &self.phase else {
            return;
        };
        if self.placing {
            return;
        }
        let Some(job) = self.jobs.pop_front() else {
            return;
        };
        self.placing = true;
        let placing = Placing {
            gateway: Arc::clone(&self.gateway),
            socket: self.socket.clone(),
            user: who.0.user,
        };
        let (job, too_many) = self.within_limit(job);
        let session = myself.clone();
        tokio::spawn(async move {
            let (subscribed, later) = placing.carry_out(job, too_many).await;
            // A session that ended needs it no more.
            let _ = session.cast(SessionMessage::Placed(subscribed, later));
        });
    }

    pub(super) fn placed(
        &mut self,
        myself: &ActorRef<SessionMessage>,
        subscribed: Vec<ConversationId>,
        later: Vec<CursorWish>,
    ) {
        self.placing = false;
        self.subscribed.extend(subscribed);
        self.repeat_later(myself, later);
        self.next_job(myself);
    }

    /// What an owner could not say yet is asked again after a while.
    pub(super) fn repeat_later(&self, myself: &ActorRef<SessionMessage>, later: Vec<CursorWish>) {
        if later.is_empty() {
            return;
        }
        let session = myself.clone();
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(LATER_MS)).await;
            let _ = session.cast(SessionMessage::Again(later));
        });
    }

    /// Takes out what would be more subscriptions than a session may have.
    fn within_limit(&self, job: Job) -> (Job, Vec<Gone>) {
        let max = self.gateway.limits().subscriptions_per_session_max;
        let mut room = max.saturating_sub(self.subscribed.len());
        let mut too_many = Vec::new();
        let mut fits = |wish: &CursorWish| {
            if self.subscribed.contains(&wish.conversation) {
                return true;
            }
            if room == 0 {
                let conversation = wish.conversation;
                too_many.push(Gone {
                    conversation,
                    reason: GoneReason::TooMany,
                });
                return false;
            }
            room -= 1;
            true
        };
        let job = match job {
            Job::Asked(id, mut wishes, permit) => {
                wishes.retain(&mut fits);
                Job::Asked(id, wishes, permit)
            }
            Job::Again(mut wishes) => {
                wishes.retain(&mut fits);
                Job::Again(wishes)
            }
            Job::Added(cursor) if fits(&cursor.into()) => Job::Added(cursor),
            // The client hears of it by `unread:update`.
            Job::Added(_) => Job::Again(Vec::new()),
        };
        (job, too_many)
    }
}

struct Placing {
    gateway: Arc<Gateway>,
    socket: SocketHandle,
    user: UserId,
}

type Outcome = (Vec<ConversationId>, Vec<CursorWish>);

impl Placing {
    async fn carry_out(&self, job: Job, too_many: Vec<Gone>) -> Outcome {
        match job {
            Job::Asked(id, wishes, permit) => {
                let outcome = self
                    .place(wishes, |mut placed| {
                        placed.gone.extend(too_many);
                        let reply = Reply::Placed(placed);
                        let id = id?;
                        encoded(encode_reply(&id, &Ok(reply)))
                    })
                    .await;
                drop(permit);
                outcome
            }
            Job::Again(wishes) if wishes.is_empty() => Outcome::default(),
            Job::Again(wishes) => {
                let resumed = |mut placed: Placed| {
                    placed.gone.extend(too_many);
                    encoded(encode_signal(None, &Signal::SessionResumed(placed)))
                };
                self.place(wishes, resumed).await
            }
            Job::Added(cursor) => self.added(cursor).await,
        }
    }

    async fn place(
        &self,
        wishes: Vec<CursorWish>,
        frame: impl FnOnce(Placed) -> Option<Bytes>,
    ) -> Outcome {
        let placement = self
            .gateway
            .place(self.user, &self.socket, wishes.clone())
            .await;
        let later = later_of(&placement.placed, &wishes);
        let subscribed = placement
            .from
            .iter()
            .map(|(conversation, _)| *conversation)
            .collect();
        self.socket.release(frame(placement.placed), placement.from);
        (subscribed, later)
    }

    /// Tells of a new membership and delivers from its entry on.
    async fn added(&self, cursor: Cursor) -> Outcome {
        let wish = CursorWish::from(cursor);
        let placement = self
            .gateway
            .place(self.user, &self.socket, vec![wish])
            .await;
        let later = later_of(&placement.placed, &[wish]);
        let Some((conversation, _)) = placement.from.first().copied() else {
            return (Vec::new(), later);
        };
        let Ok(seen) = self.gateway.conversation(self.user, conversation).await else {
            self.socket.unsubscribe(vec![conversation]);
            return Outcome::default();
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
        let frame = encoded(encode_signal(Some(conversation), &signal));
        self.socket.release(frame, placement.from);
        (vec![conversation], later)
    }
}

fn encoded(payload: Result<Bytes, fanfare_protocol::frame::Failed>) -> Option<Bytes> {
    match payload {
        Ok(payload) => Some(text_frame(&payload)),
        Err(error) => {
            tracing::error!(%error, "frame not encoded");
            None
        }
    }
}
