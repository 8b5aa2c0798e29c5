//! Any interleaving of what may happen to a room, drawn by proptest, with
//! sessions that behave as the protocol asks of them.

use std::collections::{BTreeMap, BTreeSet};

use fanfare_protocol::command::Command;
use fanfare_protocol::conversation::{Role, Visibility};
use fanfare_protocol::{Code, Limits, UserId};
use proptest::prelude::*;

use super::ask::*;
use super::client::{Auditor, Client};
use super::world::World;
use crate::effect::Effects;
use crate::room::{Batch, Done, Input, Order, Outcome};

pub const PEOPLE: [UserId; 5] = [ALICE, BOB, CAROL, DAVE, ERIN];

/// One thing that happens. Numbers pick among what there is.
#[derive(Debug, Clone)]
pub enum Step {
    /// A session of this user asks something, perhaps under a key.
    Ask {
        who: usize,
        session: u64,
        what: What,
        key: Option<u8>,
    },
    /// A session sends again what was handed back, oldest first.
    Again {
        who: usize,
        session: u64,
    },
    Append(Outcome),
    Apply(Outcome),
    /// The read returns what was there when it was asked for, or is now.
    Read {
        early: bool,
    },
    ReadFails,
    Load,
    Pass(u64),
    /// The process dies. Of what was outstanding the picked rows and effects
    /// are there; the rest may surface later.
    Restart {
        picked: u64,
    },
    /// A write of a former owner surfaces.
    Surface,
    /// The room sleeps, if it may, and wakes.
    Sleep,
    /// Somebody fetches everything afresh and listens from there.
    Fetch,
}

#[derive(Debug, Clone)]
pub enum What {
    Send,
    Reply(usize),
    Name(usize),
    Edit(usize),
    Delete(usize),
    React(usize, usize, bool),
    Join,
    Leave,
    Add(usize, bool),
    Remove(usize),
    Promote(usize, usize),
    Retitle(bool),
    Open(bool),
}

fn what() -> impl Strategy<Value = What> {
    let (place, five) = (any::<usize>(), 0..5usize);
    prop_oneof![
        8 => Just(What::Send),
        1 => place.prop_map(What::Reply),
        2 => five.clone().prop_map(What::Name),
        4 => place.prop_map(What::Edit),
        2 => place.prop_map(What::Delete),
        6 => (0..4usize, 0..3usize, any::<bool>()).prop_map(|(at, emoji, on)| What::React(at, emoji, on)),
        3 => Just(What::Join),
        3 => Just(What::Leave),
        3 => (five.clone(), any::<bool>()).prop_map(|(who, high)| What::Add(who, high)),
        2 => five.clone().prop_map(What::Remove),
        2 => (five, 0..4usize).prop_map(|(who, role)| What::Promote(who, role)),
        1 => any::<bool>().prop_map(What::Retitle),
        1 => any::<bool>().prop_map(What::Open),
    ]
}

fn outcome() -> impl Strategy<Value = Outcome> {
    prop_oneof![
        12 => Just(Outcome::Durable),
        1 => Just(Outcome::NotWritten),
        2 => Just(Outcome::Unknown),
    ]
}

pub fn step() -> impl Strategy<Value = Step> {
    let ask = (
        0..5usize,
        0..3u64,
        what(),
        proptest::option::weighted(0.4, 0..6u8),
    );
    prop_oneof![
        24 => ask.prop_map(|(who, session, what, key)| Step::Ask { who, session, what, key }),
        3 => (0..5usize, 1..3u64).prop_map(|(who, session)| Step::Again { who, session }),
        10 => outcome().prop_map(Step::Append),
        10 => outcome().prop_map(Step::Apply),
        6 => any::<bool>().prop_map(|early| Step::Read { early }),
        1 => Just(Step::ReadFails),
        4 => Just(Step::Load),
        4 => prop_oneof![Just(60), Just(1000), Just(4000)].prop_map(Step::Pass),
        2 => any::<u64>().prop_map(|picked| Step::Restart { picked }),
        1 => Just(Step::Surface),
        1 => Just(Step::Sleep),
        1 => Just(Step::Fetch),
    ]
}

