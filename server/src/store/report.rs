//! What was checked and found, for people and for programs.

use std::io::Write as _;

use anyhow::Context as _;
use fanfare_engine::audit::Finding;
use serde::Serialize;

/// What was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Counted {
    /// Conversations.
    pub conversations: u64,
    /// Rows of their logs.
    pub rows: u64,
    /// Of those, messages.
    pub messages: u64,
    /// Epoch rows.
    pub epochs: u64,
    /// Memberships.
    pub members: u64,
    /// Members' marks.
    pub marks: u64,
    /// Notes that a message names somebody.
    pub mentions: u64,
    /// Conversations whose newest entries have effects that the next start may
    /// repeat.
    pub not_clean: u64,
}

impl Counted {
    /// These and those.
    pub fn add(&mut self, other: &Self) {
        self.conversations += other.conversations;
        self.rows += other.rows;
        self.messages += other.messages;
        self.epochs += other.epochs;
        self.members += other.members;
        self.marks += other.marks;
        self.mentions += other.mentions;
        self.not_clean += other.not_clean;
    }

    fn lines(&self) -> [(&'static str, u64); 8] {
        [
            ("conversations", self.conversations),
            ("rows", self.rows),
            ("messages", self.messages),
            ("epochs", self.epochs),
            ("memberships", self.members),
            ("marks", self.marks),
            ("mentions", self.mentions),
            ("not left clean", self.not_clean),
        ]
    }
}

/// Prints what was checked and found, as a table or as JSON. True if nothing
/// was found.
///
/// # Errors
/// When it cannot be printed.
pub fn print(counted: &Counted, findings: &[Finding], as_json: bool) -> anyhow::Result<bool> {
    let text = if as_json {
        json(counted, findings).context("cannot write JSON")?
    } else {
        table(counted, findings)
    };
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .context("cannot print what was found")?;
    Ok(findings.is_empty())
}

fn table(counted: &Counted, findings: &[Finding]) -> String {
    let mut text = String::new();
    for finding in findings {
        text += &format!("FAIL  {finding}\n");
    }
    for (name, number) in counted.lines() {
        text += &format!("{name:14}  {number:>12}\n");
    }
    text += &match findings.len() {
        0 => "All is well.\n".to_owned(),
        1 => "1 finding.\n".to_owned(),
        some => format!("{some} findings.\n"),
    };
    text
}

fn json(counted: &Counted, findings: &[Finding]) -> serde_json::Result<String> {
    #[derive(Serialize)]
    struct Report<'a> {
        #[serde(flatten)]
        counted: &'a Counted,
        findings: &'a [Finding],
    }
    Ok(serde_json::to_string_pretty(&Report { counted, findings })? + "\n")
}

#[cfg(test)]
mod tests {
    use fanfare_engine::audit::What;
    use fanfare_protocol::ConversationId;
    use uuid::Uuid;

    use super::*;

    #[test]
    fn findings_stand_first_and_by_name() {
        let finding = Finding {
            conversation: ConversationId(Uuid::from_u128(1)),
            seq: 7,
            what: What::KeyTwice { first: 3 },
        };
        let counted = Counted {
            rows: 9,
            ..Counted::default()
        };
        let text = table(&counted, std::slice::from_ref(&finding));
        assert!(text.starts_with(
            "FAIL  00000000-0000-0000-0000-000000000001 seq 7: its key made row 3 too\n"
        ));
        assert!(text.contains("rows                       9\n") && text.ends_with("1 finding.\n"));
        let json: serde_json::Value =
            serde_json::from_str(&json(&counted, &[finding]).unwrap()).unwrap();
        assert_eq!(
            (&json["rows"], &json["findings"][0]["what"]),
            (&9.into(), &"key_twice".into())
        );
        assert_eq!(json["findings"][0]["first"], 3);
    }
}
