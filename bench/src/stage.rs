//! The server under test: found by its URL, or seeded, started, pinned and
//! ended here.

use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::args::{Load, Server, Target};
use crate::measure::{Family, Process};
use crate::peer::Peer;
use crate::plan::{self, Member, Plan};
use crate::trust;

/// How many of what a scenario needs.
#[derive(Debug, Clone, Copy)]
pub struct Cast {
    /// Connections.
    pub users: usize,
    /// Rooms.
    pub rooms: usize,
    /// Members of each room.
    pub members: usize,
}

/// A server that is ready, and who is to connect to it.
#[derive(Debug)]
pub struct Stage {
    /// Who connects and where.
    pub plan: Plan,
    /// Ids of the rooms, where the server has its own.
    pub room_ids: Vec<String>,
    /// The processes, if they are known.
    pub process: Option<Family>,
    /// Where it tells what it counts, in Prometheus' text form.
    pub metrics: Option<SocketAddr>,
    /// The server's version, where it said it.
    pub version: String,
    _started: Option<Started>,
    _peer: Option<Peer>,
    _folder: Option<tempfile::TempDir>,
}

impl Stage {
    /// Finds or starts the server.
    ///
    /// # Errors
    /// A sentence for people.
    pub fn set(target: &Target, load: &Load, cast: Cast) -> anyhow::Result<Self> {
        let stage = match (&target.url, &target.spawn, target.server) {
            (Some(url), _, _) => Self::found(url, target, load, cast),
            (None, Some(fanfare), Server::Fanfare | Server::FanfareEvents) => {
                Self::fanfare(fanfare, target, load, cast)
            }
            (None, _, Server::Limit | Server::LimitCoalesce) => Self::limit(target, load, cast),
            (None, None, Server::Fanfare | Server::FanfareEvents | Server::Plain) => {
                bail!("no server to measure: give --url, or --spawn with the `fanfare` binary")
            }
            (None, Some(_), _) => bail!("--spawn starts Fanfare only; others start by themselves"),
            (None, None, _) => Self::peer(target, load, cast),
        }?;
        if let Some(core) = target.client_core {
            pin(&[core])?;
        }
        Ok(stage)
    }

    fn found(url: &str, target: &Target, load: &Load, cast: Cast) -> anyhow::Result<Self> {
        let (address, path) = place(url, target.tls_root.is_some())?;
        let (members, room_ids) = match &target.seed {
            Some(file) => plan::seeded(file)?,
            None => (
                plan::planted(cast.users, cast.rooms, cast.members),
                Vec::new(),
            ),
        };
        Ok(Self {
            plan: whole(address, path, members, cast.rooms, (target, load))?,
            room_ids,
            process: target.pid.map(|pid| Family(vec![Process(pid)])),
            metrics: metrics(target, address),
            version: String::new(),
            _started: None,
            _peer: None,
            _folder: None,
        })
    }

    fn fanfare(binary: &Path, target: &Target, load: &Load, cast: Cast) -> anyhow::Result<Self> {
        let folder = match &target.data {
            Some(below) => tempfile::tempdir_in(below),
            None => tempfile::tempdir(),
        }
        .context("cannot make a folder for the server's data")?;
        let data = folder.path().join("data");
        let seed = folder.path().join("seed.jsonl");
        let seeded = Command::new(binary)
            .arg("seed")
            .args(["--users", &cast.users.to_string()])
            .args(["--conversations", &cast.rooms.to_string()])
            .args(["--members", &cast.members.to_string()])
            .arg("--out")
            .arg(&seed)
            .arg("--data")
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .output()
            .with_context(|| format!("cannot run {}", binary.display()))?;
        if !seeded.status.success() {
            bail!(
                "cannot seed: {}",
                String::from_utf8_lossy(&seeded.stderr).trim()
            );
        }
        let (members, room_ids) = plan::seeded(&seed)?;
        let mut command = Command::new(binary);
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--rates", "off"])
            .arg("--data")
            .arg(&data)
            .env("FANFARE_LIMITS__CONNECTIONS_PER_ADDRESS_MAX", "100000");
        let log = folder.path().join("server.log");
        let (started, address) = Started::start(command, target, &log)?;
        Ok(Self {
            plan: whole(address, "/ws", members, cast.rooms, (target, load))?,
            room_ids,
            process: Some(Family(vec![started.process()])),
            metrics: metrics(target, address),
            version: String::new(),
            _started: Some(started),
            _peer: None,
            _folder: Some(folder),
        })
    }

    fn peer(target: &Target, load: &Load, cast: Cast) -> anyhow::Result<Self> {
        let name = crate::scenario::name(target.server);
        let peer = Peer::start(&name, cast.users, &target.server_core)?;
        let (address, path) = place(&peer.ready.url, false)?;
        let mut members = plan::planted(cast.users, cast.rooms, cast.members);
        for (user, member) in members.iter_mut().enumerate() {
            peer.token(user).clone_into(&mut member.token);
        }
        let pids = peer.ready.pids.iter().copied();
        Ok(Self {
            plan: whole(address, path, members, cast.rooms, (target, load))?,
            room_ids: Vec::new(),
            process: Some(Family(pids.map(Process).collect())),
            metrics: None,
            version: peer.ready.version.clone(),
            _started: None,
            _peer: Some(peer),
            _folder: None,
        })
    }

