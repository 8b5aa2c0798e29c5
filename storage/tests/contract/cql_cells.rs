//! What the CQL store leaves in its tables: no graves, no time to live but
//! where it is meant; and two stores on one keyspace.

use bytes::Bytes;
use fanfare_engine::effect::Set;
use fanfare_engine::member::MemberRow;
use fanfare_engine::port::{Claim, ClaimOutcome, ClaimRow, Mark, MarkWrite, Scope};
use fanfare_engine::row::HeadRow;
use fanfare_protocol::Timestamp;
use fanfare_protocol::conversation::Role;
use fanfare_protocol::limits::CLAIM_TTL_MARGIN_S;
use fanfare_protocol::participant::MemberState;
use fanfare_storage::Ports;
use fanfare_storage::cql::Cql;
use futures_util::future::join;

use crate::build::{conversation, effects, member, meta, name, note_epoch, rows, user};
use crate::cql::{run, run_beside};
use crate::cql_raw::{Raw, Scanned, of_conversation, of_user};

/// Each table of plain rows: its read of one partition, and a column of each
/// statement that writes into it.
fn tables() -> Vec<(String, &'static [&'static str])> {
    let room = of_conversation(conversation(7));
    let alice = of_user(user(1));
    let log = &[
        "epoch",
        "mno",
        "ano",
        "author_key",
        "request",
        "entry",
        "state",
    ];
    let of = |table: &str, key: &str| format!("{{data}}.{table} WHERE {key}");
    vec![
        (
            of("log", &format!("conversation = {room} AND bucket = 0")),
            log,
        ),
        (of("metas", &format!("conversation = {room}")), &["meta"]),
        (
            of("heads", &format!("conversation = {room}")),
            &["epoch", "seq", "mno", "ano", "clean", "at"],
        ),
        (
            of("epochs", &format!("conversation = {room}")),
            &["first_seq"],
        ),
        (
            of("members_of", &format!("conversation = {room}")),
            &["membership"],
        ),
        (
            of("conversations_of", &format!("member = {alice}")),
            &["membership"],
        ),
        (
            of("marks", &format!("conversation = {room}")),
            &["read_seq", "read_mno", "read_ano", "delivered_seq"],
        ),
        (
            of(
                "mentions",
                &format!("member = {alice} AND conversation = {room}"),
            ),
            &["named"],
        ),
    ]
}

/// Everything that clients do to what was written, again and again.
async fn wear(ports: &Ports) {
    let (room, alice) = (conversation(7), user(1));
    note_epoch(ports, room, 1, None).await;
    note_epoch(ports, room, 1, Some(1)).await;
    ports.log.append(1, rows(room, 1..=40, 1)).await.unwrap();
    let joined = member(Role::Member, 1);
    let left = MemberRow {
        state: MemberState::Left,
        ..joined
    };
    for round in 0..20u64 {
        let seq = 41 + round;
        let target = 1 + round % 40;
        let mut list = Vec::new();
        // An edit, reactions that come and go, a deletion.
        for state in ["edited", "with a reaction", ""] {
            let state = Bytes::from_static(state.as_bytes());
            list.push((seq, Set::State { target, state }));
        }
        let entry = Bytes::new();
        list.push((seq, Set::Emptied { target, entry }));
        let row = if round % 2 == 0 { left } else { joined };
        list.push((seq, Set::Member { user: alice, row }));
        let on = round % 2 == 0;
        list.push((
            seq,
            Set::Mention {
                user: alice,
                message: target,
                on,
            },
        ));
        list.push((seq, Set::Meta(Box::new(meta("title", round)))));
        ports.log.apply(effects(room, 1, list)).await.unwrap();
        let read = Mark::Read {
            seq,
            mno: seq,
            ano: 0,
        };
        let marks = [read, Mark::Delivered { seq }].map(|mark| MarkWrite {
            conversation: room,
            user: alice,
            mark,
        });
        ports.marks.raise(marks.into()).await.unwrap();
        let head = HeadRow {
            conversation: room,
            epoch: 1,
            seq,
            mno: seq,
            ano: 0,
            at: Timestamp(1000),
            clean: 0,
        };
        ports.log.put_head(1, head).await.unwrap();
    }
    // A takeover writes it all again, and the late owner once more.
    ports.log.append(2, rows(room, 1..=40, 1)).await.unwrap();
    ports.log.append(1, rows(room, 1..=40, 1)).await.unwrap();
}

