//! Everything there is, in the order of the partitioner's tokens. A place is
//! the last token whose partitions were all seen.

use bytes::Bytes;
use fanfare_engine::account::{Account, Family};
use fanfare_engine::codec::decode;
use fanfare_engine::port::{Census, Claim, Part, Place, PortFuture, StoreError};
use fanfare_protocol::{ConversationId, UserId};
use scylla::deserialize::row::DeserializeRow;
use scylla::statement::prepared::PreparedStatement;

use super::error::damaged;
use super::log::{id_of, number, page_rows};
use super::run::rows_of;
use super::store::Rows;
use super::value::Value;
use crate::cells::key::scope_of;

/// What single values that are kept for the server are called.
pub(super) const VALUE: &str = "value:";

impl Census for Rows {
    fn all_conversations(
        &self,
        from: Option<Place>,
        limit: usize,
    ) -> PortFuture<'_, Part<ConversationId>> {
        Box::pin(async move {
            let statement = &self.statements.all_logs;
            let part = self.part(statement, from, limit, |row: (i64, Bytes, i64)| {
                // A log has one first bucket.
                let first = row.2 == 0;
                let id = first.then(|| id_of(&row.1)).transpose()?;
                Ok((row.0, id.map(ConversationId::from_bytes)))
            });
            part.await
        })
    }

    fn all_accounts(&self, from: Option<Place>, limit: usize) -> PortFuture<'_, Part<Account>> {
        Box::pin(async move {
            let statement = &self.statements.all_accounts;
            let part = self.part(statement, from, limit, |row: (i64, Option<Bytes>)| {
                let account = row.1.map(|account| decode(&account)).transpose()?;
                Ok((row.0, account))
            });
            part.await
        })
    }

    fn all_families(&self, from: Option<Place>, limit: usize) -> PortFuture<'_, Part<Family>> {
        Box::pin(async move {
            let statement = &self.statements.all_families;
            let part = self.part(statement, from, limit, |row: (i64, Option<Bytes>)| {
                let family = row.1.map(|family| decode(&family)).transpose()?;
                Ok((row.0, family))
            });
            part.await
        })
    }

    fn all_claims(&self, from: Option<Place>, limit: usize) -> PortFuture<'_, Part<Claim>> {
        type Row = (i64, i16, String, Option<Bytes>);
        Box::pin(async move {
            let statement = &self.statements.all_claims;
            let part = self.part(statement, from, limit, |row: Row| {
                let (token, scope, name, claim) = row;
                let Some(claim) = claim else {
                    return Ok((token, None));
                };
                let claim = Claim {
                    scope: scope_of(u8::try_from(scope).map_err(damaged)?)?,
                    name,
                    row: decode(&claim)?,
                };
                Ok((token, Some(claim)))
            });
            part.await
        })
    }

    fn mentions_of(
        &self,
        conversation: ConversationId,
        user: UserId,
        after: u64,
        limit: usize,
    ) -> PortFuture<'_, Vec<(u64, bool)>> {
        Box::pin(async move {
            let (mut found, mut after) = (Vec::new(), after);
            while found.len() < limit {
                let asked = page_rows(limit - found.len());
                let behind = Value::number(after);
                let values = vec![user.into(), conversation.into(), behind, Value::Int(asked)];
                let answer = self.read(&self.statements.mentions, values).await?;
                let page: Vec<(i64, bool)> = rows_of(&answer)?;
                let ended = page.len() < asked as usize;
                for (message, on) in page {
                    after = number(message)?;
                    found.push((after, on));
                }
                if ended {
                    break;
                }
            }
            Ok(found)
        })
    }

    fn all_values(&self) -> PortFuture<'_, Vec<(String, Bytes)>> {
        type Row = (i64, String, Option<Bytes>);
        Box::pin(async move {
            let (mut found, mut from) = (Vec::new(), None);
            loop {
                let statement = &self.statements.all_singles;
                let part = self.part(statement, from, usize::MAX, |row: Row| {
                    let (token, name, value) = row;
                    let name = name.strip_prefix(VALUE).map(str::to_owned);
                    Ok((token, name.zip(value)))
                });
                let part = part.await?;
                found.extend(part.items);
                match part.next {
                    Some(next) => from = Some(next),
                    None => return Ok(found),
                }
            }
        })
    }
}

impl Rows {
    /// One part of a table: `item` gives a row's token and what it holds, if
    /// anything.
    async fn part<R, T>(
        &self,
        statement: &PreparedStatement,
        from: Option<Place>,
        limit: usize,
        item: impl Fn(R) -> Result<(i64, Option<T>), StoreError>,
    ) -> Result<Part<T>, StoreError>
    where
        R: for<'a> DeserializeRow<'a, 'a>,
    {
        let from = match from {
            Some(place) => i64::from_be_bytes(place.0[..].try_into().map_err(damaged)?),
            // No partition has the lowest token.
            None => i64::MIN,
        };
        let asked = page_rows(limit.max(2));
        let values = vec![Value::Number(from), Value::Int(asked)];
        let answer = self.read(statement, values).await?;
        let mut rows = Vec::new();
        for row in rows_of::<R>(&answer)? {
            rows.push(item(row)?);
        }
        let last = rows.last().map(|(token, _)| *token);
        let mut next = None;
        if let Some(last) = last.filter(|_| rows.len() >= asked as usize) {
            // Of the last token there may be more: it is for the next part.
            rows.retain(|(token, _)| *token != last);
            let Some((seen, _)) = rows.last() else {
                return Err(damaged("too many partitions have one token"));
            };
            next = Some(Place(Bytes::copy_from_slice(&seen.to_be_bytes())));
        }
        let items = rows.into_iter().filter_map(|(_, item)| item).collect();
        Ok(Part { items, next })
    }
}
