//! Real chat logs as input: one line of the log is one thing that happened.
//!
//! Here: the parser ([`parse`]) and where the logs lie ([`day`]). [`plan`] turns a
//! parsed day into steps for accounts; [`stand_in`] is what replaces the logs where
//! they are absent. Nothing here knows the server.

use std::path::PathBuf;

pub mod plan;
pub mod stand_in;

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// `[HH:MM] <nick> text`; the text byte for byte, outer spaces included.
    Message { nick: String, text: String },
    /// `[HH:MM]  * nick text`.
    Action { nick: String, text: String },
    /// `=== nick [user@host]  has joined #channel`.
    Join { nick: String },
    /// `=== nick [user@host]  has left #channel …`, and `has quit …`.
    Leave { nick: String },
    /// `=== nick was kicked off #channel by other (reason)`.
    Kick { nick: String },
    /// `=== old is now known as new`.
    Rename { from: String, to: String },
    /// Any other `===` line: modes, topics, actions of older clients.
    Notice { text: String },
    /// None of the above: counted and reported, never a reason to stop.
    Unknown { text: String },
}

/// How many lines of each kind a log has.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Census {
    pub messages: usize,
    pub actions: usize,
    pub joins: usize,
    pub leaves: usize,
    pub kicks: usize,
    pub renames: usize,
    pub notices: usize,
    pub unknown: usize,
}

impl Census {
    /// Counts `lines`.
    pub fn of(lines: &[Line]) -> Self {
        let mut census = Self::default();
        for line in lines {
            *match line {
                Line::Message { .. } => &mut census.messages,
                Line::Action { .. } => &mut census.actions,
                Line::Join { .. } => &mut census.joins,
                Line::Leave { .. } => &mut census.leaves,
                Line::Kick { .. } => &mut census.kicks,
                Line::Rename { .. } => &mut census.renames,
                Line::Notice { .. } => &mut census.notices,
                Line::Unknown { .. } => &mut census.unknown,
            } += 1;
        }
        census
    }

    /// All lines together.
    pub fn total(&self) -> usize {
        self.messages
            + self.actions
            + self.joins
            + self.leaves
            + self.kicks
            + self.renames
            + self.notices
            + self.unknown
    }
}

/// A day of chat and where it came from.
pub struct Day {
    /// File name, or the name of the stand-in.
    pub name: String,
    pub lines: Vec<Line>,
    /// True when the real log was absent and a script of our own stands in.
    pub stands_in: bool,
}

/// Reads the day `name` (a file name), or the stand-in where the folder is absent.
///
/// The folder is `FANFARE_IRC_DIR`, else `../shared/data/irc` beside the repository.
/// Bytes that are not UTF-8 become U+FFFD.
pub fn day(name: &str) -> Day {
    let folder = std::env::var_os("FANFARE_IRC_DIR").map_or_else(
        || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/irc"),
        PathBuf::from,
    );
    match std::fs::read(folder.join(name)) {
        Ok(bytes) => Day {
            name: name.to_owned(),
            lines: parse(&String::from_utf8_lossy(&bytes)),
            stands_in: false,
        },
        Err(error) => {
            eprintln!(
                "!!! {} is absent ({error}): a script of Alice and Bob stands in for the real chat",
                folder.join(name).display()
            );
            Day {
                name: format!("stand-in for {name}"),
                lines: parse(&stand_in::log()),
                stands_in: true,
            }
        }
    }
}

/// Parses a whole log; every line of the input gives one [`Line`], in order.
pub fn parse(log: &str) -> Vec<Line> {
    let mut lines: Vec<&str> = log.split('\n').collect();
    if lines.last() == Some(&"") {
        lines.pop();
    }
    lines.into_iter().map(parse_line).collect()
}

fn parse_line(line: &str) -> Line {
    timed(line)
        .or_else(|| line.strip_prefix("=== ").map(untimed))
        .unwrap_or_else(|| Line::Unknown {
            text: line.to_owned(),
        })
}

/// `[HH:MM] <nick> text` or `[HH:MM]  * nick text`.
fn timed(line: &str) -> Option<Line> {
    let bytes = line.as_bytes();
    let stamp = bytes.len() > 7
        && bytes[0] == b'['
        && bytes[3] == b':'
        && bytes[6] == b']'
        && bytes[7] == b' '
        && [1, 2, 4, 5].iter().all(|&at| bytes[at].is_ascii_digit());
    let rest = if stamp { &line[8..] } else { return None };
    if let Some(rest) = rest.strip_prefix('<') {
        let (nick, text) = rest.split_once('>')?;
        let nick = nick.trim_end(); // the log's writer put a space behind every `]`
        let text = match text.strip_prefix(' ') {
            Some(text) => text,
            None if text.is_empty() => text,
            None => return None,
        };
        return is_nick(nick).then(|| Line::Message {
            nick: nick.to_owned(),
            text: text.to_owned(),
        });
    }
    let (nick, text) = rest.strip_prefix(" * ")?.split_once(' ')?;
    is_nick(nick).then(|| Line::Action {
        nick: nick.to_owned(),
        text: text.to_owned(),
    })
}

