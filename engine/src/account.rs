//! Accounts: what only the engine and its stores know of a user.

use fanfare_protocol::user::User;
use fanfare_protocol::{SessionId, Timestamp, UserId};
use secrecy::{ExposeSecret, SecretString};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::secret::Fingerprint;

/// An account.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Account {
    /// The public part.
    pub user: User,
    /// E-mail address, lowercase; absent for seeded users.
    pub email: Option<String>,
    /// Argon2id in PHC form; absent for seeded users, who cannot log in.
    pub password: Option<PasswordHash>,
    /// Number of changes, for compare-and-set.
    pub rev: u64,
    /// Deactivation.
    pub deactivated_at: Option<Timestamp>,
    /// Key and request of the registration, for its repeat.
    pub registered: Option<(Fingerprint, Fingerprint)>,
}

/// A password's hash. Never printed.
#[derive(Clone)]
pub struct PasswordHash(SecretString);

impl PasswordHash {
    /// Takes a PHC string.
    pub fn new(phc: String) -> Self {
        Self(phc.into())
    }

    /// For the verifier only.
    pub fn expose(&self) -> &str {
        self.0.expose_secret()
    }
}

impl std::fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PasswordHash(…)")
    }
}

impl Serialize for PasswordHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.expose())
    }
}

impl<'de> Deserialize<'de> for PasswordHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

/// A log-in and the refresh tokens that descend from it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Family {
    /// Names the log-in; stands in its access tokens.
    pub session: SessionId,
    /// Whose.
    pub user: UserId,
    /// Stands for the refresh token that is valid now.
    pub current: Fingerprint,
    /// Stands for the one before it, valid for a grace after `rotated_at`.
    pub previous: Option<Fingerprint>,
    /// Newest rotation.
    pub rotated_at: Timestamp,
    /// End of `current`.
    pub expires_at: Timestamp,
    /// Log-out, reuse or ban.
    pub revoked_at: Option<Timestamp>,
    /// Number of changes, for compare-and-set.
    pub rev: u64,
}
