//! Whole messages of every size, in every cut (Autobahn 1, 9, 10).

use fanfare_protocol::Limits;

use crate::echo::large_limits;
use crate::peer::{BINARY, FINAL, Peer, Received, TEXT, close, fragments, frame};
use crate::{Case, all, echo, goes, join};

#[tokio::test(flavor = "multi_thread")]
async fn every_length_comes_back_as_it_was() {
    let mut cases = Vec::new();
    for length in [0, 1, 125, 126, 127, 128, 1000] {
        let payload = vec![b'*'; length];
        let sent = |opcode| join(&[frame(FINAL | opcode, &payload), close(b"\x03\xe8")]);
        let text = join(&[vec![Received::Text(payload.clone())], goes()]);
        let binary = join(&[vec![Received::Binary(payload.clone())], goes()]);
        cases.push(Case::new(format!("text of {length}"), sent(TEXT), text));
        cases.push(Case::new(format!("{length} bytes"), sent(BINARY), binary));
    }
    all(&cases).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn long_messages_come_back_in_every_cut() {
    let echo = echo(Limits {
        // An answer must fit in.
        control_queue_bytes_max: 256 * 1024,
        ..Limits::default()
    });
    let mut peer = Peer::connect(&echo).await;
    for length in [65_535, 65_536, 128 * 1024] {
        let payload: Vec<u8> = (0..=255).cycle().take(length).collect();
        let whole = frame(FINAL | BINARY, &payload);
        for piece_bytes in [997, 16 * 1024, whole.len()] {
            for piece in whole.chunks(piece_bytes) {
                peer.write(piece).await;
            }
            let came = peer.receive().await;
            assert_eq!(came, Received::Binary(payload.clone()), "{length} bytes");
        }
        // Fragments of 1300 bytes, as clients cut for an Ethernet.
        peer.write(&fragments(BINARY, &payload, 1300).concat())
            .await;
        assert_eq!(peer.receive().await, Received::Binary(payload));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_of_megabytes_come_back_where_they_are_allowed() {
    let echo = echo(large_limits());
    let mut peer = Peer::connect(&echo).await;
    let payload = "Fröhliche Grüße ".repeat((4 << 20) / 18).into_bytes();
    peer.write(&frame(FINAL | TEXT, &payload)).await;
    assert_eq!(peer.receive().await, Received::Text(payload.clone()));
    peer.write(&fragments(TEXT, &payload, 64 * 1024).concat())
        .await;
    assert_eq!(peer.receive().await, Received::Text(payload));
    let payload = vec![0xFE; 16 << 20];
    peer.write(&frame(FINAL | BINARY, &payload)).await;
    assert!(peer.receive().await == Received::Binary(payload));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_messages_come_back_in_order() {
    let echo = echo(Limits::default());
    let mut peer = Peer::connect(&echo).await;
    let number = |at: u32| at.to_string().into_bytes();
    let many: Vec<u8> = (0..1000)
        .flat_map(|at| frame(FINAL | TEXT, &number(at)))
        .collect();
    peer.write(&many).await;
    for at in 0..1000 {
        assert_eq!(peer.receive().await, Received::Text(number(at)));
    }
}
