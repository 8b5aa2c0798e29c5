//! File descriptors: every connection is one. The server raises its own soft
//! limit to the hard one when it starts; what lies above needs an operator.

use fanfare_protocol::Limits;
use fanfare_protocol::limits::FILES_BESIDE_CONNECTIONS;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use super::finding::Finding;
use super::kernel::number;
use crate::config::Config;

/// Raises the soft limit to the hard one, and gives the connections that fit,
/// with a warning where that is less than `connections_max`. More would take
/// the descriptors that the store needs. For the start of the server.
pub fn raise(limits: &Limits) -> usize {
    let before = getrlimit(Resource::Nofile);
    if !reaches(before.current, before.maximum) {
        let wanted = Rlimit {
            current: before.maximum,
            maximum: before.maximum,
        };
        match setrlimit(Resource::Nofile, wanted) {
            Ok(()) => tracing::debug!(
                before = shown(before.current),
                now = shown(before.maximum),
                "raised the limit of open files"
            ),
            Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
        }
    }
    let (now, needed) = (getrlimit(Resource::Nofile).current, needed(limits));
    if reaches(now, Some(needed)) {
        return limits.connections_max;
    }
    let connections = fitting(now.unwrap_or_default());
    tracing::warn!(
        open_files_max = shown(now),
        needed,
        connections,
        "limits.connections_max cannot be reached; `fanfare doctor` says what to set"
    );
    connections
}

/// Connections that so many open files leave room for: at least half of them.
fn fitting(open_files: u64) -> usize {
    let beside = FILES_BESIDE_CONNECTIONS.min(open_files / 2);
    usize::try_from(open_files - beside).unwrap_or(usize::MAX)
}

/// Open files that `limits.connections_max` needs.
fn needed(limits: &Limits) -> u64 {
    limits.connections_max as u64 + FILES_BESIDE_CONNECTIONS
}

/// Whether a limit allows `wanted`; none allows everything.
fn reaches(limit: Option<u64>, wanted: Option<u64>) -> bool {
    limit.is_none_or(|limit| wanted.is_some_and(|wanted| limit >= wanted))
}

fn shown(limit: Option<u64>) -> String {
    limit.map_or_else(|| "unlimited".to_owned(), |limit| limit.to_string())
}

pub fn check(config: &Config) -> Vec<Finding> {
    let limit = getrlimit(Resource::Nofile);
    let needed = needed(&config.limits);
    let mut findings = vec![judge_process(limit.current, limit.maximum, needed)];
    if let Some(most) = number("/proc/sys/fs/nr_open") {
        findings.push(judge_system("fs.nr_open", most, needed));
    }
    if let Some(most) = number("/proc/sys/fs/file-max") {
        let used = number("/proc/sys/fs/file-nr").unwrap_or_default();
        findings.push(judge_system(
            "fs.file-max",
            most,
            needed.saturating_add(used),
        ));
    }
    findings
}

fn judge_process(soft: Option<u64>, hard: Option<u64>, needed: u64) -> Finding {
    let measured = format!("soft {}, hard {}", shown(soft), shown(hard));
    let wanted = format!("hard >= {needed} (the server raises soft to hard)");
    let finding = Finding::ok("open files", measured, wanted);
    if reaches(hard, Some(needed)) {
        return finding;
    }
    let fits = hard
        .unwrap_or_default()
        .saturating_sub(FILES_BESIDE_CONNECTIONS);
    finding.fail(format!(
        "LimitNOFILE={needed} in the systemd unit, or `* hard nofile {needed}` in \
         /etc/security/limits.conf, or limits.connections_max = {fits}"
    ))
}

fn judge_system(name: &'static str, most: u64, needed: u64) -> Finding {
    let finding = Finding::ok(name, most.to_string(), format!(">= {needed}"));
    if most >= needed {
        return finding;
    }
    finding.fail(format!("sysctl -w {name}={needed}"))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn the_hard_limit_counts() {
        for (soft, hard, verdict) in [
            (Some(1024), Some(5000), Verdict::Ok),
            (Some(1024), None, Verdict::Ok),
            (None, None, Verdict::Ok),
            (Some(4999), Some(4999), Verdict::Fail),
        ] {
            let finding = judge_process(soft, hard, 5000);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
        }
        let change = judge_process(Some(1), Some(4000), 5000).change.unwrap();
        let fits = 4000 - FILES_BESIDE_CONNECTIONS;
        assert!(change.contains("LimitNOFILE=5000"), "{change}");
        assert!(
            change.ends_with(&format!("connections_max = {fits}")),
            "{change}"
        );
    }

    #[test]
    fn connections_leave_descriptors_to_the_store() {
        for (open_files, connections) in [(0, 0), (300, 150), (2048, 1024), (20_000, 18_976)] {
            assert_eq!(fitting(open_files), connections, "of {open_files}");
        }
    }

    #[test]
    fn the_system_must_allow_as_many() {
        assert_eq!(judge_system("fs.nr_open", 5000, 5000).verdict, Verdict::Ok);
        let finding = judge_system("fs.nr_open", 4999, 5000);
        assert_eq!(finding.change.as_deref(), Some("sysctl -w fs.nr_open=5000"));
        assert_eq!(finding.verdict, Verdict::Fail);
    }
}
