//! Role: decides who is told their unread counts, and when: the first change
//! at once, then one in `unread_gather_ms`, always one after the last.
//! Arguments: [`UnreadArguments`]. Messages: [`UnreadMessage`].
//! Supervised by the node root, which starts another when it fails; what
//! was gathered then comes with the next change.
//!
//! Bounds: [`UNREAD_WAITING_MAX`] rows, [`UNREAD_READS_AT_ONCE`] reads.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fanfare_engine::member::Marks;
use fanfare_engine::port::{MarksPort as _, Standing, StoreError};
use fanfare_engine::row::HeadRow;
use fanfare_protocol::limits::{SCAN_ROWS, UNREAD_READS_AT_ONCE, UNREAD_WAITING_MAX};
use fanfare_protocol::signal::Signal;
use fanfare_protocol::{ConversationId, UserId};
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::count::{Counted, count_one};
use super::handle::UnreadParts;
use super::known::Known;
use super::waiting::{Due, Waiting};
use crate::clock;
use crate::frames;

/// What the actor starts with.
pub(super) struct UnreadArguments {
    /// What counting needs.
    pub parts: Arc<UnreadParts>,
    /// What changed.
    pub waiting: Arc<Mutex<Waiting>>,
}

/// What the actor is told.
pub(super) enum UnreadMessage {
    /// Something waits.
    Look,
    /// Members of a conversation.
    Scanned(ConversationId, Result<Vec<UserId>, StoreError>),
    /// Counts of these members of a conversation.
    Counted(ConversationId, Vec<UserId>, Counts),
    /// A window may have ended.
    Tick,
    /// Panics, to test that another takes its place.
    #[cfg(test)]
    Panic,
}

pub(super) type Key = (ConversationId, UserId);

/// The head, and where users stand in the order asked for; `None` where there
/// is nothing to count.
type Counts = Result<Option<(HeadRow, Vec<Standing>)>, StoreError>;

/// What is read outside the handler.
#[derive(Clone, Copy)]
pub(super) enum Job {
    Scan(ConversationId),
    Count(Key),
}

/// The actor.
pub(super) struct UnreadActor;

/// State of the actor.
pub(super) struct State {
    pub(super) parts: Arc<UnreadParts>,
    pub(super) waiting: Arc<Mutex<Waiting>>,
    /// Grows with every change that concerns all members of a conversation.
    pub(super) tick: u64,
    pub(super) conversations: HashMap<ConversationId, Moved>,
    pub(super) pushes: HashMap<Key, Push>,
    /// Of all conversations.
    pub(super) members_known: usize,
    pub(super) jobs: VecDeque<Job>,
    pub(super) reading: usize,
    /// Ends of windows in milliseconds, ascending: all are equally long.
    pub(super) windows: VecDeque<(u64, Job)>,
    pub(super) alarmed: bool,
}

/// A conversation whose members' counts changed within the window.
pub(super) struct Moved {
    /// Tick of the last change.
    pub(super) changed: u64,
    /// Tick of the last change that all members were told of.
    pub(super) scanned: u64,
    /// What was read before this tick may be wrong by now: memberships changed.
    pub(super) since: u64,
    /// All members, as far as they were read since then.
    pub(super) members: Option<Box<[UserId]>>,
}

/// A user who was told within the window, or is being told.
pub(super) struct Push {
    /// Tick at which the count began.
    pub(super) counted: u64,
    /// Why it was begun.
    pub(super) why: Due,
    /// What happened since.
    pub(super) due: Due,
    pub(super) told: Option<Counted>,
    /// Nothing was noted since the count began.
    pub(super) fresh: bool,
    /// Where they stood at the last count.
    pub(super) known: Option<Box<Known>>,
}

impl Actor for UnreadActor {
    type Msg = UnreadMessage;
    type State = State;
    type Arguments = UnreadArguments;

