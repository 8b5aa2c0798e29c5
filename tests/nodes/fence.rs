//! Two engines on one keyspace: the owner is stopped, or cut off, in the middle of what
//! it does; the other takes over and takes writes; then the first goes on, and what it
//! had under way reaches the store. It must acknowledge nothing, and no reader may see
//! anything of it that the new owner did not adopt, neither those who listen at an
//! engine nor one that follows the store itself ([`super::ghost`]).
//!
//! Short form: each fault once. `FANFARE_SOAK=1`: five times. `FANFARE_SEED` repeats a
//! run's choices.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::ghost::Ghost;
use super::pair::{AUTHORS, Pair, Side};
use super::restart;
use crate::harness::keyspace::Keyspace;
use crate::harness::{Dice, SOON, eventually, heavy};
use crate::history::{Attempt, History, Outcome};
use crate::replay::{judge, settled_head, settled_history};

/// Commands without an answer when the fault comes: three are those of authors who stay
/// with the engine that owns nothing, nine others may be at the owner.
const IN_FLIGHT: usize = 9;
/// How soon the other engine owns everything: a lapse of six seconds, and 1024 claims
/// on a machine that does other things too.
const TAKEN_OVER_WITHIN: Duration = Duration::from_secs(60);
/// Acknowledged by the new owner before the old one goes on.
const WRITTEN_BY_NEW: usize = 20;

#[tokio::test(flavor = "multi_thread")]
async fn an_owner_that_was_stopped_never_acknowledges_again() {
    let _alone = heavy().await;
    let Some(keyspace) = Keyspace::shared() else {
        return;
    };
    let seed = std::env::var("FANFARE_SEED").ok();
    let seed = seed.and_then(|seed| seed.parse().ok()).unwrap_or(7);
    let (stage, first, rooms) = Pair::first(&keyspace).await;
    restart::takes_over_at_once(&stage, &first, &rooms).await;
    let mut pair = Pair::gather(&keyspace, stage, first, rooms, seed).await;
    let mut dice = Dice::new(seed);
    let soak = std::env::var("FANFARE_SOAK").is_ok_and(|soak| soak == "1");
    let mut rounds = Vec::new();
    for number in 0..if soak { 15 } else { 3 } {
        let fault = [Fault::Stopped, Fault::HeldAndStopped, Fault::CutOff][number % 3];
        rounds.push(pair.round(number, fault, &mut dice).await);
    }
    let owner = rounds.len() % 2;
    pair.ends(owner).await;
    pair.judged(owner, &rounds).await;
    restart::waits_after_a_reboot(&pair, owner).await;
    pair.ghosts.judged(&pair.sides[owner]).await;
}

/// What befalls an owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    /// SIGSTOP at no particular moment: before, during and after writes of many rooms.
    Stopped,
    /// What it sends to the store is held, then SIGSTOP; the writes reach the store when
    /// another owner has written, and only then it goes on.
    HeldAndStopped,
    /// The same without SIGSTOP: it has to notice by itself.
    CutOff,
}

/// What was seen of a round.
struct Round {
    fault: Fault,
    old: usize,
    unanswered: usize,
    held_bytes: usize,
    /// From the fault to a ready successor, and to its first acknowledgement.
    ready: Duration,
    acknowledged: Duration,
    /// The old engine, once it went on: what its `/readyz` said first, and from then on
    /// until the next fault (microseconds of the recorder).
    unready: String,
    from_us: u64,
    to_us: u64,
}

impl Pair {
    async fn round(&mut self, number: usize, fault: Fault, dice: &mut Dice) -> Round {
        let old = number % 2;
        let [owner, heir] = [&self.sides[old], &self.sides[1 - old]];
        let recorder = &self.stage.recorder;
        self.ghosts.says(owner).await;
        self.talk.rush.store(true, Ordering::Relaxed);
        let unanswered = eventually("commands in flight", SOON, async || {
            let unanswered = self.talk.unanswered.load(Ordering::Relaxed);
            (unanswered >= IN_FLIGHT).then_some(unanswered)
        })
        .await;
        tokio::time::sleep(Duration::from_millis(200 + dice.roll(100))).await;
        let fenced = owner.fenced().await;
        let ghost = self.strikes(owner, fault).await;
        self.talk.rush.store(false, Ordering::Relaxed);
        let (struck, struck_us) = (Instant::now(), recorder.now_us());
        self.door.turn(heir.server.address());
        let new_epochs = async {
            eventually(
                "the heir's first acknowledgement",
                TAKEN_OVER_WITHIN,
                async || (self.acknowledged_by(1 - old, struck_us) > 0).then_some(()),
            )
            .await;
            struck.elapsed()
        };
        let owned = async {
            eventually("a ready heir", TAKEN_OVER_WITHIN, async || {
                heir.is_ready().await.then_some(())
            })
            .await;
            struck.elapsed()
        };
        let (acknowledged, ready) = tokio::join!(new_epochs, owned);
        eventually("more from the heir", SOON, async || {
            (self.acknowledged_by(1 - old, struck_us) >= WRITTEN_BY_NEW).then_some(())
        })
        .await;
        let (held_bytes, from_us, unready) = self.goes_on(owner, fault).await;
        eventually("an old owner that knows it", SOON, async || {
            (owner.fenced().await > fenced).then_some(())
        })
        .await;
        self.asked_in_vain(old, from_us).await;
        if let Some(ghost) = ghost {
            self.ghosts.laid(ghost, heir).await;
        }
        Round {
            fault,
            old,
            unanswered,
            held_bytes,
            ready,
            acknowledged,
            unready,
            from_us,
            to_us: recorder.now_us(),
        }
    }

