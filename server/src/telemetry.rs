//! Logs to stderr, metrics for `/metrics`.

use std::io::{IsTerminal as _, stderr};
use std::time::Duration;

use fanfare_protocol::limits::METRICS_FOLD_MS;
use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tokio::runtime::{Handle, RuntimeMetrics};
use tokio::time::MissedTickBehavior;
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use crate::config::{Log, LogFormat};

/// What a level like `info` or `info,fanfare_actors=debug` lets through.
///
/// # Errors
/// A sentence when it is no such text.
pub fn filter(level: &str) -> Result<EnvFilter, String> {
    // A bare word that is no level would be taken as a module's name.
    let mut bare = level.split(',').filter(|part| !part.contains('='));
    if let Some(part) = bare.find(|part| part.trim().parse::<LevelFilter>().is_err()) {
        return Err(format!(
            "`{part}` is none of error, warn, info, debug, trace, off"
        ));
    }
    EnvFilter::builder()
        .parse(level)
        .map_err(|error| error.to_string())
}

/// Starts logging. Once per process; later calls change nothing.
///
/// # Errors
/// When the level cannot be read.
pub fn log(log: &Log) -> Result<(), String> {
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter(&log.level)?)
        .with_ansi(stderr().is_terminal())
        // A line that cannot be written is lost. Saying so on the same
        // stderr panics: a full disk under the log would end the server.
        .log_internal_errors(false)
        .with_writer(stderr);
    // Err: somebody logs already.
    match log.format {
        LogFormat::Human => lines.try_init().ok(),
        LogFormat::Json => lines.json().flatten_event(true).try_init().ok(),
    };
    Ok(())
}

/// Upper bounds of the buckets of histograms in seconds: a cached read takes some
/// microseconds, a sync on a busy disk a second.
const SECONDS: [f64; 15] = [
    0.000_01, 0.000_025, 0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.0025, 0.005, 0.01, 0.025,
    0.1, 0.5, 2.0, 10.0,
];
/// The same of histograms that count.
const COUNTS: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 256.0, 1024.0, 8192.0];

/// What was counted, as Prometheus reads it.
#[derive(Clone)]
pub struct Metrics {
    counted: PrometheusHandle,
    runtime: RuntimeMetrics,
}

impl Metrics {
    /// Starts counting. Only within a runtime, whose tasks count too.
    ///
    /// # Errors
    /// When somebody counts already.
    pub fn install() -> Result<Self, BuildError> {
        // Buckets: their memory does not grow, and what several nodes counted can be
        // added up. Summaries, which come without them, can do neither.
        let counted = PrometheusBuilder::new()
            .set_buckets(&COUNTS)?
            .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), &SECONDS)?
            .install_recorder()?;
        let runtime = Handle::current().metrics();
        Ok(Self { counted, runtime })
    }

    /// Everything counted, in the text form that Prometheus reads.
    pub fn render(&self) -> String {
        metrics::gauge!("fanfare_tasks").set(self.runtime.num_alive_tasks() as f64);
        self.counted.render()
    }

    /// Folds what histograms gathered, from time to time, for ever: without
    /// it they grow where nobody asks for the text.
    pub async fn fold(self) {
        let mut ticks = tokio::time::interval(Duration::from_millis(METRICS_FOLD_MS));
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.counted.run_upkeep();
        }
    }
}
