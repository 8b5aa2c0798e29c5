//! How a node comes to own slots, and how it lets go of them.

use std::sync::Arc;
use std::time::Duration;

use fanfare_engine::lease::{NodeName, Resignation, Terms};
use fanfare_engine::port::{Leases, Ownership, StoreError};
use fanfare_protocol::limits::{LEASE_TICK_MS, SLOT_RECOVERIES_AT_ONCE, SLOTS};
use futures_util::stream::{self, StreamExt as _};
use ractor::{ActorCell, ActorId, ActorRef, ActorRuntime, SpawnErr};

use super::{Keeper, KeeperArguments, KeeperMessage, SlotChange, Tenure};
use crate::directory::Directory;

/// How a node comes to own slots.
pub enum Tenancy {
    /// This process has the store to itself and claimed everything under this
    /// epoch.
    Sole(Arc<dyn Ownership>, u64),
    /// Several nodes may share the store: slots are claimed under a lease.
    Leased {
        /// The rows.
        leases: Arc<dyn Leases>,
        /// This node's name.
        node: NodeName,
        /// Whether the data folder that the name lives in is locked by this
        /// process: its predecessor's lease need not lapse then.
        folder_locked: bool,
        /// What all nodes agree on.
        terms: Terms,
    },
}

/// What a node under a lease ends with.
pub(crate) struct Leased {
    leases: Arc<dyn Leases>,
    node: NodeName,
    pub(crate) tenure: Arc<Tenure>,
}

impl Leased {
    /// Marks the own lease as over, so that nobody waits for it to lapse.
    pub(crate) async fn resign(&self) {
        let (row, over) = loop {
            match self.tenure.resign() {
                Resignation::Swap(row, over) => break (row, over),
                Resignation::Done => return,
                Resignation::Later => {
                    tokio::time::sleep(Duration::from_millis(LEASE_TICK_MS)).await;
                }
            }
        };
        let node = self.node.clone();
        if let Err(error) = self.leases.swap_lease(node, Some(row), over).await {
            tracing::debug!(%error, "the lease lapses by itself");
        }
    }
}

/// The keeper of leases, and how to start another one.
pub(crate) struct Keepership {
    keeper: ActorRef<KeeperMessage>,
    arguments: KeeperArguments,
}

impl Keepership {
    fn start(arguments: KeeperArguments, parent: &ActorCell) -> Result<Self, SpawnErr> {
        let given = arguments.clone();
        let keeper = ActorRuntime::spawn_linked_instant(None, Keeper, given, parent.clone())?.0;
        Ok(Self { keeper, arguments })
    }

    pub(crate) fn replace(&mut self, failed: ActorId, parent: &ActorCell) -> bool {
        if self.keeper.get_id() != failed {
            return false;
        }
        match Self::start(self.arguments.clone(), parent) {
            Ok(next) => *self = next,
            Err(error) => tracing::error!(%error, "keeper of leases not started again"),
        }
        true
    }
}

impl Tenancy {
    /// Who answers for slots from now on.
    pub(crate) fn ownership(&self) -> (Arc<dyn Ownership>, Option<Arc<Tenure>>) {
        match self {
            Self::Sole(sole, _) => (Arc::clone(sole), None),
            Self::Leased {
                node,
                folder_locked,
                terms,
                ..
            } => {
                let tenure = Tenure::new(node.clone(), *folder_locked, *terms);
                let tenure = Arc::new(tenure);
                (Arc::clone(&tenure) as Arc<dyn Ownership>, Some(tenure))
            }
        }
    }

    pub(crate) fn leased(&self, tenure: Option<Arc<Tenure>>) -> Option<Leased> {
        match self {
            Self::Sole(..) => None,
            Self::Leased { leases, node, .. } => Some(Leased {
                leases: Arc::clone(leases),
                node: node.clone(),
                tenure: tenure?,
            }),
        }
    }

    /// Starts the keeper that brings slots, where there are leases.
    pub(crate) fn begin(
        &self,
        directory: &Directory,
        tenure: Option<&Arc<Tenure>>,
        parent: &ActorCell,
    ) -> Result<Option<Keepership>, SpawnErr> {
        let (Self::Leased { leases, .. }, Some(tenure)) = (self, tenure) else {
            return Ok(None);
        };
        let heard = directory.clone();
        let arguments = KeeperArguments {
            leases: Arc::clone(leases),
            tenure: Arc::clone(tenure),
            changed: Arc::new(move |change| slot_changed(&heard, change)),
        };
        let told = Arc::clone(tenure);
        directory.raise_by(Box::new(move |slot, above| told.epoch_above(slot, above)));
        Ok(Some(Keepership::start(arguments, parent)?))
    }

    /// Recovers what is ours already, where this process has the store to
    /// itself.
    pub(crate) async fn recover(&self, directory: &Directory) -> Result<(), StoreError> {
        let Self::Sole(_, epoch) = self else {
            return Ok(());
        };
        let mut slots = stream::iter(0..SLOTS)
            .map(|slot| directory.recover_once(slot, *epoch))
            .buffer_unordered(SLOT_RECOVERIES_AT_ONCE);
        let mut recovered = 0;
        while let Some(count) = slots.next().await {
            recovered += count?;
        }
        tracing::info!(epoch, recovered, "data claimed");
        Ok(())
    }
}

fn slot_changed(directory: &Directory, change: SlotChange) {
    match change {
        SlotChange::GivenUp { slot, epoch } => {
            tracing::debug!(slot, epoch, "slot given up");
            directory.give_up(slot);
        }
        SlotChange::Owned { slot, epoch } => {
            let directory = directory.clone();
            tokio::spawn(async move {
                if let Some(recovered) = directory.recover(slot, epoch).await {
                    tracing::debug!(slot, epoch, recovered, "slot served");
                }
            });
        }
    }
}
