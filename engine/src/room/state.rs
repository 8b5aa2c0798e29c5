//! What the log has made of one conversation, as far as its room holds it.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use fanfare_protocol::conversation::{Kind, Role, Visibility};
use fanfare_protocol::limits::{IDEMPOTENT_ENTRIES, IDEMPOTENT_MS, ROOM_ROWS_HELD_MAX};
use fanfare_protocol::{ConversationId, Limits, Timestamp, UserId};

use crate::authorize::Standing;
use crate::codec::CodecError;
use crate::entry::{Body, Entry};
use crate::member::MemberRow;
use crate::meta::ConversationMeta;
use crate::row::{HeadRow, LogRow};
use crate::secret::Fingerprint;
use crate::state::MessageState;

/// A conversation's live state. Everything it lacks it can name
/// ([`Needs`]); nothing is decided on a guess.
#[derive(Debug, Clone)]
pub struct RoomState {
    /// Conversation.
    pub conversation: ConversationId,
    /// Newest seq, 0 before the creation.
    pub head: u64,
    /// Epoch of the row at `head`.
    pub head_epoch: u64,
    /// Messages so far.
    pub mno: u64,
    /// Messages that mention everybody so far.
    pub ano: u64,
    /// When the newest entry was taken.
    pub at: Timestamp,
    /// Own record; `None` before the creation.
    pub meta: Option<ConversationMeta>,
    /// Known memberships; `None` for users known to have none.
    pub(super) members: HashMap<UserId, Option<MemberRow>>,
    /// Whether every membership is held (not so in channels).
    pub(super) members_complete: bool,
    pub(super) rows: BTreeMap<u64, Held>,
    pub(super) keys: HashMap<Fingerprint, KeyUse>,
    keys_by_age: VecDeque<(Fingerprint, u64, Timestamp)>,
}

/// A row the room holds, decoded.
#[derive(Debug, Clone)]
pub(super) struct Held {
    pub row: LogRow,
    pub entry: Arc<Entry>,
    pub state: MessageState,
}

/// Where a key was used, and for what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyUse {
    pub request: Fingerprint,
    pub seq: u64,
}

/// What must be read before a command can be decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Needs {
    /// Memberships.
    pub members: Vec<UserId>,
    /// Rows by seq.
    pub rows: Vec<u64>,
}

impl Needs {
    /// Whether nothing is missing.
    pub fn is_empty(&self) -> bool {
        self.members.is_empty() && self.rows.is_empty()
    }

    /// These and those.
    pub(super) fn add(&mut self, more: &Self) {
        self.members.extend_from_slice(&more.members);
        self.rows.extend_from_slice(&more.rows);
    }
}

impl RoomState {
    /// A conversation of which nothing is known yet.
    pub fn new(conversation: ConversationId) -> Self {
        Self {
            conversation,
            head: 0,
            head_epoch: 0,
            mno: 0,
            ano: 0,
            at: Timestamp(0),
            meta: None,
            members: HashMap::new(),
            members_complete: true,
            rows: BTreeMap::new(),
            keys: HashMap::new(),
            keys_by_age: VecDeque::new(),
        }
    }

    /// A state from storage: the record, the newest rows (ascending, dense)
    /// and, where the kind allows holding them all, the members.
    ///
    /// # Errors
    /// When a row is damaged.
    pub fn load(
        conversation: ConversationId,
        meta: Option<ConversationMeta>,
        rows: Vec<LogRow>,
        members: Option<Vec<(UserId, MemberRow)>>,
    ) -> Result<Self, CodecError> {
        let mut state = Self::new(conversation);
        state.meta = meta;
        state.members_complete = members.is_some();
        for (user, row) in members.into_iter().flatten() {
            state.members.insert(user, Some(row));
        }
        for row in rows {
            state.remember_row(row)?;
        }
        Ok(state)
    }

    /// Takes a row that was read, or that is the newest of the log.
    ///
    /// # Errors
    /// When the row is damaged.
    pub fn remember_row(&mut self, row: LogRow) -> Result<(), CodecError> {
        let entry = Arc::new(row.entry()?);
        let state = row.state()?;
        if row.seq > self.head {
            self.advance(&row, &entry);
        }
        self.rows.insert(row.seq, Held { row, entry, state });
        Ok(())
    }

    /// Takes a membership that was read.
    pub fn remember_member(&mut self, user: UserId, row: Option<MemberRow>) {
        self.members.entry(user).or_insert(row);
    }

    /// The head moves to this row; its keys are remembered.
    pub(super) fn advance(&mut self, row: &LogRow, entry: &Entry) {
        self.head = row.seq;
        self.head_epoch = row.epoch;
        self.mno = row.mno;
        self.ano = row.ano;
        self.at = entry.at;
        if let (Some(key), Some(request)) = (row.key, row.request) {
            self.remember_key(key, request, row.seq, entry.at);
        }
        let gathered: Vec<(Fingerprint, Fingerprint)> = match &entry.body {
            Body::ReactionsChanged(changed) => changed.keys.iter().flatten().copied().collect(),
            Body::MembersMoved { joined, left, .. } => joined
                .iter()
                .chain(left)
                .filter_map(|moved| moved.key)
                .collect(),
            _ => Vec::new(),
        };
        for (key, request) in gathered {
            self.remember_key(key, request, row.seq, entry.at);
        }
    }

