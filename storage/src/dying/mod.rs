//! A store that dies on command, for tests of whoever uses the ports: it
//! fails the n-th operation, or the next of a kind, in every way in which a
//! store can fail, and counts what it was asked.

mod ports;
mod switch;

use std::sync::Arc;

pub use switch::Switch;

use fanfare_engine::port::SoleOwner;

use crate::Ports;
use ports::Wrapped;

/// One method of a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[expect(missing_docs, reason = "each is the port's method of that name")]
pub enum Operation {
    Append,
    Apply,
    Rows,
    Meta,
    Metas,
    Heads,
    Head,
    PutHead,
    PutLive,
    DropLive,
    Live,
    Epochs,
    PutEpoch,
    Member,
    Memberships,
    MembersOf,
    ConversationsOf,
    Marks,
    MarksOf,
    Raise,
    Standings,
    Account,
    Accounts,
    PutAccount,
    Claim,
    Claimed,
    Settle,
    Release,
    Family,
    PutFamily,
    ClaimSlots,
    Lease,
    SwapLease,
    Slots,
    Slot,
    SwapSlot,
    Touch,
    Inbox,
}

impl Operation {
    /// Whether it changes anything: only then can its outcome be unknown.
    pub fn writes(self) -> bool {
        match self {
            Self::Append
            | Self::Apply
            | Self::PutHead
            | Self::PutLive
            | Self::DropLive
            | Self::PutEpoch
            | Self::Raise
            | Self::PutAccount
            | Self::Claim
            | Self::Settle
            | Self::Release
            | Self::PutFamily
            | Self::ClaimSlots
            | Self::SwapLease
            | Self::SwapSlot
            | Self::Touch => true,
            Self::Rows
            | Self::Meta
            | Self::Head
            | Self::Live
            | Self::Epochs
            | Self::Member
            | Self::Memberships
            | Self::Metas
            | Self::Heads
            | Self::MembersOf
            | Self::ConversationsOf
            | Self::Marks
            | Self::MarksOf
            | Self::Standings
            | Self::Account
            | Self::Accounts
            | Self::Claimed
            | Self::Family
            | Self::Lease
            | Self::Slots
            | Self::Slot
            | Self::Inbox => false,
        }
    }
}

/// How an operation fails. A read fails as `Unavailable` in every case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Not performed: `Unavailable`.
    Unavailable,
    /// Not performed: `Overloaded`.
    Overloaded,
    /// Performed, but answered `OutcomeUnknown`.
    UnknownPerformed,
    /// Not performed, and answered `OutcomeUnknown`.
    UnknownNotPerformed,
    /// Of an append the first rows, of effects the first ones, of marks the
    /// first ones: performed; answered `OutcomeUnknown`. Other operations
    /// are performed.
    UnknownPartly(usize),
    /// Waits for [`Switch::release`], then is performed and answered; if the
    /// store died meanwhile, not performed and `OutcomeUnknown`.
    Hang,
}

/// Puts a switch in front of all ports but those of whoever looks after the
/// data. Ready and held it stays as the store
/// below says, but dead it is not ready.
///
/// ```
/// # use fanfare_storage::{Memory, dying::{self, Fault, Operation}};
/// let (ports, switch) = dying::wrap(Memory::new().ports());
/// switch.fail_next(Operation::Append, Fault::UnknownPerformed);
/// switch.die_at(7, Fault::Unavailable);
/// # assert_eq!(switch.operations(), 0); drop(ports);
/// ```
pub fn wrap(ports: Ports) -> (Ports, Arc<Switch>) {
    let switch = Arc::new(Switch::new());
    let is_sole = ports.sole.is_some();
    let (census, singles) = (Arc::clone(&ports.census), Arc::clone(&ports.singles));
    let wrapped = Arc::new(Wrapped {
        inner: ports,
        switch: Arc::clone(&switch),
    });
    let ports = Ports {
        log: wrapped.clone(),
        members: wrapped.clone(),
        inbox: wrapped.clone(),
        marks: wrapped.clone(),
        accounts: wrapped.clone(),
        names: wrapped.clone(),
        tokens: wrapped.clone(),
        leases: wrapped.clone(),
        sole: is_sole.then(|| wrapped.clone() as Arc<dyn SoleOwner>),
        readiness: wrapped,
        census,
        singles,
    };
    (ports, switch)
}
