//! Log-ins that ended before their access tokens.

use fanfare_protocol::limits::{REVOCATIONS_WAITING_MAX, TOKEN_LEEWAY_S};
use fanfare_protocol::{Limits, SessionId, Timestamp};
use parking_lot::RwLock;
use tokio::sync::broadcast;

use super::expiring::Expiring;

/// Revoked log-ins of this process until their access tokens have ended.
/// What was revoked before a restart is found at hello, in the store.
pub(super) struct Revoked {
    sessions: RwLock<Expiring<SessionId, ()>>,
    life_ms: u64,
    told: broadcast::Sender<SessionId>,
}

impl Revoked {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            sessions: RwLock::new(Expiring::new(limits.revoked_sessions_max)),
            life_ms: (limits.access_token_s + TOKEN_LEEWAY_S) * 1000,
            told: broadcast::Sender::new(REVOCATIONS_WAITING_MAX),
        }
    }

    /// Remembers a revocation and tells those who listen.
    pub(super) fn add(&self, now: Timestamp, session: SessionId) {
        let ends_at = now.plus_ms(self.life_ms);
        {
            let mut sessions = self.sessions.write();
            if !sessions.insert(now, session, (), ends_at) {
                sessions.forget_oldest();
                sessions.insert(now, session, (), ends_at);
            }
        }
        // Err: nobody listens.
        self.told.send(session).ok();
    }

    pub(super) fn contains(&self, now: Timestamp, session: SessionId) -> bool {
        self.sessions.read().contains(now, &session)
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<SessionId> {
        self.told.subscribe()
    }
}
