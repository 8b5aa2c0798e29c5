//! What a client keeps of what it receives: events in order, replies by id, and
//! cursors moved as PROTOCOL says.

use std::collections::HashMap;

use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::Refusal;

/// Where a reader stands in one conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cursor {
    pub epoch: u64,
    pub seq: u64,
}

/// One frame that is no reply.
#[derive(Debug, Clone, PartialEq)]
pub struct Event {
    /// `message:received` and the like.
    pub kind: String,
    /// Empty for signals without one.
    pub conversation: String,
    pub epoch: u64,
    /// `None` for signals.
    pub seq: Option<u64>,
    /// `Null` when only cursors are kept.
    pub data: Value,
}

/// What a socket remembers of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// All of them, whole.
    All,
    /// Only what moves cursors.
    Cursors,
}

/// What came in so far.
#[derive(Debug, Default)]
pub struct Inbox {
    pub events: Vec<Event>,
    pub cursors: HashMap<String, Cursor>,
    pub replies: HashMap<u64, oneshot::Sender<Result<Value, Refusal>>>,
    /// Broken promises: gaps, repeats, events without a subscription.
    pub faults: Vec<String>,
    /// Conversations the server told to fetch again.
    pub resync: Vec<String>,
    pub gone: Vec<String>,
    /// Code and reason; `None` inside when the connection broke without one.
    pub closed: Option<Option<(u16, String)>>,
}

/// A server frame; what is not read is skipped by the parser.
#[derive(serde::Deserialize)]
struct Frame<'a> {
    re: Option<Value>,
    #[serde(rename = "type")]
    kind: Option<String>,
    conversation: Option<String>,
    epoch: Option<u64>,
    seq: Option<u64>,
    #[serde(borrow)]
    data: Option<&'a serde_json::value::RawValue>,
    error: Option<Value>,
}

impl Inbox {
    /// Takes one text frame as it came.
    pub fn take(&mut self, text: &str, keep: Keep) {
        let frame: Frame<'_> = match serde_json::from_str(text) {
            Ok(frame) => frame,
            Err(error) => return self.faults.push(format!("not a frame: {error}: {text}")),
        };
        let parse = |data: Option<&serde_json::value::RawValue>| {
            data.and_then(|data| serde_json::from_str(data.get()).ok())
                .unwrap_or(Value::Null)
        };
        if let Some(re) = frame.re {
            let reply = match frame.error {
                Some(error) => Err(Refusal::of(0, &error)),
                None => Ok(parse(frame.data)),
            };
            if let Ok(data) = &reply {
                self.place(data);
            }
            match re.as_u64().and_then(|id| self.replies.remove(&id)) {
                // Err: nobody waits for it any more.
                Some(waiting) => drop(waiting.send(reply)),
                None => self.faults.push(format!("a reply to nothing: {text}")),
            }
            return;
        }
        let kind = frame.kind.unwrap_or_default();
        let conversation = frame.conversation.unwrap_or_default();
        let epoch = frame.epoch.unwrap_or(0);
        if let Some(seq) = frame.seq {
            self.advance(&conversation, epoch, seq);
        }
        let signal = frame.seq.is_none();
        if keep == Keep::All || signal {
            let data = parse(frame.data);
            match kind.as_str() {
                "session:resumed" => self.place(&data),
                "conversation:created" => self.created(&conversation, &data),
                _ => {}
            }
            if keep == Keep::All {
                self.events.push(Event {
                    kind,
                    conversation,
                    epoch,
                    seq: frame.seq,
                    data,
                });
            }
        }
    }

    /// All cursors as hello and resume take them.
    pub fn places(&self) -> Value {
        let cursors = self.cursors.iter();
        cursors
            .map(|(conversation, cursor)| json!({"conversation": conversation, "epoch": cursor.epoch, "seq": cursor.seq}))
            .collect()
    }

    /// **Invariant:** per conversation seq rises by exactly one.
    fn advance(&mut self, conversation: &str, epoch: u64, seq: u64) {
        match self.cursors.get_mut(conversation) {
            None => self
                .faults
                .push(format!("{seq} of {conversation}, which is not subscribed")),
            Some(cursor) => {
                if seq != cursor.seq + 1 || epoch < cursor.epoch {
                    self.faults.push(format!(
                        "{seq} (epoch {epoch}) of {conversation} came behind {cursor:?}"
                    ));
                }
                *cursor = Cursor { epoch, seq };
            }
        }
    }

    /// Takes the cursors from a reply that places subscriptions.
    pub fn place(&mut self, data: &Value) {
        for list in ["subscribed", "resync"] {
            for placed in data[list].as_array().into_iter().flatten() {
                let Some((conversation, cursor)) = cursor_of(placed) else {
                    continue;
                };
                if list == "resync" {
                    self.resync.push(conversation.clone());
                }
                self.cursors.insert(conversation, cursor);
            }
        }
        for gone in data["gone"].as_array().into_iter().flatten() {
            if let Some(conversation) = gone["conversation"].as_str() {
                self.cursors.remove(conversation);
                self.gone.push(conversation.to_owned());
            }
        }
    }

    fn created(&mut self, conversation: &str, data: &Value) {
        let named = data["conversation"]["id"]
            .as_str()
            .or(data["conversation"].as_str());
        let id = named
            .or(data["cursor"]["conversation"].as_str())
            .unwrap_or(conversation)
            .to_owned();
        if let (Some(epoch), Some(seq)) = (
            data["cursor"]["epoch"].as_u64(),
            data["cursor"]["seq"].as_u64(),
        ) {
            self.cursors.insert(id, Cursor { epoch, seq });
        }
    }
}

