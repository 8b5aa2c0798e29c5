//! Copies between stores of every kind: equal by checksum, resumed, and below
//! whatever an owner of the destination writes.

use std::sync::Arc;

use bytes::Bytes;
use fanfare_engine::effect::Set;
use fanfare_engine::member::MemberRow;
use fanfare_engine::port::{Claim, ClaimRow, Log, Mark, MarkWrite, Scope};
use fanfare_engine::row::{EpochRow, HeadRow, LogRow};
use fanfare_protocol::conversation::Role;
use fanfare_protocol::{ConversationId, SessionId, Timestamp};
use fanfare_storage::copy::{CopyError, Tally, copy, digest, is_unfinished};
use fanfare_storage::cql::Cql;
use fanfare_storage::dying::{self, Fault, Switch};
use fanfare_storage::{Memory, Ports};

use crate::build::{
    account, all_rows, conversation, effects, family, member, meta, row, rows, user,
};
use crate::cql::RUNTIME;

const NOW: Timestamp = Timestamp(1_700_000_000_000);

/// A store with a bit of everything, as an owner of epoch 3 left it.
async fn filled() -> Memory {
    let store = Memory::new();
    store.data_secret([7; 32]).await.unwrap();
    let ports = store.ports();
    ports.singles.raise_epoch(4).await.unwrap();
    for n in 1..=5 {
        let new = account(user(n), "A", u64::from(n));
        ports.accounts.put_account(new, None).await.unwrap();
        let session = SessionId::from_bytes(*user(n).as_bytes());
        ports
            .tokens
            .put_family(family(session, n, 1), None)
            .await
            .unwrap();
    }
    for (name, end) in [
        ("lasts", None),
        ("ends", Some(NOW.plus_ms(60_000))),
        ("ended", Some(Timestamp(5))),
    ] {
        let row = ClaimRow {
            owner: [1; 16],
            intent: Bytes::new(),
            expires_at: end,
        };
        let (scope, name) = (Scope::Request, name.to_owned());
        let claim = Claim { scope, name, row };
        ports.names.claim(claim, Timestamp(0)).await.unwrap();
    }
    for n in 1..=70 {
        talk(&ports, conversation(n), if n == 1 { 700 } else { 3 }).await;
    }
    // One that begins a second bucket.
    let log = conversation(2);
    for from in (4..=8200).step_by(500) {
        for rows in by_bucket(log, from, (from + 499).min(8200)) {
            ports.log.append(3, rows).await.unwrap();
        }
    }
    store
}

fn by_bucket(log: ConversationId, from: u64, to: u64) -> Vec<Arc<[LogRow]>> {
    let border = 8192.clamp(from - 1, to);
    let parts = [from..=border, border + 1..=to];
    let parts = parts.into_iter().filter(|part| !part.is_empty());
    parts.map(|part| rows(log, part, 3)).collect()
}

async fn talk(ports: &Ports, log: ConversationId, last: u64) {
    ports.log.append(1, rows(log, 1..=2, 1)).await.unwrap();
    ports.log.append(3, rows(log, 3..=last, 3)).await.unwrap();
    let left = MemberRow {
        state: fanfare_protocol::participant::MemberState::Left,
        ..member(Role::Member, 3)
    };
    let list = vec![
        (1, Set::Meta(Box::new(meta("a talk", 1)))),
        (
            1,
            Set::Member {
                user: user(1),
                row: member(Role::Owner, 1),
            },
        ),
        (
            3,
            Set::Member {
                user: user(2),
                row: left,
            },
        ),
        (
            2,
            Set::Mention {
                user: user(1),
                message: 2,
                on: true,
            },
        ),
        (
            3,
            Set::Mention {
                user: user(2),
                message: 2,
                on: false,
            },
        ),
        (
            3,
            Set::State {
                target: 2,
                state: Bytes::from("edited"),
            },
        ),
    ];
    ports.log.apply(effects(log, 3, list)).await.unwrap();
    let user = user(1);
    let read = Mark::Read {
        seq: 3,
        mno: 1,
        ano: 1,
    };
    for mark in [read, Mark::Delivered { seq: 2 }] {
        let conversation = log;
        let write = MarkWrite {
            conversation,
            user,
            mark,
        };
        ports.marks.raise(vec![write]).await.unwrap();
    }
    for (epoch, first_seq) in [
        (1, Some(1)),
        (2, Some(EpochRow::NEVER)),
        (3, Some(3)),
        (4, None),
    ] {
        let conversation = log;
        let row = EpochRow {
            conversation,
            epoch,
            first_seq,
        };
        ports.log.put_epoch(epoch, row).await.unwrap();
    }
    ports.log.put_head(3, head(log, last, last)).await.unwrap();
    ports.log.put_live(3, 3, log, NOW).await.unwrap();
}

