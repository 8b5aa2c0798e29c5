//! A real chat over three CQL servers while one of them is killed, the engine is killed
//! and started again without it, another is stopped for 20 s, and in the end two of
//! three are dead ([`super::dark`]).
//!
//! Short form: each fault once. `FANFARE_SOAK=1`: five rounds, on other servers each
//! time, the engine killed under each fault. `FANFARE_SEED` repeats a run's choices.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::dark::{self, Dark};
use super::phases::{self, Phase};
use crate::harness::cassandra::Cassandra;
use crate::harness::keyspace::Keyspace;
use crate::harness::{Dice, Options, SOON, eventually, heavy};
use crate::history::{History, Outcome, Reader};
use crate::irc::plan::Plan;
use crate::irc::{Line, day};
use crate::replay::talk::{Traffic, talk};
use crate::replay::{Author, QuietRoom, Returning, Stage, judge, settled_head, settled_history};

/// As in `kill9`.
const IN_FLIGHT_AT_KILL: usize = 8;
const GATHER_MS: u64 = 20;
/// Accounts that talk.
const SPEAKERS: usize = 24;
/// How soon after everything is well everybody must have what they missed.
const BACK_WITHIN: Duration = Duration::from_secs(20);
/// Within this every attempt is answered, whatever fails (promise G12). The engine
/// answers in 3.2 s at most; the rest is for a machine that starts servers meanwhile.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// How long a server is stopped: longer than whatever waits for it.
const STOPPED: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn talk_goes_on_while_servers_fail() {
    let _alone = heavy().await;
    let Some(cluster) = Cassandra::of(3, "CQL servers that fail") else {
        return;
    };
    let form = Form::chosen();
    let plan = Plan::of(&chatty(day("2006-06-01.txt").lines, form.lines), usize::MAX);
    let options = Options::new()
        .port_kept()
        .limit("membership_gather_ms", GATHER_MS)
        .cql(&Keyspace::fresh(cluster.nodes()));
    let stage = Stage::set(options, &plan, 4).await;
    let show = Show::begin(stage, Arc::new(cluster), plan, &form).await;
    let mut dice = Dice::new(form.seed);
    for round in 0..form.rounds {
        // Never the same server twice in a row, and each in its turn.
        let first = usize::try_from(dice.roll(3)).unwrap();
        let victims = if round == 0 {
            (1, 2)
        } else {
            (first, (first + 1) % 3)
        };
        show.round(victims, form.rounds > 1).await;
    }
    let dark = dark::two_of_three(&show).await;
    show.judged(dark).await;
}

/// The first so many lines of those who speak first, and nobody else's: an account on
/// three servers costs more than what it says.
fn chatty(lines: Vec<Line>, count: usize) -> Vec<Line> {
    let mut speakers = HashSet::new();
    let mut own = |line: &Line| match line {
        Line::Message { nick, .. } | Line::Action { nick, .. } => {
            speakers.contains(nick) || (speakers.len() < SPEAKERS && speakers.insert(nick.clone()))
        }
        Line::Join { nick } | Line::Leave { nick } => speakers.contains(nick),
        Line::Kick { .. } | Line::Rename { .. } | Line::Notice { .. } | Line::Unknown { .. } => {
            false
        }
    };
    lines
        .into_iter()
        .filter(|line| own(line))
        .take(count)
        .collect()
}

struct Form {
    rounds: usize,
    lines: usize,
    pace: Duration,
    seed: u64,
}

impl Form {
    fn chosen() -> Self {
        let seed = std::env::var("FANFARE_SEED").ok();
        let soak = std::env::var("FANFARE_SOAK").is_ok_and(|soak| soak == "1");
        Self {
            rounds: if soak { 5 } else { 1 },
            lines: if soak { 700 } else { 250 },
            pace: Duration::from_millis(30),
            seed: seed.and_then(|seed| seed.parse().ok()).unwrap_or(2006),
        }
    }
}

/// The chat, its listeners, and the servers beneath it.
pub struct Show {
    pub stage: Stage,
    pub cluster: Arc<Cassandra>,
    channel: String,
    authors: Arc<Vec<Author>>,
    traffic: Arc<Traffic>,
    talking: JoinHandle<()>,
    shaky: Returning,
    steady: Returning,
    quiet: QuietRoom,
    phases: std::sync::Mutex<Vec<Phase>>,
}

impl Show {
    async fn begin(stage: Stage, cluster: Arc<Cassandra>, plan: Plan, form: &Form) -> Self {
        let channel = stage.owner.channel().await;
        for guest in &stage.guests {
            let path = format!("/conversations/{channel}/join");
            guest.rest.post(&path, json!({})).await.unwrap();
        }
        let (address, often) = (stage.server.address(), Duration::from_millis(1500));
        let [shaky, steady, ..] = &stage.guests[..] else {
            panic!("guests")
        };
        let shaky = Returning::start("shaky", address, shaky, &channel, Some(often)).await;
        let steady = Returning::start("steady", address, steady, &channel, None).await;
        let quiet = QuietRoom::open(&stage).await;
        let authors = Arc::new(stage.authors(&channel, false).await);
        let traffic = Arc::new(Traffic::default());
        let (at_work, counted) = (Arc::clone(&authors), Arc::clone(&traffic));
        let talking = tokio::spawn(talk(at_work, plan, form.pace, form.seed, counted));
        Self {
            stage,
            cluster,
            channel,
            authors,
            traffic,
            talking,
            shaky,
            steady,
            quiet,
            phases: std::sync::Mutex::default(),
        }
    }

