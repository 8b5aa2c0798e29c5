//! A run on a server that is ready: what all scenarios have in common.

use std::collections::HashSet;
use std::net::SocketAddr;

use crate::args::{Load, Server, Target};
use crate::dialect::Dialect;
use crate::dialect::centrifugo::Centrifugo;
use crate::dialect::events::Events;
use crate::dialect::fanfare::Fanfare;
use crate::dialect::nats::Nats;
use crate::dialect::plain::Plain;
use crate::dialect::socketio::SocketIo;
use crate::engine::{Fleet, Generator, Times};
use crate::measure::{Family, Machine, Process, Usage};
use crate::row::{Row, Spread};
use crate::stage::{Cast, Stage};

/// One way to measure.
pub trait Scenario {
    /// Its name in tables.
    fn name(&self) -> &'static str;
    /// Who is needed.
    fn cast(&self) -> Cast;
    /// Numbers of connections that are never read once ready.
    fn slow(&self) -> HashSet<u32> {
        HashSet::new()
    }
    /// Plays it; `row` gets what was measured.
    fn run<D>(&self, play: &mut Play<D>, row: &mut Row) -> anyhow::Result<()>
    where
        D: Dialect + Send + Sync,
        D::Link: Send;
}

/// Seconds for everybody to become ready.
const CONNECT_S: u64 = 300;

/// A fleet in front of a server.
pub struct Play<D: Dialect> {
    /// The generators.
    pub fleet: Fleet<D>,
    /// The server's processes, if they are known.
    pub process: Option<Family>,
    /// Connections there are to make.
    pub connections: usize,
    /// Where the server tells what it counts.
    pub metrics: Option<SocketAddr>,
    /// How it is made and told.
    pub load: Load,
}

/// What happened between two readings.
#[derive(Debug, Clone, Copy, Default)]
pub struct Window {
    /// How long, in seconds.
    pub seconds: f64,
    /// Messages sent.
    pub sent: u64,
    /// First receptions.
    pub deliveries: u64,
    /// Frames that were no deliveries.
    pub others: u64,
    /// Bytes received.
    pub bytes: u64,
    /// What the server used.
    pub usage: Option<Usage>,
    /// Cores the generator used.
    pub generator_cores: f64,
}

/// Sets the stage, plays, checks.
///
/// # Errors
/// A sentence for people; wrong deliveries are none, they stand in the row.
pub fn play<S: Scenario>(scenario: &S, target: &Target, load: &Load) -> anyhow::Result<Row> {
    let stage = Stage::set(target, load, scenario.cast())?;
    let room_ids = stage.room_ids.clone();
    let mut row = match target.server {
        Server::Fanfare => {
            let dialect = Fanfare::new(room_ids, run_name(), load.replies)?;
            on_stage(scenario, &stage, dialect, load)
        }
        Server::FanfareEvents => {
            let plan = &stage.plan;
            let publisher = |number: &u32| plan.members.get(*number as usize);
            let publishers = plan.publishers.iter().filter_map(publisher);
            let dialect = Events {
                fanfare: Fanfare::new(room_ids, run_name(), load.replies)?,
                publishers: publishers.map(|member| member.token.clone()).collect(),
            };
            on_stage(scenario, &stage, dialect, load)
        }
        Server::Plain
        | Server::Limit
        | Server::LimitCoalesce
        | Server::Ws
        | Server::WsCoalescing => on_stage(scenario, &stage, Plain, load),
        Server::Socketio | Server::SocketioPg => {
            let acknowledged = target.server == Server::SocketioPg;
            on_stage(scenario, &stage, SocketIo { acknowledged }, load)
        }
        Server::Nats => on_stage(scenario, &stage, Nats, load),
        Server::Centrifugo | Server::CentrifugoHistory => {
            let history = target.server == Server::CentrifugoHistory;
            on_stage(scenario, &stage, Centrifugo { history }, load)
        }
    }?;
    row.server = name(target.server);
    row.version = stage.version;
    Ok(row)
}

/// As it stands on the command line.
pub fn name(server: Server) -> String {
    clap::ValueEnum::to_possible_value(&server).map_or_else(String::new, |v| v.get_name().into())
}

