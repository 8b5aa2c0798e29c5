//! Hints of activity, one cell each under its user; the stamp is the time.

use bytes::Bytes;
use fanfare_engine::port::{Inbox, PortFuture};
use fanfare_engine::stamp::Stamp;
use fanfare_protocol::limits::STAMP_SEQ_MAX;
use fanfare_protocol::{ConversationId, Timestamp, UserId};

use crate::cells::cell::take;
use crate::cells::key::{Table, key, last_id};
use crate::cells::{Range, View};
use crate::log::page;
use crate::tables::{Tables, put, whole};

impl Inbox for Tables {
    fn touch(
        &self,
        conversation: ConversationId,
        users: Vec<UserId>,
        at: Timestamp,
    ) -> PortFuture<'_, ()> {
        let value = Bytes::copy_from_slice(&at.0.to_be_bytes());
        let write = |user: UserId| {
            let key = key(Table::Inbox, &[user.as_bytes(), conversation.as_bytes()]);
            put(key, stamp_of(at), value.clone())
        };
        let writes: Vec<_> = users.into_iter().map(write).collect();
        Box::pin(async move { self.cells.write(writes).await })
    }

    fn inbox(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<(ConversationId, Timestamp)>> {
        let prefix = key(Table::Inbox, &[user.as_bytes()]);
        let after = after.map(|id| *id.as_bytes());
        let read = move |view: &dyn View| {
            let mut found = Vec::new();
            let range = Range::of_ids(&prefix, after.as_ref());
            page(view, range, limit, |key, cell| {
                let at = i64::from_be_bytes(take(&mut whole(cell)?)?);
                found.push((ConversationId::from_bytes(last_id(key)?), Timestamp(at)));
                Ok(())
            })?;
            Ok(found)
        };
        Box::pin(async move { self.cells.fetch(read).await })
    }
}

/// The stamp of a hint: later ones win. What lies before 1970 or behind the
/// last stamp stands at the ends.
pub(crate) fn stamp_of(at: Timestamp) -> Stamp {
    let seconds = u64::try_from(at.0 / 1000).unwrap_or(0);
    Stamp::of_mark(seconds.min(STAMP_SEQ_MAX))
}
