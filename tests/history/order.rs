//! ORDER: per conversation, seq → entry is the same for all readers, contiguous, and
//! respects the real time of acknowledged sends and the order within a session.

use std::collections::{BTreeMap, HashMap, HashSet};

use serde_json::Value;

use super::{Attempt, Deed, Entry, History, Outcome, Reader, Rule, Violation};

/// Everything in `history` that breaks ORDER.
pub fn check(history: &History) -> Vec<Violation> {
    let mut violations = Vec::new();
    for reader in &history.readers {
        contiguous(reader, &mut violations);
    }
    let logs = one_content(&history.readers, &mut violations);
    one_place(&logs, &mut violations);
    let sends = acknowledged_sends(&history.attempts, &mut violations);
    for send in &sends {
        agrees_with_log(send, &logs, &mut violations);
    }
    real_time(&sends, &mut violations);
    session_order(&sends, &mut violations);
    violations
}

type Log<'a> = BTreeMap<(String, u64), &'a Entry>;

fn contiguous(reader: &Reader, violations: &mut Vec<Violation>) {
    for pair in reader.entries.windows(2) {
        let (before, after) = (pair[0].seq, pair[1].seq);
        let rule = if after <= before {
            Rule::Repeat
        } else if after > before + 1 {
            Rule::Gap
        } else {
            continue;
        };
        violations.push(Violation::new(
            rule,
            format!("{}: {after} came behind {before}", reader.name),
        ));
    }
}

/// A key of an author stands at one seq of a conversation.
fn one_place(logs: &Log<'_>, violations: &mut Vec<Violation>) {
    let mut seen: HashMap<(&str, &str, &str), u64> = HashMap::new();
    for ((conversation, seq), entry) in logs {
        let message = &entry.data["message"];
        let Some(key) = message["key"].as_str() else {
            continue;
        };
        let author = message["author"].as_str().unwrap_or_default();
        if let Some(before) = seen.insert((conversation, author, key), *seq) {
            violations.push(Violation::new(
                Rule::Doubled,
                format!("{conversation}: key {key} at {before} and {seq}"),
            ));
        }
    }
}

/// Puts all readers' entries into one log each, reporting where they differ.
fn one_content<'a>(readers: &'a [Reader], violations: &mut Vec<Violation>) -> Log<'a> {
    let deleted = deleted_messages(readers);
    let mut log = Log::new();
    for reader in readers {
        for entry in &reader.entries {
            let first = *log
                .entry((reader.conversation.clone(), entry.seq))
                .or_insert(entry);
            if !same(first, entry, &deleted) {
                violations.push(Violation::new(
                    Rule::Content,
                    format!(
                        "{} at {}: {:?} against {:?}",
                        reader.name, entry.seq, entry, first
                    ),
                ));
            }
        }
    }
    log
}

fn deleted_messages(readers: &[Reader]) -> HashSet<&str> {
    let entries = readers.iter().flat_map(|reader| &reader.entries);
    entries
        .filter(|entry| entry.kind == "message:deleted")
        .filter_map(|entry| entry.data["message"].as_str())
        .collect()
}

/// Equal, or different only in a text that a deletion emptied for one of the two.
fn same(one: &Entry, other: &Entry, deleted: &HashSet<&str>) -> bool {
    if one == other {
        return true;
    }
    let (id, texts) = match one.kind.as_str() {
        "message:received" => (
            one.data["message"]["id"].as_str(),
            [&one.data["message"]["text"], &other.data["message"]["text"]],
        ),
        "message:edited" => (
            one.data["message"].as_str(),
            [&one.data["text"], &other.data["text"]],
        ),
        _ => return false,
    };
    id.is_some_and(|id| deleted.contains(id))
        && texts.contains(&&Value::from(""))
        && emptied(one) == emptied(other)
}

/// The entry with its text, and the mentions that stood in it, taken out.
fn emptied(entry: &Entry) -> Entry {
    let mut entry = entry.clone();
    let holder = match entry.kind.as_str() {
        "message:received" => &mut entry.data["message"],
        _ => &mut entry.data,
    };
    if let Some(fields) = holder.as_object_mut() {
        fields.remove("text");
        fields.remove("mentions");
    }
    entry
}

