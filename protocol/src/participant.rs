//! Members of a conversation as other members see them.

use serde::{Deserialize, Serialize};

use crate::Timestamp;
use crate::conversation::Role;
use crate::user::User;

/// Where a membership stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MemberState {
    /// A member.
    Active,
    /// Was one.
    Left,
}

/// Why a member is one no longer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RemovalReason {
    /// Went by themselves.
    Left,
    /// Was removed by somebody.
    Removed,
    /// The conversation was deleted.
    Deleted,
}

/// One member.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Participant {
    /// The user as of the entry or the reading.
    pub user: User,
    /// Role.
    pub role: Role,
    /// State.
    pub state: MemberState,
    /// Since when.
    pub joined_at: Timestamp,
    /// Delivered mark (REST lists of conversations up to 64 members).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_seq: Option<u64>,
    /// Read mark (REST lists of conversations up to 64 members).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_seq: Option<u64>,
}
