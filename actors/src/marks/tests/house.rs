//! A node in small: rooms, relays and fan-out over a store in memory that may
//! die, one group, devices that write down what they hear.

use std::sync::Arc;
use std::time::{Duration, Instant};

use fanfare_engine::member::{Marks, MemberRow};
use fanfare_engine::room::{Accepted, Done, Resolved, Submission};
use fanfare_engine::secret::DataSecret;
use fanfare_protocol::command::{Command, CreateConversation, MoveMark, SendMessage};
use fanfare_protocol::conversation::Kind;
use fanfare_protocol::limits::SLOTS;
use fanfare_protocol::mark::MarkKind;
use fanfare_protocol::message::Message;
use fanfare_protocol::{ConversationId, Limits, Refusal, SessionId, UserId};
use fanfare_storage::dying::{self, Switch};
use fanfare_storage::{Memory, Ports};
use parking_lot::Mutex;
use ractor::{Actor, ActorCell, ActorProcessingErr, ActorRef, ActorRuntime, SupervisionEvent};
use serde_json::Value;
use tokio::io::AsyncReadExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

use crate::appender::Appender;
use crate::directory::Directory;
use crate::fanout::{Fanout, Format, SocketHandle, Start, Watch, Wire};
use crate::marks::{MarksHandle, MarksParts, OwnMarks};
use crate::notices::Notices;
use crate::owner::Owner;
use crate::relays::{RelayParts, Relays};
use crate::reply::{Answered, Reply};
use crate::room::{Loads, RoomPorts, RoomSupervisor, SupervisorArguments};
use crate::session::SessionRef;
use crate::sessions::{Present, Registered, Sessions};
use crate::unread::{Counted, UnreadHandle, UnreadParts, count};

/// The group of every test.
pub(crate) const GROUP: [u8; 16] = [9; 16];
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn user(n: u8) -> UserId {
    UserId::from_bytes([n; 16])
}

/// Waits until `condition` holds.
pub(crate) async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

pub(crate) struct House {
    pub ports: Ports,
    pub switch: Arc<Switch>,
    pub directory: Directory,
    pub own: Arc<OwnMarks>,
    pub marks: MarksHandle,
    pub unread: UnreadHandle,
    pub limits: Arc<Limits>,
    pub conversation: ConversationId,
    sessions: Arc<Sessions>,
    fanout: Fanout,
    relays: Relays,
}

/// One device's end of a socket.
pub(crate) struct Device {
    pub socket: SocketHandle,
    heard: Arc<Mutex<Vec<(Instant, Value)>>>,
    _registered: Registered,
}

/// Starts another marks or unread actor for one that failed.
struct Root;

impl Actor for Root {
    type Msg = (MarksHandle, UnreadHandle);
    type State = Option<(MarksHandle, UnreadHandle)>;
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
        if let (SupervisionEvent::ActorFailed(child, _), Some((marks, unread))) = (event, children)
        {
            let (id, parent) = (child.get_id(), myself.get_cell());
            assert!(marks.replace(id, &parent) || unread.replace(id, &parent));
        }
        Ok(())
    }
}

/// Nobody who hears of a socket.
struct Deaf;

impl Watch for Deaf {
    fn ended(&self, _: ConversationId) {}
    fn closed(&self) {}
}

