//! `idle`: what a connection costs that does nothing. Everybody connects,
//! is a member of as many rooms as asked for, answers pings, and stays.

use super::{Play, Scenario};
use crate::dialect::Dialect;
use crate::measure::{Family, kernel_slab_kib, tcp_memory_kib, told};
use crate::row::Row;
use crate::stage::Cast;

/// N connections with S subscriptions each, in rooms of K.
#[derive(Debug, Clone)]
pub struct Idle {
    /// Connections.
    pub connections: usize,
    /// Rooms each is a member of.
    pub subscriptions: usize,
    /// Members of each room.
    pub members: usize,
    /// Seconds between the last connect and the reading.
    pub settle_s: f64,
}

impl Scenario for Idle {
    fn name(&self) -> &'static str {
        "idle"
    }

    fn cast(&self) -> Cast {
        Cast {
            users: self.connections,
            rooms: (self.connections * self.subscriptions).div_ceil(self.members),
            members: self.members,
        }
    }

    fn run<D>(&self, play: &mut Play<D>, row: &mut Row) -> anyhow::Result<()>
    where
        D: Dialect + Send + Sync,
        D::Link: Send,
    {
        row.size = format!(
            "{} with {} subscriptions in rooms of {}",
            self.connections, self.subscriptions, self.members
        );
        let usage = |play: &Play<D>| play.process.as_ref().map(Family::usage);
        let (kernel, slab) = (tcp_memory_kib(), kernel_slab_kib());
        let cache_kib = |play: &Play<D>| {
            let bytes = told(play.metrics?, "fanfare_store_cache_bytes")?;
            Some(bytes / 1024.0)
        };
        let (before, cached) = (usage(play), cache_kib(play));
        play.connect_all()?;
        let connected = usage(play);
        play.note("settling");
        play.fleet.run(0, 0.0, (self.settle_s * 1e9) as u64)?;
        let settled = usage(play);
        let window = play.window(0, 0.0, play.load.seconds)?;
        let times = play.fleet.times();
        play.tell(&window, &times, row);
        let each = self.connections as f64;
        let mut figure = |name: &str, value| row.figures.insert(name.into(), value);
        if let (Some(before), Some(connected), Some(settled)) = (before, connected, settled) {
            figure("rss_kib_before", before.rss_kib);
            figure("rss_kib_after", settled.rss_kib);
            figure(
                "kib_per_connection",
                (settled.rss_kib - before.rss_kib) / each,
            );
            figure(
                "cpu_ms_per_connect",
                connected.since(&before).cpu_s() * 1000.0 / each,
            );
        }
        if let (Some(before), Some(after)) = (cached, cache_kib(play)) {
            // Not theirs, and bounded: what the store read for them.
            figure("store_cache_kib_per_connection", (after - before) / each);
        }
        figure(
            "tcp_buffers_kib_per_connection_both_ends",
            (tcp_memory_kib() - kernel) / each,
        );
        figure(
            "kernel_slab_kib_per_connection_both_ends",
            (kernel_slab_kib() - slab) / each,
        );
        Ok(())
    }
}