/// One acknowledged send, all attempts under its key taken together.
struct Send<'a> {
    first: &'a Attempt,
    text: &'a str,
    seq: u64,
    epoch: u64,
    invoked_us: u64,
    finished_us: u64,
}

fn acknowledged_sends<'a>(
    attempts: &'a [Attempt],
    violations: &mut Vec<Violation>,
) -> Vec<Send<'a>> {
    let mut by_key: HashMap<(&str, &str, &str), Send<'a>> = HashMap::new();
    let mut invoked_us: HashMap<(&str, &str, &str), u64> = HashMap::new();
    for attempt in attempts {
        let scope = (
            attempt.conversation.as_str(),
            attempt.author.as_str(),
            attempt.key.as_str(),
        );
        let earliest = invoked_us.entry(scope).or_insert(attempt.invoked_us);
        *earliest = (*earliest).min(attempt.invoked_us);
        let (Deed::Send { text }, Outcome::Ok { seq, epoch }) = (&attempt.deed, &attempt.outcome)
        else {
            continue;
        };
        let send = by_key.entry(scope).or_insert(Send {
            first: attempt,
            text,
            seq: *seq,
            epoch: *epoch,
            invoked_us: attempt.invoked_us,
            finished_us: attempt.finished_us,
        });
        send.finished_us = send.finished_us.min(attempt.finished_us);
        if send.seq != *seq {
            violations.push(Violation::new(
                Rule::Doubled,
                format!(
                    "{}: key {} acknowledged at {} and {seq}",
                    scope.0, scope.2, send.seq
                ),
            ));
        }
    }
    for (scope, send) in &mut by_key {
        send.invoked_us = invoked_us[scope];
    }
    let mut sends: Vec<_> = by_key.into_values().collect();
    sends.sort_by_key(|send| (&send.first.conversation, send.seq));
    sends
}

/// What was acknowledged is what readers saw at that seq, where one looked.
fn agrees_with_log(send: &Send<'_>, log: &Log<'_>, violations: &mut Vec<Violation>) {
    let Some(entry) = log.get(&(send.first.conversation.clone(), send.seq)) else {
        return;
    };
    let message = &entry.data["message"];
    let fits = entry.kind == "message:received"
        && entry.epoch == send.epoch
        && message["author"] == send.first.author.as_str()
        && message["key"] == send.first.key.as_str()
        && (message["text"] == send.text || message["text"] == "");
    if !fits {
        let detail = format!(
            "acknowledged {:?} at {}, readers saw {:?}",
            send.first, send.seq, entry
        );
        violations.push(Violation::new(Rule::Content, detail));
    }
}

