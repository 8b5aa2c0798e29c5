//! A room with a store behind it, moved by hand: whoever holds the world
//! decides when a write, a read or a tick ends, and how.

use std::collections::BTreeMap;
use std::sync::Arc;

use fanfare_protocol::command::Command;
use fanfare_protocol::conversation::{Kind, Visibility};
use fanfare_protocol::user::User;
use fanfare_protocol::{Code, Limits, MessageId, Refusal, Timestamp, UserId};

use super::ask::{ALICE, BOB, CAROL, LOG, With, channel, group, named_in, person, send};
use super::store::Store;
use crate::effect::{Effect, Effects};
use crate::member::MemberRow;
use crate::room::activation::{Found, adopt};
use crate::room::{
    Accepted, Batch, Input, Needs, Now, Outcome, Output, Published, PublishedRow, Resolved, Room,
    RoomState, Submission,
};
use crate::row::{HeadRow, LogRow};
use crate::secret::DataSecret;

/// What a read finds: memberships and rows.
pub type Fetched = (Vec<(UserId, Option<MemberRow>)>, Vec<LogRow>);

pub struct World {
    pub store: Store,
    pub room: Room,
    pub epoch: u64,
    pub now: Now,
    pub limits: Arc<Limits>,
    /// What the room waits for.
    pub loading: bool,
    pub read: Option<Needs>,
    pub read_early: Fetched,
    pub append: Option<Batch>,
    pub apply: Option<Arc<Effects>>,
    /// What it said.
    pub batches: Vec<Batch>,
    pub effects: Vec<Effect>,
    pub published: Vec<PublishedRow>,
    pub publications: Vec<Published>,
    pub answers: BTreeMap<u64, Result<Accepted, Refusal>>,
    pub handed_back: Vec<u64>,
    pub heads: Vec<HeadRow>,
    pub tickets: u64,
}

impl World {
    /// A room of a conversation that does not exist yet, loaded.
    pub fn new(limits: Limits) -> Self {
        let mut world = Self::unloaded(limits);
        world.finish_load();
        world
    }

    pub fn unloaded(limits: Limits) -> Self {
        let limits = Arc::new(limits);
        let (room, _) = Room::new(LOG, 1, Arc::clone(&limits));
        Self {
            store: Store::default(),
            room,
            epoch: 1,
            now: Now {
                at: Timestamp(1_000_000),
                ms: 20_000,
            },
            limits,
            loading: true,
            read: None,
            read_early: Fetched::default(),
            append: None,
            apply: None,
            batches: Vec::new(),
            effects: Vec::new(),
            published: Vec::new(),
            publications: Vec::new(),
            answers: BTreeMap::new(),
            handed_back: Vec::new(),
            heads: Vec::new(),
            tickets: 0,
        }
    }

    /// A group: Alice its owner, Bob and Carol members.
    pub fn group() -> Self {
        let mut world = Self::new(Limits::default());
        world.accepted(ALICE, group(&[BOB, CAROL]));
        world
    }

    /// A public channel of Alice's: Bob and Carol are members.
    pub fn channel() -> Self {
        let mut world = Self::new(Limits::default());
        world.accepted(ALICE, channel(&[BOB, CAROL], Visibility::Public));
        world
    }

    // --- asking ------------------------------------------------------------

    pub fn ask(&mut self, caller: UserId, command: Command) -> u64 {
        self.ask_with(caller, command, With::default())
    }

    pub fn ask_with(&mut self, caller: UserId, command: Command, with: With) -> u64 {
        let mut users: Vec<User> = named_in(&command).into_iter().map(person).collect();
        users.push(person(caller));
        self.submit(caller, command, with, users)
    }

    /// The gateway found none of the users that the command names.
    pub fn ask_unresolved(&mut self, caller: UserId, command: Command, with: With) -> u64 {
        self.submit(caller, command, with, Vec::new())
    }

    fn submit(&mut self, caller: UserId, command: Command, with: With, users: Vec<User>) -> u64 {
        self.tickets += 1;
        let secret = DataSecret::new([7; 32]);
        let asked = Submission {
            ticket: self.tickets,
            caller,
            key_print: with.key.as_deref().map(|key| secret.key(caller, key)),
            request: secret.request(&command),
            key: with.key,
            command,
            resolved: Resolved {
                users,
                mentions: with.mentions,
                mentions_all: with.all,
            },
            order: with.order,
        };
        self.input(Input::Submit(Box::new(asked)));
        self.tickets
    }

