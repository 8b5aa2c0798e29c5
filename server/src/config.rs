//! Configuration: defaults, then a file, then `FANFARE_…` variables, then
//! flags, each overriding the one before. Unknown keys are refused.
//! `docs/configuration.md` describes every key.

mod cql;
mod layers;
mod print;
mod secret;
mod unknown;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};

use fanfare_protocol::Limits;
use fanfare_protocol::limits::CQL_REPLICAS;
use fanfare_transport::accept::CertificateFiles;
use figment::Figment;
use figment::value::Value;
use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use crate::args::Settings;
use crate::telemetry;
use layers::{FILE, Layer, PREFIX, Place};
use print::redacted;
pub use secret::Secret;
use unknown::{Known, Unknown};

/// The effective configuration.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// Where to listen; port 0 takes a free one.
    pub listen: SocketAddr,
    /// Folder of the data.
    pub data: PathBuf,
    /// Where to remember.
    pub store: Store,
    /// Some nodes of the CQL cluster; the others are found by these.
    pub cql_nodes: Vec<String>,
    /// The keyspace of the CQL store.
    pub cql_keyspace: String,
    /// Its home datacentre; none takes the only one there is.
    pub cql_datacenter: Option<String>,
    /// Copies of each row there, when the keyspaces are made.
    pub cql_replicas: u8,
    /// Who logs in at the CQL servers.
    pub cql_user: Option<String>,
    /// With which password.
    pub cql_password: Option<Secret>,
    /// Who signed the certificates of the CQL servers, PEM; with it they are
    /// spoken to by TLS.
    pub cql_ca: Option<PathBuf>,
    /// Whether the start applies migrations that are missing.
    pub cql_migrate: Switch,
    /// Certificate of the server and those that signed it, PEM.
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, PEM.
    pub tls_key: Option<PathBuf>,
    /// Whether users and addresses are limited in what they do per second.
    pub rates: Switch,
    /// Web origins that may connect, besides the server's own.
    pub origins: Vec<String>,
    /// Networks of proxies whose word on client addresses is taken.
    pub trusted_proxies: Vec<String>,
    /// Logging.
    pub log: Log,
    /// Limits.
    pub limits: Limits,
}

/// A store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Store {
    /// In the data folder, by this process alone.
    Embedded,
    /// ScyllaDB or another CQL server.
    Cql,
}

/// On or off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Switch {
    /// On.
    On,
    /// Off.
    Off,
}

/// Logging, to stderr.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Log {
    /// What: `error`, `warn`, `info`, `debug`, `trace`, also per module
    /// (`info,fanfare_actors=debug`).
    pub level: String,
    /// How.
    pub format: LogFormat,
}

/// How log lines look.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object per line.
    Json,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            data: PathBuf::from("fanfare-data"),
            store: Store::Embedded,
            cql_nodes: Vec::new(),
            cql_keyspace: "fanfare".to_owned(),
            cql_datacenter: None,
            cql_replicas: CQL_REPLICAS,
            cql_user: None,
            cql_password: None,
            cql_ca: None,
            cql_migrate: Switch::On,
            tls_cert: None,
            tls_key: None,
            rates: Switch::On,
            origins: Vec::new(),
            trusted_proxies: Vec::new(),
            log: Log {
                level: "info,fjall=warn,lsm_tree=warn,scylla=error".to_owned(),
                format: LogFormat::Human,
            },
            limits: Limits::default(),
        }
    }
}

/// Why there is no configuration to start with.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Keys that do not exist: all of them, one a line.
    #[error("{}\ndocs/configuration.md lists all settings", lines(.0))]
    Unknown(Vec<Unknown>),
    /// A file that cannot be read.
    #[error("the configuration file {} cannot be read: {why}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// A value of the wrong sort.
    #[error("the setting `{key}` ({place}) is wrong: {why}")]
    Wrong {
        /// The whole key.
        key: String,
        /// Where it stands.
        place: String,
        /// Why.
        why: String,
    },
    /// A value that does not fit the others or this version.
    #[error("the setting `{key}` is wrong: {why}")]
    Unfit {
        /// The whole key.
        key: String,
        /// Why.
        why: String,
    },
}

/// The effective configuration, and where each setting comes from.
#[derive(Debug)]
pub struct Loaded {
    /// What is in effect.
    pub config: Config,
    /// The place of every key, in words.
    places: BTreeMap<String, String>,
}

impl Loaded {
    /// Reads everything there is: the file named by `--config` or
    /// `FANFARE_CONFIG` or else `fanfare.toml` in `folder`, the variables,
    /// the flags.
    ///
    /// # Errors
    /// See [`ConfigError`]; the message names the key and where it stands.
    pub fn load(
        settings: &Settings,
        variables: impl IntoIterator<Item = (String, String)>,
        folder: &Path,
    ) -> Result<Self, ConfigError> {
        let known = Known::new()?;
        let mut named = settings.config.clone();
        let mut from_variables = Vec::new();
        for (name, value) in variables {
            let Some(key) = name.strip_prefix(PREFIX) else {
                continue;
            };
            let key = key.to_ascii_lowercase().replace("__", ".");
            if key == "config" {
                named.get_or_insert_with(|| PathBuf::from(&value));
                continue;
            }
            from_variables.push((key, value, Place::Variable(name)));
        }
        let from_flags = settings.given().into_iter();
        let from_flags =
            from_flags.map(|(key, flag, value)| (key.into(), value.into(), Place::Flag(flag)));
        let mut layers = vec![Layer::defaults(&known)];
        let mut unknown = Vec::new();
        if let Some(path) = file(named, folder) {
            layers.push(Layer::file(&path, &known, &mut unknown)?);
        }
        for (key, value, place) in from_variables.into_iter().chain(from_flags) {
            match Layer::one(&key, &value, place, &known) {
                Ok(layer) => layers.push(layer),
                Err(key) => unknown.push(key),
            }
        }
        if !unknown.is_empty() {
            return Err(ConfigError::Unknown(unknown));
        }
        let figment = layers.into_iter().fold(Figment::new(), Figment::merge);
        let config: Config = figment.extract().map_err(|error| wrong(&error))?;
        config.check()?;
        let place =
            |key: &String| Some((key.clone(), figment.find_metadata(key)?.name.to_string()));
        Ok(Self {
            config,
            places: known.keys().iter().filter_map(place).collect(),
        })
    }
}

