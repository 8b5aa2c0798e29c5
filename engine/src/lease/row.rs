//! Rows of the lease keyspace, which change by compare-and-set only, and the
//! terms that all nodes agree on.

use std::fmt;
use std::sync::Arc;

use fanfare_protocol::limits;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A node's name, unique in its cluster; it stays with the data folder.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// A name of 1 to [`limits::NODE_NAME_BYTES_MAX`] bytes.
    pub fn new(name: &str) -> Option<Self> {
        let fits = !name.is_empty() && name.len() <= limits::NODE_NAME_BYTES_MAX;
        fits.then(|| Self(name.into()))
    }

    /// The name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a text is no node's name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a node's name has 1 to {} bytes", limits::NODE_NAME_BYTES_MAX)]
pub struct NoNodeName;

impl TryFrom<String> for NodeName {
    type Error = NoNodeName;

    fn try_from(name: String) -> Result<Self, NoNodeName> {
        Self::new(&name).ok_or(NoNodeName)
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Debug for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// A node's lease: one partition `leases(node)`, never deleted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LeaseRow {
    /// Which life of the node; random.
    pub incarnation: Uuid,
    /// One more with every change of the row.
    pub renewal: u64,
    /// This incarnation is over: it will never hold again.
    pub fenced: bool,
}

/// Who a slot belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// Node.
    pub node: NodeName,
    /// Which life of it: the slot is free when that life is over.
    pub incarnation: Uuid,
}

/// A slot: one partition `slots(slot)`, never deleted.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SlotRow {
    /// `None`: given back.
    pub owner: Option<Owner>,
    /// One more with every claim.
    pub epoch: u64,
}

/// A reading of a node's clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Moment {
    /// Milliseconds of a clock that counts suspend (CLOCK_BOOTTIME).
    pub boot_ms: u64,
    /// Milliseconds of the wall clock.
    pub wall_ms: i64,
}

impl Moment {
    /// Milliseconds of the boot clock since then.
    pub(super) fn since_ms(self, earlier: Self) -> u64 {
        self.boot_ms.saturating_sub(earlier.boot_ms)
    }

    /// Whether less than `ms` have passed since then by the boot clock, and
    /// the wall clock did not move by more, in either direction: a machine
    /// that was stopped as a whole may not have counted the time.
    pub(super) fn within_ms(self, earlier: Self, ms: u64) -> bool {
        let wall_ms = self.wall_ms.abs_diff(earlier.wall_ms);
        self.since_ms(earlier) < ms && wall_ms <= ms
    }
}

/// What all nodes of a cluster agree on, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Terms {
    /// How long a lease holds, from before the request that renewed it.
    pub lease_ms: u64,
    /// Time between renewals.
    pub renew_ms: u64,
    /// What an observer waits beyond `lease_ms`: how much clocks may drift
    /// apart in that time.
    pub margin_ms: u64,
    /// Longest time between two reads of an observer that counts as observed.
    pub gap_ms: u64,
    /// Time between two such reads.
    pub poll_ms: u64,
    /// Time between two looks at slots that somebody else has.
    pub look_ms: u64,
    /// Pause before something that failed is asked again.
    pub retry_ms: u64,
    /// How long what is in flight may take when a slot is handed off.
    pub hand_off_ms: u64,
    /// How long what a node owned in an earlier life is left to its next life.
    pub come_back_ms: u64,
    /// How long two nodes may share what both want before one steps back.
    pub contended_ms: u64,
    /// How long it then lets the other claim.
    pub step_back_ms: u64,
    /// Slots claimed or given back at once.
    pub swaps_at_once: usize,
}

impl Default for Terms {
    fn default() -> Self {
        Self {
            lease_ms: limits::LEASE_MS,
            renew_ms: limits::LEASE_RENEW_MS,
            margin_ms: limits::LEASE_MARGIN_MS,
            gap_ms: limits::LEASE_GAP_MS,
            poll_ms: limits::LEASE_POLL_MS,
            look_ms: limits::SLOT_LOOK_MS,
            retry_ms: limits::LEASE_RETRY_MS,
            hand_off_ms: limits::HAND_OFF_MS,
            come_back_ms: limits::COME_BACK_MS,
            contended_ms: limits::SLOTS_CONTENDED_MS,
            step_back_ms: limits::STEP_BACK_MS,
            swaps_at_once: limits::SLOT_SWAPS_AT_ONCE,
        }
    }
}
