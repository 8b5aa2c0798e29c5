//! Role: root of the node's actors: starts them, restarts those that must
//! always be there.
//! Per child: relay, marks, unread → a new one at once; session and room
//! supervisors hold no state of their own and never fail.

use std::sync::Arc;
use std::time::Duration;

use fanfare_engine::port::{Inbox, Log, MarksPort, Members, Names};
use fanfare_engine::secret::DataSecret;
use fanfare_protocol::Limits;
use fanfare_protocol::limits::{SESSION_SUPERVISORS, SLOTS};
use ractor::{
    Actor, ActorCell, ActorProcessingErr, ActorRef, ActorRuntime, SpawnErr, SupervisionEvent,
};

use crate::account::AccountBook;
use crate::appender::Appender;
use crate::directory::Directory;
use crate::fanout::{Close, Fanout};
use crate::frames;
use crate::gateway::{Gateway, GatewayParts};
use crate::lease::{Keepership, Leased, Tenancy};
use crate::marks::{MarksHandle, MarksParts, OwnMarks};
use crate::notices::Notices;
use crate::owner::Owner;
use crate::rates::Rates;
use crate::relays::{RelayParts, Relays};
use crate::room::{Loads, RoomPorts, RoomSupervisor, SupervisorArguments};
use crate::session::SessionSupervisor;
use crate::sessions::Sessions;
use crate::unread::{UnreadHandle, UnreadParts};

/// What a node is made of.
pub struct NodeParts {
    /// Rows.
    pub log: Arc<dyn Log>,
    /// Memberships.
    pub members: Arc<dyn Members>,
    /// When conversations were active.
    pub inbox: Arc<dyn Inbox>,
    /// Marks.
    pub marks: Arc<dyn MarksPort>,
    /// Claims.
    pub names: Arc<dyn Names>,
    /// What this node owns, and how it comes to it.
    pub tenancy: Tenancy,
    /// Accounts.
    pub accounts: Arc<AccountBook>,
    /// Rates.
    pub rates: Arc<Rates>,
    /// Secret that travels with the data.
    pub secret: DataSecret,
    /// Fan-out shards; one per core.
    pub shards: usize,
    /// Limits.
    pub limits: Arc<Limits>,
}

/// A running node.
pub struct Node {
    gateway: Arc<Gateway>,
    directory: Directory,
    fanout: Fanout,
    leased: Option<Leased>,
    limits: Arc<Limits>,
    root: ActorCell,
}

