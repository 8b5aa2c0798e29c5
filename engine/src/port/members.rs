//! Who is a member of what. Written only as effects of entries
//! ([`super::Log::apply`]).

use fanfare_protocol::{ConversationId, UserId};

use super::PortFuture;
use crate::member::{MemberRow, Membership};

/// Memberships, readable from both sides. Rows of members who left stay.
pub trait Members: Send + Sync {
    /// One membership.
    fn member(
        &self,
        conversation: ConversationId,
        user: UserId,
    ) -> PortFuture<'_, Option<MemberRow>>;

    /// A user's memberships in these conversations, in their order, read at
    /// once.
    fn memberships(
        &self,
        user: UserId,
        conversations: Vec<ConversationId>,
    ) -> PortFuture<'_, Vec<Option<MemberRow>>>;

    /// Members of a conversation by id behind `after`, at most `limit`.
    fn members_of(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<Membership>>;

    /// Conversations of a user by id behind `after`, at most `limit`.
    fn conversations_of(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<Membership>>;
}
