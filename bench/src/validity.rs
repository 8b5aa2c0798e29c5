//! When a result may not be used: the generator, not the server, decided it.

use crate::row::Row;
use crate::scenario::Window;

/// A generator's thread above this has no room left: what it reads late
/// looks like the server's latency.
const BUSY_CORES: f64 = 0.9;
/// A server above this has used up its core: then a busy generator may well
/// be the faster of the two.
const SERVER_BUSY_CORES: f64 = 0.97;
/// The generator may send this late, or a tenth of the median latency.
const SEND_LAG_US: f64 = 1000.0;

/// Why the generator was the bottleneck; empty if it was not.
pub fn reasons(window: &Window, row: &Row, threads: usize) -> Vec<String> {
    let mut reasons = Vec::new();
    let busy = window.generator_cores / threads as f64;
    let server = window
        .usage
        .map_or(0.0, |usage| usage.cpu_s() / window.seconds);
    if busy > BUSY_CORES && server < SERVER_BUSY_CORES {
        reasons.push(format!(
            "the generator used {:.0} % of its cores, the server {:.0} % of one",
            busy * 100.0,
            server * 100.0
        ));
    }
    let allowed = SEND_LAG_US.max(row.latency_us.p50 / 10.0);
    if row.send_lag_us.p99 > allowed {
        reasons.push(format!(
            "the generator sent late: 99 of 100 within {:.1} ms only",
            row.send_lag_us.p99 / 1000.0
        ));
    }
    reasons
}
