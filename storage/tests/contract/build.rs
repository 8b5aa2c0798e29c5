//! Small values for the suite.

use std::sync::Arc;

use bytes::Bytes;
use fanfare_engine::account::{Account, Family};
use fanfare_engine::effect::{Effect, Effects, Set};
use fanfare_engine::member::MemberRow;
use fanfare_engine::meta::ConversationMeta;
use fanfare_engine::port::{Log, Order, RowRange};
use fanfare_engine::row::{EpochRow, LogRow};
use fanfare_engine::secret::Fingerprint;
use fanfare_protocol::conversation::{JoinPolicy, Kind, Role, Visibility};
use fanfare_protocol::participant::MemberState;
use fanfare_protocol::user::{GlobalRole, User};
use fanfare_protocol::{ConversationId, SessionId, Timestamp, UserId};
use fanfare_storage::Ports;

tokio::task_local! {
    /// Number of the case, where cases share a store: their ids and names
    /// are then their own.
    pub static CASE: u8;
}

pub fn conversation(n: u8) -> ConversationId {
    ConversationId::from_bytes(id(n))
}

pub fn user(n: u8) -> UserId {
    UserId::from_bytes(id(n))
}

/// Ids of one case in the order of `n`.
fn id(n: u8) -> [u8; 16] {
    let case = CASE.try_with(|case| *case).unwrap_or(n);
    let mut id = [case; 16];
    id[15] = n;
    id
}

/// The number of this case, 1 where it has a store to itself.
pub fn case_number() -> u8 {
    CASE.try_with(|case| *case).unwrap_or(1)
}

/// A name of this case. Not to be asked for in a task of its own.
pub fn name(name: &str) -> String {
    CASE.try_with(|case| format!("{name} of case {case}"))
        .unwrap_or_else(|_| name.into())
}

pub fn row(conversation: ConversationId, seq: u64, epoch: u64) -> LogRow {
    LogRow {
        conversation,
        seq,
        epoch,
        mno: seq / 2,
        ano: seq / 3,
        key: seq.is_multiple_of(2).then_some(Fingerprint([1; 16])),
        request: seq.is_multiple_of(3).then_some(Fingerprint([2; 16])),
        entry: Bytes::from(format!("entry {seq} of epoch {epoch}")),
        state: Bytes::new(),
    }
}

pub fn rows(
    conversation: ConversationId,
    seqs: std::ops::RangeInclusive<u64>,
    epoch: u64,
) -> Arc<[LogRow]> {
    seqs.map(|seq| row(conversation, seq, epoch)).collect()
}

pub async fn all_rows(log: &dyn Log, conversation: ConversationId) -> Vec<LogRow> {
    log.rows(RowRange {
        conversation,
        from: 1,
        to: u64::MAX,
        limit: usize::MAX,
        order: Order::Ascending,
    })
    .await
    .unwrap()
}

pub fn effects(conversation: ConversationId, epoch: u64, list: Vec<(u64, Set)>) -> Arc<Effects> {
    let list = list.into_iter();
    Arc::new(Effects {
        conversation,
        epoch,
        list: list.map(|(seq, set)| Effect { seq, set }).collect(),
    })
}

pub fn member(role: Role, changed_seq: u64) -> MemberRow {
    MemberRow {
        role,
        state: MemberState::Active,
        joined_at: Timestamp(1000),
        from_seq: 1,
        changed_seq,
        joined_mno: 0,
        joined_seq: 1,
        joined_ano: 0,
    }
}

pub fn meta(title: &str, rev: u64) -> ConversationMeta {
    ConversationMeta {
        kind: Kind::Group,
        title: Some(title.into()),
        slug: None,
        description: None,
        visibility: Visibility::Private,
        join_policy: JoinPolicy::Invite,
        member_count: 2,
        created_by: user(1),
        created_at: Timestamp(1000),
        deleted_at: None,
        rev,
    }
}

pub fn account(id: UserId, display_name: &str, rev: u64) -> Account {
    Account {
        user: User {
            id,
            username: "alice".into(),
            display_name: display_name.into(),
            avatar: None,
            bio: None,
            role: GlobalRole::User,
            verified: false,
            created_at: Timestamp(1000),
        },
        email: Some("alice@example.org".into()),
        password: None,
        rev,
        deactivated_at: None,
        registered: None,
    }
}

pub fn family(session: SessionId, current: u8, rev: u64) -> Family {
    Family {
        session,
        user: user(1),
        current: Fingerprint([current; 16]),
        previous: None,
        rotated_at: Timestamp(1000),
        expires_at: Timestamp(2000),
        revoked_at: None,
        rev,
    }
}

/// Notes an epoch of a log, as its owner does.
pub async fn note_epoch(
    ports: &Ports,
    conversation: ConversationId,
    epoch: u64,
    first_seq: Option<u64>,
) {
    let row = EpochRow {
        conversation,
        epoch,
        first_seq,
    };
    ports.log.put_epoch(epoch, row).await.unwrap();
}

/// Says something to whoever runs the tests; not by a macro: those are
/// captured.
pub fn say(line: &str) {
    let line = format!("\n{line}\n");
    let mut out = std::io::stderr().lock();
    std::io::Write::write_all(&mut out, line.as_bytes()).unwrap();
}
