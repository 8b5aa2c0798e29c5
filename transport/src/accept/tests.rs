//! The accept loop over loopback, with warp routes behind it.

mod tls;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use fanfare_actors::fanout::Wire;
use hyper::upgrade::OnUpgrade;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Notify, mpsc, watch};
use tokio::task::JoinHandle;
use warp::Filter;
use warp::http::{HeaderMap, Method};

use super::*;
use crate::ws::handshake::{self, AllowedOrigins, UpgradeRequest};

type Socket = (TcpStream, Bytes, ConnectionGuard);

/// No test waits longer for anything; none should come near it.
const PATIENCE: Duration = Duration::from_secs(10);
/// A deadline that passes quickly, for the tests that want it to pass.
const SHORT: Duration = Duration::from_millis(150);

fn limits() -> AcceptLimits {
    let long = Duration::from_secs(60);
    AcceptLimits {
        backlog: 64,
        connections_max: 100,
        connections_per_address_max: 50,
        unsent_bytes: 32 * 1024,
        unacknowledged_time_max: long,
        header_time_max: long,
        header_bytes_max: 4096,
        headers_max: 16,
        body_pace: BodyPace {
            grace: long,
            bytes_per_s_min: 1024,
        },
        response_stalled_time_max: long,
        failure_pause_min: Duration::from_millis(1),
        failure_pause_max: Duration::from_secs(1),
    }
}

struct Server {
    address: SocketAddr,
    open: OpenConnections,
    stop: watch::Sender<bool>,
    done: JoinHandle<Drained>,
    /// What was upgraded.
    sockets: mpsc::UnboundedReceiver<Socket>,
    /// `/wait` answers when told so, and says when it has begun.
    answer: Arc<Notify>,
    asked: Arc<Notify>,
}

impl Server {
    fn start(limits: AcceptLimits) -> Self {
        Self::behind(limits, TrustedProxies::default(), PATIENCE)
    }

    fn behind(limits: AcceptLimits, trusted: TrustedProxies, grace: Duration) -> Self {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        Self::over(Listener::bind(any_port, limits, trusted).unwrap(), grace)
    }

    fn over(listener: Listener, grace: Duration) -> Self {
        let (sender, sockets) = mpsc::unbounded_channel();
        let (answer, asked) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let routes = routes(sender, Arc::clone(&answer), Arc::clone(&asked));
        let (stop, stopped) = watch::channel(false);
        Self {
            address: listener.local_addr().unwrap(),
            open: listener.open(),
            stop,
            done: tokio::spawn(listener.serve(warp::service(routes), stopped, grace)),
            sockets,
            answer,
            asked,
        }
    }

    async fn connect(&self) -> Client {
        Client(within(TcpStream::connect(self.address)).await.unwrap())
    }

    async fn upgrade(&mut self, client: &mut Client, with: &str) -> Socket {
        client.send(&format!("{UPGRADE}{with}")).await;
        let head = client.read_until("\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
        within(self.sockets.recv()).await.unwrap()
    }

    async fn drained(self) -> Drained {
        self.stop.send_replace(true);
        within(self.done).await.unwrap()
    }
}

const UPGRADE: &str = "GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn routes(
    sockets: mpsc::UnboundedSender<Socket>,
    answer: Arc<Notify>,
    asked: Arc<Notify>,
) -> impl Filter<Extract = (impl warp::Reply,), Error = warp::Rejection> + Clone {
    let who = warp::path("who")
        .and(warp::ext::get::<PeerAddr>())
        .and(warp::ext::get::<ClientAddr>())
        .and(warp::ext::get::<HttpVersion>())
        .map(|peer: PeerAddr, client: ClientAddr, version: HttpVersion| {
            format!("{} {} {:?}", peer.0, client.0, version.0)
        });
    let length = warp::path("length")
        .and(warp::body::bytes())
        .map(|body: Bytes| body.len().to_string());
    let large = warp::path("large").map(|| "x".repeat(64 << 20));
    let wait = warp::path("wait").then(move || {
        let (answer, asked) = (Arc::clone(&answer), Arc::clone(&asked));
        async move {
            asked.notify_one();
            answer.notified().await;
            "waited"
        }
    });
    let ws = warp::path("ws")
        .and(warp::method())
        .and(warp::ext::get::<HttpVersion>())
        .and(warp::header::headers_cloned())
        .and(warp::ext::get::<OnUpgrade>())
        .and(warp::ext::get::<ConnectionGuard>())
        .map(
            move |method: Method, version: HttpVersion, headers: HeaderMap, upgrade, guard| {
                let request = UpgradeRequest {
                    method: &method,
                    version: version.0,
                    query: None,
                    headers: &headers,
                };
                let accepted = handshake::accept(request, &AllowedOrigins::default()).unwrap();
                tokio::spawn(hand_over(upgrade, guard, sockets.clone()));
                accepted.response::<warp::reply::Response>().map(|_| "")
            },
        );
    who.or(length).or(large).or(wait).or(ws)
}