    async fn pre_start(
        &self,
        _: ActorRef<UnreadMessage>,
        args: UnreadArguments,
    ) -> Result<State, ActorProcessingErr> {
        Ok(State {
            parts: args.parts,
            waiting: args.waiting,
            tick: 0,
            conversations: HashMap::new(),
            pushes: HashMap::new(),
            members_known: 0,
            jobs: VecDeque::new(),
            reading: 0,
            windows: VecDeque::new(),
            alarmed: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<UnreadMessage>,
        message: UnreadMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            UnreadMessage::Look => state.look(),
            UnreadMessage::Scanned(conversation, users) => state.scanned(conversation, users),
            UnreadMessage::Counted(conversation, users, counts) => {
                state.counted(conversation, users, counts);
            }
            UnreadMessage::Tick => state.end_windows(),
            #[cfg(test)]
            UnreadMessage::Panic => panic!("the unread actor dies, as a test asked"),
        }
        state.read(&myself);
        state.set_alarm(&myself);
        Ok(())
    }
}

impl State {
    pub(super) fn look(&mut self) {
        let (waiting, lost) = self.waiting.lock().take();
        if lost {
            let all: Vec<ConversationId> = self.conversations.keys().copied().collect();
            all.into_iter().for_each(|it| self.forget_members(it));
        }
        for (conversation, changed) in waiting {
            if changed.members {
                self.forget_members(conversation);
            }
            for (user, note) in changed.users {
                self.noted((conversation, user), note);
            }
            if changed.everybody {
                self.moved(conversation);
            }
        }
    }

    fn moved(&mut self, conversation: ConversationId) {
        self.tick += 1;
        let changed = self.tick;
        let full = self.is_full();
        match self.conversations.entry(conversation) {
            Entry::Occupied(mut moved) => moved.get_mut().changed = changed,
            Entry::Vacant(_) if full => dropped(),
            Entry::Vacant(place) => {
                place.insert(Moved {
                    changed,
                    scanned: 0,
                    since: changed,
                    members: None,
                });
                self.jobs.push_back(Job::Scan(conversation));
            }
        }
    }

    /// A user's counts changed: counted at once, or when the window ends.
    pub(super) fn touch(&mut self, key: Key, due: Due) {
        let full = self.is_full();
        match self.pushes.entry(key) {
            Entry::Occupied(mut push) => push.get_mut().due = push.get().due.max(due),
            Entry::Vacant(_) if full => dropped(),
            Entry::Vacant(place) => {
                place.insert(Push {
                    counted: 0,
                    why: Due::No,
                    due,
                    told: None,
                    fresh: false,
                    known: None,
                });
                self.jobs.push_back(Job::Count(key));
            }
        }
    }

    fn is_full(&self) -> bool {
        self.pushes.len() + self.conversations.len() >= UNREAD_WAITING_MAX
    }

    fn scanned(&mut self, conversation: ConversationId, users: Result<Vec<UserId>, StoreError>) {
        self.reading -= 1;
        let Some(moved) = self.conversations.get_mut(&conversation) else {
            return;
        };
        match users {
            Ok(users) => {
                self.tell_all(conversation, &users);
                self.know_members(conversation, users);
            }
            Err(error) => {
                moved.scanned = 0;
                tracing::warn!(%conversation, %error, "members not read for their counts");
            }
        }
        self.open_window(Job::Scan(conversation));
    }

    /// Those of the members who are connected are told, but for who was
    /// counted since the change.
    pub(super) fn tell_all(&mut self, conversation: ConversationId, members: &[UserId]) {
        let moved = self.conversations.get(&conversation);
        let scanned = moved.map_or(0, |moved| moved.scanned);
        for user in members {
            let key = (conversation, *user);
            let unaware = (self.pushes.get(&key)).is_none_or(|it| it.counted < scanned);
            if unaware && self.parts.sessions.is_present(*user) {
                self.touch(key, Due::Tell);
            }
        }
    }

