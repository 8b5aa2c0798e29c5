//! What the driver's errors mean for us: was it written, was it not, or does
//! nobody know.

use fanfare_engine::port::StoreError;
use scylla::errors::{
    ConnectionError, ConnectionPoolError, ConnectionSetupRequestErrorKind as Setup, DbError,
    ExecutionError, MetadataError, NewSessionError, RequestAttemptError,
};

use super::migrations::MigrationError;

/// Why a CQL store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// A keyspace or datacentre that may not stand in a statement.
    #[error("not a name for a keyspace or datacentre: {0:?}")]
    Named(String),
    /// No server answered.
    #[error("no CQL server answers: {0}")]
    Connect(String),
    /// A server answered, and wants another user or password.
    #[error("the CQL server does not let us in: {0}")]
    Login(String),
    /// A server answered, and there is no TLS with it.
    #[error("no TLS with the CQL server: {0}")]
    Tls(String),
    /// A server answered something else where TLS was to begin.
    #[error("the CQL server does not speak TLS: {0}")]
    Plain(String),
    /// A server cuts a connection without TLS at its first word.
    #[error("the CQL server cuts the connection, as one does that wants TLS: {0}")]
    Cut(String),
    /// The home datacentre is not there, or there are several and none was
    /// named.
    #[error("the cluster has {}, and {}", datacenters(found), asked.as_ref().map_or(
        "none is named as home".to_owned(), |asked| format!("no {asked:?}")))]
    Datacenter {
        /// The one asked for.
        asked: Option<String>,
        /// Those there are.
        found: Vec<String>,
    },
    /// The engines of the keyspace have another home datacentre.
    #[error("the engines of this keyspace are at home in datacentre {stored}, not {named}")]
    Home {
        /// Theirs.
        stored: String,
        /// The one of this engine.
        named: String,
        /// The keyspace that says so.
        names: String,
    },
    /// More copies than nodes.
    #[error(
        "each row shall be kept {wanted} times, and datacentre {datacenter} has {nodes} node(s)"
    )]
    Replicas {
        /// Copies asked for.
        wanted: u8,
        /// Nodes there are.
        nodes: usize,
        /// The home datacentre.
        datacenter: String,
    },
    /// No node of the home datacentre keeps the rows.
    #[error("keyspace {keyspace} keeps nothing in datacentre {datacenter}")]
    Elsewhere {
        /// Which keyspace.
        keyspace: String,
        /// The home datacentre.
        datacenter: String,
    },
    /// The schema is not ours.
    #[error(transparent)]
    Migration(#[from] MigrationError),
    /// A statement could not be prepared.
    #[error("statement refused: {statement}")]
    Prepare {
        /// Which.
        statement: String,
        /// What the server said.
        source: Box<scylla::errors::PrepareError>,
    },
    /// The server does not take logical timestamps.
    #[error("the server does not keep the timestamps it is given: wrote {wrote}, read {read:?}")]
    Timestamps {
        /// Given, in microseconds.
        wrote: i64,
        /// Found.
        read: Option<i64>,
    },
    /// A request failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl OpenError {
    /// Tells a server that refuses us from one that is not there. `tls`:
    /// whether we speak TLS.
    pub(crate) fn connecting(error: NewSessionError, tls: bool) -> Self {
        let NewSessionError::MetadataError(MetadataError::ConnectionPoolError(
            ConnectionPoolError::Broken {
                last_connection_error: last,
            },
        )) = &error
        else {
            return Self::Connect(error.to_string());
        };
        match last {
            ConnectionError::ConnectionSetupRequestError(setup) => match setup.get_error() {
                Setup::DbError(DbError::AuthenticationError, why) => Self::Login(why.clone()),
                Setup::MissingAuthentication => Self::Login("it wants user and password".into()),
                Setup::BrokenConnection(_) if !tls => Self::Cut(last.to_string()),
                _ => Self::Connect(last.to_string()),
            },
            ConnectionError::IoError(io) => match io.get_ref().and_then(|it| it.downcast_ref()) {
                Some(rustls::Error::InvalidMessage(why)) => Self::Plain(format!("{why:?}")),
                Some(error) => Self::Tls(error.to_string()),
                None => Self::Connect(last.to_string()),
            },
            _ => Self::Connect(last.to_string()),
        }
    }
}

fn datacenters(found: &[String]) -> String {
    match found {
        [] => "no datacentre".to_owned(),
        [one] => format!("the datacentre {one}"),
        many => format!("the datacentres {}", many.join(", ")),
    }
}

/// What a failed request did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// Nothing.
    NotDone,
    /// Nothing: the server or the connection has too much to do.
    Overloaded,
    /// Perhaps everything, perhaps nothing.
    Unknown,
    /// The same, because the connection broke: another one may be tried.
    Broken,
}

impl Fault {
    /// Judges the error of a request that was tried once.
    pub(crate) fn of(error: &ExecutionError) -> Self {
        match error {
            ExecutionError::BadQuery(_)
            | ExecutionError::EmptyPlan
            | ExecutionError::PrepareError(_)
            | ExecutionError::ConnectionPoolError(_) => Self::NotDone,
            ExecutionError::LastAttemptError(error) => Self::of_attempt(error),
            // A time-out means that nobody knows.
            _ => Self::Unknown,
        }
    }

