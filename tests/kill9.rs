//! A real chat while the server is killed every few seconds and started again.
//!
//! Authors repeat what was not answered under its key, and now and then what was.
//! Edits, reactions and deletions are in flight too. Afterwards: nothing acknowledged
//! is missing, nothing is doubled, order holds, readers that came back from their
//! cursors have all of it, and so has the reader of a room where nobody else speaks.
//!
//! Short form: 4 kills. `FANFARE_SOAK=1` (`make soak`): 20 kills. `FANFARE_SEED`
//! repeats a run's choices.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use crate::harness::account::{id_of, seq_of};
use crate::harness::listener::{Language, Listener};
use crate::harness::{Dice, Options, SOON, eventually, heavy, new_key};
use crate::history::{History, Outcome, Reader};
use crate::irc::day;
use crate::irc::plan::{Act, Plan};
use crate::replay::{Author, Job, Returning, Stage, entries_of_frames, judge, settled_head};

/// Jobs unanswered at any time.
const IN_FLIGHT: usize = 24;
/// So many of them are when the server is killed.
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
    let talk = tokio::spawn(talk(
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
    talk.await.unwrap();

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
    quiet.judged(&stage, attempts).await;
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

/// What the authors did so far.
#[derive(Default)]
struct Traffic {
    enough: AtomicBool,
    /// A kill is near: nobody keeps to the pace.
    rush: AtomicBool,
    unanswered: AtomicUsize,
    acknowledged: AtomicUsize,
    repeats: AtomicUsize,
    /// Acknowledged keys that gave another message when sent again.
    wrong_repeats: Mutex<Vec<String>>,
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

/// Plays the plan, again from the start when it is through, until it is enough.
async fn talk(
    authors: Arc<Vec<Author>>,
    plan: Plan,
    pace: Duration,
    seed: u64,
    traffic: Arc<Traffic>,
) {
    let slots = Arc::new(Semaphore::new(IN_FLIGHT));
    let mut tick = tokio::time::interval(pace);
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut dice = Dice::new(seed + 1);
    let mut jobs = JoinSet::new();
    let mut spoke = 0;
    for round in 0.. {
        for step in &plan.steps {
            if round > 0 && traffic.enough.load(Ordering::Relaxed) {
                while let Some(done) = jobs.join_next().await {
                    done.unwrap();
                }
                return;
            }
            if !traffic.rush.load(Ordering::Relaxed) {
                tick.tick().await;
            }
            let slot = Arc::clone(&slots).acquire_owned().await.unwrap();
            let follow =
                matches!(step.act, Act::Say(_)).then(|| Follow::rolled(&mut dice, step.who, spoke));
            if follow.is_some() {
                spoke = step.who;
            }
            let key = new_key();
            let answer = authors[step.who].order(Job::Do(step.act.clone()), key.clone());
            traffic.unanswered.fetch_add(1, Ordering::Relaxed);
            let (authors, traffic, step) =
                (Arc::clone(&authors), Arc::clone(&traffic), step.clone());
            jobs.spawn(async move {
                let reply = answer
                    .await
                    .unwrap()
                    .unwrap_or_else(|refusal| panic!("{step:?}: {refusal:?}"));
                traffic.unanswered.fetch_sub(1, Ordering::Relaxed);
                traffic.acknowledged.fetch_add(1, Ordering::Relaxed);
                if let (Some(follow), Act::Say(text)) = (follow, &step.act) {
                    follow
                        .act(&authors, text, &key, &reply["message"], &traffic)
                        .await;
                }
                drop(slot);
            });
        }
    }
}

/// What happens to a message once it was acknowledged.
enum Follow {
    Nothing,
    Edit { by: usize },
    Delete { by: usize },
    React { by: usize },
    Again { by: usize },
}

impl Follow {
    fn rolled(dice: &mut Dice, author: usize, other: usize) -> Self {
        match dice.roll(24) {
            0..=4 => Self::Edit { by: author },
            5..=9 => Self::React { by: other },
            10..=12 => Self::Again { by: author },
            13 => Self::Delete { by: author },
            _ => Self::Nothing,
        }
    }

    async fn act(
        self,
        authors: &[Author],
        text: &str,
        key: &str,
        message: &Value,
        traffic: &Traffic,
    ) {
        let (id, seq) = (id_of(message), seq_of(message));
        let (by, job) = match self {
            Self::Nothing => return,
            Self::Edit { by } => (
                by,
                Job::Edit {
                    id,
                    seq,
                    text: format!("{text} (edited)"),
                },
            ),
            Self::Delete { by } => (by, Job::Delete { id, seq }),
            Self::React { by } => (
                by,
                Job::React {
                    id,
                    seq,
                    emoji: "👍".into(),
                },
            ),
            Self::Again { by } => {
                traffic.repeats.fetch_add(1, Ordering::Relaxed);
                let again = authors[by]
                    .order(Job::Do(Act::Say(text.to_owned())), key.to_owned())
                    .await
                    .unwrap();
                // Whoever may no longer read there gets the id alone.
                let same = again.as_ref().is_ok_and(|again| {
                    let whole = &again["message"];
                    (whole["id"] == id && whole["seq"] == seq)
                        || (*whole == id && again["seq"] == seq)
                });
                if !same {
                    let wrong = format!("{key}: first {message}, then {again:?}");
                    traffic.wrong_repeats.lock().unwrap().push(wrong);
                }
                return;
            }
        };
        let reply = authors[by].order(job.clone(), new_key()).await.unwrap();
        match (&job, reply) {
            (_, Ok(_)) => drop(traffic.acknowledged.fetch_add(1, Ordering::Relaxed)),
            // Whoever left or was kicked meanwhile may not change anything any more.
            (_, Err(refusal)) if refusal.code == "not_a_member" => {}
            (_, Err(refusal)) => panic!("{job:?}: {refusal:?}"),
        }
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

/// A room where one line is said right before each kill, and nothing else.
struct QuietRoom {
    id: String,
    author: Author,
    reader: Returning,
}

impl QuietRoom {
    async fn open(stage: &Stage) -> Self {
        let [.., author, reader] = &stage.guests[..] else {
            panic!("guests")
        };
        let id = author.group(&[reader]).await;
        let reader = Returning::start(
            "reader of the quiet room",
            stage.server.address(),
            reader,
            &id,
            None,
        )
        .await;
        Self {
            author: Author::new(stage, author, &id, false),
            reader,
            id,
        }
    }

    /// Says it and gives the acknowledged seq.
    async fn say(&self, text: &str) -> u64 {
        let reply = self
            .author
            .order(Job::Do(Act::Say(text.to_owned())), new_key())
            .await
            .unwrap()
            .unwrap();
        seq_of(&reply["message"])
    }

    async fn judged(&self, stage: &Stage, attempts: Vec<crate::history::Attempt>) {
        let head = settled_head(self.author.account(), &self.id).await;
        self.reader.reaches(head, BACK_WITHIN).await;
        let fresh = self.author.account().history(&self.id).await;
        let history = History {
            attempts,
            readers: vec![self.reader.reader()],
        };
        judge(&self.id, &history, &[], &fresh);
        assert!(stage.server.is_running());
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
