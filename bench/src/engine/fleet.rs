//! All generators of a run, one thread each.

use std::collections::HashSet;
use std::sync::Arc;

use super::{Clock, Generator, Tally, Times};
use crate::check::Seen;
use crate::dialect::Dialect;
use crate::plan::Plan;
use crate::schedule::Schedule;

/// The generators, and what the whole run needs to know of them.
pub struct Fleet<D: Dialect> {
    generators: Vec<Generator<D>>,
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
        let generators = (0..threads.max(1))
            .map(|nth| {
                let mut generator = Generator::new(
                    dialect.clone(),
                    plan.clone(),
                    receivers.clone(),
                    clock,
                    (nth, threads.max(1)),
                    late_ms * 1_000_000,
                )?;
                generator.slow = slow.clone();
                Ok(generator)
            })
            .collect::<anyhow::Result<_>>()?;
        Ok(Self {
            generators,
            clock,
            rooms,
        })
    }

    /// Queues these connections, `at_once` under way at a time; they start
    /// with the next [`Fleet::run`].
    pub fn enqueue(&mut self, numbers: std::ops::Range<u32>, at_once: usize) {
        let at_once = at_once.div_ceil(self.generators.len());
        for generator in &mut self.generators {
            generator.at_once = at_once;
            for number in numbers.clone() {
                if generator.has(number) {
                    generator.enqueue(number);
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
        self.turn(|generator| generator.run(until, None, Generator::settled))?;
        let settled = self.generators.iter().all(Generator::settled);
        let unready = self.unready();
        if !settled || unready.count > 0 {
            let (ready, failed) = (self.ready(), unready.count);
            let why = match failed {
                0 => format!("the others did not become ready within {patience_s} s"),
                _ => unready.example,
            };
            anyhow::bail!("cannot connect all ({ready} ready, {failed} failed): {why}");
        }
        Ok(())
    }

    /// Sends `per_s` messages in the first `rooms` rooms together, for
    /// `for_ns` from now.
    ///
    /// # Errors
    /// epoll fails.
    pub fn run(&mut self, rooms: usize, per_s: f64, for_ns: u64) -> anyhow::Result<()> {
        self.run_until(rooms, per_s, for_ns, |_| false)
    }

    /// As [`Fleet::run`], ending before when every generator is `done`.
    ///
    /// # Errors
    /// epoll fails.
    pub fn run_until(
        &mut self,
        rooms: usize,
        per_s: f64,
        for_ns: u64,
        done: impl Fn(&Generator<D>) -> bool + Sync,
    ) -> anyhow::Result<()> {
        let start = self.clock.now_ns();
        let end = start + for_ns;
        self.turn(|generator| {
            let mut here = generator.rooms();
            here.retain(|room| (*room as usize) < rooms);
            let schedule = Schedule::new(here, rooms, per_s, start, end);
            generator.run(end, Some(schedule), &done)
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
            self.turn(|generator| generator.run(until, None, |_| false))?;
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
        self.sum(|generator| generator.tally.received)
    }

    /// A number of every generator, summed.
    pub fn sum(&self, number: impl Fn(&Generator<D>) -> u64) -> u64 {
        self.generators.iter().map(number).sum()
    }

    /// Connections that are ready.
    pub fn ready(&self) -> usize {
        self.generators
            .iter()
            .map(|generator| generator.tally.ready)
            .sum()
    }

    /// Connections that never became ready.
    pub fn unready(&self) -> Seen {
        let mut unready = Seen::default();
        for generator in &self.generators {
            let theirs = &generator.tally.unready;
            unready.add(theirs.count, || theirs.example.clone());
        }
        unready
    }

    /// Whether a socket took too little and the last load ended early; asking
    /// forgets it.
    pub fn overrun(&mut self) -> bool {
        let mut any = false;
        for generator in &mut self.generators {
            any |= std::mem::take(&mut generator.overrun);
        }
        any
    }

    /// Times to connect count anew.
    pub fn forget_connects(&mut self) {
        for generator in &mut self.generators {
            generator.tally.times.connect.reset();
        }
    }

    /// Times count anew from now.
    pub fn reset_times(&mut self) {
        let now = self.clock.now_ns();
        for generator in &mut self.generators {
            generator.tally.reset_times(now);
        }
    }

    /// The histograms and counts so far, together.
    pub fn times(&self) -> Times {
        let mut times = Times::default();
        for generator in &self.generators {
            times.add(&generator.tally.times);
        }
        times
    }

    /// Ends the run: closes everything and settles who missed what.
    pub fn finish(mut self) -> Tally {
        let mut sent = vec![0; self.rooms];
        for generator in &self.generators {
            for (all, mine) in sent.iter_mut().zip(&generator.sent) {
                *all += mine;
            }
        }
        let mut whole = Tally::new(0);
        // Refusals are known where the publisher is, losses where receivers are.
        let refused: HashSet<(u32, u64)> = (self.generators.iter())
            .flat_map(|generator| generator.tally.findings.all_refused().collect::<Vec<_>>())
            .collect();
        for generator in &mut self.generators {
            generator.tally.findings.refuse_all(&refused);
            generator.settle(&sent);
        }
        for generator in self.generators {
            whole.absorb(generator.tally);
        }
        whole
    }

    /// Refusals take their receivers' deliveries from what is expected.
    fn complete(&self) -> bool {
        self.received() >= self.sum(|generator| generator.expected - generator.refused_deliveries())
    }

    /// Every generator does `turn`, each in its own thread.
    fn turn(
        &mut self,
        turn: impl Fn(&mut Generator<D>) -> anyhow::Result<()> + Sync,
    ) -> anyhow::Result<()> {
        let [first, rest @ ..] = self.generators.as_mut_slice() else {
            return Ok(());
        };
        std::thread::scope(|scope| {
            let turn = &turn;
            let others: Vec<_> = rest
                .iter_mut()
                .map(|generator| scope.spawn(move || turn(generator)))
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
