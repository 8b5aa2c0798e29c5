//! Connections that go wrong: heads and sessions left half open, answers that stop,
//! resets in the middle of a frame, readers that never read.

use std::net::Ipv4Addr;
use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use crate::harness::raw::{Frame, Raw, TEXT, upgrade_request};

use super::house::House;

/// Each kind of stranger comes so often in a round.
const OF_EACH: usize = 4;
const ADDRESS: Ipv4Addr = Ipv4Addr::new(127, 0, 7, 7);
/// From one rewind of a deaf reader to the next, and how often it is patient.
const REWIND_EVERY: Duration = Duration::from_millis(100);
const REWINDS_MAX: usize = 300;

/// All of them; returns when the server has ended the last one.
pub async fn come(house: &House) {
    let crowd = (0..OF_EACH).map(|_| async {
        tokio::join!(
            half_head(house),
            no_hello(house),
            no_pong(house),
            resets(house)
        );
    });
    tokio::join!(futures_util::future::join_all(crowd), deaf(house));
}

/// A request whose headers do not end.
async fn half_head(house: &House) {
    let mut raw = Raw::connect(house.server.address()).await;
    raw.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nX-More: ")
        .await;
    raw.end().await;
}

/// A socket without a hello.
async fn no_hello(house: &House) {
    let mut raw = Raw::upgrade(house.server.address()).await;
    raw.close_code().await;
}

/// A session whose other side is gone without a word: nothing answers the pings.
async fn no_pong(house: &House) {
    let address = house.server.address();
    let mut raw = Raw::hello(address, &house.owner.access).await;
    assert_eq!(raw.close_code().await, 4001);
}

/// A reset in the middle of a frame.
async fn resets(house: &House) {
    let address = house.server.address();
    let token = &house.owner.access;
    let hello = json!({"id": 1, "type": "session:hello", "data": {"token": token}});
    let mut bytes = upgrade_request(address, "").into_bytes();
    bytes.extend(Frame::new(TEXT, hello.to_string()).bytes());
    let half = Frame::new(TEXT, "x".repeat(1000)).bytes();
    bytes.extend(&half[..500]);
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    stream.readable().await.unwrap();
    stream.set_zero_linger().unwrap();
}

/// Has the cellar's messages sent again and again and reads none of them.
async fn deaf(house: &House) {
    let address = house.server.address();
    let raw = Raw::connect_from(address, ADDRESS).await.unwrap();
    let mut raw = raw
        .upgraded(address)
        .await
        .greeted(&house.deaf.access)
        .await;
    let path = format!("/conversations/{}/messages?after=0&limit=1", house.cellar);
    let first = house.deaf.rest.get(&path).await.unwrap()["data"][0].take();
    let from = json!({"conversation": house.cellar, "epoch": first["epoch"], "seq": first["seq"]});
    let resume = json!({"type": "session:resume", "data": {"cursors": [from]}});
    let resume = Frame::new(TEXT, resume.to_string());
    for _ in 0..REWINDS_MAX {
        if !raw.frame(&resume).await {
            return;
        }
        tokio::time::sleep(REWIND_EVERY).await;
    }
    panic!("who never reads is not closed");
}
