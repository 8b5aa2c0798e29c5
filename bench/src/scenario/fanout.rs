//! `fanout` and `rooms`: every room at a steady rate, everybody connected.

use super::{Play, Scenario};
use crate::dialect::Dialect;
use crate::row::Row;
use crate::stage::Cast;

/// R rooms of K members, each room at its rate.
#[derive(Debug, Clone)]
pub struct Steady {
    /// Name in tables.
    pub name: &'static str,
    /// Rooms.
    pub rooms: usize,
    /// Members of each; everybody is in one room only.
    pub members: usize,
    /// Messages per second in each.
    pub rate: f64,
}

impl Scenario for Steady {
    fn name(&self) -> &'static str {
        self.name
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
        row.size = format!("{} x {} at {}/s", self.rooms, self.members, self.rate);
        play.connect_all()?;
        let per_s = self.rate * self.rooms as f64;
        play.note("warming up");
        play.fleet
            .run(self.rooms, per_s, (play.load.warm_up * 1e9) as u64)?;
        play.note("measuring");
        let window = play.window(self.rooms, per_s, play.load.seconds)?;
        let times = play.fleet.times();
        play.tell(&window, &times, row);
        Ok(())
    }
}