#[derive(Debug, Clone)]
struct Sent {
    caller: UserId,
    command: Command,
    with: With,
}

/// One connection: its commands are numbered, what is handed back is sent
/// again in order.
#[derive(Debug, Default)]
struct Session {
    numbered: u64,
    /// Tickets by number; `None` for what was handed back.
    open: BTreeMap<u64, Option<u64>>,
    sent: BTreeMap<u64, Sent>,
}

pub struct Scenario {
    pub world: World,
    sessions: BTreeMap<(usize, u64), Session>,
    asked: BTreeMap<u64, Sent>,
    lost: BTreeSet<u64>,
    noticed: BTreeSet<u64>,
    limbo: Vec<(Batch, Option<std::sync::Arc<Effects>>)>,
    live: Client,
    fetched: Vec<Client>,
    auditor: Auditor,
    heard: usize,
    texts: u64,
}

impl Scenario {
    pub fn new(creation: Command, limits: Limits) -> Self {
        let mut world = World::new(limits);
        world.accepted(ALICE, creation);
        let mut scenario = Self {
            world,
            sessions: BTreeMap::new(),
            asked: BTreeMap::new(),
            lost: BTreeSet::new(),
            noticed: BTreeSet::from([1]),
            limbo: Vec::new(),
            live: Client::default(),
            fetched: Vec::new(),
            auditor: Auditor::default(),
            heard: 0,
            texts: 0,
        };
        scenario.hear();
        scenario
    }

    pub fn run(&mut self, steps: Vec<Step>) {
        for step in steps {
            self.take(step);
            self.hear();
            self.notice();
        }
        self.end();
    }

    fn take(&mut self, step: Step) {
        let world = &mut self.world;
        match step {
            Step::Ask {
                who,
                session,
                what,
                key,
            } => self.ask(who, session, &what, key),
            Step::Again { who, session } => self.again(who, session),
            Step::Append(outcome) if world.append.is_some() => world.finish_append(outcome),
            Step::Apply(outcome) if world.apply.is_some() => world.finish_apply(outcome),
            Step::Read { early } if world.read.is_some() => world.finish_read_as_of(early),
            Step::ReadFails if world.read.is_some() => {
                world.read = None;
                world.input(Input::ReadFailed);
            }
            Step::Load if world.loading => world.finish_load(),
            Step::Pass(ms) => world.pass_ms(ms),
            Step::Restart { picked } => self.restart(picked),
            Step::Surface => {
                if let Some((batch, effects)) = self.limbo.pop() {
                    world.store.append(batch.epoch, &batch.rows);
                    for effect in effects.iter().flat_map(|effects| &effects.list) {
                        world.store.apply(batch.epoch, effect);
                    }
                }
            }
            Step::Sleep if world.room.is_idle() => world.sleep(),
            Step::Fetch => {
                let head = world.published.len() as u64;
                self.fetched.push(Client::fetch(&world.store, head));
            }
            Step::Append(_) | Step::Apply(_) | Step::Read { .. } | Step::ReadFails => {}
            Step::Load | Step::Sleep => {}
        }
    }

    fn ask(&mut self, who: usize, session: u64, what: &What, key: Option<u8>) {
        let mut with = With {
            key: key.map(|key| key.to_string()),
            ..With::default()
        };
        if let What::Name(named) | What::Edit(named) = what {
            with.mentions = vec![PEOPLE[named % 5]];
        }
        let sent = Sent {
            caller: PEOPLE[who],
            command: self.command(what, key),
            with,
        };
        if session == 0 {
            self.submit(sent);
            return;
        }
        let it = self.sessions.entry((who, session)).or_default();
        it.numbered += 1;
        let number = it.numbered;
        it.open.insert(number, None);
        it.sent.insert(number, sent);
        self.submit_of(who, session, number);
    }

    fn again(&mut self, who: usize, session: u64) {
        let back = self.sessions.get(&(who, session)).and_then(|it| {
            it.open
                .iter()
                .find(|(_, ticket)| ticket.is_none())
                .map(|(number, _)| *number)
        });
        if let Some(number) = back {
            self.submit_of(who, session, number);
        }
    }

