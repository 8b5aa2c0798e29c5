//! The command line. Every setting is also a configuration key and a
//! `FANFARE_…` variable; see [`crate::config`].

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::store::Location;

/// What was asked on the command line.
#[derive(Debug, Parser)]
#[command(
    name = "fanfare",
    version,
    about = "Fanfare: people talk, durably, from one command",
    after_help = "Settings come from defaults, then the file, then FANFARE_… variables, \
                  then flags; docs/configuration.md lists all of them."
)]
pub struct CommandLine {
    #[command(flatten)]
    pub settings: Settings,
    #[command(subcommand)]
    pub command: Option<Command>,
}

/// What to do; without any: serve.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Start the server (the default)
    Serve,
    /// Print the effective configuration as TOML, with the place each setting
    /// comes from and without secrets
    Config,
    /// Check whether this machine is fit for the configuration, and say what to
    /// set; exit code 1 if something must be changed before production
    Doctor {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Make users and conversations in the data of a stopped server
    Seed(Seed),
    /// Bring the tables of the CQL store up to date
    Migrate {
        /// Only look; exit code 1 if something is missing
        #[arg(long)]
        check: bool,
    },
    /// Write all data of the embedded store to one file, also while the server runs
    Backup {
        /// The file, which must not exist, or a folder to put it in
        #[arg(long, value_name = "FILE|DIR")]
        to: PathBuf,
    },
    /// Check what a store holds, or copy it to another
    #[command(subcommand)]
    Store(StoreCommand),
    /// Make the data folder, absent or empty, from a backup
    Restore {
        /// The backup
        #[arg(long, value_name = "FILE")]
        from: PathBuf,
    },
}

/// Settings that are also configuration keys.
#[derive(Debug, Default, Args)]
pub struct Settings {
    /// Where to listen; port 0 takes a free one
    #[arg(long, global = true, value_name = "ADDR:PORT")]
    pub listen: Option<String>,
    /// Folder of the data, made if it does not exist
    #[arg(long, global = true, value_name = "DIR")]
    pub data: Option<String>,
    /// Where to remember: embedded or cql
    #[arg(long, global = true, value_name = "STORE")]
    pub store: Option<String>,
    /// Some nodes of the CQL cluster; the others are found by these
    #[arg(long, global = true, value_name = "A,B,C")]
    pub cql_nodes: Option<String>,
    /// Keyspace of the CQL store
    #[arg(long, global = true, value_name = "NAME")]
    pub cql_keyspace: Option<String>,
    /// Home datacentre in the CQL cluster
    #[arg(long, global = true, value_name = "NAME")]
    pub cql_datacenter: Option<String>,
    /// Copies of each row, when the keyspaces are made; 1 on a single node
    #[arg(long, global = true, value_name = "N")]
    pub cql_replicas: Option<String>,
    /// User at the CQL servers; the password comes by file or variable
    #[arg(long, global = true, value_name = "USER")]
    pub cql_user: Option<String>,
    /// Who signed the certificates of the CQL servers, PEM: speak TLS to them
    #[arg(long, global = true, value_name = "FILE")]
    pub cql_ca: Option<String>,
    /// Whether the start applies migrations that are missing: on or off
    #[arg(long, global = true, value_name = "on|off")]
    pub cql_migrate: Option<String>,
    /// Configuration file (else ./fanfare.toml if there is one)
    #[arg(long, global = true, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// Certificate for HTTPS, PEM; SIGHUP reads it again
    #[arg(long, global = true, value_name = "FILE")]
    pub tls_cert: Option<String>,
    /// Its private key, PEM
    #[arg(long, global = true, value_name = "FILE")]
    pub tls_key: Option<String>,
    /// Rate limits per user and address: on or off
    #[arg(long, global = true, value_name = "on|off")]
    pub rates: Option<String>,
    /// Web origins that may connect, besides the server's own
    #[arg(long, global = true, value_name = "URL,URL")]
    pub origins: Option<String>,
    /// Networks of proxies whose word on client addresses is taken
    #[arg(long, global = true, value_name = "NET,NET")]
    pub trusted_proxies: Option<String>,
    /// What to log: error, warn, info, debug or trace, also per module
    #[arg(long = "log", global = true, value_name = "LEVEL")]
    pub log_level: Option<String>,
    /// How to log: human or json
    #[arg(long, global = true, value_name = "FORMAT")]
    pub log_format: Option<String>,
}

impl Settings {
    /// The flags that were given: configuration key, flag, value.
    pub fn given(&self) -> Vec<(&'static str, &'static str, &str)> {
        let all = [
            ("listen", "--listen", &self.listen),
            ("data", "--data", &self.data),
            ("store", "--store", &self.store),
            ("cql_nodes", "--cql-nodes", &self.cql_nodes),
            ("cql_keyspace", "--cql-keyspace", &self.cql_keyspace),
            ("cql_datacenter", "--cql-datacenter", &self.cql_datacenter),
            ("cql_replicas", "--cql-replicas", &self.cql_replicas),
            ("cql_user", "--cql-user", &self.cql_user),
            ("cql_ca", "--cql-ca", &self.cql_ca),
            ("cql_migrate", "--cql-migrate", &self.cql_migrate),
            ("tls_cert", "--tls-cert", &self.tls_cert),
            ("tls_key", "--tls-key", &self.tls_key),
            ("rates", "--rates", &self.rates),
            ("origins", "--origins", &self.origins),
            (
                "trusted_proxies",
                "--trusted-proxies",
                &self.trusted_proxies,
            ),
            ("log.level", "--log", &self.log_level),
            ("log.format", "--log-format", &self.log_format),
        ];
        all.into_iter()
            .filter_map(|(key, flag, value)| Some((key, flag, value.as_deref()?)))
            .collect()
    }
}

/// `fanfare store`.
#[derive(Debug, Subcommand)]
pub enum StoreCommand {
    /// Check every log of a store and everything that follows from
    /// it, reading only; exit code 1 if something is wrong. An embedded store must
    /// not be in use
    Check(Check),
    /// Copy everything from a store that is not in use to an empty one; the same
    /// command goes on where one before it was stopped
    Copy {
        /// embedded:FOLDER or cql:HOST:PORT,HOST:PORT/KEYSPACE
        #[arg(long, value_name = "STORE")]
        from: Location,
        /// The same; made if it does not exist
        #[arg(long, value_name = "STORE")]
        to: Location,
    },
}

/// `fanfare store check`.
#[derive(Debug, Args)]
pub struct Check {
    /// Which store, embedded:FOLDER or cql:HOST:PORT,HOST:PORT/KEYSPACE (default:
    /// the configured one)
    #[arg(long, value_name = "STORE")]
    pub at: Option<Location>,
    /// As JSON
    #[arg(long)]
    pub json: bool,
    /// Keep reading as one that owns nothing, and report rows that were shown and
    /// then changed or vanished, until Ctrl-C
    #[arg(long)]
    pub follow: bool,
    /// End by itself after this
    #[arg(long, value_name = "S", requires = "follow")]
    pub seconds: Option<u64>,
}

/// `fanfare seed`.
#[derive(Debug, Args)]
pub struct Seed {
    /// How many users
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=9_999_999))]
    pub users: u64,
    /// How many conversations
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u64).range(..=9_999_999))]
    pub conversations: u64,
    /// Members of each conversation
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u64).range(1..))]
    pub members: u64,
    /// File for one JSON line per user
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
    /// Life of the tokens in seconds (default: a day)
    #[arg(long, value_name = "S")]
    pub token_ttl: Option<u64>,
}
