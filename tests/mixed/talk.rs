//! What is said in one room in one round, and the judgement: what was acknowledged is
//! what every steady listener got, once and in order, and what a fresh fetch gives.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::join_all;
use serde_json::{Value, json};

use crate::harness::account::{id_of, seq_of};
use crate::harness::rest::history_after;
use crate::harness::{Account, Dice, Event, SOON, new_key};
use crate::history::{History, Outcome, Reader, Recorder};
use crate::irc::plan::Act;
use crate::replay::{Author, Job, Returning, entries, judge, settled_head};

use super::house::{AUTHORS, House, Kept};

/// Ears of each small room.
const EARS: usize = 3;
const EMOJI: [&str; 4] = ["👍", "🎉", "❤️", "🤔"];

/// A room in a round.
pub struct Talk<'a> {
    house: &'a House,
    id: String,
    /// Its head before this round.
    from: u64,
    authors: Vec<Author>,
    /// Which of the house's.
    ears: Vec<usize>,
    returning: Returning,
    recorder: Arc<Recorder>,
    pace: Duration,
    is_hall: bool,
}

/// A message that may still be changed.
struct Said {
    id: String,
    seq: u64,
    by: usize,
}

impl<'a> Talk<'a> {
    /// A new group.
    pub async fn in_new_room(house: &'a House, round: usize, at: usize) -> Self {
        let ears: Vec<usize> = (0..EARS)
            .map(|ear| (round * 7 + at * EARS + ear) % house.ears.len())
            .collect();
        let authors = &house.authors[at * AUTHORS..][..AUTHORS];
        let others: Vec<&Account> = (authors[1..].iter())
            .chain(ears.iter().map(|&ear| &house.ears[ear].account))
            .chain([&house.returning[at]])
            .collect();
        let id = authors[0].group(&others).await;
        for &ear in &ears {
            house.ears[ear].hears(&id).await;
        }
        Self::in_room(house, at, id, ears).await
    }

    /// The channel that stays.
    pub async fn in_hall(house: &'a House) -> Self {
        let ears = (0..house.ears.len()).collect();
        Self::in_room(house, house.form.rooms, house.hall.clone(), ears).await
    }

    async fn in_room(house: &'a House, at: usize, id: String, ears: Vec<usize>) -> Self {
        let recorder = Arc::new(Recorder::new());
        let stage = house.stage(at, &recorder);
        let accounts = &house.authors[at * AUTHORS..][..AUTHORS];
        let mut authors = Vec::new();
        for account in accounts {
            let author = Author::new(&stage, account, &id, true);
            author.connected().await;
            authors.push(author);
        }
        let every = Some(house.form.load / 6);
        let address = house.server.address();
        let account = &house.returning[at];
        let returning = Returning::start("returning", address, account, &id, every).await;
        let from = accounts[0].conversation(&id).await["headSeq"].as_u64();
        let is_hall = id == house.hall;
        Self {
            house,
            id,
            from: from.unwrap(),
            authors,
            ears,
            returning,
            recorder,
            pace: if is_hall {
                house.form.hall_pace
            } else {
                house.form.room_pace
            },
            is_hall,
        }
    }

    /// People say, change and read things.
    pub async fn go_on(&self, until: Instant, seed: u64) {
        let mut dice = Dice::new(seed);
        let mut said: Vec<Said> = Vec::new();
        let mut tick = tokio::time::interval(self.pace);
        tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while Instant::now() < until {
            tick.tick().await;
            match (dice.roll(16), said.is_empty()) {
                (0, false) => self.edit(&mut dice, &said).await,
                (1, false) => {
                    let at = pick(&mut dice, said.len());
                    let Said { id, seq, by } = said.swap_remove(at);
                    self.done(by, Job::Delete { id, seq }).await;
                }
                (2 | 3, false) => self.react(&mut dice, &said).await,
                (4, _) => {
                    let burst = (0..self.house.form.burst).map(|_| self.say(dice.roll(1 << 32)));
                    let burst = join_all(burst).await;
                    said.extend(burst);
                }
                _ => said.push(self.say(dice.roll(1 << 32)).await),
            }
            if let (Some(last), 0) = (said.last(), dice.roll(3)) {
                self.mark(&mut dice, last.seq).await;
            }
        }
    }

    async fn say(&self, roll: u64) -> Said {
        let mut dice = Dice::new(roll);
        let by = pick(&mut dice, self.authors.len());
        // Mostly short, now and then as long as a page of a letter.
        let words = match dice.roll(40) {
            0 => 400 + dice.roll(400),
            _ => 1 + dice.roll(30),
        };
        let text = "so träumt man ".repeat(usize::try_from(words).unwrap()) + &roll.to_string();
        let reply = self.done(by, Job::Do(Act::Say(text))).await;
        let message = &reply["message"];
        Said {
            id: id_of(message),
            seq: seq_of(message),
            by,
        }
    }

