//! Every statement, prepared once when the store is opened. Positional `?`
//! only; {data} and {names} are the two keyspaces.

use std::time::Duration;

use fanfare_protocol::limits::CQL_SWAP_MS;
use scylla::client::session::Session;
use scylla::frame::types::Consistency;
use scylla::statement::prepared::PreparedStatement;

use super::error::OpenError;
use super::options::Keyspaces;
use super::session::Profiles;

/// How a statement is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A plain read at LOCAL_QUORUM.
    Read,
    /// A plain write at LOCAL_QUORUM under a given timestamp.
    Write,
    /// Compare-and-set.
    Cas,
    /// Compare-and-set of a lease or slot, with less time: several tries
    /// must fit into the time that a lease holds.
    Swap,
    /// The read that goes with it, with as little time.
    Look,
    /// A read that first finishes what compare-and-set left in the middle.
    Serial,
}

macro_rules! statements {
    ($($name:ident: $kind:ident $cql:literal;)*) => {
        /// All statements.
        pub(crate) struct Statements { $(pub(crate) $name: PreparedStatement,)* }

        impl Statements {
            /// # Errors
            /// [`OpenError::Prepare`] for what the server refuses.
            pub(crate) async fn prepare(
                session: &Session,
                keyspaces: &Keyspaces,
                profiles: &Profiles,
            ) -> Result<Self, OpenError> {
                Ok(Self { $($name: {
                    let cql = keyspaces.fill($cql);
                    prepare(session, profiles, Kind::$kind, cql).await?
                },)* })
            }
        }

        #[cfg(test)]
        const ALL: &[(Kind, &str)] = &[$((Kind::$kind, $cql),)*];
    };
}

