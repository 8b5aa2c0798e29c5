//! DURABLE: everything acknowledged is in the final read, as it was acknowledged; what
//! was refused is not; what is unknown is there at most once.

use std::collections::{BTreeMap, HashMap};

use serde_json::Value;

use super::{Attempt, Deed, Outcome, Rule, Said, Violation};

/// Judges the attempts on `conversation` by `final_read`, all its messages as fetched
/// at the very end.
pub fn check(conversation: &str, attempts: &[Attempt], final_read: &[Value]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut there: BTreeMap<u64, (Said, &Value)> = BTreeMap::new();
    for message in final_read {
        match Said::of(message) {
            Some(said) => drop(there.insert(said.seq, (said, message))),
            None => violations.push(Violation::new(
                Rule::Ghost,
                format!("not a message: {message}"),
            )),
        }
    }
    let attempts: Vec<&Attempt> = attempts
        .iter()
        .filter(|attempt| attempt.conversation == conversation)
        .collect();
    sends(&attempts, &there, &mut violations);
    ghosts(&attempts, &there, &mut violations);
    texts(&attempts, &there, &mut violations);
    reactions(&attempts, &there, &mut violations);
    violations
}

type There<'a> = BTreeMap<u64, (Said, &'a Value)>;

fn sends(attempts: &[&Attempt], there: &There<'_>, violations: &mut Vec<Violation>) {
    for attempt in attempts {
        let (Deed::Send { .. }, Outcome::Ok { seq, .. }) = (&attempt.deed, &attempt.outcome) else {
            continue;
        };
        let found = there.get(seq).is_some_and(|(said, _)| {
            said.author == attempt.author && said.key.as_deref() == Some(attempt.key.as_str())
        });
        if !found {
            violations.push(Violation::new(
                Rule::Lost,
                format!(
                    "{attempt:?} reads {:?}",
                    there.get(seq).map(|(said, _)| said)
                ),
            ));
        }
    }
}

/// Keys at two places, and messages whose key nobody tried or everybody was refused.
fn ghosts(attempts: &[&Attempt], there: &There<'_>, violations: &mut Vec<Violation>) {
    let mut possible: HashMap<(&str, &str), bool> = HashMap::new();
    for attempt in attempts
        .iter()
        .filter(|attempt| matches!(attempt.deed, Deed::Send { .. }))
    {
        let open = !matches!(attempt.outcome, Outcome::Fail { .. });
        *possible.entry((&attempt.author, &attempt.key)).or_default() |= open;
    }
    let mut seen: HashMap<(&str, &str), u64> = HashMap::new();
    for (said, _) in there.values() {
        let Some(key) = said.key.as_deref() else {
            continue;
        };
        if let Some(before) = seen.insert((&said.author, key), said.seq) {
            violations.push(Violation::new(
                Rule::Doubled,
                format!("key {key} at {before} and {}", said.seq),
            ));
        }
        if !possible
            .get(&(said.author.as_str(), key))
            .copied()
            .unwrap_or(false)
        {
            violations.push(Violation::new(
                Rule::Ghost,
                format!("{said:?} was refused or never tried"),
            ));
        }
    }
}

/// A message's text is that of its last acknowledged change, or of one still open.
fn texts(attempts: &[&Attempt], there: &There<'_>, violations: &mut Vec<Violation>) {
    for (seq, (said, message)) in there {
        let mut last: Option<(u64, &str)> = None;
        let mut open: Vec<&str> = Vec::new();
        let mut deleted = (false, false);
        for attempt in attempts {
            let (text, is_delete) = match &attempt.deed {
                Deed::Send { text }
                    if attempt.author == said.author && Some(&attempt.key) == said.key.as_ref() =>
                {
                    (text.as_str(), false)
                }
                Deed::Edit { target, text } if target == seq => (text.as_str(), false),
                Deed::Delete { target } if target == seq => ("", true),
                _ => continue,
            };
            match &attempt.outcome {
                Outcome::Ok { .. } if is_delete => deleted.0 = true,
                Outcome::Ok { seq: rev, .. } => last = last.max(Some((*rev, text))),
                Outcome::Unknown if is_delete => deleted.1 = true,
                Outcome::Unknown => open.push(text),
                Outcome::Fail { .. } => {}
            }
        }
        let fits = if said.deleted {
            (deleted.0 || deleted.1) && said.text.is_empty()
        } else {
            let known = last.is_none_or(|(_, text)| said.text == text)
                || open.contains(&said.text.as_str());
            !deleted.0 && known
        };
        if !fits {
            violations.push(Violation::new(
                Rule::Lost,
                format!("{message} should read {last:?}, deleted {deleted:?}, or one of {open:?}"),
            ));
        }
    }
}