/// In order of seq, nothing may have been acknowledged before what stands in front of
/// it was invoked: compare each invocation with the earliest acknowledgement behind it.
fn real_time(sends: &[Send<'_>], violations: &mut Vec<Violation>) {
    let mut earliest_behind: Option<&Send<'_>> = None;
    for send in sends.iter().rev() {
        let behind =
            earliest_behind.filter(|behind| behind.first.conversation == send.first.conversation);
        if let Some(behind) = behind.filter(|behind| behind.finished_us < send.invoked_us) {
            violations.push(Violation::new(
                Rule::RealTime,
                format!(
                    "{} (seq {}) was acknowledged before {} (seq {}) was invoked",
                    behind.first.key, behind.seq, send.first.key, send.seq
                ),
            ));
        }
        earliest_behind = match behind {
            Some(behind) if behind.finished_us <= send.finished_us => Some(behind),
            _ => Some(send),
        };
    }
}

/// Sends of one session into one conversation stand in the order they were invoked,
/// provided that each needed one attempt only: a repeat comes when it comes.
fn session_order(sends: &[Send<'_>], violations: &mut Vec<Violation>) {
    let mut last: HashMap<(&str, &str), &Send<'_>> = HashMap::new();
    for send in sends {
        if send.first.invoked_us != send.invoked_us {
            continue;
        }
        let session = (
            send.first.conversation.as_str(),
            send.first.session.as_str(),
        );
        if let Some(before) = last.insert(session, send)
            && before.invoked_us > send.invoked_us
        {
            violations.push(Violation::new(
                Rule::SessionOrder,
                format!(
                    "{}: {} was sent after {} and stands before it",
                    session.1, before.first.key, send.first.key
                ),
            ));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{event, reader, received, rules, sent, sound};
    use super::*;
    use serde_json::json;

    #[test]
    fn a_sound_history_passes() {
        assert_eq!(check(&sound()), []);
    }

    #[test]
    fn a_hole_is_a_gap() {
        let mut history = sound();
        history.readers[1].entries.remove(1);
        assert_eq!(rules(&check(&history)), [Rule::Gap]);
    }

    #[test]
    fn an_entry_given_twice_is_a_repeat() {
        let mut history = sound();
        let twice = history.readers[0].entries[1].clone();
        history.readers[0].entries.insert(2, twice);
        assert_eq!(rules(&check(&history)), [Rule::Repeat]);
    }

    #[test]
    fn swapped_entries_are_found() {
        let mut history = sound();
        history.readers[0].entries.swap(1, 2);
        let found = rules(&check(&history));
        assert!(
            found.contains(&Rule::Gap) && found.contains(&Rule::Repeat),
            "{found:?}"
        );
    }

    #[test]
    fn other_content_is_found_between_readers() {
        let mut history = sound();
        history.readers[1].entries[1] = received(2, "bob", "to");
        assert_eq!(rules(&check(&history)), [Rule::Content]);
    }

    #[test]
    fn other_content_than_acknowledged_is_found() {
        let mut history = sound();
        for reader in &mut history.readers {
            reader.entries[1] = received(2, "bob", "to");
        }
        assert_eq!(rules(&check(&history)), [Rule::Content]);
    }

    #[test]
    fn an_empty_text_is_right_only_after_a_deletion() {
        let mut history = sound();
        history.readers[1].entries[1] = received(2, "bob", "");
        assert_eq!(rules(&check(&history)), [Rule::Content]);
        let deletion = event(
            4,
            "message:deleted",
            json!({"message": "m2", "rev": 4, "deletedAt": "t"}),
        );
        history.readers[0].entries.push(deletion);
        assert_eq!(check(&history), []);
        history.readers[1].entries[1] = received(2, "alice", "");
        assert_eq!(rules(&check(&history)), [Rule::Content]);
    }

    #[test]
    fn a_key_at_two_seqs_is_doubled() {
        let mut history = sound();
        for reader in &mut history.readers {
            let mut again = received(4, "bob", "two");
            again.data["message"]["key"] = json!("k2");
            reader.entries.push(again);
        }
        assert_eq!(rules(&check(&history)), [Rule::Doubled]);
    }

    #[test]
    fn two_acknowledgements_of_a_key_must_agree() {
        let mut history = sound();
        let mut again = sent("bob", 2, "two", (40, 50));
        history.attempts.push(again.clone());
        assert_eq!(check(&history), []);
        again.outcome = Outcome::Ok { seq: 9, epoch: 1 };
        history.attempts.push(again);
        assert_eq!(rules(&check(&history)), [Rule::Doubled]);
    }

    #[test]
    fn real_time_is_respected_between_authors() {
        let mut history = sound();
        // Bob's was invoked only after Alice's third was acknowledged, and stands before it.
        history.attempts[1].invoked_us = 35;
        history.attempts[1].finished_us = 40;
        assert_eq!(rules(&check(&history)), [Rule::RealTime]);
    }

    #[test]
    fn a_session_keeps_its_order_even_when_pipelined() {
        let mut history = History {
            attempts: vec![
                sent("alice", 1, "one", (2, 30)),
                sent("alice", 2, "two", (1, 30)),
            ],
            ..History::default()
        };
        assert_eq!(rules(&check(&history)), [Rule::SessionOrder]);
        // A first attempt that got lost may be overtaken.
        let mut lost = sent("alice", 1, "one", (0, 1));
        lost.outcome = Outcome::Unknown;
        history.attempts.push(lost);
        assert_eq!(check(&history), []);
    }

    #[test]
    fn conversations_are_judged_apart() {
        let mut history = sound();
        let mut elsewhere = reader("alice", vec![received(7, "carol", "seven")]);
        elsewhere.conversation = "d".into();
        elsewhere.entries[0].data["message"]["key"] = json!("k2");
        history.readers.push(elsewhere);
        assert_eq!(check(&history), []);
    }
}
