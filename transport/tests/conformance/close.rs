//! How connections end (Autobahn 7).

use crate::peer::{CONTINUATION, FINAL, PING, Received, TEXT, close, frame, text};
use crate::{Case, all, ends, goes, join};

const BAD_CODE: &str = "close code that may not be sent";

fn with_code(code: u16, reason: &[u8]) -> Vec<u8> {
    close(&[&code.to_be_bytes(), reason].concat())
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_answered_behind_a_close() {
    let hello = vec![Received::Text(b"hello".to_vec())];
    let bye = with_code(1000, b"");
    let all_of_it = join(&[text("late"), frame(FINAL | PING, b"late"), bye.clone()]);
    all(&[
        Case::new(
            "a message and a close",
            join(&[text("hello"), bye.clone()]),
            join(&[hello.clone(), goes()]),
        ),
        Case::new(
            "a message, a ping and a second close behind it",
            join(&[text("hello"), bye.clone(), all_of_it]),
            join(&[hello, goes()]),
        ),
        Case::new(
            "a close inside a message",
            join(&[
                frame(TEXT, b"frag"),
                bye.clone(),
                frame(FINAL | CONTINUATION, b"ment"),
            ]),
            goes(),
        ),
        Case::new(
            "a broken frame behind it",
            join(&[bye, vec![0xFF; 64]]),
            goes(),
        ),
        Case::new("a close without a code", close(b""), goes()),
    ])
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn payloads_of_close_frames_are_judged() {
    let longest = [b'*'; 123];
    let cut = "ä".repeat(61) + "é";
    let mut cases = vec![
        Case::new(
            "half a code",
            close(b"\x03"),
            ends(1002, "close frame with half a code"),
        ),
        Case::new(
            "a reason that is not UTF-8",
            with_code(
                1000,
                b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
            ),
            ends(1007, "text is not UTF-8"),
        ),
        Case::new(
            "a reason cut within a character",
            with_code(1000, &cut.as_bytes()[..121]),
            ends(1007, "text is not UTF-8"),
        ),
    ];
    for reason in [&b""[..], b"Hello World!", &longest] {
        let what = format!("a reason of {}", reason.len());
        cases.push(Case::new(what, with_code(1000, reason), goes()));
    }
    all(&cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn codes_are_echoed_or_refused() {
    let mut cases = Vec::new();
    let valid = [
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 3999, 4000,
        4999,
    ];
    let invalid = [
        0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65535,
    ];
    for code in valid {
        let what = format!("code {code}");
        cases.push(Case::new(what, with_code(code, b""), ends(code, "")));
    }
    for code in invalid {
        for reason in [&b""[..], b"reason"] {
            let what = format!("code {code}");
            cases.push(Case::new(
                what,
                with_code(code, reason),
                ends(1002, BAD_CODE),
            ));
        }
    }
    all(&cases).await;
}
