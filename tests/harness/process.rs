//! What the system knows of a process (`/proc`, Linux): CPU time, memory,
//! file descriptors.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

/// A running process.
#[derive(Debug, Clone, Copy)]
pub struct Process(pub u32);

impl Process {
    /// This one.
    pub fn own() -> Self {
        Self(std::process::id())
    }

    /// Time it has spent on a CPU, user and system, all threads.
    pub fn cpu(self) -> Duration {
        // Fields 14 and 15 (proc_pid_stat(5)) in ticks of 10 ms; the second
        // is a name that may hold anything but ends with the last bracket.
        let stat = self.read("stat");
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let fields: Vec<&str> = fields.split(' ').collect();
        let ticks: u64 = fields[11..=12]
            .iter()
            .map(|field| field.parse::<u64>().unwrap())
            .sum();
        Duration::from_millis(ticks * 10)
    }

    /// Memory in use, in KiB.
    pub fn resident_kib(self) -> u64 {
        self.status("VmRSS:")
    }

    /// Of that, what no file backs: heaps and stacks, in KiB.
    pub fn anonymous_kib(self) -> u64 {
        self.status("RssAnon:")
    }

    /// Threads.
    pub fn threads(self) -> u64 {
        self.status("Threads:")
    }

    /// Open file descriptors: files and folders below `folder`, and all others.
    pub fn descriptors_in(self, folder: &Path) -> (usize, usize) {
        let open = std::fs::read_dir(format!("/proc/{}/fd", self.0)).unwrap();
        let targets = open.filter_map(|link| std::fs::read_link(link.ok()?.path()).ok());
        let (inside, others): (Vec<_>, Vec<_>) =
            targets.partition(|target| target.starts_with(folder));
        (inside.len(), others.len())
    }

    /// Open file descriptors.
    pub fn descriptors(self) -> usize {
        let folder = std::fs::read_dir(format!("/proc/{}/fd", self.0));
        folder.unwrap().count()
    }

    /// How many it may have open.
    pub fn descriptors_max(self) -> usize {
        let limits = self.read("limits");
        let line = limits
            .lines()
            .find(|line| line.starts_with("Max open files"));
        let field = line.and_then(|line| line.split_whitespace().nth(3));
        field.unwrap().parse().unwrap()
    }

    /// Changes that while it runs.
    pub fn limit_descriptors(self, descriptors_max: usize) {
        let status = Command::new("prlimit")
            .arg(format!("--pid={}", self.0))
            .arg(format!("--nofile={descriptors_max}:"))
            .status();
        assert!(status.unwrap().success(), "prlimit (util-linux)");
    }

    fn status(self, name: &str) -> u64 {
        let status = self.read("status");
        let line = status.lines().find(|line| line.starts_with(name));
        let field = line.and_then(|line| line.split_whitespace().nth(1));
        field.unwrap().parse().unwrap()
    }

    fn read(self, file: &str) -> String {
        std::fs::read_to_string(format!("/proc/{}/{file}", self.0)).unwrap()
    }
}
