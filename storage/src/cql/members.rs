//! Memberships, two rows each: one under the conversation, one under the
//! user.

use bytes::Bytes;
use fanfare_engine::codec::decode;
use fanfare_engine::member::{MemberRow, Membership};
use fanfare_engine::port::{Members, PortFuture, StoreError};
use fanfare_protocol::{ConversationId, UserId};
use scylla::statement::prepared::PreparedStatement;

use super::error::damaged;
use super::log::{after_bytes, id_of, page_rows};
use super::run::rows_of;
use super::store::Rows;
use super::value::Value;

impl Members for Rows {
    fn member(
        &self,
        conversation: ConversationId,
        user: UserId,
    ) -> PortFuture<'_, Option<MemberRow>> {
        Box::pin(async move {
            let asked = vec![conversation.into(), user.into()];
            let answer = self.read(&self.statements.member, asked).await?;
            let row = answer.maybe_first_row::<(Bytes,)>().map_err(damaged)?;
            match row {
                Some((row,)) => Ok(Some(decode(&row)?)),
                None => Ok(None),
            }
        })
    }

    fn memberships(
        &self,
        user: UserId,
        conversations: Vec<ConversationId>,
    ) -> PortFuture<'_, Vec<Option<MemberRow>>> {
        Box::pin(self.read_each(conversations, move |conversation| {
            self.member(conversation, user)
        }))
    }

    fn members_of(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<Membership>> {
        let after = after.map(|id| *id.as_bytes());
        Box::pin(async move {
            let statement = &self.statements.members_of;
            let page = self.memberships_behind(statement, conversation.into(), after, limit);
            let page = page.await?.into_iter();
            Ok(page
                .map(|(id, row)| Membership {
                    conversation,
                    user: UserId::from_bytes(id),
                    row,
                })
                .collect())
        })
    }

    fn conversations_of(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<Membership>> {
        let after = after.map(|id| *id.as_bytes());
        Box::pin(async move {
            let statement = &self.statements.conversations_of;
            let page = self.memberships_behind(statement, user.into(), after, limit);
            let page = page.await?.into_iter();
            Ok(page
                .map(|(id, row)| Membership {
                    conversation: ConversationId::from_bytes(id),
                    user,
                    row,
                })
                .collect())
        })
    }
}

impl Rows {
    async fn memberships_behind(
        &self,
        statement: &PreparedStatement,
        partition: Value,
        after: Option<[u8; 16]>,
        limit: usize,
    ) -> Result<Vec<([u8; 16], MemberRow)>, StoreError> {
        let mut after = after_bytes(after);
        let mut found = Vec::new();
        while found.len() < limit {
            let asked = page_rows(limit - found.len());
            let values = vec![partition.clone(), after.into(), Value::Int(asked)];
            let answer = self.read(statement, values).await?;
            let page: Vec<(Bytes, Bytes)> = rows_of(&answer)?;
            for (id, row) in &page {
                found.push((id_of(id)?, decode(row)?));
            }
            if page.len() < asked as usize {
                break;
            }
            after = page.last().map(|(id, _)| id.clone()).unwrap_or_default();
        }
        Ok(found)
    }
}
