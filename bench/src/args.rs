//! The command line of `fanfare-bench`.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// What was asked on the command line.
#[derive(Debug, Parser)]
#[command(name = "fanfare-bench", version, about)]
pub struct CommandLine {
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// R rooms of K members each, every room at its rate: CPU per delivery and latency
    Fanout(Box<Fanout>),
    /// Many small rooms: as fanout with other defaults
    Rooms(Box<Rooms>),
    /// Connections that do nothing: memory and CPU for each
    Idle(Box<Idle>),
    /// Many connect at once while others talk
    Storm(Box<Storm>),
    /// Raise the rate until the pace is lost: most deliveries per second
    Saturate(Box<Saturate>),
    /// Some sockets are never read: do the others notice?
    Slow(Box<Slow>),
    /// Put the newest results of a file into a page, as a table
    Report(Report),
    /// The yardstick: a server that does nothing but write ready frames
    Limit(Limit),
}

/// Which server is driven, and how it is reached.
#[derive(Debug, Clone, Args)]
pub struct Target {
    /// What the server speaks
    #[arg(long, value_enum, default_value_t = Server::Fanfare)]
    pub server: Server,
    /// A server that runs already, like ws://127.0.0.1:8080/ws
    #[arg(long, value_name = "URL")]
    pub url: Option<String>,
    /// Users and conversations of that server: the file of `fanfare seed`
    #[arg(long, value_name = "FILE", requires = "url")]
    pub seed: Option<PathBuf>,
    /// Process of that server, for its figures
    #[arg(long, value_name = "PID", requires = "url")]
    pub pid: Option<u32>,
    /// Seed and start this `fanfare` for the run
    #[arg(long, value_name = "FANFARE", conflicts_with = "url")]
    pub spawn: Option<PathBuf>,
    /// Speak TLS and trust this certificate, PEM; it must be for the address
    #[arg(long, value_name = "FILE")]
    pub tls_root: Option<PathBuf>,
    /// Arguments for the server that is started, as one string
    #[arg(long, value_name = "ARGS", allow_hyphen_values = true)]
    pub server_args: Option<String>,
    /// Folder below which the data of the started server is put
    #[arg(long, value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// Cores that the started server is pinned to, like 0 or 0,1
    #[arg(long, value_name = "CORES", value_delimiter = ',')]
    pub server_core: Vec<usize>,
    /// Core that the generator is pinned to
    #[arg(long, value_name = "CORE")]
    pub client_core: Option<usize>,
}

/// Servers this program can talk to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Server {
    /// Fanfare over WebSocket, JSON
    Fanfare,
    /// Fanfare over event streams, for all but those who publish
    FanfareEvents,
    /// Our own limit: one write per delivery
    Limit,
    /// Our own limit, gathering what waits
    LimitCoalesce,
    /// Any plain WebSocket broadcaster
    Plain,
    /// Peer: a broadcaster over Node's ws
    Ws,
    /// Peer: the same, one write per member and turn of the event loop
    WsCoalescing,
    /// Peer: Socket.IO
    Socketio,
    /// Peer: Socket.IO, every message inserted into PostgreSQL first
    SocketioPg,
    /// Peer: nats-server over WebSocket
    Nats,
    /// Peer: Centrifugo
    Centrifugo,
    /// Peer: Centrifugo with history and recovery, in memory
    CentrifugoHistory,
}

/// How the load is made and told.
#[derive(Debug, Clone, Args)]
pub struct Load {
    /// Bytes of a message's text
    #[arg(long, default_value_t = 200)]
    pub payload: usize,
    /// Frames of the limit servers are filled up to this many bytes
    #[arg(long, default_value_t = 0)]
    pub frame_bytes: usize,
    /// Threads of the generator
    #[arg(long, default_value_t = 1)]
    pub threads: usize,
    /// Load before anything is measured, in seconds
    #[arg(long, default_value_t = 2.0)]
    pub warm_up: f64,
    /// What is measured, in seconds
    #[arg(long, default_value_t = 10.0)]
    pub seconds: f64,
    /// Deliveries later than this are named
    #[arg(long, default_value_t = 5000)]
    pub late_ms: u64,
    /// Ask Fanfare for a reply to every message
    #[arg(long)]
    pub replies: bool,
    /// Append the result to this file, one JSON line each
    #[arg(long, value_name = "FILE")]
    pub json: Option<PathBuf>,
    /// No progress on stderr
    #[arg(long)]
    pub quiet: bool,
}

/// `fanfare-bench fanout`.
#[derive(Debug, Clone, Args)]
pub struct Fanout {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub load: Load,
    /// Rooms
    #[arg(long, default_value_t = 1)]
    pub rooms: usize,
    /// Members of each room
    #[arg(long, default_value_t = 1000)]
    pub members: usize,
    /// Messages per second in each room
    #[arg(long, default_value_t = 20.0)]
    pub rate: f64,
}

