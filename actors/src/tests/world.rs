//! A node over a store that fails on command, and people who talk to it.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::Duration;

use fanfare_engine::account::{Account, Family};
use fanfare_engine::lease::{NodeName, Terms};
use fanfare_engine::secret::{DataSecret, Fingerprint};
use fanfare_protocol::frame::ClientFrame;
use fanfare_protocol::user::User;
use fanfare_protocol::{ConversationId, Limits, SessionId, Timestamp, UserId};
use fanfare_storage::dying::{Switch, wrap};
use fanfare_storage::{Memory, Ports};
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};

use crate::account::{AccountBook, Clock, Identity, Parts, TokenKey, new_id};
use crate::clock;
use crate::fanout::{Format, Wire};
use crate::gateway::Connection;
use crate::lease::Tenancy;
use crate::node::{Node, NodeParts};
use crate::rates::Rates;

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Waits until something is so.
pub async fn until(mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(PATIENCE, wait)
        .await
        .expect("it never came to be");
}

pub struct World {
    pub store: Arc<Memory>,
    pub switch: Arc<Switch>,
    pub node: Node,
    pub limits: Arc<Limits>,
}

impl World {
    pub async fn new() -> Self {
        Self::with(Limits {
            room_idle_ms: 60_000,
            ..Limits::default()
        })
        .await
    }

    /// One whose rooms fall asleep at once, so that what they would know is
    /// read from the store.
    pub async fn drowsy() -> Self {
        Self::with(Limits {
            room_idle_ms: 1,
            ..Limits::default()
        })
        .await
    }

    /// Waits until every room sleeps.
    pub async fn asleep(&self) {
        until(|| self.node.directory().live_rooms() == 0).await;
    }

    pub async fn with(limits: Limits) -> Self {
        Self::over(Arc::new(Memory::new()), Arc::new(limits)).await
    }

    async fn over(store: Arc<Memory>, limits: Arc<Limits>) -> Self {
        let (ports, switch) = wrap(store.ports());
        let sole = ports.sole.clone().unwrap();
        let epoch = sole.claim_slots().await.unwrap();
        let tenancy = Tenancy::Sole(sole, epoch);
        Self::of(store, ports, switch, tenancy, limits).await
    }

    /// One of several nodes over a store, which it reaches through a switch of
    /// its own. Leases hold for a second.
    pub async fn leased(store: Arc<Memory>, name: &str) -> Self {
        Self::leased_for(1000, store, name, false).await
    }

    /// The same, with leases of this length.
    pub async fn leased_for(
        lease_ms: u64,
        store: Arc<Memory>,
        name: &str,
        folder_locked: bool,
    ) -> Self {
        let limits = Limits {
            room_idle_ms: 60_000,
            // So that only what becomes of the slot answers.
            append_ms_max: 60_000,
            ..Limits::default()
        };
        Self::leased_under(limits, lease_ms, store, name, folder_locked).await
    }

    /// The same, with these limits.
    pub async fn leased_under(
        limits: Limits,
        lease_ms: u64,
        store: Arc<Memory>,
        name: &str,
        folder_locked: bool,
    ) -> Self {
        let (ports, switch) = wrap(store.ports());
        let terms = Terms {
            lease_ms,
            renew_ms: 200,
            margin_ms: 200,
            gap_ms: 400,
            poll_ms: 50,
            look_ms: 100,
            retry_ms: 20,
            come_back_ms: 500,
            contended_ms: 300,
            step_back_ms: 1000,
            ..Terms::default()
        };
        let tenancy = Tenancy::Leased {
            leases: Arc::clone(&ports.leases),
            node: NodeName::new(name).unwrap(),
            folder_locked,
            terms,
        };
        Self::of(store, ports, switch, tenancy, Arc::new(limits)).await
    }

    async fn of(
        store: Arc<Memory>,
        ports: Ports,
        switch: Arc<Switch>,
        tenancy: Tenancy,
        limits: Arc<Limits>,
    ) -> Self {
        let rates = Arc::new(Rates::off());
        let secret = DataSecret::new([7; 32]);
        let accounts = Arc::new(AccountBook::new(Parts {
            accounts: Arc::clone(&ports.accounts),
            names: Arc::clone(&ports.names),
            families: Arc::clone(&ports.tokens),
            secret: secret.clone(),
            key: TokenKey::new([9; 32]),
            rates: Arc::clone(&rates),
            clock: Clock::wall(),
            limits: Arc::clone(&limits),
        }));
        let node = Node::start(NodeParts {
            log: Arc::clone(&ports.log),
            members: Arc::clone(&ports.members),
            inbox: Arc::clone(&ports.inbox),
            marks: Arc::clone(&ports.marks),
            names: Arc::clone(&ports.names),
            tenancy,
            accounts,
            rates,
            secret,
            shards: 2,
            limits: Arc::clone(&limits),
        })
        .await
        .unwrap();
        Self {
            store,
            switch,
            node,
            limits,
        }
    }

    /// The process dies and another one takes the data over.
    pub async fn reborn(self) -> Self {
        self.switch.die();
        let (store, limits) = (self.store, self.limits);
        drop(self.node);
        Self::over(store, limits).await
    }

