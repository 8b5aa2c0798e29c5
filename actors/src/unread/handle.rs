//! How others tell that counts changed. Nothing here waits.

use std::sync::Arc;

use fanfare_engine::member::Marks;
use fanfare_engine::port::Members;
use fanfare_protocol::{ConversationId, Limits, UserId};
use parking_lot::{Mutex, RwLock};
use ractor::{ActorCell, ActorId, ActorRef, ActorRuntime, SpawnErr};

use super::actor::{UnreadActor, UnreadArguments, UnreadMessage};
use super::waiting::{Due, Note, Waiting};
use crate::directory::Directory;
use crate::marks::OwnMarks;
use crate::sessions::Sessions;

/// What counting needs.
pub struct UnreadParts {
    /// Marks, those on their way included ([`crate::marks::OwnMarks`]).
    pub marks: Arc<OwnMarks>,
    /// Memberships.
    pub members: Arc<dyn Members>,
    /// Heads.
    pub directory: Directory,
    /// Who is connected.
    pub sessions: Arc<Sessions>,
    /// Limits.
    pub limits: Arc<Limits>,
}

/// See the module. Cheap to clone; survives the actor behind it.
#[derive(Clone)]
pub struct UnreadHandle(Arc<Shared>);

struct Shared {
    parts: Arc<UnreadParts>,
    waiting: Arc<Mutex<Waiting>>,
    actor: RwLock<ActorRef<UnreadMessage>>,
}

impl UnreadHandle {
    /// Starts the actor.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn start(parts: UnreadParts, parent: &ActorCell) -> Result<Self, SpawnErr> {
        let (parts, waiting) = (Arc::new(parts), Arc::default());
        let actor = spawn(&parts, &waiting, parent)?;
        Ok(Self(Arc::new(Shared {
            parts,
            waiting,
            actor: RwLock::new(actor),
        })))
    }

    /// New messages were published, or the mentions of old ones changed:
    /// `mentioned` names whom they name or name no longer. Up to
    /// `unread_pushed_members_max` members everybody hears of it, above only
    /// those.
    pub fn moved(&self, conversation: ConversationId, member_count: u64, mentioned: Vec<UserId>) {
        let mut waiting = self.0.waiting.lock();
        let mut wake = false;
        if member_count <= self.0.parts.limits.unread_pushed_members_max {
            wake = waiting.everybody(conversation);
        }
        for user in mentioned {
            let (due, reached) = (Due::Tell, None);
            wake |= waiting.user(conversation, user, Note { due, reached });
        }
        drop(waiting);
        self.wake_if(wake);
    }

    /// An entry was published that changes who is a member, or as what.
    pub(crate) fn members_changed(&self, conversation: ConversationId) {
        let wake = self.0.waiting.lock().members(conversation);
        self.wake_if(wake);
    }

    /// A member's read mark was raised.
    pub(crate) fn marked(&self, conversation: ConversationId, user: UserId, reached: Marks) {
        self.note(conversation, user, Due::Tell, reached);
    }

    /// A sender's own mark is durable: pushed unless a push knew it already.
    /// Told before [`OwnMarks`] forgets it.
    pub(crate) fn sent(&self, conversation: ConversationId, user: UserId, reached: Marks) {
        self.note(conversation, user, Due::Check, reached);
    }

    /// Starts another actor if `child` was this one's; `true` if it was.
    pub fn replace(&self, child: ActorId, parent: &ActorCell) -> bool {
        let mut actor = self.0.actor.write();
        if actor.get_id() != child {
            return false;
        }
        match spawn(&self.0.parts, &self.0.waiting, parent) {
            Ok(another) => *actor = another,
            Err(error) => tracing::error!(%error, "unread actor not started"),
        }
        true
    }

    /// Also of who is not connected: they may be, within the window.
    fn note(&self, conversation: ConversationId, user: UserId, due: Due, reached: Marks) {
        let reached = Some(reached);
        let mut waiting = self.0.waiting.lock();
        let wake = waiting.user(conversation, user, Note { due, reached });
        drop(waiting);
        self.wake_if(wake);
    }

    fn wake_if(&self, wake: bool) {
        if wake && self.0.actor.read().cast(UnreadMessage::Look).is_err() {
            tracing::debug!("unread actor ended, what waits is for the next");
        }
    }
}

fn spawn(
    parts: &Arc<UnreadParts>,
    waiting: &Arc<Mutex<Waiting>>,
    parent: &ActorCell,
) -> Result<ActorRef<UnreadMessage>, SpawnErr> {
    let arguments = UnreadArguments {
        parts: Arc::clone(parts),
        waiting: Arc::clone(waiting),
    };
    let spawned = ActorRuntime::spawn_linked_instant(None, UnreadActor, arguments, parent.clone())?;
    let actor = spawned.0;
    // What waited for an actor that failed.
    if actor.cast(UnreadMessage::Look).is_err() {
        tracing::debug!("unread actor ended at once");
    }
    Ok(actor)
}

#[cfg(test)]
impl UnreadHandle {
    /// Counts that are finished.
    pub(crate) fn counted(&self) -> usize {
        self.0.waiting.lock().counted
    }

    /// The actor that is there now.
    pub(crate) fn actor(&self) -> ActorId {
        self.0.actor.read().get_id()
    }

    /// Lets the actor fail; gives which one it was.
    pub(crate) fn fail(&self) -> ActorId {
        let actor = self.0.actor.read();
        let _ = actor.cast(UnreadMessage::Panic);
        actor.get_id()
    }
}