fn head(log: ConversationId, seq: u64, clean: u64) -> HeadRow {
    let of = row(log, seq, 3);
    HeadRow {
        conversation: log,
        epoch: 3,
        seq,
        mno: of.mno,
        ano: of.ano,
        at: Timestamp(9),
        clean,
    }
}

async fn copied(from: &Ports, to: &Ports) -> Result<fanfare_storage::copy::Digest, CopyError> {
    let copied = copy(from, to, NOW, &Tally::default()).await?;
    Ok(copied.digest)
}

/// What a copy into `to` promises, from a store in memory and back into one.
async fn there_and_back(to: Ports) {
    let store = filled().await;
    let from = store.ports();
    let there = copied(&from, &to).await.unwrap();
    assert_eq!(
        (there.conversations, there.accounts, there.families),
        (70, 5, 5)
    );
    assert_eq!((there.claims, there.values), (2, 1));
    assert!(to.singles.newest_epoch().await.unwrap() >= 4);
    assert_eq!(to.log.live(3, None, 100).await.unwrap(), []);
    // Who is a member is told when it was active; who left is not.
    let active = to.inbox.inbox(user(1), None, 1000).await.unwrap();
    assert!(active.contains(&(conversation(1), Timestamp(9))));
    assert_eq!(to.inbox.inbox(user(2), None, 1000).await.unwrap(), []);
    assert!(!is_unfinished(&to).await.unwrap());
    let rows = all_rows(to.log.as_ref(), conversation(2)).await;
    assert_eq!(rows, all_rows(from.log.as_ref(), conversation(2)).await);
    let again = copied(&from, &to).await;
    assert!(matches!(again, Err(CopyError::Finished)));
    let back = Memory::new();
    let home = copied(&to, &back.ports()).await.unwrap();
    assert_eq!(home, there);
    assert_eq!(home, digest(&from, NOW, &Tally::default()).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn memory_and_fjall_hold_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let limits = fanfare_protocol::Limits::default();
    let store = fanfare_storage::Embedded::open(folder.path(), &limits).unwrap();
    there_and_back(store.ports()).await;
}

#[test]
fn memory_and_cql_hold_the_same() {
    let Some(options) = crate::cql::options("copies") else {
        return;
    };
    RUNTIME.block_on(async {
        let store = Cql::open(&options).await.unwrap();
        there_and_back(store.ports()).await;
    });
}

/// Fails at the n-th write, then goes on; edits meanwhile win.
async fn killed_and_resumed(to: Ports) {
    let store = filled().await;
    let (to, switch) = dying::wrap(to);
    switch.die_at(40, Fault::UnknownPerformed);
    let (from, tally) = (store.ports(), Tally::default());
    // A dead store stays dead: the copy would go on trying, and is killed.
    tokio::select! {
        done = copy(&from, &to, NOW, &tally) => panic!("{done:?}"),
        () = death_of(&switch) => {}
    }
    switch.revive();
    assert!(is_unfinished(&to).await.unwrap());
    let first = to.census.all_conversations(None, 1).await.unwrap().items[0];
    edit(to.log.as_ref(), first).await;
    let resumed = copied(&store.ports(), &to).await;
    let Err(CopyError::Differ { conversations, .. }) = resumed else {
        panic!("the edit was written over: {resumed:?}");
    };
    assert_eq!(conversations, [first]);
    let rows = all_rows(to.log.as_ref(), first).await;
    assert_eq!(rows[1].state, "edited after the copy");
}

/// As the first owner of the destination.
async fn edit(log: &dyn Log, conversation: ConversationId) {
    let state = Bytes::from("edited after the copy");
    let set = Set::State { target: 2, state };
    let edit = effects(conversation, 1, vec![(4, set)]);
    log.apply(edit).await.unwrap();
}

async fn death_of(switch: &Switch) {
    while !switch.is_dead() {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_goes_on_where_it_was_and_edits_after_it_win() {
    killed_and_resumed(Memory::new().ports()).await;
}

#[test]
fn a_copy_to_cql_goes_on_where_it_was_and_edits_after_it_win() {
    let Some(options) = crate::cql::options("resumed") else {
        return;
    };
    RUNTIME.block_on(async {
        let store = Cql::open(&options).await.unwrap();
        killed_and_resumed(store.ports()).await;
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn only_an_empty_destination_is_copied_into() {
    let store = filled().await;
    let nothing = copied(&Memory::new().ports(), &Memory::new().ports()).await;
    assert!(matches!(nothing, Err(CopyError::Nothing)));
    let used = Memory::new();
    used.data_secret([1; 32]).await.unwrap();
    let refused = copied(&store.ports(), &used.ports()).await;
    assert!(matches!(refused, Err(CopyError::NotEmpty)));
    let other = filled().await;
    let source = Memory::new();
    source.data_secret([9; 32]).await.unwrap();
    let done = Memory::new();
    copied(&source.ports(), &done.ports()).await.unwrap();
    let refused = copied(&other.ports(), &done.ports()).await;
    assert!(matches!(refused, Err(CopyError::OtherSource)));
}

#[tokio::test(flavor = "multi_thread")]
async fn every_difference_shows_in_the_checksum() {
    let store = filled().await;
    let ports = store.ports();
    let mut seen = vec![
        digest(&ports, NOW, &Tally::default())
            .await
            .unwrap()
            .to_string(),
    ];
    let mut differs = async || {
        let now = digest(&ports, NOW, &Tally::default())
            .await
            .unwrap()
            .to_string();
        assert!(!seen.contains(&now), "{} changes", seen.len());
        seen.push(now);
    };
    let log = conversation(3);
    let change = async |seq, set| {
        ports
            .log
            .apply(effects(log, 9, vec![(seq, set)]))
            .await
            .unwrap()
    };
    change(
        4,
        Set::State {
            target: 2,
            state: Bytes::from("other"),
        },
    )
    .await;
    differs().await;
    change(
        4,
        Set::Emptied {
            target: 2,
            entry: Bytes::from("other"),
        },
    )
    .await;
    differs().await;
    change(
        4,
        Set::Member {
            user: user(1),
            row: member(Role::Admin, 4),
        },
    )
    .await;
    differs().await;
    change(4, Set::Meta(Box::new(meta("other", 4)))).await;
    differs().await;
    change(
        4,
        Set::Mention {
            user: user(1),
            message: 2,
            on: false,
        },
    )
    .await;
    differs().await;
    let (conversation, user) = (log, user(1));
    let mark = Mark::Delivered { seq: 3 };
    ports
        .marks
        .raise(vec![MarkWrite {
            conversation,
            user,
            mark,
        }])
        .await
        .unwrap();
    differs().await;
    let first_seq = Some(3);
    ports
        .log
        .put_epoch(
            9,
            EpochRow {
                conversation,
                epoch: 9,
                first_seq,
            },
        )
        .await
        .unwrap();
    differs().await;
    ports.log.put_head(9, head(log, 3, 0)).await.unwrap();
    differs().await;
    ports
        .accounts
        .put_account(account(user, "B", 2), Some(1))
        .await
        .unwrap();
    differs().await;
    ports.log.append(9, rows(log, 4..=4, 9)).await.unwrap();
    differs().await;
    // What does not travel does not count.
    ports.log.put_live(9, 9, log, NOW).await.unwrap();
    ports.singles.raise_epoch(77).await.unwrap();
    let last = digest(&ports, NOW, &Tally::default()).await.unwrap();
    assert_eq!(Some(&last.to_string()), seen.last());
}
