//! What the kernel lends to TCP connections. Delay, keepalive, the mark of
//! unsent bytes and the time without acknowledgement are not looked at: the
//! server sets them for each socket.

use super::finding::{Finding, bytes};
use super::kernel::{number, numbers};
use crate::config::Config;
use fanfare_protocol::limits::{TCP_BUFFER_DEFAULT_BYTES_MAX, TCP_BUFFER_DEFAULT_BYTES_MIN};

/// The kernel counts in these.
const PAGE_BYTES: u64 = 4096;

pub fn check(config: &Config) -> Vec<Finding> {
    let connections = config.limits.connections_max as u64;
    let mut findings = Vec::new();
    for (name, path) in [
        ("tcp_rmem", "/proc/sys/net/ipv4/tcp_rmem"),
        ("tcp_wmem", "/proc/sys/net/ipv4/tcp_wmem"),
    ] {
        if let [low, first, high] = *numbers(path) {
            findings.push(judge_buffer(name, [low, first, high]));
        }
    }
    if let [_, _, high] = *numbers("/proc/sys/net/ipv4/tcp_mem") {
        findings.push(judge_all_buffers(
            high.saturating_mul(PAGE_BYTES),
            connections,
        ));
    }
    // Only where connections are tracked at all.
    if let Some(most) = number("/proc/sys/net/netfilter/nf_conntrack_max") {
        findings.push(judge_tracking(most, connections));
    }
    findings
}

/// Least, first and most bytes of one connection's buffer in one direction.
fn judge_buffer(name: &'static str, [low, first, high]: [u64; 3]) -> Finding {
    let (least, most) = (TCP_BUFFER_DEFAULT_BYTES_MIN, TCP_BUFFER_DEFAULT_BYTES_MAX);
    let finding = Finding::ok(
        name,
        format!("{low} {first} {high}"),
        format!("the second from {least} to {most}"),
    );
    let fitting = first.clamp(least, most);
    if first == fitting {
        return finding;
    }
    let high = high.max(fitting);
    finding.warn(format!(
        "sysctl -w net.ipv4.{name}=\"{low} {fitting} {high}\""
    ))
}

/// All connections together: one page each way for each, or the kernel
/// presses them all.
fn judge_all_buffers(most: u64, connections: u64) -> Finding {
    let needed = connections.saturating_mul(2 * PAGE_BYTES);
    let finding = Finding::ok(
        "tcp_mem",
        bytes(most),
        format!(">= {}: a page each way for each connection", bytes(needed)),
    );
    if most >= needed {
        return finding;
    }
    let pages = needed.div_ceil(PAGE_BYTES);
    let (low, pressure) = (pages / 2, pages / 4 * 3);
    finding.warn(format!(
        "sysctl -w net.ipv4.tcp_mem=\"{low} {pressure} {pages}\""
    ))
}

fn judge_tracking(most: u64, connections: u64) -> Finding {
    let finding = Finding::ok(
        "nf_conntrack_max",
        most.to_string(),
        format!("> {connections}, if a firewall tracks them"),
    );
    if most > connections {
        return finding;
    }
    let enough = connections.saturating_mul(2);
    finding.warn(format!("sysctl -w net.netfilter.nf_conntrack_max={enough}"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn first_buffers_are_neither_tiny_nor_huge() {
        for (sizes, change) in [
            ([4096, 16_384, 4 << 20], None),
            ([4096, 131_072, 32 << 20], None),
            ([4096, 4096, 8192], Some("\"4096 16384 16384\"")),
            ([4096, 4 << 20, 4 << 20], Some("\"4096 1048576 4194304\"")),
        ] {
            let finding = judge_buffer("tcp_wmem", sizes);
            match (finding.change, change) {
                (None, None) => {}
                (Some(said), Some(change)) => assert!(said.ends_with(change), "{said}"),
                other => panic!("{sizes:?}: {other:?}"),
            }
        }
    }

    #[test]
    fn all_connections_must_fit() {
        assert_eq!(judge_all_buffers(8192 * 1000, 1000).verdict, Verdict::Ok);
        let finding = judge_all_buffers(8192 * 1000 - 1, 1000);
        assert!(finding.change.unwrap().ends_with("\"1000 1500 2000\""));
        assert_eq!(judge_tracking(1001, 1000).verdict, Verdict::Ok);
        let finding = judge_tracking(1000, 1000);
        assert!(finding.change.unwrap().ends_with("nf_conntrack_max=2000"));
    }
}
