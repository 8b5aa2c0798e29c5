//! The CQL store, if it is configured: whether it answers, what it is, how
//! often it keeps each row, and whether its schema is this version's.

use fanfare_protocol::limits::CQL_REPLICAS;
use fanfare_storage::cql::{CqlOptions, MigrationState, OpenError, Survey, survey};

use super::finding::Finding;
use crate::config::{Config, Store};
use crate::open::cql::advice;

pub fn check(config: &Config) -> Vec<Finding> {
    if config.store != Store::Cql {
        return Vec::new();
    }
    let options = match config.cql_options() {
        Ok(options) => options,
        Err(error) => return vec![unreachable(error.to_string(), "correct it".to_owned())],
    };
    match look(&options) {
        Ok(Ok(found)) => judge(&found, options.migrate),
        Ok(Err(error)) => {
            let advice = advice(&error);
            vec![unreachable(
                format!("{:#}", anyhow::Error::from(error)),
                advice,
            )]
        }
        Err(error) => vec![unreachable(
            format!("no thread for it: {error}"),
            "start again".into(),
        )],
    }
}

/// The rest of the doctor needs no runtime.
fn look(options: &CqlOptions) -> std::io::Result<Result<Survey, OpenError>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    Ok(runtime.block_on(survey(options)))
}

fn unreachable(measured: String, change: String) -> Finding {
    Finding::ok("CQL servers", measured, "they answer").fail(change)
}

fn judge(found: &Survey, may_migrate: bool) -> Vec<Finding> {
    let mut findings = vec![judge_nodes(found), judge_schema(found, may_migrate)];
    findings.extend(judge_home(found));
    findings.extend(judge_copies(found));
    findings.extend(found.keeps_timestamps.map(judge_timestamps));
    findings
}

fn judge_nodes(found: &Survey) -> Finding {
    let (nodes, connected) = found.nodes;
    let (server, datacenter) = (&found.server, &found.datacenter);
    let finding = Finding::ok(
        "CQL servers",
        format!("{server}, {connected} of {nodes} node(s) of {datacenter} answer"),
        "all of them",
    );
    if connected < nodes {
        return finding.warn("`nodetool status` shows which are down; start them");
    }
    finding
}

fn judge_schema(found: &Survey, may_migrate: bool) -> Finding {
    let known = found.migrations.iter();
    let known = known.filter(|migration| migration.state != MigrationState::Newer);
    let applied = found
        .migrations
        .iter()
        .filter(|migration| migration.is_applied());
    let version = |number: Option<i32>| number.unwrap_or(0);
    let measured = match version(applied.map(|migration| migration.number).max()) {
        0 => "no tables yet".to_owned(),
        number => format!("version {number}"),
    };
    let wanted = version(known.map(|migration| migration.number).max());
    let finding = Finding::ok("CQL schema", measured, format!("version {wanted}"));
    let has = |state| {
        found
            .migrations
            .iter()
            .any(|migration| migration.state == state)
    };
    if has(MigrationState::Changed) {
        finding.fail("`fanfare migrate --check` says where: use the build that applied it")
    } else if has(MigrationState::Newer) {
        finding.fail("use the newer version of fanfare that made it")
    } else if has(MigrationState::Missing) && !may_migrate {
        finding.fail("run `fanfare migrate` (cql_migrate is off)")
    } else {
        // The next start brings it up to date.
        finding
    }
}

/// None before an engine has named one.
fn judge_home(found: &Survey) -> Option<Finding> {
    let (home, datacenter) = (found.home.as_ref()?, &found.datacenter);
    let finding = Finding::ok(
        "CQL home",
        format!("{datacenter} here, {home} for the engines of this keyspace"),
        "the same",
    );
    if home == datacenter {
        return Some(finding);
    }
    Some(finding.fail(format!(
        "start with --cql-datacenter {home}: quorums of two datacentres miss each other's messages"
    )))
}

