//! `saturate`: the offered rate rises by steps until the server cannot keep
//! the pace any more, twice; then the edge is searched between the two last steps,
//! and in the end far more is offered: what still arrives is the goodput.

use super::{Play, Scenario, Window};
use crate::dialect::Dialect;
use crate::row::{Row, Spread, Step};
use crate::stage::Cast;

/// R rooms of K members; the rate is what is looked for.
#[derive(Debug, Clone)]
pub struct Saturate {
    /// Rooms.
    pub rooms: usize,
    /// Members of each.
    pub members: usize,
    /// Messages per second in all rooms together, first step.
    pub start: f64,
    /// Each step offers this many times the one before.
    pub factor: f64,
    /// How often the edge is halved.
    pub halvings: usize,
    /// In the end so many times the rate that was kept; 0: nothing more.
    pub beyond: f64,
}

/// A step keeps the pace when this part of what it offered arrived within it.
const PACE: f64 = 0.97;
/// And when half of the deliveries took no longer than this.
const MEDIAN_US: f64 = 500_000.0;
/// More steps than this are a mistake.
const STEPS: usize = 60;

impl Scenario for Saturate {
    fn name(&self) -> &'static str {
        "saturate"
    }

    fn cast(&self) -> Cast {
        Cast {
            users: self.rooms * self.members,
            rooms: self.rooms,
            members: self.members,
        }
    }

    fn run<D>(&self, play: &mut Play<D>, row: &mut Row) -> anyhow::Result<()>
    where
        D: Dialect + Send + Sync,
        D::Link: Send,
    {
        row.size = format!("{} x {}", self.rooms, self.members);
        play.connect_all()?;
        play.note("warming up");
        let warm_up = (play.load.warm_up * 1e9) as u64;
        play.fleet.run(self.rooms, self.start, warm_up)?;
        let mut good = 0.0;
        let mut bad = None;
        let mut best = None;
        let mut rate = self.start;
        let mut halvings = 0;
        while row.steps.len() < STEPS {
            let (mut window, mut step, mut times) = self.step(play, rate)?;
            row.steps.push(step);
            // Something else on the machine may have held up one step.
            if !step.paced {
                (window, step, times) = self.step(play, rate)?;
                row.steps.push(step);
            }
            if step.paced {
                good = rate;
                best = Some((window, times));
            } else {
                bad = Some(rate);
            }
            rate = match bad {
                None => rate * self.factor,
                Some(_) if halvings == self.halvings => break,
                Some(bad) => {
                    halvings += 1;
                    f64::midpoint(good, bad)
                }
            };
        }
        let Some((window, times)) = best else {
            row.invalid
                .push("not even the first step kept the pace".into());
            return Ok(());
        };
        play.tell(&window, &times, row);
        let peak = (row.steps.iter())
            .map(|step| step.deliveries_per_s)
            .fold(0.0, f64::max);
        row.figures
            .insert("messages_per_s".into(), window.sent as f64 / window.seconds);
        row.figures.insert("deliveries_per_s_peak".into(), peak);
        if self.beyond > 0.0 {
            let (_, step, _) = self.step(play, good * self.beyond)?;
            let goodput = 100.0 * step.deliveries_per_s / peak.max(1.0);
            row.figures
                .insert("beyond_goodput_percent_of_peak".into(), goodput);
            row.figures
                .insert("beyond_messages_refused".into(), step.refused as f64);
            row.steps.push(step);
        }
        Ok(())
    }
}

impl Saturate {
    /// One step, and everything it left under way.
    fn step<D>(
        &self,
        play: &mut Play<D>,
        rate: f64,
    ) -> anyhow::Result<(Window, Step, crate::engine::Times)>
    where
        D: Dialect + Send + Sync,
        D::Link: Send,
    {
        let refused = play.fleet.sum(|one| one.tally.refused);
        let window = play.window(self.rooms, rate, play.load.seconds)?;
        let overrun = play.fleet.overrun();
        let times = play.fleet.times();
        let drained = play.fleet.drain()?;
        let refused = play.fleet.sum(|one| one.tally.refused) - refused;
        let latency = Spread::from(&times.latency);
        let offered = rate * self.members as f64;
        let step = Step {
            offered_per_s: offered,
            deliveries_per_s: window.deliveries as f64 / window.seconds,
            p50_us: latency.p50,
            p99_us: latency.p99,
            refused,
            server_cores: window
                .usage
                .map_or(0.0, |usage| usage.cpu_s() / window.seconds),
            generator_cores: window.generator_cores,
            paced: !overrun
                && drained
                && refused == 0
                && latency.p50 < MEDIAN_US
                && window.deliveries as f64 >= PACE * offered * window.seconds,
        };
        play.note(&format!(
            "offered {:>10.0}/s  delivered {:>10.0}/s  p50 {:>7.0} µs  p99 {:>7.0} µs  server {:.2}  generator {:.2} cores{}",
            step.offered_per_s,
            step.deliveries_per_s,
            step.p50_us,
            step.p99_us,
            step.server_cores,
            step.generator_cores,
            if step.paced { "" } else { "  pace lost" },
        ));
        Ok((window, step, times))
    }
}
