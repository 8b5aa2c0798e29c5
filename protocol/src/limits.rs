//! Every limit of Fanfare, with its unit and its reason, and nowhere else; those of
//! leases and of the CQL store stand in `limits/shared.rs`, of backup and copy in
//! `limits/keeping.rs`.
//!
//! [`Limits`] holds what an operator may change (`limits.<name>` in the
//! configuration). The constants below it belong to formats or promises and
//! are the same on every node. Numbers: ARCHITECTURE §10, GUARANTEES.

use serde::{Deserialize, Serialize};

mod keeping;
mod shared;

pub use keeping::*;
pub use shared::*;

macro_rules! limits {
    ($($(#[$doc:meta])* $name:ident: $type:ty = $value:expr,)*) => {
        /// The configurable limits. Units stand last in each name.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(default, deny_unknown_fields)]
        pub struct Limits { $($(#[$doc])* pub $name: $type,)* }

        impl Default for Limits {
            fn default() -> Self {
                Self { $($name: $value,)* }
            }
        }
    };
}

limits! {
    // --- bytes on the wire -------------------------------------------------
    /// One inbound WebSocket frame.
    frame_bytes_max: usize = 128 * 1024,
    /// One inbound WebSocket message of several frames.
    inbound_message_bytes_max: usize = 256 * 1024,
    /// From a message's first byte to its last.
    inbound_message_ms_max: u64 = 15_000,
    /// Continuation frames without payload inside one message.
    empty_fragments_max: usize = 16,
    /// One REST body.
    body_bytes_max: usize = 256 * 1024,
    /// Request line and headers together.
    header_bytes_max: usize = 16 * 1024,
    /// Number of headers.
    headers_max: usize = 64,
    /// From accept to the end of the headers.
    header_ms_max: u64 = 10_000,
    /// After this long a body must bring `body_bytes_per_s_min`.
    body_grace_ms: u64 = 10_000,
    /// Slowest body after the grace.
    body_bytes_per_s_min: u64 = 1024,
    /// From accept to the end of the TLS handshake.
    tls_handshake_ms_max: u64 = 10_000,
    /// TLS handshakes that compute at once; 0 means one per two cores.
    tls_handshakes_at_once: usize = 0,
    /// A response that makes no progress for this long is closed.
    response_stalled_ms_max: u64 = 30_000,

    // --- connections -------------------------------------------------------
    /// Connections of one node.
    connections_max: usize = 100_000,
    /// Connections of one address (IPv6: one /64).
    connections_per_address_max: usize = 20_000,
    /// The listening socket's backlog.
    accept_backlog: u32 = 4096,
    /// Time for `session:hello` after the upgrade.
    hello_ms_max: u64 = 10_000,
    /// Time between the server's pings; a client silent for two is closed.
    heartbeat_ms: u64 = 20_000,
    /// How long a socket may take no byte before it is closed with 4000.
    slow_reader_ms_max: u64 = 10_000,
    /// Control frames and replies waiting for one socket. Past it the
    /// socket is not read; past twice this it is closed with 4000.
    control_queue_bytes_max: usize = 64 * 1024,
    /// Commands of one session that wait for their answer.
    inbound_permits_session_bytes: usize = 512 * 1024,
    /// Commands of one node that wait for their answer.
    inbound_permits_node_bytes: usize = 256 * 1024 * 1024,
    /// Sockets of one user on one node.
    sessions_per_user_max: usize = 64,

    // --- delivery ----------------------------------------------------------
    /// Conversations one session may be subscribed to.
    subscriptions_per_session_max: usize = 1000,
    /// Most recently active conversations subscribed by hello.
    hello_subscriptions: usize = 50,
    /// Cursors in one hello, resume or subscribe.
    cursors_max: usize = 200,
    /// A cursor further behind is answered `resync`.
    resume_entries_max: u64 = 1000,
    /// Ready frames per conversation and codec.
    ring_bytes_max: usize = 64 * 1024,
    /// Rings and pages of one node.
    rings_and_pages_bytes_max: usize = 256 * 1024 * 1024,
    /// Pages one relay fetches at once.
    page_fetches_max: usize = 8,
    /// Entries on their way to one relay; past it they are dropped and a
    /// head is owed.
    relay_queue_bytes_max: usize = 8 * 1024 * 1024,
    /// Commands on their way to one shard.
    shard_queue_max: usize = 65_536,
    /// Heads of conversations that moved are repeated this often.
    head_repeat_ms: u64 = 1000,

    // --- rooms -------------------------------------------------------------
    /// Rows of one append.
    append_rows_max: usize = 256,
    /// Bytes of one append.
    append_bytes_max: usize = 64 * 1024,
    /// Effect rows of one append.
    append_effects_max: usize = 1024,
    /// A command without outcome is answered so long after it came to its
    /// room, at most a quarter later when its write has just begun.
    append_ms_max: u64 = 2500,
    /// A room without work sleeps after this.
    room_idle_ms: u64 = 60_000,
    /// Commands waiting in one room (gathered, parked or loading).
    room_waiting_max: usize = 65_536,
    /// Idempotency keys one room remembers beyond the last 256 entries.
    room_keys_max: usize = 100_000,
    /// Members of a channel held in memory by its room.
    room_members_cached_max: usize = 16_384,
    /// Reactions of one message are gathered for this long.
    reactions_gather_ms: u64 = 100,
    /// Joins and leaves of a channel are gathered for this long (the first
    /// goes at once).
    membership_gather_ms: u64 = 1000,
    /// First delay before a room that died is started again.
    room_restart_ms_min: u64 = 50,
    /// Longest such delay.
    room_restart_ms_max: u64 = 5000,

    // --- marks and counts --------------------------------------------------
    /// Marks are gathered for this long into one `message:status`.
    marks_gather_ms: u64 = 1000,
    /// Marks that wait for their flush on one node.
    marks_waiting_max: usize = 65_536,
    /// Above this many members nobody is told single marks.
    marks_shown_members_max: u64 = 64,
    /// At most one `unread:update` per conversation and user in this time.
    unread_gather_ms: u64 = 2000,
    /// Above this many members `unread:update` goes only to those mentioned.
    unread_pushed_members_max: u64 = 256,

    // --- content -----------------------------------------------------------
    /// UTF-8 bytes of a message's text.
    message_text_bytes_max: usize = 16 * 1024,
    /// Edits of one message.
    edits_per_message_max: usize = 100,
    /// Different emoji on one message.
    emoji_per_message_max: usize = 50,
    /// Reactions on one message, all emoji together.
    reactions_per_message_max: usize = 2000,
    /// Members named in one message.
    mentions_max: usize = 50,
    /// Members of a group.
    group_members_max: u64 = 256,
    /// Users named when a conversation is created or members are added.
    participants_per_request_max: usize = 254,
    /// Conversations one user may be a member of.
    conversations_per_user_max: usize = 10_000,
    /// Rows of a page when none is asked for.
    page_default: usize = 50,
    /// Rows of a page at most.
    page_max: usize = 100,

    // --- the embedded store ------------------------------------------------
    /// Blocks of the store's files kept in memory.
    store_cache_bytes: u64 = 64 * 1024 * 1024,
    /// Rows the store gathers in memory before it makes a file of them. What
    /// it was when the data folder was made counts.
    store_memtable_bytes: u64 = 64 * 1024 * 1024,

    // --- accounts ----------------------------------------------------------
    /// Life of an access token.
    access_token_s: u64 = 15 * 60,
    /// Life of a refresh token.
    refresh_token_s: u64 = 7 * 24 * 3600,
    /// Life of a socket ticket.
    ticket_s: u64 = 30,
    /// Sessions of one node whose event stream was not opened yet.
    event_sessions_waiting_max: usize = 1024,
    /// Tickets not yet used on one node.
    tickets_max: usize = 100_000,
    /// The same refresh token may come twice within this (a lost answer).
    refresh_grace_ms: u64 = 10_000,
    /// A session whose token ended is closed after this.
    token_grace_ms: u64 = 60_000,
    /// Password hashes computed at once; 0 means one per core.
    password_hashes_at_once: usize = 0,
    /// Password hashes waiting; beyond them `rate_limited`.
    password_hashes_waiting_max: usize = 32,
    /// Logged-out sessions remembered until their access tokens end.
    revoked_sessions_max: usize = 100_000,
    /// Usernames and their ids kept in memory for mentions.
    usernames_cached_max: usize = 65_536,

    // --- rates (off with `rates = "off"`) ----------------------------------
    /// Log-ins, registrations and refreshes per address and minute.
    auth_per_address_per_min: u32 = 60,
    /// Log-ins per account and address and minute.
    login_per_account_per_min: u32 = 10,
    /// Commands per user and second, with as many again as a burst of ten.
    commands_per_user_per_s: u32 = 50,
    /// Frames per session and second; a session at ten times that in a
    /// burst is closed with 4101.
    frames_per_session_per_s: u32 = 100,
    /// Requests per address and second.
    requests_per_address_per_s: u32 = 200,
    /// Keys (addresses, users) one rate table remembers.
    rate_keys_max: usize = 200_000,

    // --- shutting down -----------------------------------------------------
    /// From SIGTERM to the end.
    shutdown_grace_ms: u64 = 10_000,
    /// Reconnects are spread over this.
    reconnect_spread_ms: u64 = 2000,
}

/// Characters of an idempotency key.
pub const KEY_CHARS_MAX: usize = 128;
/// Characters of a frame id.
pub const FRAME_ID_CHARS_MAX: usize = 64;
/// Characters of a title or a display name.
pub const NAME_CHARS_MAX: usize = 64;
/// Characters of a description or bio.
pub const DESCRIPTION_CHARS_MAX: usize = 500;
/// Characters of a username, and the fewest.
pub const USERNAME_CHARS_MAX: usize = 32;
/// Fewest characters of a username or slug.
pub const USERNAME_CHARS_MIN: usize = 2;
/// Characters of a slug.
pub const SLUG_CHARS_MAX: usize = 64;
/// Characters of a password (argon2 as an attack).
pub const PASSWORD_CHARS_MAX: usize = 128;
/// Fewest characters of a password (NIST SP 800-63B, 5.1.1).
pub const PASSWORD_CHARS_MIN: usize = 8;
/// Bytes of an e-mail address (RFC 5321, 4.5.3.1).
pub const EMAIL_BYTES_MAX: usize = 254;
/// Bytes before the `@` of an e-mail address (RFC 5321, 4.5.3.1).
pub const EMAIL_LOCAL_BYTES_MAX: usize = 64;
/// Bytes of one label of a host name (RFC 1035, 2.3.4).
pub const HOST_LABEL_BYTES_MAX: usize = 63;
/// Bytes of one emoji (a family of four with skin tones has 41).
pub const EMOJI_BYTES_MAX: usize = 64;
/// Characters of a device's name.
pub const DEVICE_NAME_CHARS_MAX: usize = 64;
/// Characters of an unknown field's name that its refusal repeats.
pub const FIELD_NAME_CHARS_MAX: usize = 128;
/// Largest `seq`, `epoch` or count: what JavaScript's numbers hold exactly.
pub const WHOLE_NUMBER_MAX: u64 = (1 << 53) - 1;
/// Bytes of a token or ticket that is looked at all.
pub const TOKEN_BYTES_MAX: usize = 4096;
/// What `unavailable` and `outcome_unknown` suggest to wait.
pub const RETRY_AFTER_MS: u64 = 500;
/// JWT leeway for clocks that differ (promise G11).
pub const TOKEN_LEEWAY_S: u64 = 10;
/// Attempts of one compare-and-set that others keep overtaking.
pub const CAS_ATTEMPTS_MAX: usize = 8;
/// Revocations that may wait for one listener; past it the listener checks
/// all its sessions.
pub const REVOCATIONS_WAITING_MAX: usize = 1024;
/// Idempotency always covers this many newest entries (promise G6).
pub const IDEMPOTENT_ENTRIES: u64 = 256;
/// Idempotency covers this time within conversations (promise G6).
pub const IDEMPOTENT_MS: u64 = 600_000;
/// Idempotency outside conversations (promise G6).
pub const IDEMPOTENT_OUTSIDE_MS: u64 = 24 * 3600 * 1000;
/// Rows repeated at an activation, and how far effects may lag (ARCHITECTURE §7).
pub const ACTIVATION_ROWS: u64 = 256;
/// Rows of one log partition (ARCHITECTURE §6; a format constant).
pub const BUCKET_ROWS: u64 = 8192;
/// Parts of the conversation space (ARCHITECTURE §7; a format constant).
pub const SLOTS: u16 = 1024;
/// Seqs of one page behind the ring, aligned (ARCHITECTURE §4).
pub const PAGE_SEQS: u64 = 64;

/// Members one gathered entry moves (one effect row is the record itself).
pub const MOVED_PER_ENTRY_MAX: usize = 255;
/// Changes of one gathered entry of reactions.
pub const REACTIONS_PER_ENTRY_MAX: usize = 256;
/// Rows a room holds beyond those it needs, newest first.
pub const ROOM_ROWS_HELD_MAX: usize = 512;
/// Effect rows of one entry (ARCHITECTURE §6).
pub const ENTRY_EFFECTS_MAX: usize = 256;
/// Rows scanned for one history page before it is cut with a cursor.
pub const HISTORY_SCAN_ROWS_MAX: u64 = 4096;
/// Writes of one fan-out turn before it yields.
pub const SHARD_WRITES_PER_TURN: usize = 64;
/// Commands of one fan-out turn before it writes.
pub const SHARD_COMMANDS_PER_TURN: usize = 64;
/// Above this many subscribers on one shard a conversation is large: it is
/// written in slices, behind small ones.
pub const LARGE_ROOM_SUBSCRIBERS: usize = 64;
/// Two passes over a large conversation begin at least this far apart: one
/// message waits for nobody, many share their writes.
pub const HOT_ROOM_WINDOW_MS: u64 = 4;
/// Bytes around the payload of a server frame (RFC 6455, 5.2: ten; those of an
/// event stream are fewer).
pub const FRAME_HEAD_BYTES_MAX: usize = 10;
/// A frame that can wait goes out with others, at the latest after this.
pub const BESIDE_MS: u64 = 1000;
/// Bytes that wait for the HTTP connection of one event stream.
pub const EVENT_STREAM_BYTES_MAX: usize = 64 * 1024;
/// Bytes of ready frames in one piece, unless a single frame is longer.
pub const RUN_BYTES_MAX: usize = 16 * 1024;
/// Empty rings that a shard keeps for the next conversation.
pub const SPARE_RINGS_MAX: usize = 64;
/// Slices of one vectored write (IOV_MAX is 1024; beyond 64 nothing is gained).
pub const VECTORED_SLICES_MAX: usize = 64;
/// Bytes of the embedded store's journal before it is rotated.
pub const JOURNAL_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Requests waiting for the embedded store's committer.
pub const COMMITTER_QUEUE_MAX: usize = 8192;
/// Bytes of those requests.
pub const COMMITTER_QUEUE_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Bytes that the embedded store's committer gathers into one batch.
pub const COMMIT_BYTES_MAX: usize = 4 * 1024 * 1024;
/// The longest that a batch of the embedded store lets more requests come, when
/// others were under way during the last one.
pub const COMMIT_GATHER_MS_MAX: u64 = 4;
/// A committer busy with one batch for longer makes the store unready.
pub const COMMIT_STALLED_MS: u64 = 4000;
/// An idle committer looks this often whether the store is still well
/// (promise G1: unready within a second after an I/O error).
pub const STORE_PROBE_MS: u64 = 500;
/// Time between two looks at what the embedded store holds in memory, for its
/// metrics.
pub const STORE_LOOK_MS: u64 = 1000;
/// Threads of the embedded store that read.
pub const STORE_READERS: usize = 4;
/// Reads waiting for one of them.
pub const STORE_READS_WAITING_MAX: usize = 8192;
/// Claims past their end that one new claim of limited life clears away.
pub const CLAIMS_CLEARED_AT_ONCE: usize = 2;
/// Bytes of a claimed name (an e-mail address has at most 254).
pub const CLAIM_NAME_BYTES_MAX: usize = 1024;
/// A head row is written at least this often while a room is busy (ARCHITECTURE §6).
pub const HEAD_ROW_MS: u64 = 10_000;
/// Sessions whose command numbers one room remembers.
pub const ROOM_ORDERS_MAX: usize = 4096;
/// Unsent bytes the kernel keeps per socket before it is not writable.
pub const NOTSENT_LOWAT_BYTES: u32 = 32 * 1024;
/// Bytes that TLS takes of one socket before the kernel has taken them: one
/// full record (RFC 8446, 5.1).
pub const TLS_UNSENT_BYTES_MAX: usize = 16 * 1024;
/// Sent bytes without acknowledgement for this long end a connection (TCP_USER_TIMEOUT).
pub const UNACKNOWLEDGED_MS_MAX: u64 = 30_000;
/// First pause when accepting fails (no file descriptor left); it doubles.
pub const ACCEPT_PAUSE_MS_MIN: u64 = 10;
/// Longest such pause, and the least time between two log lines about it.
pub const ACCEPT_PAUSE_MS_MAX: u64 = 1000;
/// First pause before an append whose outcome is unknown is repeated.
pub const APPEND_RETRY_MS_MIN: u64 = 50;
/// Longest such pause.
pub const APPEND_RETRY_MS_MAX: u64 = 1000;
/// Relay actors of one node (ARCHITECTURE §4, "a fixed number").
pub const RELAYS: usize = 8;
/// Session supervisors of one node.
pub const SESSION_SUPERVISORS: usize = 8;
/// Rooms activated at once after a start.
pub const ACTIVATIONS_AT_ONCE: usize = 32;
/// Hellos answered at once on a node; the others wait in order.
pub const HELLOS_AT_ONCE: usize = 16;
/// How long one of them may hold up others.
pub const HELLO_TURN_MS_MAX: u64 = 500;
/// Conversations of one subscribe that are placed at once.
pub const PLACEMENTS_AT_ONCE: usize = 16;
/// The note that a conversation is live is repeated after this (ARCHITECTURE §6).
pub const LIVE_NOTE_MS: u64 = 3_600_000;
/// Rows of one internal page read.
pub const SCAN_ROWS: usize = 256;
/// A sender's own mark is durable this long after its message at the latest.
pub const OWN_MARKS_MS: u64 = 200;
/// Or after this many messages of a conversation: an activation repeats the
/// marks of the newest 256 entries.
pub const OWN_MARKS_MESSAGES: u64 = 64;
/// Asked marks, and senders' own ones, of one flush.
pub const MARKS_PER_FLUSH: usize = 4096;
/// Rows or marks that one lookup reads at once.
pub const MARK_READS_AT_ONCE: usize = 16;
/// Users of conversations whose counts changed, on one node.
pub const UNREAD_WAITING_MAX: usize = 131_072;
/// Counts or lists of members that are read at once.
pub const UNREAD_READS_AT_ONCE: usize = 32;
/// Members of conversations that are counted from memory, on one node.
pub const UNREAD_MEMBERS_KNOWN_MAX: usize = 262_144;
/// Parts of a map that many threads use.
pub const MAP_PARTS: usize = 64;
/// From a close frame to the end of its connection, whatever the peer does.
pub const CLOSE_MS_MAX: u64 = 2000;
/// How much later than due a shard may look at a socket that blocks, is
/// silent or expires.
pub const TIMER_SLOT_MS: u64 = 250;
/// Pause before a failed read of missing entries or a page is tried again.
pub const PAGE_RETRY_MS: u64 = 200;
/// Users or conversations that `fanfare seed` writes at once.
pub const SEED_WRITES_AT_ONCE: usize = 512;
/// Life of the tokens of `fanfare seed` when none is asked for.
pub const SEED_TOKEN_S: u64 = 24 * 3600;
/// How often a long command says how far it is.
pub const PROGRESS_MS: u64 = 1000;
/// How often samples of histograms are folded, asked for or not.
pub const METRICS_FOLD_MS: u64 = 5000;
/// What a command names is looked up in this time, or it is `unavailable`.
/// With `append_ms_max` and its quarter below the 5 s of promise G12.
pub const RESOLVE_MS_MAX: u64 = 1500;
/// Times a command is given to the next room when one falls asleep.
pub const HAND_BACKS_MAX: usize = 50;
/// Pause before each.
pub const HAND_BACK_MS: u64 = 20;
/// Frames over the rate that are refused before a session is closed.
pub const FRAME_STRIKES_MAX: usize = 100;
/// Pause before a cursor is placed again whose owner was changing.
pub const LATER_MS: u64 = 500;
/// Places of pages in a shard before those that are gone are swept out.
pub const PAGES_SWEPT_MIN: usize = 1024;
/// Fan-out shards of one node (a relay keeps one bit for each).
pub const SHARDS_MAX: usize = 64;
/// Bytes read from a socket at once, into a buffer per thread.
pub const READ_BYTES: usize = 16 * 1024;
/// The store gets at least this long to close: a journal that is not closed
/// is read again.
pub const STORE_CLOSE_MS_MIN: u64 = 1000;
/// What an idle connection with 20 subscriptions takes: 9 to 11 KiB measured in
/// the process (5000 and 2000 connections, rooms of 10), and about 5 in the kernel.
pub const CONNECTION_IDLE_BYTES: u64 = 16 * 1024;
/// Open files that are no connections: the store's, the listener, standard streams.
pub const FILES_BESIDE_CONNECTIONS: u64 = 1024;
/// A disk with less free is too full to start on (journals alone take 64 MiB,
/// and merging tables needs room for both).
pub const DISK_FREE_BYTES_MIN: u64 = 1 << 30;
/// Below this it is time to look after the disk.
pub const DISK_FREE_FEW_BYTES: u64 = 10 << 30;
/// Files that a disk must still be able to make.
pub const DISK_INODES_MIN: u64 = 10_000;
/// Small durable writes that `fanfare doctor` makes at most.
pub const DISK_SYNCS: usize = 200;
/// It stops measuring after this.
pub const DISK_SYNC_MS_MAX: u64 = 2000;
/// Bytes of one of them: a short message's rows.
pub const DISK_SYNC_BLOCK_BYTES: usize = 512;
/// A lone message waits about this long: above it people notice.
pub const DISK_SYNC_MEDIAN_US_MAX: u64 = 10_000;
/// Every hundredth may take this long.
pub const DISK_SYNC_P99_US_MAX: u64 = 100_000;
/// Below this no disk has done anything.
pub const DISK_SYNC_FAST_US: u64 = 10;
/// Readings of the clock whose mean is taken.
pub const CLOCK_READS: u64 = 10_000;
/// A reading that takes longer is a system call.
pub const CLOCK_READ_NS_MAX: u64 = 500;
/// The wall clock never showed less while this program existed (2026-01-01).
pub const CLOCK_WALL_S_MIN: u64 = 1_767_225_600;
/// First buffer of a TCP connection in one direction, at least: one burst of
/// ready frames.
pub const TCP_BUFFER_DEFAULT_BYTES_MIN: u64 = 16 * 1024;
/// And at most: slow readers hold as much each.
pub const TCP_BUFFER_DEFAULT_BYTES_MAX: u64 = 1024 * 1024;
