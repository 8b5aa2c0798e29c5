//! Servers that fell silent, and a policy that asks them last.
//!
//! A server that hangs keeps its connections: the driver believes in them
//! until its keepalive ends, ten seconds later at worst, and sends every
//! third request into the dark. Here a server is silent once it owes an
//! answer for [`CQL_SILENT_MS`] and has given none since. Whoever asks is
//! sent to others until it answers again, which [`Rows::look_for_silent`]
//! tries.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use fanfare_protocol::limits::{CQL_PROBE_MS, CQL_SILENT_MS};
use futures_util::future::join_all;
use parking_lot::RwLock;
use scylla::cluster::{ClusterState, NodeRef};
use scylla::errors::{ExecutionError, RequestAttemptError};
use scylla::policies::load_balancing::{
    FallbackPlan, LoadBalancingPolicy, NodeIdentifier, RoutingInfo, SingleTargetLoadBalancingPolicy,
};
use scylla::routing::Shard;
use scylla::statement::unprepared::Statement;
use uuid::Uuid;

use super::store::Rows;

/// Which servers owe an answer, by host id, and since when in milliseconds
/// (0: none). Bounded by the servers of the cluster.
#[derive(Debug)]
pub(crate) struct Silence {
    start: Instant,
    owed: RwLock<HashMap<Uuid, AtomicU64>>,
}

impl Silence {
    pub(crate) fn new() -> Self {
        Self {
            start: Instant::now(),
            owed: RwLock::default(),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn asked(&self, server: Uuid, now_ms: u64) {
        let now_ms = now_ms.max(1);
        let owed = self.owed.read();
        if let Some(since) = owed.get(&server) {
            // Failure: it owed an answer already.
            let _ = since.compare_exchange(0, now_ms, Ordering::Relaxed, Ordering::Relaxed);
            return;
        }
        drop(owed);
        self.owed.write().insert(server, AtomicU64::new(now_ms));
    }

    fn answered(&self, server: Uuid) {
        if let Some(since) = self.owed.read().get(&server) {
            since.store(0, Ordering::Relaxed);
        }
    }

    fn is_silent(&self, server: Uuid, now_ms: u64) -> bool {
        let owed = self.owed.read();
        owed.get(&server)
            .is_some_and(|since| is_late(since, now_ms))
    }

    fn silent(&self, now_ms: u64) -> Vec<Uuid> {
        let owed = self.owed.read();
        let late = owed.iter().filter(|(_, since)| is_late(since, now_ms));
        late.map(|(server, _)| *server).collect()
    }

    fn forget(&self, server: Uuid) {
        self.owed.write().remove(&server);
    }
}

fn is_late(since: &AtomicU64, now_ms: u64) -> bool {
    let since = since.load(Ordering::Relaxed);
    since != 0 && now_ms.saturating_sub(since) >= CQL_SILENT_MS
}

/// Another policy's plans, with those that are silent at the end.
#[derive(Debug)]
pub(crate) struct SilentLast {
    pub(crate) inner: Arc<dyn LoadBalancingPolicy>,
    pub(crate) silence: Arc<Silence>,
}

impl LoadBalancingPolicy for SilentLast {
    fn pick<'a>(
        &'a self,
        request: &'a RoutingInfo<'_>,
        cluster: &'a ClusterState,
    ) -> Option<(NodeRef<'a>, Option<Shard>)> {
        let now_ms = self.silence.now_ms();
        let is_silent = |node: NodeRef<'_>| self.silence.is_silent(node.host_id, now_ms);
        let picked = match self.inner.pick(request, cluster) {
            Some((node, _)) if is_silent(node) => self.fallback(request, cluster).next(),
            picked => picked,
        };
        if let Some((node, _)) = picked {
            self.silence.asked(node.host_id, now_ms);
        }
        picked
    }

    fn fallback<'a>(
        &'a self,
        request: &'a RoutingInfo<'_>,
        cluster: &'a ClusterState,
    ) -> FallbackPlan<'a> {
        let now_ms = self.silence.now_ms();
        let plan = self.inner.fallback(request, cluster);
        let (silent, awake): (Vec<_>, Vec<_>) =
            plan.partition(|(node, _)| self.silence.is_silent(node.host_id, now_ms));
        Box::new(awake.into_iter().chain(silent))
    }

    fn on_request_success(&self, request: &RoutingInfo<'_>, took: Duration, node: NodeRef<'_>) {
        self.silence.answered(node.host_id);
        self.inner.on_request_success(request, took, node);
    }

    fn on_request_failure(
        &self,
        request: &RoutingInfo<'_>,
        took: Duration,
        node: NodeRef<'_>,
        error: &RequestAttemptError,
    ) {
        if matches!(error, RequestAttemptError::DbError(..)) {
            self.silence.answered(node.host_id);
        }
        self.inner.on_request_failure(request, took, node, error);
    }

    fn name(&self) -> String {
        "SilentLast".to_owned()
    }
}

impl Rows {
    /// Asks every silent server something that it knows by itself. One whose
    /// answer nobody waited for is only taken for silent, and is heard now.
    pub(crate) async fn look_for_silent(&self) {
        let silent = self.silence.silent(self.silence.now_ms());
        metrics::gauge!("fanfare_cql_silent_servers").set(silent.len() as f64);
        let cluster = self.session.get_cluster_state();
        join_all(silent.into_iter().map(async |server| {
            if cluster.get_node_by_host_id(server).is_none() {
                self.silence.forget(server);
                return;
            }
            let target = NodeIdentifier::HostId(server);
            let mut look = Statement::new("SELECT key FROM system.local");
            look.set_load_balancing_policy(Some(SingleTargetLoadBalancingPolicy::new(
                target, None,
            )));
            look.set_request_timeout(Some(Duration::from_millis(CQL_PROBE_MS)));
            let answer = self.session.query_unpaged(look, ()).await;
            let heard = match &answer {
                Ok(_) => true,
                Err(ExecutionError::LastAttemptError(error)) => {
                    matches!(error, RequestAttemptError::DbError(..))
                }
                Err(_) => false,
            };
            if heard {
                self.silence.answered(server);
            }
        }))
        .await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_server_is_silent_while_it_owes_an_answer_for_too_long() {
        let (silence, server, other) = (Silence::new(), Uuid::from_u128(1), Uuid::from_u128(2));
        let late = |asked_ms: u64| asked_ms + CQL_SILENT_MS;
        assert!(!silence.is_silent(server, late(0)), "never asked");
        silence.asked(server, 10);
        silence.asked(server, 100);
        silence.asked(other, 100);
        assert!(!silence.is_silent(server, late(10) - 1));
        assert!(silence.is_silent(server, late(10)), "since the first");
        assert_eq!(silence.silent(late(10)), [server]);
        silence.answered(server);
        assert!(!silence.is_silent(server, late(10_000)), "it owes nothing");
        silence.asked(server, 5000);
        assert!(!silence.is_silent(server, late(5000) - 1));
        assert!(silence.is_silent(server, late(5000)));
        silence.forget(server);
        assert!(!silence.is_silent(server, late(5000)));
        silence.answered(server);
        assert_eq!(silence.silent(late(5000)), [other]);
    }
}
