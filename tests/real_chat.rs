//! A real day of a busy help channel, played by its own people.
//!
//! Every nick is an account with a socket; Node (in JSON and in MessagePack), Python
//! (by WebSocket and by event streams) and readers that lose their connections all the
//! time listen. First each line is sent after the one before was acknowledged: everybody
//! has the file, once, in order. Then all send at once: everybody has one and the same
//! order, each author's lines in theirs.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::harness::listener::{Language, Listener};
use crate::harness::{Account, Options, heavy, new_key};
use crate::history::{History, Reader};
use crate::irc::plan::{Act, Plan};
use crate::irc::{Census, day};
use crate::replay::{
    Author, Job, Returning, Stage, author_and_text, by_author, entries_of_frames, judge, said,
    settled_head,
};

/// Who joins waits for this before they speak, and hundreds join; 1000 by default.
const GATHER_MS: u64 = 20;

/// When all speak at once, a thousand lines (the default) pass while one looks away.
const RESUME_ENTRIES: u64 = 10_000;
/// How often the shaky reader loses its connection.
const SHAKY_EVERY: Duration = Duration::from_millis(400);

#[tokio::test(flavor = "multi_thread")]
async fn the_first_of_june_2006_is_replayed() {
    replay("2006-06-01.txt").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_27th_of_april_2008_is_replayed() {
    replay("2008-04-27.txt").await;
}

async fn replay(name: &str) {
    let _alone = heavy().await;
    let day = day(name);
    let plan = Plan::of(&day.lines, usize::MAX);
    println!(
        "{}: {:?}, {} accounts, {} empty messages left out",
        day.name,
        Census::of(&day.lines),
        plan.nicks.len(),
        plan.empty_messages
    );
    let started = Instant::now();
    let options = Options::new()
        .limit("membership_gather_ms", GATHER_MS)
        .limit("resume_entries_max", RESUME_ENTRIES);
    let stage = Stage::set(options, &plan, 7).await;
    println!("  set in {:?}", started.elapsed());
    one_after_the_other(&stage, &plan).await;
    all_at_once(&stage, &plan).await;
}

async fn one_after_the_other(stage: &Stage, plan: &Plan) {
    let started = Instant::now();
    let audience = Audience::gather(stage).await;
    let authors = stage.authors(&audience.channel, false).await;
    let mut waiting = Vec::new();
    for step in &plan.steps {
        let answer = authors[step.who].order(Job::Do(step.act.clone()), new_key());
        if matches!(step.act, Act::Say(_)) {
            answer
                .await
                .unwrap()
                .unwrap_or_else(|refusal| panic!("{step:?}: {refusal:?}"));
        } else {
            waiting.push((step, answer));
        }
    }
    for (step, answer) in waiting {
        answer
            .await
            .unwrap()
            .unwrap_or_else(|refusal| panic!("{step:?}: {refusal:?}"));
    }
    let (readers, fresh) = audience.heard(stage, &authors).await;
    let expected: Vec<(String, String)> = plan
        .said()
        .into_iter()
        .map(|(who, text)| (stage.people[who].id.clone(), text.to_owned()))
        .collect();
    for reader in &readers {
        assert_same(&reader.name, &said(&reader.entries), &expected);
    }
    assert_same(
        "history",
        &fresh.iter().map(author_and_text).collect::<Vec<_>>(),
        &expected,
    );
    println!(
        "  one after the other: {} messages in {:?}",
        expected.len(),
        started.elapsed()
    );
}

async fn all_at_once(stage: &Stage, plan: &Plan) {
    let started = Instant::now();
    let audience = Audience::gather(stage).await;
    let authors = stage.authors(&audience.channel, true).await;
    let orders: Vec<_> = plan
        .steps
        .iter()
        .map(|step| {
            (
                step,
                authors[step.who].order(Job::Do(step.act.clone()), new_key()),
            )
        })
        .collect();
    for (step, answer) in orders {
        answer
            .await
            .unwrap()
            .unwrap_or_else(|refusal| panic!("{step:?}: {refusal:?}"));
    }
    let (readers, _) = audience.heard(stage, &authors).await;
    let mut expected: HashMap<&str, Vec<&str>> = HashMap::new();
    for (who, text) in plan.said() {
        expected
            .entry(&stage.people[who].id)
            .or_default()
            .push(text);
    }
    let first = said(&readers[0].entries);
    assert_eq!(by_author(&first), expected);
    for reader in &readers {
        assert_same(&reader.name, &said(&reader.entries), &first);
    }
    println!(
        "  all at once: {} messages in {:?}",
        first.len(),
        started.elapsed()
    );
}

fn assert_same(who: &str, got: &[(String, String)], expected: &[(String, String)]) {
    let differs = got
        .iter()
        .zip(expected)
        .position(|(got, expected)| got != expected);
    if let Some(at) = differs {
        panic!(
            "{who} differs at {at}: {:?} instead of {:?}",
            got[at], expected[at]
        );
    }
    assert_eq!(got.len(), expected.len(), "{who}");
}

/// Everybody who listens in one channel.
struct Audience {
    channel: String,
    node: Listener,
    msgpack: Listener,
    python: Listener,
    events: Listener,
    broken_events: Listener,
    /// Loses its connection every [`SHAKY_EVERY`].
    shaky: Returning,
    /// Never does.
    steady: Returning,
}

impl Audience {
    /// A new channel, with all listeners in it before anybody speaks.
    async fn gather(stage: &Stage) -> Self {
        let channel = stage.owner.channel().await;
        for guest in &stage.guests {
            guest
                .rest
                .post(
                    &format!("/conversations/{channel}/join"),
                    serde_json::json!({}),
                )
                .await
                .unwrap();
        }
        let address = stage.server.address();
        let [node, msgpack, python, events, broken, shaky, steady] = &stage.guests[..] else {
            panic!("seven guests")
        };
        let listener = |language, guest: &Account| {
            let token = guest.access.clone();
            async move { Listener::start(language, address, &token).await }
        };
        Self {
            node: listener(Language::Node, node).await,
            msgpack: listener(Language::NodeMsgPack, msgpack).await,
            python: listener(Language::Python, python).await,
            events: listener(Language::PythonEvents, events).await,
            broken_events: listener(Language::PythonBrokenEvents, broken).await,
            shaky: Returning::start("shaky", address, shaky, &channel, Some(SHAKY_EVERY)).await,
            steady: Returning::start("steady", address, steady, &channel, None).await,
            channel,
        }
    }

    /// Waits until all have everything, judges it, gives the readers and the history.
    async fn heard(
        &self,
        stage: &Stage,
        authors: &[Author],
    ) -> (Vec<Reader>, Vec<serde_json::Value>) {
        let channel = &self.channel;
        let head = settled_head(&stage.owner, channel).await;
        let foreign = [
            ("node", &self.node),
            ("node, MessagePack", &self.msgpack),
            ("python", &self.python),
            ("python, events", &self.events),
            ("python, broken events", &self.broken_events),
        ];
        for (_, listener) in foreign {
            listener.reaches(channel, head).await;
        }
        let within = Duration::from_secs(20);
        self.shaky.reaches(head, within).await;
        self.steady.reaches(head, within).await;
        let mut readers = vec![self.steady.reader(), self.shaky.reader()];
        for (name, listener) in foreign {
            readers.push(Reader {
                name: name.into(),
                user: String::new(),
                conversation: channel.clone(),
                entries: entries_of_frames(&listener.log(channel)),
            });
            assert!(
                !listener.errors().contains("a gap"),
                "{}",
                listener.errors()
            );
        }
        for author in authors {
            let faults = author.faults();
            assert!(
                faults.is_empty(),
                "{}: {faults:?}",
                author.account().username
            );
        }
        let fresh = stage.owner.history(channel).await;
        let history = History {
            attempts: stage.recorder.attempts(),
            readers: readers.clone(),
        };
        // Nothing was said before the readers came.
        judge(channel, &history, &[], &fresh);
        let lengths: Vec<usize> = readers.iter().map(|reader| reader.entries.len()).collect();
        assert!(lengths.iter().min() >= Some(&fresh.len()), "{lengths:?}");
        println!(
            "  {} entries, the shaky reader connected {} times",
            head,
            self.shaky.connections()
        );
        (readers, fresh)
    }
}