impl Config {
    /// The networks of [`Self::trusted_proxies`].
    ///
    /// # Errors
    /// [`ConfigError::Unfit`] for what is no address and no network.
    pub fn trusted_networks(&self) -> Result<Vec<IpNet>, ConfigError> {
        let network = |text: &String| {
            let address = text.parse::<IpAddr>().map(IpNet::from);
            address.or_else(|_| text.parse::<IpNet>()).map_err(|_| {
                let why = format!("`{text}` is no address and no network like 10.0.0.0/8");
                unfit("trusted_proxies", why)
            })
        };
        self.trusted_proxies.iter().map(network).collect()
    }

    /// Where certificate and key lie; without any the server speaks plain
    /// HTTP.
    ///
    /// # Errors
    /// [`ConfigError::Unfit`] for one without the other.
    pub fn certificate_files(&self) -> Result<Option<CertificateFiles>, ConfigError> {
        match (self.tls_cert.clone(), self.tls_key.clone()) {
            (Some(certificate), Some(key)) => Ok(Some(CertificateFiles { certificate, key })),
            (None, None) => Ok(None),
            (Some(_), None) => Err(unfit("tls_key", "is missing; tls_cert needs its key")),
            (None, Some(_)) => Err(unfit(
                "tls_cert",
                "is missing; tls_key needs its certificate",
            )),
        }
    }

    fn check(&self) -> Result<(), ConfigError> {
        self.check_cql()?;
        self.certificate_files()?;
        self.trusted_networks()?;
        for origin in &self.origins {
            let rest = origin.strip_prefix("https://");
            let rest = rest.or_else(|| origin.strip_prefix("http://"));
            let is_one = rest.is_some_and(|rest| !rest.is_empty() && !rest.contains(['/', '@']));
            if !is_one {
                let why = format!(
                    "`{}` is no origin like https://chat.example.org",
                    redacted(origin)
                );
                return Err(unfit("origins", why));
            }
        }
        if let Err(error) = telemetry::filter(&self.log.level) {
            return Err(unfit("log.level", error));
        }
        check_limits(&self.limits)
    }
}

/// The setting that is never printed.
const SECRET: &str = "cql_password";

/// Limits of which none at all makes sense.
const MAY_BE_ZERO: [&str; 13] = [
    "tls_handshakes_at_once",
    "password_hashes_at_once",
    "password_hashes_waiting_max",
    "hello_subscriptions",
    "empty_fragments_max",
    "body_grace_ms",
    "reactions_gather_ms",
    "membership_gather_ms",
    "marks_gather_ms",
    "unread_gather_ms",
    "refresh_grace_ms",
    "token_grace_ms",
    "reconnect_spread_ms",
];

fn check_limits(limits: &Limits) -> Result<(), ConfigError> {
    let values = Value::serialize(limits).map_err(|error| wrong(&error))?;
    for (name, value) in values.as_dict().into_iter().flatten() {
        if value.to_u128() == Some(0) && !MAY_BE_ZERO.contains(&name.as_str()) {
            return Err(unfit(&format!("limits.{name}"), "must not be 0"));
        }
    }
    for (less, more, low, high) in [
        (
            "page_default",
            "page_max",
            limits.page_default as u64,
            limits.page_max as u64,
        ),
        (
            "room_restart_ms_min",
            "room_restart_ms_max",
            limits.room_restart_ms_min,
            limits.room_restart_ms_max,
        ),
        (
            "message_text_bytes_max",
            "body_bytes_max",
            limits.message_text_bytes_max as u64,
            limits.body_bytes_max as u64,
        ),
    ] {
        if low > high {
            let why = format!("must not be above limits.{more}, which is {high}");
            return Err(unfit(&format!("limits.{less}"), why));
        }
    }
    Ok(())
}

fn file(named: Option<PathBuf>, folder: &Path) -> Option<PathBuf> {
    named.or_else(|| Some(folder.join(FILE)).filter(|path| path.exists()))
}

fn lines(unknown: &[Unknown]) -> String {
    let lines: Vec<String> = unknown.iter().map(Unknown::to_string).collect();
    lines.join("\n")
}

fn wrong(error: &figment::Error) -> ConfigError {
    let place = error.metadata.as_ref();
    let key = error.path.join(".");
    // What was found stands in the reason.
    let why = match key.as_str() {
        SECRET => "a text is wanted".to_owned(),
        _ => error.kind.to_string(),
    };
    ConfigError::Wrong {
        key,
        place: place.map_or_else(
            || Place::Default.to_string(),
            |place| place.name.to_string(),
        ),
        why,
    }
}

fn unfit(key: &str, why: impl Into<String>) -> ConfigError {
    ConfigError::Unfit {
        key: key.to_owned(),
        why: why.into(),
    }
}

#[cfg(test)]
mod tests;
