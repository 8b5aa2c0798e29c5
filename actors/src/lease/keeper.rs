//! Role: keeps this node's lease and slots: tells the machine the time and
//! what the store answered, and asks the store what the machine wants.
//! Arguments: [`KeeperArguments`]. Messages: [`KeeperMessage`].
//! Supervised by the node's root, which starts another one; that one goes on
//! as a new incarnation, without slots.
//!
//! At most one request per lease and [`fanfare_protocol::limits`]
//! `SLOT_SWAPS_AT_ONCE` slots are under way; each answers within the store's
//! own time.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use fanfare_engine::lease::{Answer, Effect, Input};
use fanfare_engine::port::{Leases, StoreError, Swap};
use fanfare_protocol::limits::{LEASE_TICK_MS, SLOTS};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use uuid::Uuid;

use super::Tenure;
use crate::account::random;
use crate::clock;

/// What happened to a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SlotChange {
    /// It is ours under this epoch.
    Owned {
        /// Slot.
        slot: u16,
        /// Epoch.
        epoch: u64,
    },
    /// Nothing written under this epoch is acknowledged any more.
    GivenUp {
        /// Slot.
        slot: u16,
        /// Epoch.
        epoch: u64,
    },
}

/// What a keeper starts with.
#[derive(Clone)]
pub struct KeeperArguments {
    /// The rows.
    pub leases: Arc<dyn Leases>,
    /// The machine.
    pub tenure: Arc<Tenure>,
    /// Hears of slots that come and go; must not block.
    pub changed: Arc<dyn Fn(SlotChange) + Send + Sync>,
}

/// What a keeper is told.
#[derive(Debug)]
pub enum KeeperMessage {
    /// Begin as a new incarnation, and tick.
    Begin,
    /// Go on as a new incarnation.
    Resume,
    /// Time passed.
    Tick,
    /// Something happened.
    Told(Input),
}

/// The actor.
pub struct Keeper;

/// State of the actor.
pub struct State {
    args: KeeperArguments,
    /// Since when slots have been shared with a node that goes first.
    contended_from_ms: Option<u64>,
}

impl Actor for Keeper {
    type Msg = KeeperMessage;
    type State = State;
    type Arguments = KeeperArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<KeeperMessage>,
        args: KeeperArguments,
    ) -> Result<State, ActorProcessingErr> {
        myself.cast(KeeperMessage::Begin)?;
        Ok(State {
            args,
            contended_from_ms: None,
        })
    }

    async fn handle(
        &self,
        myself: ActorRef<KeeperMessage>,
        message: KeeperMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            KeeperMessage::Begin => {
                state.args.start(&myself)?;
                // All of them, until placement over many nodes comes.
                let all: BTreeSet<u16> = (0..SLOTS).collect();
                state.args.tell(&myself, Input::Assign(all));
                tick_later(&myself);
            }
            KeeperMessage::Resume => state.args.start(&myself)?,
            KeeperMessage::Tick => {
                state.tick(&myself);
                tick_later(&myself);
            }
            KeeperMessage::Told(input) => state.args.tell(&myself, input),
        }
        Ok(())
    }
}

impl State {
    fn tick(&mut self, myself: &ActorRef<KeeperMessage>) {
        let tenure = Arc::clone(&self.args.tenure);
        for (slot, above) in tenure.take_above() {
            self.args.tell(myself, Input::EpochAbove(slot, above));
        }
        self.args.tell(myself, Input::Tick);
        let Some(rival) = tenure.yields() else {
            self.contended_from_ms = None;
            return;
        };
        let now_ms = clock::monotonic_ms();
        let from_ms = *self.contended_from_ms.get_or_insert(now_ms);
        if now_ms - from_ms < tenure.terms.contended_ms {
            return;
        }
        self.contended_from_ms = None;
        tracing::warn!(?rival, "two nodes want all slots: this one steps back");
        self.args.tell(myself, Input::StepBack);
        let pause = Duration::from_millis(tenure.terms.step_back_ms);
        drop(myself.send_after(pause, || KeeperMessage::Resume));
    }
}

impl KeeperArguments {
    fn start(&self, myself: &ActorRef<KeeperMessage>) -> Result<(), ActorProcessingErr> {
        let incarnation = Uuid::from_bytes(random()?);
        self.tell(myself, Input::Start(incarnation));
        Ok(())
    }

    fn tell(&self, myself: &ActorRef<KeeperMessage>, input: Input) {
        for effect in self.tenure.handle(input) {
            self.carry_out(myself, effect);
        }
        metrics::gauge!("fanfare_lease_held").set(f64::from(u8::from(self.tenure.is_held())));
        metrics::gauge!("fanfare_slots_owned").set(self.tenure.owned() as f64);
    }

    fn carry_out(&self, myself: &ActorRef<KeeperMessage>, effect: Effect) {
        match effect {
            Effect::Own { slot, epoch } => (self.changed)(SlotChange::Owned { slot, epoch }),
            Effect::GiveUp { slot, epoch } => (self.changed)(SlotChange::GivenUp { slot, epoch }),
            // Nothing new is admitted from here on; what is in flight has
            // until the machine's own deadline.
            Effect::Drain { slot } => tracing::debug!(slot, "slot is handed off"),
            Effect::Fenced => {
                metrics::counter!("fanfare_lease_fenced_total").increment(1);
                tracing::warn!("this node was fenced: it goes on without its slots");
                if myself.cast(KeeperMessage::Resume).is_err() {
                    tracing::debug!("the keeper ended");
                }
            }
            request => self.ask(myself, request),
        }
    }