fn cursor_of(placed: &Value) -> Option<(String, Cursor)> {
    let cursor = Cursor {
        epoch: placed["epoch"].as_u64()?,
        seq: placed["seq"].as_u64()?,
    };
    Some((placed["conversation"].as_str()?.to_owned(), cursor))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inbox(frames: &[&str]) -> Inbox {
        let mut inbox = Inbox::default();
        for frame in frames {
            inbox.take(frame, Keep::All);
        }
        inbox
    }

    const PLACED: &str = r#"{"type":"session:resumed","data":{"subscribed":[{"conversation":"c","epoch":1,"seq":4}],"resync":[],"gone":[]}}"#;

    fn event(seq: u64, epoch: u64) -> String {
        format!(
            r#"{{"type":"message:received","conversation":"c","epoch":{epoch},"seq":{seq},"data":{{}}}}"#
        )
    }

    #[test]
    fn seqs_that_rise_by_one_are_no_fault() {
        let inbox = inbox(&[PLACED, &event(5, 1), &event(6, 1), &event(7, 2)]);
        assert_eq!(inbox.faults, Vec::<String>::new());
        assert_eq!(inbox.cursors["c"], Cursor { epoch: 2, seq: 7 });
    }

    #[test]
    fn gaps_repeats_and_falling_epochs_are_faults() {
        for (seq, epoch) in [(6, 1), (4, 1), (3, 1), (5, 0)] {
            let inbox = inbox(&[PLACED, &event(seq, epoch)]);
            assert_eq!(inbox.faults.len(), 1, "{seq} of epoch {epoch}");
        }
    }

    #[test]
    fn what_was_not_subscribed_or_is_no_frame_is_a_fault() {
        assert_eq!(inbox(&[&event(5, 1)]).faults.len(), 1);
        let gone = PLACED.replace(
            r#""gone":[]"#,
            r#""gone":[{"conversation":"c","reason":"not_a_member"}]"#,
        );
        assert_eq!(inbox(&[&gone, &event(5, 1)]).faults.len(), 1);
        assert_eq!(inbox(&["{"]).faults.len(), 1);
        assert_eq!(inbox(&[r#"{"re":1,"data":{}}"#]).faults.len(), 1);
    }

    #[test]
    fn a_created_conversation_starts_at_its_cursor() {
        let created = r#"{"type":"conversation:created","conversation":"c","data":{"conversation":{"id":"c"},"cursor":{"conversation":"c","epoch":3,"seq":9}}}"#;
        let inbox = inbox(&[created, &event(10, 3)]);
        assert_eq!(inbox.faults, Vec::<String>::new());
    }
}
