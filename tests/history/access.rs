//! ACCESS: no event to or from a non-member; who is removed by entry k gets everything
//! up to and including k, nothing after.

use super::{Entry, Reader, Rule, Said, Violation};

/// A user's membership in one conversation, by seq.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stay {
    pub user: String,
    /// The first seq this stay may see.
    pub from: u64,
    /// The entry that ended it; `None` while it lasts.
    pub until: Option<u64>,
}

impl Stay {
    fn covers(&self, seq: u64) -> bool {
        seq >= self.from && self.until.is_none_or(|until| seq <= until)
    }
}

/// Reads the stays of a conversation off a complete log. `founders` were members
/// before its first entry.
pub fn stays(log: &[Entry], founders: &[&str]) -> Vec<Stay> {
    let mut stays: Vec<Stay> = founders
        .iter()
        .map(|&user| Stay {
            user: user.to_owned(),
            from: 1,
            until: None,
        })
        .collect();
    for entry in log {
        let added = entry.data["participant"]["user"]["id"].as_str();
        let removed = entry.data["user"]
            .as_str()
            .or(entry.data["user"]["id"].as_str());
        let inside = |user: &str| {
            stays
                .iter()
                .any(|stay| stay.user == user && stay.until.is_none())
        };
        match (entry.kind.as_str(), added, removed) {
            ("participant:added", Some(user), _) if !inside(user) => stays.push(Stay {
                user: user.to_owned(),
                from: entry.seq,
                until: None,
            }),
            ("participant:removed", _, Some(user)) => {
                for stay in stays
                    .iter_mut()
                    .filter(|stay| stay.user == user && stay.until.is_none())
                {
                    stay.until = Some(entry.seq);
                }
            }
            _ => {}
        }
    }
    stays
}

/// Judges `readers` and the authors in `log` by `stays`. A reader is expected to have
/// been connected to the end of its last stay, so the entry that ended it must be its
/// last one.
pub fn check(log: &[Entry], stays: &[Stay], readers: &[Reader]) -> Vec<Violation> {
    let mut violations = Vec::new();
    for entry in log.iter().filter(|entry| entry.kind == "message:received") {
        let Some(said) = Said::of(&entry.data["message"]) else {
            continue;
        };
        // The entry that ends a stay is not a message, so `covers` cannot be too kind.
        if !stays
            .iter()
            .any(|stay| stay.user == said.author && stay.covers(entry.seq))
        {
            violations.push(Violation::new(
                Rule::Author,
                format!("{said:?} is by a non-member"),
            ));
        }
    }
    for reader in readers {
        let own: Vec<&Stay> = stays
            .iter()
            .filter(|stay| stay.user == reader.user)
            .collect();
        for entry in &reader.entries {
            if !own.iter().any(|stay| stay.covers(entry.seq)) {
                violations.push(Violation::new(
                    Rule::Audience,
                    format!("{} got {} outside of {own:?}", reader.name, entry.seq),
                ));
            }
        }
        let last = reader.entries.last().map(|entry| entry.seq);
        if let (Some(end), Some(last)) = (own.last().and_then(|stay| stay.until), last)
            && last < end
        {
            violations.push(Violation::new(
                Rule::Audience,
                format!(
                    "{} was removed by {end} and got nothing behind {last}",
                    reader.name
                ),
            ));
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::super::sample::{event, reader, received, rules};
    use super::*;
    use serde_json::json;

    /// Alice founds, Bob is added, speaks, is kicked, Alice goes on.
    fn log() -> Vec<Entry> {
        vec![
            received(1, "alice", "alone"),
            event(
                2,
                "participant:added",
                json!({"participant": {"user": {"id": "bob"}, "role": "member"}}),
            ),
            received(3, "bob", "hello"),
            event(
                4,
                "participant:removed",
                json!({"user": "bob", "reason": "kicked", "by": "alice"}),
            ),
            received(5, "alice", "alone again"),
        ]
    }

    fn judged(log: &[Entry], bob: Vec<Entry>) -> Vec<Rule> {
        rules(&check(
            log,
            &stays(log, &["alice"]),
            &[reader("alice", log.to_vec()), reader("bob", bob)],
        ))
    }

    #[test]
    fn everything_up_to_the_kick_and_nothing_after_passes() {
        assert_eq!(judged(&log(), log()[1..4].to_vec()), []);
        assert_eq!(judged(&log(), Vec::new()), []);
    }

    #[test]
    fn an_event_after_the_kick_is_found() {
        assert_eq!(judged(&log(), log()[1..5].to_vec()), [Rule::Audience]);
    }

    #[test]
    fn an_event_before_the_stay_is_found() {
        assert_eq!(judged(&log(), log()[0..4].to_vec()), [Rule::Audience]);
    }

    #[test]
    fn stopping_short_of_the_kick_is_found() {
        assert_eq!(judged(&log(), log()[1..3].to_vec()), [Rule::Audience]);
    }

    #[test]
    fn a_message_of_the_kicked_after_the_kick_is_found() {
        let mut log = log();
        log.push(received(6, "bob", "still here"));
        let bob = log[1..4].to_vec();
        assert_eq!(judged(&log, bob), [Rule::Author]);
    }

    #[test]
    fn coming_back_is_a_second_stay() {
        let mut log = log();
        log.push(event(
            6,
            "participant:added",
            json!({"participant": {"user": {"id": "bob"}}}),
        ));
        log.push(received(7, "bob", "back"));
        let mut bob = log[1..4].to_vec();
        bob.extend_from_slice(&log[5..7]);
        assert_eq!(judged(&log, bob), []);
        assert_eq!(judged(&log, log[1..7].to_vec()), [Rule::Audience]);
    }
}
