//! The address to listen on: free, held by the server of these data (which is
//! well), or by somebody else. And the ports that clients on one machine have.

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpListener};
use std::ops::RangeInclusive;
use std::path::Path;

use super::finding::Finding;
use super::kernel::numbers;
use crate::config::Config;

/// Who listens on an address.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    pid: u32,
    name: String,
    /// It has the lock file of these data open.
    serves_data: bool,
}

pub fn check(config: &Config) -> Vec<Finding> {
    let listen = config.listen;
    let tried = TcpListener::bind(listen).map(drop);
    let holder = match &tried {
        Err(error) if error.kind() == ErrorKind::AddrInUse => holder(listen, &config.data),
        _ => None,
    };
    let mut findings = vec![judge_address(listen, tried.map_err(|e| e.kind()), holder)];
    if let [low, high] = *numbers("/proc/sys/net/ipv4/ip_local_port_range") {
        let wanted = config.limits.connections_per_address_max as u64;
        findings.push(judge_clients(low..=high, wanted));
        findings.extend(judge_overlap(low..=high, listen.port()));
    }
    findings
}

fn judge_address(
    listen: SocketAddr,
    tried: Result<(), ErrorKind>,
    holder: Option<Holder>,
) -> Finding {
    let found = |measured: String| Finding::ok("listen address", measured, "free, or ours");
    let elsewhere = "another address with --listen";
    match (tried, holder) {
        (Ok(()), _) => found(format!("{listen} is free")),
        (Err(ErrorKind::AddrInUse), Some(holder)) => {
            let Holder { pid, name, .. } = &holder;
            let held = format!("{listen} is held by {name} (pid {pid})");
            if holder.serves_data {
                return found(format!("{held}, which serves these data"));
            }
            found(held).fail(format!("stop it (kill {pid}), or choose {elsewhere}"))
        }
        (Err(ErrorKind::AddrInUse), None) => found(format!("{listen} is held by somebody")).fail(
            format!("`ss -ltnp` as root says by whom; stop it, or choose {elsewhere}"),
        ),
        (Err(ErrorKind::PermissionDenied), _) => found(format!("{listen} is not permitted")).fail(
            format!("AmbientCapabilities=CAP_NET_BIND_SERVICE in the systemd unit, or {elsewhere}"),
        ),
        (Err(kind), _) => found(format!("{listen}: {kind}")).fail(format!(
            "choose an address that `ip address` shows, with --listen, not {listen}"
        )),
    }
}

/// Each connection of one client machine to us takes one of these.
fn judge_clients(range: RangeInclusive<u64>, wanted: u64) -> Finding {
    let count = range.end().saturating_sub(*range.start()) + 1;
    let finding = Finding::ok(
        "ip_local_port_range",
        format!("{} to {}: {count} ports", range.start(), range.end()),
        format!(">= {wanted} for a load generator here (limits.connections_per_address_max)"),
    );
    if count >= wanted {
        return finding;
    }
    finding.warn(
        "sysctl -w net.ipv4.ip_local_port_range=\"1024 65535\", or generate load from several \
         addresses",
    )
}

/// A client of this machine may be given our port while we are away.
fn judge_overlap(range: RangeInclusive<u64>, port: u16) -> Option<Finding> {
    if port == 0 || !range.contains(&u64::from(port)) {
        return None;
    }
    let finding = Finding::ok(
        "listen port",
        format!("{port} lies in the range that clients are given ports from"),
        "outside of it, so that none takes it during a restart",
    );
    Some(finding.warn(format!("sysctl -w net.ipv4.ip_local_reserved_ports={port}")))
}