/// Counts of reactions are those acknowledged, give or take those still open.
fn reactions(attempts: &[&Attempt], there: &There<'_>, violations: &mut Vec<Violation>) {
    // (target, emoji) → user → the states it may be in.
    let mut may: BTreeMap<(u64, &str), HashMap<&str, Vec<bool>>> = BTreeMap::new();
    let mut ordered = attempts.to_vec();
    ordered.sort_by_key(|attempt| attempt.finished_us);
    for attempt in ordered {
        let Deed::React { target, emoji, on } = &attempt.deed else {
            continue;
        };
        let states = may
            .entry((*target, emoji))
            .or_default()
            .entry(&attempt.author)
            .or_insert_with(|| vec![false]);
        match attempt.outcome {
            Outcome::Ok { .. } => *states = vec![*on],
            Outcome::Unknown => states.push(*on),
            Outcome::Fail { .. } => {}
        }
    }
    for ((target, emoji), users) in may {
        let Some((said, message)) = there.get(&target) else {
            continue;
        };
        if said.deleted {
            continue;
        }
        let least = users
            .values()
            .filter(|states| states.iter().all(|&on| on))
            .count();
        let most = users
            .values()
            .filter(|states| states.contains(&true))
            .count();
        let listed = message["reactions"]
            .as_array()
            .into_iter()
            .flatten()
            .find(|listed| listed["emoji"] == emoji);
        let count = listed
            .and_then(|listed| listed["count"].as_u64())
            .unwrap_or(0);
        if !(least as u64..=most as u64).contains(&count) {
            violations.push(Violation::new(
                Rule::Lost,
                format!("{emoji} on {target}: {count}, acknowledged {least} to {most}"),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{final_read, message, rules, sound};
    use super::*;
    use serde_json::json;

    fn judged(attempts: &[Attempt], read: &[Value]) -> Vec<Rule> {
        rules(&check("c", attempts, read))
    }

    fn change(author: &str, deed: Deed, at: u64, outcome: Outcome) -> Attempt {
        let key = format!("change{at}");
        Attempt {
            key,
            deed,
            outcome,
            ..super::super::sample::sent(author, 1, "", (at, at + 1))
        }
    }

    fn ok(seq: u64) -> Outcome {
        Outcome::Ok { seq, epoch: 1 }
    }

    #[test]
    fn a_sound_history_passes() {
        assert_eq!(judged(&sound().attempts, &final_read()), []);
    }

    #[test]
    fn a_lost_message_is_found() {
        let mut read = final_read();
        read.pop();
        assert_eq!(judged(&sound().attempts, &read), [Rule::Lost]);
    }

    #[test]
    fn other_content_is_found() {
        let mut read = final_read();
        read[1]["text"] = json!("to");
        assert_eq!(judged(&sound().attempts, &read), [Rule::Lost]);
    }

    #[test]
    fn swapped_messages_are_found() {
        let mut read = final_read();
        (read[0]["seq"], read[1]["seq"]) = (json!(2), json!(1));
        let found = judged(&sound().attempts, &read);
        assert_eq!(found, [Rule::Lost, Rule::Lost]);
    }

    #[test]
    fn a_doubled_message_is_found() {
        let mut read = final_read();
        let mut twice = message(4, "alice", "three");
        twice["key"] = json!("k3");
        read.push(twice);
        assert_eq!(judged(&sound().attempts, &read), [Rule::Doubled]);
    }

    #[test]
    fn what_was_refused_must_not_be_there_and_what_is_unknown_may() {
        let mut attempts = sound().attempts;
        attempts[2].outcome = Outcome::Fail {
            code: "not_a_member".into(),
        };
        assert_eq!(judged(&attempts, &final_read()), [Rule::Ghost]);
        attempts[2].outcome = Outcome::Unknown;
        assert_eq!(judged(&attempts, &final_read()), []);
        assert_eq!(judged(&attempts, &final_read()[..2]), []);
        attempts.pop();
        assert_eq!(judged(&attempts, &final_read()), [Rule::Ghost]);
    }

    #[test]
    fn the_last_acknowledged_edit_stands() {
        let mut attempts = sound().attempts;
        let edit = |text: &str| Deed::Edit {
            target: 2,
            text: text.into(),
        };
        attempts.push(change("bob", edit("II"), 50, ok(5)));
        assert_eq!(judged(&attempts, &final_read()), [Rule::Lost]);
        let mut read = final_read();
        read[1]["text"] = json!("II");
        assert_eq!(judged(&attempts, &read), []);
        attempts.push(change("bob", edit("2"), 60, Outcome::Unknown));
        assert_eq!(judged(&attempts, &read), []);
        read[1]["text"] = json!("2");
        assert_eq!(judged(&attempts, &read), []);
    }

    #[test]
    fn a_deletion_stays_and_takes_the_text() {
        let mut attempts = sound().attempts;
        attempts.push(change("bob", Deed::Delete { target: 2 }, 50, ok(5)));
        assert_eq!(judged(&attempts, &final_read()), [Rule::Lost]);
        let mut read = final_read();
        read[1]["deletedAt"] = json!("t");
        assert_eq!(judged(&attempts, &read), [Rule::Lost]);
        read[1]["text"] = json!("");
        assert_eq!(judged(&attempts, &read), []);
        assert_eq!(judged(&sound().attempts, &read), [Rule::Lost]);
    }

    #[test]
    fn reactions_are_counted() {
        let mut attempts = sound().attempts;
        let react = |on| Deed::React {
            target: 2,
            emoji: "👍".into(),
            on,
        };
        attempts.push(change("alice", react(true), 50, ok(5)));
        assert_eq!(judged(&attempts, &final_read()), [Rule::Lost]);
        let mut read = final_read();
        read[1]["reactions"] = json!([{"emoji": "👍", "count": 1}]);
        assert_eq!(judged(&attempts, &read), []);
        attempts.push(change("bob", react(true), 60, Outcome::Unknown));
        read[1]["reactions"][0]["count"] = json!(2);
        assert_eq!(judged(&attempts, &read), []);
        attempts.push(change("alice", react(false), 70, ok(7)));
        assert_eq!(judged(&attempts, &read), [Rule::Lost]);
    }
}