#[test]
fn no_read_goes_over_graves() {
    run_beside(async |ports: Ports, options| {
        wear(&ports).await;
        let raw = Raw::connect(&options).await;
        for (table, _) in tables() {
            let Scanned { live, graves } = raw.scanned(&format!("SELECT * FROM {table}")).await;
            assert!(
                live > 0 && graves == 0,
                "{table}: {live} live, {graves} graves"
            );
        }
        // The check can fail: a cell set to null is one.
        let room = of_conversation(conversation(7));
        let key = format!("conversation = {room} AND bucket = 0");
        let bury = format!("UPDATE {{data}}.log SET state = null WHERE {key} AND seq = 3");
        raw.send(&bury).await;
        let read = format!("SELECT * FROM {{data}}.log WHERE {key}");
        assert_eq!(raw.scanned(&read).await.graves, 1);
    });
}

#[test]
fn only_claims_end_by_themselves() {
    run_beside(async |ports: Ports, options| {
        wear(&ports).await;
        let raw = Raw::connect(&options).await;
        for (table, columns) in tables() {
            for column in columns {
                let read = format!("SELECT TTL({column}) FROM {table}");
                let answer = raw.read(&read).await;
                for ttl in answer.rows::<(Option<i32>,)>().unwrap() {
                    assert_eq!(ttl.unwrap(), (None,), "{column} of {table}");
                }
            }
        }
        // Nor by the table's own setting.
        let read = format!(
            "SELECT table_name, default_time_to_live FROM system_schema.tables \
             WHERE keyspace_name IN ('{0}', '{0}_names')",
            options.keyspace
        );
        let answer = raw.read(&read).await;
        let mut made = 0;
        for table in answer.rows::<(String, i32)>().unwrap() {
            let (table, ttl) = table.unwrap();
            assert_eq!(ttl, 0, "{table}");
            made += 1;
        }
        assert!(made >= 15, "{made} tables");
        // Nor does a note that a conversation is in the middle of something.
        let room = conversation(7);
        let noted = ports.log.put_live(1, 1000, room, Timestamp(1000));
        noted.await.unwrap();
        let read = format!(
            "SELECT TTL(at) FROM {{data}}.live WHERE slot = 1000 AND conversation = {}",
            of_conversation(room)
        );
        let answer = raw.read(&read).await;
        assert_eq!(answer.first_row::<(Option<i32>,)>().unwrap(), (None,));
    });
}

fn claim(scope: Scope, name: &str, owner: u8, expires_at: Option<i64>) -> Claim {
    Claim {
        scope,
        name: name.into(),
        row: ClaimRow {
            owner: [owner; 16],
            intent: Bytes::from_static(b"intent"),
            expires_at: expires_at.map(Timestamp),
        },
    }
}

#[test]
fn a_claim_lives_as_long_as_it_says_and_a_margin() {
    const HOUR_MS: i64 = 3_600_000;
    run_beside(async |ports: Ports, options| {
        let raw = Raw::connect(&options).await;
        let name = name("used once");
        let ttl = async || {
            let read = format!(
                "SELECT TTL(claim) FROM {{names}}.claims WHERE scope = {} AND name = '{name}'",
                // Request keys, see docs/storage-format.md.
                5
            );
            let answer = raw.read(&read).await;
            let row = answer.maybe_first_row::<(Option<i32>,)>().unwrap();
            row.and_then(|(ttl,)| ttl).map(i64::from)
        };
        // Within a minute: this machine may be busy.
        let about = |ttl: Option<i64>, expected: i64| {
            let ttl = ttl.unwrap_or(0);
            assert!(ttl > expected - 60 && ttl <= expected, "{ttl} {expected}");
        };
        let claimed = claim(Scope::Request, &name, 1, Some(HOUR_MS));
        let mine = ports.names.claim(claimed, Timestamp(0)).await.unwrap();
        assert_eq!(mine, ClaimOutcome::Mine);
        about(ttl().await, 3600 + CLAIM_TTL_MARGIN_S);
        // Settling it makes it neither longer nor lasting.
        let settled = ports.names.settle(Scope::Request, name.clone(), [1; 16]);
        assert!(settled.await.unwrap());
        about(ttl().await, 3600 + CLAIM_TTL_MARGIN_S);
        // Whoever takes one over that ended has a time of its own.
        let next = claim(Scope::Request, &name, 2, Some(5 * HOUR_MS));
        let mine = ports.names.claim(next, Timestamp(2 * HOUR_MS)).await;
        assert_eq!(mine.unwrap(), ClaimOutcome::Mine);
        about(ttl().await, 3 * 3600 + CLAIM_TTL_MARGIN_S);
        let later = Timestamp(6 * HOUR_MS);
        let far = claim(Scope::Request, &name, 3, Some(i64::MAX));
        let mine = ports.names.claim(far, later).await.unwrap();
        assert_eq!(mine, ClaimOutcome::Mine);
        assert_eq!(ttl().await, None, "longer than a server is asked for");
        let given = ports.names.release(Scope::Request, name.clone(), [3; 16]);
        assert!(given.await.unwrap());
        assert_eq!(ttl().await, None);
        // One that lasts has none, and keeps none when it is settled.
        let lasting = claim(Scope::Request, &name, 4, None);
        ports.names.claim(lasting, later).await.unwrap();
        assert_eq!(ttl().await, None);
        let settled = ports.names.settle(Scope::Request, name.clone(), [4; 16]);
        assert!(settled.await.unwrap());
        let found = ports.names.claimed(Scope::Request, name.clone()).await;
        assert_eq!(
            (found.unwrap().unwrap().owner, ttl().await),
            ([4; 16], None)
        );
    });
}

