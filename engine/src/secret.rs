//! Keyed hashes of idempotency keys and requests.

use fanfare_protocol::UserId;
use fanfare_protocol::command::Command;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::ZeroizeOnDrop;

/// 128 bits that stand for a key or a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Fingerprint(pub [u8; 16]);

/// The server secret that travels with the data. Never printed.
#[derive(Clone, ZeroizeOnDrop)]
pub struct DataSecret([u8; 32]);

impl DataSecret {
    /// Takes 32 random bytes.
    pub fn new(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// Stands for an author's idempotency key. A user's devices share it.
    pub fn key(&self, author: UserId, key: &str) -> Fingerprint {
        self.hash(&[b"key", author.as_bytes(), key.as_bytes()])
    }

    /// Stands for what a command asks.
    pub fn request(&self, command: &Command) -> Fingerprint {
        // Commands are plain data: they always have a JSON form.
        let text = serde_json::to_vec(command).unwrap_or_default();
        self.hash(&[b"request", &text])
    }

    /// Stands for any parts, told apart by their lengths. SHA-256 over
    /// secret and parts, cut to 128 bits (which also rules out extension).
    pub fn hash(&self, parts: &[&[u8]]) -> Fingerprint {
        let mut hash = Sha256::new();
        hash.update(self.0);
        for part in parts {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        let digest: [u8; 32] = hash.finalize().into();
        let mut short = [0; 16];
        short.copy_from_slice(&digest[..16]);
        Fingerprint(short)
    }
}

impl std::fmt::Debug for DataSecret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("DataSecret(…)")
    }
}