    /// Does something and remembers when.
    pub async fn phase<T>(&self, name: &str, doing: impl Future<Output = T>) -> T {
        let from_us = self.stage.recorder.now_us();
        let done = doing.await;
        let to_us = self.stage.recorder.now_us();
        let name = name.to_owned();
        let phase = Phase {
            name,
            from_us,
            to_us,
        };
        self.phases.lock().unwrap().push(phase);
        done
    }

    /// One server killed and started again, another stopped for 20 s; the engine is
    /// killed under the first, and under the second too when `thorough`.
    async fn round(&self, (killed, stopped): (usize, usize), thorough: bool) {
        self.phase("all is well", tokio::time::sleep(Duration::from_secs(2)))
            .await;
        let newest = self.quiet.say("before a server is killed").await;
        self.cluster.signal(killed, "-KILL");
        let some = tokio::time::sleep(Duration::from_secs(2));
        self.phase(&format!("server {killed} killed"), some).await;
        let back = async {
            self.restarts().await;
            self.acknowledges().await;
        };
        self.phase("the engine killed and started without it", back)
            .await;
        self.quiet.reader.reaches(newest, BACK_WITHIN).await;
        let started = self.phase("the server started again", self.servers_start());
        started.await.unwrap();

        let newest = self.quiet.say("before a server is stopped").await;
        self.cluster.signal(stopped, "-STOP");
        let while_stopped = async {
            let until = tokio::time::Instant::now() + STOPPED;
            if thorough {
                self.restarts().await;
            }
            tokio::time::sleep_until(until).await;
        };
        self.phase(&format!("server {stopped} stopped"), while_stopped)
            .await;
        self.cluster.signal(stopped, "-CONT");
        self.quiet.reader.reaches(newest, BACK_WITHIN).await;
        let some = tokio::time::sleep(Duration::from_secs(2));
        self.phase("the server goes on", some).await;
    }

    /// Somebody is acknowledged soon.
    async fn acknowledges(&self) {
        let recorder = &self.stage.recorder;
        let from_us = recorder.now_us();
        eventually("an acknowledgement", BACK_WITHIN, async || {
            let attempts = recorder.attempts();
            let mut late = attempts.iter().filter(|it| it.finished_us > from_us);
            late.any(|it| matches!(it.outcome, Outcome::Ok { .. }))
                .then_some(())
        })
        .await;
    }

    /// kill -9 of the engine with much in flight, and a start.
    async fn restarts(&self) {
        self.traffic.rush.store(true, Ordering::Relaxed);
        eventually("commands in flight", SOON, async || {
            let unanswered = self.traffic.unanswered.load(Ordering::Relaxed);
            (unanswered >= IN_FLIGHT_AT_KILL).then_some(())
        })
        .await;
        self.stage.server.kill9();
        self.traffic.rush.store(false, Ordering::Relaxed);
        self.stage.server.restart().await;
    }

    /// Starts the servers that do not run; ends when all are ready.
    pub fn servers_start(&self) -> JoinHandle<()> {
        let cluster = Arc::clone(&self.cluster);
        tokio::task::spawn_blocking(move || cluster.start_again())
    }

    async fn judged(self, dark: Dark) {
        self.traffic.enough.store(true, Ordering::Relaxed);
        self.talking.await.unwrap();
        let head = settled_head(&self.stage.owner, &self.channel).await;
        self.shaky.reaches(head, BACK_WITHIN).await;
        self.steady.reaches(head, BACK_WITHIN).await;
        let readers = vec![self.shaky.reader(), self.steady.reader()];
        let fresh = settled_history(&self.stage.owner, &self.channel).await;
        let attempts = self.stage.recorder.attempts();
        let history = History { attempts, readers };
        let phases = self.phases.lock().unwrap().clone();
        let accounts = phases.iter();
        let accounts =
            accounts.map(|it| phases::Account::of(it, &history.attempts, &self.stage.recorder));
        let accounts: Vec<_> = accounts.collect();
        report(&accounts, &dark, &history, &fresh);
        judge(&self.channel, &history, &[], &fresh);
        self.quiet.judged(history.attempts, BACK_WITHIN).await;
        for author in self.authors.iter() {
            let (faults, who) = (author.faults(), &author.account().username);
            assert!(faults.is_empty(), "{who}: {faults:?}");
        }
        let wrong = self.traffic.wrong_repeats.lock().unwrap();
        assert!(wrong.is_empty(), "{wrong:#?}");
        // One server of three missing keeps nobody from being acknowledged, and nobody
        // waits for an answer.
        for (phase, account) in phases.iter().zip(&accounts) {
            let dark = phase.name.starts_with("dark");
            assert!(
                dark || account.acknowledged > 0,
                "nothing acknowledged: {}",
                phase.name
            );
            assert!(
                account.slowest_answer <= ANSWER_WITHIN,
                "an answer after {:?}: {}",
                account.slowest_answer,
                phase.name
            );
        }
        dark.judged();
    }
}

fn report(accounts: &[phases::Account], dark: &Dark, history: &History, fresh: &[Value]) {
    println!("{}", phases::HEAD);
    for account in accounts {
        println!("{account}");
    }
    println!("{dark}");
    let readers = history
        .readers
        .iter()
        .map(|Reader { entries, .. }| entries.len());
    println!(
        "{} attempts, {} messages at the end, readers got {:?} entries",
        history.attempts.len(),
        fresh.len(),
        readers.collect::<Vec<_>>()
    );
}
