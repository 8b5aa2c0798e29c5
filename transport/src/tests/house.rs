//! A server in this process, and a client that writes its bytes by hand.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use fanfare_actors::account::{AccountBook, Clock, Parts, TokenKey};
use fanfare_actors::lease::Tenancy;
use fanfare_actors::node::{Node, NodeParts};
use fanfare_actors::rates::Rates;
use fanfare_engine::secret::DataSecret;
use fanfare_protocol::Limits;
use fanfare_storage::Memory;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::timeout;

use crate::accept::{AcceptLimits, Listener, OpenConnections, TrustedProxies};
use crate::ws::handshake::AllowedOrigins;
use crate::{Health, TransportParts, serve};

/// How long a test waits for something that must happen.
pub const PATIENCE: Duration = Duration::from_secs(20);

pub struct House {
    pub address: SocketAddr,
    pub open: OpenConnections,
    pub node: Node,
    _stop: watch::Sender<bool>,
}

/// An HTTP answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    head: String,
    pub body: String,
}

impl House {
    pub async fn new() -> Self {
        Self::with(Limits::default(), Rates::off()).await
    }

    pub async fn with(limits: Limits, rates: Rates) -> Self {
        let (limits, rates) = (Arc::new(limits), Arc::new(rates));
        let ports = Memory::new().ports();
        let secret = DataSecret::new([7; 32]);
        let accounts = Arc::new(AccountBook::new(Parts {
            accounts: Arc::clone(&ports.accounts),
            names: Arc::clone(&ports.names),
            families: Arc::clone(&ports.tokens),
            secret: secret.clone(),
            key: TokenKey::new([9; 32]),
            rates: Arc::clone(&rates),
            clock: Clock::wall(),
            limits: Arc::clone(&limits),
        }));
        let sole = ports.sole.clone().unwrap();
        let epoch = sole.claim_slots().await.unwrap();
        let node = Node::start(NodeParts {
            log: ports.log,
            members: ports.members,
            inbox: ports.inbox,
            marks: ports.marks,
            names: ports.names,
            tenancy: Tenancy::Sole(sole, epoch),
            accounts,
            rates,
            secret,
            shards: 1,
            limits: Arc::clone(&limits),
        });
        let node = node.await.unwrap();
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let accepts = AcceptLimits::from(&*limits);
        let listener = Listener::bind(any_port, accepts, TrustedProxies::default()).unwrap();
        let (address, open) = (listener.local_addr().unwrap(), listener.open());
        let parts = TransportParts {
            gateway: node.gateway(),
            health: Health {
                ready: Arc::new(|| Err("the test says so".to_owned())),
                metrics: Arc::new(|| panic!("a handler that panics")),
            },
            origins: AllowedOrigins::new(["https://app.example.org"]),
        };
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(serve(listener, parts, stopped, PATIENCE));
        Self {
            address,
            open,
            node,
            _stop: stop,
        }
    }

    pub async fn tcp(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// One request on a connection of its own, `lines` being headers; gives
    /// `None` when the connection ends without an answer.
    pub async fn try_ask(
        &self,
        method: &str,
        path: &str,
        lines: &[&[u8]],
        body: &[u8],
    ) -> Option<Answer> {
        let answer = self.exchange(method, path, lines, body).await;
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n")?;
        Some(Answer {
            status: head.split(' ').nth(1).unwrap().parse().unwrap(),
            head: head.to_owned(),
            body: body.to_owned(),
        })
    }

    /// The same, with a body that is no text.
    pub async fn bytes_of(
        &self,
        method: &str,
        path: &str,
        lines: &[&[u8]],
        body: &[u8],
    ) -> (String, Vec<u8>) {
        let mut answer = self.exchange(method, path, lines, body).await;
        let end = answer.windows(4).position(|at| at == b"\r\n\r\n");
        let body = answer.split_off(end.unwrap() + 4);
        (String::from_utf8(answer).unwrap(), body)
    }

    async fn exchange(&self, method: &str, path: &str, lines: &[&[u8]], body: &[u8]) -> Vec<u8> {
        let mut request = format!("{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n");
        if !lines.contains(&&b"Transfer-Encoding: chunked"[..]) {
            request += &format!("Content-Length: {}\r\n", body.len());
        }
        let mut request = request.into_bytes();
        for line in lines {
            request.extend([line, &b"\r\n"[..]].concat());
        }
        request.extend([b"\r\n", body].concat());
        let mut stream = self.tcp().await;
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(&request).await;
        let mut answer = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut answer))
            .await
            .unwrap();
        answer
    }

    /// The same, without a body.
    pub async fn ask(&self, method: &str, path: &str, lines: &[&[u8]]) -> Answer {
        let answer = self.try_ask(method, path, lines, b"").await;
        answer.unwrap_or_else(|| panic!("no answer to {method} {path}"))
    }

    /// The same, with JSON.
    pub async fn post(&self, path: &str, lines: &[&[u8]], body: Value) -> Answer {
        let body = body.to_string();
        self.try_ask("POST", path, lines, body.as_bytes())
            .await
            .unwrap()
    }

    /// Registers somebody; gives the header that says so.
    pub async fn register(&self, name: &str) -> Vec<u8> {
        let body = json!({
            "username": name,
            "email": format!("{name}@example.org"),
            "password": "correct horse battery",
        });
        let answer = self.post("/api/v1/auth/register", &[], body).await;
        assert_eq!(answer.status, 201, "{answer:?}");
        let token = answer.json()["data"]["accessToken"].clone();
        format!("Authorization: Bearer {}", token.as_str().unwrap()).into_bytes()
    }
}

impl Answer {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    pub fn code(&self) -> String {
        let json = self.json();
        json["error"]["code"].as_str().unwrap_or("none").to_owned()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (line_name, value) = line.split_once(':')?;
            line_name.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }
}
