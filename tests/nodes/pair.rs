//! Two engines on one keyspace, each with its own data folder and its own way to the
//! CQL server, and people who talk to them.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::Value;
use tokio::task::JoinSet;

use super::ghost::Ghosts;
use crate::harness::keyspace::Keyspace;
use crate::harness::proxy::Proxy;
use crate::harness::{Account, Dice, Options, Server, new_key};
use crate::irc::plan::{Act, Plan};
use crate::replay::{Author, Door, Job, Returning, Stage};

/// Rooms, and authors in each: one who stays at the first engine, one at the second,
/// and two who follow whoever is to own.
const ROOMS: usize = 3;
pub const AUTHORS: usize = 4;
/// Between two messages of an author while nobody is in a rush.
const PACE: Duration = Duration::from_millis(150);

/// One of the two.
pub struct Side {
    pub server: Arc<Server>,
    /// What it says to the store goes through here.
    pub proxy: Proxy,
    /// For those who stay with it.
    pub door: Door,
}

impl Side {
    async fn options(keyspace: &Keyspace) -> (Options, Proxy) {
        let store = keyspace.nodes[0].parse().unwrap();
        let proxy = Proxy::before(store).await;
        let own = Keyspace {
            nodes: vec![proxy.address().to_string()],
            ..keyspace.clone()
        };
        (Options::new().port_kept().cql(&own), proxy)
    }

    /// Status and body of `/readyz`; `None` when nothing is said.
    pub async fn readiness(&self) -> Option<(u16, String)> {
        let rest = self.server.rest();
        let answer = rest.try_raw("GET", "/readyz", &[], None).await.ok()?;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        Some((answer.status, body))
    }

    pub async fn is_ready(&self) -> bool {
        self.readiness()
            .await
            .is_some_and(|(status, _)| status == 200)
    }

    /// The account as it talks to this engine.
    pub fn seen_by(&self, account: &Account) -> Account {
        Account {
            rest: self.server.rest().with_token(&account.access),
            ..account.clone()
        }
    }
}

/// How people talk.
#[derive(Default)]
pub struct Talk {
    pub rush: AtomicBool,
    pub enough: AtomicBool,
    pub unanswered: AtomicUsize,
}

/// Both engines, the rooms and everybody in them.
pub struct Pair {
    pub stage: Stage,
    pub sides: [Side; 2],
    pub rooms: Vec<Room>,
    pub ghosts: Ghosts,
    /// For those who follow.
    pub door: Door,
    pub talk: Arc<Talk>,
    pub talking: JoinSet<()>,
}

/// A room, what was said in it before anybody listened, and who listens: at the first
/// engine, at the second, and wherever it is owned.
pub struct Room {
    pub id: String,
    pub snapshot: Vec<Value>,
    pub readers: Vec<Returning>,
}

impl Pair {
    /// The first engine alone, owner of everything, and the rooms.
    pub async fn first(keyspace: &Keyspace) -> (Stage, Side, Vec<String>) {
        let nicks = (0..ROOMS * AUTHORS).map(|at| format!("speaker {at}"));
        let plan = Plan {
            nicks: nicks.collect(),
            ..Plan::default()
        };
        let (options, proxy) = Side::options(keyspace).await;
        let stage = Stage::set(options, &plan, 3).await;
        let mut rooms = Vec::new();
        for _ in 0..ROOMS {
            let everybody: Vec<&Account> = stage.people.iter().chain(&stage.guests).collect();
            rooms.push(stage.owner.group(&everybody).await);
        }
        let side = Side {
            server: Arc::clone(&stage.server),
            proxy,
            door: Door::from(stage.server.address()),
        };
        (stage, side, rooms)
    }

    /// The second engine, and everybody talks.
    pub async fn gather(
        keyspace: &Keyspace,
        stage: Stage,
        first: Side,
        rooms: Vec<String>,
        seed: u64,
    ) -> Self {
        let (options, proxy) = Side::options(keyspace).await;
        let second = Arc::new(options.standby().start().await);
        let address = second.address();
        let second = Side {
            server: second,
            proxy,
            // Everybody is placed by the first: one that owns nothing places nobody.
            door: Door::from(first.server.address()),
        };
        let door = Door::from(first.server.address());
        let doors = [&first.door, &second.door, &door, &door];
        let mut listened = Vec::new();
        for id in rooms {
            listened.push(Room::listened(id, &stage, &doors[..3]).await);
        }
        second.door.turn(address);
        let ghosts = Ghosts::gather(keyspace, &stage).await;
        let talk = Arc::new(Talk::default());
        let mut talking = JoinSet::new();
        for (room, people) in listened.iter().zip(stage.people.chunks(AUTHORS)) {
            for (at, (account, door)) in people.iter().zip(doors).enumerate() {
                let author = Author::behind(door, &stage, account, &room.id, false);
                let dice = Dice::new(seed + at as u64);
                talking.spawn(chatter(author, Arc::clone(&talk), dice));
            }
        }
        Self {
            stage,
            sides: [first, second],
            rooms: listened,
            ghosts,
            door,
            talk,
            talking,
        }
    }
}

impl Room {
    async fn listened(id: String, stage: &Stage, doors: &[&Door]) -> Self {
        let snapshot = stage.owner.history(&id).await;
        let mut readers = Vec::new();
        let places = [
            "who stays at the first",
            "who stays at the second",
            "who follows",
        ];
        for ((place, door), guest) in places.into_iter().zip(doors).zip(&stage.guests) {
            let (name, door) = (format!("reader {place}"), Door::clone(door));
            readers.push(Returning::start(&name, door, guest, &id, None).await);
        }
        Self {
            id,
            snapshot,
            readers,
        }
    }
}

/// Says one thing after another, each until it is acknowledged.
async fn chatter(author: Author, talk: Arc<Talk>, mut dice: Dice) {
    for number in 0.. {
        if talk.enough.load(Ordering::Relaxed) {
            break;
        }
        talk.unanswered.fetch_add(1, Ordering::Relaxed);
        let text = format!("number {number} of {}", author.account().username);
        let said = author.order(Job::Do(Act::Say(text)), new_key()).await;
        said.unwrap()
            .unwrap_or_else(|refusal| panic!("refused for good: {refusal:?}"));
        talk.unanswered.fetch_sub(1, Ordering::Relaxed);
        if !talk.rush.load(Ordering::Relaxed) {
            let pause_ms = PACE.as_millis() as u64 / 2 + dice.roll(PACE.as_millis() as u64);
            tokio::time::sleep(Duration::from_millis(pause_ms)).await;
        }
    }
    let faults = author.faults();
    assert!(
        faults.is_empty(),
        "{}: {faults:?}",
        author.account().username
    );
}
