//! Users as everybody sees them.

use serde::{Deserialize, Serialize};

use crate::{Timestamp, UserId};

/// What an account may do beyond its own things.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum GlobalRole {
    /// Everybody.
    #[default]
    User,
    /// Handles reports.
    Moderator,
    /// Operates the installation.
    Admin,
}

/// A user's public record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct User {
    /// Id.
    pub id: UserId,
    /// Unique without regard to case; ASCII.
    pub username: String,
    /// Shown to people; any text of 1–64 characters.
    pub display_name: String,
    /// Media id of the picture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub avatar: Option<String>,
    /// About, at most 500 characters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bio: Option<String>,
    /// Global role.
    pub role: GlobalRole,
    /// Whether the e-mail address was proven.
    pub verified: bool,
    /// Registration.
    pub created_at: Timestamp,
}