async fn hand_over(
    upgrade: OnUpgrade,
    guard: ConnectionGuard,
    sockets: mpsc::UnboundedSender<Socket>,
) {
    let (wire, already_read) = into_wire(upgrade.await.unwrap()).unwrap();
    let Wire::Plain(tcp) = wire else {
        panic!("not over TLS")
    };
    let tcp = Arc::into_inner(tcp).unwrap();
    sockets.send((tcp, already_read, guard)).unwrap();
}

struct Client(TcpStream);

impl Client {
    async fn send(&mut self, bytes: &str) {
        self.0.write_all(bytes.as_bytes()).await.unwrap();
    }

    async fn read_until(&mut self, end: &str) -> String {
        let mut read = Vec::new();
        while !read.ends_with(end.as_bytes()) {
            let byte = within(self.0.read_u8()).await;
            read.push(byte.unwrap_or_else(|error| panic!("{error} after {read:?}")));
        }
        String::from_utf8(read).unwrap()
    }

    /// All that comes until the server closes; a reset counts as closing.
    async fn read_to_end(&mut self) -> String {
        let mut read = Vec::new();
        let _ = within(self.0.read_to_end(&mut read)).await;
        String::from_utf8(read).unwrap()
    }

    async fn get(&mut self, path: &str, headers: &str) -> String {
        self.send(&format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n"))
            .await;
        let head = self.read_until("\r\n\r\n").await.to_lowercase();
        let (_, length) = head.split_once("content-length: ").unwrap();
        let length = length.lines().next().unwrap().parse().unwrap();
        let mut body = vec![0; length];
        within(self.0.read_exact(&mut body)).await.unwrap();
        String::from_utf8(body).unwrap()
    }
}

async fn within<F: Future>(future: F) -> F::Output {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("took too long")
}

async fn until(what: &str, mut is_true: impl FnMut() -> bool) {
    let start = std::time::Instant::now();
    while !is_true() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn loopback_is_trusted() -> TrustedProxies {
    TrustedProxies::new(vec!["127.0.0.0/8".parse().unwrap()])
}

#[tokio::test]
async fn routes_see_who_asks() {
    let server = Server::start(limits());
    let mut client = server.connect().await;
    let own = client.0.local_addr().unwrap();
    let expected = format!("{own} 127.0.0.1 HTTP/1.1");
    assert_eq!(client.get("/who", "").await, expected);
    let spoofed = "X-Forwarded-For: 192.0.2.1\r\n";
    assert_eq!(
        client.get("/who", spoofed).await,
        expected,
        "and again on one connection"
    );
    assert_eq!(server.open.count(), 1);
    drop(client);
    until("the place is free", || server.open.count() == 0).await;
    assert_eq!(server.open.addresses(), 0);
}

#[tokio::test]
async fn slow_headers_and_idle_connections_are_closed() {
    let server = Server::start(AcceptLimits {
        header_time_max: SHORT,
        ..limits()
    });
    let (mut silent, mut half, mut idle) = (
        server.connect().await,
        server.connect().await,
        server.connect().await,
    );
    half.send("GET /who HTTP/1.1\r\nHos").await;
    assert!(idle.get("/who", "").await.ends_with("HTTP/1.1"));
    for client in [&mut silent, &mut half, &mut idle] {
        let answer = client.read_to_end().await;
        assert!(!answer.contains("200 OK"), "{answer}");
    }
    until("all places are free", || server.open.count() == 0).await;
}

#[tokio::test]
async fn headers_are_limited_in_size_and_number() {
    let server = Server::start(limits());
    let long = format!("X-Long: {}\r\n", "x".repeat(4096));
    let many: String = (0..20).map(|n| format!("X-{n}: 1\r\n")).collect();
    for headers in [long, many] {
        let mut client = server.connect().await;
        client
            .send(&format!("GET /who HTTP/1.1\r\nHost: x\r\n{headers}\r\n"))
            .await;
        let answer = client.read_to_end().await;
        assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_stops_coming_is_given_up() {
    let server = Server::start(AcceptLimits {
        body_pace: BodyPace {
            grace: SHORT,
            bytes_per_s_min: 1024,
        },
        ..limits()
    });
    let mut client = server.connect().await;
    client
        .send("POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 9\r\n\r\nfour")
        .await;
    let answer = client.read_to_end().await;
    assert!(!answer.contains("200 OK"), "{answer}");
    let mut client = server.connect().await;
    let whole = "POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nfour";
    client.send(whole).await;
    let answer = client.read_until("\r\n\r\n4").await;
    assert!(answer.contains("200 OK"), "{answer}");
}

#[tokio::test]
async fn a_response_that_nobody_reads_is_given_up() {
    let server = Server::start(AcceptLimits {
        response_stalled_time_max: SHORT,
        ..limits()
    });
    let mut client = server.connect().await;
    client.send("GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    until("it is served", || server.open.count() == 1).await;
    until("it is cut off", || server.open.count() == 0).await;
}

#[tokio::test]
async fn one_address_has_its_share() {
    let server = Server::start(AcceptLimits {
        connections_per_address_max: 2,
        ..limits()
    });
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    one.get("/who", "").await;
    two.get("/who", "").await;
    let mut three = server.connect().await;
    assert_eq!(
        three.read_to_end().await,
        "",
        "closed at once, without a word"
    );
    drop(one);
    until("its place is free", || server.open.count() == 1).await;
    server.connect().await.get("/who", "").await;
    assert_eq!(server.open.addresses(), 1);
}

#[tokio::test]
async fn beyond_the_total_the_answer_is_503() {
    let server = Server::start(AcceptLimits {
        connections_max: 1,
        ..limits()
    });
    let mut one = server.connect().await;
    one.get("/who", "").await;
    let answer = server.connect().await.read_to_end().await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(one.get("/who", "").await.ends_with("HTTP/1.1"));
}

#[tokio::test]
async fn behind_a_proxy_the_share_is_the_clients() {
    let limits = AcceptLimits {
        connections_per_address_max: 1,
        ..limits()
    };
    let server = Server::behind(limits, loopback_is_trusted(), PATIENCE);
    let (mut one, mut two) = (server.connect().await, server.connect().await);
    let alice = "X-Forwarded-For: 192.0.2.1\r\n";
    let seen = one.get("/who", alice).await;
    assert!(seen.contains(" 192.0.2.1 "), "{seen}");
    one.send(&format!("GET /wait HTTP/1.1\r\nHost: x\r\n{alice}\r\n"))
        .await;
    within(server.asked.notified()).await;
    assert_eq!(
        two.get("/who", "Forwarded: for=192.0.2.2\r\n")
            .await
            .split(' ')
            .nth(1),
        Some("192.0.2.2")
    );
    two.send(&format!("GET /who HTTP/1.1\r\nHost: x\r\n{alice}\r\n"))
        .await;
    let refused = two.read_to_end().await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    server.answer.notify_one();
    one.read_until("waited").await;
    one.get("/who", alice).await;
}

#[tokio::test]
async fn an_upgraded_socket_is_raw_counted_and_loses_no_byte() {
    let mut server = Server::start(limits());
    let mut client = server.connect().await;
    let (mut tcp, already_read, guard) = server.upgrade(&mut client, "first ").await;
    client.send("second").await;
    let mut read = already_read.to_vec();
    while read.len() < 12 {
        within(tcp.read_buf(&mut read)).await.unwrap();
    }
    assert_eq!(read, b"first second");
    tcp.write_all(b"back").await.unwrap();
    client.read_until("back").await;

    assert!(tcp.nodelay().unwrap());
    #[cfg(target_os = "linux")]
    {
        let socket = socket2::SockRef::from(&tcp);
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), 32 * 1024);
        assert_eq!(
            socket.tcp_user_timeout().unwrap(),
            Some(Duration::from_secs(60))
        );
    }

    drop(tcp);
    assert_eq!(
        (server.open.count(), server.open.addresses()),
        (1, 1),
        "the guard counts"
    );
    drop(guard);
    assert_eq!((server.open.count(), server.open.addresses()), (0, 0));
}

#[tokio::test]
async fn a_drain_lets_requests_finish_and_leaves_sockets_alone() {
    let mut server = Server::start(limits());
    let mut socket_client = server.connect().await;
    let (mut tcp, _, guard) = server.upgrade(&mut socket_client, "").await;
    let (mut idle, mut busy) = (server.connect().await, server.connect().await);
    idle.get("/who", "").await;
    busy.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    within(server.asked.notified()).await;

    server.stop.send_replace(true);
    assert_eq!(
        idle.read_to_end().await,
        "",
        "an idle connection ends at once"
    );
    assert!(!server.done.is_finished(), "a request is under way");
    within(async { while TcpStream::connect(server.address).await.is_ok() {} }).await;
    server.answer.notify_one();
    let answer = busy.read_to_end().await;
    assert!(
        answer.contains("200 OK") && answer.ends_with("waited"),
        "{answer}"
    );
    assert_eq!(within(server.done).await.unwrap(), Drained { cut_off: 0 });

    tcp.write_all(b"still here").await.unwrap();
    socket_client.read_until("still here").await;
    assert_eq!(server.open.count(), 1);
    let open = server.open.clone();
    let closed = tokio::spawn(async move { open.all_closed().await });
    assert!(!closed.is_finished());
    drop((tcp, guard));
    within(closed).await.unwrap();
}

#[tokio::test]
async fn a_drain_ends_when_the_grace_is_over() {
    let server = Server::behind(limits(), TrustedProxies::default(), SHORT);
    let mut busy = server.connect().await;
    busy.send("GET /wait HTTP/1.1\r\nHost: x\r\n\r\n").await;
    within(server.asked.notified()).await;
    let open = server.open.clone();
    assert_eq!(server.drained().await, Drained { cut_off: 1 });
    assert_eq!(busy.read_to_end().await, "");
    assert_eq!(open.count(), 0);
}

#[tokio::test]
async fn two_listeners_do_not_share_a_port() {
    let server = Server::start(limits());
    let again = Listener::bind(server.address, limits(), TrustedProxies::default());
    assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::AddrInUse);
    let not_ours = SocketAddr::from((IpAddr::from([192, 0, 2, 1]), 0));
    assert!(Listener::bind(not_ours, limits(), TrustedProxies::default()).is_err());
}
