//! Where a session is: in its actor while it has something to do, else a
//! state that costs no actor. What it is told wakes it.
//!
//! **Invariant:** every message goes through here under one lock, counted. So
//! an actor that handled as many as were told has none to come, and may hand
//! its state back.

use std::sync::Arc;

use parking_lot::Mutex;
use ractor::{ActorRef, ActorRuntime};

use super::actor::{Session, SessionMessage, State};
use crate::fanout::Watch;

/// Reaches a session, wherever it is.
#[derive(Clone)]
pub struct SessionRef(Arc<Mutex<Place>>);

enum Place {
    Asleep(Box<State>),
    Awake {
        actor: ActorRef<SessionMessage>,
        told: u64,
        /// How many it was told when a heartbeat last went by.
        told_before: u64,
    },
    /// Closed, or failed before it had an actor.
    Over,
}

impl SessionRef {
    /// A session that sleeps until its first frame.
    pub(crate) fn new(state: State) -> Self {
        Self(Arc::new(Mutex::new(Place::Asleep(Box::new(state)))))
    }

    /// One that hears nothing.
    #[cfg(test)]
    pub(crate) fn over() -> Self {
        Self(Arc::new(Mutex::new(Place::Over)))
    }

    /// Tells it something; a session that ended needs to know no more.
    pub(crate) fn tell(&self, message: SessionMessage) {
        let mut place = self.0.lock();
        if let Place::Asleep(_) = *place {
            let Place::Asleep(state) = std::mem::replace(&mut *place, Place::Over) else {
                return;
            };
            if matches!(message, SessionMessage::Closed) {
                // What it held is given back without the lock.
                drop(place);
                return drop(state);
            }
            *place = self.wake(state);
        }
        if let Place::Awake { actor, told, .. } = &mut *place {
            *told += 1;
            // Refused by one that ended.
            let _ = actor.cast(message);
        }
    }

    fn wake(&self, state: Box<State>) -> Place {
        let session = Session(self.clone());
        let supervisor = state.supervisor();
        match supervisor.map(|it| ActorRuntime::spawn_linked_instant(None, session, state, it)) {
            Some(Ok((actor, _))) => Place::Awake {
                actor,
                told: 0,
                told_before: 0,
            },
            Some(Err(error)) => {
                tracing::warn!(%error, "session not started");
                Place::Over
            }
            None => Place::Over,
        }
    }

    /// Takes the state back from an actor that handled so many messages,
    /// unless it was told more.
    pub(super) fn sleep(&self, handled: u64, state: &mut Option<Box<State>>) -> bool {
        let mut place = self.0.lock();
        match &*place {
            Place::Awake { told, .. } if *told == handled => match state.take() {
                Some(state) => {
                    *place = Place::Asleep(state);
                    true
                }
                None => false,
            },
            _ => false,
        }
    }
}

impl Watch for SessionRef {
    fn ended(&self, conversation: fanfare_protocol::ConversationId) {
        self.tell(SessionMessage::Ended(conversation));
    }

    fn heartbeat(&self) {
        let mut place = self.0.lock();
        if let Place::Awake {
            actor,
            told,
            told_before,
        } = &mut *place
        {
            if told == told_before {
                *told += 1;
                let _ = actor.cast(SessionMessage::Rest);
            }
            *told_before = *told;
        }
    }

    fn closed(&self) {
        self.tell(SessionMessage::Closed);
    }
}
