//! What one member has not read, exactly.

use fanfare_engine::member::{Marks, MemberRow};
use fanfare_engine::port::{MarksPort, Standing, StoreError};
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
    let asked = vec![(user, Marks::default())];
    let standings = marks.standings(conversation, asked).await?;
    let standing = standings.first().ok_or_else(|| {
        // A store answers for whom it was asked.
        StoreError::Unavailable("no standing".into())
    })?;
    Ok(counted(standing, member, head))
}

/// Counts what somebody who stands there has not read at `head`; `None` for
/// who is no member.
pub(super) fn count_one(standing: &Standing, head: &HeadRow) -> Option<Counted> {
    let member = standing.member.as_ref();
    let member = member.filter(|member| member.is_active())?;
    Some(counted(standing, member, head))
}

fn counted(standing: &Standing, member: &MemberRow, head: &HeadRow) -> Counted {
    let marks = &standing.marks;
    let counts = unread(head.mno, head.ano, member, marks, standing.named);
    Counted {
        unread: counts.messages,
        mentions: counts.mentions,
        read_seq: read_up_to(member, marks),
    }
}
