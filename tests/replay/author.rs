//! One author: a socket that comes back with its cursors, and a worker that does one
//! job after the other, repeating each with its key until it is answered for good.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot};

use super::{Door, Stage};
use crate::harness::{Account, Codec, Keep, Refusal, Rest, Socket};
use crate::history::{Attempt, Deed, Outcome, Recorder};
use crate::irc::plan::Act;

/// How long a job is repeated before the test gives up on it.
const PATIENCE: Duration = Duration::from_secs(90);
/// Between two tries when the server says nothing else.
const PAUSE: Duration = Duration::from_millis(50);

/// Something an author is told to do in the channel.
#[derive(Debug, Clone)]
pub enum Job {
    Do(Act),
    /// Changes the own message.
    Edit {
        id: String,
        seq: u64,
        text: String,
    },
    /// Removes the own message.
    Delete {
        id: String,
        seq: u64,
    },
    React {
        id: String,
        seq: u64,
        emoji: String,
    },
}

type Answer = Result<Value, Refusal>;
type Order = (Job, String, oneshot::Sender<Answer>);

/// An author and the worker that acts for them.
pub struct Author {
    seat: Arc<Seat>,
    orders: mpsc::UnboundedSender<Order>,
    worker: tokio::task::JoinHandle<()>,
}

impl Author {
    /// An author in `channel`; `pipelined` ones send before the last was answered.
    pub fn new(stage: &Stage, account: &Account, channel: &str, pipelined: bool) -> Self {
        let door = Door::from(stage.server.address());
        Self::behind(&door, stage, account, channel, pipelined)
    }

    /// The same, going through `door`.
    pub fn behind(
        door: &Door,
        stage: &Stage,
        account: &Account,
        channel: &str,
        pipelined: bool,
    ) -> Self {
        let seat = Arc::new(Seat {
            door: door.clone(),
            account: account.clone(),
            owner: stage.owner.rest.clone(),
            channel: channel.to_owned(),
            codec: stage.codec,
            recorder: Arc::clone(&stage.recorder),
            sockets: AtomicU32::new(0),
            socket: Mutex::new(None),
            faults: Mutex::default(),
        });
        let (orders, queue) = mpsc::unbounded_channel();
        let worker = tokio::spawn(work(Arc::clone(&seat), queue, pipelined));
        Self {
            seat,
            orders,
            worker,
        }
    }

    pub fn account(&self) -> &Account {
        &self.seat.account
    }

    /// Puts a job behind the earlier ones; its answer may be awaited later.
    pub fn order(&self, job: Job, key: String) -> oneshot::Receiver<Answer> {
        let (answer, answered) = oneshot::channel();
        self.orders.send((job, key, answer)).unwrap();
        answered
    }

    /// Opens the socket, or opens it again with its cursors.
    pub async fn connected(&self) -> Arc<Socket> {
        let address = self.seat.door.leads_to();
        self.seat.socket(address).await.unwrap()
    }

    /// Gaps and repeats on any of this author's connections.
    pub fn faults(&self) -> Vec<String> {
        let mut faults = self.seat.faults.lock().unwrap().clone();
        if let Some((_, socket)) = &*self.seat.socket.lock().unwrap() {
            faults.extend(socket.faults());
        }
        faults
    }
}

impl Drop for Author {
    fn drop(&mut self) {
        self.worker.abort();
    }
}

async fn work(seat: Arc<Seat>, mut queue: mpsc::UnboundedReceiver<Order>, pipelined: bool) {
    let mut said = tokio::task::JoinSet::new();
    while let Some((job, key, answer)) = queue.recv().await {
        if let (true, Job::Do(Act::Say(text))) = (pipelined, &job) {
            // The frame goes out here and now, so the order within the session is ours.
            let begun = seat.begin(text, &key).await;
            let seat = Arc::clone(&seat);
            let text = text.clone();
            said.spawn(async move {
                let reply = match begun {
                    Ok(pending) => seat.finish(pending, &text, &key).await,
                    Err(refusal) => Err(refusal),
                };
                answer.send(reply).ok(); // Err: nobody waits for it
            });
            continue;
        }
        while said.join_next().await.is_some() {}
        answer.send(seat.persist(&job, &key).await).ok(); // Err: nobody waits for it
    }
    while said.join_next().await.is_some() {}
}

struct Begun {
    pending: crate::harness::socket::Pending,
    invoked_us: u64,
    session: String,
}

struct Seat {
    door: Door,
    account: Account,
    /// The channel's owner, who kicks.
    owner: Rest,
    channel: String,
    codec: Codec,
    recorder: Arc<Recorder>,
    /// Sockets opened so far; names the session in the records.
    sockets: AtomicU32,
    /// The last one, and where it leads.
    socket: Mutex<Option<(SocketAddr, Arc<Socket>)>>,
    faults: Mutex<Vec<String>>,
}

impl Seat {
    /// The open socket, or a new one that resumes where the last one stood.
    async fn socket(&self, address: SocketAddr) -> Result<Arc<Socket>, Refusal> {
        let last = self.socket.lock().unwrap().clone();
        if let Some((to, socket)) = &last
            && *to == address
            && socket.is_open()
        {
            return Ok(Arc::clone(socket));
        }
        let cursors = last.as_ref().map_or(json!([]), |(_, last)| last.cursors());
        let token = &self.account.access;
        let opening = Socket::open_in(self.codec, address, token, cursors, Keep::Cursors);
        let socket = Arc::new(self.unless_it_leaves(address, opening).await?);
        if let Some((_, last)) = last {
            self.faults.lock().unwrap().extend(last.faults());
        }
        self.sockets.fetch_add(1, Ordering::Relaxed);
        *self.socket.lock().unwrap() = Some((address, Arc::clone(&socket)));
        Ok(socket)
    }

