//! Hints of activity, in a partition per user; the timestamp is the time.

use bytes::Bytes;
use fanfare_engine::port::{Inbox, PortFuture};
use fanfare_protocol::{ConversationId, Timestamp, UserId};

use super::log::{after_bytes, id_of, page_rows};
use super::run::{Put, rows_of};
use super::store::Rows;
use super::value::Value;
use crate::inbox::stamp_of;

impl Inbox for Rows {
    fn touch(
        &self,
        conversation: ConversationId,
        users: Vec<UserId>,
        at: Timestamp,
    ) -> PortFuture<'_, ()> {
        let put = |user: UserId| Put {
            statement: &self.statements.put_inbox,
            partition: user.as_bytes().to_vec(),
            values: vec![
                user.into(),
                conversation.into(),
                Value::Number(at.0),
                stamp_of(at).into(),
            ],
        };
        let puts = users.into_iter().map(put).collect();
        Box::pin(self.write(puts))
    }

    fn inbox(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<(ConversationId, Timestamp)>> {
        Box::pin(async move {
            let mut after = after_bytes(after.map(|id| *id.as_bytes()));
            let mut found = Vec::new();
            while found.len() < limit {
                let asked = page_rows(limit - found.len());
                let values = vec![user.into(), after.into(), Value::Int(asked)];
                let answer = self.read(&self.statements.inbox, values).await?;
                let page: Vec<(Bytes, i64)> = rows_of(&answer)?;
                let ended = page.len() < asked as usize;
                for (id, at) in &page {
                    let conversation = ConversationId::from_bytes(id_of(id)?);
                    found.push((conversation, Timestamp(*at)));
                }
                after = page.last().map(|(id, _)| id.clone()).unwrap_or_default();
                if ended {
                    break;
                }
            }
            Ok(found)
        })
    }
}
