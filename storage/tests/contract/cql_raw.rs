//! What a CQL store wrote, asked of the server without the store.

use std::num::NonZeroU32;
use std::time::Duration;

use fanfare_protocol::{ConversationId, UserId};
use fanfare_storage::cql::CqlOptions;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use scylla::response::query_result::QueryRowsResult;
use scylla::statement::unprepared::Statement;

pub struct Raw {
    session: Session,
    keyspace: String,
}

/// What a read went over: "Read 3 live rows and 0 tombstone cells".
#[derive(Debug, PartialEq, Eq)]
pub struct Scanned {
    pub live: u64,
    pub graves: u64,
}

impl Raw {
    pub async fn connect(options: &CqlOptions) -> Self {
        let builder = SessionBuilder::new()
            .known_nodes(&options.nodes)
            // Traces are written behind the answer.
            .tracing_info_fetch_attempts(NonZeroU32::new(100).unwrap())
            .tracing_info_fetch_interval(Duration::from_millis(50));
        Self {
            session: builder.build().await.unwrap(),
            keyspace: options.keyspace.clone(),
        }
    }

    fn fill(&self, cql: &str) -> Statement {
        let names = format!("{}_names", self.keyspace);
        let cql = cql.replace("{data}", &self.keyspace);
        Statement::new(cql.replace("{names}", &names))
    }

    /// Sends a statement that answers nothing.
    pub async fn send(&self, cql: &str) {
        let sent = self.session.query_unpaged(self.fill(cql), ()).await;
        sent.unwrap();
    }

    pub async fn read(&self, cql: &str) -> QueryRowsResult {
        let answer = self.session.query_unpaged(self.fill(cql), ()).await;
        answer.unwrap().into_rows_result().unwrap()
    }

    /// What the server read to answer this.
    pub async fn scanned(&self, cql: &str) -> Scanned {
        let mut statement = self.fill(cql);
        statement.set_tracing(true);
        let answer = self.session.query_unpaged(statement, ()).await.unwrap();
        let id = answer.tracing_id().unwrap();
        loop {
            let trace = self.session.get_tracing_info(&id).await.unwrap();
            let mut lines = trace.events.into_iter().filter_map(|event| event.activity);
            if let Some(line) = lines.find(|line| line.contains(" tombstone cells")) {
                let numbers: Vec<u64> = line
                    .split_whitespace()
                    .filter_map(|word| word.parse().ok())
                    .collect();
                let &[live, graves, ..] = numbers.as_slice() else {
                    panic!("{line}");
                };
                return Scanned { live, graves };
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// A conversation as it stands in a statement.
pub fn of_conversation(conversation: ConversationId) -> String {
    blob(conversation.as_bytes())
}

/// A user as it stands in a statement.
pub fn of_user(user: UserId) -> String {
    blob(user.as_bytes())
}

fn blob(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("0x{digits}")
}
