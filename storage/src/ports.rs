//! The ports of one store, to be handed out one by one.

use std::sync::Arc;

use fanfare_engine::port::{
    Accounts, Census, Inbox, Leases, Log, MarksPort, Members, Names, Readiness, Singles, SoleOwner,
    Tokens,
};

/// All ports of one store. Give each actor those it uses, not all of them.
#[derive(Clone)]
pub struct Ports {
    /// The logs.
    pub log: Arc<dyn Log>,
    /// Memberships.
    pub members: Arc<dyn Members>,
    /// When conversations were active.
    pub inbox: Arc<dyn Inbox>,
    /// Marks and mentions.
    pub marks: Arc<dyn MarksPort>,
    /// Accounts.
    pub accounts: Arc<dyn Accounts>,
    /// Claims.
    pub names: Arc<dyn Names>,
    /// Log-ins.
    pub tokens: Arc<dyn Tokens>,
    /// Who owns which slots, where several may.
    pub leases: Arc<dyn Leases>,
    /// Claims everything at once, where one process has the store to itself.
    pub sole: Option<Arc<dyn SoleOwner>>,
    /// Whether it takes writes.
    pub readiness: Arc<dyn Readiness>,
    /// Everything there is.
    pub census: Arc<dyn Census>,
    /// Single values.
    pub singles: Arc<dyn Singles>,
}

impl Ports {
    /// The ports of a store that one process has to itself.
    pub(crate) fn sole<S>(store: &Arc<S>) -> Self
    where
        S: Log + Members + Inbox + MarksPort + Accounts + Names + Tokens + Leases + Readiness,
        S: Census + Singles + SoleOwner + 'static,
    {
        Self {
            sole: Some(store.clone()),
            ..Self::shared(store)
        }
    }

    /// The ports of a store that several may share.
    pub(crate) fn shared<S>(store: &Arc<S>) -> Self
    where
        S: Log
            + Members
            + Inbox
            + MarksPort
            + Accounts
            + Names
            + Tokens
            + Leases
            + Readiness
            + Census
            + Singles
            + 'static,
    {
        Self {
            log: store.clone(),
            members: store.clone(),
            inbox: store.clone(),
            marks: store.clone(),
            accounts: store.clone(),
            names: store.clone(),
            tokens: store.clone(),
            leases: store.clone(),
            sole: None,
            readiness: store.clone(),
            census: store.clone(),
            singles: store.clone(),
        }
    }
}