    /// Asks and lets everything end well.
    pub fn tell(&mut self, caller: UserId, command: Command) -> Result<Accepted, Refusal> {
        let ticket = self.ask(caller, command);
        self.quiesce();
        self.answers.remove(&ticket).unwrap()
    }

    pub fn accepted(&mut self, caller: UserId, command: Command) -> Accepted {
        self.tell(caller, command).unwrap()
    }

    /// As what a command was refused, if it was.
    pub fn refusal(&mut self, ticket: u64) -> Option<Code> {
        self.quiesce();
        let answer = self.answers.get(&ticket).unwrap();
        answer.as_ref().err().map(|refusal| refusal.code)
    }

    /// Sends a message; its id.
    pub fn sent(&mut self, author: UserId, text: &str) -> MessageId {
        let seq = self.accepted(author, send(text)).seq;
        self.id(seq)
    }

    pub fn id(&self, seq: u64) -> MessageId {
        let epoch = self.store.row(seq).map_or(self.epoch, |row| row.epoch);
        MessageId {
            conversation: LOG,
            epoch,
            seq,
        }
    }

    // --- moving ------------------------------------------------------------

    pub fn input(&mut self, input: Input) {
        for output in self.room.handle(input, self.now) {
            self.carry_out(output);
        }
    }

    fn carry_out(&mut self, output: Output) {
        match output {
            Output::Load => {
                assert!(self.append.is_none() && self.apply.is_none() && !self.loading);
                self.loading = true;
            }
            Output::Read(needs) => {
                assert!(self.read.is_none(), "one read at a time");
                assert!(!needs.is_empty());
                self.read_early = self.look_up(&needs);
                self.read = Some(needs);
            }
            Output::Append(batch) => {
                assert!(self.append.is_none() && self.apply.is_none());
                self.batches.push(batch.clone());
                self.append = Some(batch);
            }
            Output::Apply(effects) => {
                assert!(self.append.is_none() && self.apply.is_none());
                self.effects.extend(effects.list.iter().cloned());
                self.apply = Some(effects);
            }
            Output::Publish(published) => self.publish(published),
            Output::PutHead(head) => {
                self.heads.push(head);
                self.store.put_head(self.epoch, head);
            }
            Output::Answer(ticket, answer) => {
                assert!(ticket <= self.tickets && !self.handed_back.contains(&ticket));
                if let Ok(accepted) = &answer {
                    assert!(accepted.seq <= self.room.published(), "said before durable");
                }
                assert!(self.answers.insert(ticket, answer).is_none());
            }
            Output::HandBack(ticket) => {
                assert!(!self.answers.contains_key(&ticket));
                self.handed_back.push(ticket);
            }
        }
    }

    fn publish(&mut self, published: Published) {
        for row in &published.rows {
            let last = self.published.last().map_or(0, |last| last.row.seq);
            assert_eq!(row.row.seq, last + 1, "published rows are dense");
            let stored = self.store.row(row.row.seq).unwrap();
            assert_eq!((stored.epoch, stored.mno), (row.row.epoch, row.row.mno));
            self.published.push(row.clone());
        }
        assert_eq!(published.head_seq(), self.room.published());
        self.publications.push(published);
    }

    pub fn finish_load(&mut self) {
        assert!(self.loading && self.append.is_none() && self.apply.is_none());
        self.loading = false;
        let mut state = self.activate();
        // Older rows are read when they are needed.
        let oldest = state.head.saturating_sub(2);
        state.rows.retain(|seq, _| *seq > oldest);
        self.input(Input::Loaded(Some(Box::new(state))));
        self.pull();
    }

    /// Who follows pulls what was never published.
    fn pull(&mut self) {
        for seq in self.published.len() as u64 + 1..=self.room.published() {
            let row = self.store.row(seq).unwrap();
            let entry = Arc::new(row.entry().unwrap());
            self.published.push(PublishedRow { row, entry });
        }
    }

