//! Everything there is, in the order of keys. A place is the last key.

use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use fanfare_engine::account::{Account, Family};
use fanfare_engine::codec::decode;
use fanfare_engine::port::{Census, Claim, Order, Part, Place, PortFuture, StoreError};
use fanfare_protocol::{ConversationId, UserId};

use crate::cells::key::{Key, Table, end_of, key, last_number, scope_of};
use crate::cells::{Range, View};
use crate::log::page;
use crate::marks::ON;
use crate::tables::{Tables, whole};

impl Census for Tables {
    fn all_conversations(
        &self,
        from: Option<Place>,
        limit: usize,
    ) -> PortFuture<'_, Part<ConversationId>> {
        let read = move |view: &dyn View| {
            let mut items = Vec::new();
            let mut last = from.map(|place| place.0.to_vec());
            while items.len() < limit {
                let Some((id, end)) = next_log(view, last.as_deref())? else {
                    return Ok(Part { items, next: None });
                };
                items.push(id);
                last = Some(end);
            }
            let next = last.map(|last| Place(last.into()));
            Ok(Part { items, next })
        };
        Box::pin(async move { self.cells.fetch(read).await })
    }

    fn all_accounts(&self, from: Option<Place>, limit: usize) -> PortFuture<'_, Part<Account>> {
        self.part(Table::Accounts, from, limit, |_, value| Ok(decode(value)?))
    }

    fn all_families(&self, from: Option<Place>, limit: usize) -> PortFuture<'_, Part<Family>> {
        self.part(Table::Families, from, limit, |_, value| Ok(decode(value)?))
    }

    fn all_claims(&self, from: Option<Place>, limit: usize) -> PortFuture<'_, Part<Claim>> {
        self.part(Table::Claims, from, limit, |key, value| {
            let damaged = || StoreError::Damaged("a claim without its name".into());
            let Some((&[_, scope], name)) = key.split_first_chunk::<2>() else {
                return Err(damaged());
            };
            Ok(Claim {
                scope: scope_of(scope)?,
                name: String::from_utf8(name.to_vec()).map_err(|_| damaged())?,
                row: decode(value)?,
            })
        })
    }

    fn mentions_of(
        &self,
        conversation: ConversationId,
        user: UserId,
        after: u64,
        limit: usize,
    ) -> PortFuture<'_, Vec<(u64, bool)>> {
        let (user, conversation) = (*user.as_bytes(), *conversation.as_bytes());
        let read = move |view: &dyn View| {
            let parts: [&[u8]; 3] = [&user, &conversation, &after.to_be_bytes()];
            let range = Range {
                from: Bound::Excluded(key(Table::Mentions, &parts)),
                to: end_of(&key(Table::Mentions, &[&user, &conversation])),
                order: Order::Ascending,
            };
            let mut found = Vec::new();
            page(view, range, limit, |key, cell| {
                found.push((last_number(key)?, whole(cell)? == ON));
                Ok(())
            })?;
            Ok(found)
        };
        Box::pin(async move { self.cells.fetch(read).await })
    }

    fn all_values(&self) -> PortFuture<'_, Vec<(String, Bytes)>> {
        let read = |view: &dyn View| {
            let prefix = key(Table::Values, &[b"value:"]);
            let range = Range::of_ids(&prefix, None);
            let mut found = Vec::new();
            page(view, range, usize::MAX, |key, value| {
                let name = key.get(prefix.len()..).unwrap_or_default();
                let name = String::from_utf8_lossy(name).into_owned();
                found.push((name, Bytes::copy_from_slice(value)));
                Ok(())
            })?;
            Ok(found)
        };
        Box::pin(async move { self.cells.fetch(read).await })
    }
}

impl Tables {
    fn part<T: Send + 'static>(
        &self,
        table: Table,
        from: Option<Place>,
        limit: usize,
        item: impl Fn(&[u8], &[u8]) -> Result<T, StoreError> + Send + 'static,
    ) -> PortFuture<'_, Part<T>> {
        let read = move |view: &dyn View| {
            let prefix = key(table, &[]);
            let range = Range {
                from: from.map_or_else(
                    || Bound::Included(prefix.clone()),
                    |place| Bound::Excluded(place.0.to_vec()),
                ),
                to: end_of(&prefix),
                order: Order::Ascending,
            };
            let (mut items, mut last) = (Vec::new(), Vec::new());
            page(view, range, limit, |key, value| {
                items.push(item(key, value)?);
                last = key.to_vec();
                Ok(())
            })?;
            let next = (items.len() >= limit && limit > 0).then(|| Place(last.into()));
            Ok(Part { items, next })
        };
        Box::pin(async move { self.cells.fetch(read).await })
    }
}

/// The log behind the key `after`, and a key behind all of its rows.
fn next_log(
    view: &dyn View,
    after: Option<&[u8]>,
) -> Result<Option<(ConversationId, Key)>, StoreError> {
    let prefix = key(Table::Log, &[]);
    let range = Range {
        from: Bound::Excluded(after.unwrap_or(&prefix).to_vec()),
        to: end_of(&prefix),
        order: Order::Ascending,
    };
    let mut found = None;
    view.scan(range, &mut |row, _| {
        let id = row.get(1..).and_then(|rest| rest.first_chunk::<16>());
        let id = id.ok_or_else(|| StoreError::Damaged("a row without its log".into()))?;
        let end = key(Table::Log, &[id, &u64::MAX.to_be_bytes()]);
        found = Some((ConversationId::from_bytes(*id), end));
        Ok(ControlFlow::Break(()))
    })?;
    Ok(found)
}
