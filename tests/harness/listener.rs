//! Listeners that are not ours: Node with `ws`, in JSON and in MessagePack, Python with
//! `websockets` and without WebSocket. Each writes every frame it receives as one line of
//! a file; this reads it.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::dial::authority;
use super::{SOON, eventually};

/// In which language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    Node,
    /// The same in MessagePack.
    NodeMsgPack,
    Python,
    /// By an event stream.
    PythonEvents,
    /// The same, leaving its stream and coming back all the time.
    PythonBrokenEvents,
}

/// A child process that says hello, listens, and comes back from its cursors when its
/// connection breaks.
pub struct Listener {
    child: Child,
    folder: TempDir,
    language: Language,
}

impl Listener {
    /// Starts one and waits for its hello to be answered.
    pub async fn start(language: Language, address: SocketAddr, token: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let errors = File::create(folder.path().join("stderr")).unwrap();
        let mut command = command(language);
        let authority = authority(address);
        if let Some(authority) = &authority {
            // Whom Node and Python's OpenSSL trust besides, or instead.
            command
                .env("NODE_EXTRA_CA_CERTS", authority.root())
                .env("SSL_CERT_FILE", authority.root());
        }
        let child = command
            .env("FANFARE_URL", url(language, address, authority.is_some()))
            .env("FANFARE_TOKEN", token)
            .env("FANFARE_OUT", folder.path().join("frames"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(errors)
            .spawn()
            .unwrap_or_else(|error| panic!("{language:?} does not start ({error}): run `make test`, which installs what it needs"));
        let mut listener = Self {
            child,
            folder,
            language,
        };
        eventually(&format!("hello of {language:?}"), SOON, async || {
            if let Some(status) = listener.child.try_wait().unwrap() {
                panic!(
                    "{language:?} ended ({status}); if packages are missing, run `make test`:\n{}",
                    listener.errors()
                );
            }
            listener
                .frames()
                .iter()
                .any(|frame| frame["re"] == 1)
                .then_some(())
        })
        .await;
        listener
    }

    /// Everything it received so far, replies included, in order.
    pub fn frames(&self) -> Vec<Value> {
        let Ok(file) = File::open(self.folder.path().join("frames")) else {
            return Vec::new();
        };
        // The last line may be half written: it is read the next time.
        BufReader::new(file)
            .lines()
            .map_while(Result::ok)
            .filter_map(|line| serde_json::from_str(&line).ok())
            .collect()
    }

    /// The numbered events of one conversation.
    pub fn log(&self, conversation: &str) -> Vec<Value> {
        self.frames()
            .into_iter()
            .filter(|frame| frame["conversation"] == conversation && frame["seq"].is_u64())
            .collect()
    }

    /// Waits until it has the event `seq`.
    pub async fn reaches(&self, conversation: &str, seq: u64) {
        let what = format!("{:?} at {seq}", self.language);
        eventually(&what, SOON * 2, async || {
            let last = self
                .log(conversation)
                .last()
                .and_then(|frame| frame["seq"].as_u64());
            last.is_some_and(|last| last >= seq).then_some(())
        })
        .await;
    }

    /// What it printed on stderr.
    pub fn errors(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("stderr")).unwrap_or_default()
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("stderr of {:?}:\n{}", self.language, self.errors());
        }
        // Err: it has ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn url(language: Language, address: SocketAddr, by_tls: bool) -> String {
    let s = if by_tls { "s" } else { "" };
    match language {
        Language::Node | Language::NodeMsgPack | Language::Python => {
            format!("ws{s}://{address}/ws")
        }
        Language::PythonEvents | Language::PythonBrokenEvents => format!("http{s}://{address}"),
    }
}

fn command(language: Language) -> Command {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let given = |variable: &str, fallback: &str| {
        std::env::var_os(variable).map_or_else(|| root.join(fallback), PathBuf::from)
    };
    match language {
        Language::Node | Language::NodeMsgPack => {
            let modules = given("FANFARE_NODE_MODULES", "tests/node/node_modules");
            let package = |name: &str| {
                let package = modules.join(name);
                let shown = package.display();
                assert!(
                    package.is_dir(),
                    "{shown} is missing: run `make test`, which installs it"
                );
                package
            };
            let mut command = Command::new("node");
            command
                .arg(root.join("tests/node/listener.mjs"))
                .env("FANFARE_WS", package("ws"));
            if language == Language::NodeMsgPack {
                command.env("FANFARE_MSGPACK", package("@msgpack/msgpack"));
            }
            command
        }
        Language::Python | Language::PythonEvents | Language::PythonBrokenEvents => {
            let python = given("FANFARE_PYTHON", ".venv/bin/python");
            assert!(
                python.exists(),
                "{} is missing: run `make test`, which installs it",
                python.display()
            );
            let mut command = Command::new(python);
            let file = match language {
                Language::Python => "tests/python/listener.py",
                _ => "tests/python/events.py",
            };
            command.arg(root.join(file));
            if language == Language::PythonBrokenEvents {
                command.env("FANFARE_BREAK_AFTER", "100");
            }
            command
        }
    }
}