impl House {
    /// A house with a group of the users 1 to `members`.
    pub async fn of(members: u8, limits: Limits) -> Self {
        let (ports, switch) = dying::wrap(Memory::new().ports());
        let limits = Arc::new(limits);
        let (root, _) = ActorRuntime::spawn(None, Root, ()).await.unwrap();
        let parent = root.get_cell();
        let sole = ports.sole.clone().unwrap();
        let epoch = sole.claim_slots().await.unwrap();
        let room_ports = RoomPorts {
            log: Arc::clone(&ports.log),
            members: Arc::clone(&ports.members),
            appender: Appender::new(Arc::clone(&ports.log), sole.clone()),
            loads: Loads::default(),
            inbox: Arc::clone(&ports.inbox),
        };
        let directory = Directory::new(sole, Arc::clone(&limits), room_ports);
        for slot in 0..SLOTS {
            directory.recover_once(slot, epoch).await.unwrap();
        }
        let relays = Relays::new();
        let fanout = Fanout::start(1, &limits, Arc::new(relays.clone()));
        let relay_parts = RelayParts {
            log: Arc::clone(&ports.log),
            owner: Arc::new(directory.clone()) as Arc<dyn Owner>,
            fanout: fanout.clone(),
            limits: Arc::clone(&limits),
        };
        relays.start(&relay_parts, &parent).unwrap();
        let sessions = Arc::new(Sessions::new(limits.sessions_per_user_max));
        let own = OwnMarks::over(Arc::clone(&ports.marks), &limits);
        let unread_parts = UnreadParts {
            marks: own.clone(),
            members: Arc::clone(&ports.members),
            directory: directory.clone(),
            sessions: Arc::clone(&sessions),
            limits: Arc::clone(&limits),
        };
        let unread = UnreadHandle::start(unread_parts, &parent).unwrap();
        let marks_parts = MarksParts {
            log: Arc::clone(&ports.log),
            marks: own.clone(),
            directory: directory.clone(),
            unread: unread.clone(),
            limits: Arc::clone(&limits),
        };
        let marks = MarksHandle::start(marks_parts, &parent).unwrap();
        root.cast((marks.clone(), unread.clone())).unwrap();
        let house = Self {
            ports,
            switch,
            own,
            marks,
            unread,
            limits,
            conversation: ConversationId::from_bytes(GROUP),
            sessions,
            fanout,
            relays,
            directory,
        };
        house.open(parent, members).await;
        house
    }

    async fn open(&self, parent: ActorCell, members: u8) {
        let arguments = SupervisorArguments {
            directory: self.directory.clone(),
        };
        let rooms = ActorRuntime::spawn_linked(None, RoomSupervisor, arguments, parent);
        let notices = Notices {
            sessions: Arc::clone(&self.sessions),
            marks: self.marks.clone(),
            unread: self.unread.clone(),
        };
        let rooms = rooms.await.unwrap().0.get_cell();
        self.directory.begin(rooms, Arc::new(notices));
        let create = CreateConversation {
            kind: Kind::Group,
            title: Some("the house".into()),
            slug: None,
            description: None,
            participant_ids: (2..=members).map(user).collect(),
            visibility: None,
            join_policy: None,
        };
        self.submit(1, Command::Create(create), Resolved::default())
            .await;
    }

    // --- what people do ----------------------------------------------------

    pub async fn submit(&self, caller: u8, command: Command, resolved: Resolved) -> Accepted {
        let (sender, answer) = oneshot::channel();
        let submission = Submission {
            ticket: 0,
            caller: user(caller),
            key: None,
            key_print: None,
            request: DataSecret::new([7; 32]).request(&command),
            command,
            resolved,
            order: None,
        };
        let reply = Reply::new(move |answered| drop(sender.send(answered)));
        self.directory.submit(self.conversation, submission, reply);
        match answer.await.unwrap() {
            Answered::Settled(result) => result.unwrap(),
            Answered::HandedBack => panic!("handed back"),
        }
    }

    /// Sends a message that names these.
    pub async fn say(&self, author: u8, named: &[u8]) -> Message {
        let send = SendMessage {
            text: "hello".into(),
            reply_to: None,
            kind: fanfare_protocol::message::MessageType::default(),
        };
        let resolved = Resolved {
            mentions: named.iter().copied().map(user).collect(),
            ..Resolved::default()
        };
        let command = Command::SendMessage(send);
        match self.submit(author, command, resolved).await.done {
            Done::Message(message) => *message,
            other => panic!("not a message: {other:?}"),
        }
    }

    pub async fn member(&self, n: u8) -> MemberRow {
        let member = self.ports.members.member(self.conversation, user(n));
        member.await.unwrap().unwrap()
    }

    /// Asks for a mark; the answer comes when it comes.
    pub async fn ask(
        &self,
        n: u8,
        kind: MarkKind,
        seq: u64,
    ) -> oneshot::Receiver<Result<u64, Refusal>> {
        let member = self.member(n).await;
        self.ask_as(n, member, kind, seq)
    }

    pub fn ask_as(
        &self,
        n: u8,
        member: MemberRow,
        kind: MarkKind,
        seq: u64,
    ) -> oneshot::Receiver<Result<u64, Refusal>> {
        let (sender, answer) = oneshot::channel();
        let conversation = self.conversation;
        let ask = MoveMark {
            conversation,
            kind,
            seq,
        };
        let reply = Box::new(move |result| drop(sender.send(result)));
        self.marks.raise(user(n), ask, member, reply);
        answer
    }

