//! The ports of one store, to be handed out one by one.

use std::sync::Arc;

use fanfare_engine::port::{
    Accounts, Log, MarksPort, Members, Names, Ownership, Readiness, Tokens,
};

/// All ports of one store. Give each actor those it uses, not all of them.
#[derive(Clone)]
pub struct Ports {
    /// The logs.
    pub log: Arc<dyn Log>,
    /// Memberships.
    pub members: Arc<dyn Members>,
    /// Marks and mentions.
    pub marks: Arc<dyn MarksPort>,
    /// Accounts.
    pub accounts: Arc<dyn Accounts>,
    /// Claims.
    pub names: Arc<dyn Names>,
    /// Log-ins.
    pub tokens: Arc<dyn Tokens>,
    /// Slots and epochs.
    pub ownership: Arc<dyn Ownership>,
    /// Whether it takes writes.
    pub readiness: Arc<dyn Readiness>,
}

impl Ports {
    /// The ports of a store that is all of them.
    pub(crate) fn new<S>(tables: &Arc<S>) -> Self
    where
        S: Log + Members + MarksPort + Accounts + Names + Tokens + Ownership + Readiness + 'static,
    {
        Self {
            log: tables.clone(),
            members: tables.clone(),
            marks: tables.clone(),
            accounts: tables.clone(),
            names: tables.clone(),
            tokens: tables.clone(),
            ownership: tables.clone(),
            readiness: tables.clone(),
        }
    }
}
