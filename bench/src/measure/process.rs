//! Figures of one process (proc(5)), and of the kernel threads that work for
//! the file system.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::time::Duration;

/// One process.
#[derive(Debug, Clone, Copy)]
pub struct Process(pub u32);

/// A gauge or counter of a server that tells them at `/metrics` in Prometheus'
/// text form; `None` when it does not.
pub fn told(server: SocketAddr, name: &str) -> Option<f64> {
    let mut stream = TcpStream::connect_timeout(&server, PATIENCE).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).ok()?;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    let line = |line: &str| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok();
    answer.lines().find_map(line)
}

/// How long it may take to say so.
const PATIENCE: Duration = Duration::from_secs(5);

/// What a process had used up to now. Differences between two are what a
/// measurement cost.
#[derive(Debug, Clone, Copy, Default, PartialEq, serde::Serialize, serde::Deserialize)]
pub struct Usage {
    /// CPU in its own code.
    pub user_s: f64,
    /// CPU in the kernel on its behalf.
    pub system_s: f64,
    /// CPU of children it has waited for.
    pub children_s: f64,
    /// CPU of kernel threads of the file system (jbd2, kworker), of the whole
    /// machine; 0 where they cannot be seen.
    pub kernel_threads_s: f64,
    /// Resident memory now.
    pub rss_kib: f64,
    /// Calls of `write` and its kin, by what the kernel counts.
    pub write_calls: u64,
    /// Bytes given to `write` and its kin, sockets included.
    pub write_bytes: u64,
    /// How often a thread went to sleep; somebody had to wake it again.
    #[serde(default)]
    pub sleeps: u64,
    /// How often a thread had to make way for another.
    #[serde(default)]
    pub preemptions: u64,
}

impl Usage {
    /// User, system and children.
    pub fn cpu_s(&self) -> f64 {
        self.user_s + self.system_s + self.children_s
    }

    /// From `before` to here; memory is that of here.
    pub fn since(&self, before: &Self) -> Self {
        Self {
            user_s: self.user_s - before.user_s,
            system_s: self.system_s - before.system_s,
            children_s: self.children_s - before.children_s,
            kernel_threads_s: self.kernel_threads_s - before.kernel_threads_s,
            rss_kib: self.rss_kib,
            write_calls: self.write_calls.saturating_sub(before.write_calls),
            write_bytes: self.write_bytes.saturating_sub(before.write_bytes),
            sleeps: self.sleeps.saturating_sub(before.sleeps),
            preemptions: self.preemptions.saturating_sub(before.preemptions),
        }
    }
}

impl Process {
    /// This process.
    pub fn own() -> Self {
        Self(std::process::id())
    }

    /// Up to now; what cannot be read counts as 0.
    pub fn usage(&self) -> Usage {
        let read =
            |name| fs::read_to_string(format!("/proc/{}/{name}", self.0)).unwrap_or_default();
        let mut usage = cpu(&read("stat"));
        let io = read("io");
        usage.write_calls = field(&io, "syscw:");
        usage.write_bytes = field(&io, "wchar:");
        usage.rss_kib = field(&read("status"), "VmRSS:") as f64;
        // Those of threads that have ended are not seen.
        for thread in threads(self.0) {
            let status = fs::read_to_string(thread.join("status")).unwrap_or_default();
            usage.sleeps += field(&status, "voluntary_ctxt_switches:");
            usage.preemptions += field(&status, "nonvoluntary_ctxt_switches:");
        }
        usage
    }
}

/// The processes of a server and all their descendants.
#[derive(Debug, Clone)]
pub struct Family(pub Vec<Process>);

impl Family {
    /// Up to now, of all together, with the kernel threads of the file
    /// system. Memory that processes share counts once for each.
    pub fn usage(&self) -> Usage {
        let alone = Usage {
            kernel_threads_s: kernel_threads_s(),
            ..Usage::default()
        };
        (self.members().iter())
            .map(Process::usage)
            .fold(alone, |sum, one| Usage {
                user_s: sum.user_s + one.user_s,
                system_s: sum.system_s + one.system_s,
                children_s: sum.children_s + one.children_s,
                kernel_threads_s: sum.kernel_threads_s,
                rss_kib: sum.rss_kib + one.rss_kib,
                write_calls: sum.write_calls + one.write_calls,
                write_bytes: sum.write_bytes + one.write_bytes,
                sleeps: sum.sleeps + one.sleeps,
                preemptions: sum.preemptions + one.preemptions,
            })
    }

    /// Those that live now.
    fn members(&self) -> Vec<Process> {
        let mut members = self.0.clone();
        let mut at = 0;
        while let Some(Process(parent)) = members.get(at) {
            members.extend(children(*parent));
            at += 1;
        }
        members
    }
}

/// Folders of a process's threads.
fn threads(pid: u32) -> impl Iterator<Item = PathBuf> {
    let threads = fs::read_dir(format!("/proc/{pid}/task"));
    (threads.into_iter().flatten().flatten()).map(|thread| thread.path())
}

/// What the threads of `parent` started (proc(5), `children`).
fn children(parent: u32) -> Vec<Process> {
    let lists: String = (threads(parent))
        .filter_map(|thread| fs::read_to_string(thread.join("children")).ok())
        .collect();
    (lists.split_whitespace())
        .filter_map(|pid| pid.parse().ok())
        .map(Process)
        .collect()
}

/// Linux counts CPU in ticks of 10 ms for user space, whatever its clock.
const TICKS_PER_S: f64 = 100.0;

/// The line of /proc/PID/stat; the name in brackets may hold anything.
fn cpu(stat: &str) -> Usage {
    let Some((_, fields)) = stat.rsplit_once(')') else {
        return Usage::default();
    };
    let ticks: Vec<f64> = fields
        .split_whitespace()
        .skip(11)
        .take(4)
        .map(|ticks| ticks.parse().unwrap_or(0.0) / TICKS_PER_S)
        .collect();
    let [user_s, system_s, children_user_s, children_system_s] = ticks[..] else {
        return Usage::default();
    };
    Usage {
        user_s,
        system_s,
        children_s: children_user_s + children_system_s,
        ..Usage::default()
    }
}

fn field(text: &str, name: &str) -> u64 {
    (text.lines())
        .find_map(|line| line.strip_prefix(name))
        .and_then(|value| value.split_whitespace().next()?.parse().ok())
        .unwrap_or(0)
}

fn kernel_threads_s() -> f64 {
    let Ok(processes) = fs::read_dir("/proc") else {
        return 0.0;
    };
    (processes.flatten())
        .filter_map(|entry| fs::read_to_string(entry.path().join("stat")).ok())
        .filter(|stat| {
            let name = stat.split_once('(').map_or("", |(_, rest)| rest);
            name.starts_with("jbd2/") || name.starts_with("kworker/")
        })
        .map(|stat| cpu(&stat).system_s)
        .sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_with_brackets_does_not_shift_the_fields() {
        let stat = "7 (a) b (c) S 1 7 7 0 -1 4194560 100 0 0 0 150 50 20 5 20 0 1 0 99";
        let usage = cpu(stat);
        assert_eq!(
            (usage.user_s, usage.system_s, usage.children_s),
            (1.5, 0.5, 0.25)
        );
    }

    #[test]
    fn a_child_counts_to_its_parent() {
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let members = Family(vec![Process::own()]).members();
        assert!(members.iter().any(|Process(pid)| *pid == child.id()));
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn this_process_is_seen() {
        let usage = Process::own().usage();
        assert!(usage.rss_kib > 100.0);
        // `cargo test` waits for its threads.
        assert!(usage.sleeps + usage.preemptions > 0);
    }
}
