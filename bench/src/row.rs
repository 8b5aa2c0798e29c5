//! One result: what stands in a JSON line and in the tables.

use std::collections::BTreeMap;

use hdrhistogram::Histogram;

use crate::check::{Fault, Seen};
use crate::measure::{Machine, Usage};

/// One measurement of one scenario on one server.
#[derive(Debug, Clone, Default, serde::Serialize, serde::Deserialize)]
#[serde(default)]
pub struct Row {
    /// Name of the scenario.
    pub scenario: String,
    /// Name of the server.
    pub server: String,
    /// Its version, where it is a peer that was started for the run.
    pub version: String,
    /// Size of the scenario, like `1 x 1000 at 20/s`.
    pub size: String,
    /// Why the figures must not be used; empty if they may.
    pub invalid: Vec<String>,
    /// Seconds that were measured.
    pub seconds: f64,
    /// Connections that were ready.
    pub connections: usize,
    /// Messages sent while measuring.
    pub sent: u64,
    /// First receptions while measuring.
    pub deliveries: u64,
    /// Messages the server refused, of the whole run.
    pub refused: u64,
    /// The first refusal.
    pub refusal: String,
    /// Frames that were no deliveries while measuring.
    pub other_frames: u64,
    /// Bytes received while measuring.
    pub received_bytes: u64,
    /// Delivery latency from the intended send time.
    pub latency_us: Spread,
    /// How late the generator sent.
    pub send_lag_us: Spread,
    /// How late the generator read, at most.
    pub read_lag_us: Spread,
    /// Cores the generator used.
    pub generator_cores: f64,
    /// What the server used while measuring.
    pub usage: Option<Usage>,
    /// Figures of single scenarios, by name with unit.
    pub figures: BTreeMap<String, f64>,
    /// Steps of a search, in order.
    pub steps: Vec<Step>,
    /// What was wrong with deliveries, of the whole run.
    pub faults: BTreeMap<Fault, Seen>,
    /// Where it was measured.
    pub machine: Machine,
    /// When, in seconds since 1970.
    pub at: u64,
}

/// One rate that was tried.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Step {
    /// Deliveries per second that would keep the pace.
    pub offered_per_s: f64,
    /// Those that came within the step.
    pub deliveries_per_s: f64,
    /// Half of them took no longer.
    pub p50_us: f64,
    /// 99 of 100 took no longer.
    pub p99_us: f64,
    /// Messages refused.
    pub refused: u64,
    /// Cores the server used.
    pub server_cores: f64,
    /// Cores the generator used.
    pub generator_cores: f64,
    /// Whether the pace was kept.
    pub paced: bool,
}

/// How a time was spread, µs.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Spread {
    /// Half were below.
    pub p50: f64,
    /// 90 of 100 were below.
    pub p90: f64,
    /// 99 of 100 were below.
    pub p99: f64,
    /// 999 of 1000 were below.
    pub p999: f64,
    /// The longest.
    pub max: f64,
}

impl From<&Histogram<u64>> for Spread {
    fn from(ns: &Histogram<u64>) -> Self {
        if ns.is_empty() {
            return Self::default();
        }
        let us = |quantile| ns.value_at_quantile(quantile) as f64 / 1000.0;
        Self {
            p50: us(0.5),
            p90: us(0.9),
            p99: us(0.99),
            p999: us(0.999),
            max: ns.max() as f64 / 1000.0,
        }
    }
}

impl Row {
    /// CPU of the server for one delivery, µs.
    pub fn cpu_us_per_delivery(&self) -> Option<f64> {
        let usage = self.usage.as_ref()?;
        (self.deliveries > 0).then(|| usage.cpu_s() * 1e6 / self.deliveries as f64)
    }

    /// Deliveries in a second.
    pub fn deliveries_per_s(&self) -> f64 {
        self.deliveries as f64 / self.seconds.max(1e-9)
    }
}
