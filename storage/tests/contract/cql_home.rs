//! The home datacentre of a keyspace: the first engine names it.

use fanfare_storage::cql::{Cql, OpenError, survey};

use crate::cql::{RUNTIME, options, turn};
use crate::cql_raw::Raw;

#[test]
fn an_engine_of_another_home_is_refused() {
    let _turn = turn();
    let Some(options) = options("home") else {
        return;
    };
    RUNTIME.block_on(async {
        // Twice: who names the same comes in.
        for _ in 0..2 {
            drop(Cql::open(&options).await.unwrap());
            let found = survey(&options).await.unwrap();
            assert_eq!(found.home.as_ref(), Some(&found.datacenter));
        }
        let raw = Raw::connect(&options).await;
        let row = "WHERE name = 'home-datacenter' IF EXISTS";
        // "elsewhere"
        let elsewhere = "UPDATE {names}.single_values SET value = 0x656c73657768657265";
        raw.send(&format!("{elsewhere} {row}")).await;
        match Cql::open(&options).await.err() {
            Some(OpenError::Home { stored, named, .. }) => {
                assert_eq!(
                    (stored.as_str(), named.as_str()),
                    ("elsewhere", "datacenter1")
                );
            }
            other => panic!("{other:?}"),
        }
        let found = survey(&options).await.unwrap();
        assert_eq!(found.home.as_deref(), Some("elsewhere"));
        // As the refusal tells operators to move it.
        raw.send(&format!("DELETE FROM {{names}}.single_values {row}"))
            .await;
        drop(Cql::open(&options).await.unwrap());
    });
}
