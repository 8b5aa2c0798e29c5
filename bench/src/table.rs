//! One result for people.

use std::fmt::Write as _;

use crate::row::{Row, Spread};

/// The whole result as lines.
pub fn text(row: &Row) -> String {
    let mut lines: Vec<(String, String)> = vec![
        ("server".into(), format!("{} {}", row.server, row.version)),
        ("size".into(), row.size.clone()),
        ("connections".into(), row.connections.to_string()),
    ];
    let mut line = |name: &str, value: String| lines.push((name.into(), value));
    if row.seconds > 0.0 {
        line("measured", format!("{:.1} s", row.seconds));
        line(
            "sent",
            format!(
                "{} messages, {} refused {}",
                row.sent, row.refused, row.refusal
            ),
        );
        line(
            "deliveries",
            format!("{} ({:.0}/s)", row.deliveries, row.deliveries_per_s()),
        );
        line(
            "bytes per delivery",
            format!(
                "{:.0}",
                row.received_bytes as f64 / row.deliveries.max(1) as f64
            ),
        );
        line("other frames", row.other_frames.to_string());
        line("latency", spread(&row.latency_us));
        line("generator sent late", spread(&row.send_lag_us));
        line("generator read late", spread(&row.read_lag_us));
        line("generator CPU", format!("{:.2} cores", row.generator_cores));
    }
    if let Some(usage) = &row.usage {
        line(
            "server CPU",
            format!(
                "{:.2} cores ({:.2} s user, {:.2} s system, {:.2} s children; file system's threads {:.2} s)",
                usage.cpu_s() / row.seconds.max(1e-9),
                usage.user_s,
                usage.system_s,
                usage.children_s,
                usage.kernel_threads_s,
            ),
        );
        line(
            "server memory",
            format!("{:.0} KiB resident", usage.rss_kib),
        );
        line(
            "server writes",
            format!("{} calls, {} bytes", usage.write_calls, usage.write_bytes),
        );
    }
    if let Some(usage) = &row.usage
        && row.deliveries > 0
    {
        let each = usage.sleeps as f64 / row.deliveries as f64;
        let sleeps = format!(
            "{} ({each:.3} per delivery), preempted {}",
            usage.sleeps, usage.preemptions
        );
        line("server's threads slept", sleeps);
    }
    if let Some(us) = row.cpu_us_per_delivery() {
        line("CPU per delivery", format!("{us:.2} µs"));
    }
    for (name, value) in &row.figures {
        line(&name.replace('_', " "), format!("{value:.3}"));
    }
    for (fault, seen) in &row.faults {
        line(
            "FAULT",
            format!("{fault:?} {}: {}", seen.count, seen.example),
        );
    }
    for reason in &row.invalid {
        line("INVALID", reason.clone());
    }
    let mut text = format!("{}\n", row.scenario);
    for (name, value) in lines {
        let _ = writeln!(text, "  {name:<22} {value}");
    }
    text
}

fn spread(spread: &Spread) -> String {
    let Spread {
        p50,
        p90,
        p99,
        p999,
        max,
    } = spread;
    format!("p50 {p50:.0}  p90 {p90:.0}  p99 {p99:.0}  p99.9 {p999:.0}  max {max:.0} µs")
}
