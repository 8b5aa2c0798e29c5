//! Log-ins and their refresh tokens, changed by compare-and-set.

use bytes::Bytes;
use fanfare_engine::account::Family;
use fanfare_engine::codec::{decode, encode};
use fanfare_engine::port::{PortFuture, Tokens};
use fanfare_protocol::SessionId;

use crate::cells::Change;
use crate::cells::key::{Key, Table, key};
use crate::tables::Tables;

impl Tokens for Tables {
    fn family(&self, session: SessionId) -> PortFuture<'_, Option<Family>> {
        Box::pin(async move {
            let key = family_key(session);
            match self.cells.fetch(move |view| view.get(&key)).await? {
                Some(stored) => Ok(Some(decode(&stored)?)),
                None => Ok(None),
            }
        })
    }

    fn put_family(&self, family: Family, expected_rev: Option<u64>) -> PortFuture<'_, bool> {
        Box::pin(async move {
            let value = encode(&family)?;
            let key = family_key(family.session);
            let decide = move |stored: Option<&Bytes>| {
                // The repeat of a write whose answer was lost.
                if stored == Some(&value) {
                    return Ok((Change::Keep, true));
                }
                let rev = match stored {
                    Some(stored) => Some(decode::<Family>(stored)?.rev),
                    None => None,
                };
                Ok(if rev == expected_rev {
                    (Change::Set(value), true)
                } else {
                    (Change::Keep, false)
                })
            };
            self.cells.decide_one(key, decide).await
        })
    }
}

fn family_key(session: SessionId) -> Key {
    key(Table::Families, &[session.as_bytes()])
}
