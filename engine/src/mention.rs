//! Who a text names: `@username`, and `@all` or `@here` for everybody.
//! Only spelling; whether the named are members is for the room to know.

use fanfare_protocol::limits::{USERNAME_CHARS_MAX, USERNAME_CHARS_MIN};

/// Names that mean everybody. No user may have them.
pub const EVERYBODY: [&str; 2] = ["all", "here"];

/// What a text names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Mentioned {
    /// Usernames, lowercase, in order of first mention, each once.
    pub usernames: Vec<String>,
    /// Whether everybody is named.
    pub all: bool,
}

/// Finds the mentions in a text, at most `mentions_max` usernames. Linear in
/// the text.
///
/// A mention is an `@` at the start or behind a character that is no letter,
/// digit or `_`, then a username that ends where no letter, digit or `@`
/// follows. So e-mail addresses are none, and a full stop behind a name does
/// not belong to it.
pub fn parse(text: &str, mentions_max: usize) -> Mentioned {
    let mut found = Mentioned::default();
    let mut rest = text;
    let mut before = None;
    while let Some((head, tail)) = rest.split_once('@') {
        let before_at = head.chars().next_back().or(before);
        let end = tail.find(|c: char| !is_name_char(c)).unwrap_or(tail.len());
        let (run, after) = tail.split_at(end);
        if !before_at.is_some_and(is_word) && !after.starts_with(|c| is_word(c) || c == '@') {
            found.note(run.trim_end_matches('.'), mentions_max);
        }
        before = run.chars().next_back();
        rest = after;
    }
    found
}

impl Mentioned {
    fn note(&mut self, name: &str, mentions_max: usize) {
        let fits = (USERNAME_CHARS_MIN..=USERNAME_CHARS_MAX).contains(&name.len());
        if !fits || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return;
        }
        let name = name.to_ascii_lowercase();
        if EVERYBODY.contains(&name.as_str()) {
            self.all = true;
        } else if self.usernames.len() < mentions_max && !self.usernames.contains(&name) {
            self.usernames.push(name);
        }
    }
}

/// What usernames are made of.
pub(crate) fn is_name_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(text: &str) -> String {
        let found = parse(text, 50);
        let all = if found.all {
            ["*".to_owned()].to_vec()
        } else {
            vec![]
        };
        [found.usernames, all].concat().join(" ")
    }

    #[test]
    fn mentions_as_people_write_them() {
        let table = [
            ("", ""),
            ("@", ""),
            ("@alice", "alice"),
            ("hello @Alice, and @bob.", "alice bob"),
            (
                "(@alice) @bob! @carol? @dave: @erin; @frank)",
                "alice bob carol dave erin frank",
            ),
            ("@alice... really", "alice"),
            ("@a.b-c_d.", "a.b-c_d"),
            ("@alice @ALICE @bob @alice", "alice bob"),
            ("@@alice", "alice"),
            ("alice@example.org", ""),
            ("mail alice@example.org, not @bob", "bob"),
            ("@alice@example.org", ""),
            ("grüß@alice", ""),
            ("a_@alice", ""),
            ("@aliceé", ""),
            ("@alice\u{301}", "alice"),
            ("、@alice、", "alice"),
            ("@a", ""),
            ("@.alice", ""),
            ("@-alice", ""),
            ("@alice's", "alice"),
            ("line\n@alice\n", "alice"),
            ("@all", "*"),
            ("@Here: look, @bob", "bob *"),
            ("@allison", "allison"),
            ("me@all", ""),
        ];
        for (text, expected) in table {
            assert_eq!(names(text), expected, "{text:?}");
        }
    }

    #[test]
    fn a_name_is_as_long_as_a_username_may_be() {
        let longest = "a".repeat(USERNAME_CHARS_MAX);
        assert_eq!(names(&format!("@{longest}")), longest);
        assert_eq!(names(&format!("@{longest}a")), "");
    }

    #[test]
    fn names_are_bounded_but_everybody_is_still_seen() {
        let text: String = (0..60).map(|n| format!("@user{n} ")).collect();
        let found = parse(&(text + "@all"), 50);
        assert_eq!(found.usernames.len(), 50);
        assert_eq!(found.usernames.first().map(String::as_str), Some("user0"));
        assert!(found.all);
    }

    proptest! {
        #[test]
        fn any_text_has_well_formed_mentions(text in "(\\PC|[@.a-b é\n])*") {
            let found = parse(&text, 5);
            prop_assert!(found.usernames.len() <= 5);
            for name in &found.usernames {
                let written = format!("@{name}");
                prop_assert!(text.to_ascii_lowercase().contains(&written));
                prop_assert!(name.chars().all(|c| is_name_char(c) && !c.is_ascii_uppercase()));
                prop_assert!(!name.ends_with('.'));
            }
        }

        #[test]
        fn what_is_mentioned_is_found(name in "[a-z0-9][a-z0-9_-]{1,31}", before in "[ (,]?", after in "[ .,:;!?)]?") {
            prop_assume!(!EVERYBODY.contains(&name.as_str()));
            let found = parse(&format!("{before}@{name}{after}"), 50);
            prop_assert_eq!(found.usernames, vec![name]);
        }
    }

    /// Counts steps by size: ten times the text may not cost a hundred times
    /// the characters looked at. Worst cases are many `@` and long runs.
    #[test]
    fn long_texts_are_read_once() {
        for piece in ["@", "a", "@a", "@@a.", "@alice ", "é@"] {
            let text = piece.repeat(1_000_000 / piece.len());
            // Quadratic work on a megabyte would not end within the test.
            let found = parse(&text, 50);
            assert!(found.usernames.len() <= 1, "{piece}");
        }
    }
}