/// Why a node did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// An actor could not be started.
    #[error("actor could not be started")]
    Spawn(#[from] SpawnErr),
    /// What was in the middle of something could not be activated.
    #[error("what was in the middle of something cannot be activated")]
    Recover(#[from] fanfare_engine::port::StoreError),
}

/// What the root looks after, once it is there.
struct Children {
    relays: Relays,
    relay_parts: RelayParts,
    marks: MarksHandle,
    unread: UnreadHandle,
    keeper: Option<Keepership>,
}

struct Root;

impl Actor for Root {
    type Msg = Box<Children>;
    type State = Option<Box<Children>>;
    type Arguments = ();

    async fn pre_start(
        &self,
        _: ActorRef<Self::Msg>,
        (): (),
    ) -> Result<Self::State, ActorProcessingErr> {
        Ok(None)
    }

    async fn handle(
        &self,
        _: ActorRef<Self::Msg>,
        children: Self::Msg,
        state: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        *state = Some(children);
        Ok(())
    }

    async fn handle_supervisor_evt(
        &self,
        myself: ActorRef<Self::Msg>,
        event: SupervisionEvent,
        children: &mut Self::State,
    ) -> Result<(), ActorProcessingErr> {
        let child = match event {
            SupervisionEvent::ActorFailed(child, error) => {
                metrics::counter!("fanfare_node_actors_failed_total").increment(1);
                tracing::error!(%error, "node actor failed, another takes its place");
                child.get_id()
            }
            SupervisionEvent::ActorTerminated(child, ..) => child.get_id(),
            SupervisionEvent::ActorStarted(_) | SupervisionEvent::ProcessGroupChanged(_) => {
                return Ok(());
            }
        };
        if let Some(children) = children {
            let parent = myself.get_cell();
            let _ = children
                .relays
                .replace(child, &children.relay_parts, &parent)
                || children.marks.replace(child, &parent)
                || children.unread.replace(child, &parent)
                || (children.keeper.as_mut()).is_some_and(|it| it.replace(child, &parent));
        }
        Ok(())
    }
}

impl Node {
    /// Starts every actor. Of a store that this process has to itself, what
    /// was in the middle of something is activated before it returns; with
    /// leases slots come one by one ([`Self::ready`]).
    ///
    /// # Errors
    /// When an actor cannot be started.
    pub async fn start(parts: NodeParts) -> Result<Self, StartError> {
        let limits = Arc::clone(&parts.limits);
        let (root, _) = ActorRuntime::spawn(None, Root, ()).await?;
        let parent = root.get_cell();
        let (ownership, tenure) = parts.tenancy.ownership();
        let room_ports = RoomPorts {
            log: Arc::clone(&parts.log),
            members: Arc::clone(&parts.members),
            appender: Appender::new(Arc::clone(&parts.log), Arc::clone(&ownership)),
            loads: Loads::default(),
            inbox: Arc::clone(&parts.inbox),
        };
        let directory = Directory::new(ownership, Arc::clone(&limits), room_ports);
        let arguments = SupervisorArguments {
            directory: directory.clone(),
        };
        let (rooms, _) =
            ActorRuntime::spawn_linked(None, RoomSupervisor, arguments, parent.clone()).await?;
        let relays = Relays::new();
        let fanout = Fanout::start(parts.shards, &limits, Arc::new(relays.clone()));
        let relay_parts = RelayParts {
            log: Arc::clone(&parts.log),
            owner: Arc::new(directory.clone()) as Arc<dyn Owner>,
            fanout: fanout.clone(),
            limits: Arc::clone(&limits),
        };
        relays.start(&relay_parts, &parent)?;
        let sessions = Arc::new(Sessions::new(limits.sessions_per_user_max));
        let (own, marks, unread) = counting(&parts, &directory, &sessions, &parent)?;
        let (sessions_heard, marks_heard) = (Arc::clone(&sessions), marks.clone());
        let notices = Notices {
            sessions: sessions_heard,
            marks: marks_heard,
            unread: unread.clone(),
        };
        directory.begin(rooms.get_cell(), Arc::new(notices));
        let keeper = parts.tenancy.begin(&directory, tenure.as_ref(), &parent)?;
        let children = Children {
            relays: relays.clone(),
            relay_parts,
            marks: marks.clone(),
            unread,
            keeper,
        };
        if root.cast(Box::new(children)).is_err() {
            tracing::error!("node root ended at once");
        }
        parts.tenancy.recover(&directory).await?;
        let gateway = Gateway::new(GatewayParts {
            accounts: parts.accounts,
            directory: directory.clone(),
            log: Arc::clone(&parts.log),
            members: parts.members,
            marks: own,
            inbox: parts.inbox,
            names: parts.names,
            marks_in: marks,
            relays,
            fanout: fanout.clone(),
            sessions,
            rates: parts.rates,
            secret: parts.secret,
            supervisors: session_supervisors(&parent).await?,
            limits: Arc::clone(&limits),
        });
        let node = Self {
            gateway: Arc::new(gateway),
            directory,
            fanout,
            leased: parts.tenancy.leased(tenure),
            limits,
            root: parent,
        };
        node.keep_time();
        Ok(node)
    }

    /// Where transports bring what comes in.
    pub fn gateway(&self) -> Arc<Gateway> {
        Arc::clone(&self.gateway)
    }

    /// Live conversations, for tests.
    #[cfg(test)]
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// Why this node does not serve everything that it ought to, if so.
    ///
    /// # Errors
    /// A sentence for `/readyz`.
    pub fn ready(&self) -> Result<(), String> {
        let Some(leased) = &self.leased else {
            return Ok(());
        };
        leased.tenure.ready()?;
        match self.directory.recovered_slots() {
            all if all == usize::from(SLOTS) => Ok(()),
            some => Err(format!("{some} of {SLOTS} slots are recovered")),
        }
    }

    /// Makes the keeper of leases die, to see that another takes over.
    #[cfg(test)]
    pub(crate) fn kill_keeper(&self) {
        if let Some(leased) = &self.leased {
            leased.tenure.doom();
        }
    }

    /// Tells every client when to come back, then closes their sockets.
    /// Delays are spread over `reconnect_spread_ms`.
    pub fn drain(&self) {
        let spread_ms = self.limits.reconnect_spread_ms.max(1);
        let place = Arc::new(std::sync::atomic::AtomicU64::new(0));
        self.fanout
            .close_all(&Close::new(1012, "restarting"), move |format| {
                // A stride prime to any sensible spread: even, whatever the number.
                let at = place.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                let signal = fanfare_protocol::signal::Signal::SessionReconnect {
                    delay_ms: at.wrapping_mul(7919) % spread_ms,
                };
                frames::signal(format, None, &signal).unwrap_or_default()
            });
    }

    /// Ends every actor; what is being written is finished first, and rooms
    /// go to sleep, for at most `append_ms_max`.
    pub async fn stop(&self) {
        let patience = Duration::from_millis(self.limits.append_ms_max);
        let settled = async {
            self.directory.sleep().await;
            self.gateway.parts.marks_in.settled().await;
        };
        if tokio::time::timeout(patience, settled).await.is_err() {
            tracing::warn!("some writes were still under way");
        }
        if let Some(leased) = &self.leased
            && tokio::time::timeout(patience, leased.resign())
                .await
                .is_err()
        {
            tracing::debug!("the lease lapses by itself");
        }
        self.root.stop(Some("shutting down".to_owned()));
    }

    /// Repeats heads every second; closes the sockets of revoked log-ins.
    fn keep_time(&self) {
        let directory = self.directory.clone();
        let every = Duration::from_millis(self.limits.head_repeat_ms.max(1));
        tokio::spawn(async move {
            let mut tick = tokio::time::interval(every);
            tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
            loop {
                tick.tick().await;
                directory.repeat_heads();
            }
        });
        let gateway = Arc::clone(&self.gateway);
        tokio::spawn(async move { close_revoked(&gateway).await });
    }
}

/// Marks as everybody reads them, marks on their way, counts.
fn counting(
    parts: &NodeParts,
    directory: &Directory,
    sessions: &Arc<Sessions>,
    parent: &ActorCell,
) -> Result<(Arc<OwnMarks>, MarksHandle, UnreadHandle), SpawnErr> {
    let limits = &parts.limits;
    // Whoever counts reads through it: a sender's own message is read.
    let own = OwnMarks::over(Arc::clone(&parts.marks), limits);
    let unread = UnreadParts {
        members: Arc::clone(&parts.members),
        marks: Arc::clone(&own),
        directory: directory.clone(),
        sessions: Arc::clone(sessions),
        limits: Arc::clone(limits),
    };
    let unread = UnreadHandle::start(unread, parent)?;
    let marks = MarksParts {
        log: Arc::clone(&parts.log),
        marks: Arc::clone(&own),
        directory: directory.clone(),
        unread: unread.clone(),
        limits: Arc::clone(limits),
    };
    let marks = MarksHandle::start(marks, parent)?;
    Ok((own, marks, unread))
}

async fn session_supervisors(parent: &ActorCell) -> Result<Vec<ActorCell>, SpawnErr> {
    let mut supervisors = Vec::with_capacity(SESSION_SUPERVISORS);
    for _ in 0..SESSION_SUPERVISORS {
        let spawned =
            ActorRuntime::spawn_linked(None, SessionSupervisor, (), parent.clone()).await?;
        supervisors.push(spawned.0.get_cell());
    }
    Ok(supervisors)
}

async fn close_revoked(gateway: &Gateway) {
    use tokio::sync::broadcast::error::RecvError;
    let mut revocations = gateway.accounts().revocations();
    loop {
        match revocations.recv().await {
            Ok(login) => gateway.sessions().revoke(login),
            Err(RecvError::Lagged(_)) => {
                for login in gateway.sessions().logins() {
                    if gateway.accounts().is_revoked(login) {
                        gateway.sessions().revoke(login);
                    }
                }
            }
            Err(RecvError::Closed) => return,
        }
    }
}