/// `fanfare-bench rooms`.
#[derive(Debug, Clone, Args)]
pub struct Rooms {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub load: Load,
    /// Rooms
    #[arg(long, default_value_t = 500)]
    pub rooms: usize,
    /// Members of each room
    #[arg(long, default_value_t = 10)]
    pub members: usize,
    /// Messages per second in each room that talks
    #[arg(long, default_value_t = 1.0)]
    pub rate: f64,
    /// Who connects, if fewer than rooms × members: each is in several rooms then
    #[arg(long)]
    pub users: Option<usize>,
    /// How many of the rooms talk, if not all
    #[arg(long)]
    pub talking: Option<usize>,
}

/// `fanfare-bench idle`.
#[derive(Debug, Clone, Args)]
pub struct Idle {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub load: Load,
    /// Connections
    #[arg(long, default_value_t = 10_000)]
    pub connections: usize,
    /// Rooms that each is a member of
    #[arg(long, default_value_t = 20)]
    pub subscriptions: usize,
    /// Members of each room
    #[arg(long, default_value_t = 10)]
    pub members: usize,
    /// Seconds between the last connect and the reading
    #[arg(long, default_value_t = 5.0)]
    pub settle: f64,
}

/// `fanfare-bench storm`.
#[derive(Debug, Clone, Args)]
pub struct Storm {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub load: Load,
    /// Who connect at once
    #[arg(long, default_value_t = 10_000)]
    pub connections: usize,
    /// Connected before, in rooms that talk
    #[arg(long, default_value_t = 1000)]
    pub settled: usize,
    /// Members of each room
    #[arg(long, default_value_t = 10)]
    pub members: usize,
    /// Messages per second in each room that talks
    #[arg(long, default_value_t = 1.0)]
    pub rate: f64,
    /// Seconds after which those who are not ready count as turned away
    #[arg(long, default_value_t = 60.0)]
    pub patience: f64,
}

/// `fanfare-bench saturate`.
#[derive(Debug, Clone, Args)]
pub struct Saturate {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub load: Load,
    /// Rooms
    #[arg(long, default_value_t = 1)]
    pub rooms: usize,
    /// Members of each room
    #[arg(long, default_value_t = 1000)]
    pub members: usize,
    /// Messages per second in all rooms together, first step
    #[arg(long, default_value_t = 50.0)]
    pub start: f64,
    /// Each step offers so many times the one before
    #[arg(long, default_value_t = 1.5)]
    pub factor: f64,
    /// How often the edge is halved
    #[arg(long, default_value_t = 3)]
    pub halvings: usize,
    /// In the end so many times the rate that was kept: the goodput under overload; 0: not at all
    #[arg(long, default_value_t = 3.0)]
    pub beyond: f64,
}

/// `fanfare-bench slow`.
#[derive(Debug, Clone, Args)]
pub struct Slow {
    #[command(flatten)]
    pub target: Target,
    #[command(flatten)]
    pub load: Load,
    /// Rooms
    #[arg(long, default_value_t = 1)]
    pub rooms: usize,
    /// Members of each room
    #[arg(long, default_value_t = 1000)]
    pub members: usize,
    /// Messages per second in each room
    #[arg(long, default_value_t = 20.0)]
    pub rate: f64,
    /// How many of 100 sockets are never read
    #[arg(long, default_value_t = 5)]
    pub percent: usize,
    /// Runs with and without, alternating
    #[arg(long, default_value_t = 10)]
    pub pairs: usize,
}

/// `fanfare-bench report`.
#[derive(Debug, Clone, Args)]
pub struct Report {
    /// File that `--json` appended to
    #[arg(long, value_name = "FILE")]
    pub results: PathBuf,
    /// Page with the marks between which the table goes
    #[arg(long, value_name = "FILE")]
    pub page: PathBuf,
}

/// `fanfare-bench limit`.
#[derive(Debug, Clone, Args)]
pub struct Limit {
    /// Where to listen; port 0 takes a free one and prints it
    #[arg(long, value_name = "ADDR:PORT", default_value = "127.0.0.1:0")]
    pub listen: String,
    /// Gather what waits for a socket into one write
    #[arg(long)]
    pub coalesce: bool,
    /// Fill frames up to this many bytes
    #[arg(long, default_value_t = 0)]
    pub frame_bytes: usize,
    /// Break deliveries on purpose
    #[arg(long, value_enum)]
    pub fault: Option<crate::limit::Kind>,
    /// Break one delivery in so many
    #[arg(long, default_value_t = 10_000)]
    pub every: u64,
}
