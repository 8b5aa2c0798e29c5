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

use fanfare_engine::port::StoreError;
use fanfare_protocol::limits::{SCAN_ROWS, UNREAD_READS_AT_ONCE, UNREAD_WAITING_MAX};
use fanfare_protocol::signal::Signal;
use fanfare_protocol::{ConversationId, UserId};
use parking_lot::Mutex;
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::count::{Counted, count_all};
use super::handle::UnreadParts;
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
    /// Members of a conversation who are connected here.
    Scanned(ConversationId, Result<Vec<UserId>, StoreError>),
    /// Counts of these members of a conversation.
    Counted(ConversationId, Vec<UserId>, Counts),
    /// A window may have ended.
    Tick,
    /// Panics, to test that another takes its place.
    #[cfg(test)]
    Panic,
}

type Key = (ConversationId, UserId);

/// Counts in the order asked for; `None` for who is no member.
type Counts = Result<Vec<Option<Counted>>, StoreError>;

/// What is read outside the handler.
#[derive(Clone, Copy)]
enum Job {
    Scan(ConversationId),
    Count(Key),
}

/// The actor.
pub(super) struct UnreadActor;

/// State of the actor.
pub(super) struct State {
    parts: Arc<UnreadParts>,
    waiting: Arc<Mutex<Waiting>>,
    /// Grows with every change that concerns all members of a conversation.
    tick: u64,
    conversations: HashMap<ConversationId, Moved>,
    pushes: HashMap<Key, Push>,
    jobs: VecDeque<Job>,
    reading: usize,
    /// Ends of windows in milliseconds, ascending: all are equally long.
    windows: VecDeque<(u64, Job)>,
    alarmed: bool,
}

/// A conversation whose members' counts changed within the window.
struct Moved {
    /// Tick of the last change.
    changed: u64,
    /// Tick of the last change that all members were told of.
    scanned: u64,
}

/// A user who was told within the window, or is being told.
struct Push {
    /// Tick at which the count began.
    counted: u64,
    /// Why it was begun.
    why: Due,
    /// What happened since.
    due: Due,
    told: Option<Counted>,
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
    fn look(&mut self) {
        let waiting = self.waiting.lock().take();
        for (conversation, changed) in waiting {
            if changed.everybody {
                self.moved(conversation);
            }
            for (user, due) in changed.users {
                self.touch((conversation, user), due);
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
                let scanned = 0;
                place.insert(Moved { changed, scanned });
                self.jobs.push_back(Job::Scan(conversation));
            }
        }
    }

    /// A user's counts changed: counted at once, or when the window ends.
    fn touch(&mut self, key: Key, due: Due) {
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
        let scanned = moved.scanned;
        match users {
            Ok(users) => {
                for user in users {
                    let key = (conversation, user);
                    // Who was counted since then knows.
                    if self.pushes.get(&key).is_none_or(|it| it.counted < scanned) {
                        self.touch(key, Due::Tell);
                    }
                }
            }
            Err(error) => {
                moved.scanned = 0;
                tracing::warn!(%conversation, %error, "members not read for their counts");
            }
        }
        self.open_window(Job::Scan(conversation));
    }

    fn counted(&mut self, conversation: ConversationId, users: Vec<UserId>, counts: Counts) {
        self.reading -= 1;
        if let Err(error) = &counts {
            tracing::warn!(%conversation, %error, "unread not counted");
        }
        for (at, user) in users.into_iter().enumerate() {
            let counted = counts
                .as_ref()
                .ok()
                .map(|all| all.get(at).copied().flatten());
            self.counted_one((conversation, user), counted);
        }
    }

    /// `None`: the store did not answer.
    fn counted_one(&mut self, key: Key, counted: Option<Option<Counted>>) {
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

    fn open_window(&mut self, job: Job) {
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
                self.jobs.push_back(job);
                continue;
            }
            match job {
                Job::Scan(conversation) => drop(self.conversations.remove(&conversation)),
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
            let Some(job) = self.jobs.pop_front() else {
                return;
            };
            self.reading += 1;
            let (parts, actor) = (Arc::clone(&self.parts), myself.clone());
            // In a task of its own, so that even a panic is answered.
            match job {
                Job::Scan(conversation) => {
                    if let Some(moved) = self.conversations.get_mut(&conversation) {
                        moved.scanned = moved.changed;
                    }
                    let work = tokio::spawn(async move { connected(&parts, conversation).await });
                    tokio::spawn(async move {
                        let users = work.await.unwrap_or_else(|error| Err(failed(&error)));
                        tell(&actor, UnreadMessage::Scanned(conversation, users));
                    });
                }
                Job::Count((conversation, user)) => {
                    let users = self.begin_count(conversation, user);
                    let asked = users.clone();
                    let work =
                        tokio::spawn(async move { counts(&parts, conversation, &asked).await });
                    tokio::spawn(async move {
                        let counts = work.await.unwrap_or_else(|error| Err(failed(&error)));
                        tell(&actor, UnreadMessage::Counted(conversation, users, counts));
                    });
                }
            }
        }
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
            }
        }
        users
    }
}

/// Members of a conversation who are connected here.
async fn connected(
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
        users.extend(
            members
                .map(|member| member.user)
                .filter(|user| parts.sessions.is_present(*user)),
        );
        if !more {
            return Ok(users);
        }
    }
}

async fn counts(parts: &UnreadParts, conversation: ConversationId, users: &[UserId]) -> Counts {
    if !parts.directory.is_served(conversation) {
        // Another node counts.
        return Ok(vec![None; users.len()]);
    }
    match parts.directory.head(conversation).await? {
        Some(head) => count_all(&*parts.marks, conversation, users, &head).await,
        None => Ok(vec![None; users.len()]),
    }
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