    /// Somebody with an account, not connected.
    pub async fn person(&self, name: &str) -> UserId {
        let id = UserId(new_id(clock::wall()).unwrap());
        let user = User {
            id,
            username: name.to_owned(),
            display_name: name.to_owned(),
            avatar: None,
            bio: None,
            role: fanfare_protocol::user::GlobalRole::User,
            verified: false,
            created_at: Timestamp(0),
        };
        let account = Account {
            user,
            email: None,
            password: None,
            rev: 1,
            deactivated_at: None,
            registered: None,
        };
        assert!(
            self.store
                .ports()
                .accounts
                .put_account(account, None)
                .await
                .unwrap()
        );
        id
    }

    /// Somebody connects and says hello, with these cursors.
    pub async fn connect(&self, user: UserId, cursors: Value) -> Peer {
        let peer = self.hello(user, cursors).await;
        assert!(peer.welcome["data"].is_object(), "{}", peer.welcome);
        peer
    }

    /// The same, whatever is answered.
    pub async fn hello(&self, user: UserId, cursors: Value) -> Peer {
        let session = SessionId(new_id(clock::wall()).unwrap());
        let far = clock::wall().plus_ms(3_600_000);
        let family = Family {
            session,
            user,
            current: Fingerprint([0; 16]),
            previous: None,
            rotated_at: clock::wall(),
            expires_at: far,
            revoked_at: None,
            rev: 1,
        };
        assert!(
            self.store
                .ports()
                .tokens
                .put_family(family, None)
                .await
                .unwrap()
        );
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        let wire = Wire::Plain(Arc::new(server.unwrap().0));
        let identity = Identity {
            user,
            session,
            expires_at: far,
        };
        let from = IpAddr::V4(Ipv4Addr::LOCALHOST);
        let connection = self
            .node
            .gateway()
            .connect(wire, Format::Json, from, Some(identity))
            .unwrap();
        let mut peer = Peer {
            user,
            welcome: Value::Null,
            connection,
            stream: client.unwrap(),
            bytes: Vec::new(),
            events: VecDeque::new(),
            next_id: 1,
        };
        let welcome = peer
            .ask("session:hello", json!({ "cursors": cursors }), None)
            .await;
        peer.welcome = welcome;
        peer
    }
}

/// A connected client.
pub struct Peer {
    pub user: UserId,
    pub welcome: Value,
    pub connection: Connection,
    stream: TcpStream,
    bytes: Vec<u8>,
    pub events: VecDeque<Value>,
    next_id: u64,
}

impl Peer {
    /// The seq that hello named for a conversation.
    pub fn subscribed_at(&self, room: ConversationId) -> u64 {
        let places = self.welcome["data"]["subscribed"].as_array().unwrap();
        let place = places
            .iter()
            .find(|it| it["conversation"] == json!(room))
            .unwrap();
        place["seq"].as_u64().unwrap()
    }

    /// Sends a frame; gives its id.
    pub async fn send(&mut self, kind: &str, data: Value, key: Option<&str>) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        let mut frame = json!({ "id": id, "type": kind, "data": data });
        if let Some(key) = key {
            frame["key"] = json!(key);
        }
        let text = frame.to_string();
        let permit = self.connection.permit(text.len()).await.unwrap();
        self.connection.socket.heard();
        self.connection
            .frame(ClientFrame::from_json(text.as_bytes()).unwrap(), permit);
        id
    }

    /// Sends a frame and waits for its reply.
    pub async fn ask(&mut self, kind: &str, data: Value, key: Option<&str>) -> Value {
        let id = self.send(kind, data, key).await;
        self.reply(id).await
    }

    /// Waits for the reply to a frame; what else comes is kept.
    pub async fn reply(&mut self, id: u64) -> Value {
        if let Some(at) = self
            .events
            .iter()
            .position(|event| event["re"] == json!(id))
        {
            return self.events.remove(at).unwrap();
        }
        loop {
            let frame = self.frame().await;
            if frame["re"] == json!(id) {
                return frame;
            }
            self.events.push_back(frame);
        }
    }

    /// Waits for the next event of this type; others are dropped.
    pub async fn event(&mut self, kind: &str) -> Value {
        loop {
            let frame = match self.events.pop_front() {
                Some(frame) => frame,
                None => self.frame().await,
            };
            if frame["type"] == json!(kind) {
                return frame;
            }
        }
    }

    async fn frame(&mut self) -> Value {
        loop {
            if let Some((frame, used)) = parse(&self.bytes) {
                self.bytes.drain(..used);
                match frame {
                    Some(frame) => return frame,
                    None => continue,
                }
            }
            let mut chunk = [0; 4096];
            let read = tokio::time::timeout(PATIENCE, self.stream.read(&mut chunk));
            let read = read.await.expect("nothing came in time").unwrap();
            assert!(read > 0, "the server closed the connection");
            self.bytes.extend_from_slice(&chunk[..read]);
        }
    }
}

/// An unmasked server frame: its JSON (`None`: a control frame) and length.
fn parse(bytes: &[u8]) -> Option<(Option<Value>, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
    let (length, head) = match second {
        126 => (usize::from(u16::from_be_bytes(*rest.first_chunk()?)), 4),
        127 => (u64::from_be_bytes(*rest.first_chunk()?) as usize, 10),
        short => (usize::from(short), 2),
    };
    let payload = bytes.get(head..head + length)?;
    let text = first & 0xF == 1;
    Some((
        text.then(|| serde_json::from_slice(payload).unwrap()),
        head + length,
    ))
}
