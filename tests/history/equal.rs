//! EQUAL: a snapshot with the events behind it folded in is what a fresh fetch gives.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{Entry, Rule, Violation};

/// The messages of one conversation, as a client keeps them.
#[derive(Debug, Clone, Default)]
pub struct Shelf {
    messages: BTreeMap<u64, Value>,
}

impl Shelf {
    /// Starts from fetched messages.
    pub fn of(messages: &[Value]) -> Self {
        let mut shelf = Self::default();
        for message in messages {
            if let Some(seq) = message["seq"].as_u64() {
                shelf.messages.insert(seq, for_everybody(message.clone()));
            }
        }
        shelf
    }

    /// Applies one event: a change only if its seq is above the message's `rev`.
    pub fn apply(&mut self, entry: &Entry) {
        if entry.kind == "message:received" {
            let message = for_everybody(entry.data["message"].clone());
            if self
                .messages
                .get(&entry.seq)
                .is_none_or(|held| held["rev"] == entry.seq)
            {
                self.messages.insert(entry.seq, message);
            }
            return;
        }
        let changed: &[&str] = match entry.kind.as_str() {
            "message:edited" => &["text", "mentions", "editedAt", "editCount", "rev"],
            "message:deleted" => &["deletedAt", "rev"],
            "message:reactions" => &["reactions", "rev"],
            _ => return,
        };
        let id = &entry.data["message"];
        let Some(message) = self
            .messages
            .values_mut()
            .find(|message| message["id"] == *id)
        else {
            return;
        };
        if message["rev"].as_u64().is_some_and(|rev| rev >= entry.seq) {
            return;
        }
        let Some(fields) = message.as_object_mut() else {
            return;
        };
        for field in changed {
            set(fields, field, entry.data.get(*field));
        }
        if entry.kind == "message:deleted" {
            empty(fields);
        }
    }
}

/// Compares `snapshot` with `events` applied to it, and `fresh`, both whole fetches.
pub fn check(snapshot: &[Value], events: &[Entry], fresh: &[Value]) -> Vec<Violation> {
    let mut folded = Shelf::of(snapshot);
    for event in events {
        folded.apply(event);
    }
    let fresh = Shelf::of(fresh);
    let mut violations = Vec::new();
    let seqs = folded.messages.keys().chain(fresh.messages.keys());
    let mut seqs: Vec<u64> = seqs.copied().collect();
    seqs.sort_unstable();
    seqs.dedup();
    for seq in seqs {
        let (held, fetched) = (folded.messages.get(&seq), fresh.messages.get(&seq));
        if held != fetched {
            violations.push(Violation::new(
                Rule::Unequal,
                format!(
                    "at {seq}: folded {}, fetched {}",
                    shown(held),
                    shown(fetched)
                ),
            ));
        }
    }
    violations
}

fn shown(message: Option<&Value>) -> String {
    message.map_or_else(|| "nothing".to_owned(), Value::to_string)
}

/// Without what differs per viewer (`me` in reactions) and with what a deletion takes.
fn for_everybody(mut message: Value) -> Value {
    for reaction in message["reactions"].as_array_mut().into_iter().flatten() {
        if let Some(fields) = reaction.as_object_mut() {
            fields.remove("me");
        }
    }
    if let Some(fields) = message.as_object_mut() {
        fields.retain(|_, value| !value.is_null());
        for list in ["mentions", "attachments"] {
            if fields
                .get(list)
                .and_then(Value::as_array)
                .is_some_and(Vec::is_empty)
            {
                fields.remove(list);
            }
        }
    }
    message
}

fn set(fields: &mut Map<String, Value>, field: &str, value: Option<&Value>) {
    let list = field == "mentions";
    match value {
        Some(value)
            if !(value.is_null() || list && value.as_array().is_some_and(Vec::is_empty)) =>
        {
            fields.insert(field.to_owned(), value.clone());
        }
        Some(_) => drop(fields.remove(field)),
        None if list => drop(fields.remove(field)),
        None => {}
    }
}

/// A deleted message keeps its place and loses its content.
fn empty(fields: &mut Map<String, Value>) {
    fields.insert("text".into(), Value::from(""));
    fields.remove("mentions");
    fields.remove("attachments");
    if fields.contains_key("reactions") {
        fields.insert("reactions".into(), Value::Array(Vec::new()));
    }
}

#[cfg(test)]
mod tests {
    use super::super::sample::{event, final_read, received, rules};
    use super::*;
    use serde_json::json;

    fn changes() -> Vec<Entry> {
        vec![
            received(3, "alice", "three"),
            event(
                4,
                "message:edited",
                json!({"message": "m2", "rev": 4, "text": "II", "editedAt": "t4", "editCount": 1}),
            ),
            event(
                5,
                "message:reactions",
                json!({"message": "m1", "rev": 5, "reactions": [{"emoji": "👍", "count": 1}], "changes": []}),
            ),
            event(
                6,
                "message:deleted",
                json!({"message": "m3", "rev": 6, "deletedAt": "t6"}),
            ),
            event(7, "participant:added", json!({"participant": {}})),
        ]
    }

    fn fresh() -> Vec<Value> {
        let mut fresh = final_read();
        fresh[1]["text"] = json!("II");
        fresh[1]["rev"] = json!(4);
        fresh[1]["editedAt"] = json!("t4");
        fresh[1]["editCount"] = json!(1);
        fresh[0]["reactions"] = json!([{"emoji": "👍", "count": 1, "me": true}]);
        fresh[0]["rev"] = json!(5);
        fresh[2]["text"] = json!("");
        fresh[2]["rev"] = json!(6);
        fresh[2]["deletedAt"] = json!("t6");
        fresh
    }

    #[test]
    fn snapshot_and_events_give_the_fresh_fetch() {
        assert_eq!(check(&final_read()[..2], &changes(), &fresh()), []);
        // A snapshot taken later, with older events behind it, comes to the same.
        assert_eq!(check(&fresh(), &changes(), &fresh()), []);
    }

    #[test]
    fn every_missing_event_shows() {
        for missing in 0..4 {
            let mut events = changes();
            events.remove(missing);
            let found = rules(&check(&final_read()[..2], &events, &fresh()));
            assert_eq!(found, [Rule::Unequal], "event {missing} missing");
        }
    }

    #[test]
    fn a_differing_snapshot_shows() {
        let mut snapshot = final_read();
        snapshot.truncate(2);
        snapshot[0]["text"] = json!("on");
        assert_eq!(
            rules(&check(&snapshot, &changes(), &fresh())),
            [Rule::Unequal]
        );
    }

    #[test]
    fn an_event_that_lies_shows() {
        let mut events = changes();
        events[2].data["reactions"][0]["count"] = json!(2);
        assert_eq!(
            rules(&check(&final_read()[..2], &events, &fresh())),
            [Rule::Unequal]
        );
    }
}
