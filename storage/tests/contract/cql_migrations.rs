//! Migrations of a CQL store on a real server.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Instant;

use fanfare_storage::cql::{Cql, CqlOptions, MigrationError, OpenError};
use futures_util::future::join_all;
use parking_lot::Mutex;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::subscriber::with_default;
use tracing::{Event, Metadata, Subscriber};

use crate::cql::{RUNTIME, options, turn};

async fn session(options: &CqlOptions) -> Session {
    let builder = SessionBuilder::new().known_nodes(&options.nodes);
    builder.build().await.unwrap()
}

/// Hears which migrations are applied.
#[derive(Clone, Default)]
struct Applied(Arc<Mutex<Vec<i32>>>);

impl Subscriber for Applied {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_event() && metadata.target().starts_with("fanfare_storage")
    }

    fn event(&self, event: &Event<'_>) {
        struct Number(Option<i32>);
        impl Visit for Number {
            fn record_i64(&mut self, field: &Field, value: i64) {
                if field.name() == "number" {
                    self.0 = i32::try_from(value).ok();
                }
            }
            fn record_debug(&mut self, _: &Field, _: &dyn Debug) {}
        }
        let mut number = Number(None);
        event.record(&mut number);
        self.0.lock().extend(number.0);
    }

    fn new_span(&self, _: &Attributes<'_>) -> Id {
        Id::from_u64(1)
    }
    fn record(&self, _: &Id, _: &Record<'_>) {}
    fn record_follows_from(&self, _: &Id, _: &Id) {}
    fn enter(&self, _: &Id) {}
    fn exit(&self, _: &Id) {}
}

/// Sends a statement to the table of migrations.
async fn send(options: &CqlOptions, statement: &str) {
    let table = format!("{}_names.migrations", options.keyspace);
    let session = session(options).await;
    let statement = statement.replace("{table}", &table);
    session.query_unpaged(statement, ()).await.unwrap();
}

async fn lock(options: &CqlOptions) -> (Vec<u8>, i64) {
    let read = format!(
        "SELECT holder, fence FROM {}_names.migrations WHERE scope = 'tables' LIMIT 1",
        options.keyspace
    );
    let answer = session(options).await.query_unpaged(read, ()).await;
    let rows = answer.unwrap().into_rows_result().unwrap();
    rows.first_row::<(Vec<u8>, i64)>().unwrap()
}

/// Migrations that are noted, ascending.
async fn numbers(options: &CqlOptions) -> Vec<i32> {
    let read = format!(
        "SELECT number FROM {}_names.migrations WHERE scope = 'tables'",
        options.keyspace
    );
    let answer = session(options).await.query_unpaged(read, ()).await;
    let rows = answer.unwrap().into_rows_result().unwrap();
    let numbers = rows.rows::<(Option<i32>,)>().unwrap();
    numbers.filter_map(|row| row.unwrap().0).collect()
}

#[test]
fn three_that_start_at_once_migrate_once() {
    let _turn = turn();
    let Some(options) = options("three") else {
        return;
    };
    let applied = Applied::default();
    let three = join_all([(); 3].map(|()| Cql::open(&options)));
    // While there is only one listener, other tests' threads would say that
    // nobody listens: they have none.
    let _second = tracing::Dispatch::new(Applied::default());
    // Polled by this thread, so that it hears what each of them says.
    let opened = with_default(applied.clone(), || RUNTIME.block_on(three));
    for store in opened {
        store.unwrap().ports().readiness.ready().unwrap();
    }
    RUNTIME.block_on(async {
        let noted = numbers(&options).await;
        assert_eq!(*applied.0.lock(), noted, "each file once");
        assert_eq!(noted.first(), Some(&1));
        assert_eq!(lock(&options).await.0, b"", "nobody has the lock");
        // Opened again it has nothing to do, with and without permission.
        let fence = lock(&options).await.1;
        for migrate in [true, false] {
            let again = CqlOptions {
                migrate,
                ..options.clone()
            };
            Cql::open(&again).await.unwrap();
        }
        assert_eq!(lock(&options).await.1, fence);
        // Of a newer schema and of a changed file nothing is made use of.
        send(
            &options,
            "UPDATE {table} SET name = 'x', checksum = 'x' WHERE scope = 'tables' AND number = 9 IF fence > 0",
        )
        .await;
        let newer = Cql::open(&options).await.err().unwrap();
        let OpenError::Migration(MigrationError::Newer { found: 9, .. }) = newer else {
            panic!("{newer}");
        };
        send(
            &options,
            "DELETE FROM {table} WHERE scope = 'tables' AND number = 9 IF fence > 0",
        )
        .await;
        send(
            &options,
            "UPDATE {table} SET checksum = 'x' WHERE scope = 'tables' AND number = 1 IF fence > 0",
        )
        .await;
        let changed = Cql::open(&options).await.err().unwrap();
        let OpenError::Migration(MigrationError::Changed { number: 1, .. }) = changed else {
            panic!("{changed}");
        };
    });
}

#[test]
fn a_lock_survives_its_holder_and_is_taken_from_it() {
    let _turn = turn();
    let Some(mut options) = options("dead") else {
        return;
    };
    options.migration_lease_ms = 1500;
    RUNTIME.block_on(async {
        Cql::open(&options).await.unwrap();
        let (_, fence) = lock(&options).await;
        // Somebody took the lock, noted nothing, and died.
        for number in 1..=3 {
            let applied = "scope = 'tables' AND number = ";
            let forget = format!("DELETE FROM {{table}} WHERE {applied}{number} IF fence > 0");
            send(&options, &forget).await;
        }
        send(
            &options,
            "UPDATE {table} SET holder = 0x01, fence = 70, renewal = 3 WHERE scope = 'tables' IF fence > 0",
        )
        .await;
        assert_ne!(fence, 70);
        let without = CqlOptions {
            migrate: false,
            ..options.clone()
        };
        let older = Cql::open(&without).await.err().unwrap();
        let OpenError::Migration(MigrationError::Older { found: 0, .. }) = older else {
            panic!("{older}");
        };
        let start = Instant::now();
        Cql::open(&options).await.unwrap();
        assert!(start.elapsed().as_millis() >= 1500, "it waited for the lease");
        assert_eq!(lock(&options).await, (Vec::new(), 71));
    });
}