/// None before the keyspaces are made: the start checks what it makes.
fn judge_copies(found: &Survey) -> Option<Finding> {
    let counted = found.replicas.iter();
    let counted: Vec<_> = counted
        .filter_map(|(name, copies)| Some((name, (*copies)?)))
        .collect();
    let fewest = counted.iter().map(|(_, copies)| *copies).min()?;
    let most = counted.iter().map(|(_, copies)| *copies).max()?;
    let measured: Vec<_> = counted
        .iter()
        .map(|(name, copies)| format!("{name} {copies}"))
        .collect();
    let (nodes, datacenter) = (found.nodes.0, &found.datacenter);
    let finding = Finding::ok(
        "CQL copies",
        format!("{} in {datacenter}", measured.join(", ")),
        format!(">= {CQL_REPLICAS}, and as many nodes"),
    );
    if fewest < u32::from(CQL_REPLICAS) {
        Some(finding.fail(format!(
            "no node may fail: ALTER KEYSPACE … WITH replication = {{'class': \
             'NetworkTopologyStrategy', '{datacenter}': {CQL_REPLICAS}}} for both, then `nodetool repair`"
        )))
    } else if most as usize > nodes {
        Some(finding.fail(format!("add nodes to {datacenter}: it has {nodes}")))
    } else {
        Some(finding)
    }
}

fn judge_timestamps(kept: bool) -> Finding {
    let measured = if kept { "kept as given" } else { "changed" };
    let finding = Finding::ok("CQL timestamps", measured, "kept as given");
    if kept {
        return finding;
    }
    finding.fail("use ScyllaDB or Apache Cassandra with its defaults")
}

#[cfg(test)]
mod tests {
    use fanfare_storage::cql::Migration;

    use super::super::finding::{Verdict, worst};
    use super::*;

    fn found() -> Survey {
        Survey {
            server: "ScyllaDB 2026.1".into(),
            datacenter: "dc1".into(),
            home: Some("dc1".into()),
            nodes: (3, 3),
            replicas: vec![("chat".into(), Some(3)), ("chat_names".into(), Some(3))],
            migrations: vec![migration(MigrationState::Applied)],
            keeps_timestamps: Some(true),
        }
    }

    fn migration(state: MigrationState) -> Migration {
        Migration {
            number: 1,
            name: "0001.cql".into(),
            checksum: "00".into(),
            state,
        }
    }

    #[test]
    fn each_fault_of_the_store_has_its_verdict() {
        type Fault = fn(&mut Survey);
        let table: [(Fault, Verdict, &str); 12] = [
            (|_| {}, Verdict::Ok, "3 of 3 node(s) of dc1"),
            (|f| f.nodes = (3, 2), Verdict::Warn, "2 of 3 node(s)"),
            (|f| f.home = None, Verdict::Ok, "3 of 3 node(s) of dc1"),
            (
                |f| f.home = Some("dc2".into()),
                Verdict::Fail,
                "dc1 here, dc2 for",
            ),
            (
                |f| f.replicas[1].1 = Some(1),
                Verdict::Fail,
                "chat_names 1 in dc1",
            ),
            (|f| f.nodes = (2, 2), Verdict::Fail, "chat 3, chat_names 3"),
            (|f| f.replicas[0].1 = None, Verdict::Ok, "chat_names 3"),
            (|f| f.replicas.clear(), Verdict::Ok, "version 1"),
            (
                |f| f.keeps_timestamps = Some(false),
                Verdict::Fail,
                "changed",
            ),
            (
                |f| f.migrations = vec![migration(MigrationState::Missing)],
                Verdict::Ok,
                "no tables yet",
            ),
            (
                |f| f.migrations = vec![migration(MigrationState::Changed)],
                Verdict::Fail,
                "version 1",
            ),
            (
                |f| f.migrations = vec![migration(MigrationState::Newer)],
                Verdict::Fail,
                "version 1",
            ),
        ];
        for (fault, verdict, measured) in table {
            let mut found = found();
            fault(&mut found);
            let findings = judge(&found, true);
            assert_eq!(worst(&findings), verdict, "{findings:?}");
            let told = findings.iter().any(|f| f.measured.contains(measured));
            assert!(told, "{measured}: {findings:?}");
        }
        let mut old = found();
        old.migrations = vec![migration(MigrationState::Missing)];
        assert_eq!(worst(&judge(&old, false)), Verdict::Fail);
    }
}