    fn counted(&mut self, conversation: ConversationId, users: Vec<UserId>, counts: Counts) {
        self.reading -= 1;
        if let Err(error) = &counts {
            tracing::warn!(%conversation, %error, "unread not counted");
        }
        let moved = self.conversations.get(&conversation);
        let since = moved.map_or(u64::MAX, |moved| moved.since);
        for (at, user) in users.into_iter().enumerate() {
            let key = (conversation, user);
            let counted = counts.as_ref().ok().map(|found| {
                let (head, standings) = found.as_ref()?;
                let standing = *standings.get(at)?;
                let push = self.pushes.get_mut(&key)?;
                if push.fresh && push.counted >= since {
                    push.known = Some(Box::new(Known {
                        standing,
                        epoch: head.epoch,
                        at: push.counted,
                    }));
                }
                count_one(&standing, head)
            });
            self.counted_one(key, counted);
        }
    }

    /// `None`: the store did not answer.
    pub(super) fn counted_one(&mut self, key: Key, counted: Option<Option<Counted>>) {
        #[cfg(test)]
        {
            self.waiting.lock().counted += 1;
        }
        let Some(push) = self.pushes.get_mut(&key) else {
            return;
        };
        match counted {
            Some(Some(counts)) => {
                if push.why == Due::Tell || push.told != Some(counts) {
                    push.told = Some(counts);
                    self.send(key, counts);
                }
            }
            Some(None) => push.told = None,
            None => push.due = push.why.max(push.due),
        }
        self.open_window(Job::Count(key));
    }

    fn send(&self, (conversation, user): Key, counts: Counted) {
        let signal = Signal::UnreadUpdate {
            unread: counts.unread,
            mentions: counts.mentions,
            read_seq: counts.read_seq,
        };
        for present in self.parts.sessions.of(user) {
            let format = present.socket.format();
            if let Some(frame) = frames::signal(format, Some(conversation), &signal) {
                metrics::counter!("fanfare_unread_pushed_total").increment(1);
                present.socket.send_beside(conversation, frame);
            }
        }
    }

    // --- windows -----------------------------------------------------------

    pub(super) fn open_window(&mut self, job: Job) {
        let end_ms = clock::monotonic_ms() + self.parts.limits.unread_gather_ms;
        self.windows.push_back((end_ms, job));
    }

    /// What changed within a window that ended is told; the rest forgotten.
    fn end_windows(&mut self) {
        self.alarmed = false;
        let now_ms = clock::monotonic_ms();
        while let Some((end_ms, job)) = self.windows.front().copied() {
            if end_ms > now_ms {
                return;
            }
            self.windows.pop_front();
            if self.is_due(job) {
                match job {
                    // Before the members' own windows end: they stay known.
                    Job::Scan(conversation) if self.scan_known(conversation) => {}
                    _ => self.jobs.push_back(job),
                }
                continue;
            }
            match job {
                Job::Scan(conversation) => {
                    self.forget_members(conversation);
                    self.conversations.remove(&conversation);
                }
                Job::Count(key) => drop(self.pushes.remove(&key)),
            }
        }
    }

    fn is_due(&self, job: Job) -> bool {
        match job {
            Job::Scan(conversation) => {
                let moved = self.conversations.get(&conversation);
                moved.is_some_and(|moved| moved.changed > moved.scanned)
            }
            Job::Count(key) => {
                let push = self.pushes.get(&key);
                push.is_some_and(|push| push.due != Due::No)
            }
        }
    }