/// What follows `=== `: the kinds that carry no time.
fn untimed(rest: &str) -> Line {
    let notice = || Line::Notice {
        text: rest.to_owned(),
    };
    let Some((nick, what)) = rest.split_once(' ') else {
        return notice();
    };
    let what = what.trim_start();
    if !is_nick(nick) {
        return notice();
    }
    if let Some(to) = what.strip_prefix("is now known as ") {
        let to = to.trim_end();
        return if is_nick(to) {
            Line::Rename {
                from: nick.to_owned(),
                to: to.to_owned(),
            }
        } else {
            notice()
        };
    }
    if what.starts_with("was kicked off #") {
        return Line::Kick {
            nick: nick.to_owned(),
        };
    }
    // The host is in brackets; what people wrote (`=== nick has left the house`) is not.
    let after_host = what.strip_prefix('[').and_then(|what| what.split_once(']'));
    match after_host.map(|(_, what)| what.trim_start()) {
        Some(what) if what.starts_with("has joined #") => Line::Join {
            nick: nick.to_owned(),
        },
        Some(what) if what.starts_with("has left #") || what.starts_with("has quit") => {
            Line::Leave {
                nick: nick.to_owned(),
            }
        }
        _ => notice(),
    }
}

fn is_nick(nick: &str) -> bool {
    !nick.is_empty() && !nick.contains(char::is_whitespace)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(line: &str) -> Line {
        let mut lines = parse(line);
        assert_eq!(lines.len(), 1);
        lines.remove(0)
    }

    #[test]
    fn every_kind_of_line_is_told_apart() {
        let nick = || "Al|ce`".to_owned();
        let text = |text: &str| Line::Message {
            nick: nick(),
            text: text.to_owned(),
        };
        assert_eq!(one("[11:22] <Al|ce`> hello"), text("hello"));
        assert_eq!(
            one("[11:22] <Al|ce`>  two <b> > spaces  "),
            text(" two <b> > spaces  ")
        );
        assert_eq!(one("[11:22] <Al|ce`>"), text(""));
        assert_eq!(one("[11:22] <Al|ce` > hello"), text("hello"));
        assert_eq!(
            one("[11:22]  * Al|ce` waves *"),
            Line::Action {
                nick: nick(),
                text: "waves *".into()
            }
        );
        assert_eq!(
            one("=== Al|ce` [n=a@host]  has joined #ubuntu"),
            Line::Join { nick: nick() }
        );
        assert_eq!(
            one("=== Al|ce` [n=a@host]  has joined #Ubuntu"),
            Line::Join { nick: nick() }
        );
        assert_eq!(
            one("=== Al|ce` [i=a@b/c]  has left #ubuntu [\"Bye\"] "),
            Line::Leave { nick: nick() }
        );
        assert_eq!(
            one("=== Al|ce` [i=a@b]  has left #ubuntu []"),
            Line::Leave { nick: nick() }
        );
        assert_eq!(
            one("=== Al|ce` [i=a@b]  has quit [\"Bye\"]"),
            Line::Leave { nick: nick() }
        );
        assert_eq!(
            one("=== Al|ce` was kicked off #ubuntu by Bob (Bob)"),
            Line::Kick { nick: nick() }
        );
        assert_eq!(
            one("=== Al|ce` is now known as Alice"),
            Line::Rename {
                from: nick(),
                to: "Alice".into()
            }
        );
        for notice in [
            "mode/#ubuntu [-oo rob mdz]  by ChanServ",
            "..[topic/#ubuntu:Seveas] : Happy",
            "khermans claps",
            "Al|ce` has left #ubuntu, he says",
            "alone",
        ] {
            assert_eq!(
                one(&format!("=== {notice}")),
                Line::Notice {
                    text: notice.to_owned()
                }
            );
        }
        for unknown in [
            "",
            "hello",
            "[11:22]",
            "[11:22] ",
            "[1:22] <a> b",
            "[11:22] <> b",
            "[11:2ä] <a> b",
            "[11:22] <a>b",
            "===",
        ] {
            assert_eq!(
                parse_line(unknown),
                Line::Unknown {
                    text: unknown.to_owned()
                },
                "{unknown:?}"
            );
        }
    }

    #[test]
    fn a_real_day_loses_no_line() {
        let day = day("2006-06-01.txt");
        let census = Census::of(&day.lines);
        assert_eq!(census.total(), day.lines.len());
        if day.stands_in {
            return;
        }
        // Counted once with another program.
        let counted = Census {
            messages: 1721,
            actions: 0,
            joins: 290,
            leaves: 95,
            kicks: 1,
            renames: 8,
            notices: 50,
            unknown: 0,
        };
        assert_eq!(census, counted);
    }

    #[test]
    fn a_year_later_actions_are_timed() {
        let day = day("2008-04-27.txt");
        let census = Census::of(&day.lines);
        if !day.stands_in {
            assert_eq!(
                (
                    census.messages,
                    census.actions,
                    census.renames,
                    census.unknown
                ),
                (1939, 19, 21, 0)
            );
        }
    }

    #[test]
    fn the_stand_in_has_every_kind() {
        let census = Census::of(&parse(&stand_in::log()));
        assert!(census.messages >= 300, "{census:?}");
        for count in [
            census.actions,
            census.joins,
            census.leaves,
            census.kicks,
            census.renames,
            census.notices,
            census.unknown,
        ] {
            assert!(count > 0, "{census:?}");
        }
    }
}