    fn submit_of(&mut self, who: usize, session: u64, number: u64) {
        let it = self.sessions.get_mut(&(who, session)).unwrap();
        let oldest = *it.open.keys().next().unwrap();
        let mut sent = it.sent[&number].clone();
        sent.with.order = Some(Order {
            session: who as u64 * 10 + session,
            number,
            oldest,
        });
        it.open.insert(number, Some(self.world.tickets + 1));
        self.submit(sent);
    }

    fn submit(&mut self, sent: Sent) {
        let ticket = self
            .world
            .ask_with(sent.caller, sent.command.clone(), sent.with.clone());
        self.asked.insert(ticket, sent);
    }

    /// The same key asks the same now and then, and something else, too.
    fn command(&mut self, what: &What, key: Option<u8>) -> Command {
        self.texts += 1;
        let text = match key {
            Some(key) if key % 2 == 0 => format!("text of {key}"),
            _ => format!("text {}", self.texts),
        };
        let messages: Vec<u64> = self.live.messages.keys().copied().collect();
        let pick = |at: &usize| {
            let newest = messages.iter().rev().nth(at % messages.len().max(1));
            self.world.id(newest.copied().unwrap_or(1))
        };
        const ROLES: [Role; 4] = [Role::Member, Role::Moderator, Role::Admin, Role::Owner];
        match what {
            What::Send | What::Name(_) => send(&text),
            What::Reply(at) => reply(&text, Some(pick(at))),
            What::Edit(at) => edit(pick(at), &text),
            What::Delete(at) => delete(pick(at)),
            What::React(at, emoji, on) => react(pick(at), ["👍", "🍵", "☕"][*emoji], *on),
            What::Join => Command::Join,
            What::Leave => Command::Leave,
            What::Add(who, high) => add(&[PEOPLE[*who], DAVE], high.then_some(Role::Moderator)),
            What::Remove(who) => remove(PEOPLE[*who]),
            What::Promote(who, role) => promote(PEOPLE[*who], ROLES[*role]),
            What::Retitle(tea) => retitle(if *tea { "Tea" } else { "Coffee" }),
            What::Open(true) => publish_as(Visibility::Public),
            What::Open(false) => publish_as(Visibility::Private),
        }
    }

    fn restart(&mut self, picked: u64) {
        let world = &mut self.world;
        let there = |place: usize| picked >> (place % 64) & 1 == 1;
        if let Some(batch) = world.append.take() {
            let rows = batch.rows.iter().enumerate();
            let rows: Vec<_> = rows
                .filter(|(place, _)| there(*place))
                .map(|(_, row)| row.clone())
                .collect();
            world.store.append(batch.epoch, &rows);
            self.limbo.push((batch, None));
        }
        if let Some(effects) = world.apply.take() {
            let list = effects.list.iter().enumerate();
            for (_, effect) in list.filter(|(place, _)| there(*place)) {
                world.store.apply(effects.epoch, effect);
            }
            let batch = world.batches.last().unwrap().clone();
            self.limbo.push((batch, Some(effects)));
        }
        let open = |ticket: &u64| {
            !world.answers.contains_key(ticket) && !world.handed_back.contains(ticket)
        };
        let lost: Vec<u64> = (1..=world.tickets).filter(|ticket| open(ticket)).collect();
        self.lost.extend(lost);
        world.restart();
    }
}

// What must hold, after every step and at the end.
impl Scenario {
    /// Clients hear what is published; at that moment nothing is half done.
    fn hear(&mut self) {
        let world = &self.world;
        let news = &world.published[self.heard..];
        if news.is_empty() {
            return;
        }
        self.heard = world.published.len();
        for published in news {
            self.live.hear(&published.row, &published.entry);
            self.auditor.read(&published.row, &published.entry);
            for client in &mut self.fetched {
                client.hear(&published.row, &published.entry);
            }
        }
        assert_eq!(
            self.live,
            Client::fetch(&world.store, world.room.published()),
            "EQUAL"
        );
        assert_eq!(self.live.mentions(), world.store.mentions());
        self.auditor.assert_stored(&world.store);
        if let Some(members) = world.room.all_members() {
            assert_eq!(self.auditor.members(), members.into_iter().collect());
        }
    }

