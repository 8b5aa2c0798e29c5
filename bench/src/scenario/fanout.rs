//! `fanout` and `rooms`: rooms at a steady rate, everybody connected.

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
    /// Members of each.
    pub members: usize,
    /// Who connects; fewer than rooms × members are in several rooms each.
    pub users: usize,
    /// How many of the rooms talk; the others sleep.
    pub talking: usize,
    /// Messages per second in each that talks.
    pub rate: f64,
}

impl Scenario for Steady {
    fn name(&self) -> &'static str {
        self.name
    }

    fn cast(&self) -> Cast {
        Cast {
            users: self.users,
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
        if self.talking < self.rooms {
            row.size += &format!(" in {} of them", self.talking);
        }
        play.connect_all()?;
        let per_s = self.rate * self.talking as f64;
        play.note("warming up");
        play.fleet
            .run(self.talking, per_s, (play.load.warm_up * 1e9) as u64)?;
        play.note("measuring");
        let window = play.window(self.talking, per_s, play.load.seconds)?;
        let times = play.fleet.times();
        play.tell(&window, &times, row);
        Ok(())
    }
}
