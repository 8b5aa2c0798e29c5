//! When conversations were last active, by who has them: hints for lists.

use fanfare_protocol::{ConversationId, Timestamp, UserId};

use super::PortFuture;

/// Hints, which may be behind and may be lost: whoever lists looks at heads
/// where it matters. The later one stays, whoever wrote it.
pub trait Inbox: Send + Sync {
    /// Notes for these users when a conversation was active.
    fn touch(
        &self,
        conversation: ConversationId,
        users: Vec<UserId>,
        at: Timestamp,
    ) -> PortFuture<'_, ()>;

    /// A user's hints by conversation behind `after`, at most `limit`. They
    /// may be of conversations that the user has left.
    fn inbox(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<(ConversationId, Timestamp)>>;
}
