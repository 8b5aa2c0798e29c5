//! The listen backlog: connections that the kernel holds until they are
//! accepted. It cuts what we ask for down to `net.core.somaxconn`, silently.

use super::finding::Finding;
use super::kernel::number;
use crate::config::Config;

pub fn check(config: &Config) -> Vec<Finding> {
    let wanted = u64::from(config.limits.accept_backlog);
    let mut findings = Vec::new();
    if let Some(most) = number("/proc/sys/net/core/somaxconn") {
        findings.push(judge_accept(most, wanted));
    }
    if let Some(most) = number("/proc/sys/net/ipv4/tcp_max_syn_backlog") {
        let cookies = number("/proc/sys/net/ipv4/tcp_syncookies");
        findings.push(judge_syn(most, cookies.unwrap_or_default() > 0, wanted));
    }
    findings
}

fn judge_accept(most: u64, wanted: u64) -> Finding {
    let text = format!(">= {wanted} (limits.accept_backlog)");
    let finding = Finding::ok("net.core.somaxconn", most.to_string(), text);
    if most >= wanted {
        return finding;
    }
    finding.fail(format!(
        "sysctl -w net.core.somaxconn={wanted}, or limits.accept_backlog = {most}"
    ))
}

fn judge_syn(most: u64, cookies: bool, wanted: u64) -> Finding {
    let cookies_are = if cookies { "on" } else { "off" };
    let finding = Finding::ok(
        "tcp_max_syn_backlog",
        format!("{most}, syncookies {cookies_are}"),
        format!(">= {wanted}, or syncookies on"),
    );
    if most >= wanted || cookies {
        return finding;
    }
    finding.warn(format!(
        "sysctl -w net.ipv4.tcp_syncookies=1, or sysctl -w net.ipv4.tcp_max_syn_backlog={wanted}"
    ))
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    #[test]
    fn what_the_kernel_cuts_off_fails() {
        for (most, verdict) in [
            (128, Verdict::Fail),
            (4095, Verdict::Fail),
            (4096, Verdict::Ok),
        ] {
            assert_eq!(judge_accept(most, 4096).verdict, verdict, "{most}");
        }
        let change = judge_accept(128, 4096).change.unwrap();
        assert!(
            change.starts_with("sysctl -w net.core.somaxconn=4096"),
            "{change}"
        );
    }

    #[test]
    fn few_half_open_connections_are_enough_with_cookies() {
        for (most, cookies, verdict) in [
            (4096, false, Verdict::Ok),
            (128, true, Verdict::Ok),
            (128, false, Verdict::Warn),
        ] {
            assert_eq!(judge_syn(most, cookies, 4096).verdict, verdict, "{most}");
        }
    }
}
