//! What ScyllaDB and Cassandra want said differently, and nowhere else.
//! The flavour is detected once, when the store is opened.

use super::options::Keyspaces;

/// Which server answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flavour {
    /// Apache Cassandra.
    Cassandra,
    /// ScyllaDB.
    Scylla {
        /// Whether tables of compare-and-set rows may lie in tablets: from
        /// 2026.1 (ARCHITECTURE §6).
        tablets_take_lwt: bool,
    },
}

/// Finds the table that ScyllaDB keeps its version in and Cassandra has not.
pub(crate) const FIND_VERSIONS_TABLE: &str = "SELECT table_name FROM system_schema.tables \
     WHERE keyspace_name = 'system' AND table_name = 'versions'";
/// Asks that table.
pub(crate) const FIND_VERSION: &str = "SELECT version FROM system.versions WHERE key = 'local'";

impl Flavour {
    /// The flavour of a server whose version table says `version`.
    pub(crate) fn of_scylla(version: &str) -> Self {
        let mut numbers = version
            .split(['.', '-', '~'])
            .map_while(|part| part.parse::<u32>().ok());
        let release = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
        Self::Scylla {
            tablets_take_lwt: release >= (2026, 1),
        }
    }

    /// The statements that make both keyspaces. `NetworkTopologyStrategy`
    /// always: tablets need it.
    pub(crate) fn create_keyspaces(
        self,
        keyspaces: &Keyspaces,
        datacenter: &str,
        replicas: u8,
    ) -> [String; 2] {
        let create = |keyspace: &str, options: &str| {
            format!(
                "CREATE KEYSPACE IF NOT EXISTS {keyspace} WITH replication = \
                 {{'class': 'NetworkTopologyStrategy', '{datacenter}': {replicas}}}{options}"
            )
        };
        let lwt_options = match self {
            Self::Scylla {
                tablets_take_lwt: false,
            } => " AND tablets = {'enabled': false}",
            Self::Scylla { .. } | Self::Cassandra => "",
        };
        [
            create(&keyspaces.data, ""),
            create(&keyspaces.names, lwt_options),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_decide_about_tablets() {
        for (version, tablets_take_lwt) in [
            ("2026.1.0-0.20260203.abc", true),
            ("2026.1.0~rc0-0.20260103", true),
            ("2027.2", true),
            ("2025.4.2-0.20251201.abc", false),
            ("6.2.3", false),
            ("", false),
        ] {
            let flavour = Flavour::Scylla { tablets_take_lwt };
            assert_eq!(Flavour::of_scylla(version), flavour, "{version}");
        }
    }

    #[test]
    fn keyspaces_as_each_server_wants_them() {
        let keyspaces = Keyspaces::named("chat").unwrap();
        let render = |flavour: Flavour| flavour.create_keyspaces(&keyspaces, "dc1", 3);
        let data = "CREATE KEYSPACE IF NOT EXISTS chat WITH replication = \
             {'class': 'NetworkTopologyStrategy', 'dc1': 3}";
        let names = "CREATE KEYSPACE IF NOT EXISTS chat_names WITH replication = \
             {'class': 'NetworkTopologyStrategy', 'dc1': 3}";
        let without = format!("{names} AND tablets = {{'enabled': false}}");
        assert_eq!(render(Flavour::Cassandra), [data, names]);
        assert_eq!(render(Flavour::of_scylla("2026.1.0")), [data, names]);
        assert_eq!(render(Flavour::of_scylla("2025.1.0")), [data, &without]);
    }
}
