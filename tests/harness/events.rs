//! A client without WebSocket: frames by POST, an event stream down.

use std::net::SocketAddr;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::header::HOST;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::dial::dial;
use super::{Account, Refusal, SOON, Server};

/// A session that was begun; its stream may be open or not.
pub struct EventSession {
    /// hello's reply, the session's id and the ticket.
    pub begun: Value,
    account: Account,
    address: SocketAddr,
}

/// An open stream.
pub struct Events {
    body: Incoming,
    bytes: Vec<u8>,
    connection: JoinHandle<()>,
}

/// What a stream says.
#[derive(Debug, Clone, PartialEq)]
pub enum Said {
    Frame(Value),
    /// Keeps the connection in use.
    Comment,
    Close {
        code: u64,
        reason: String,
    },
    /// The body ended as HTTP ends one.
    End,
    /// It broke off.
    Broken,
}

impl EventSession {
    /// Says hello with these cursors.
    pub async fn begin(
        server: &Server,
        account: &Account,
        cursors: Value,
    ) -> Result<Self, Refusal> {
        let hello = json!({"device": {"kind": "web"}, "cursors": cursors});
        let mut answer = account.rest.post("/session", hello).await?;
        Ok(Self {
            begun: answer["data"].take(),
            account: account.clone(),
            address: server.address(),
        })
    }

    /// The same, and opens the stream.
    pub async fn open(
        server: &Server,
        account: &Account,
        cursors: Value,
    ) -> Result<(Self, Events), Refusal> {
        let session = Self::begin(server, account, cursors).await?;
        let events = session.events().await?;
        Ok((session, events))
    }

    pub fn id(&self) -> &str {
        self.begun["id"].as_str().unwrap()
    }

    /// Opens the stream with the ticket.
    pub async fn events(&self) -> Result<Events, Refusal> {
        let ticket = self.begun["ticket"].as_str().unwrap();
        Events::of(self.address, &format!("?ticket={ticket}")).await
    }

    /// POSTs one frame.
    pub async fn say(&self, frame: Value) -> Result<Value, Refusal> {
        self.say_as(&self.account, frame).await
    }

    /// The same with another's credentials.
    pub async fn say_as(&self, account: &Account, frame: Value) -> Result<Value, Refusal> {
        let path = format!("/session/{}/frames", self.id());
        account.rest.post(&path, frame).await
    }
}

impl Events {
    /// Asks for a stream.
    pub async fn of(address: SocketAddr, query: &str) -> Result<Self, Refusal> {
        let stream = dial(address).await.map_err(Refusal::lost)?;
        let connecting = hyper::client::conn::http1::handshake(TokioIo::new(stream));
        let (mut sender, connection) = connecting.await.map_err(Refusal::lost)?;
        let connection = tokio::spawn(async move {
            // How it ended is seen in the body.
            let _ = connection.await;
        });
        let request = hyper::Request::get(format!("/api/v1/session/events{query}"))
            .header(HOST, address.to_string())
            .body(Empty::<Bytes>::new())
            .unwrap();
        let response = tokio::time::timeout(SOON, sender.send_request(request)).await;
        let response = response.map_err(Refusal::lost)?.map_err(Refusal::lost)?;
        let (head, body) = response.into_parts();
        if head.status != 200 {
            let body = body.collect().await.map_err(Refusal::lost)?.to_bytes();
            let json: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
            return Err(Refusal::of(head.status.as_u16(), &json["error"]));
        }
        for (name, value) in [
            ("content-type", "text/event-stream"),
            ("cache-control", "no-store"),
            ("x-accel-buffering", "no"),
        ] {
            assert_eq!(head.headers[name], value, "{name}");
        }
        Ok(Self {
            body,
            bytes: Vec::new(),
            connection,
        })
    }

    /// The next thing it says.
    pub async fn next(&mut self) -> Said {
        loop {
            // A part may end within a character; an event does not.
            if let Some(at) = self.bytes.windows(2).position(|pair| pair == b"\n\n") {
                let event: Vec<u8> = self.bytes.drain(..at + 2).collect();
                return said(std::str::from_utf8(&event[..at]).unwrap());
            }
            let part = tokio::time::timeout(SOON * 2, self.body.frame()).await;
            match part.expect("the stream says something or ends") {
                Some(Ok(part)) => {
                    self.bytes.extend_from_slice(&part.into_data().unwrap());
                }
                Some(Err(_)) => return Said::Broken,
                None => {
                    assert_eq!(self.bytes, b"", "half an event at the end");
                    return Said::End;
                }
            }
        }
    }

    /// Everything up to a frame like this, in order, without comments.
    pub async fn until(&mut self, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
        let mut frames = Vec::new();
        loop {
            match self.next().await {
                Said::Comment => {}
                Said::Frame(frame) => {
                    let found = wanted(&frame);
                    frames.push(frame);
                    if found {
                        return frames;
                    }
                }
                other => panic!("{other:?} behind {frames:?}"),
            }
        }
    }

    /// The reply to the frame `id`.
    pub async fn reply(&mut self, id: u64) -> Value {
        let frames = self.until(|frame| frame["re"] == id).await;
        frames.last().cloned().unwrap()
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

/// One event: a single line of data, with a type only if it is the last.
fn said(event: &str) -> Said {
    let lines: Vec<&str> = event.split('\n').collect();
    let json = |line: &str| -> Value {
        let data = line.strip_prefix("data: ");
        serde_json::from_str(data.unwrap_or_else(|| panic!("{event:?}"))).unwrap()
    };
    match lines[..] {
        [":"] => Said::Comment,
        [data] => Said::Frame(json(data)),
        ["event: close", data] => {
            let data = json(data);
            Said::Close {
                code: data["code"].as_u64().unwrap(),
                reason: data["reason"].as_str().unwrap().to_owned(),
            }
        }
        _ => panic!("{event:?}"),
    }
}
