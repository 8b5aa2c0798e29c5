//! The real chat and generated messages move to CQL and back. The copy is killed in the
//! middle both times, with rows on their way to the store; these arrive when the copy
//! has long ended and people have edited what it brought: the edits stand.
//!
//! Short form: some of the chat and 3000 messages. `FANFARE_SOAK=1`: the day and
//! 100 000 messages. `FANFARE_SEED` makes others.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::command::{Copy, checked, kill9};
use crate::harness::account::id_of;
use crate::harness::keyspace::Keyspace;
use crate::harness::proxy::Proxy;
use crate::harness::socket::Pending;
use crate::harness::{
    Account, Codec, Dice, Keep, Options, SOON, Server, Socket, eventually, heavy, new_key,
};
use crate::irc::day;
use crate::irc::plan::{Act, Plan};
use crate::replay::{Job, Stage, settled_head};

/// Who joins waits for this before they speak.
const GATHER_MS: u64 = 20;
/// Sends of one socket that wait for their answers.
const UNANSWERED: usize = 32;
/// Who writes what is generated, each in an equal part of the rooms.
const SPEAKERS: usize = 8;
/// Every so many rooms are read whole; the checksum reads all.
const READ_EVERY: usize = 10;
/// On their way when a copy is killed, at least.
const HELD_BYTES: usize = 64 * 1024;

struct Form {
    lines: usize,
    rooms: usize,
    in_each: usize,
    /// Bytes of a copy to CQL and from it after which it is killed.
    killed_after: [u64; 2],
    seed: u64,
}

