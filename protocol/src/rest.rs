//! Bodies of REST requests and answers that are not commands.

use serde::{Deserialize, Serialize};

use crate::conversation::Role;
use crate::frame::HelloReply;
use crate::strict;
use crate::user::User;

/// `POST /auth/register`.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Register {
    /// Unique name.
    pub username: String,
    /// Address, unique without regard to case.
    pub email: String,
    /// Password in the clear: never logged, never kept.
    pub password: String,
    /// Default: the username.
    #[serde(default)]
    pub display_name: Option<String>,
}

/// `POST /auth/login`.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Login {
    /// Username or e-mail address.
    pub login: String,
    /// Password in the clear.
    pub password: String,
}

/// `POST /auth/refresh` and `/auth/logout`.
#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RefreshToken {
    /// The refresh token.
    pub refresh_token: String,
}

/// What a log-in brings.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Tokens {
    /// Who.
    pub user: User,
    /// Bearer token for REST and hello.
    pub access_token: String,
    /// One use.
    pub refresh_token: String,
    /// Life of the access token in seconds.
    pub expires_in_s: u64,
}

/// A one-use socket ticket.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Ticket {
    /// The ticket.
    pub ticket: String,
    /// Its life in seconds.
    pub expires_in_s: u64,
}

/// The answer to `POST /session`: a session whose frames go down an event stream.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct EventSessionBegun {
    /// What the session is called in paths; hello's `session` names the log-in.
    pub id: String,
    /// Opens the stream, once.
    #[serde(flatten)]
    pub ticket: Ticket,
    /// The reply to hello.
    #[serde(flatten)]
    pub hello: HelloReply,
}

/// `PATCH /users/me`; absent fields stay.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct UpdateMe {
    /// New name shown to people.
    #[serde(default)]
    pub display_name: Option<String>,
    /// New text about oneself; empty removes it.
    #[serde(default)]
    pub bio: Option<String>,
}

/// `PATCH /messages/:id`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewText {
    /// New text.
    pub text: String,
}

/// `POST /messages/:id/reactions`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewReaction {
    /// Which emoji.
    pub emoji: String,
}

/// `PATCH /conversations/:id/participants/:userId`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewRole {
    /// New role.
    #[serde(deserialize_with = "strict::word")]
    pub role: Role,
}

/// `POST /conversations/:id/read`.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ReadUpTo {
    /// Up to and including.
    #[serde(deserialize_with = "crate::strict::whole")]
    pub seq: u64,
}

/// `{"data": …, "meta"?: …}`.
#[derive(Debug, Clone, Serialize)]
pub struct Answer<T> {
    /// The body.
    pub data: T,
    /// Paging.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meta: Option<Meta>,
}

/// Paging of a list.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta {
    /// The log's newest seq, read before the rows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub head_seq: Option<u64>,
    /// Give it back as `cursor` (lists) or as `before`/`after` (history).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
}
