//! Who is connected to this node: user → sessions. Bounded by the
//! connections there are, and per user by `sessions_per_user_max`.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use fanfare_protocol::limits::MAP_PARTS;
use fanfare_protocol::{Code, Refusal, SessionId, UserId};
use parking_lot::Mutex;

use crate::fanout::{Close, SocketHandle};
use crate::session::SessionRef;

/// One connected session.
#[derive(Clone)]
pub struct Present {
    /// The log-in it came with.
    pub session: SessionId,
    /// Its socket.
    pub socket: SocketHandle,
    /// To tell it something.
    pub told: SessionRef,
}

/// A session's place in the registry; dropped with the session, or with
/// the message that never reached it.
pub struct Registered {
    sessions: Arc<Sessions>,
    user: UserId,
    login: SessionId,
    socket: SocketHandle,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.sessions.remove(self.user, self.login, &self.socket);
    }
}

/// The registry.
pub struct Sessions {
    hasher: RandomState,
    parts: Vec<Mutex<HashMap<UserId, Vec<Present>>>>,
    logins: Vec<Mutex<HashMap<SessionId, Vec<SocketHandle>>>>,
    per_user_max: usize,
}

impl Sessions {
    /// An empty registry.
    pub fn new(per_user_max: usize) -> Self {
        Self {
            hasher: RandomState::new(),
            parts: (0..MAP_PARTS).map(|_| Mutex::default()).collect(),
            logins: (0..MAP_PARTS).map(|_| Mutex::default()).collect(),
            per_user_max,
        }
    }

    /// Adds a session, until the returned guard is dropped.
    ///
    /// # Errors
    /// `overloaded` when the user has too many.
    pub fn add(self: &Arc<Self>, user: UserId, present: Present) -> Result<Registered, Refusal> {
        let (login, socket) = (present.session, present.socket.clone());
        let mut part = self.part(user).lock();
        let sessions = part.entry(user).or_default();
        if sessions.len() >= self.per_user_max {
            return Err(Refusal::new(
                Code::Overloaded,
                "too many connections of this user",
            ));
        }
        sessions.push(present);
        drop(part);
        self.login(login)
            .lock()
            .entry(login)
            .or_default()
            .push(socket.clone());
        Ok(Registered {
            sessions: Arc::clone(self),
            user,
            login,
            socket,
        })
    }

    fn remove(&self, user: UserId, login: SessionId, socket: &SocketHandle) {
        let mut sockets = self.login(login).lock();
        if let Some(known) = sockets.get_mut(&login) {
            known.retain(|other| other.id() != socket.id());
            if known.is_empty() {
                sockets.remove(&login);
            }
        }
        drop(sockets);
        let mut part = self.part(user).lock();
        if let Some(sessions) = part.get_mut(&user) {
            sessions.retain(|present| present.socket.id() != socket.id());
            if sessions.is_empty() {
                part.remove(&user);
            }
        }
    }

    /// A user's sessions on this node.
    pub fn of(&self, user: UserId) -> Vec<Present> {
        self.part(user)
            .lock()
            .get(&user)
            .cloned()
            .unwrap_or_default()
    }

    /// Whether a user is connected to this node.
    pub fn is_present(&self, user: UserId) -> bool {
        self.part(user).lock().contains_key(&user)
    }

    /// Closes the sockets of a log-in that was revoked.
    pub fn revoke(&self, login: SessionId) {
        let sockets = self
            .login(login)
            .lock()
            .get(&login)
            .cloned()
            .unwrap_or_default();
        for socket in sockets {
            socket.close(Close::new(4201, "revoked"));
        }
    }

    /// Every log-in with a socket here.
    pub fn logins(&self) -> Vec<SessionId> {
        self.logins
            .iter()
            .flat_map(|part| part.lock().keys().copied().collect::<Vec<_>>())
            .collect()
    }

    fn login(&self, login: SessionId) -> &Mutex<HashMap<SessionId, Vec<SocketHandle>>> {
        let hash = usize::try_from(self.hasher.hash_one(login)).unwrap_or(0);
        &self.logins[hash % self.logins.len()]
    }

    fn part(&self, user: UserId) -> &Mutex<HashMap<UserId, Vec<Present>>> {
        let hash = usize::try_from(self.hasher.hash_one(user)).unwrap_or(0);
        &self.parts[hash % self.parts.len()]
    }
}
