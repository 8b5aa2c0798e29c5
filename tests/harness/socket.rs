//! An honest WebSocket client: replies by id, events in order, cursors as PROTOCOL
//! says clients keep them.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async};

use super::dial::{Duplex, dial};
use super::inbox::{Cursor, Event, Inbox, Keep};
use super::{Refusal, SOON};

/// In which codec a socket speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Codec {
    Json,
    MessagePack,
}

const MESSAGE_PACK: &str = "fanfare.v1.msgpack";

/// How to open a socket that is not the usual one.
#[derive(Debug, Clone, Default)]
pub struct Opening {
    /// Sent as `Authorization: Bearer`.
    pub bearer: Option<String>,
    pub origin: Option<String>,
    pub subprotocol: Option<String>,
    /// What follows `/ws`, like `?ticket=…`.
    pub query: String,
}

impl Opening {
    /// Connects and takes the upgrade; no hello yet.
    pub async fn connect(&self, address: SocketAddr, keep: Keep) -> Result<Socket, Refusal> {
        let mut request = format!("ws://{address}/ws{}", self.query)
            .into_client_request()
            .map_err(Refusal::lost)?;
        let bearer = self.bearer.as_ref().map(|token| format!("Bearer {token}"));
        let headers = [
            ("authorization", &bearer),
            ("origin", &self.origin),
            ("sec-websocket-protocol", &self.subprotocol),
        ];
        for (name, value) in headers {
            if let Some(value) = value {
                request
                    .headers_mut()
                    .insert(name, HeaderValue::from_str(value).map_err(Refusal::lost)?);
            }
        }
        let upgrade = async {
            let stream = dial(address).await.map_err(Refusal::lost)?;
            client_async(request, stream)
                .await
                .map_err(|error| match error {
                    Error::Http(response) => {
                        let body: Value = response
                            .body()
                            .as_ref()
                            .and_then(|body| serde_json::from_slice(body).ok())
                            .unwrap_or(Value::Null);
                        Refusal::of(response.status().as_u16(), &body["error"])
                    }
                    other => Refusal::lost(other),
                })
        };
        let (stream, _) = tokio::time::timeout(SOON, upgrade)
            .await
            .map_err(Refusal::lost)??;
        let codec = match self.subprotocol.as_deref() {
            Some(MESSAGE_PACK) => Codec::MessagePack,
            _ => Codec::Json,
        };
        Ok(Socket::over(stream, keep, codec))
    }
}

/// One WebSocket of one device.
pub struct Socket {
    /// hello's reply; `Null` before.
    pub hello: Value,
    outbox: mpsc::UnboundedSender<Message>,
    inbox: Arc<Mutex<Inbox>>,
    changed: watch::Receiver<u64>,
    next_id: AtomicU64,
    codec: Codec,
    task: tokio::task::JoinHandle<()>,
}

impl Socket {
    /// Connects and says hello with a token and cursors.
    pub async fn open(address: SocketAddr, token: &str, cursors: Value) -> Result<Self, Refusal> {
        Self::open_in(Codec::Json, address, token, cursors, Keep::All).await
    }

    /// The same in any codec, remembering what `keep` says.
    pub async fn open_in(
        codec: Codec,
        address: SocketAddr,
        token: &str,
        cursors: Value,
        keep: Keep,
    ) -> Result<Self, Refusal> {
        let opening = Opening {
            // JSON also when nothing is offered.
            subprotocol: (codec == Codec::MessagePack).then(|| MESSAGE_PACK.to_owned()),
            ..Opening::default()
        };
        let mut socket = opening.connect(address, keep).await?;
        let hello = json!({"token": token, "device": {"kind": "desktop", "name": "test"}, "cursors": cursors});
        socket.hello = socket.request("session:hello", hello).await?;
        Ok(socket)
    }

    fn over(stream: WebSocketStream<Box<dyn Duplex>>, keep: Keep, codec: Codec) -> Self {
        let (outbox, queue) = mpsc::unbounded_channel();
        let inbox = Arc::new(Mutex::new(Inbox::default()));
        let (changes, changed) = watch::channel(0);
        let task = tokio::spawn(pump(stream, queue, Arc::clone(&inbox), changes, keep));
        Self {
            hello: Value::Null,
            outbox,
            inbox,
            changed,
            next_id: AtomicU64::new(1),
            codec,
            task,
        }
    }

    /// A command without a key, answered.
    pub async fn request(&self, kind: &str, data: Value) -> Result<Value, Refusal> {
        self.start(kind, None, data).answer().await
    }

