//! Text is UTF-8, and fails at its first wrong byte (Autobahn 6).

use fanfare_protocol::Limits;

use crate::peer::{CONTINUATION, FINAL, PING, Peer, Received, TEXT};
use crate::peer::{close, fragments, frame, text};
use crate::{Case, all, echo, ends, goes, join};

const NOT_UTF8: &str = "text is not UTF-8";

/// Texts that are valid: the ends of each length, what is no character but
/// may stand in text, and some that look broken.
const VALID: [&[u8]; 20] = [
    b"",
    b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!",
    "κόσμε".as_bytes(),
    b"\x00",
    b"\x7f",
    b"\xc2\x80",
    b"\xdf\xbf",
    b"\xe0\xa0\x80",
    b"\xef\xbf\xbd",
    b"\xef\xbf\xbe", // U+FFFE
    b"\xef\xbf\xbf", // U+FFFF
    b"\xef\xb7\x90", // U+FDD0
    b"\xf0\x90\x80\x80",
    b"\xf0\x9f\xbf\xbe", // U+1FFFE
    b"\xf4\x8f\xbf\xbf", // U+10FFFF
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    "\u{202e}right to left".as_bytes(),
    "👨‍👩‍👧‍👦".as_bytes(),
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
];

/// Texts that are not, each with the place of its first wrong byte: where no
/// continuation can mend it any more.
const BROKEN: [(&[u8], usize); 24] = [
    (b"\x80", 0),
    (b"\xbf", 0),
    (b"a\x80\xbfb", 1),
    (b"\xc0\xaf", 0), // overlong
    (b"\xc1\xbf", 0),
    (b"\xe0\x80\xaf", 1),
    (b"\xe0\x9f\xbf", 1),
    (b"\xf0\x80\x80\xaf", 1),
    (b"\xf0\x8f\xbf\xbf", 1),
    (b"\xf8\x88\x80\x80\x80", 0), // five and six bytes
    (b"\xfc\x84\x80\x80\x80\x80", 0),
    (b"\xfe", 0),
    (b"\xff", 0),
    (b"\xc3(", 1), // cut short
    (b"\xe2\x82(", 2),
    (b"\xf0\x9f\x98(", 3),
    (b"\xce\xba\xe1\xbd\xb9\xcf\xce", 6),
    (b"\xed\xa0\x80", 1), // surrogates
    (b"\xed\xad\xbf", 1),
    (b"\xed\xaf\xbf\xed\xbf\xbf", 1),
    (b"\xed\xbf\xbf", 1),
    (b"\xf4\x90\x80\x80", 1), // above U+10FFFF
    (b"\xf5\x80\x80\x80", 0),
    (b"\xce\xba\xcf\x83\xed\xa0\x80edited", 5),
];

#[tokio::test(flavor = "multi_thread")]
async fn valid_text_comes_back_cut_anywhere() {
    let mut cases = Vec::new();
    for payload in VALID {
        let answer = vec![Received::Text(payload.to_vec())];
        for bytes in [1, 2, payload.len().max(1)] {
            let pieces = fragments(TEXT, payload, bytes).concat();
            let sent = join(&[pieces, close(b"\x03\xe8")]);
            let what = format!("{payload:x?} in pieces of {bytes}");
            cases.push(Case::new(what, sent, join(&[answer.clone(), goes()])));
        }
    }
    all(&cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn broken_text_ends_the_connection() {
    let mut cases = Vec::new();
    for (payload, _) in BROKEN {
        for bytes in [1, payload.len()] {
            let what = format!("{payload:x?} in pieces of {bytes}");
            let sent = fragments(TEXT, payload, bytes).concat();
            cases.push(Case::new(what, sent, ends(1007, NOT_UTF8)));
        }
    }
    for payload in [&b"\xc3"[..], b"\xe2\x82", b"\xf0\x9f\x98", b"whole\xf0"] {
        let what = format!("{payload:x?}, where the message ends");
        cases.push(Case::new(what, text(payload), ends(1007, NOT_UTF8)));
    }
    all(&cases).await;
}

/// The end comes at the first wrong byte: what would follow is never sent.
#[tokio::test(flavor = "multi_thread")]
async fn broken_text_fails_where_it_breaks() {
    /// Of a frame of at most 125 bytes.
    const HEAD_BYTES: usize = 6;
    let echo = echo(Limits::default());
    for (payload, wrong_at) in BROKEN {
        let bytes = [b"valid until here: ", payload, b" and more to come"].concat();
        let valid = b"valid until here: ".len() + wrong_at;
        // Within one frame, whose rest never comes.
        let mut peer = Peer::connect(&echo).await;
        let whole = frame(FINAL | TEXT, &bytes);
        peer.write(&whole[..HEAD_BYTES + valid + 1]).await;
        assert_eq!(peer.rest().await, ends(1007, NOT_UTF8), "{payload:x?}");
        // Between fragments: before the wrong byte a ping is still answered.
        let mut peer = Peer::connect(&echo).await;
        peer.write(&frame(TEXT, &bytes[..valid])).await;
        peer.write(&frame(FINAL | PING, b"well?")).await;
        assert_eq!(peer.receive().await, Received::Pong(b"well?".to_vec()));
        peer.write(&frame(CONTINUATION, &bytes[valid..=valid]))
            .await;
        assert_eq!(peer.rest().await, ends(1007, NOT_UTF8), "{payload:x?}");
    }
}