    pub async fn read(&self, n: u8, seq: u64) -> Result<u64, Refusal> {
        self.ask(n, MarkKind::Read, seq).await.await.unwrap()
    }

    pub async fn delivered(&self, n: u8, seq: u64) -> Result<u64, Refusal> {
        self.ask(n, MarkKind::Delivered, seq).await.await.unwrap()
    }

    /// Waits until senders' own marks are durable.
    pub async fn settled(&self) {
        let settled = tokio::time::timeout(PATIENCE, self.marks.settled());
        settled.await.unwrap();
    }

    // --- what is so --------------------------------------------------------

    /// What is durable.
    pub async fn stored(&self, n: u8) -> Marks {
        let marks = self.ports.marks.marks(self.conversation, user(n));
        marks.await.unwrap()
    }

    /// What a request would be told: unread, mentions.
    pub async fn counts(&self, n: u8) -> (u64, u64) {
        let counted = self.counted(n).await;
        (counted.unread, counted.mentions)
    }

    pub async fn counted(&self, n: u8) -> Counted {
        let member = self.member(n).await;
        let head = self.directory.head(self.conversation).await;
        let head = head.unwrap().unwrap();
        let counted = count(&*self.own, self.conversation, user(n), &member, &head);
        counted.await.unwrap()
    }

    // --- devices -----------------------------------------------------------

    pub async fn device(&self, n: u8) -> Device {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let client = TcpStream::connect(address).await.unwrap();
        let (server, _) = listener.accept().await.unwrap();
        let wire = Wire::Plain(Arc::new(server));
        let socket = self
            .fanout
            .attach(wire, Format::Json, |_| Some(Arc::new(Deaf)));
        let socket = socket.unwrap();
        socket.identify(user(n), u64::MAX);
        let present = Present {
            session: SessionId::from_bytes([n; 16]),
            socket: socket.clone(),
            told: SessionRef::over(),
        };
        let heard = Arc::default();
        tokio::spawn(listen(client, Arc::clone(&heard)));
        Device {
            socket,
            heard,
            _registered: self.sessions.add(user(n), present).unwrap(),
        }
    }

    /// From here on the device hears what the conversation's subscribers do.
    pub async fn subscribe(&self, device: &Device) {
        let socket = device.socket.id();
        let head = self.relays.hold(socket, self.conversation).await.unwrap();
        let from = vec![Start {
            conversation: self.conversation,
            seq: head.seq,
            joined_seq: 1,
        }];
        device.socket.release(None, from);
    }
}

impl Device {
    /// The data of every frame of this type, in order, and when it came.
    pub fn heard(&self, kind: &str) -> Vec<(Instant, Value)> {
        let heard = self.heard.lock();
        let frames = heard.iter().filter(|(_, frame)| frame["type"] == kind);
        frames
            .map(|(at, frame)| (*at, frame["data"].clone()))
            .collect()
    }

    /// Every `unread:update` so far: unread, mentions, readSeq.
    pub fn updates(&self) -> Vec<(u64, u64, u64)> {
        let number = |data: &Value, field: &str| data[field].as_u64().unwrap();
        let all = self
            .heard("unread:update")
            .into_iter()
            .map(|(_, data)| data);
        all.map(|it| {
            (
                number(&it, "unread"),
                number(&it, "mentions"),
                number(&it, "readSeq"),
            )
        })
        .collect()
    }

    /// Waits until the newest `unread:update` says this.
    pub async fn hears(&self, unread: u64, mentions: u64) {
        let what = format!("unread:update {unread}, {mentions}");
        let newest = || self.updates().last().map(|it| (it.0, it.1));
        until(&what, || newest() == Some((unread, mentions))).await;
    }
}

/// Reads server frames (RFC 6455, 5.2): text ones are written down.
async fn listen(mut stream: TcpStream, heard: Arc<Mutex<Vec<(Instant, Value)>>>) {
    while let Ok(first) = stream.read_u8().await {
        let length = match stream.read_u8().await.unwrap() {
            126 => u64::from(stream.read_u16().await.unwrap()),
            127 => stream.read_u64().await.unwrap(),
            short => u64::from(short),
        };
        let mut payload = vec![0; usize::try_from(length).unwrap()];
        stream.read_exact(&mut payload).await.unwrap();
        if first & 0xF == 1 {
            let frame = serde_json::from_slice(&payload).unwrap();
            heard.lock().push((Instant::now(), frame));
        }
    }
}
