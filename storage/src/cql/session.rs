//! The driver's session: time-outs, datacentre, profiles.

use std::sync::Arc;
use std::time::Duration;

use fanfare_protocol::limits::{
    CQL_CONNECT_MS, CQL_KEEPALIVE_MS, CQL_REQUEST_MS, CQL_SPECULATIVE_MS,
};
use scylla::client::execution_profile::{ExecutionProfile, ExecutionProfileHandle};
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::frame::types::{Consistency, SerialConsistency};
use scylla::policies::load_balancing::DefaultPolicy;
use scylla::policies::retry::{DefaultRetryPolicy, FallthroughRetryPolicy};
use scylla::policies::speculative_execution::SimpleSpeculativeExecutionPolicy;
use secrecy::ExposeSecret;

use super::error::OpenError;
use super::options::{CqlOptions, Keyspaces, check_datacenter};
use super::silence::{Silence, SilentLast};
use super::survey;

/// How requests are sent.
pub(crate) struct Profiles {
    /// Plain reads: again elsewhere, also before an answer came.
    pub(crate) reads: ExecutionProfileHandle,
    /// Writes and compare-and-set: once. Whoever sent them repeats
    /// (`run.rs`), since a second try inside the driver would hide that the
    /// first may stand.
    pub(crate) writes: ExecutionProfileHandle,
}

/// Connects; returns the home datacentre too, where all our rows are kept.
pub(crate) async fn connect(options: &CqlOptions) -> Result<(Session, String), OpenError> {
    let keyspaces = Keyspaces::named(&options.keyspace)?;
    let mut builder = SessionBuilder::new()
        .known_nodes(&options.nodes)
        .tcp_nodelay(true)
        .connection_timeout(Duration::from_millis(CQL_CONNECT_MS))
        .keepalive_interval(Duration::from_millis(CQL_KEEPALIVE_MS))
        .keepalive_timeout(Duration::from_millis(CQL_KEEPALIVE_MS))
        // Of our keyspaces, where their rows lie: requests go to a replica
        // at once, not by way of another node.
        .fetch_schema_metadata(true)
        .fetch_full_schema_metadata(false)
        .keyspaces_to_fetch([keyspaces.data, keyspaces.names])
        .tls_context(options.tls.clone());
    if let Some((user, password)) = &options.login {
        builder = builder.user(user, password.expose_secret());
    }
    let session = builder.build().await;
    let session = session.map_err(|error| OpenError::connecting(error, options.tls.is_some()))?;
    let datacenter = survey::home_of(&session, options.datacenter.as_deref())?;
    check_datacenter(&datacenter)?;
    survey::check_replicas(&session, options, &datacenter).await?;
    Ok((session, datacenter))
}

impl Profiles {
    /// Profiles for quorums of `datacenter`; both keep account of who is
    /// silent.
    pub(crate) fn of(datacenter: &str, silence: &Arc<Silence>) -> Self {
        let common = || {
            let near = DefaultPolicy::builder()
                .prefer_datacenter(datacenter.to_owned())
                .permit_dc_failover(false)
                .token_aware(true)
                .build();
            let near = Arc::new(SilentLast {
                inner: near,
                silence: Arc::clone(silence),
            });
            ExecutionProfile::builder()
                .consistency(Consistency::LocalQuorum)
                .serial_consistency(Some(SerialConsistency::Serial))
                .request_timeout(Some(Duration::from_millis(CQL_REQUEST_MS)))
                .load_balancing_policy(near)
        };
        let speculative = SimpleSpeculativeExecutionPolicy {
            max_retry_count: 1,
            retry_interval: Duration::from_millis(CQL_SPECULATIVE_MS),
        };
        Self {
            reads: common()
                .retry_policy(Arc::new(DefaultRetryPolicy::new()))
                .speculative_execution_policy(Some(Arc::new(speculative)))
                .build()
                .into_handle(),
            writes: common()
                .retry_policy(Arc::new(FallthroughRetryPolicy::new()))
                .speculative_execution_policy(None)
                .build()
                .into_handle(),
        }
    }
}
