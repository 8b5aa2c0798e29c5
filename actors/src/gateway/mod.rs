//! The gateway: where requests of every transport come in, under the same
//! rules and on the same path.
//!
//! `submit` sends commands to rooms, `create` begins conversations, `query`
//! reads, `subscribe` places cursors, `connect` takes sockets in, and
//! `event_sessions` those who have none.

mod active;
mod connect;
mod create;
mod event_sessions;
mod history;
mod mark;
mod query;
mod submit;
mod subscribe;

use std::sync::Arc;

use fanfare_engine::port::{Inbox, Log, MarksPort, Members, Names};
use fanfare_engine::secret::DataSecret;
use fanfare_protocol::Limits;
use fanfare_protocol::limits::HELLOS_AT_ONCE;
use ractor::ActorCell;
use tokio::sync::Semaphore;

use crate::account::AccountBook;
use crate::directory::Directory;
use crate::fanout::Fanout;
use crate::marks::MarksHandle;
use crate::rates::Rates;
use crate::relays::Relays;
use crate::sessions::Sessions;

pub(crate) use active::{Active, Asked};
pub use connect::{Connection, Permit};
pub use create::CreatedConversation;
use event_sessions::EventSessions;
pub use event_sessions::{EventSession, EventStream};
pub use history::{History, Page};
pub use query::{Listed, ParticipantPage};
pub use submit::Draft;
pub use subscribe::{Placement, Seen};

/// What a gateway is made of.
pub struct GatewayParts {
    /// Accounts.
    pub accounts: Arc<AccountBook>,
    /// Live conversations and heads.
    pub directory: Directory,
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
    /// Marks on their way.
    pub marks_in: MarksHandle,
    /// Who follows.
    pub relays: Relays,
    /// Who writes.
    pub fanout: Fanout,
    /// Who is connected.
    pub sessions: Arc<Sessions>,
    /// Rates.
    pub rates: Arc<Rates>,
    /// Secret of keys and requests.
    pub secret: DataSecret,
    /// Parents of session actors.
    pub supervisors: Vec<ActorCell>,
    /// Limits.
    pub limits: Arc<Limits>,
}

/// See the module.
pub struct Gateway {
    pub(crate) parts: GatewayParts,
    pub(crate) node_permits: Arc<Semaphore>,
    /// Turns to answer hello: a storm of them must not line up in front of
    /// everybody who talks.
    pub(crate) hello_turns: Semaphore,
    event_sessions: Arc<EventSessions>,
}

impl Gateway {
    /// A gateway over these parts.
    pub fn new(parts: GatewayParts) -> Self {
        let permits = parts.limits.inbound_permits_node_bytes / 1024;
        let permits = permits.min(Semaphore::MAX_PERMITS);
        Self {
            event_sessions: Arc::new(EventSessions::new(&parts.limits)),
            node_permits: Arc::new(Semaphore::new(permits)),
            hello_turns: Semaphore::new(HELLOS_AT_ONCE),
            parts,
        }
    }

    /// Accounts.
    pub fn accounts(&self) -> &Arc<AccountBook> {
        &self.parts.accounts
    }

    /// Rates.
    pub fn rates(&self) -> &Rates {
        &self.parts.rates
    }

    /// Limits.
    pub fn limits(&self) -> &Arc<Limits> {
        &self.parts.limits
    }

    /// Who is connected.
    pub fn sessions(&self) -> &Sessions {
        &self.parts.sessions
    }
}
