//! What every store promises, as one suite that each store passes, the one
//! behind the dying wrapper too; and what only a store in a folder promises.

#![expect(clippy::unwrap_used, reason = "a test may fail loudly")]

mod accounts;
mod append;
mod backup;
mod build;
mod census;
mod copy;
mod cql;
mod cql_cells;
mod cql_home;
mod cql_migrations;
mod cql_only;
mod cql_raw;
mod cql_stopped;
mod cql_takeover;
mod dying;
mod effects;
mod folder;
mod kill;
mod marks;
mod members;
mod names;
mod overload;
mod ownership;
mod power_cut;
mod tokens;

use fanfare_protocol::Limits;
use fanfare_storage::{Embedded, Memory};

/// Writes one test per store and case.
macro_rules! contract {
    ($($file:ident: $($case:ident)* $(, not on cql: $($embedded_case:ident)*)?;)*) => {
        mod on_cql {
            $(mod $file {
                $(#[test]
                fn $case() {
                    crate::cql::run(crate::$file::$case);
                })*
            })*
        }
        contract_here! { $($file: $($case)* $($($embedded_case)*)?;)* }
    };
}

/// One test per case on every store that runs in this process.
macro_rules! contract_here {
    ($($file:ident: $($case:ident)*;)*) => {
        mod on_memory {
            $(mod $file {
                $(#[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    crate::$file::$case(crate::Memory::new().ports()).await;
                })*
            })*
        }
        mod on_fjall {
            $(mod $file {
                $(#[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    let folder = tempfile::tempdir().unwrap();
                    let store = crate::Embedded::open(folder.path(), &crate::Limits::default()).unwrap();
                    crate::$file::$case(store.ports()).await;
                    store.close();
                })*
            })*
        }
        mod on_dying {
            $(mod $file {
                $(#[tokio::test(flavor = "multi_thread")]
                async fn $case() {
                    let (ports, _switch) =
                        fanfare_storage::dying::wrap(crate::Memory::new().ports());
                    crate::$file::$case(ports).await;
                })*
            })*
        }
    };
}

contract! {
    append: rows_come_back_as_written ranges_limits_and_orders logs_do_not_touch
        a_later_epoch_wins_and_a_late_write_loses a_repeat_is_harmless
        a_redo_brings_state_along a_bucket_is_no_border;
    effects: state_stands_beside_the_row an_entry_is_emptied_for_good
        meta_is_one_record_per_conversation heads_keep_the_latest
        epochs_stand_in_order live_notes_come_and_go effects_repeat_harmlessly;
    members: both_sides_tell_the_same pages_go_on_where_they_ended rows_of_who_left_stay
        memberships_and_records_come_in_the_order_asked the_latest_activity_stays;
    marks: marks_only_rise the_sender_s_own_mark_rises_as_an_effect marks_come_in_pages
        mentions_count_behind_the_mark standings_are_those_of_the_asked_in_their_order;
    names: a_name_has_one_owner many_race_and_one_wins a_claim_is_settled_and_given_back
        a_claim_ends scopes_do_not_touch, not on cql: used_keys_do_not_gather;
    accounts: an_account_is_changed_by_who_saw_it_last several_come_in_the_order_asked
        many_race_for_one_change;
    tokens: a_family_is_changed_by_who_saw_it_last;
    ownership: each_claim_is_a_higher_epoch a_lease_changes_for_who_saw_it_last
        a_slot_changes_for_who_saw_it_last many_race_for_a_slot_and_one_wins
        the_store_is_ready;
    census: every_log_is_listed_once accounts_log_ins_and_claims_are_listed
        mentions_come_in_pages_withdrawn_ones_too single_values_are_compared_and_set,
        not on cql: epochs_go_on_above_what_they_were_raised_to;
}
