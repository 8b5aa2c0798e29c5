//! Tables of what passes and what is refused under which field.

mod account;
mod content;
mod conversation;

use fanfare_protocol::{Code, Limits, Refusal};
use proptest::prelude::*;

use super::*;

/// The field that a refusal names, or `""` for none.
fn field<T>(outcome: Result<T, Refusal>) -> String {
    match outcome {
        Ok(_) => String::new(),
        Err(refusal) => {
            assert_eq!(refusal.code, Code::InvalidRequest, "{refusal:?}");
            let mut fields = refusal.details.into_keys();
            fields.next().expect("a refusal of a field names it")
        }
    }
}

fn passes(table: &[&str], check: impl Fn(&str) -> bool) {
    for text in table {
        assert!(check(text), "{text:?} should pass");
    }
}

fn fails(table: &[&str], check: impl Fn(&str) -> bool) {
    for text in table {
        assert!(!check(text), "{text:?} should be refused");
    }
}

#[test]
fn pages_and_cursors() {
    let limits = Limits::default();
    assert_eq!(page_rows(None, &limits), Ok(50));
    assert_eq!(page_rows(Some(1), &limits), Ok(1));
    assert_eq!(page_rows(Some(100), &limits), Ok(100));
    assert_eq!(field(page_rows(Some(0), &limits)), "limit");
    assert_eq!(field(page_rows(Some(101), &limits)), "limit");
    assert_eq!(field(cursor_count("cursors", 200, &limits)), "");
    assert_eq!(field(cursor_count("cursors", 201, &limits)), "cursors");
}

proptest! {
    #[test]
    fn no_text_makes_a_check_panic(text in any::<String>()) {
        let limits = Limits::default();
        let _ = (username(&text), email(&text), password(&text, &text, &text));
        let _ = (display_name(&text), bio(&text), slug(&text), emoji(&text));
        let _ = message_text(&text, &limits);
    }

    #[test]
    fn what_passes_is_normal_already(text in "[ A-Za-z0-9._@-]{0,40}") {
        if let Ok(claim) = username(&text) {
            prop_assert_eq!(username(&claim), Ok(claim.clone()));
            prop_assert_eq!(crate::mention::parse(&format!("@{claim}"), 1).usernames, vec![claim]);
        }
        if let Ok(address) = email(&text) {
            prop_assert_eq!(email(&address), Ok(address.clone()));
        }
        if let Ok(name) = display_name(&text) {
            prop_assert_eq!(display_name(&name), Ok(name.clone()));
        }
    }
}
