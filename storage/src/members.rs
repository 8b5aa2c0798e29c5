//! Memberships, two cells each: one under the conversation, one under the
//! user.

use fanfare_engine::codec::decode;
use fanfare_engine::member::{MemberRow, Membership};
use fanfare_engine::port::{Members, PortFuture, StoreError};
use fanfare_protocol::{ConversationId, UserId};

use crate::cells::key::{Table, key, last_id};
use crate::cells::{Range, View};
use crate::log::page;
use crate::tables::{Tables, whole};

impl Members for Tables {
    fn member(
        &self,
        conversation: ConversationId,
        user: UserId,
    ) -> PortFuture<'_, Option<MemberRow>> {
        Box::pin(async move {
            let parts: [&[u8]; 2] = [conversation.as_bytes(), user.as_bytes()];
            let key = key(Table::MembersOf, &parts);
            match self.cells.fetch(move |view| view.get(&key)).await? {
                Some(cell) => Ok(Some(member_row(&cell)?)),
                None => Ok(None),
            }
        })
    }

    fn memberships(
        &self,
        user: UserId,
        conversations: Vec<ConversationId>,
    ) -> PortFuture<'_, Vec<Option<MemberRow>>> {
        let read = move |view: &dyn View| {
            let one = |conversation: ConversationId| {
                let parts: [&[u8]; 2] = [conversation.as_bytes(), user.as_bytes()];
                let member = view.get(&key(Table::MembersOf, &parts))?;
                member.map(|cell| member_row(&cell)).transpose()
            };
            conversations.into_iter().map(one).collect()
        };
        Box::pin(async move { self.cells.fetch(read).await })
    }

    fn members_of(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<Membership>> {
        let prefix = key(Table::MembersOf, &[conversation.as_bytes()]);
        let after = after.map(|id| *id.as_bytes());
        self.page_of_memberships(prefix, after, limit, move |id, row| Membership {
            conversation,
            user: UserId::from_bytes(id),
            row,
        })
    }

    fn conversations_of(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<Membership>> {
        let prefix = key(Table::ConversationsOf, &[user.as_bytes()]);
        let after = after.map(|id| *id.as_bytes());
        self.page_of_memberships(prefix, after, limit, move |id, row| Membership {
            conversation: ConversationId::from_bytes(id),
            user,
            row,
        })
    }
}

impl Tables {
    fn page_of_memberships(
        &self,
        prefix: Vec<u8>,
        after: Option<[u8; 16]>,
        limit: usize,
        membership: impl Fn([u8; 16], MemberRow) -> Membership + Send + 'static,
    ) -> PortFuture<'_, Vec<Membership>> {
        Box::pin(async move {
            let read = move |view: &dyn View| {
                let mut found = Vec::new();
                let range = Range::of_ids(&prefix, after.as_ref());
                page(view, range, limit, |key, cell| {
                    found.push(membership(last_id(key)?, member_row(cell)?));
                    Ok(())
                })?;
                Ok(found)
            };
            self.cells.fetch(read).await
        })
    }
}

/// What a membership's cell says.
pub(crate) fn member_row(cell: &[u8]) -> Result<MemberRow, StoreError> {
    Ok(decode(whole(cell)?)?)
}