/// The process that listens there, as far as `/proc` shows it to us.
fn holder(listen: SocketAddr, data: &Path) -> Option<Holder> {
    let sockets = ["/proc/net/tcp", "/proc/net/tcp6"].map(std::fs::read_to_string);
    let inodes: Vec<String> = sockets
        .iter()
        .flatten()
        .flat_map(|text| listeners(text, listen.port()))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    let lock = data.join("lock").canonicalize().ok();
    let mut found = None;
    for process in std::fs::read_dir("/proc").ok()?.flatten() {
        let Some(pid) = process.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let files = std::fs::read_dir(process.path().join("fd"));
        let files = files.into_iter().flatten().flatten();
        let open: Vec<_> = files
            .filter_map(|file| file.path().read_link().ok())
            .collect();
        let listens =
            |link: &std::path::PathBuf| inodes.iter().any(|inode| link == Path::new(inode));
        if !open.iter().any(listens) {
            continue;
        }
        let name = std::fs::read_to_string(process.path().join("comm")).unwrap_or_default();
        let holder = Holder {
            pid,
            name: name.trim().to_owned(),
            serves_data: lock.is_some() && open.iter().any(|link| Some(link) == lock.as_ref()),
        };
        // Other listeners may have the same port on other addresses.
        if holder.serves_data {
            return Some(holder);
        }
        found.get_or_insert(holder);
    }
    found
}

/// Inodes of the sockets that listen on `port`, from the text of
/// `/proc/net/tcp`: address:port in the second column, the state (0A listens)
/// in the fourth, the inode in the tenth.
fn listeners(text: &str, port: u16) -> Vec<&str> {
    let end = format!(":{port:04X}");
    let rows = text.lines().skip(1).filter_map(|line| {
        let mut columns = line.split_whitespace().skip(1);
        let (address, state) = (columns.next()?, columns.nth(1)?);
        let inode = columns.nth(5)?;
        (address.ends_with(&end) && state == "0A").then_some(inode)
    });
    rows.collect()
}

#[cfg(test)]
mod tests {
    use super::super::finding::Verdict;
    use super::*;

    fn holder(serves_data: bool) -> Option<Holder> {
        Some(Holder {
            pid: 77,
            name: "nginx".into(),
            serves_data,
        })
    }

    #[test]
    fn an_address_is_free_or_ours_or_taken() {
        for (tried, holder, verdict, said) in [
            (Ok(()), None, Verdict::Ok, "is free"),
            (
                Err(ErrorKind::AddrInUse),
                holder(true),
                Verdict::Ok,
                "serves these data",
            ),
            (
                Err(ErrorKind::AddrInUse),
                holder(false),
                Verdict::Fail,
                "nginx (pid 77)",
            ),
            (
                Err(ErrorKind::AddrInUse),
                None,
                Verdict::Fail,
                "by somebody",
            ),
            (
                Err(ErrorKind::PermissionDenied),
                None,
                Verdict::Fail,
                "not permitted",
            ),
            (
                Err(ErrorKind::AddrNotAvailable),
                None,
                Verdict::Fail,
                "not available",
            ),
        ] {
            let listen = SocketAddr::from(([10, 0, 0, 1], 80));
            let finding = judge_address(listen, tried, holder);
            assert_eq!(finding.verdict, verdict, "{finding:?}");
            assert!(finding.measured.contains(said), "{finding:?}");
        }
    }

    #[test]
    fn clients_have_ports_enough_or_not() {
        assert_eq!(judge_clients(32_768..=60_999, 28_232).verdict, Verdict::Ok);
        assert_eq!(
            judge_clients(32_768..=60_999, 28_233).verdict,
            Verdict::Warn
        );
        assert!(judge_overlap(32_768..=60_999, 8080).is_none());
        assert!(judge_overlap(1024..=65_535, 0).is_none());
        let finding = judge_overlap(1024..=65_535, 8080).unwrap();
        assert!(finding.change.unwrap().ends_with("reserved_ports=8080"));
    }

    #[test]
    fn listening_sockets_are_found_by_port_and_state() {
        let text = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt\n\
            0: 0100007F:1F90 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 1111 1\n\
            1: 0100007F:1F90 0100007F:A2FB 01 00000000:00000000 00:00000000 00000000 0 0 2222 1\n\
            2: 0100007F:1F91 00000000:0000 0A 00000000:00000000 00:00000000 00000000 0 0 3333 1\n";
        assert_eq!(listeners(text, 8080), ["1111"]);
        assert!(listeners(text, 80).is_empty());
    }
}
