//! Accounts by id, changed by compare-and-set on their number of changes.

use bytes::Bytes;
use fanfare_engine::account::Account;
use fanfare_engine::codec::{decode, encode};
use fanfare_engine::port::{Accounts, PortFuture, StoreError};
use fanfare_protocol::UserId;
use fanfare_protocol::limits::CQL_CAS_ROUNDS;
use scylla::statement::prepared::PreparedStatement;

use super::error::damaged;
use super::run::Cas;
use super::store::Rows;
use super::value::Value;

impl Accounts for Rows {
    fn account(&self, user: UserId) -> PortFuture<'_, Option<Account>> {
        Box::pin(async move {
            let stored = self.revised(&self.statements.account, user.into()).await?;
            match stored {
                Some((_, account)) => Ok(Some(decode(&account)?)),
                None => Ok(None),
            }
        })
    }

    fn accounts(&self, users: Vec<UserId>) -> PortFuture<'_, Vec<Account>> {
        Box::pin(async move {
            let found = self.read_each(users, |user| self.account(user)).await?;
            Ok(found.into_iter().flatten().collect())
        })
    }

    fn put_account(&self, account: Account, expected_rev: Option<u64>) -> PortFuture<'_, bool> {
        Box::pin(async move {
            let statements = &self.statements;
            let change = Revision {
                read: &statements.account_serial,
                insert: &statements.new_account,
                update: &statements.set_account,
                id: account.user.id.into(),
                rev: account.rev,
                expected_rev,
                value: encode(&account)?,
            };
            self.revise(change).await
        })
    }
}

/// A row with a number of changes, to be written if it has the expected one.
pub(crate) struct Revision<'a> {
    /// Reads it serially.
    pub(crate) read: &'a PreparedStatement,
    /// Writes the first.
    pub(crate) insert: &'a PreparedStatement,
    /// Writes a later one.
    pub(crate) update: &'a PreparedStatement,
    /// Which row.
    pub(crate) id: Value,
    /// Its new number.
    pub(crate) rev: u64,
    /// The number it must have; `None`: it must not exist.
    pub(crate) expected_rev: Option<u64>,
    /// What it becomes.
    pub(crate) value: Bytes,
}

impl Rows {
    /// A row's number and value.
    pub(crate) async fn revised(
        &self,
        read: &PreparedStatement,
        id: Value,
    ) -> Result<Option<(i64, Bytes)>, StoreError> {
        let answer = self.read(read, vec![id]).await?;
        answer.maybe_first_row::<(i64, Bytes)>().map_err(damaged)
    }

    /// Writes a row if it has the expected number. An unknown outcome is
    /// settled by a serial read; whoever repeats a write that stands is told
    /// that it was theirs.
    pub(crate) async fn revise(&self, change: Revision<'_>) -> Result<bool, StoreError> {
        let (new, id) = (Value::number(change.rev), change.id.clone());
        let mut uncertain = false;
        for _ in 0..CQL_CAS_ROUNDS {
            let value = Value::Bytes(change.value.clone());
            let cas = match change.expected_rev {
                None => {
                    let values = vec![id.clone(), new.clone(), value];
                    self.compare_and_set(change.insert, values).await
                }
                Some(expected) => {
                    let expected = Value::number(expected);
                    let values = vec![new.clone(), value, id.clone(), expected];
                    self.compare_and_set(change.update, values).await
                }
            };
            match cas {
                Ok(Cas::Applied) => return Ok(true),
                Ok(Cas::Refused) => {}
                Ok(Cas::Unknown) => uncertain = true,
                Err(error) => return Err(perhaps(error, uncertain)),
            }
            let stored = self.revised(change.read, id.clone()).await;
            let stored = stored.map_err(|error| perhaps(error, uncertain))?;
            if stored
                .as_ref()
                .is_some_and(|(_, value)| *value == change.value)
            {
                return Ok(true);
            }
            let rev = stored.map(|(rev, _)| rev);
            let as_expected = rev == change.expected_rev.and_then(|rev| i64::try_from(rev).ok());
            // A serial read finished whatever was in the middle: what does
            // not stand now never will.
            if as_expected {
                uncertain = false;
                continue;
            }
            let ours_may_lie_below = rev > i64::try_from(change.rev).ok();
            if uncertain && ours_may_lie_below {
                let why = "changed again before its outcome was known".into();
                return Err(StoreError::OutcomeUnknown(why));
            }
            return Ok(false);
        }
        let why = "compare-and-set found no quiet moment".into();
        Err(perhaps(StoreError::Unavailable(why), uncertain))
    }
}

/// The error of a later step, when an earlier one may have written.
pub(crate) fn perhaps(error: StoreError, uncertain: bool) -> StoreError {
    if uncertain {
        StoreError::OutcomeUnknown(error.to_string())
    } else {
        error
    }
}
