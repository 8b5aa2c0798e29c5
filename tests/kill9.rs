//! A real chat while the server is killed every few seconds and started again.
//!
//! Authors repeat what was not answered under its key, and now and then what was.
//! Edits, reactions and deletions are in flight too. Afterwards: nothing acknowledged
//! is missing, nothing is doubled, order holds, readers that came back from their
//! cursors have all of it, and so has the reader of a room where nobody else speaks.
//!
//! Short form: 4 kills. `FANFARE_SOAK=1` (`make soak`): 20 kills. `FANFARE_SEED`
//! repeats a run's choices.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::listener::{Language, Listener};
use crate::harness::{Dice, Options, SOON, eventually, heavy};
use crate::history::{History, Outcome, Reader};
use crate::irc::day;
use crate::irc::plan::Plan;
use crate::replay::talk::{Traffic, talk};
use crate::replay::{QuietRoom, Returning, Stage, entries_of_frames, judge, settled_head};

/// So many jobs are unanswered when the server is killed.
const IN_FLIGHT_AT_KILL: usize = 8;
/// Joins waiting for their tick shall not take all the places; 1000 by default.
const GATHER_MS: u64 = 20;
/// How soon after a restart everybody must have what they missed.
const BACK_WITHIN: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn nothing_acknowledged_is_lost_under_kill9() {
    let _alone = heavy().await;
    let form = Form::chosen();
    let plan = Plan::of(&day("2006-06-01.txt").lines, form.lines);
    let options = Options::new()
        .port_kept()
        .limit("membership_gather_ms", GATHER_MS);
    let stage = Stage::set(options, &plan, 6).await;
    let channel = stage.owner.channel().await;
    for guest in &stage.guests {
        guest
            .rest
            .post(&format!("/conversations/{channel}/join"), json!({}))
            .await
            .unwrap();
    }
    let crowd = Crowd::gather(&stage, &channel).await;
    let quiet = QuietRoom::open(&stage).await;
    let authors = Arc::new(stage.authors(&channel, false).await);
    let traffic = Arc::new(Traffic::default());
    let talking = tokio::spawn(talk(
        Arc::clone(&authors),
        plan,
        form.pace,
        form.seed,
        Arc::clone(&traffic),
    ));

    let mut table = Vec::new();
    let mut dice = Dice::new(form.seed);
    for kill in 1..=form.kills {
        // The fault's own schedule: every few seconds, at no particular moment.
        tokio::time::sleep(Duration::from_millis(2000 + dice.roll(3000))).await;
        table.push(one_kill(kill, &stage, &quiet, &traffic).await);
    }
    traffic.enough.store(true, Ordering::Relaxed);
    talking.await.unwrap();

    let (readers, fresh) = crowd.heard(&stage, &channel).await;
    let attempts = stage.recorder.attempts();
    report(&table, &form, &attempts, &traffic, &fresh);
    judge(
        &channel,
        &History {
            attempts: attempts.clone(),
            readers,
        },
        &[],
        &fresh,
    );
    quiet.judged(attempts, BACK_WITHIN).await;
    assert!(stage.server.is_running());
    for author in authors.iter() {
        let faults = author.faults();
        assert!(
            faults.is_empty(),
            "{}: {faults:?}",
            author.account().username
        );
    }
    let wrong = traffic.wrong_repeats.lock().unwrap();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// How long it goes on.
struct Form {
    kills: usize,
    lines: usize,
    pace: Duration,
    seed: u64,
}

impl Form {
    fn chosen() -> Self {
        let seed = std::env::var("FANFARE_SEED")
            .ok()
            .and_then(|seed| seed.parse().ok())
            .unwrap_or(20_060_601);
        if std::env::var("FANFARE_SOAK").is_ok_and(|soak| soak == "1") {
            Self {
                kills: 20,
                lines: usize::MAX,
                pace: Duration::from_millis(40),
                seed,
            }
        } else {
            Self {
                kills: 4,
                lines: 700,
                pace: Duration::from_millis(20),
                seed,
            }
        }
    }
}

struct Row {
    kill: usize,
    acknowledged: usize,
    unanswered: usize,
    ready: Duration,
    quiet: Duration,
}

async fn one_kill(kill: usize, stage: &Stage, quiet: &QuietRoom, traffic: &Traffic) -> Row {
    // Every other time it was acknowledged, and given to nobody.
    if kill.is_multiple_of(2) {
        quiet.reader.goes_away().await;
    }
    let newest = quiet.say(&format!("before kill {kill}")).await;
    traffic.rush.store(true, Ordering::Relaxed);
    let unanswered = eventually("commands in flight", SOON, async || {
        let unanswered = traffic.unanswered.load(Ordering::Relaxed);
        (unanswered >= IN_FLIGHT_AT_KILL).then_some(unanswered)
    })
    .await;
    let acknowledged = traffic.acknowledged.load(Ordering::Relaxed);
    stage.server.kill9();
    let killed = Instant::now();
    traffic.rush.store(false, Ordering::Relaxed);
    stage.server.restart().await;
    let ready = killed.elapsed();
    quiet.reader.may_come_back();
    quiet.reader.reaches(newest, BACK_WITHIN).await;
    Row {
        kill,
        acknowledged,
        unanswered,
        ready,
        quiet: killed.elapsed(),
    }
}

/// Everybody who listens to the channel.
struct Crowd {
    node: Listener,
    python: Listener,
    shaky: Returning,
    steady: Returning,
}

impl Crowd {
    async fn gather(stage: &Stage, channel: &str) -> Self {
        let (address, guests) = (stage.server.address(), &stage.guests);
        Self {
            node: Listener::start(Language::Node, address, &guests[0].access).await,
            python: Listener::start(Language::Python, address, &guests[1].access).await,
            shaky: Returning::start(
                "shaky",
                address,
                &guests[2],
                channel,
                Some(Duration::from_millis(1500)),
            )
            .await,
            steady: Returning::start("steady", address, &guests[3], channel, None).await,
        }
    }

    async fn heard(&self, stage: &Stage, channel: &str) -> (Vec<Reader>, Vec<Value>) {
        let head = settled_head(&stage.owner, channel).await;
        let foreign = |name: &str, listener: &Listener| Reader {
            name: name.into(),
            user: String::new(),
            conversation: channel.to_owned(),
            entries: entries_of_frames(&listener.log(channel)),
        };
        self.shaky.reaches(head, BACK_WITHIN).await;
        self.steady.reaches(head, BACK_WITHIN).await;
        for listener in [&self.node, &self.python] {
            listener.reaches(channel, head).await;
            assert!(
                !listener.errors().contains("a gap"),
                "{}",
                listener.errors()
            );
        }
        let readers = vec![
            foreign("node", &self.node),
            foreign("python", &self.python),
            self.shaky.reader(),
            self.steady.reader(),
        ];
        (readers, stage.owner.history(channel).await)
    }
}

fn report(
    table: &[Row],
    form: &Form,
    attempts: &[crate::history::Attempt],
    traffic: &Traffic,
    fresh: &[Value],
) {
    println!("kill  acknowledged before  unanswered then  ready after  quiet room complete after");
    for row in table {
        println!(
            "{:4}  {:19}  {:15}  {:8} ms  {:22} ms",
            row.kill,
            row.acknowledged,
            row.unanswered,
            row.ready.as_millis(),
            row.quiet.as_millis()
        );
    }
    let unknown = attempts
        .iter()
        .filter(|attempt| attempt.outcome == Outcome::Unknown)
        .count();
    println!(
        "{} attempts, {unknown} without an answer and repeated, {} acknowledged keys sent again, {} messages at the end; seed {}",
        attempts.len(),
        traffic.repeats.load(Ordering::Relaxed),
        fresh.len(),
        form.seed
    );
}
