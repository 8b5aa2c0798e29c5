//! Where marks come in. Nothing here waits.

use std::sync::Arc;

use fanfare_engine::member::{Marks, MemberRow};
use fanfare_engine::port::Log;
use fanfare_protocol::command::MoveMark;
use fanfare_protocol::limits::RETRY_AFTER_MS;
use fanfare_protocol::{Code, ConversationId, Limits, Refusal, UserId};
use parking_lot::RwLock;
use ractor::{ActorCell, ActorId, ActorRef, ActorRuntime, MessagingErr, SpawnErr};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::actor::{MarksActor, MarksMessage};
use super::own::{OwnMarks, Wake};
use crate::directory::Directory;
use crate::unread::UnreadHandle;

/// Hears where the mark stands. Called once; must not block.
pub type MarkReply = Box<dyn FnOnce(Result<u64, Refusal>) + Send>;

/// What marks need on their way.
pub struct MarksParts {
    /// Rows and records.
    pub log: Arc<dyn Log>,
    /// Marks.
    pub marks: Arc<OwnMarks>,
    /// Heads, and where signals go.
    pub directory: Directory,
    /// Who tells counts.
    pub unread: UnreadHandle,
    /// Limits.
    pub limits: Arc<Limits>,
}

/// See the module. Cheap to clone; survives the actor behind it.
#[derive(Clone)]
pub struct MarksHandle(Arc<Shared>);

struct Shared {
    parts: Arc<MarksParts>,
    actor: RwLock<ActorRef<MarksMessage>>,
    places: Arc<Semaphore>,
}

/// A mark to raise.
#[derive(Clone, Copy)]
pub(super) struct Wish {
    pub user: UserId,
    pub ask: MoveMark,
    pub member: MemberRow,
}

/// A wish and whoever waits for it: answered exactly once, dropped
/// unanswered with `outcome_unknown`.
pub(super) struct Asked {
    pub wish: Wish,
    reply: Option<MarkReply>,
    place: Option<OwnedSemaphorePermit>,
}

impl MarksHandle {
    /// Starts the actor.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(parts: MarksParts, parent: &ActorCell) -> Result<Self, SpawnErr> {
        let places = parts.limits.marks_waiting_max.min(Semaphore::MAX_PERMITS);
        let parts = Arc::new(parts);
        let actor = spawn(&parts, parent)?;
        Ok(Self(Arc::new(Shared {
            parts,
            actor: RwLock::new(actor),
            places: Arc::new(Semaphore::new(places)),
        })))
    }

    /// The sender's own mark of a message just published. Known at once to
    /// whoever reads through [`OwnMarks`], durable soon, told to nobody but
    /// the sender's own devices.
    pub fn own(&self, conversation: ConversationId, user: UserId, marks: Marks) {
        let message = match self.0.parts.marks.add(conversation, user, marks) {
            Wake::Nobody => return,
            Wake::Later => MarksMessage::OwnWaits,
            Wake::Now => MarksMessage::OwnDue,
        };
        if self.0.actor.read().cast(message).is_err() {
            tracing::debug!("marks actor ended, own marks are for the next");
        }
    }

    /// Raises a member's mark; `reply` hears where it stands once that is
    /// durable. At most the published head; below what the member may see
    /// nothing changes. Refusals: `overloaded`, `not_found`, or what the
    /// store says.
    pub fn raise(&self, user: UserId, ask: MoveMark, member: MemberRow, reply: MarkReply) {
        let Ok(place) = Arc::clone(&self.0.places).try_acquire_owned() else {
            metrics::counter!("fanfare_marks_refused_total").increment(1);
            let refusal = Refusal::new(Code::Overloaded, "too many marks are waiting");
            reply(Err(refusal.after_ms(RETRY_AFTER_MS)));
            return;
        };
        let asked = Asked {
            wish: Wish { user, ask, member },
            reply: Some(reply),
            place: Some(place),
        };
        let told = self.0.actor.read().cast(MarksMessage::Raise(asked));
        if let Err(MessagingErr::SendErr(MarksMessage::Raise(asked))) = told {
            asked.answer(Err(Refusal::unavailable("marks are starting again")));
        }
    }

    /// Waits until every sender's own mark is durable.
    pub async fn settled(&self) {
        self.0.parts.marks.settled().await;
    }

    /// Starts another actor if `child` was this one's; `true` if it was.
    pub fn replace(&self, child: ActorId, parent: &ActorCell) -> bool {
        let mut actor = self.0.actor.write();
        if actor.get_id() != child {
            return false;
        }
        match spawn(&self.0.parts, parent) {
            Ok(another) => *actor = another,
            Err(error) => tracing::error!(%error, "marks actor not started"),
        }
        true
    }
}

fn spawn(parts: &Arc<MarksParts>, parent: &ActorCell) -> Result<ActorRef<MarksMessage>, SpawnErr> {
    let spawned =
        ActorRuntime::spawn_linked_instant(None, MarksActor, Arc::clone(parts), parent.clone())?;
    let actor = spawned.0;
    // What waited for an actor that failed.
    if actor.cast(MarksMessage::OwnWaits).is_err() {
        tracing::debug!("marks actor ended at once");
    }
    Ok(actor)
}

impl Asked {
    /// Answers.
    pub fn answer(mut self, result: Result<u64, Refusal>) {
        // Whoever hears the answer finds the place free.
        drop(self.place.take());
        if let Some(reply) = self.reply.take() {
            reply(result);
        }
    }
}

impl Drop for Asked {
    fn drop(&mut self) {
        if let Some(reply) = self.reply.take() {
            reply(Err(Refusal::outcome_unknown()));
        }
    }
}

#[cfg(test)]
impl MarksHandle {
    /// The actor that is there now.
    pub(crate) fn actor(&self) -> ActorId {
        self.0.actor.read().get_id()
    }

    /// Lets the actor fail; gives which one it was.
    pub(crate) fn fail(&self) -> ActorId {
        let actor = self.0.actor.read();
        let _ = actor.cast(MarksMessage::Panic);
        actor.get_id()
    }
}
