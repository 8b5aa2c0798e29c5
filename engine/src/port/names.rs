//! Names that only one may have, and one-use things: compare-and-set.

use bytes::Bytes;
use fanfare_protocol::Timestamp;
use serde::{Deserialize, Serialize};

use super::PortFuture;

/// What a name is unique within.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Scope {
    /// Usernames, lowercase.
    Username,
    /// E-mail addresses, lowercase.
    Email,
    /// Slugs of channels.
    Slug,
    /// Pairs of users with a direct conversation.
    Pair,
    /// Idempotency keys outside conversations.
    Request,
}

/// A claim as it stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimRow {
    /// The user or conversation that has the name (16 bytes of its id).
    pub owner: [u8; 16],
    /// What the claimant was about to create; empty once settled. Whoever
    /// meets an unsettled claim finishes it, so a crash orphans no name.
    pub intent: Bytes,
    /// End of the claim, for keys that need not last.
    pub expires_at: Option<Timestamp>,
}

impl ClaimRow {
    /// Whether what it names exists.
    pub fn is_settled(&self) -> bool {
        self.intent.is_empty()
    }
}

/// A name and who wants it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// Within what.
    pub scope: Scope,
    /// Name, normalised by the engine.
    pub name: String,
    /// Claim.
    pub row: ClaimRow,
}

/// What became of a claim.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ClaimOutcome {
    /// It is the claimant's (also when it was already).
    Mine,
    /// Somebody else has it.
    Taken(ClaimRow),
}

/// Claims. An unknown outcome is settled by the store itself with a serial
/// read before it answers.
pub trait Names: Send + Sync {
    /// Claims a name if nobody has it, or the claim that has it ended
    /// before `now`.
    fn claim(&self, claim: Claim, now: Timestamp) -> PortFuture<'_, ClaimOutcome>;

    /// The claim on a name.
    fn claimed(&self, scope: Scope, name: String) -> PortFuture<'_, Option<ClaimRow>>;

    /// Marks the claim as fulfilled, if `owner` still has it.
    fn settle(&self, scope: Scope, name: String, owner: [u8; 16]) -> PortFuture<'_, bool>;

    /// Gives the name back, if `owner` still has it.
    fn release(&self, scope: Scope, name: String, owner: [u8; 16]) -> PortFuture<'_, bool>;
}
