//! Role: decides when marks are flushed: at once when no flush is in flight,
//! else what gathered meanwhile in the next one (group commit).
//! Arguments: [`MarksParts`]. Messages: [`MarksMessage`].
//! Supervised by the node root, which starts another when it fails: who
//! waited is then answered `outcome_unknown`, own marks wait on.
//!
//! Bounds: `marks_waiting_max` asked marks, one lookup per conversation, one
//! flush of [`MARKS_PER_FLUSH`].

use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use fanfare_protocol::ConversationId;
use fanfare_protocol::limits::{MARKS_PER_FLUSH, OWN_MARKS_MS};
use ractor::{Actor, ActorProcessingErr, ActorRef};

use super::flush::{Flushed, Rising, flush, look_up};
use super::handle::{Asked, MarksParts};
use super::status::{Gathered, announce};
use crate::clock;

/// What the actor is told.
pub(super) enum MarksMessage {
    /// Somebody moves a mark.
    Raise(Asked),
    /// What of a conversation's asked marks rises.
    LookedUp(ConversationId, Vec<Rising>),
    /// A flush ended.
    Flushed(Flushed),
    /// Senders' own marks wait.
    OwnWaits,
    /// They have waited long enough.
    OwnDue,
    /// Marks are to be told.
    Tick,
    /// Panics, to test that another takes its place.
    #[cfg(test)]
    Panic,
}

/// The actor.
pub(super) struct MarksActor;

/// State of the actor.
pub(super) struct State {
    parts: Arc<MarksParts>,
    /// Conversations with a lookup under way, and what waits for the next.
    lookups: HashMap<ConversationId, Vec<Asked>>,
    rising: VecDeque<Rising>,
    flushing: bool,
    own_due: bool,
    gathered: Gathered,
    alarmed: bool,
}

impl Actor for MarksActor {
    type Msg = MarksMessage;
    type State = State;
    type Arguments = Arc<MarksParts>;

    async fn pre_start(
        &self,
        _: ActorRef<MarksMessage>,
        parts: Arc<MarksParts>,
    ) -> Result<State, ActorProcessingErr> {
        // Whoever looked after own marks has failed.
        parts.marks.disarm();
        Ok(State {
            parts,
            lookups: HashMap::new(),
            rising: VecDeque::new(),
            flushing: false,
            own_due: false,
            gathered: Gathered::default(),
            alarmed: false,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<MarksMessage>,
        message: MarksMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            MarksMessage::Raise(asked) => state.raise(&myself, asked),
            MarksMessage::LookedUp(conversation, rising) => {
                state.looked_up(&myself, conversation, rising);
            }
            MarksMessage::Flushed(flushed) => state.flushed(&myself, &flushed),
            MarksMessage::OwnWaits => own_waits(&myself),
            MarksMessage::OwnDue => state.own_due(&myself),
            MarksMessage::Tick => state.announce(&myself),
            #[cfg(test)]
            MarksMessage::Panic => panic!("the marks actor dies, as a test asked"),
        }
        Ok(())
    }
}

impl State {
    /// One lookup per conversation at a time: what comes meanwhile shares
    /// the next.
    fn raise(&mut self, myself: &ActorRef<MarksMessage>, asked: Asked) {
        let conversation = asked.wish.ask.conversation;
        match self.lookups.entry(conversation) {
            Entry::Occupied(mut waiting) => waiting.get_mut().push(asked),
            Entry::Vacant(place) => {
                place.insert(Vec::new());
                self.look_up(myself, conversation, vec![asked]);
            }
        }
    }

    fn look_up(
        &self,
        myself: &ActorRef<MarksMessage>,
        conversation: ConversationId,
        asked: Vec<Asked>,
    ) {
        let (parts, actor) = (Arc::clone(&self.parts), myself.clone());
        // In a task of its own, so that even a panic is answered.
        let work = tokio::spawn(async move { look_up(&parts, conversation, asked).await });
        tokio::spawn(async move {
            let rising = work.await.unwrap_or_else(|error| {
                tracing::error!(%conversation, %error, "marks not looked up");
                Vec::new()
            });
            tell(&actor, MarksMessage::LookedUp(conversation, rising));
        });
    }

    fn looked_up(
        &mut self,
        myself: &ActorRef<MarksMessage>,
        conversation: ConversationId,
        rising: Vec<Rising>,
    ) {
        self.rising.extend(rising);
        let waiting = self.lookups.get_mut(&conversation).map(std::mem::take);
        match waiting {
            Some(asked) if !asked.is_empty() => self.look_up(myself, conversation, asked),
            Some(_) | None => drop(self.lookups.remove(&conversation)),
        }
        self.flush(myself);
    }

    /// Flushes what waits, unless a flush is in flight.
    fn flush(&mut self, myself: &ActorRef<MarksMessage>) {
        if self.flushing || (self.rising.is_empty() && !self.own_due) {
            return;
        }
        self.own_due = false;
        let count = self.rising.len().min(MARKS_PER_FLUSH);
        let rising: Vec<Rising> = self.rising.drain(..count).collect();
        let own = self.parts.marks.some(MARKS_PER_FLUSH);
        if rising.is_empty() && own.is_empty() {
            return;
        }
        self.flushing = true;
        let actor = myself.clone();
        let written = move |flushed| tell(&actor, MarksMessage::Flushed(flushed));
        tokio::spawn(flush(Arc::clone(&self.parts), rising, own, written));
    }

    fn flushed(&mut self, myself: &ActorRef<MarksMessage>, flushed: &Flushed) {
        self.flushing = false;
        let now_ms = clock::monotonic_ms();
        for rose in &flushed.rose {
            self.gathered.add(rose, now_ms, &self.parts.limits);
        }
        self.set_alarm(myself);
        self.flush(myself);
        // Those that were too many, rose again or could not be written.
        if self.parts.marks.arm() {
            own_waits(myself);
        }
    }

    fn own_due(&mut self, myself: &ActorRef<MarksMessage>) {
        self.parts.marks.disarm();
        self.own_due = true;
        self.flush(myself);
    }

    // --- what others are told ----------------------------------------------

    fn announce(&mut self, myself: &ActorRef<MarksMessage>) {
        self.alarmed = false;
        let told = self.gathered.take_due(clock::monotonic_ms());
        if !told.is_empty() {
            let parts = Arc::clone(&self.parts);
            tokio::spawn(async move { announce(&parts, told).await });
        }
        self.set_alarm(myself);
    }

    /// One timer at a time.
    fn set_alarm(&mut self, myself: &ActorRef<MarksMessage>) {
        let Some(next_ms) = self.gathered.next_ms().filter(|_| !self.alarmed) else {
            return;
        };
        self.alarmed = true;
        let wait_ms = next_ms.saturating_sub(clock::monotonic_ms());
        tell_after(myself, wait_ms, MarksMessage::Tick);
    }
}

fn own_waits(myself: &ActorRef<MarksMessage>) {
    tell_after(myself, OWN_MARKS_MS, MarksMessage::OwnDue);
}

fn tell_after(actor: &ActorRef<MarksMessage>, wait_ms: u64, message: MarksMessage) {
    let actor = actor.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_millis(wait_ms)).await;
        tell(&actor, message);
    });
}

fn tell(actor: &ActorRef<MarksMessage>, message: MarksMessage) {
    if actor.cast(message).is_err() {
        tracing::trace!("marks actor ended");
    }
}
