//! Refusals: the client's business. Stable codes, a status, worth retrying.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// Why something was refused. A code is never re-used for another meaning
/// (PROTOCOL, "Errors").
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Code {
    /// The frame is not of the wire's form.
    InvalidFrame,
    /// No such frame type.
    UnknownType,
    /// A field is missing, unknown or out of range; see `details`.
    InvalidRequest,
    /// Over a size limit.
    TooLarge,
    /// The subprotocol or version is not spoken here.
    UnsupportedVersion,
    /// No valid credentials.
    Unauthenticated,
    /// The token has ended: come with a fresh one.
    TokenExpired,
    /// Unknown user or wrong password (the same answer for both).
    InvalidCredentials,
    /// Not allowed for this role.
    Forbidden,
    /// Does not exist, or not for the asker.
    NotFound,
    /// The asker is no member of the conversation.
    NotAMember,
    /// Collides with the present state.
    Conflict,
    /// The name is taken.
    AlreadyExists,
    /// The key was used before with another body.
    IdempotencyConflict,
    /// Existed once.
    Gone,
    /// Slow down, see `retry_after_ms`.
    RateLimited,
    /// The node is full, see `retry_after_ms`.
    Overloaded,
    /// Nothing happened; try again.
    Unavailable,
    /// It may have happened: repeat with the same key.
    OutcomeUnknown,
    /// A failure of ours, before anything was written.
    Internal,
}

impl Code {
    /// The HTTP status that carries this code.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidFrame | Self::UnknownType | Self::UnsupportedVersion => 400,
            Self::Unauthenticated | Self::TokenExpired | Self::InvalidCredentials => 401,
            Self::Forbidden | Self::NotAMember => 403,
            Self::NotFound => 404,
            Self::Conflict | Self::AlreadyExists | Self::IdempotencyConflict => 409,
            Self::Gone => 410,
            Self::TooLarge => 413,
            Self::InvalidRequest => 422,
            Self::RateLimited => 429,
            Self::Internal => 500,
            Self::Overloaded | Self::Unavailable => 503,
            Self::OutcomeUnknown => 504,
        }
    }

    /// Whether the same request may succeed later as it is.
    pub fn retryable(self) -> bool {
        match self {
            Self::RateLimited
            | Self::Overloaded
            | Self::Unavailable
            | Self::OutcomeUnknown
            | Self::Internal => true,
            Self::InvalidFrame
            | Self::UnknownType
            | Self::InvalidRequest
            | Self::TooLarge
            | Self::UnsupportedVersion
            | Self::Unauthenticated
            | Self::TokenExpired
            | Self::InvalidCredentials
            | Self::Forbidden
            | Self::NotFound
            | Self::NotAMember
            | Self::Conflict
            | Self::AlreadyExists
            | Self::IdempotencyConflict
            | Self::Gone => false,
        }
    }
}

/// A refusal as clients see it: `{"code", "message", "retryable", …}`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, thiserror::Error)]
#[serde(rename_all = "camelCase")]
#[error("{code:?}: {message}")]
pub struct Refusal {
    /// The stable code.
    pub code: Code,
    /// One sentence for people, lowercase, without data that is secret.
    pub message: String,
    /// Whether the same request may succeed later as it is.
    pub retryable: bool,
    /// When to try again, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry_after_ms: Option<u64>,
    /// Field → reason, for `invalid_request`.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub details: BTreeMap<String, String>,
}

impl Refusal {
    /// A refusal with a message for people.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Self {
            code,
            message: message.into(),
            retryable: code.retryable(),
            retry_after_ms: None,
            details: BTreeMap::new(),
        }
    }

    /// `invalid_request` that names the field and the reason.
    pub fn field(field: impl Into<String>, reason: impl Into<String>) -> Self {
        let (field, reason) = (field.into(), reason.into());
        let mut refusal = Self::new(Code::InvalidRequest, format!("{field}: {reason}"));
        refusal.details.insert(field, reason);
        refusal
    }

    /// The same with a time to come back, in milliseconds.
    pub fn after_ms(mut self, ms: u64) -> Self {
        self.retry_after_ms = Some(ms);
        self
    }

    /// `not_found`, also for what the asker may not know of.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("no such {what}"))
    }

    /// `not_a_member` of the conversation.
    pub fn not_a_member() -> Self {
        Self::new(
            Code::NotAMember,
            "you are not a member of this conversation",
        )
    }

    /// `unavailable`: nothing happened.
    pub fn unavailable(why: &str) -> Self {
        Self::new(Code::Unavailable, why).after_ms(crate::limits::RETRY_AFTER_MS)
    }

    /// `outcome_unknown`: it may have happened.
    pub fn outcome_unknown() -> Self {
        Self::new(
            Code::OutcomeUnknown,
            "it may have happened; repeat with the same key",
        )
        .after_ms(crate::limits::RETRY_AFTER_MS)
    }

    /// `internal`: logged on our side, nothing was written.
    pub fn internal() -> Self {
        Self::new(
            Code::Internal,
            "something failed on our side, nothing was written",
        )
    }
}