statements! {
    put_row: Write "INSERT INTO {data}.log (conversation, bucket, seq, epoch, mno, ano, author_key, request, entry, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
    put_state: Write "UPDATE {data}.log USING TIMESTAMP ? SET state = ? WHERE conversation = ? AND bucket = ? AND seq = ?";
    put_entry: Write "UPDATE {data}.log USING TIMESTAMP ? SET entry = ? WHERE conversation = ? AND bucket = ? AND seq = ?";
    rows_up: Read "SELECT seq, epoch, mno, ano, author_key, request, entry, state FROM {data}.log WHERE conversation = ? AND bucket = ? AND seq >= ? AND seq <= ? ORDER BY seq ASC LIMIT ?";
    rows_down: Read "SELECT seq, epoch, mno, ano, author_key, request, entry, state FROM {data}.log WHERE conversation = ? AND bucket = ? AND seq >= ? AND seq <= ? ORDER BY seq DESC LIMIT ?";
    meta: Read "SELECT meta FROM {data}.metas WHERE conversation = ?";
    put_meta: Write "INSERT INTO {data}.metas (conversation, meta) VALUES (?, ?) USING TIMESTAMP ?";
    head: Read "SELECT epoch, seq, mno, ano, clean, at FROM {data}.heads WHERE conversation = ?";
    put_head: Write "INSERT INTO {data}.heads (conversation, epoch, seq, mno, ano, clean, at) VALUES (?, ?, ?, ?, ?, ?, ?) USING TIMESTAMP ?";
    epochs: Read "SELECT epoch, first_seq FROM {data}.epochs WHERE conversation = ? AND epoch > ? ORDER BY epoch ASC LIMIT ?";
    put_epoch: Write "INSERT INTO {data}.epochs (conversation, epoch, first_seq) VALUES (?, ?, ?) USING TIMESTAMP ?";
    live: Read "SELECT conversation FROM {data}.live WHERE slot = ? AND conversation > ? ORDER BY conversation ASC LIMIT ?";
    put_live: Write "INSERT INTO {data}.live (slot, conversation, at) VALUES (?, ?, ?) USING TIMESTAMP ?";
    drop_live: Write "DELETE FROM {data}.live USING TIMESTAMP ? WHERE slot = ? AND conversation = ?";
    member: Read "SELECT membership FROM {data}.members_of WHERE conversation = ? AND member = ?";
    members_of: Read "SELECT member, membership FROM {data}.members_of WHERE conversation = ? AND member > ? ORDER BY member ASC LIMIT ?";
    conversations_of: Read "SELECT conversation, membership FROM {data}.conversations_of WHERE member = ? AND conversation > ? ORDER BY conversation ASC LIMIT ?";
    put_member_of: Write "INSERT INTO {data}.members_of (conversation, member, membership) VALUES (?, ?, ?) USING TIMESTAMP ?";
    put_conversation_of: Write "INSERT INTO {data}.conversations_of (member, conversation, membership) VALUES (?, ?, ?) USING TIMESTAMP ?";
    marks: Read "SELECT member, read_seq, read_mno, read_ano, delivered_seq FROM {data}.marks WHERE conversation = ? AND member = ?";
    marks_of: Read "SELECT member, read_seq, read_mno, read_ano, delivered_seq FROM {data}.marks WHERE conversation = ? AND member > ? ORDER BY member ASC LIMIT ?";
    put_read: Write "UPDATE {data}.marks USING TIMESTAMP ? SET read_seq = ?, read_mno = ?, read_ano = ? WHERE conversation = ? AND member = ?";
    put_delivered: Write "UPDATE {data}.marks USING TIMESTAMP ? SET delivered_seq = ? WHERE conversation = ? AND member = ?";
    inbox: Read "SELECT conversation, active_at FROM {data}.inbox WHERE member = ? AND conversation > ? ORDER BY conversation ASC LIMIT ?";
    put_inbox: Write "INSERT INTO {data}.inbox (member, conversation, active_at) VALUES (?, ?, ?) USING TIMESTAMP ?";
    mentions: Read "SELECT message, named FROM {data}.mentions WHERE member = ? AND conversation = ? AND message > ? ORDER BY message ASC LIMIT ?";
    put_mention: Write "INSERT INTO {data}.mentions (member, conversation, message, named) VALUES (?, ?, ?, ?) USING TIMESTAMP ?";
    put_probe: Write "INSERT INTO {data}.probe (name, value) VALUES (?, ?) USING TIMESTAMP ?";
    probe: Read "SELECT WRITETIME(value) FROM {data}.probe WHERE name = ?";
    all_logs: Read "SELECT token(conversation, bucket), conversation, bucket FROM {data}.log WHERE token(conversation, bucket) > ? PER PARTITION LIMIT 1 LIMIT ?";
    claim: Serial "SELECT claim, TTL(claim) FROM {names}.claims WHERE scope = ? AND name = ?";
    new_claim: Cas "INSERT INTO {names}.claims (scope, name, claim) VALUES (?, ?, ?) IF NOT EXISTS USING TTL ?";
    set_claim: Cas "UPDATE {names}.claims USING TTL ? SET claim = ? WHERE scope = ? AND name = ? IF claim = ?";
    drop_claim: Cas "DELETE FROM {names}.claims WHERE scope = ? AND name = ? IF claim = ?";
    all_claims: Read "SELECT token(scope, name), scope, name, claim FROM {names}.claims WHERE token(scope, name) > ? LIMIT ?";
    account: Read "SELECT rev, account FROM {names}.accounts WHERE member = ?";
    account_serial: Serial "SELECT rev, account FROM {names}.accounts WHERE member = ?";
    new_account: Cas "INSERT INTO {names}.accounts (member, rev, account) VALUES (?, ?, ?) IF NOT EXISTS";
    set_account: Cas "UPDATE {names}.accounts SET rev = ?, account = ? WHERE member = ? IF rev = ?";
    all_accounts: Read "SELECT token(member), account FROM {names}.accounts WHERE token(member) > ? LIMIT ?";
    family: Read "SELECT rev, family FROM {names}.families WHERE session = ?";
    family_serial: Serial "SELECT rev, family FROM {names}.families WHERE session = ?";
    new_family: Cas "INSERT INTO {names}.families (session, rev, family) VALUES (?, ?, ?) IF NOT EXISTS";
    set_family: Cas "UPDATE {names}.families SET rev = ?, family = ? WHERE session = ? IF rev = ?";
    all_families: Read "SELECT token(session), family FROM {names}.families WHERE token(session) > ? LIMIT ?";
    single: Serial "SELECT value FROM {names}.single_values WHERE name = ?";
    all_singles: Read "SELECT token(name), name, value FROM {names}.single_values WHERE token(name) > ? LIMIT ?";
    new_single: Cas "INSERT INTO {names}.single_values (name, value) VALUES (?, ?) IF NOT EXISTS";
    set_single: Cas "UPDATE {names}.single_values SET value = ? WHERE name = ? IF value = ?";
    lease: Look "SELECT incarnation, renewal, fenced FROM {names}.leases WHERE node = ?";
    new_lease: Swap "INSERT INTO {names}.leases (node, incarnation, renewal, fenced) VALUES (?, ?, ?, ?) IF NOT EXISTS";
    set_lease: Swap "UPDATE {names}.leases SET incarnation = ?, renewal = ?, fenced = ? WHERE node = ? IF incarnation = ? AND renewal = ? AND fenced = ?";
    slots: Read "SELECT slot, owner, incarnation, epoch FROM {names}.slots";
    slot: Look "SELECT owner, incarnation, epoch FROM {names}.slots WHERE slot = ?";
    new_slot: Swap "INSERT INTO {names}.slots (slot, owner, incarnation, epoch) VALUES (?, ?, ?, ?) IF NOT EXISTS";
    set_slot: Swap "UPDATE {names}.slots SET owner = ?, incarnation = ?, epoch = ? WHERE slot = ? IF owner = ? AND incarnation = ? AND epoch = ?";
}

