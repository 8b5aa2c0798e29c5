//! A conversation's own record.

use fanfare_protocol::conversation::{JoinPolicy, Kind, Visibility};
use fanfare_protocol::{Timestamp, UserId};
use serde::{Deserialize, Serialize};

/// A conversation's fields, as absolute values.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConversationMeta {
    /// Sort.
    pub kind: Kind,
    /// Name.
    pub title: Option<String>,
    /// Slug.
    pub slug: Option<String>,
    /// Description.
    pub description: Option<String>,
    /// Visibility.
    pub visibility: Visibility,
    /// Join policy.
    pub join_policy: JoinPolicy,
    /// Active members.
    pub member_count: u64,
    /// Creator.
    pub created_by: UserId,
    /// Creation.
    pub created_at: Timestamp,
    /// End.
    pub deleted_at: Option<Timestamp>,
    /// Seq of the last entry that changed this record.
    pub rev: u64,
}
