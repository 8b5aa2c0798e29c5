//! Migrations of a CQL store on a real server.

use std::time::Instant;

use fanfare_storage::cql::{Cql, CqlOptions, MigrationError, OpenError};
use futures_util::future::join_all;
use scylla::client::session::Session;
use scylla::client::session_builder::SessionBuilder;

use crate::cql::{RUNTIME, options};

async fn session(options: &CqlOptions) -> Session {
    let builder = SessionBuilder::new().known_nodes(&options.nodes);
    builder.build().await.unwrap()
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

#[test]
fn three_that_start_at_once_migrate_once() {
    let Some(options) = options("three") else {
        return;
    };
    RUNTIME.block_on(async {
        let opened = join_all([(); 3].map(|()| Cql::open(&options))).await;
        for store in opened {
            store.unwrap().ports().readiness.ready().unwrap();
        }
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
