//! The machine a figure comes from.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// What stands beside every result.
#[derive(Debug, Clone, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Machine {
    /// Model of the CPU.
    pub cpu: String,
    /// Cores this process may see.
    pub cores: usize,
    /// Release of the kernel.
    pub kernel: String,
    /// Commit of the working tree, with `+` if it was changed; empty when unknown.
    pub commit: String,
}

impl Machine {
    /// This one, now.
    pub fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let cpu = (cpuinfo.lines())
            .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
            .map_or("unknown", |(_, model)| model.trim());
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        Self {
            cpu: cpu.to_owned(),
            cores: cpuinfo
                .lines()
                .filter(|line| line.starts_with("processor"))
                .count(),
            kernel: kernel.trim().to_owned(),
            commit: commit().unwrap_or_default(),
        }
    }
}

fn commit() -> Option<String> {
    let git = |args: &[&str]| {
        let output = std::process::Command::new("git").args(args).output().ok()?;
        output
            .status
            .success()
            .then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    let commit = git(&["rev-parse", "--short=10", "HEAD"])?;
    // Results and pages change while a table is being measured.
    let status = [
        "status",
        "--porcelain",
        "--untracked-files=no",
        "--",
        ":/",
        ":!/docs",
    ];
    let changed = !git(&status)?.is_empty();
    Some(if changed { commit + "+" } else { commit })
}

/// Lets this process and its children open as many files as the system
/// allows; says how many.
pub fn raise_file_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    let highest = limit.maximum.unwrap_or(1 << 20);
    let wanted = highest.max(1 << 20);
    for most in [wanted, highest] {
        let raised = Rlimit {
            current: Some(most),
            maximum: Some(most),
        };
        // The first needs the right to raise the hard limit.
        if setrlimit(Resource::Nofile, raised).is_ok() {
            return most;
        }
    }
    limit.current.unwrap_or(highest)
}

/// Memory that the kernel holds in TCP buffers of the whole machine, so of
/// both ends (/proc/net/sockstat).
pub fn tcp_memory_kib() -> f64 {
    let sockstat = fs::read_to_string("/proc/net/sockstat").unwrap_or_default();
    let pages = (sockstat.lines())
        .find_map(|line| line.strip_prefix("TCP:")?.split_once(" mem "))
        .and_then(|(_, pages)| pages.trim().parse::<f64>().ok());
    pages.unwrap_or(0.0) * 4.0
}

/// Memory of the kernel's own objects (sockets, files, epoll entries) of the
/// whole machine (/proc/meminfo).
pub fn kernel_slab_kib() -> f64 {
    let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    (meminfo.lines())
        .find_map(|line| line.strip_prefix("Slab:"))
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .unwrap_or(0.0)
}
