//! The real binary as a child process: started, watched, killed, started again.

use std::collections::HashMap;
use std::fs::File;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::keyspace::Keyspace;
use super::printed::Printed;
use super::{Authority, Process, Rest, SOON, dial, eventually};

/// How long a start, recovery included, may take.
const START_WITHIN: Duration = Duration::from_secs(60);
/// How long SIGTERM may take: the grace period and something.
const STOP_WITHIN: Duration = Duration::from_secs(30);

/// The binary under test: that of this build, or the one that `FANFARE_BINARY` names.
pub fn binary() -> String {
    std::env::var("FANFARE_BINARY").unwrap_or_else(|_| env!("CARGO_BIN_EXE_fanfare").to_owned())
}

/// How to start a server.
#[derive(Debug, Clone, Default)]
pub struct Options {
    config: String,
    rates_on: bool,
    port_kept: bool,
    disk_may_fail: bool,
    descriptors_max: Option<u32>,
    tls: Option<Arc<Authority>>,
    cql: Option<Keyspace>,
    standby: bool,
}

impl Options {
    pub fn new() -> Self {
        Self::default()
    }

    /// A limit that differs from its default.
    pub fn limit(mut self, name: &str, value: u64) -> Self {
        if self.config.is_empty() {
            self.config.push_str("[limits]\n");
        }
        self.config.push_str(&format!("{name} = {value}\n"));
        self
    }

    /// Leaves the rate limits on.
    pub fn rates_on(mut self) -> Self {
        self.rates_on = true;
        self
    }

    /// Makes [`Server::fail_disk`] possible: a file that may not grow is an
    /// error to this server instead of its end.
    pub fn disk_may_fail(mut self) -> Self {
        self.disk_may_fail = true;
        self
    }

    /// Starts under a limit of open files.
    pub fn descriptors_max(mut self, descriptors_max: u32) -> Self {
        self.descriptors_max = Some(descriptors_max);
        self
    }

    /// A port that stays the same over restarts. It lies below the ports that the
    /// kernel gives to clients, so that none of them takes it while the server is down.
    pub fn port_kept(mut self) -> Self {
        self.port_kept = true;
        self
    }

    /// With a certificate; the clients here know it.
    pub fn tls(mut self, authority: &Arc<Authority>) -> Self {
        self.tls = Some(Arc::clone(authority));
        self
    }

    /// On a CQL store in place of the embedded one.
    pub fn cql(mut self, keyspace: &Keyspace) -> Self {
        self.cql = Some(keyspace.clone());
        self
    }

    /// One that answers counts as started, ready or not.
    pub fn standby(mut self) -> Self {
        self.standby = true;
        self
    }

    /// The flags that lead other commands to the same store.
    pub fn store_flags(&self) -> Vec<String> {
        self.cql.as_ref().map(Keyspace::flags).unwrap_or_default()
    }

    pub async fn start(self) -> Server {
        self.start_on(Arc::new(tempfile::tempdir().unwrap())).await
    }

    /// Starts on data that is there already (or will be made there).
    pub async fn start_on(self, data: Arc<TempDir>) -> Server {
        let listen = if self.port_kept {
            format!("127.0.0.1:{}", quiet_port())
        } else {
            "127.0.0.1:0".to_owned()
        };
        let running = Running::launch(&self, data.path(), &listen);
        let server = Server {
            options: self,
            data,
            listen,
            running: Mutex::new(Some(running)),
        };
        server.ready().await;
        server
    }
}

/// A server that lives as long as this value.
pub struct Server {
    options: Options,
    data: Arc<TempDir>,
    listen: String,
    running: Mutex<Option<Running>>,
}

impl Server {
    /// Starts with fresh data and rates off.
    pub async fn start() -> Self {
        Options::new().start().await
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.running
            .lock()
            .unwrap()
            .as_ref()
            .expect("the server runs")
            .address
    }

    /// Its data folder (inside of a temporary one).
    pub fn data(&self) -> PathBuf {
        data_in(self.data.path())
    }

    /// A client without credentials.
    pub fn rest(&self) -> Rest {
        Rest::new(self.address())
    }

    pub fn is_running(&self) -> bool {
        self.running
            .lock()
            .unwrap()
            .as_mut()
            .is_some_and(|running| running.child.try_wait().unwrap().is_none())
    }

