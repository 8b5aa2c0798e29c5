//! A peer of `bench/peers`: started by its script, which says where it listens
//! and what it consists of, and ended with this value.

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use serde::Deserialize;

/// A server that was started and is ready.
#[derive(Debug)]
pub struct Peer {
    /// What it said.
    pub ready: Ready,
    child: Child,
}

/// The line that `start.mjs` prints.
#[derive(Debug, Deserialize)]
pub struct Ready {
    /// What people call it by, like "2.15.2".
    pub version: String,
    /// Where to connect.
    pub url: String,
    /// Processes it consists of; their children count too.
    pub pids: Vec<u32>,
    /// One a user, one that all share, or none.
    pub tokens: Vec<String>,
}

/// How long it may take to end before it is killed: longer than its script
/// gives its processes.
const END_S: u64 = 30;

impl Peer {
    /// Starts the peer of this name for so many users, on some cores if that is
    /// asked for, and waits until it accepts connections.
    ///
    /// # Errors
    /// It is not installed or does not start; the script has said why on
    /// stderr.
    pub fn start(name: &str, users: usize, cores: &[usize]) -> anyhow::Result<Self> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers/start.mjs");
        let mut command = Command::new("node");
        command.arg(script).arg(name);
        command.args(["--users", &users.to_string()]);
        if !cores.is_empty() {
            let cores: Vec<String> = cores.iter().map(usize::to_string).collect();
            command.args(["--cpu", &cores.join(",")]);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot run node")?;
        let mut line = String::new();
        if let Some(stdout) = child.stdout.take() {
            BufReader::new(stdout).read_line(&mut line)?;
        }
        if line.is_empty() {
            let _ = child.wait();
            bail!("{name} did not start");
        }
        let ready = serde_json::from_str(&line).with_context(|| format!("{name} said {line}"))?;
        Ok(Self { ready, child })
    }

    /// What the user of this number shows when it connects; empty where
    /// nobody is asked.
    pub fn token(&self, user: usize) -> &str {
        match self.ready.tokens.as_slice() {
            [shared] => shared,
            each => each.get(user).map_or("", String::as_str),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // The end of its standard input asks the script to end the peer.
        drop(self.child.stdin.take());
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(END_S) {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                _ => return,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