async fn prepare(
    session: &Session,
    profiles: &Profiles,
    kind: Kind,
    cql: String,
) -> Result<PreparedStatement, OpenError> {
    let prepared = session.prepare(cql.as_str()).await;
    let mut prepared = prepared.map_err(|source| OpenError::Prepare {
        statement: cql,
        source: Box::new(source),
    })?;
    let profile = match kind {
        Kind::Read | Kind::Serial | Kind::Look => &profiles.reads,
        Kind::Write | Kind::Cas | Kind::Swap => &profiles.writes,
    };
    prepared.set_execution_profile_handle(Some(profile.clone()));
    // A compare-and-set that is sent twice may answer for its first time.
    let conditional = matches!(kind, Kind::Cas | Kind::Swap);
    prepared.set_is_idempotent(!conditional);
    if matches!(kind, Kind::Swap | Kind::Look) {
        let patience = Duration::from_millis(CQL_SWAP_MS);
        prepared.set_request_timeout(Some(patience));
    }
    if matches!(kind, Kind::Serial | Kind::Look) {
        prepared.set_consistency(Consistency::Serial);
    }
    // The answer of a compare-and-set has more columns when it was refused.
    prepared.set_use_cached_result_metadata(!conditional);
    Ok(prepared)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_rows_and_compare_and_set_rows_never_mix() {
        for (kind, cql) in ALL {
            let names = cql.contains("{names}.");
            assert!(names != cql.contains("{data}."), "one keyspace: {cql}");
            let conditional = cql.contains(" IF ");
            let may = matches!(kind, Kind::Cas | Kind::Swap);
            assert_eq!(conditional, may, "{cql}");
            match kind {
                // A plain write carries the timestamp it is given.
                Kind::Write => assert!(!names && cql.contains("USING TIMESTAMP ?"), "{cql}"),
                // The timestamp of a conditional write is its ballot.
                Kind::Cas | Kind::Swap => assert!(names && !cql.contains("TIMESTAMP"), "{cql}"),
                Kind::Serial | Kind::Look => assert!(names, "{cql}"),
                Kind::Read => {}
            }
            for banned in ["ALLOW FILTERING", "BYPASS CACHE", "USING TIMEOUT", ":"] {
                assert!(!cql.contains(banned), "{banned} in {cql}");
            }
            // Rows of logs have no TTL and are never deleted.
            if cql.contains("{data}.log") {
                assert!(!cql.contains("TTL") && !cql.contains("DELETE"), "{cql}");
            }
        }
    }
}
