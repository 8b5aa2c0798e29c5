//! Whatever happens in whatever order: see [`super::scenario`] for what must
//! hold.

use fanfare_protocol::Limits;
use fanfare_protocol::conversation::Visibility;
use proptest::collection::vec;
use proptest::prelude::*;

use super::ask::*;
use super::scenario::{Scenario, step};

fn tight() -> Limits {
    Limits {
        append_rows_max: 3,
        room_members_cached_max: 2,
        room_waiting_max: 40,
        ..Limits::default()
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn groups(steps in vec(step(), 1..160)) {
        Scenario::new(group(&[BOB, CAROL]), Limits::default()).run(steps);
    }

    #[test]
    fn public_channels(steps in vec(step(), 1..160)) {
        Scenario::new(channel(&[BOB], Visibility::Public), tight()).run(steps);
    }

    #[test]
    fn private_channels(steps in vec(step(), 1..160)) {
        Scenario::new(channel(&[BOB, CAROL], Visibility::Private), Limits::default()).run(steps);
    }

    #[test]
    fn direct_conversations(steps in vec(step(), 1..160)) {
        Scenario::new(direct(BOB), tight()).run(steps);
    }
}
