//! A whole channel that talks until it is enough: many authors at once, what they do to
//! messages once acknowledged, and what of it did not fit.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::Value;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::author::{Author, Job};
use crate::harness::account::{id_of, seq_of};
use crate::harness::{Dice, new_key};
use crate::irc::plan::{Act, Plan};

/// Jobs unanswered at any time.
const IN_FLIGHT: usize = 24;

/// What the authors did so far.
#[derive(Default)]
pub struct Traffic {
    /// The plan is not begun again.
    pub enough: AtomicBool,
    /// A kill is near: nobody keeps to the pace.
    pub rush: AtomicBool,
    pub unanswered: AtomicUsize,
    pub acknowledged: AtomicUsize,
    pub repeats: AtomicUsize,
    /// Acknowledged keys that gave another message when sent again.
    pub wrong_repeats: Mutex<Vec<String>>,
}

/// Plays the plan, again from the start when it is through, until it is enough.
pub async fn talk(
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
