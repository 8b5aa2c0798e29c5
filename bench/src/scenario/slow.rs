//! `slow`: some sockets are never read. Do the others notice, and how many
//! bytes does the server hold for each that hangs? Runs with and without them
//! alternate, so that a noisy machine harms both alike.

use std::collections::HashSet;

use super::{Play, Scenario, Steady};
use crate::dialect::Dialect;
use crate::measure::tcp_memory_kib;
use crate::row::Row;
use crate::stage::Cast;

/// A steady load with some who hang.
#[derive(Debug, Clone)]
pub struct Slow {
    /// What everybody else does.
    pub steady: Steady,
    /// How many of 100 members hang; 0 for the run beside.
    pub percent: usize,
}

impl Slow {
    fn count(&self) -> usize {
        self.steady.members * self.percent / 100 * self.steady.rooms
    }
}

impl Scenario for Slow {
    fn name(&self) -> &'static str {
        "slow"
    }

    fn cast(&self) -> Cast {
        self.steady.cast()
    }

    /// The last members of each room: the first one publishes.
    fn slow(&self) -> HashSet<u32> {
        let members = self.steady.members;
        let hang = members * self.percent / 100;
        (0..self.steady.rooms)
            .flat_map(|room| ((room + 1) * members - hang)..(room + 1) * members)
            .map(|number| number as u32)
            .collect()
    }

    fn run<D>(&self, play: &mut Play<D>, row: &mut Row) -> anyhow::Result<()>
    where
        D: Dialect + Send + Sync,
        D::Link: Send,
    {
        let kernel = tcp_memory_kib();
        let before = play.process.as_ref().map(|server| server.usage().rss_kib);
        self.steady.run(play, row)?;
        row.size = format!("{}, {} % never read", row.size, self.percent);
        let after = play.process.as_ref().map(|server| server.usage().rss_kib);
        let grown = after
            .zip(before)
            .map_or(0.0, |(after, before)| after - before);
        row.figures.insert("rss_kib_grown".into(), grown);
        row.figures
            .insert("tcp_buffers_kib_grown".into(), tcp_memory_kib() - kernel);
        row.figures
            .insert("slow_readers".into(), self.count() as f64);
        Ok(())
    }
}

/// One row of all pairs: `with` and `without` in the order they ran.
pub fn pairs(with: &[Row], without: &[Row]) -> Option<Row> {
    let mut row = with.first()?.clone();
    let medians = |rows: &[Row], of: fn(&Row) -> f64| median(rows.iter().map(of).collect());
    let mut figure = |name: &str, value| row.figures.insert(name.into(), value);
    figure("pairs", with.len() as f64);
    figure("p50_us_with", medians(with, |row| row.latency_us.p50));
    figure("p50_us_without", medians(without, |row| row.latency_us.p50));
    figure("p99_us_with", medians(with, |row| row.latency_us.p99));
    figure("p99_us_without", medians(without, |row| row.latency_us.p99));
    let worse = with.iter().zip(without);
    let worse = worse.filter(|(with, without)| with.latency_us.p99 > without.latency_us.p99);
    figure("pairs_with_higher_p99", worse.count() as f64);
    let held = |name: &str| {
        let of = |rows: &[Row]| {
            median(
                rows.iter()
                    .filter_map(|row| row.figures.get(name).copied())
                    .collect(),
            )
        };
        of(with) - of(without)
    };
    let slow = with
        .first()?
        .figures
        .get("slow_readers")
        .copied()
        .unwrap_or(0.0)
        .max(1.0);
    figure("server_kib_per_slow_reader", held("rss_kib_grown") / slow);
    figure(
        "kernel_kib_per_slow_reader_both_ends",
        held("tcp_buffers_kib_grown") / slow,
    );
    for other in with.iter().skip(1).chain(without) {
        row.invalid.extend(other.invalid.iter().cloned());
        for (fault, seen) in &other.faults {
            let all = row.faults.entry(*fault).or_default();
            all.add(seen.count, || seen.example.clone());
        }
    }
    row.invalid.sort();
    row.invalid.dedup();
    Some(row)
}

/// The middle one; 0 of none.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}
