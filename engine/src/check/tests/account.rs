//! Names, addresses, passwords.

use fanfare_protocol::rest::{Login, Register, UpdateMe};

use super::*;

#[test]
fn usernames() {
    let ok = |name: &str| username(name).is_ok();
    let long = "a".repeat(33);
    passes(
        &[
            "al",
            "Alice",
            "7up",
            "a.b-c_d",
            "alice_",
            "alice-",
            &long[1..],
        ],
        ok,
    );
    fails(
        &[
            "", "a", ".al", "_al", "-al", "al.", "al ice", "älice", "al@x", "al\n", "all", "Here",
            &long,
        ],
        ok,
    );
    assert_eq!(username("AliCe"), Ok("alice".to_owned()));
    assert_eq!(field(username("")), "username");
}

#[test]
fn emails() {
    let ok = |address: &str| email(address).is_ok();
    let local = "l".repeat(64);
    let label = "d".repeat(63);
    let longest = format!("{local}@{label}.{label}.{}", "d".repeat(61));
    assert_eq!(longest.len(), 254);
    passes(
        &[
            "a@b",
            "alice@example.org",
            "a.b+c@x-y.example",
            "o'neil@example.org",
            &longest,
        ],
        ok,
    );
    fails(
        &[
            "",
            "@",
            "a@",
            "@b",
            "a",
            "a@b@c",
            "a b@c",
            ".a@b",
            "a.@b",
            "a..b@c",
            "a@b.",
            "a@.b",
            "a@-b",
            "a@b-",
            "a@b..c",
            "ä@b",
            "a@ä",
            "a@b\n",
            "\"a\"@b",
            "a@b c",
            "a@[127.0.0.1]",
            &format!("{longest}d"),
            &format!("l{local}@b"),
            &format!("a@d{label}"),
        ],
        ok,
    );
    assert_eq!(
        email("Alice@Example.ORG"),
        Ok("alice@example.org".to_owned())
    );
    assert_eq!(field(email("a")), "email");
}

#[test]
fn passwords() {
    let ok = |text: &str| password(text, "alice-in-town", "alice.b@example.org").is_ok();
    passes(
        &[
            "correct horse",
            "pässwörd",
            "        ",
            "🦊🦊🦊🦊🦊🦊🦊🦊",
            &"x".repeat(128),
        ],
        ok,
    );
    fails(
        &[
            "",
            "1234567",
            "🦊🦊🦊🦊🦊🦊🦊",
            &"x".repeat(129),
            "Password",
            "12345678",
            "ALICE-in-town",
            "alice.b@EXAMPLE.org",
        ],
        ok,
    );
    let refusal = password("Password123", "al", "al@b").expect_err("common");
    assert!(!format!("{refusal:?}").contains("Password123"));
}

#[test]
fn names_and_texts_for_people() {
    let ok = |name: &str| display_name(name).is_ok();
    let most = "ä".repeat(64);
    passes(&["A", "Alice B.", "Élodie 🦊", "א\u{200F}ב", &most], ok);
    fails(
        &[
            "",
            "   ",
            "a\tb",
            "a\nb",
            "a\u{0}b",
            "a\u{85}b",
            &format!("{most}ä"),
        ],
        ok,
    );
    assert_eq!(display_name("  Alice "), Ok("Alice".to_owned()));
    assert_eq!(field(display_name("")), "displayName");

    assert_eq!(bio(" two\nlines\t\r\n"), Ok("two\nlines".to_owned()));
    assert_eq!(bio(""), Ok(String::new()));
    assert_eq!(bio(&"b".repeat(500)).map(|text| text.len()), Ok(500));
    assert_eq!(field(bio(&"b".repeat(501))), "bio");
    assert_eq!(field(bio("bell\u{7}")), "bio");

    let change = |display_name: Option<&str>, bio: Option<&str>| {
        profile(&UpdateMe {
            display_name: display_name.map(str::to_owned),
            bio: bio.map(str::to_owned),
        })
    };
    assert_eq!(change(None, None), Ok(Profile::default()));
    assert_eq!(field(change(Some("a"), Some("\u{1}"))), "bio");
    assert_eq!(field(change(Some(""), Some("b"))), "displayName");
}

#[test]
fn registrations_and_log_ins() {
    let ask = Register {
        username: "AliCe".into(),
        email: "Alice@Example.org".into(),
        password: "correct horse".into(),
        display_name: None,
    };
    let checked = registration(&ask).expect("a good registration");
    assert_eq!(checked.username, "AliCe");
    assert_eq!(checked.username_claim, "alice");
    assert_eq!(checked.email, "alice@example.org");
    assert_eq!(checked.display_name, "AliCe");
    let named = Register {
        display_name: Some(" A ".into()),
        ..ask.clone()
    };
    assert_eq!(
        registration(&named).map(|r| r.display_name),
        Ok("A".to_owned())
    );
    let bad = [
        (
            Register {
                username: "a".into(),
                ..ask.clone()
            },
            "username",
        ),
        (
            Register {
                email: "a".into(),
                ..ask.clone()
            },
            "email",
        ),
        (
            Register {
                password: "a".into(),
                ..ask.clone()
            },
            "password",
        ),
        (
            Register {
                password: "alice@example.org".into(),
                ..ask.clone()
            },
            "password",
        ),
        (
            Register {
                display_name: Some(" ".into()),
                ..ask.clone()
            },
            "displayName",
        ),
    ];
    for (ask, expected) in bad {
        assert_eq!(field(registration(&ask)), expected);
    }

    let ask = |name: &str, password: &str| {
        login(&Login {
            login: name.to_owned(),
            password: password.to_owned(),
        })
    };
    assert_eq!(
        ask("Alice@Example.org", "x"),
        Ok("alice@example.org".to_owned())
    );
    assert_eq!(field(ask("", "x")), "login");
    assert_eq!(field(ask(&"a".repeat(255), "x")), "login");
    assert_eq!(field(ask("alice", "")), "password");
    assert_eq!(field(ask("alice", &"ä".repeat(129))), "password");
    assert_eq!(field(ask("alice", &"ä".repeat(128))), "");
}
