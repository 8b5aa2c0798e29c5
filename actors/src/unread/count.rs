//! What one member has not read, exactly.

use fanfare_engine::member::MemberRow;
use fanfare_engine::port::{MarksPort, StoreError};
use fanfare_engine::row::HeadRow;
use fanfare_engine::unread::{read_up_to, unread};
use fanfare_protocol::{ConversationId, UserId};

/// Counts of one member.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Messages behind the read mark.
    pub unread: u64,
    /// Mentions behind the read mark.
    pub mentions: u64,
    /// The read mark; whoever never set one has read up to where they were
    /// added.
    pub read_seq: u64,
}

/// Counts what `user` has not read at `head`.
///
/// # Errors
/// When the store does not answer.
pub async fn count(
    marks: &dyn MarksPort,
    conversation: ConversationId,
    user: UserId,
    member: &MemberRow,
    head: &HeadRow,
) -> Result<Counted, StoreError> {
    let stands = marks.marks(conversation, user).await?;
    let read_seq = read_up_to(member, &stands);
    let named = marks.mentions_behind(user, conversation, read_seq).await?;
    let counts = unread(head.mno, head.ano, member, &stands, named);
    Ok(Counted {
        unread: counts.messages,
        mentions: counts.mentions,
        read_seq,
    })
}