    /// One timer at a time.
    fn set_alarm(&mut self, myself: &ActorRef<UnreadMessage>) {
        let Some((end_ms, _)) = self.windows.front() else {
            return;
        };
        if self.alarmed {
            return;
        }
        self.alarmed = true;
        let wait = Duration::from_millis(end_ms.saturating_sub(clock::monotonic_ms()));
        let actor = myself.clone();
        tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            tell(&actor, UnreadMessage::Tick);
        });
    }

    // --- reading -----------------------------------------------------------

    fn read(&mut self, myself: &ActorRef<UnreadMessage>) {
        while self.reading < UNREAD_READS_AT_ONCE {
            match self.jobs.pop_front() {
                Some(Job::Scan(conversation)) => self.scan(myself, conversation),
                Some(Job::Count((conversation, user))) => self.count(myself, conversation, user),
                None => return,
            }
        }
    }

    fn scan(&mut self, myself: &ActorRef<UnreadMessage>, conversation: ConversationId) {
        if self.scan_known(conversation) {
            return;
        }
        if let Some(moved) = self.conversations.get_mut(&conversation) {
            moved.scanned = moved.changed;
        }
        self.reading += 1;
        let (parts, actor) = (Arc::clone(&self.parts), myself.clone());
        // In a task of its own, so that even a panic is answered.
        let work = tokio::spawn(async move { members(&parts, conversation).await });
        tokio::spawn(async move {
            let users = work.await.unwrap_or_else(|error| Err(failed(&error)));
            tell(&actor, UnreadMessage::Scanned(conversation, users));
        });
    }

    fn count(
        &mut self,
        myself: &ActorRef<UnreadMessage>,
        conversation: ConversationId,
        user: UserId,
    ) {
        let mut users = self.begin_count(conversation, user);
        self.count_known(conversation, &mut users);
        if users.is_empty() {
            return;
        }
        self.reading += 1;
        let (parts, actor) = (Arc::clone(&self.parts), myself.clone());
        let asked = users.clone();
        let work = tokio::spawn(async move { counts(&parts, conversation, &asked).await });
        tokio::spawn(async move {
            let counts = work.await.unwrap_or_else(|error| Err(failed(&error)));
            tell(&actor, UnreadMessage::Counted(conversation, users, counts));
        });
    }
}

impl State {
    /// Who is counted with `user`: those of the conversation that are next.
    fn begin_count(&mut self, conversation: ConversationId, user: UserId) -> Vec<UserId> {
        let mut users = vec![user];
        while users.len() < SCAN_ROWS
            && let Some(Job::Count((next, user))) = self.jobs.front().copied()
            && next == conversation
        {
            self.jobs.pop_front();
            users.push(user);
        }
        for user in &users {
            if let Some(push) = self.pushes.get_mut(&(conversation, *user)) {
                push.counted = self.tick;
                push.why = std::mem::take(&mut push.due);
                push.fresh = true;
            }
        }
        users
    }
}

/// All members of a conversation.
async fn members(
    parts: &UnreadParts,
    conversation: ConversationId,
) -> Result<Vec<UserId>, StoreError> {
    let (mut users, mut after) = (Vec::new(), None);
    loop {
        let page = parts.members.members_of(conversation, after, SCAN_ROWS);
        let page = page.await?;
        after = page.last().map(|member| member.user);
        let more = page.len() == SCAN_ROWS;
        let members = page.into_iter().filter(|member| member.row.is_active());
        users.extend(members.map(|member| member.user));
        if !more {
            return Ok(users);
        }
    }
}

async fn counts(parts: &UnreadParts, conversation: ConversationId, users: &[UserId]) -> Counts {
    // Else another node counts.
    if !parts.directory.is_served(conversation) {
        return Ok(None);
    }
    let Some(head) = parts.directory.head(conversation).await? else {
        return Ok(None);
    };
    let asked = users.iter().map(|user| (*user, Marks::default()));
    let standings = parts.marks.standings(conversation, asked.collect()).await?;
    Ok(Some((head, standings)))
}

fn failed(error: &tokio::task::JoinError) -> StoreError {
    StoreError::Unavailable(error.to_string())
}

fn dropped() {
    metrics::counter!("fanfare_unread_dropped_total").increment(1);
}

fn tell(actor: &ActorRef<UnreadMessage>, message: UnreadMessage) {
    if actor.cast(message).is_err() {
        tracing::trace!("unread actor ended");
    }
}
