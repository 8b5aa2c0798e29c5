//! All generators of a run, one thread each.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Clock, Generator, Tally, Times};
use crate::dialect::Dialect;
use crate::plan::Plan;
use crate::schedule::Schedule;

/// The generators, and what the whole run needs to know of them.
pub struct Fleet<D: Dialect> {
    engines: Vec<Generator<D>>,
    /// The run's clock.
    pub clock: Clock,
    rooms: usize,
}

/// No delivery for this long: nothing more will come.
const QUIET_MS: u64 = 2_000;

impl<D: Dialect> Fleet<D>
where
    D: Send + Sync,
    D::Link: Send,
{
    /// `threads` generators for `plan`; those in `slow` are never read.
    ///
    /// # Errors
    /// The system gives no epoll.
    pub fn new(
        dialect: D,
        plan: Plan,
        slow: HashSet<u32>,
        threads: usize,
        late_ms: u64,
    ) -> anyhow::Result<Self> {
        let clock = Clock::start();
        let mut receivers = vec![0; plan.rooms];
        for (number, member) in (0..).zip(&plan.members) {
            for room in &member.rooms {
                if let Some(receivers) = receivers.get_mut(*room as usize)
                    && !slow.contains(&number)
                {
                    *receivers += 1;
                }
            }
        }
        let rooms = plan.rooms;
        let (dialect, plan, receivers, slow) = (
            Arc::new(dialect),
            Arc::new(plan),
            Arc::new(receivers),
            Arc::new(slow),
        );
        let engines = (0..threads.max(1))
            .map(|nth| {
                let mut engine = Generator::new(
                    dialect.clone(),
                    plan.clone(),
                    receivers.clone(),
                    clock,
                    (nth, threads.max(1)),
                    late_ms * 1_000_000,
                )?;
                engine.slow = slow.clone();
                Ok(engine)
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            engines,
            clock,
            rooms,
        })
    }

    /// Queues these connections, `at_once` under way at a time; they start
    /// with the next [`Fleet::run`].
    pub fn enqueue(&mut self, numbers: std::ops::Range<u32>, at_once: usize) {
        let at_once = at_once.div_ceil(self.engines.len());
        for engine in &mut self.engines {
            engine.at_once = at_once;
            for number in numbers.clone() {
                if engine.has(number) {
                    engine.enqueue(number);
                }
            }
        }
    }

    /// Connects what is queued.
    ///
    /// # Errors
    /// Not all are ready after `patience_s`, with the first reason.
    pub fn connect(&mut self, patience_s: u64) -> anyhow::Result<()> {
        let until = self.clock.now_ns() + patience_s * 1_000_000_000;
        self.turn(|engine| engine.run(until, None, Generator::settled))?;
        let settled = self.engines.iter().all(Generator::settled);
        let dead: usize = self.engines.iter().map(|engine| engine.tally.dead).sum();
        if !settled || dead > 0 {
            let ready = self.ready();
            let why = (self.engines.iter())
                .find_map(|engine| engine.tally.findings.faults.values().next())
                .map_or("they did not become ready in time", |seen| &seen.example);
            anyhow::bail!("cannot connect all ({ready} ready, {dead} failed): {why}");
        }
        Ok(())
    }

    /// Sends `per_s` messages in the first `rooms` rooms together, for
    /// `for_ns` from now.
    pub fn run(&mut self, rooms: usize, per_s: f64, for_ns: u64) -> anyhow::Result<()> {
        let start = self.clock.now_ns();
        let end = start + for_ns;
        self.turn(|engine| {
            let mut here = engine.rooms();
            here.retain(|room| (*room as usize) < rooms);
            let schedule = Schedule::new(here, rooms, per_s, start, end);
            engine.run(end, Some(schedule), |_| false)
        })
    }

    /// Sends nothing until all that was sent has arrived, or nothing more
    /// comes; says whether all has arrived.
    pub fn drain(&mut self) -> anyhow::Result<bool> {
        let mut last = (self.received(), self.clock.now_ns());
        loop {
            if self.complete() {
                return Ok(true);
            }
            let until = self.clock.now_ns() + 50_000_000;
            self.turn(|engine| engine.run(until, None, |_| false))?;
            let received = self.received();
            if received != last.0 {
                last = (received, self.clock.now_ns());
            } else if self.clock.now_ns() - last.1 > QUIET_MS * 1_000_000 {
                return Ok(false);
            }
        }
    }

    /// First receptions so far.
    pub fn received(&self) -> u64 {
        self.sum(|engine| engine.tally.received)
    }

    /// A number of every generator, summed.
    pub fn sum(&self, number: impl Fn(&Generator<D>) -> u64) -> u64 {
        self.engines.iter().map(number).sum()
    }

    /// Connections that are ready.
    pub fn ready(&self) -> usize {
        self.engines.iter().map(|engine| engine.tally.ready).sum()
    }

    /// Times count anew from now.
    pub fn reset_times(&mut self) {
        let now = self.clock.now_ns();
        for engine in &mut self.engines {
            engine.tally.reset_times(now);
        }
    }

    /// The histograms and counts so far, together.
    pub fn times(&self) -> Times {
        let mut times = Times::default();
        for engine in &self.engines {
            times.add(&engine.tally.times);
        }
        times
    }

    /// Ends the run: closes everything and settles who missed what.
    pub fn finish(mut self) -> Tally {
        let mut sent = vec![0; self.rooms];
        for engine in &self.engines {
            for (all, mine) in sent.iter_mut().zip(&engine.sent) {
                *all += mine;
            }
        }
        let mut whole = Tally::new(0);
        // Refusals are known where the publisher is, losses where receivers are.
        let refused: HashSet<(u32, u64)> = (self.engines.iter())
            .flat_map(|engine| engine.tally.findings.all_refused().collect::<Vec<_>>())
            .collect();
        for engine in &mut self.engines {
            engine.tally.findings.refuse_all(&refused);
            engine.settle(&sent);
        }
        for engine in self.engines {
            whole.absorb(engine.tally);
        }
        whole
    }

    /// Refusals take their receivers' deliveries from what is expected.
    fn complete(&self) -> bool {
        self.received() >= self.sum(|engine| engine.expected - engine.refused_deliveries())
    }

    /// Every generator does `turn`, each in its own thread.
    fn turn(
        &mut self,
        turn: impl Fn(&mut Generator<D>) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<()> {
        let [first, rest @ ..] = self.engines.as_mut_slice() else {
            return Ok(());
        };
        std::thread::scope(|scope| {
            let turn = &turn;
            let others: Vec<_> = rest
                .iter_mut()
                .map(|engine| scope.spawn(move || turn(engine)))
                .collect();
            let mut outcome = turn(first);
            for other in others {
                let theirs = other
                    .join()
                    .unwrap_or_else(|_| Err(anyhow::anyhow!("a generator's thread panicked")));
                outcome = outcome.and(theirs);
            }
            outcome
        })
    }
}
