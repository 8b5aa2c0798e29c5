//! `fanfare store …` as the tests run it.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::harness::server::{binary, run_within, without_variables};

/// How long a copy or a check may take: a hundred thousand rows on a busy machine.
const PATIENCE: Duration = Duration::from_secs(600);

/// A copy between two places.
pub struct Copy<'a> {
    pub from: &'a str,
    pub to: &'a str,
    /// How the CQL servers are reached.
    pub settings: &'a [String],
}

impl Copy<'_> {
    fn arguments(&self) -> Vec<String> {
        let words = ["store", "copy", "--from", self.from, "--to", self.to];
        let words = words.into_iter().map(str::to_owned);
        words.chain(self.settings.iter().cloned()).collect()
    }

    /// Runs it to its end; gives the checksum that it says of both sides.
    pub fn ends(&self) -> String {
        let words = self.arguments();
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let (status, stdout, stderr) = run_within(PATIENCE, &words, &[]);
        assert!(status.success(), "{stderr}");
        println!("{stderr}{stdout}");
        let (_, checksum) = stdout.trim_end().rsplit_once(' ').unwrap();
        assert_eq!(checksum.len(), 64, "{stdout}");
        checksum.to_owned()
    }

    /// Begins it; returns as soon as it says that it copies.
    pub fn begins(&self) -> Child {
        let mut child = without_variables(&binary())
            .args(self.arguments())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let said = BufReader::new(child.stderr.take().unwrap()).lines();
        let mut said = said.map_while(Result::ok);
        assert!(said.any(|line| line.contains("conversations to copy")));
        // What it says from now on is nobody's business, and must not stop it.
        std::thread::spawn(move || said.for_each(drop));
        child
    }

    /// Begins it and kills it at once.
    pub fn is_killed(&self) {
        kill9(self.begins());
    }

    /// It did not end, and the destination says so.
    pub fn is_unfinished(&self) {
        let settings = self.settings.iter().map(String::as_str);
        let words = ["store", "check", "--at", self.to].into_iter();
        let words: Vec<&str> = words.chain(settings).collect();
        let (status, _, stderr) = run_within(PATIENCE, &words, &[]);
        assert!(
            !status.success() && stderr.contains("did not end"),
            "{stderr}"
        );
    }
}

pub fn kill9(mut child: Child) {
    child.kill().unwrap();
    child.wait().unwrap();
}

/// Checks a store, which must be sound; gives the JSON.
pub fn checked(at: &str, settings: &[String]) -> Value {
    let mut words = vec!["store", "check", "--json", "--at", at];
    words.extend(settings.iter().map(String::as_str));
    let (status, stdout, stderr) = run_within(PATIENCE, &words, &[]);
    assert!(status.success(), "{stdout}{stderr}");
    serde_json::from_str(&stdout).unwrap()
}