    /// The same of a compare-and-set: replicas may be missed after its vote.
    pub(crate) fn of_cas(error: &ExecutionError) -> Self {
        match error {
            ExecutionError::LastAttemptError(RequestAttemptError::DbError(
                DbError::Unavailable { .. },
                _,
            )) => Self::Unknown,
            error => Self::of(error),
        }
    }

    fn of_attempt(error: &RequestAttemptError) -> Self {
        match error {
            RequestAttemptError::SerializationError(_)
            | RequestAttemptError::CqlRequestSerialization(_) => Self::NotDone,
            RequestAttemptError::UnableToAllocStreamId => Self::Overloaded,
            RequestAttemptError::BrokenConnectionError(_) => Self::Broken,
            RequestAttemptError::DbError(error, _) => Self::of_server(error),
            _ => Self::Unknown,
        }
    }

    fn of_server(error: &DbError) -> Self {
        match error {
            DbError::SyntaxError
            | DbError::Invalid
            | DbError::AlreadyExists { .. }
            | DbError::AuthenticationError
            | DbError::Unauthorized
            | DbError::ConfigError
            | DbError::Unavailable { .. }
            | DbError::IsBootstrapping
            | DbError::Unprepared { .. } => Self::NotDone,
            DbError::Overloaded
            | DbError::RateLimitReached {
                rejected_by_coordinator: true,
                ..
            } => Self::Overloaded,
            _ => Self::Unknown,
        }
    }

    /// Whether something may have been written.
    pub(crate) fn may_have_happened(self) -> bool {
        matches!(self, Self::Unknown | Self::Broken)
    }
}

/// A failed write. `uncertain`: an earlier try may have happened.
pub(crate) fn write_error(error: &ExecutionError, uncertain: bool) -> StoreError {
    match Fault::of(error) {
        fault if uncertain || fault.may_have_happened() => {
            StoreError::OutcomeUnknown(error.to_string())
        }
        Fault::Overloaded => StoreError::Overloaded,
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// A failed read: it has no outcome that could be unknown.
pub(crate) fn read_error(error: &ExecutionError) -> StoreError {
    match Fault::of(error) {
        Fault::Overloaded => StoreError::Overloaded,
        _ => StoreError::Unavailable(error.to_string()),
    }
}

/// A column that does not hold what its table says.
pub(crate) fn damaged(error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged(error.to_string())
}

/// What became of several writes of one call, together.
pub(crate) fn together(
    outcomes: impl IntoIterator<Item = Result<(), StoreError>>,
) -> Result<(), StoreError> {
    let (mut done, mut failed) = (false, None::<StoreError>);
    for outcome in outcomes {
        match outcome {
            Ok(()) => done = true,
            Err(error) if failed.as_ref().is_none_or(|f| !f.may_have_happened()) => {
                failed = Some(error);
            }
            Err(_) => {}
        }
    }
    match failed {
        None => Ok(()),
        // A part of it stands: that is not "nothing was written".
        Some(error) if done && !error.may_have_happened() => {
            Err(StoreError::OutcomeUnknown(error.to_string()))
        }
        Some(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use scylla::frame::types::Consistency;

    use super::*;

    fn said(error: DbError) -> ExecutionError {
        RequestAttemptError::DbError(error, "said".into()).into()
    }

    fn unavailable() -> DbError {
        DbError::Unavailable {
            consistency: Consistency::LocalQuorum,
            required: 2,
            alive: 1,
        }
    }

    #[test]
    fn errors_say_whether_something_was_written() {
        let late = || ExecutionError::RequestTimeout(std::time::Duration::from_secs(2));
        let table = [
            (said(unavailable()), Fault::NotDone),
            (said(DbError::Invalid), Fault::NotDone),
            (said(DbError::Overloaded), Fault::Overloaded),
            (said(DbError::ServerError), Fault::Unknown),
            (late(), Fault::Unknown),
            (ExecutionError::EmptyPlan, Fault::NotDone),
            (
                RequestAttemptError::UnableToAllocStreamId.into(),
                Fault::Overloaded,
            ),
        ];
        for (error, fault) in table {
            assert_eq!(Fault::of(&error), fault, "{error}");
            let of_cas = match &error {
                ExecutionError::LastAttemptError(RequestAttemptError::DbError(
                    DbError::Unavailable { .. },
                    _,
                )) => Fault::Unknown,
                _ => fault,
            };
            assert_eq!(Fault::of_cas(&error), of_cas, "{error}");
        }
        assert!(write_error(&late(), false).may_have_happened());
        assert!(!read_error(&late()).may_have_happened());
        let refused = said(unavailable());
        assert!(!write_error(&refused, false).may_have_happened());
        assert!(
            write_error(&refused, true).may_have_happened(),
            "an earlier try may have happened"
        );
    }

    #[test]
    fn a_part_of_a_call_is_an_unknown_outcome() {
        let refused = || Err(StoreError::Unavailable("no".into()));
        let unknown = || Err(StoreError::OutcomeUnknown("perhaps".into()));
        assert_eq!(together([]), Ok(()));
        assert_eq!(together([Ok(()), Ok(())]), Ok(()));
        assert_eq!(together([refused(), refused()]), refused());
        assert!(
            together([refused(), Ok(())])
                .unwrap_err()
                .may_have_happened()
        );
        assert!(
            together([refused(), unknown(), refused()])
                .unwrap_err()
                .may_have_happened()
        );
    }
}