#[test]
fn two_stores_race_for_each_name_and_one_wins() {
    run_beside(async |ports: Ports, options| {
        let other = Cql::open(&options).await.unwrap();
        let two = [ports, other.ports()];
        let mut won = [0, 0];
        for n in 0..24 {
            let name = name(&format!("raced {n}"));
            let [a, b] = [0, 1].map(|i: usize| {
                let owner = u8::try_from(i).unwrap() + 1;
                let claim = claim(Scope::Username, &name, owner, None);
                two[i].names.claim(claim, Timestamp(0))
            });
            let outcomes = <[_; 2]>::from(join(a, b).await).map(Result::unwrap);
            let mine = |i: usize| outcomes[i] == ClaimOutcome::Mine;
            assert!(mine(0) != mine(1), "{outcomes:?}");
            let winner = usize::from(mine(1));
            won[winner] += 1;
            let ClaimOutcome::Taken(by) = &outcomes[1 - winner] else {
                panic!("{outcomes:?}");
            };
            let owner = [u8::try_from(winner).unwrap() + 1; 16];
            assert_eq!(by.owner, owner);
            for ports in &two {
                let found = ports.names.claimed(Scope::Username, name.clone());
                assert_eq!(found.await.unwrap().unwrap().owner, owner);
                // The loser neither settles it nor gives it back.
                let loser = [3 - owner[0]; 16];
                let settled = ports.names.settle(Scope::Username, name.clone(), loser);
                assert!(!settled.await.unwrap());
                let given = ports.names.release(Scope::Username, name.clone(), loser);
                assert!(!given.await.unwrap());
            }
        }
        assert_eq!(won[0] + won[1], 24);
    });
}

#[test]
fn two_stores_agree_on_a_value_that_is_put_once() {
    run_beside(async |_, options| {
        let opened = Box::pin(join(Cql::open(&options), Cql::open(&options))).await;
        let (a, b) = (opened.0.unwrap(), opened.1.unwrap());
        for n in 0..8 {
            let name = name(&format!("value {n}"));
            let put = [Bytes::from_static(b"first"), Bytes::from_static(b"second")];
            let [one, other] = put;
            let (first, second) =
                join(a.value_or_put(&name, one), b.value_or_put(&name, other)).await;
            assert_eq!(first.unwrap(), second.unwrap());
        }
    });
}

/// A row that is not read twice, whatever lies on both sides of a page.
#[test]
fn memberships_of_many_pages_come_once_each() {
    run(async |ports: Ports| {
        let room = conversation(7);
        let row = member(Role::Member, 1);
        let set = |n: u8| (1, Set::Member { user: user(n), row });
        for chunk in [0..=127u8, 128..=255] {
            let list = chunk.map(set).collect();
            ports.log.apply(effects(room, 1, list)).await.unwrap();
        }
        let mut found = Vec::new();
        loop {
            let after = found.last().copied();
            let page = ports.members.members_of(room, after, 50).await.unwrap();
            if page.is_empty() {
                break;
            }
            found.extend(page.into_iter().map(|it| it.user));
        }
        let all: Vec<_> = (0..=255u8).map(user).collect();
        assert_eq!(found, all);
    });
}
