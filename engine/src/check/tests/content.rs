//! Texts and reactions.

use super::*;

#[test]
fn message_texts_are_bounded_in_bytes_and_otherwise_free() {
    let limits = Limits::default();
    let ok = |text: &str| message_text(text, &limits).is_ok();
    let most = limits.message_text_bytes_max;
    passes(
        &[
            " ",
            "\u{0}\u{1b}[31m",
            "\u{202E}",
            "🦊",
            &"x".repeat(most),
            &"ä".repeat(most / 2),
        ],
        ok,
    );
    assert_eq!(field(message_text("", &limits)), "text");
    for text in ["x".repeat(most + 1), "ä".repeat(most / 2) + "x"] {
        let refusal = message_text(&text, &limits).expect_err("too long");
        assert_eq!(refusal.code, Code::TooLarge);
        assert!(refusal.details.contains_key("text"));
    }
}

#[test]
fn reactions_are_one_emoji() {
    let ok = |text: &str| emoji(text).is_ok();
    passes(
        &[
            "👍",
            "👍🏽",
            "❤️",
            "🏳️‍🌈",
            "👨‍👩‍👧‍👦",
            "👨🏻‍👩🏼‍👧🏽‍👦🏾",
            "🇩🇪",
            "1️⃣",
            "#️⃣",
            "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
            "✓",
            "é",
        ],
        ok,
    );
    fails(
        &[
            "",
            "a",
            "1",
            "+",
            "ab",
            "👍👍",
            "👍 ",
            " ",
            "\n",
            "\u{0}",
            "\u{200D}",
            "\u{FE0F}",
            "\u{202E}",
            "a\u{301}",
            "\r\n",
            "\u{A0}",
            &format!("👍{}", "\u{301}".repeat(40)),
        ],
        ok,
    );
    assert_eq!(field(emoji("a")), "emoji");
}
