//! A thousand messages through the room machine, from the command to the
//! answer behind a durable append, without a store and without a runtime;
//! beside what encoding their entries alone takes.

#[path = "../../benches/table.rs"]
mod table;

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::Arc;

use fanfare_engine::codec::encode;
use fanfare_engine::entry::{Body, Entry, MessageSent};
use fanfare_engine::room::{Input, Now, Outcome, Output, Resolved, Room, RoomState, Submission};
use fanfare_engine::secret::DataSecret;
use fanfare_protocol::command::{Command, CreateConversation, SendMessage};
use fanfare_protocol::conversation::Kind;
use fanfare_protocol::message::MessageType;
use fanfare_protocol::user::{GlobalRole, User};
use fanfare_protocol::{ConversationId, Limits, Timestamp, UserId};
use table::Table;
use uuid::Uuid;

const MESSAGES: u64 = 1000;
const LOG: ConversationId = ConversationId(Uuid::from_u128(1));
const ALICE: UserId = UserId(Uuid::from_u128(2));

/// A room and whatever it wants done, which always goes well at once.
struct House {
    room: Room,
    now: Now,
    secret: DataSecret,
    tickets: u64,
    answered: u64,
    due: VecDeque<Output>,
}

impl House {
    /// A group of Alice's.
    fn new() -> Self {
        let (room, _) = Room::new(LOG, 1, Arc::new(Limits::default()));
        let mut house = Self {
            room,
            now: Now {
                at: Timestamp(1_000_000),
                ms: 20_000,
            },
            secret: DataSecret::new([7; 32]),
            tickets: 0,
            answered: 0,
            due: VecDeque::new(),
        };
        let state = RoomState::load(LOG, None, Vec::new(), Some(Vec::new())).ok();
        house.put(Input::Loaded(state.map(Box::new)));
        let create = CreateConversation {
            kind: Kind::Group,
            title: Some("Tea".into()),
            slug: None,
            description: None,
            participant_ids: Vec::new(),
            visibility: None,
            join_policy: None,
        };
        house.submit(Command::Create(create));
        house.settle();
        house
    }

    fn submit(&mut self, command: Command) {
        self.tickets += 1;
        let alice = User {
            id: ALICE,
            username: "alice".into(),
            display_name: "alice".into(),
            avatar: None,
            bio: None,
            role: GlobalRole::User,
            verified: false,
            created_at: Timestamp(0),
        };
        let asked = Submission {
            ticket: self.tickets,
            caller: ALICE,
            key: None,
            key_print: None,
            request: self.secret.request(&command),
            command,
            resolved: Resolved {
                users: vec![alice],
                ..Resolved::default()
            },
            order: None,
        };
        self.put(Input::Submit(Box::new(asked)));
    }

    fn send(&mut self) {
        self.submit(Command::SendMessage(SendMessage {
            text: "x".repeat(200),
            reply_to: None,
            kind: MessageType::Text,
        }));
    }

    fn put(&mut self, input: Input) {
        self.due.extend(self.room.handle(input, self.now));
    }

    /// Lets every write end well, and counts what is answered.
    fn settle(&mut self) {
        while let Some(output) = self.due.pop_front() {
            match output {
                Output::Append(batch) => {
                    black_box(batch);
                    self.put(Input::Appended(Outcome::Durable));
                }
                Output::Apply(_) => self.put(Input::Applied(Outcome::Durable)),
                Output::Answer(_, answer) => {
                    assert!(answer.is_ok(), "{answer:?}");
                    self.answered += 1;
                }
                Output::Publish(published) => drop(black_box(published)),
                Output::PutHead(_) => {}
                other => panic!("nothing to read and nobody to send back to: {other:?}"),
            }
        }
        assert_eq!(self.answered, self.tickets, "everything is answered");
    }
}

fn main() {
    let sent = Entry {
        at: Timestamp(1_000_000),
        author: ALICE,
        body: Body::MessageSent(MessageSent {
            kind: MessageType::Text,
            text: "x".repeat(200),
            reply_to: None,
            mentions: Vec::new(),
            mentions_all: false,
            key: None,
        }),
    };
    let (mut one_by_one, mut gathered) = (House::new(), House::new());
    Table::new("room step: a message of 200 bytes")
        .case("encoding its entry alone", MESSAGES, || {
            for _ in 0..MESSAGES {
                let _ = black_box(encode(black_box(&sent)));
            }
        })
        .case("each durable before the next", MESSAGES, || {
            for _ in 0..MESSAGES {
                one_by_one.send();
                one_by_one.settle();
            }
        })
        .case("gathered while an append is in flight", MESSAGES, || {
            for _ in 0..MESSAGES {
                gathered.send();
            }
            gathered.settle();
        })
        .print();
}
