//! Everything there is, for whoever checks or copies a whole store; and the
//! single values that belong to the data.

use bytes::Bytes;
use fanfare_protocol::{ConversationId, UserId};

use super::{Claim, PortFuture};
use crate::account::{Account, Family};

/// Where a census goes on. Only the store that gave it out can read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place(pub Bytes);

/// A part of everything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part<T> {
    /// What it holds, in the store's own order.
    pub items: Vec<T>,
    /// Where the next part begins; `None`: that was all.
    pub next: Option<Place>,
}

/// Lists everything, part by part, in an order of the store's own that stays
/// the same. What is written meanwhile may be left out, nothing else is; a
/// part may be empty and yet not the last. `limit` is about what one part
/// holds.
pub trait Census: Send + Sync {
    /// Conversations whose log has at least one row.
    fn all_conversations(
        &self,
        from: Option<Place>,
        limit: usize,
    ) -> PortFuture<'_, Part<ConversationId>>;

    /// Accounts.
    fn all_accounts(&self, from: Option<Place>, limit: usize) -> PortFuture<'_, Part<Account>>;

    /// Log-ins.
    fn all_families(&self, from: Option<Place>, limit: usize) -> PortFuture<'_, Part<Family>>;

    /// Claims, also those that ended and were not cleared away.
    fn all_claims(&self, from: Option<Place>, limit: usize) -> PortFuture<'_, Part<Claim>>;

    /// Messages of a conversation above `after` that ever named somebody, and
    /// whether they still do, at most `limit`.
    fn mentions_of(
        &self,
        conversation: ConversationId,
        user: UserId,
        after: u64,
        limit: usize,
    ) -> PortFuture<'_, Vec<(u64, bool)>>;

    /// Names of the values that were kept for the server (secrets), with the
    /// values: few.
    fn all_values(&self) -> PortFuture<'_, Vec<(String, Bytes)>>;
}

/// Single values, changed by compare-and-set.
pub trait Singles: Send + Sync {
    /// A value kept for the server, as [`Census::all_values`] names it, or
    /// noted by whoever looks after the data.
    fn single(&self, single: Single) -> PortFuture<'_, Option<Bytes>>;

    /// Sets it if it is `expected` (`None`: does not exist). `false`: it is
    /// something else.
    fn put_single(
        &self,
        single: Single,
        value: Bytes,
        expected: Option<Bytes>,
    ) -> PortFuture<'_, bool>;

    /// The newest epoch given out, zero before the first.
    fn newest_epoch(&self) -> PortFuture<'_, u64>;

    /// Lets epochs go on above `epoch`: the next claim is higher.
    fn raise_epoch(&self, epoch: u64) -> PortFuture<'_, ()>;
}

/// Which single value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Single {
    /// A value kept for the server.
    Value(String),
    /// How far a copy into this store is. It does not travel.
    Copy,
}
