//! What became of a talk while a fault lasted, read from the record afterwards.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use crate::history::{Attempt, Outcome, Recorder};

/// A stretch of time with a name, in the recorder's microseconds.
#[derive(Debug, Clone)]
pub struct Phase {
    pub name: String,
    pub from_us: u64,
    pub to_us: u64,
}

/// What happened in it.
pub struct Account {
    phase: Phase,
    pub acknowledged: usize,
    /// The longest time without any acknowledgement.
    pub longest_pause: Duration,
    /// The longest time to an answer of any kind that ended in the phase.
    pub slowest_answer: Duration,
    pub refusals: BTreeMap<String, usize>,
}

impl Account {
    pub fn of(phase: &Phase, attempts: &[Attempt], recorder: &Recorder) -> Self {
        let within = phase.from_us..phase.to_us;
        let ended = attempts
            .iter()
            .filter(|it| within.contains(&it.finished_us));
        let (mut times_us, mut slowest_us) = (vec![phase.from_us, phase.to_us], 0);
        for attempt in ended {
            slowest_us = slowest_us.max(attempt.finished_us - attempt.invoked_us);
            if matches!(attempt.outcome, Outcome::Ok { .. }) {
                times_us.push(attempt.finished_us);
            }
        }
        times_us.sort_unstable();
        let pauses_us = times_us.windows(2).map(|pair| pair[1] - pair[0]);
        Self {
            phase: phase.clone(),
            acknowledged: times_us.len() - 2,
            longest_pause: Duration::from_micros(pauses_us.max().unwrap_or(0)),
            slowest_answer: Duration::from_micros(slowest_us),
            refusals: recorder.refusals(within),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let took_ms = (self.phase.to_us - self.phase.from_us) / 1000;
        write!(
            f,
            "{:42}  {took_ms:6} ms  {:6}  {:6} ms  {:6} ms  {:?}",
            self.phase.name,
            self.acknowledged,
            self.longest_pause.as_millis(),
            self.slowest_answer.as_millis(),
            self.refusals
        )
    }
}

/// The head of a table of accounts.
pub const HEAD: &str =
    "phase                                       took       acked   pause      answer     refusals";