    /// What is asked at `address`, given up when the door leads elsewhere.
    async fn unless_it_leaves<T>(
        &self,
        address: SocketAddr,
        asked: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Refusal> {
        tokio::select! {
            answer = asked => answer,
            () = self.door.left(address) => Err(Refusal::lost("the door leads elsewhere")),
        }
    }

    /// Tries until the answer is final.
    async fn persist(&self, job: &Job, key: &str) -> Answer {
        let deadline = Instant::now() + PATIENCE;
        let mut tried = false;
        loop {
            let refusal = match self.attempt(job, key).await {
                Ok(reply) => return Ok(reply),
                Err(refusal) => refusal,
            };
            // A repeat of what had happened before its answer was lost.
            let done = match job {
                Job::Do(Act::Leave) => refusal.code == "not_a_member",
                Job::Do(Act::Kicked) => refusal.code == "not_found",
                _ => false,
            };
            if tried && done {
                return Ok(Value::Null);
            }
            if !refusal.is_worth_retrying() || Instant::now() > deadline {
                return Err(refusal);
            }
            tried = true;
            let wait_ms = refusal.error["retryAfterMs"]
                .as_u64()
                .map_or(PAUSE, Duration::from_millis);
            tokio::time::sleep(wait_ms.min(PAUSE * 10)).await;
        }
    }

    async fn attempt(&self, job: &Job, key: &str) -> Answer {
        let channel = self.channel.as_str();
        let (kind, data, deed) = match job {
            Job::Do(Act::Rename(name)) => {
                return self
                    .account
                    .rest
                    .call(
                        "PATCH",
                        "/users/me",
                        Some(json!({"displayName": name})),
                        Some(key),
                    )
                    .await;
            }
            Job::Do(Act::Kicked) => {
                let path = format!("/conversations/{channel}/participants/{}", self.account.id);
                return self.owner.call("DELETE", &path, None, Some(key)).await;
            }
            Job::Do(Act::Join) => ("conversation:join", json!({"conversation": channel}), None),
            Job::Do(Act::Leave) => ("conversation:leave", json!({"conversation": channel}), None),
            Job::Do(Act::Say(text)) => {
                let data = json!({"conversation": channel, "text": text});
                (
                    "message:send",
                    data,
                    Some(Deed::Send { text: text.clone() }),
                )
            }
            Job::Edit { id, seq, text } => {
                let deed = Deed::Edit {
                    target: *seq,
                    text: text.clone(),
                };
                (
                    "message:edit",
                    json!({"message": id, "text": text}),
                    Some(deed),
                )
            }
            Job::Delete { id, seq } => (
                "message:delete",
                json!({"message": id}),
                Some(Deed::Delete { target: *seq }),
            ),
            Job::React { id, seq, emoji } => {
                let deed = Deed::React {
                    target: *seq,
                    emoji: emoji.clone(),
                    on: true,
                };
                (
                    "message:react",
                    json!({"message": id, "emoji": emoji}),
                    Some(deed),
                )
            }
        };
        let address = self.door.leads_to();
        let socket = self.socket(address).await?;
        let (invoked_us, session) = (self.recorder.now_us(), self.session());
        let asked = socket.request_as(key, kind, data);
        let reply = self.unless_it_leaves(address, asked).await;
        if let Some(deed) = deed {
            self.record(deed, key, session, invoked_us, &reply);
        }
        reply
    }

    fn session(&self) -> String {
        format!(
            "{}/{}",
            self.account.username,
            self.sockets.load(Ordering::Relaxed)
        )
    }

    async fn begin(&self, text: &str, key: &str) -> Result<Begun, Refusal> {
        let socket = self.socket(self.door.leads_to()).await?;
        let invoked_us = self.recorder.now_us();
        let data = json!({"conversation": self.channel, "text": text});
        let pending = socket.start("message:send", Some(key), data);
        Ok(Begun {
            pending,
            invoked_us,
            session: self.session(),
        })
    }

    async fn finish(&self, begun: Begun, text: &str, key: &str) -> Answer {
        let reply = begun.pending.answer().await;
        self.record(
            Deed::Send {
                text: text.to_owned(),
            },
            key,
            begun.session,
            begun.invoked_us,
            &reply,
        );
        reply
    }

    fn record(&self, deed: Deed, key: &str, session: String, invoked_us: u64, reply: &Answer) {
        let number = |field: &str, reply: &Value| {
            reply["message"][field]
                .as_u64()
                .or(reply[field].as_u64())
                .unwrap_or_else(|| panic!("no {field} in {reply}"))
        };
        if let Err(refusal) = reply {
            self.recorder.refused(&refusal.code);
        }
        let outcome = match (reply, &deed) {
            (Ok(reply), Deed::Send { .. }) => Outcome::Ok {
                seq: number("seq", reply),
                epoch: number("epoch", reply),
            },
            (Ok(reply), _) => Outcome::Ok {
                seq: number("rev", reply),
                epoch: 0,
            },
            (Err(refusal), _) if refusal.is_worth_retrying() => Outcome::Unknown,
            (Err(refusal), _) => Outcome::Fail {
                code: refusal.code.clone(),
            },
        };
        self.recorder.record(Attempt {
            session,
            author: self.account.id.clone(),
            conversation: self.channel.clone(),
            key: key.to_owned(),
            deed,
            invoked_us,
            finished_us: self.recorder.now_us(),
            outcome,
        });
    }
}