    /// Loads as an owner does under the world's epoch, in the six steps.
    pub fn activate(&mut self) -> RoomState {
        let epochs = self.store.epochs(LOG);
        if !epochs.iter().any(|known| known.epoch == self.epoch) {
            self.store.put_epoch(self.epoch, None);
        }
        let (head, tail) = (self.store.head(), self.store.rows_from(1));
        let adopted = adopt(Found { head, tail, epochs }, self.epoch).unwrap();
        self.store.append(self.epoch, adopted.again());
        let meta = self.store.meta().cloned();
        let many = meta.as_ref().is_some_and(|meta| meta.kind == Kind::Channel);
        let members = (!many).then(|| self.store.members());
        let mut state = RoomState::load(LOG, meta, adopted.rows.clone(), members).unwrap();
        for row in adopted.again() {
            let entry = row.entry().unwrap();
            let (members, rows) = self.look_up(&state.needs_of(&entry));
            for (user, row) in members {
                state.remember_member(user, row);
            }
            for row in rows {
                state.remember_row(row).unwrap();
            }
            assert!(state.needs_of(&entry).is_empty());
            for effect in state.effects_of(row, &entry).unwrap() {
                self.store.apply(self.epoch, &effect);
            }
        }
        if !adopted.epoch_known {
            self.store.put_epoch(self.epoch, Some(adopted.first_seq));
        }
        state
    }

    pub fn look_up(&self, needs: &Needs) -> Fetched {
        let members = needs.members.iter();
        let members = members.map(|user| (*user, self.store.member(*user)));
        let rows = needs.rows.iter().filter_map(|seq| self.store.row(*seq));
        (members.collect(), rows.collect())
    }

    pub fn finish_read(&mut self) {
        self.finish_read_as_of(false);
    }

    /// What is read may be what was there when it was asked for.
    pub fn finish_read_as_of(&mut self, early: bool) {
        let needs = self.read.take().unwrap();
        let late = self.look_up(&needs);
        let early = early.then(|| std::mem::take(&mut self.read_early));
        let (members, rows) = early.unwrap_or(late);
        self.input(Input::Read { members, rows });
    }

    pub fn finish_append(&mut self, outcome: Outcome) {
        let batch = self.append.take().unwrap();
        if outcome == Outcome::Durable {
            if let Some(head) = batch.head_before {
                self.store.put_head(batch.epoch, head);
            }
            self.store.append(batch.epoch, &batch.rows);
        }
        self.input(Input::Appended(outcome));
    }

    pub fn finish_apply(&mut self, outcome: Outcome) {
        let effects = self.apply.take().unwrap();
        if outcome == Outcome::Durable {
            for effect in &effects.list {
                self.store.apply(effects.epoch, effect);
            }
        }
        self.input(Input::Applied(outcome));
    }

    pub fn pass_ms(&mut self, ms: u64) {
        self.now.ms += ms;
        self.now.at = self.now.at.plus_ms(ms);
        self.input(Input::Time);
    }

    /// Lets what is outstanding end well, without time passing.
    pub fn settle(&mut self) {
        while self.step() {}
    }

    fn step(&mut self) -> bool {
        if self.loading {
            self.finish_load();
        } else if self.read.is_some() {
            self.finish_read();
        } else if self.append.is_some() {
            self.finish_append(Outcome::Durable);
        } else if self.apply.is_some() {
            self.finish_apply(Outcome::Durable);
        } else {
            return false;
        }
        true
    }

    /// Lets what is being written end well.
    pub fn settle_writes(&mut self) {
        while self.append.is_some() || self.apply.is_some() {
            let read = self.read.take();
            self.step();
            self.read = self.read.take().or(read);
        }
    }

    /// Lets everything end well, ticks included.
    pub fn quiesce(&mut self) {
        for _ in 0..10_000 {
            self.settle();
            let Some(wake_ms) = self.room.wake_ms() else {
                break;
            };
            self.pass_ms(wake_ms.saturating_sub(self.now.ms));
        }
        assert!(self.room.is_idle(), "{:?}", self.room);
    }

    /// The room falls asleep and wakes again, under the same epoch.
    pub fn sleep(&mut self) {
        self.room.close();
        self.store.put_head(self.epoch, self.room.head());
        self.start();
    }

    /// The process dies: whatever was outstanding is not written. Another
    /// one takes over under the next epoch.
    pub fn restart(&mut self) {
        self.epoch += 1;
        (self.read, self.append, self.apply) = (None, None, None);
        self.start();
    }

    fn start(&mut self) {
        let (room, _) = Room::new(LOG, self.epoch, Arc::clone(&self.limits));
        self.room = room;
        self.loading = true;
        self.finish_load();
    }
}