    fn limit(target: &Target, load: &Load, cast: Cast) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let mut command = Command::new(std::env::current_exe()?);
        command
            .arg("limit")
            .args(["--frame-bytes", &load.frame_bytes.to_string()]);
        if target.server == Server::LimitCoalesce {
            command.arg("--coalesce");
        }
        let log = folder.path().join("server.log");
        let (started, address) = Started::start(command, target, &log)?;
        let members = plan::planted(cast.users, cast.rooms, cast.members);
        Ok(Self {
            plan: whole(address, "/", members, cast.rooms, (target, load))?,
            room_ids: Vec::new(),
            process: Some(Family(vec![started.process()])),
            metrics: None,
            version: String::new(),
            _started: Some(started),
            _peer: None,
            _folder: Some(folder),
        })
    }
}

/// Address and path of a `ws://` or `http://` URL, with TLS of a `wss://` or
/// `https://` one.
fn place(url: &str, by_tls: bool) -> anyhow::Result<(SocketAddr, &str)> {
    let [ws, http] = match by_tls {
        true => ["wss://", "https://"],
        false => ["ws://", "http://"],
    };
    let rest = url.strip_prefix(ws).or_else(|| url.strip_prefix(http));
    let rest = rest.with_context(|| format!("{url} is no {ws} URL"))?;
    let (host, path) = match rest.find('/') {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let address = (host.to_socket_addrs())
        .with_context(|| format!("cannot resolve {host}"))?
        .next()
        .with_context(|| format!("{host} has no address"))?;
    Ok((address, path))
}

fn whole(
    address: SocketAddr,
    path: &str,
    members: Vec<Member>,
    rooms: usize,
    (target, load): (&Target, &Load),
) -> anyhow::Result<Plan> {
    let root = target.tls_root.as_deref();
    Ok(Plan {
        tls: root.map(trust::client).transpose()?,
        publishers: plan::publishers(&members, rooms)?,
        address,
        host: address.to_string(),
        path: path.to_owned(),
        members,
        rooms,
        payload_bytes: load.payload,
    })
}

/// Fanfare's are on the same address; not asked by TLS.
fn metrics(target: &Target, address: SocketAddr) -> Option<SocketAddr> {
    let ours = matches!(target.server, Server::Fanfare | Server::FanfareEvents);
    (ours && target.tls_root.is_none()).then_some(address)
}

/// What a server's URL begins with.
fn scheme(target: &Target) -> &'static str {
    match target.tls_root {
        Some(_) => "https://",
        None => "http://",
    }
}

/// Keeps the calling thread, and what it starts from now on, on these cores.
fn pin(cores: &[usize]) -> anyhow::Result<()> {
    let mut set = CpuSet::new();
    for core in cores {
        set.set(*core);
    }
    sched_setaffinity(None, &set).with_context(|| format!("cannot use the cores {cores:?} only"))
}

/// A server that was started here and ends with this value.
#[derive(Debug)]
struct Started {
    child: Child,
    /// Held open: the server may say something more.
    _stdout: BufReader<std::process::ChildStdout>,
}

/// How long a server may take to end before it is killed.
const END_S: u64 = 15;

impl Started {
    /// Starts it on its core and waits until it says where it listens:
    /// a line with `listens on http://ADDR:PORT`.
    fn start(
        mut command: Command,
        target: &Target,
        log: &PathBuf,
    ) -> anyhow::Result<(Self, SocketAddr)> {
        if !target.server_core.is_empty() {
            // What is started inherits it; the generator moves away later.
            pin(&target.server_core)?;
        }
        if let Some(args) = &target.server_args {
            command.args(args.split_whitespace());
        }
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(log)?)
            .spawn()
            .context("cannot start the server")?;
        let stdout = child.stdout.take().context("the server has no stdout")?;
        let mut started = Self {
            child,
            _stdout: BufReader::new(stdout),
        };
        let mut line = String::new();
        loop {
            line.clear();
            if started._stdout.read_line(&mut line)? == 0 {
                let said = std::fs::read_to_string(log).unwrap_or_default();
                bail!("the server ended before it listened: {}", said.trim());
            }
            if let Some((_, url)) = line.split_once("listens on ") {
                let (url, scheme) = (url.trim(), scheme(target));
                let address = url.strip_prefix(scheme);
                let address = address.with_context(|| format!("{url} is no {scheme} URL"))?;
                let address = address.trim_end_matches('/');
                let address = address
                    .parse()
                    .with_context(|| format!("{address} is no address"))?;
                return Ok((started, address));
            }
        }
    }

    fn process(&self) -> Process {
        Process(self.child.id())
    }
}

impl Drop for Started {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        if let Some(pid) = pid {
            // It may be gone already.
            let _ = kill_process(pid, Signal::TERM);
        }
        let asked = Instant::now();
        while asked.elapsed() < Duration::from_secs(END_S) {
            match self.child.try_wait() {
                Ok(None) => std::thread::sleep(Duration::from_millis(10)),
                _ => return,
            }
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