    pub(super) fn remember_key(
        &mut self,
        key: Fingerprint,
        request: Fingerprint,
        seq: u64,
        at: Timestamp,
    ) {
        self.keys.insert(key, KeyUse { request, seq });
        self.keys_by_age.push_back((key, seq, at));
    }

    /// Forgets what is neither needed nor promised: keys older than ten
    /// minutes and 256 entries (or beyond `room_keys_max`), rows and
    /// memberships beyond their limits. `durable` is the seq up to which all
    /// effects are durable: nothing newer is forgotten, nor what `keep`
    /// names. Returns how many keys were forgotten before their time.
    pub(super) fn forget(
        &mut self,
        now: Timestamp,
        durable: u64,
        limits: &Limits,
        keep: impl FnOnce() -> Needs,
    ) -> usize {
        let mut early = 0;
        while let Some((key, seq, at)) = self.keys_by_age.front().copied() {
            let recent = seq + IDEMPOTENT_ENTRIES > durable;
            let young = now.since_ms(at) < IDEMPOTENT_MS;
            let full = self.keys.len() > limits.room_keys_max;
            if recent || (young && !full) {
                break;
            }
            early += usize::from(young);
            self.keys_by_age.pop_front();
            if self.keys.get(&key).is_some_and(|used| used.seq == seq) {
                self.keys.remove(&key);
            }
        }
        let many_rows = self.rows.len() > ROOM_ROWS_HELD_MAX;
        let many_members =
            !self.members_complete && self.members.len() > limits.room_members_cached_max;
        if !many_rows && !many_members {
            return early;
        }
        let keep = keep();
        if many_rows {
            let kept: HashSet<u64> = keep.rows.into_iter().collect();
            let floor = durable.saturating_sub(ROOM_ROWS_HELD_MAX as u64 / 2);
            self.rows
                .retain(|seq, held| *seq > floor || held.state.rev > durable || kept.contains(seq));
        }
        if many_members {
            let kept: HashSet<UserId> = keep.members.into_iter().collect();
            self.members.retain(|user, row| {
                kept.contains(user) || row.is_some_and(|row| row.changed_seq > durable)
            });
        }
        early
    }

    /// Whether any of this is still unknown.
    pub(super) fn lacks(&self, needs: &Needs) -> bool {
        needs.rows.iter().any(|seq| !self.rows.contains_key(seq))
            || needs
                .members
                .iter()
                .any(|user| self.member(*user).is_none())
    }

    /// The head as a row, not known to be clean.
    pub(super) fn head_row(&self) -> HeadRow {
        HeadRow {
            conversation: self.conversation,
            epoch: self.head_epoch,
            seq: self.head,
            mno: self.mno,
            ano: self.ano,
            at: self.at,
            clean: 0,
        }
    }

    /// Whether a membership is known, and what it is.
    pub(super) fn member(&self, user: UserId) -> Option<Option<MemberRow>> {
        match self.members.get(&user) {
            Some(row) => Some(*row),
            None if self.members_complete => Some(None),
            None => None,
        }
    }

    /// The role of an active member.
    pub(super) fn role(&self, user: UserId) -> Option<Role> {
        self.member(user)
            .flatten()
            .filter(MemberRow::is_active)
            .map(|row| row.role)
    }

    /// How somebody stands to the conversation.
    pub(super) fn standing(&self, user: UserId) -> Standing {
        let row = self.member(user).flatten();
        let (kind, visibility, join_policy, deleted) = match &self.meta {
            Some(meta) => (
                meta.kind,
                meta.visibility,
                meta.join_policy,
                meta.deleted_at.is_some(),
            ),
            None => (
                Kind::Group,
                Visibility::Private,
                fanfare_protocol::conversation::JoinPolicy::Invite,
                false,
            ),
        };
        Standing {
            kind,
            visibility,
            join_policy,
            role: row.filter(MemberRow::is_active).map(|row| row.role),
            former: row.is_some_and(|row| !row.is_active()),
            deleted,
        }
    }

    /// Active members.
    pub fn member_count(&self) -> u64 {
        self.meta.as_ref().map_or(0, |meta| meta.member_count)
    }

    /// Active members when all are held.
    pub fn all_members(&self) -> Option<Vec<UserId>> {
        self.members_complete.then(|| {
            let active = |(user, row): (&UserId, &Option<MemberRow>)| {
                row.is_some_and(|row| row.is_active()).then_some(*user)
            };
            self.members.iter().filter_map(active).collect()
        })
    }
}
