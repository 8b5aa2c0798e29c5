//! Memory: what `connections_max` idle connections, the rings and the permits
//! would take, against what is available and what the control group allows.

use std::path::{Path, PathBuf};

use fanfare_protocol::Limits;
use fanfare_protocol::limits::CONNECTION_IDLE_BYTES;

use super::finding::{Finding, bytes};
use super::kernel::{meminfo, number};
use crate::config::Config;

/// What this process may have, as far as the system says so.
#[derive(Debug, Clone, Copy)]
struct Room {
    /// Without swapping, now, on the whole machine.
    available: u64,
    /// Of this control group and those above it.
    group: Option<u64>,
}

pub fn check(config: &Config) -> Vec<Finding> {
    let text = std::fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let mut findings = Vec::new();
    if let Some(available) = meminfo(&text, "MemAvailable") {
        let group = group_limit();
        findings.push(judge(Room { available, group }, &config.limits));
    }
    if let Some(mode) = number("/proc/sys/vm/overcommit_memory") {
        findings.push(judge_overcommit(mode));
    }
    findings
}

/// Bytes that all connections share.
fn shared(limits: &Limits) -> u64 {
    limits.store_cache_bytes
        + limits.rings_and_pages_bytes_max as u64
        + limits.inbound_permits_node_bytes as u64
}

/// Bytes of `connections_max` idle connections and of what they share.
fn needed(limits: &Limits) -> u64 {
    let connections = limits.connections_max as u64;
    let connections = connections.saturating_mul(CONNECTION_IDLE_BYTES);
    connections.saturating_add(shared(limits))
}

fn judge(room: Room, limits: &Limits) -> Finding {
    let group = room.group.map(bytes);
    let finding = Finding::ok(
        "memory",
        format!(
            "available {}, group limit {}",
            bytes(room.available),
            group.as_deref().unwrap_or("none")
        ),
        format!(
            ">= {}: {} connections of {}, and what they share",
            bytes(needed(limits)),
            limits.connections_max,
            bytes(CONNECTION_IDLE_BYTES)
        ),
    );
    let (needed, most) = (
        needed(limits),
        room.group.unwrap_or(u64::MAX).min(room.available),
    );
    if most >= needed {
        return finding;
    }
    let setting = match most.saturating_sub(shared(limits)) / CONNECTION_IDLE_BYTES {
        0 => "a smaller limits.rings_and_pages_bytes_max".to_owned(),
        fits => format!("limits.connections_max = {fits}"),
    };
    // What other programs hold may be given back; what the group forbids is not.
    match room.group {
        Some(group) if group < needed => finding.fail(format!(
            "MemoryMax={needed} in the systemd unit, or {setting}"
        )),
        _ => finding.warn(format!("free or add memory, or {setting}")),
    }
}

fn judge_overcommit(mode: u64) -> Finding {
    let finding = Finding::ok("vm.overcommit_memory", mode.to_string(), "0 or 1");
    if mode < 2 {
        return finding;
    }
    finding.warn("sysctl -w vm.overcommit_memory=0 (with 2, memory that is only reserved counts)")
}

/// The smallest limit on the way from this process's control group to the
/// root, version 2 or 1.
fn group_limit() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let (base, file, group) = groups(&text)?;
    let inside = Path::new(&base).join(group.trim_start_matches('/'));
    // In a container the path may be the host's, and only the base is there.
    let folders = inside
        .ancestors()
        .take_while(|folder| folder.starts_with(&base));
    let limits = folders.filter_map(|folder| number(folder.join(file)));
    // Version 1 says "none" as the largest number of pages.
    limits.filter(|limit| *limit < i64::MAX as u64 / 2).min()
}

/// Where the limit of memory stands: base, file, the group's path.
fn groups(text: &str) -> Option<(PathBuf, &'static str, &str)> {
    let mut v2 = None;
    for line in text.lines() {
        let mut parts = line.splitn(3, ':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        if controllers.split(',').any(|name| name == "memory") {
            let base = PathBuf::from("/sys/fs/cgroup/memory");
            return Some((base, "memory.limit_in_bytes", path));
        }
        if number == "0" {
            v2 = Some((PathBuf::from("/sys/fs/cgroup"), "memory.max", path));
        }
    }
    v2
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn the_group_forbids_and_others_only_hold() {
        let limits = Limits::default();
        let needed = needed(&limits);
        for (available, group, verdict) in [
            (needed, None, Verdict::Ok),
            (needed, Some(needed), Verdict::Ok),
            (needed - 1, None, Verdict::Warn),
            (needed - 1, Some(needed), Verdict::Warn),
            (2 * needed, Some(needed - 1), Verdict::Fail),
        ] {
            let finding = judge(Room { available, group }, &limits);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
        }
        let room = Room {
            available: needed - 10 * CONNECTION_IDLE_BYTES,
            group: None,
        };
        let change = judge(room, &limits).change.unwrap();
        let fits = limits.connections_max - 10;
        assert!(
            change.ends_with(&format!("connections_max = {fits}")),
            "{change}"
        );
        let nothing = Room {
            available: 0,
            group: None,
        };
        let change = judge(nothing, &limits).change.unwrap();
        assert!(change.ends_with("rings_and_pages_bytes_max"), "{change}");
        assert_eq!(judge_overcommit(1).verdict, Verdict::Ok);
        assert_eq!(judge_overcommit(2).verdict, Verdict::Warn);
    }

    #[test]
    fn groups_of_both_versions_are_found() {
        let v1 = groups("4:memory:/a/b\n1:cpu:/\n0::/\n").unwrap();
        assert_eq!((v1.1, v1.2), ("memory.limit_in_bytes", "/a/b"));
        let v2 = groups("0::/system.slice/fanfare.service\n").unwrap();
        assert_eq!(
            (v2.1, v2.2),
            ("memory.max", "/system.slice/fanfare.service")
        );
        assert!(groups("").is_none());
    }
}
