//! Who takes part, and where: the accounts by what they do, the hall where all are
//! members, the cellar whose few long messages fill every buffer.

use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::server::data_in;
use crate::harness::{Account, Codec, Keep, SOON, Server, Socket, eventually};
use crate::history::Recorder;
use crate::replay::{Stage, seed, settled_head};

use super::form::{Form, MEMTABLE_BYTES};

/// Authors of each small room, and of the hall.
pub const AUTHORS: usize = 3;
/// People who join the hall and leave it.
const JOINERS: usize = 6;
/// The cellar: so many bytes are more than any two socket buffers take.
const LONG_MESSAGES: usize = 30;
const LONG_MESSAGE_BYTES: usize = 16 << 10;

/// A listener that stays from the first round to the last.
pub struct Ear {
    pub account: Account,
    pub socket: Socket,
}

/// A room that is there after its round, to be read again at the very end.
pub struct Kept {
    pub room: String,
    pub reader: Account,
    /// Its messages as they were judged.
    pub messages: Vec<Value>,
}

/// The server and everybody.
pub struct House {
    pub form: Form,
    pub server: Arc<Server>,
    pub owner: Account,
    /// With a password.
    pub registered: Account,
    pub ears: Vec<Ear>,
    /// [`AUTHORS`] for each small room, then as many for the hall.
    pub authors: Vec<Account>,
    /// One for each small room, then one for the hall.
    pub returning: Vec<Account>,
    pub churners: Vec<Account>,
    pub joiners: Vec<Account>,
    pub deaf: Account,
    pub hall: String,
    pub cellar: String,
    pub kept: Mutex<Vec<Kept>>,
}

impl House {
    /// Seeds the accounts, starts the server, opens the hall, connects the ears.
    pub async fn open(form: Form) -> Self {
        let folder = Arc::new(tempfile::tempdir().unwrap());
        let rooms = form.rooms + 1;
        let all = 2 + form.ears + rooms * (AUTHORS + 1) + form.churners + JOINERS;
        let config = folder.path().join("seed.toml");
        let memtable = format!("[limits]\nstore_memtable_bytes = {MEMTABLE_BYTES}\n");
        std::fs::write(&config, memtable).unwrap();
        let more = ["--config", config.to_str().unwrap()];
        let seeded = seed(&data_in(folder.path()), all, &more);
        let server = Arc::new(form.options().start_on(folder).await);
        let mut people = seeded.iter().map(|line| Account::of_seed(&server, line));
        let mut some = |count: usize| people.by_ref().take(count).collect::<Vec<_>>();
        let [owner, deaf] = some(2).try_into().unwrap();
        let ears = some(form.ears);
        let authors = some(rooms * AUTHORS);
        let returning = some(rooms);
        let (churners, joiners) = (some(form.churners), some(JOINERS));
        let hall = owner.channel().await;
        let members = ears
            .iter()
            .chain(&authors)
            .chain(&returning)
            .chain(&churners);
        futures_util::future::join_all(members.map(|member| join(member, &hall))).await;
        let cellar = owner.group(&[&deaf]).await;
        for _ in 0..LONG_MESSAGES {
            owner.say(&cellar, &"x".repeat(LONG_MESSAGE_BYTES)).await;
        }
        let registered = Account::register(&server, "registered").await;
        settled_head(&owner, &hall).await;
        let mut house = Self {
            form,
            server,
            owner,
            registered,
            ears: Vec::new(),
            authors,
            returning,
            churners,
            joiners,
            deaf,
            hall,
            cellar,
            kept: Mutex::default(),
        };
        for (at, account) in ears.into_iter().enumerate() {
            let socket = house.socket(at, &account, json!([]), Keep::All).await;
            house.ears.push(Ear { account, socket });
        }
        house
    }

    /// A socket in JSON for every other `at`, else in MessagePack.
    pub async fn socket(&self, at: usize, account: &Account, cursors: Value, keep: Keep) -> Socket {
        let (address, token) = (self.server.address(), &account.access);
        let opened = Socket::open_in(codec(at), address, token, cursors, keep).await;
        opened.unwrap()
    }

    /// What authors need to know, with a recorder for one round.
    pub fn stage(&self, at: usize, recorder: &Arc<Recorder>) -> Stage {
        Stage {
            server: Arc::clone(&self.server),
            owner: self.owner.clone(),
            people: Vec::new(),
            guests: Vec::new(),
            recorder: Arc::clone(recorder),
            codec: codec(at),
        }
    }

    /// Every message that was judged once is still what it was.
    pub async fn remembers(&self) {
        let kept = std::mem::take(&mut *self.kept.lock().unwrap());
        for Kept {
            room,
            reader,
            messages,
        } in &kept
        {
            let now = reader.history(room).await;
            assert_eq!(now.len(), messages.len(), "messages of {room}");
            assert!(now == *messages, "{room} is no longer what was judged");
        }
        let messages: usize = kept.iter().map(|kept| kept.messages.len()).sum();
        println!(
            "{} rooms read again: {messages} messages as they were judged",
            kept.len()
        );
    }
}

impl Ear {
    /// Waits until it is subscribed to a conversation that it became a member of.
    pub async fn hears(&self, conversation: &str) {
        let what = format!("{} subscribed to {conversation}", self.account.username);
        eventually(&what, SOON, async || self.socket.cursor(conversation)).await;
    }
}

async fn join(member: &Account, channel: &str) {
    let path = format!("/conversations/{channel}/join");
    member.rest.post(&path, json!({})).await.unwrap();
}

fn codec(at: usize) -> Codec {
    match at % 2 {
        0 => Codec::Json,
        _ => Codec::MessagePack,
    }
}
