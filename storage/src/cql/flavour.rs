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
    use super::super::migrations::{FILES, MIGRATIONS_TABLE, statements_of};
    use super::*;

    /// Everything that is sent to make a schema, in this order.
    fn schema(flavour: Flavour) -> Vec<String> {
        let keyspaces = Keyspaces::named("chat").unwrap();
        let mut all = flavour.create_keyspaces(&keyspaces, "dc1", 3).to_vec();
        all.push(keyspaces.fill(MIGRATIONS_TABLE));
        let files = FILES.iter().flat_map(|file| statements_of(file.text));
        all.extend(files.map(|statement| keyspaces.fill(&statement)));
        all
    }

    /// Columns as (name, type, what else), keys left out.
    fn columns(table: &str) -> Vec<(&str, &str, &str)> {
        let open = table.find('(').unwrap() + 1;
        let close = table.rfind(')').unwrap();
        let mut depth = 0;
        let parts = table[open..close].split(|c| {
            depth += i32::from(c == '(') - i32::from(c == ')');
            c == ',' && depth == 0
        });
        let columns = parts.map(str::trim).filter(|it| !it.starts_with("PRIMARY"));
        let split = columns.map(|column| {
            let (name, rest) = column.split_once(char::is_whitespace).unwrap();
            let (kind, more) = rest.trim().split_once(' ').unwrap_or((rest.trim(), ""));
            (name, kind, more.trim())
        });
        split.collect()
    }

    /// No ScyllaDB is at hand in tests: what it would be sent is held against
    /// what its documentation takes, as far as ours goes.
    #[test]
    fn a_schema_is_made_of_what_both_servers_know() {
        let scylla = [
            Flavour::of_scylla("2025.1.0"),
            Flavour::of_scylla("2026.1.0"),
        ];
        for flavour in [scylla[0], scylla[1], Flavour::Cassandra] {
            let all = schema(flavour);
            assert!(all.len() >= 18, "{}", all.len());
            let (keyspaces, tables) = all.split_at(2);
            let [data, names] = keyspaces else { panic!() };
            for keyspace in [data, names] {
                assert!(keyspace.contains("NetworkTopologyStrategy"), "{keyspace}");
                assert!(!keyspace.contains("durable_writes"), "{keyspace}");
            }
            assert!(!data.contains("tablets"), "plain rows lie where they like");
            let without = flavour == scylla[0];
            assert_eq!(names.contains("tablets"), without, "{names}");
            for table in tables {
                assert!(table.starts_with("CREATE TABLE IF NOT EXISTS chat"));
                for (name, kind, more) in columns(table) {
                    let known = ["blob", "bigint", "smallint", "int", "text", "boolean"];
                    assert!(known.contains(&kind), "{name} {kind}");
                    assert!(
                        ["", "static", "PRIMARY KEY"].contains(&more),
                        "{name} {more}"
                    );
                }
                let options = &table[table.rfind(')').unwrap() + 1..];
                let option = options.trim().strip_prefix("WITH gc_grace_seconds = ");
                let seconds = option.is_some_and(|it| it.parse::<u32>().is_ok());
                assert!(options.is_empty() || seconds, "{options}");
            }
            // Tables do not depend on the server.
            assert_eq!(tables, &schema(Flavour::Cassandra)[2..]);
            assert!(!all.iter().any(|it| it.ends_with(';')));
        }
    }

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