    /// The lines it printed so far.
    pub fn printed(&self) -> Vec<String> {
        self.running
            .lock()
            .unwrap()
            .as_ref()
            .map(|running| running.stdout.lines())
            .unwrap_or_default()
    }

    /// Its log so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(log_in(self.data.path())).unwrap_or_default()
    }

    /// Waits until it has printed or logged `text`, which may come a moment after it is
    /// ready.
    pub async fn says(&self, text: &str) {
        let said = || self.printed().iter().any(|line| line.contains(text));
        eventually(text, SOON, async || {
            (said() || self.log().contains(text)).then_some(())
        })
        .await;
    }

    /// kill -9, and waits until it is gone.
    pub fn kill9(&self) {
        let running = self.running.lock().unwrap().take();
        drop(running.expect("the server runs"));
    }

    /// As the system sees it.
    pub fn process(&self) -> Process {
        let running = self.running.lock().unwrap();
        Process(running.as_ref().expect("the server runs").child.id())
    }

    /// What it counts under this name (and labels, as they are written); 0 before the
    /// first time.
    pub async fn metric(&self, name: &str) -> f64 {
        let metrics = self.metrics().await;
        metrics.get(name).copied().unwrap_or_default()
    }

    /// Everything it counts, by name and labels.
    pub async fn metrics(&self) -> HashMap<String, f64> {
        let answer = self.rest().try_raw("GET", "/metrics", &[], None).await;
        let text = String::from_utf8(answer.unwrap().body.to_vec()).unwrap();
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let counted = lines.filter_map(|line| line.rsplit_once(' '));
        let number = |value: &str| value.parse().unwrap();
        counted
            .map(|(name, value)| (name.to_owned(), number(value)))
            .collect()
    }

    /// SIGTERM without waiting.
    pub fn ask_to_stop(&self) {
        self.signal("-TERM");
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        let sent = Command::new("kill")
            .args([signal, &self.process().0.to_string()])
            .status()
            .unwrap();
        assert!(sent.success());
    }

    /// From now on every write of this process to a file fails, as on a disk
    /// that is full. Only with [`Options::disk_may_fail`].
    pub fn fail_disk(&self) {
        assert!(self.options.disk_may_fail);
        let limited = Command::new("prlimit")
            .args(["--pid", &self.process().0.to_string(), "--fsize=1"])
            .status()
            .unwrap();
        assert!(limited.success());
    }

    /// Waits until it has ended by itself.
    pub async fn ended(&self) -> ExitStatus {
        let deadline = Instant::now() + STOP_WITHIN;
        loop {
            if let Some(running) = self.running.lock().unwrap().as_mut()
                && let Some(status) = running.child.try_wait().unwrap()
            {
                return status;
            }
            assert!(
                Instant::now() < deadline,
                "still there after {STOP_WITHIN:?}; its log:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// SIGTERM, and expects exit 0.
    pub async fn terminate(&self) {
        self.ask_to_stop();
        let status = self.ended().await;
        assert!(status.success(), "{status}; its log:\n{}", self.log());
        drop(self.running.lock().unwrap().take());
    }

    /// Starts again on the same data, and on the same port if that is kept.
    pub async fn restart(&self) {
        assert!(!self.is_running());
        let running = Running::launch(&self.options, self.data.path(), &self.listen);
        *self.running.lock().unwrap() = Some(running);
        self.ready().await;
    }

    async fn ready(&self) {
        let address = self
            .running
            .lock()
            .unwrap()
            .as_ref()
            .expect("launched")
            .address;
        let rest = Rest::new(address);
        let deadline = Instant::now() + START_WITHIN;
        loop {
            if rest
                .try_raw("GET", "/readyz", &[], None)
                .await
                .is_ok_and(|answer| answer.status == 200 || self.options.standby)
            {
                return;
            }
            assert!(
                self.is_running() && Instant::now() < deadline,
                "not ready; its log:\n{}",
                self.log()
            );
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}

impl Drop for Server {
    /// **Invariant:** no input makes the server panic, whatever else a test is about.
    fn drop(&mut self) {
        let log = self.log();
        let panicked = log.contains("panicked at");
        if panicked || std::thread::panicking() {
            let tail: Vec<&str> = log.lines().rev().take(40).collect();
            eprintln!("the end of the server's log:");
            tail.iter().rev().for_each(|line| eprintln!("  {line}"));
        }
        assert!(
            !panicked || std::thread::panicking(),
            "the server panicked; its log:\n{log}"
        );
    }
}

/// Runs the binary to its end with other arguments (`config`, `seed` …), killed when
/// it takes longer than a minute. Gives status, stdout and stderr.
pub fn run(arguments: &[&str], variables: &[(&str, &str)]) -> (ExitStatus, String, String) {
    run_within(START_WITHIN, arguments, variables)
}

/// The same with more patience, or less.
pub fn run_within(
    patience: Duration,
    arguments: &[&str],
    variables: &[(&str, &str)],
) -> (ExitStatus, String, String) {
    let folder = tempfile::tempdir().unwrap();
    let (out, err) = (folder.path().join("out"), folder.path().join("err"));
    let mut child = without_variables(&binary())
        .args(arguments)
        .envs(variables.iter().copied())
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(File::create(&out).unwrap())
        .stderr(File::create(&err).unwrap())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + patience;
    let status = loop {
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!(
                "{arguments:?} does not end; stderr:\n{}",
                std::fs::read_to_string(&err).unwrap()
            );
        }
        std::thread::sleep(Duration::from_millis(5));
    };
    (
        status,
        std::fs::read_to_string(out).unwrap(),
        std::fs::read_to_string(err).unwrap(),
    )
}

/// A program without the `FANFARE_…` variables that are meant for these tests.
pub fn without_variables(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("FANFARE_") {
            command.env_remove(name);
        }
    }
    command
}

/// The server's data folder inside the temporary one.
pub fn data_in(folder: &Path) -> PathBuf {
    folder.join("data")
}

fn log_in(folder: &Path) -> PathBuf {
    folder.join("server.log")
}

struct Running {
    child: Child,
    address: SocketAddr,
    stdout: Arc<Printed>,
}

impl Running {
    fn launch(options: &Options, folder: &Path, listen: &str) -> Self {
        let log = File::options()
            .create(true)
            .append(true)
            .open(log_in(folder))
            .unwrap();
        let config = folder.join("fanfare.toml");
        std::fs::write(&config, &options.config).unwrap();
        let mut script = String::new();
        if options.disk_may_fail {
            // What is ignored here stays so in what is started.
            script.push_str("trap '' XFSZ; ");
        }
        if let Some(descriptors_max) = options.descriptors_max {
            script.push_str(&format!("ulimit -n {descriptors_max}; "));
        }
        let mut command = without_variables("sh");
        command.args(["-c", &format!("{script}exec \"$0\" \"$@\""), &binary()]);
        if let Some(authority) = &options.tls {
            command.arg("--tls-cert").arg(authority.certificate());
            command.arg("--tls-key").arg(authority.key());
        }
        if let Some(keyspace) = &options.cql {
            command.args(keyspace.flags());
        }
        let mut child = command
            .arg("--config")
            .arg(config)
            .args([
                "--listen",
                listen,
                "--rates",
                if options.rates_on { "on" } else { "off" },
            ])
            .arg("--data")
            .arg(data_in(folder))
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .unwrap();
        let stdout = Arc::new(Printed::default());
        let pipe = child.stdout.take().unwrap();
        std::thread::spawn({
            let stdout = Arc::clone(&stdout);
            move || stdout.collect(pipe)
        });
        let Some(address) = stdout.address(START_WITHIN) else {
            child.kill().unwrap();
            let log = std::fs::read_to_string(log_in(folder)).unwrap();
            panic!(
                "it printed no address but {:?}; its log:\n{log}",
                stdout.lines()
            );
        };
        if let Some(authority) = &options.tls {
            dial::trust(address, authority);
        }
        Self {
            child,
            address,
            stdout,
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        dial::forget(self.address);
        // Err: it has ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A free port between 20000 and 32767, where the kernel takes none from for clients.
fn quiet_port() -> u16 {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let start = std::process::id().wrapping_mul(61);
    for _ in 0..12_000 {
        let offset = start.wrapping_add(NEXT.fetch_add(1, Ordering::Relaxed)) % 12_000;
        let port = 20_000 + u16::try_from(offset).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}