fn on_stage<S, D>(scenario: &S, stage: &Stage, dialect: D, load: &Load) -> anyhow::Result<Row>
where
    S: Scenario,
    D: Dialect + Send + Sync,
    D::Link: Send,
{
    let plan = stage.plan.clone();
    let mut play = Play {
        connections: plan.members.len(),
        fleet: Fleet::new(dialect, plan, scenario.slow(), load.threads, load.late_ms)?,
        process: stage.process.clone(),
        metrics: stage.metrics,
        load: load.clone(),
    };
    let mut row = Row {
        scenario: scenario.name().into(),
        machine: Machine::here(),
        at: std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .map_or(0, |since| since.as_secs()),
        ..Row::default()
    };
    scenario.run(&mut play, &mut row)?;
    play.note("waiting for what is under way");
    if !play.fleet.drain()? {
        play.note("not everything arrived");
    }
    row.connections = play.fleet.ready();
    let tally = play.fleet.finish();
    row.refused = tally.refused;
    if !tally.refusal.is_empty() {
        row.refusal = tally.refusal;
    }
    row.faults = tally.findings.faults;
    Ok(row)
}

fn run_name() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    format!("{:x}", since.map_or(0, |since| since.as_nanos()))
}

impl<D> Play<D>
where
    D: Dialect + Send + Sync,
    D::Link: Send,
{
    /// One line for whoever watches.
    pub fn note(&self, what: &str) {
        if !self.load.quiet {
            eprintln!("{:7.1} s  {what}", self.fleet.clock.now_ns() as f64 / 1e9);
        }
    }

    /// Connects everybody, 256 under way at a time.
    pub fn connect_all(&mut self) -> anyhow::Result<()> {
        self.connect(0..self.connections as u32)
    }

    /// Connects these, 256 under way at a time.
    pub fn connect(&mut self, numbers: std::ops::Range<u32>) -> anyhow::Result<()> {
        self.note(&format!("connecting {}", numbers.len()));
        self.fleet.enqueue(numbers, 256);
        self.fleet.connect(CONNECT_S)
    }

    /// Sends `per_s` messages in the first `rooms` rooms together, and reads
    /// before and after.
    pub fn window(&mut self, rooms: usize, per_s: f64, seconds: f64) -> anyhow::Result<Window> {
        self.window_until(rooms, per_s, seconds, |_| false)
    }

    /// As [`Play::window`], ending before when every generator is `done`.
    pub fn window_until(
        &mut self,
        rooms: usize,
        per_s: f64,
        seconds: f64,
        done: impl Fn(&Generator<D>) -> bool + Sync,
    ) -> anyhow::Result<Window> {
        let before = self.reading();
        self.fleet.reset_times();
        (self.fleet).run_until(rooms, per_s, (seconds * 1e9) as u64, done)?;
        let after = self.reading();
        let seconds = after.seconds - before.seconds;
        Ok(Window {
            seconds,
            sent: after.sent - before.sent,
            deliveries: after.deliveries - before.deliveries,
            others: after.others - before.others,
            bytes: after.bytes - before.bytes,
            usage: after
                .usage
                .zip(before.usage)
                .map(|(after, before)| after.since(&before)),
            generator_cores: (after.generator_cores - before.generator_cores) / seconds,
        })
    }

    /// Puts a window's figures and its times into the row.
    pub fn tell(&self, window: &Window, times: &Times, row: &mut Row) {
        row.seconds = window.seconds;
        row.sent = window.sent;
        row.deliveries = window.deliveries;
        row.other_frames = window.others;
        row.received_bytes = window.bytes;
        row.usage = window.usage;
        row.generator_cores = window.generator_cores;
        row.latency_us = Spread::from(&times.latency);
        row.send_lag_us = Spread::from(&times.send_lag);
        row.read_lag_us = Spread::from(&times.read_lag);
        row.invalid = crate::validity::reasons(window, row, self.load.threads);
    }

    /// Everything counted so far; `generator_cores` are CPU seconds here.
    fn reading(&self) -> Window {
        Window {
            seconds: self.fleet.clock.now_ns() as f64 / 1e9,
            sent: self.fleet.sum(|one| one.tally.sent),
            deliveries: self.fleet.received(),
            others: self.fleet.sum(|one| one.tally.others),
            bytes: self.fleet.sum(|one| one.tally.bytes),
            usage: self.process.as_ref().map(Family::usage),
            generator_cores: Process::own().usage().cpu_s(),
        }
    }
}
