//! What the run looks at: the process from outside, the gauges from inside.

use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::harness::{Process, Server};

/// How long a base point may take to come: everybody who is closed by a deadline is
/// gone by then. Past it the figures are taken as they are, and judged.
const CALM_WITHIN: Duration = Duration::from_secs(30);
/// From one look to the next.
const LOOK_AGAIN: Duration = Duration::from_millis(200);
/// So many equal looks one after the other are calm where nothing is known yet.
const EQUAL_LOOKS: usize = 5;

/// One look.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Sample {
    /// Since the load began.
    pub at_s: f64,
    /// Rounds that were played.
    pub round: usize,
    /// Taken between rounds.
    pub base: bool,
    pub rss_kib: u64,
    pub anonymous_kib: u64,
    pub threads: u64,
    /// Open descriptors but those of the data folder.
    pub descriptors: usize,
    /// Open files of the data folder.
    pub files: usize,
    /// But one for each session that is awake: when one falls asleep is a matter of
    /// its last work.
    pub tasks: f64,
    pub awake: f64,
    pub rooms: f64,
    pub sockets: f64,
    pub connections: f64,
    pub ring_bytes: f64,
    pub disk_kib: u64,
    /// Acts of authors acknowledged so far.
    pub acts: u64,
    pub deliveries: f64,
    pub server_cpu_s: f64,
    pub driver_cpu_s: f64,
}

impl Sample {
    fn is_calm(&self) -> bool {
        // The look itself is a connection.
        self.rooms == 0.0 && self.connections == self.sockets + 1.0
    }

    /// What is compared exactly.
    fn counts(&self) -> (usize, f64, f64) {
        (self.descriptors, self.tasks, self.sockets)
    }
}

/// Looks at a server from time to time.
pub struct Watch<'a> {
    server: &'a Server,
    since: Instant,
    driver_cpu: Duration,
    server_cpu: Duration,
}

impl<'a> Watch<'a> {
    /// Time and CPU count from now on.
    pub fn begin(server: &'a Server) -> Self {
        Self {
            server,
            since: Instant::now(),
            driver_cpu: Process::own().cpu(),
            server_cpu: server.process().cpu(),
        }
    }

    pub fn passed(&self) -> Duration {
        self.since.elapsed()
    }

    /// One look.
    pub async fn look(&self, round: usize, acts: u64) -> Sample {
        let process = self.server.process();
        // Before the question: its own connection would be among them, or just not.
        let (files, descriptors) = process.descriptors_in(&self.server.data());
        let metrics = self.server.metrics().await;
        let gauge = |name: &str| metrics.get(name).copied().unwrap_or_default();
        Sample {
            at_s: self.passed().as_secs_f64(),
            round,
            base: false,
            rss_kib: process.resident_kib(),
            anonymous_kib: process.anonymous_kib(),
            threads: process.threads(),
            descriptors,
            files,
            tasks: gauge("fanfare_tasks") - gauge("fanfare_session_actors"),
            awake: gauge("fanfare_session_actors"),
            rooms: gauge("fanfare_rooms"),
            sockets: gauge("fanfare_sockets"),
            connections: gauge("fanfare_connections_open"),
            ring_bytes: sum(&metrics, "fanfare_ring_and_page_bytes"),
            disk_kib: size(&self.server.data()) / 1024,
            acts,
            deliveries: gauge("fanfare_deliveries_total"),
            server_cpu_s: (process.cpu() - self.server_cpu).as_secs_f64(),
            driver_cpu_s: (Process::own().cpu() - self.driver_cpu).as_secs_f64(),
        }
    }

    /// Waits until it is calm and as it was at `first`, and gives that; after
    /// [`CALM_WITHIN`] whatever there is.
    pub async fn base(&self, round: usize, acts: u64, first: Option<&Sample>) -> Sample {
        let deadline = Instant::now() + CALM_WITHIN;
        let (mut equal, mut last) = (0, None);
        loop {
            let mut look = self.look(round, acts).await;
            look.base = true;
            let counts = Some(look.counts());
            equal = if counts == last { equal + 1 } else { 0 };
            last = counts;
            let as_it_was = match first {
                Some(first) => look.counts() == first.counts(),
                None => equal >= EQUAL_LOOKS,
            };
            if (look.is_calm() && as_it_was) || Instant::now() > deadline {
                return look;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }
}

fn sum(metrics: &HashMap<String, f64>, name: &str) -> f64 {
    let with_labels = metrics.iter().filter(|(full, _)| full.starts_with(name));
    with_labels.map(|(_, value)| value).sum()
}

/// Bytes of all files below a folder; what goes away meanwhile does not count.
fn size(folder: &Path) -> u64 {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return 0;
    };
    let sizes = entries.flatten().map(|entry| match entry.metadata() {
        Ok(found) if found.is_dir() => size(&entry.path()),
        Ok(found) => found.len(),
        Err(_) => 0,
    });
    sizes.sum()
}