    async fn edit(&self, dice: &mut Dice, said: &[Said]) {
        let Said { id, seq, by } = &said[pick(dice, said.len())];
        let text = format!("what I meant is {}", dice.roll(1 << 32));
        let (id, seq) = (id.clone(), *seq);
        self.done(*by, Job::Edit { id, seq, text }).await;
    }

    async fn react(&self, dice: &mut Dice, said: &[Said]) {
        let Said { id, seq, .. } = &said[pick(dice, said.len())];
        let emoji = EMOJI[pick(dice, EMOJI.len())].to_owned();
        let (id, seq) = (id.clone(), *seq);
        let by = pick(dice, self.authors.len());
        self.done(by, Job::React { id, seq, emoji }).await;
    }

    /// An ear has received or read it; others hear of it by a signal, where so few are
    /// members that they do.
    async fn mark(&self, dice: &mut Dice, seq: u64) {
        let ear = &self.house.ears[self.ears[pick(dice, self.ears.len())]];
        let kind = ["message:read", "message:delivered"][pick(dice, 2)];
        let mark = json!({"conversation": self.id, "seq": seq});
        ear.socket.request(kind, mark).await.unwrap();
    }

    async fn done(&self, by: usize, job: Job) -> Value {
        let what = format!("{job:?}");
        let answer = self.authors[by].order(job, new_key()).await.unwrap();
        answer.unwrap_or_else(|refusal| panic!("{what}: {refusal:?}"))
    }

    /// Waits until everybody has everything.
    pub async fn is_heard(&self) {
        let account = self.authors[0].account();
        let head = match self.is_hall {
            // Joins and leaves are gathered and may still come.
            true => settled_head(account, &self.id).await,
            false => {
                let now = account.conversation(&self.id).await;
                now["headSeq"].as_u64().unwrap()
            }
        };
        for &ear in &self.ears {
            self.house.ears[ear].socket.reaches(&self.id, head).await;
        }
        self.returning.reaches(head, SOON).await;
    }

    /// Judges this round of this room by what each ear got in it; gives how many acts
    /// were acknowledged.
    pub async fn judged(&self, heard: &[Vec<Event>]) -> u64 {
        let reader = &self.authors[0].account().rest;
        let fresh = history_after(reader, &self.id, self.from).await.unwrap();
        let of_ear = |ear: usize| {
            let here = heard[ear].iter();
            let here = here.filter(|event| event.seq.is_some() && event.conversation == self.id);
            let here: Vec<Event> = here.cloned().collect();
            Reader {
                name: self.house.ears[ear].account.username.clone(),
                user: self.house.ears[ear].account.id.clone(),
                conversation: self.id.clone(),
                entries: entries(&here),
            }
        };
        let mut readers: Vec<Reader> = self.ears.iter().map(|&ear| of_ear(ear)).collect();
        readers.push(self.returning.reader());
        let attempts = self.recorder.attempts();
        let acknowledged = |outcome: &Outcome| matches!(outcome, Outcome::Ok { .. });
        let acts = attempts
            .iter()
            .filter(|attempt| acknowledged(&attempt.outcome));
        let acts = acts.count() as u64;
        judge(&self.id, &History { attempts, readers }, &[], &fresh);
        for author in &self.authors {
            let faults = author.faults();
            assert!(
                faults.is_empty(),
                "{}: {faults:?}",
                author.account().username
            );
        }
        self.keep(fresh);
        acts
    }

    fn keep(&self, messages: Vec<Value>) {
        let mut kept = self.house.kept.lock().unwrap();
        match kept.iter_mut().find(|kept| kept.room == self.id) {
            Some(hall) => hall.messages.extend(messages),
            None => kept.push(Kept {
                room: self.id.clone(),
                reader: self.authors[0].account().clone(),
                messages,
            }),
        }
    }

    /// Ends a small room: it is deleted, or the ears leave it.
    pub async fn ends(self, deleted: bool) {
        let path = format!("/conversations/{}", self.id);
        if deleted {
            self.authors[0].account().rest.delete(&path).await.unwrap();
            self.house
                .kept
                .lock()
                .unwrap()
                .retain(|kept| kept.room != self.id);
            return;
        }
        let leave = format!("{path}/leave");
        for &ear in &self.ears {
            let rest = &self.house.ears[ear].account.rest;
            rest.post(&leave, json!({})).await.unwrap();
        }
    }
}

fn pick(dice: &mut Dice, among: usize) -> usize {
    usize::try_from(dice.roll(among as u64)).unwrap()
}
