//! Limits of what looks after the data: backup, restore, check, copy.

/// Cells of a backup are gathered up to this into one block with a checksum.
pub const BACKUP_BLOCK_BYTES: usize = 256 * 1024;
/// No block is larger; what says so is damaged.
pub const BACKUP_BLOCK_BYTES_MAX: usize = 64 * 1024 * 1024;
/// Blocks between the thread that reads the store and who takes them.
pub const BACKUP_BLOCKS_WAITING_MAX: usize = 4;
/// Who takes nothing of a running backup for this long is cut off, because
/// the store keeps old versions of cells meanwhile.
pub const BACKUP_STALLED_MS_MAX: u64 = 30_000;
/// Epochs that a restore leaves out at least, for starts after the backup
/// that nobody knows of any more.
pub const RESTORE_EPOCHS_MIN: u64 = 1024;
/// And by chance up to as many more, so that two restores of one backup do
/// not give out the same epochs.
pub const RESTORE_EPOCHS_SPREAD: u64 = 16 * 1024;
/// One request on the control socket.
pub const CONTROL_REQUEST_BYTES_MAX: u64 = 4096;
/// From connecting to the control socket to the end of the request.
pub const CONTROL_REQUEST_MS_MAX: u64 = 5000;
/// Connections to the control socket at once.
pub const CONTROL_CONNECTIONS_MAX: usize = 8;
/// Longest path that a socket's address takes (108 bytes with its end).
pub const SOCKET_PATH_BYTES_MAX: usize = 107;
/// Findings of one log that `fanfare store check` names.
pub const FINDINGS_PER_LOG_MAX: usize = 100;
/// Conversations of one part of a copy: how far it is gets noted behind each.
pub const COPY_PART: usize = 64;
/// Conversations copied or summed up at once.
pub const COPY_CONVERSATIONS_AT_ONCE: usize = 16;
/// Rows of one read and one write of a copy.
pub const COPY_ROWS: usize = 512;
/// Small things of one conversation that are read or written at once.
pub const COPY_READS_AT_ONCE: usize = 16;
/// Slots whose epochs a copy raises at once.
pub const COPY_SLOTS_AT_ONCE: usize = 8;
/// Tries of one read or write of a copy, of a check, or of a start on a CQL store.
pub const COPY_ATTEMPTS: usize = 20;
/// Pause between them.
pub const COPY_RETRY_MS: u64 = 500;
/// Conversations that are named when both sides of a copy differ.
pub const COPY_DIFFERENCES_MAX: usize = 10;
/// Rows of each log that `fanfare store check --follow` remembers.
pub const FOLLOW_ROWS_PER_LOG_MAX: usize = 512;
/// Findings that it keeps.
pub const FOLLOW_FINDINGS_MAX: usize = 1000;
/// Its pause between two times through all logs.
pub const FOLLOW_PAUSE_MS: u64 = 20;