    /// A command under a key, answered.
    pub async fn request_as(&self, key: &str, kind: &str, data: Value) -> Result<Value, Refusal> {
        self.start(kind, Some(key), data).answer().await
    }

    /// Sends a message under a fresh key; gives it back as the reply has it.
    pub async fn say(&self, conversation: &str, text: &str) -> Result<Value, Refusal> {
        let data = json!({"conversation": conversation, "text": text});
        let mut reply = self
            .request_as(&super::new_key(), "message:send", data)
            .await?;
        Ok(reply["message"].take())
    }

    /// Sends a command now; its reply may be awaited later.
    pub fn start(&self, kind: &str, key: Option<&str>, data: Value) -> Pending {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut frame = json!({"id": id, "type": kind, "data": data});
        if let Some(key) = key {
            frame["key"] = key.into();
        }
        let (answer, pending) = oneshot::channel();
        {
            let mut inbox = self.inbox.lock().unwrap();
            if inbox.closed.is_none() {
                inbox.replies.insert(id, answer);
            }
        }
        self.write(match self.codec {
            Codec::Json => Message::text(frame.to_string()),
            Codec::MessagePack => Message::binary(rmp_serde::to_vec(&frame).unwrap()),
        });
        Pending(pending)
    }

    /// Sends any WebSocket message.
    pub fn write(&self, message: Message) {
        // Err: the connection is gone, which every reader of this socket learns.
        self.outbox.send(message).ok();
    }

    /// Everything received so far that is no reply.
    pub fn events(&self) -> Vec<Event> {
        self.inbox.lock().unwrap().events.clone()
    }

    /// The same, and forgets them; cursors stay.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut self.inbox.lock().unwrap().events)
    }

    /// The numbered events of one conversation.
    pub fn log(&self, conversation: &str) -> Vec<Event> {
        self.log_from(conversation, 0)
    }

    /// The same without the first `taken` of them.
    pub fn log_from(&self, conversation: &str, taken: usize) -> Vec<Event> {
        let inbox = self.inbox.lock().unwrap();
        let numbered = inbox
            .events
            .iter()
            .filter(|event| event.seq.is_some() && event.conversation == conversation);
        numbered.skip(taken).cloned().collect()
    }

    /// Returns when something was received or the connection ended, or after `within`.
    pub async fn changed_within(&self, within: Duration) {
        let mut changed = self.changed.clone();
        changed.borrow_and_update();
        // Err: nothing came, or nothing will come any more.
        tokio::time::timeout(within, changed.changed()).await.ok();
    }

    pub fn cursor(&self, conversation: &str) -> Option<Cursor> {
        self.inbox
            .lock()
            .unwrap()
            .cursors
            .get(conversation)
            .copied()
    }

    /// All cursors as hello and resume take them.
    pub fn cursors(&self) -> Value {
        self.inbox.lock().unwrap().places()
    }

    /// Conversations named in `resync` so far.
    pub fn resync(&self) -> Vec<String> {
        self.inbox.lock().unwrap().resync.clone()
    }

    /// Conversations named in `gone` so far.
    pub fn gone(&self) -> Vec<String> {
        self.inbox.lock().unwrap().gone.clone()
    }

    /// Panics when an event was missing, doubled or unasked for.
    pub fn expect_no_faults(&self) {
        let faults = self.inbox.lock().unwrap().faults.clone();
        assert!(
            faults.is_empty(),
            "{} faults: {:?}",
            faults.len(),
            &faults[..faults.len().min(8)]
        );
    }

    pub fn faults(&self) -> Vec<String> {
        self.inbox.lock().unwrap().faults.clone()
    }

    /// Waits for an event that `fits`, past ones included.
    pub async fn event(&self, what: &str, mut fits: impl FnMut(&Event) -> bool) -> Event {
        self.until(what, |inbox| {
            inbox.events.iter().find(|event| fits(event)).cloned()
        })
        .await
    }

    /// Waits for an event of this kind in this conversation, past ones included.
    pub async fn event_of(&self, kind: &str, conversation: &str) -> Event {
        let what = format!("{kind} in {conversation}");
        self.event(&what, |event| {
            event.kind == kind && event.conversation == conversation
        })
        .await
    }

    /// Waits until the cursor of `conversation` is at `seq` or beyond.
    pub async fn reaches(&self, conversation: &str, seq: u64) {
        let what = format!("cursor of {conversation} at {seq}");
        self.until(&what, |inbox| {
            inbox
                .cursors
                .get(conversation)
                .filter(|cursor| cursor.seq >= seq)
                .map(drop)
        })
        .await;
    }

    /// Waits for the end; gives the close code, or 1006 when there was none.
    pub async fn close_code(&self) -> u16 {
        self.close_code_within(SOON).await
    }

    /// The same with its own patience.
    pub async fn close_code_within(&self, within: Duration) -> u16 {
        let end = self
            .until_within("close", within, |inbox| inbox.closed.clone())
            .await;
        end.map_or(1006, |(code, _)| code)
    }

    pub fn is_open(&self) -> bool {
        self.inbox.lock().unwrap().closed.is_none()
    }

    async fn until<T>(&self, what: &str, look: impl FnMut(&Inbox) -> Option<T>) -> T {
        self.until_within(what, SOON, look).await
    }

    async fn until_within<T>(
        &self,
        what: &str,
        within: Duration,
        mut look: impl FnMut(&Inbox) -> Option<T>,
    ) -> T {
        let mut changed = self.changed.clone();
        let seen = async {
            loop {
                changed.borrow_and_update();
                if let Some(found) = look(&self.inbox.lock().unwrap()) {
                    return Some(found);
                }
                if changed.changed().await.is_err() {
                    return look(&self.inbox.lock().unwrap());
                }
            }
        };
        let found = tokio::time::timeout(within, seen).await;
        match found {
            Ok(Some(found)) => found,
            _ => {
                let inbox = self.inbox.lock().unwrap();
                let last: Vec<&Event> = inbox.events.iter().rev().take(5).collect();
                panic!(
                    "waited in vain for {what}; closed: {:?}; last events: {last:#?}",
                    inbox.closed
                );
            }
        }
    }
}

