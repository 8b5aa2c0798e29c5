//! Accounts by id.

use fanfare_protocol::UserId;

use super::PortFuture;
use crate::account::Account;

/// Accounts. Their unique names are claims ([`super::Names`]).
pub trait Accounts: Send + Sync {
    /// One account.
    fn account(&self, user: UserId) -> PortFuture<'_, Option<Account>>;

    /// Several accounts; those that do not exist are left out, order is
    /// that of `users`.
    fn accounts(&self, users: Vec<UserId>) -> PortFuture<'_, Vec<Account>>;

    /// Writes `account` if the stored one has `expected_rev` (`None`: does
    /// not exist). `false`: somebody else was first.
    fn put_account(&self, account: Account, expected_rev: Option<u64>) -> PortFuture<'_, bool>;
}