    fn ask(&self, myself: &ActorRef<KeeperMessage>, request: Effect) {
        let leases = Arc::clone(&self.leases);
        let mut owed = OwedAnswer {
            keeper: myself.clone(),
            answer: unanswered(&request),
        };
        let news = self.news_of(&request);
        tokio::spawn(async move {
            if let Some(answer) = perform(leases.as_ref(), request).await {
                if let (Input::Lease(node, _, Answer::Applied), Some(news)) = (&answer, news) {
                    tracing::info!(node = node.as_str(), "{news}");
                }
                owed.becomes(answer);
            }
        });
    }

    /// What to tell people if this request is what takes the own lease.
    fn news_of(&self, request: &Effect) -> Option<&'static str> {
        let Effect::SwapLease { expected, next, .. } = request else {
            return None;
        };
        match expected {
            // Renewed, or somebody else's that is fenced.
            Some(row) if row.incarnation == next.incarnation => None,
            None => Some("lease taken"),
            Some(row) if row.fenced => Some("lease taken: the last life of this node is over"),
            Some(_) if self.tenure.folder_locked() => Some("lease taken over at once"),
            Some(_) => Some("lease taken once it had lapsed"),
        }
    }
}

/// The machine is answered once, however the request ends.
struct OwedAnswer {
    keeper: ActorRef<KeeperMessage>,
    answer: Option<Input>,
}

impl OwedAnswer {
    fn becomes(&mut self, answer: Input) {
        self.answer = Some(answer);
    }
}

impl Drop for OwedAnswer {
    fn drop(&mut self) {
        if let Some(answer) = self.answer.take() {
            tell(&self.keeper, answer);
        }
    }
}

/// One that ended needs no word: its successor asks anew.
fn tell(keeper: &ActorRef<KeeperMessage>, input: Input) {
    if keeper.cast(KeeperMessage::Told(input)).is_err() {
        tracing::debug!("the keeper ended");
    }
}

/// What a request that broke off is answered with.
fn unanswered(request: &Effect) -> Option<Input> {
    match request {
        Effect::ReadLease { ask, node } | Effect::SwapLease { ask, node, .. } => {
            Some(Input::Lease(node.clone(), *ask, Answer::Failed))
        }
        Effect::ReadSlots { ask } => Some(Input::Slots(*ask, None)),
        Effect::ReadSlot { ask, slot } | Effect::SwapSlot { ask, slot, .. } => {
            Some(Input::Slot(*slot, *ask, Answer::Failed))
        }
        Effect::Own { .. } | Effect::Drain { .. } | Effect::GiveUp { .. } | Effect::Fenced => None,
    }
}

/// Asks the store; what it says.
async fn perform(leases: &dyn Leases, request: Effect) -> Option<Input> {
    Some(match request {
        Effect::ReadLease { ask, node } => {
            let found = leases.lease(node.clone()).await;
            Input::Lease(node, ask, read(found))
        }
        Effect::SwapLease {
            ask,
            node,
            expected,
            next,
        } => {
            let swap = leases.swap_lease(node.clone(), expected, next).await;
            Input::Lease(node, ask, swapped(swap))
        }
        Effect::ReadSlots { ask } => {
            let found = leases.slots().await;
            let found = found.inspect_err(|error| tracing::warn!(%error, "slots not read"));
            Input::Slots(ask, found.ok())
        }
        Effect::ReadSlot { ask, slot } => Input::Slot(slot, ask, read(leases.slot(slot).await)),
        Effect::SwapSlot {
            ask,
            slot,
            expected,
            next,
        } => {
            let swap = leases.swap_slot(slot, expected, next).await;
            Input::Slot(slot, ask, swapped(swap))
        }
        Effect::Own { .. } | Effect::Drain { .. } | Effect::GiveUp { .. } | Effect::Fenced => {
            return None;
        }
    })
}

fn read<T>(found: Result<Option<T>, StoreError>) -> Answer<T> {
    match found {
        Ok(row) => Answer::Found(row),
        Err(error) => failed(&error),
    }
}

fn swapped<T>(swap: Result<Swap<T>, StoreError>) -> Answer<T> {
    match swap {
        Ok(Swap::Applied) => Answer::Applied,
        Ok(Swap::Found(row)) => Answer::Found(row),
        Err(error) => failed(&error),
    }
}

fn failed<T>(error: &StoreError) -> Answer<T> {
    metrics::counter!("fanfare_lease_requests_failed_total").increment(1);
    tracing::debug!(%error, "a request about leases failed");
    Answer::Failed
}

fn tick_later(myself: &ActorRef<KeeperMessage>) {
    let every = Duration::from_millis(LEASE_TICK_MS);
    drop(myself.send_after(every, || KeeperMessage::Tick));
}