impl Drop for Socket {
    /// Cuts the connection without a close frame, as a lost network does.
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A command that was sent and may be answered.
pub struct Pending(oneshot::Receiver<Result<Value, Refusal>>);

impl Pending {
    /// The reply's data, the refusal, or `lost` when none comes in time.
    pub async fn answer(self) -> Result<Value, Refusal> {
        match tokio::time::timeout(SOON, self.0).await {
            Ok(Ok(reply)) => reply,
            Ok(Err(_)) => Err(Refusal::lost("the connection ended")),
            Err(_) => Err(Refusal::lost("no reply in time")),
        }
    }
}

async fn pump(
    stream: WebSocketStream<Box<dyn Duplex>>,
    mut queue: mpsc::UnboundedReceiver<Message>,
    inbox: Arc<Mutex<Inbox>>,
    changes: watch::Sender<u64>,
    keep: Keep,
) {
    let (mut sink, mut stream) = stream.split();
    let end = loop {
        tokio::select! {
            received = stream.next() => match received {
                Some(Ok(Message::Text(text))) => inbox.lock().unwrap().take(text.as_str(), keep),
                Some(Ok(Message::Binary(bytes))) => inbox.lock().unwrap().take(&text_of(&bytes), keep),
                Some(Ok(Message::Close(frame))) => break frame.map(close_of),
                Some(Ok(_)) => {}
                Some(Err(_)) | None => break None,
            },
            message = queue.recv() => match message {
                Some(message) => {
                    if sink.send(message).await.is_err() {
                        // What was received before the end is still to be read.
                        break drain(&mut stream, &inbox, keep).await;
                    }
                }
                None => break None,
            },
        }
        changes.send_modify(|count| *count += 1);
    };
    {
        let mut inbox = inbox.lock().unwrap();
        inbox.closed = Some(end);
        inbox.replies.clear();
    }
    changes.send_modify(|count| *count += 1);
}

async fn drain(
    stream: &mut futures_util::stream::SplitStream<WebSocketStream<Box<dyn Duplex>>>,
    inbox: &Mutex<Inbox>,
    keep: Keep,
) -> Option<(u16, String)> {
    loop {
        match stream.next().await? {
            Ok(Message::Text(text)) => inbox.lock().unwrap().take(text.as_str(), keep),
            Ok(Message::Binary(bytes)) => inbox.lock().unwrap().take(&text_of(&bytes), keep),
            Ok(Message::Close(frame)) => return frame.map(close_of),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}

/// A MessagePack frame as JSON; what is none is a fault of the server's.
fn text_of(packed: &[u8]) -> String {
    match rmp_serde::from_slice::<Value>(packed) {
        Ok(frame) => frame.to_string(),
        Err(error) => format!("no MessagePack ({error}): {packed:02x?}"),
    }
}

fn close_of(frame: CloseFrame) -> (u16, String) {
    (frame.code.into(), frame.reason.as_str().to_owned())
}
