//! `storm`: some are connected and talk; then many more come at once. What
//! does a connect cost, how long until all are ready, who is turned away, and
//! do those who were there before notice?

use super::{Play, Scenario};
use crate::dialect::Dialect;
use crate::row::{Row, Spread};
use crate::stage::Cast;

/// N connects at once while others talk.
#[derive(Debug, Clone)]
pub struct Storm {
    /// Connected before, in rooms that talk.
    pub settled: usize,
    /// Who come at once; their rooms are silent.
    pub comers: usize,
    /// Members of each room.
    pub members: usize,
    /// Messages per second in each room of those settled.
    pub rate: f64,
    /// Seconds until those not ready count as turned away.
    pub patience_s: f64,
}

impl Storm {
    fn rooms_settled(&self) -> usize {
        self.settled / self.members.max(1)
    }
}

impl Scenario for Storm {
    fn name(&self) -> &'static str {
        "storm"
    }

    fn cast(&self) -> Cast {
        Cast {
            users: self.settled + self.comers,
            rooms: (self.settled + self.comers) / self.members.max(1),
            members: self.members,
        }
    }

    fn run<D>(&self, play: &mut Play<D>, row: &mut Row) -> anyhow::Result<()>
    where
        D: Dialect + Send + Sync,
        D::Link: Send,
    {
        row.size = format!(
            "{} at once beside {} who talk at {}/s in rooms of {}",
            self.comers, self.settled, self.rate, self.members
        );
        let rooms = self.rooms_settled();
        let per_s = self.rate * rooms as f64;
        let settled = rooms * self.members;
        play.connect(0..settled as u32)?;
        play.note("warming up");
        play.fleet
            .run(rooms, per_s, (play.load.warm_up * 1e9) as u64)?;
        play.note("before the storm");
        let calm = play.window(rooms, per_s, play.load.seconds)?;
        let calm_latency = Spread::from(&play.fleet.times().latency);
        play.note("the storm");
        let all = settled..play.connections;
        play.fleet
            .enqueue(all.start as u32..all.end as u32, all.len());
        play.fleet.forget_connects();
        let storm = play.window_until(rooms, per_s, self.patience_s, |one| one.settled())?;
        let times = play.fleet.times();
        play.tell(&storm, &times, row);
        let ready = play.fleet.ready().saturating_sub(settled);
        let connect = Spread::from(&times.connect);
        let mut figure = |name: &str, value| row.figures.insert(name.into(), value);
        figure("calm_p50_us", calm_latency.p50);
        figure("calm_p99_us", calm_latency.p99);
        figure("all_connected_s", storm.seconds);
        figure("ready", ready as f64);
        figure("turned_away", (all.len() - ready) as f64);
        figure("connect_p50_ms", connect.p50 / 1000.0);
        figure("connect_p99_ms", connect.p99 / 1000.0);
        figure("connect_max_ms", connect.max / 1000.0);
        if let (Some(during), Some(calm_usage)) = (storm.usage, calm.usage) {
            // The talk goes on during the storm: its share is taken off.
            let talk = calm_usage.cpu_s() / calm.seconds * storm.seconds;
            let connects = (during.cpu_s() - talk).max(0.0);
            figure(
                "cpu_ms_per_connect",
                connects * 1000.0 / ready.max(1) as f64,
            );
        }
        let unready = play.fleet.unready();
        if unready.count > 0 {
            row.refusal = unready.example;
        }
        Ok(())
    }
}
