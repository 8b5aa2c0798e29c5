//! Limits of what several nodes share: leases, slots, the CQL store.

/// How long a node's lease holds, from before the request that renewed it (ARCHITECTURE §7).
pub const LEASE_MS: u64 = 5000;
/// Time between two renewals of a lease.
pub const LEASE_RENEW_MS: u64 = 1500;
/// What an observer of a lease waits beyond it: clocks may drift apart by as
/// much in that time.
pub const LEASE_MARGIN_MS: u64 = 1000;
/// Longest time between two of its reads that counts as observed: a third of
/// the lease, so that an outage of the store is not taken for silence.
pub const LEASE_GAP_MS: u64 = LEASE_MS / 3;
/// Time between two such reads.
pub const LEASE_POLL_MS: u64 = 500;
/// Time between two looks at slots that are wanted and somebody else has.
pub const SLOT_LOOK_MS: u64 = 1000;
/// Pause before a failed request about leases or slots is asked again.
pub const LEASE_RETRY_MS: u64 = 250;
/// The machine of leases is told the time this often.
pub const LEASE_TICK_MS: u64 = 100;
/// What is in flight when a slot is handed off may take this long.
pub const HAND_OFF_MS: u64 = 2000;
/// States of conversations that were loaded after their rooms had lost patience,
/// kept for the next rooms.
pub const LOADS_KEPT_MAX: usize = 256;
/// Conversations that could not be activated, noted at once; with more the
/// recovery of slots is tried again.
pub const UNSETTLED_MAX: usize = 65_536;
/// Longest pause before the recovery of a slot is tried again.
pub const RECOVERY_RETRY_MS_MAX: u64 = 4000;
/// Slots whose unfinished conversations are activated at once.
pub const SLOT_RECOVERIES_AT_ONCE: usize = 16;
/// A node that starts again claims what it owned before within this time; others
/// leave it alone so long.
pub const COME_BACK_MS: u64 = 10_000;
/// Two nodes that both want all slots and own some each share them this long;
/// then the one whose name is greater steps back.
pub const SLOTS_CONTENDED_MS: u64 = 10_000;
/// It claims nothing for this long, so that the other can.
pub const STEP_BACK_MS: u64 = 10_000;
/// Slots that one node claims or gives back at once.
pub const SLOT_SWAPS_AT_ONCE: usize = 32;
/// Bytes of a node's name.
pub const NODE_NAME_BYTES_MAX: usize = 64;
/// The largest seq that a logical timestamp holds (ARCHITECTURE §7).
pub const STAMP_SEQ_MAX: u64 = (1 << 40) - 1;
/// A conversation's activity is noted for its members once in such a window
/// (ARCHITECTURE §6).
pub const INBOX_WINDOW_MS: i64 = 10 * 60 * 1000;
/// Only in conversations of so many members; lists look at the heads of others.
pub const INBOX_MEMBERS_MAX: u64 = 256;
/// Conversations whose records and heads a list reads at once.
pub const LIST_CHUNK: usize = 64;
/// One request to a CQL server, its retries by the driver included (ARCHITECTURE §6).
pub const CQL_REQUEST_MS: u64 = 2000;
/// One compare-and-set or read of a lease or slot on a CQL server: a try, a look
/// at what came of it and another try fit twice between a renewal and the end.
pub const CQL_SWAP_MS: u64 = 700;
/// Notes of rooms that are awake count from here (2020-01-01), so that those of a
/// process that starts again under one epoch go on above those before.
pub const LIVE_NOTES_FROM_MS: i64 = 1_577_836_800_000;
/// The longest time to live that a CQL server is asked for: a year. What is to
/// live longer has none. (Cassandra 5 as it is installed refuses what would
/// end after January 2038.)
pub const CQL_TTL_S_MAX: i64 = 365 * 24 * 3600;
/// Characters of a keyspace's name. Servers take 48; ours leave room for what is
/// appended.
pub const CQL_KEYSPACE_CHARACTERS_MAX: usize = 40;
/// Copies of each row on a CQL cluster unless told otherwise: one may be lost,
/// and a quorum still stands.
pub const CQL_REPLICAS: u8 = 3;
/// One statement that changes the schema of a CQL server.
pub const CQL_SCHEMA_MS: u64 = 10_000;
/// From dialling a CQL server to its answer.
pub const CQL_CONNECT_MS: u64 = 5000;
/// A silent connection to a CQL server is asked this often whether it lives,
/// and closed when it does not say so in the same time (ARCHITECTURE §6).
pub const CQL_KEEPALIVE_MS: u64 = 5000;
/// A read that a replica has not answered by then is asked of another one.
pub const CQL_SPECULATIVE_MS: u64 = 100;
/// Requests to CQL servers in flight; more are `overloaded`.
pub const CQL_REQUESTS_MAX: usize = 4096;
/// Different reads of CQL servers that others may join; beyond them each has a
/// query of its own.
pub const CQL_READ_KEYS_MAX: usize = CQL_REQUESTS_MAX;
/// Queries under way for one and the same read; who comes then waits for the
/// next one, with all others who do.
pub const CQL_READS_PER_KEY: usize = 2;
/// Partitions that one call of a port reads or writes at once.
pub const CQL_PARTITIONS_AT_ONCE: usize = 32;
/// Bytes of one CQL batch (a server takes half a commit log segment: 16 MiB
/// by default, 2.5 MiB on the test servers).
pub const CQL_BATCH_BYTES_MAX: usize = 1024 * 1024;
/// Statements of one CQL batch.
pub const CQL_BATCH_STATEMENTS_MAX: usize = 1024;
/// Rows of one page from a CQL server.
pub const CQL_PAGE_ROWS: usize = 512;
/// Tries of one plain CQL write whose connection broke or that nobody answered.
pub const CQL_WRITE_ATTEMPTS: usize = 3;
/// A plain CQL write without an answer is sent again after this, word for word.
pub const CQL_AGAIN_MS: u64 = 500;
/// A CQL server that owes an answer for so long, and has given none since, is
/// asked last until it answers.
pub const CQL_SILENT_MS: u64 = 400;
/// Rounds of one compare-and-set on a CQL server before it is `unavailable`.
pub const CQL_CAS_ROUNDS: usize = 8;
/// The CQL store looks this often whether the servers take writes.
pub const CQL_PROBE_MS: u64 = 500;
/// A claim of limited life stays this long behind its end, so that no clock
/// of a server ends it early.
pub const CLAIM_TTL_MARGIN_S: i64 = 3600;
/// A migration lock that was not renewed for this long has a dead holder.
pub const MIGRATION_LEASE_MS: u64 = 30_000;
/// Whoever waits for the migration lock looks this often.
pub const MIGRATION_LOOK_MS: u64 = 250;