impl Form {
    fn chosen() -> Self {
        let seed = std::env::var("FANFARE_SEED").ok();
        let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(1729);
        match std::env::var("FANFARE_SOAK").is_ok_and(|soak| soak == "1") {
            true => Self {
                lines: usize::MAX,
                rooms: 400,
                in_each: 250,
                killed_after: [15_000_000, 200_000],
                seed,
            },
            false => Self {
                lines: 300,
                rooms: 120,
                in_each: 25,
                killed_after: [400_000, 40_000],
                seed,
            },
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_real_chat_and_many_messages_move_and_edits_beat_what_arrives_late() {
    let _alone = heavy().await;
    let Some(keyspace) = Keyspace::shared() else {
        return;
    };
    let form = Form::chosen();
    let (server, house) = House::fill(&form).await;
    let before = house.read().await;
    server.terminate().await;

    let proxy = Proxy::before(keyspace.nodes[0].parse().unwrap()).await;
    let settings = keyspace.flags();
    let data = server.data();
    let here = format!("embedded:{}", data.display());
    let there = format!("cql:{}/{}", keyspace.nodes.join(","), keyspace.name);
    let home = format!("embedded:{}", data.with_file_name("home").display());
    let through = format!("cql:{}/{}", proxy.address(), keyspace.name);

    // There, the first try through the proxy, which keeps what it had under way.
    proxy.hold_after(form.killed_after[0]);
    let first = Copy {
        from: &here,
        to: &through,
        settings: &settings,
    };
    let child = first.begins();
    eventually("rows on their way", SOON * 10, async || {
        (proxy.waiting_bytes() >= HELD_BYTES).then_some(())
    })
    .await;
    kill9(child);
    let out = Copy {
        to: &there,
        ..first
    };
    out.is_unfinished();
    out.ends();
    assert!(proxy.waiting_bytes() >= HELD_BYTES);

    // People edit, and then the rest of the killed copy arrives.
    let on_cql = Options::new().cql(&keyspace).start().await;
    let mut house = house.moved(&on_cql).await;
    assert_same(&before, &house.read().await);
    house.edit("edited on CQL").await;
    let after = house.read().await;
    proxy.release();
    eventually("late rows that arrived", SOON, async || {
        (proxy.waiting_bytes() == 0).then_some(())
    })
    .await;
    on_cql.terminate().await;
    on_cql.restart().await;
    house = house.moved(&on_cql).await;
    assert_same(&after, &house.read().await);
    on_cql.terminate().await;
    let sound = checked(&there, &settings);

    // And back, killed while it reads.
    proxy.hold_after(form.killed_after[1]);
    let first = Copy {
        from: &through,
        to: &home,
        settings: &settings,
    };
    let child = first.begins();
    eventually("a read on its way", SOON * 10, async || {
        (proxy.waiting_bytes() > 0).then_some(())
    })
    .await;
    kill9(child);
    proxy.release();
    let back = Copy {
        from: &there,
        ..first
    };
    back.is_unfinished();
    back.ends();
    assert_eq!(checked(&home, &[]), sound);
    std::fs::remove_dir_all(&data).unwrap();
    std::fs::rename(data.with_file_name("home"), &data).unwrap();
    server.restart().await;
    let house = house.moved(&server).await;
    assert_same(&after, &house.read().await);
    house.edit("edited at home").await;
    house.read().await;
    server.terminate().await;
    checked(&here, &[]);
}

/// Who owns all rooms, and the rooms.
struct House {
    owner: Account,
    channel: String,
    rooms: Vec<String>,
    /// In each room one message of the owner.
    own: Vec<String>,
}

/// What somebody reads of a conversation.
type Read = Vec<(String, Vec<Value>)>;

impl House {
    /// Plays the chat in one channel and fills the rooms.
    async fn fill(form: &Form) -> (Server, Self) {
        let plan = Plan::of(&day("2006-06-01.txt").lines, form.lines);
        let options = Options::new().limit("membership_gather_ms", GATHER_MS);
        let options = options.port_kept();
        let mut stage = Stage::set(options, &plan, SPEAKERS).await;
        let owner = Account::register(&stage.server, "mover").await;
        stage.owner = owner.clone();
        let channel = owner.channel().await;
        let begun = Instant::now();
        played(&stage, &channel, &plan).await;
        println!("{} lines played in {:?}", plan.steps.len(), begun.elapsed());
        let mut house = Self {
            owner,
            channel,
            rooms: Vec::new(),
            own: Vec::new(),
        };
        let begun = Instant::now();
        let mut speaking = JoinSet::new();
        for (at, speaker) in stage.guests.iter().enumerate() {
            let mut rooms = Vec::new();
            for _ in (at..form.rooms).step_by(SPEAKERS) {
                let other = &stage.people[at % stage.people.len()];
                let room = house.owner.group(&[speaker, other]).await;
                let own = house.owner.say(&room, "of the owner").await;
                house.own.push(id_of(&own));
                rooms.push(room);
            }
            house.rooms.extend(rooms.iter().cloned());
            let speaker = Speaker {
                socket: connected(&stage, speaker).await,
                rooms,
                named: house.owner.username.clone(),
            };
            speaking.spawn(speaker.says(form.in_each, Dice::new(form.seed + at as u64)));
        }
        let said: usize = speaking.join_all().await.into_iter().sum();
        println!("{said} messages generated in {:?}", begun.elapsed());
        let server = Arc::try_unwrap(stage.server);
        (server.ok().expect("nobody else has it"), house)
    }

    /// Access tokens end where the data go.
    async fn moved(self, server: &Server) -> Self {
        let owner = self.owner.log_in(server).await;
        Self { owner, ..self }
    }

    async fn read(&self) -> Read {
        let some = self.rooms.iter().step_by(READ_EVERY);
        let mut read = Vec::new();
        for room in some.chain([&self.channel]) {
            read.push((room.clone(), self.owner.history(room).await));
        }
        read
    }

    /// The owner's message of each room, and in each something new.
    async fn edit(&self, text: &str) {
        for (room, own) in self.rooms.iter().zip(&self.own) {
            let path = format!("/messages/{own}");
            let edited = self.owner.rest.patch(&path, json!({"text": text})).await;
            edited.unwrap();
            self.owner.say(room, "and on").await;
        }
    }
}

async fn connected(stage: &Stage, account: &Account) -> Socket {
    let (address, token) = (stage.server.address(), &account.access);
    let opened = Socket::open_in(Codec::MessagePack, address, token, json!([]), Keep::Cursors);
    opened.await.unwrap()
}

/// Everybody speaks at once, each in their own order.
async fn played(stage: &Stage, channel: &str, plan: &Plan) {
    let authors = stage.authors(channel, true).await;
    let orders: Vec<_> = plan
        .steps
        .iter()
        .map(|step| authors[step.who].order(Job::Do(step.act.clone()), new_key()))
        .collect();
    for (order, step) in orders.into_iter().zip(&plan.steps) {
        let answer = order.await.unwrap();
        answer.unwrap_or_else(|refusal| panic!("{step:?}: {refusal:?}"));
    }
    assert!(
        plan.steps
            .iter()
            .any(|step| matches!(step.act, Act::Say(_)))
    );
    settled_head(&stage.owner, channel).await;
}

/// Fills its rooms in turns.
struct Speaker {
    socket: Socket,
    rooms: Vec<String>,
    /// Whom it names now and then.
    named: String,
}

impl Speaker {
    /// Gives how many messages were acknowledged.
    async fn says(self, in_each: usize, mut dice: Dice) -> usize {
        let mut waiting = VecDeque::new();
        let mut said = 0;
        for _ in 0..in_each {
            for room in &self.rooms {
                if waiting.len() >= UNANSWERED {
                    let answered: Pending = waiting.pop_front().unwrap();
                    self.changes(answered.answer().await.unwrap(), &mut dice)
                        .await;
                    said += 1;
                }
                let data = json!({"conversation": room, "text": self.text(&mut dice)});
                waiting.push_back(self.socket.start("message:send", Some(&new_key()), data));
            }
        }
        for answered in waiting {
            answered.answer().await.unwrap();
            said += 1;
        }
        said
    }

    /// One message in forty is edited, deleted or reacted to.
    async fn changes(&self, reply: Value, dice: &mut Dice) {
        let message = id_of(&reply["message"]);
        let (kind, data) = match dice.roll(120) {
            0 => (
                "message:edit",
                json!({"message": message, "text": self.text(dice)}),
            ),
            1 => ("message:delete", json!({"message": message})),
            2 => ("message:react", json!({"message": message, "emoji": "👍"})),
            _ => return,
        };
        self.socket
            .request_as(&new_key(), kind, data)
            .await
            .unwrap();
    }

    fn text(&self, dice: &mut Dice) -> String {
        let words = [
            "so", "the", "log", "is", "what", "it", "was", "größer", "日本", "🎺",
        ];
        let mut text = format!("{:x}", dice.roll(u64::MAX));
        for _ in 0..1 + dice.roll(40) {
            let at = usize::try_from(dice.roll(words.len() as u64)).unwrap();
            text = text + " " + words[at];
        }
        if dice.roll(50) == 0 {
            text = format!("{text} @{}", self.named);
        }
        text
    }
}

fn assert_same(before: &Read, after: &Read) {
    for ((room, before), (_, after)) in before.iter().zip(after) {
        assert_eq!(before.len(), after.len(), "{room}");
        let differs = before
            .iter()
            .zip(after)
            .find(|(before, after)| before != after);
        assert!(differs.is_none(), "{room}: {differs:#?}");
    }
    assert_eq!(before.len(), after.len());
}