    /// Sessions notice what was answered or handed back.
    fn notice(&mut self) {
        let world = &self.world;
        let settled =
            |ticket: &u64| world.answers.contains_key(ticket) || self.lost.contains(ticket);
        for session in self.sessions.values_mut() {
            session
                .open
                .retain(|_, ticket| !ticket.as_ref().is_some_and(settled));
            for ticket in session.open.values_mut() {
                if ticket.is_some_and(|ticket| world.handed_back.contains(&ticket)) {
                    *ticket = None;
                }
            }
        }
        for (ticket, answer) in &world.answers {
            if self.noticed.insert(*ticket)
                && let Err(refusal) = answer
            {
                assert_ne!(refusal.code, Code::Internal, "{refusal:?}");
            }
        }
    }

    fn end(&mut self) {
        self.world.quiesce();
        self.hear();
        self.notice();
        for ticket in 2..=self.world.tickets {
            let answered = self.world.answers.contains_key(&ticket);
            let back = self.world.handed_back.contains(&ticket);
            let lost = self.lost.contains(&ticket);
            assert_eq!(
                usize::from(answered) + usize::from(back) + usize::from(lost),
                1
            );
        }
        for client in &self.fetched {
            self.live.assert_same_messages(client);
        }
        self.check_accepted();
        self.check_session_order();
        self.check_restart();
    }

    /// Nothing acknowledged is missing, and a key has one entry.
    fn check_accepted(&self) {
        let mut seqs: BTreeMap<(UserId, &str), u64> = BTreeMap::new();
        for (ticket, sent) in &self.asked {
            let Some(Ok(accepted)) = self.world.answers.get(ticket) else {
                continue;
            };
            let row = &self.world.published[accepted.seq as usize - 1];
            let Command::SendMessage(asked) = &sent.command else {
                continue;
            };
            assert_eq!(row.entry.author, sent.caller);
            let crate::entry::Body::MessageSent(message) = &row.entry.body else {
                panic!("{row:?}");
            };
            assert!(message.text == asked.text || message.text.is_empty());
            if let Done::Message(shown) = &accepted.done {
                assert_eq!(shown.seq, accepted.seq);
            }
            if let Some(key) = &sent.with.key {
                let first = *seqs.entry((sent.caller, key)).or_insert(accepted.seq);
                assert_eq!(first, accepted.seq, "same key, same seq");
            } else {
                assert!(!accepted.repeated);
            }
        }
    }

    fn check_session_order(&self) {
        let mut newest: BTreeMap<u64, (u64, u64)> = BTreeMap::new();
        for (ticket, sent) in &self.asked {
            let (Some(Ok(accepted)), Some(order)) =
                (self.world.answers.get(ticket), sent.with.order)
            else {
                continue;
            };
            if accepted.repeated || !matches!(sent.command, Command::SendMessage(_)) {
                continue;
            }
            let last = newest.insert(order.session, (order.number, accepted.seq));
            if let Some((number, seq)) = last {
                assert!(number < order.number && seq < accepted.seq, "{ticket}");
            }
        }
    }

    /// Another owner makes the same of it.
    fn check_restart(&mut self) {
        let before = self.world.room.state.clone();
        let (store, members) = (self.world.store.clone(), self.world.room.all_members());
        self.world.restart();
        let after = &self.world.room.state;
        assert_eq!(after.meta, before.meta);
        let counts = |state: &crate::room::RoomState| (state.head, state.mno, state.ano, state.at);
        assert_eq!(counts(after), counts(&before));
        for (user, row) in &before.members {
            assert_eq!(self.world.store.member(*user), *row);
        }
        for (seq, held) in &before.rows {
            let row = self.world.store.row(*seq).unwrap();
            assert_eq!(
                (&row.entry, row.state().unwrap()),
                (&held.row.entry, held.state.clone())
            );
        }
        assert_eq!(after.keys, before.keys);
        assert_eq!(self.world.store.mentions(), store.mentions());
        let sorted = |members: Option<Vec<UserId>>| members.map(BTreeSet::from_iter);
        assert_eq!(sorted(self.world.room.all_members()), sorted(members));
    }
}