    /// Gives the write in the quiet room that is held.
    async fn strikes(&self, owner: &Side, fault: Fault) -> Option<Ghost> {
        let mut ghost = None;
        if fault != Fault::Stopped {
            owner.proxy.hold();
            ghost = Some(self.ghosts.raised(owner).await);
        }
        if fault != Fault::CutOff {
            owner.server.signal("-STOP");
        }
        ghost
    }

    /// Lets the old owner's writes reach the store, and itself go on.
    async fn goes_on(&self, owner: &Side, fault: Fault) -> (usize, u64, String) {
        let held_bytes = owner.proxy.waiting_bytes();
        let from_us = self.stage.recorder.now_us();
        owner.proxy.release();
        if fault == Fault::HeldAndStopped {
            eventually(
                "held writes that have reached the store",
                SOON,
                async || (owner.proxy.waiting_bytes() == 0).then_some(()),
            )
            .await;
        }
        if fault != Fault::CutOff {
            owner.server.signal("-CONT");
        }
        let (status, said) = owner.readiness().await.unwrap();
        assert_eq!(status, 503, "{said}");
        (held_bytes, from_us, said)
    }

    /// Attempts of those who stay with a side, and for all others of those who follow.
    fn stays_with(&self, side: usize) -> impl Fn(&Attempt) -> bool + '_ {
        let stay = self.stage.people.iter().skip(side).step_by(AUTHORS);
        let ids: Vec<&str> = stay.map(|account| account.id.as_str()).collect();
        move |attempt| ids.contains(&attempt.author.as_str())
    }

    /// Sends that were invoked at a side after this, and acknowledged.
    fn acknowledged_by(&self, side: usize, from_us: u64) -> usize {
        let stays_with_other = self.stays_with(1 - side);
        let attempts = self.stage.recorder.attempts();
        let there = attempts.iter().filter(|it| it.invoked_us >= from_us);
        let there = there.filter(|it| !stays_with_other(it));
        there
            .filter(|it| matches!(it.outcome, Outcome::Ok { .. }))
            .count()
    }

    /// Those who stay with the old owner ask it, and are refused.
    async fn asked_in_vain(&self, old: usize, from_us: u64) {
        let stays = self.stays_with(old);
        eventually("refusals by the old owner", SOON, async || {
            let attempts = self.stage.recorder.attempts();
            let asked = attempts
                .iter()
                .filter(|it| it.invoked_us >= from_us && stays(it));
            (asked.count() >= 3).then_some(())
        })
        .await;
    }

    /// Everybody ends at the owner, under the keys they began with.
    async fn ends(&mut self, owner: usize) {
        self.talk.enough.store(true, Ordering::Relaxed);
        let address = self.sides[owner].server.address();
        self.sides[1 - owner].door.turn(address);
        self.door.turn(address);
        while let Some(ended) = self.talking.join_next().await {
            ended.unwrap();
        }
    }

    async fn judged(&self, owner: usize, rounds: &[Round]) {
        let attempts = self.stage.recorder.attempts();
        println!(
            "fault           in flight  held bytes  ready     acknowledged  refused then by the old one"
        );
        for round in rounds {
            println!("{}", self.line(round, &attempts));
        }
        let refusals = self.stage.recorder.refusals(0..u64::MAX);
        println!("{} attempts, refusals {refusals:?}", attempts.len());
        let temporary = ["unavailable", "outcome_unknown", "lost"];
        assert!(
            refusals
                .keys()
                .all(|code| temporary.contains(&code.as_str())),
            "{refusals:?}"
        );
        for round in rounds {
            let stays = self.stays_with(round.old);
            let asked = attempts
                .iter()
                .filter(|it| stays(it) && it.invoked_us >= round.from_us);
            let mut asked = asked.filter(|it| it.finished_us < round.to_us);
            let wrong = asked.find(|it| matches!(it.outcome, Outcome::Ok { .. }));
            assert!(wrong.is_none(), "acknowledged by an old owner: {wrong:?}");
            assert!(
                round.fault == Fault::Stopped || round.held_bytes > 0,
                "nothing was held"
            );
            assert!(!round.unready.is_empty(), "unready for no reason");
        }
        let account = self.sides[owner].seen_by(&self.stage.owner);
        for room in &self.rooms {
            let head = settled_head(&account, &room.id).await;
            let mut readers = Vec::new();
            for reader in &room.readers {
                reader.reaches(head, SOON).await;
                readers.push(reader.reader());
            }
            let attempts = attempts.clone();
            let history = History { attempts, readers };
            let fresh = settled_history(&account, &room.id).await;
            judge(&room.id, &history, &room.snapshot, &fresh);
        }
    }

    fn line(&self, round: &Round, attempts: &[Attempt]) -> String {
        let stays = self.stays_with(round.old);
        let asked = attempts
            .iter()
            .filter(|it| stays(it) && it.invoked_us >= round.from_us);
        let refused = asked.filter(|it| it.finished_us < round.to_us).count();
        format!(
            "{:14}  {:9}  {:10}  {:5} ms  {:9} ms  {refused}; first of all: {}",
            format!("{:?}", round.fault),
            round.unanswered,
            round.held_bytes,
            round.ready.as_millis(),
            round.acknowledged.as_millis(),
            round.unready.trim()
        )
    }
}

impl Side {
    /// How often it was fenced so far.
    async fn fenced(&self) -> f64 {
        self.server.metric("fanfare_lease_fenced_total").await
    }
}
