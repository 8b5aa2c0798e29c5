//! `fanfare store check --follow` beside running engines: a reader that owns nothing.

use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use super::eventually;
use super::keyspace::Keyspace;
use super::printed::Printed;
use super::server::{binary, without_variables};

/// How soon it says how far it is, on a machine that does other things too.
const SAID_WITHIN: Duration = Duration::from_secs(60);

/// Follows all logs of a keyspace until it is told to end.
pub struct Follower {
    child: Child,
    said: Arc<Printed>,
}

/// What a follower says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Followed {
    /// Rows that were shown.
    pub rows: u64,
    /// Times that all logs were read.
    pub passes: u64,
    /// Rows that were there and that the reader's rule did not let it show, each as
    /// often as it was read.
    pub held_back: u64,
    /// Reads of logs in whose activation it came.
    pub unsettled: u64,
    /// What it found wrong.
    pub findings: u64,
}

impl Follower {
    /// Starts one; it goes by no proxy.
    pub fn start(keyspace: &Keyspace) -> Self {
        let at = format!("cql:{}/{}", keyspace.nodes.join(","), keyspace.name);
        let mut child = without_variables(&binary())
            .args(["store", "check", "--follow", "--json", "--at", &at])
            .args(keyspace.flags())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = Arc::new(Printed::default());
        let pipe = child.stderr.take().unwrap();
        std::thread::spawn({
            let said = Arc::clone(&said);
            move || said.collect(pipe)
        });
        Self { child, said }
    }

    /// What it said last, about once a second.
    pub fn so_far(&self) -> Option<Followed> {
        let lines = self.said.lines();
        lines.iter().rev().find_map(|line| Followed::of(line))
    }

    /// Waits until all logs were read again from beginning to end: whatever is there
    /// now was seen.
    pub async fn looks(&self) {
        let said = self.said.lines().len();
        let since = || {
            let lines = self.said.lines().split_off(said);
            let passes = lines.iter().filter_map(|line| Followed::of(line));
            passes.map(|it| it.passes).collect::<Vec<_>>()
        };
        eventually("a follower that looks", SAID_WITHIN, async || {
            let passes = since();
            // One may have been under way.
            let ended = passes.last()?.checked_sub(passes[0])?;
            (ended >= 2).then_some(())
        })
        .await;
    }

    /// Ends it; gives whether it found nothing, its report, and what it said last.
    pub async fn ends(mut self) -> (bool, Value, Followed) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &pid]).status();
        assert!(sent.unwrap().success());
        let status = eventually("the follower's end", SAID_WITHIN, async || {
            self.child.try_wait().unwrap()
        })
        .await;
        let lines = self.said.lines();
        let report = std::io::read_to_string(self.child.stdout.take().unwrap()).unwrap();
        let report = serde_json::from_str(&report).unwrap_or_else(|_| panic!("{lines:#?}"));
        (status.success(), report, self.so_far().unwrap())
    }
}

impl Drop for Follower {
    fn drop(&mut self) {
        // Err: it has ended.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

impl Followed {
    /// From a line of progress.
    fn of(line: &str) -> Option<Self> {
        let number = |what: &str| {
            let before = line.split_once(what)?.0;
            let digits = before.rsplit([' ', ';']).next()?;
            digits.parse().ok()
        };
        Some(Self {
            rows: number(" rows shown")?,
            passes: number(" passes")?,
            held_back: number(" held back")?,
            unsettled: number(" unsettled")?,
            findings: number(" findings")?,
        })
    }
}

#[test]
fn a_line_of_progress_is_read() {
    let line = "fanfare store check: followed; 12 rows shown, 9 remembered, 3 held back, 40 passes, \
                1 unsettled, 0 reads failed, 2 findings";
    let expected = Followed {
        rows: 12,
        passes: 40,
        held_back: 3,
        unsettled: 1,
        findings: 2,
    };
    assert_eq!(Followed::of(line), Some(expected));
    assert_eq!(Followed::of("fanfare store check: trying again"), None);
}
