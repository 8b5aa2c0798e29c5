//! How a node comes to own slots, and how it lets go of them.

use std::sync::Arc;

use fanfare_engine::lease::{NodeName, Terms};
use fanfare_engine::port::{Leases, Ownership};
use fanfare_protocol::limits::SLOTS;
use ractor::{ActorCell, ActorId, ActorRef, ActorRuntime, SpawnErr};

use super::{Keeper, KeeperArguments, KeeperMessage, SlotChange, Tenure};
use crate::directory::Directory;
use crate::node::StartError;

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
        let Some((row, over)) = self.tenure.resign() else {
            return;
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

    /// Recovers what is ours already, or starts the keeper that brings slots.
    pub(crate) async fn begin(
        &self,
        directory: &Directory,
        tenure: Option<&Arc<Tenure>>,
        parent: &ActorCell,
    ) -> Result<Option<Keepership>, StartError> {
        let (leases, tenure) = match (self, tenure) {
            (Self::Leased { leases, .. }, Some(tenure)) => (leases, tenure),
            (Self::Leased { .. }, None) => return Ok(None),
            (Self::Sole(_, epoch), _) => {
                let mut recovered = 0;
                for slot in 0..SLOTS {
                    recovered += directory.recover_once(slot, *epoch).await?;
                }
                tracing::info!(epoch, recovered, "data claimed");
                return Ok(None);
            }
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
