//! Delivered and read watermarks.

use serde::{Deserialize, Serialize};

use crate::UserId;

/// Which mark a client moves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MarkKind {
    /// Reached a device.
    Delivered,
    /// Seen by the person.
    Read,
}

/// One member's marks that moved.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MarkUpdate {
    /// Whose.
    pub user: UserId,
    /// Delivered up to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delivered_seq: Option<u64>,
    /// Read up to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_seq: Option<u64>,
}
