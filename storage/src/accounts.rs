//! Accounts by id, changed by compare-and-set on their number of changes.

use fanfare_engine::account::Account;
use fanfare_engine::codec::{decode, encode};
use fanfare_engine::port::{Accounts, PortFuture};
use fanfare_protocol::UserId;

use crate::cells::key::{Key, Table, key};
use crate::cells::{Change, View};
use crate::tables::Tables;

impl Accounts for Tables {
    fn account(&self, user: UserId) -> PortFuture<'_, Option<Account>> {
        Box::pin(async move { Ok(self.accounts(vec![user]).await?.pop()) })
    }

    fn accounts(&self, users: Vec<UserId>) -> PortFuture<'_, Vec<Account>> {
        Box::pin(async move {
            let read = move |view: &dyn View| {
                let mut found = Vec::with_capacity(users.len());
                for user in users {
                    if let Some(stored) = view.get(&account_key(user))? {
                        found.push(decode(&stored)?);
                    }
                }
                Ok(found)
            };
            self.cells.fetch(read).await
        })
    }

    fn put_account(&self, account: Account, expected_rev: Option<u64>) -> PortFuture<'_, bool> {
        Box::pin(async move {
            let value = encode(&account)?;
            let key = account_key(account.user.id);
            let decide = move |stored: Option<&bytes::Bytes>| {
                // The repeat of a write whose answer was lost.
                if stored == Some(&value) {
                    return Ok((Change::Keep, true));
                }
                let rev = match stored {
                    Some(stored) => Some(decode::<Account>(stored)?.rev),
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

fn account_key(user: UserId) -> Key {
    key(Table::Accounts, &[user.as_bytes()])
}
