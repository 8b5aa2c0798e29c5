//! What a server printed on stdout, and the address in it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::sync::{Condvar, Mutex};
use std::time::Duration;

/// What a child printed, line by line.
#[derive(Default)]
pub struct Printed {
    /// The lines, and whether that was all.
    lines: Mutex<(Vec<String>, bool)>,
    more: Condvar,
}

impl Printed {
    /// Reads to the end.
    pub fn collect(&self, pipe: impl std::io::Read) {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            self.lines.lock().unwrap().0.push(line);
            self.more.notify_all();
        }
        self.lines.lock().unwrap().1 = true;
        self.more.notify_all();
    }

    /// What there is so far.
    pub fn lines(&self) -> Vec<String> {
        self.lines.lock().unwrap().0.clone()
    }

    /// The address in the first line that names one, or `None` when none will.
    pub fn address(&self, within: Duration) -> Option<SocketAddr> {
        let found = |lines: &[String]| lines.iter().find_map(|line| address_in(line));
        let (lines, _) = self
            .more
            .wait_timeout_while(self.lines.lock().unwrap(), within, |(lines, all)| {
                found(lines).is_none() && !*all
            })
            .unwrap();
        found(&lines.0)
    }
}

fn address_in(line: &str) -> Option<SocketAddr> {
    let (_, rest) = line
        .split_once("http://")
        .or_else(|| line.split_once("https://"))?;
    let end =
        rest.find(|letter: char| !(letter.is_ascii_digit() || letter == '.' || letter == ':'));
    rest[..end.unwrap_or(rest.len())]
        .trim_end_matches(['.', ':'])
        .parse()
        .ok()
}

#[test]
fn an_address_is_found_in_a_line() {
    let expected = Some("127.0.0.1:8080".parse().unwrap());
    assert_eq!(
        address_in("REST       http://127.0.0.1:8080/api/v1"),
        expected
    );
    assert_eq!(address_in("listening on http://127.0.0.1:8080."), expected);
    assert_eq!(address_in("listens on https://127.0.0.1:8080"), expected);
    assert_eq!(address_in("ws://127.0.0.1:8080/ws"), None);
}
