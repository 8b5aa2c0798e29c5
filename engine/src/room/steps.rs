//! The six steps of an activation (ARCHITECTURE §7) as a machine: it says
//! what to do next, the caller does it and says what came of it.
//!
//! **Invariant:** the own epoch is durable before the log is read, and the log
//! is read before the epochs that judge it, as a reader does (`crate::reader`).
//! **Invariant:** the judgement is durable, under the lease, before any effect
//! of a row is repeated, and under one epoch there is one ([`Activation::is_writing`]).
//! Why: `docs/decisions/011-activation-pins-older-epochs.md`.

use fanfare_protocol::ConversationId;

use super::activation::{AdoptError, Adopted, Found, adopt};
use crate::row::{EpochRow, HeadRow, LogRow};

/// What the caller does next.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Step {
    /// Reads all epochs of the log: [`Did::Epochs`].
    ReadEpochs,
    /// Writes an epoch row under the own epoch: [`Did::Written`].
    PutEpoch(EpochRow),
    /// Reads head row and tail: [`Did::Log`].
    ReadLog,
    /// Writes these rows as they are, under the own epoch: [`Did::Written`].
    WriteAgain(Vec<LogRow>),
    /// Repeats the effects of these rows in their order, under the own
    /// epoch: [`Did::Written`].
    RepeatEffects(Vec<LogRow>),
    /// Serves what was adopted; nothing is left to do.
    Serve,
}

/// What came of a [`Step`].
#[derive(Debug, Clone)]
pub enum Did {
    /// All epochs, in any order.
    Epochs(Vec<EpochRow>),
    /// Head row and tail, as [`Found`] describes them.
    Log {
        /// Where an owner left the log.
        head: Option<HeadRow>,
        /// Newest rows, ascending.
        tail: Vec<LogRow>,
    },
    /// The write is durable, **and the lease held when it returned**. Else it
    /// is unknown and repeated, like an append.
    Written,
}

/// One activation of a conversation under an epoch.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Activation {
    conversation: ConversationId,
    epoch: u64,
    stage: Stage,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Stage {
    /// Was this log activated under this epoch before?
    Look,
    /// Step 1.
    Note,
    /// Step 2. With epochs: those of a log that this epoch owns already.
    Log { epochs: Option<Vec<EpochRow>> },
    /// Step 2: which epochs are there, now that the rows are read?
    Judge {
        head: Option<HeadRow>,
        tail: Vec<LogRow>,
    },
    /// Before step 3: what was read of older epochs stays so.
    Pin(Plan),
    /// Step 3.
    Again(Plan),
    /// Step 4.
    Effects(Plan),
    /// Step 5.
    Begin(Plan),
    /// Step 6.
    Serve(Adopted),
}

/// What is still to be written.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Plan {
    adopted: Adopted,
    /// Older epochs as judged, still to be written; the next one last.
    pins: Vec<EpochRow>,
}

impl Activation {
    /// An activation of which nothing is done yet. The caller holds the slot
    /// under `epoch`, and no write of its own to the log is outstanding.
    pub fn new(conversation: ConversationId, epoch: u64) -> Self {
        Self {
            conversation,
            epoch,
            stage: Stage::Look,
        }
    }

    /// Whether what was judged is being written: from then on it is carried
    /// to its end by what outlives the room, like an append. Another activation
    /// under this epoch, which may find more, must not start before.
    pub fn is_writing(&self) -> bool {
        match self.stage {
            Stage::Pin(_) | Stage::Again(_) | Stage::Effects(_) | Stage::Begin(_) => true,
            Stage::Look | Stage::Note | Stage::Log { .. } | Stage::Judge { .. } => false,
            Stage::Serve(_) => false,
        }
    }

    /// What is to be done next; the same until it is [`Self::did`].
    pub fn step(&self) -> Step {
        match &self.stage {
            Stage::Look | Stage::Judge { .. } => Step::ReadEpochs,
            Stage::Note => Step::PutEpoch(self.own(None)),
            Stage::Log { .. } => Step::ReadLog,
            Stage::Again(plan) => Step::WriteAgain(plan.adopted.again().to_vec()),
            Stage::Effects(plan) => Step::RepeatEffects(plan.adopted.again().to_vec()),
            Stage::Pin(plan) => {
                let never = Some(EpochRow::NEVER);
                let row = plan.pins.last().copied();
                Step::PutEpoch(row.unwrap_or_else(|| self.own(never)))
            }
            Stage::Begin(plan) => Step::PutEpoch(self.own(Some(plan.adopted.first_seq))),
            Stage::Serve(_) => Step::Serve,
        }
    }

    /// Goes on with what came of [`Self::step`]. What answers no step that is
    /// due is passed over.
    ///
    /// # Errors
    /// Why the log may not be served ([`AdoptError`]); the activation is then
    /// over.
    pub fn did(&mut self, did: Did) -> Result<(), AdoptError> {
        let stage = std::mem::replace(&mut self.stage, Stage::Look);
        self.stage = match (stage, did) {
            (Stage::Look, Did::Epochs(epochs)) if self.begun(&epochs) => Stage::Log {
                epochs: Some(epochs),
            },
            (Stage::Look, Did::Epochs(_)) => Stage::Note,
            (Stage::Note, Did::Written) => Stage::Log { epochs: None },
            (Stage::Log { epochs: None }, Did::Log { head, tail }) => Stage::Judge { head, tail },
            (
                Stage::Log {
                    epochs: Some(epochs),
                },
                Did::Log { head, tail },
            ) => self.adopt(Found { head, tail, epochs })?,
            (Stage::Judge { head, tail }, Did::Epochs(epochs)) => {
                self.adopt(Found { head, tail, epochs })?
            }
            (Stage::Again(plan), Did::Written) => Stage::Effects(plan),
            (Stage::Pin(mut plan), Did::Written) => {
                plan.pins.pop();
                write(plan)
            }
            (Stage::Effects(plan), Did::Written) => begin(plan),
            (Stage::Begin(plan), Did::Written) => Stage::Serve(plan.adopted),
            (stage, _) => stage,
        };
        Ok(())
    }

    /// Rows of steps 3 and 4 and the state they lead to, as soon as the log
    /// is read and judged.
    pub fn adopted(&self) -> Option<&Adopted> {
        match &self.stage {
            Stage::Pin(plan) | Stage::Again(plan) | Stage::Effects(plan) | Stage::Begin(plan) => {
                Some(&plan.adopted)
            }
            Stage::Serve(adopted) => Some(adopted),
            Stage::Look | Stage::Note | Stage::Log { .. } | Stage::Judge { .. } => None,
        }
    }

    fn adopt(&self, found: Found) -> Result<Stage, AdoptError> {
        // An older epoch that has not begun owns nothing and never will. It is
        // written under the own epoch, as rows are in step 3: whatever is still
        // on its way to it comes too late. Below the newest one that began
        // nothing is on its way any more: that one did the same, durably, before
        // it began. Nor is a row taken away there: it is what a late beginning
        // loses against.
        let began = |known: &&EpochRow| known.epoch < self.epoch && known.begins_at().is_some();
        let settled = found.epochs.iter().filter(began).map(|known| known.epoch);
        let settled = settled.max().unwrap_or(0);
        let older = found.epochs.iter();
        let older = older.filter(|known| (settled..self.epoch).contains(&known.epoch));
        let pins = older.map(|known| EpochRow {
            first_seq: known.first_seq.or(Some(EpochRow::NEVER)),
            ..*known
        });
        let pins = pins.collect();
        let adopted = adopt(found, self.epoch)?;
        if adopted.epoch_known {
            return Ok(write(Plan {
                adopted,
                pins: Vec::new(),
            }));
        }
        Ok(write(Plan { adopted, pins }))
    }

    fn begun(&self, epochs: &[EpochRow]) -> bool {
        let own = epochs.iter().find(|known| known.epoch == self.epoch);
        own.is_some_and(|own| own.first_seq.is_some())
    }

    fn own(&self, first_seq: Option<u64>) -> EpochRow {
        EpochRow {
            conversation: self.conversation,
            epoch: self.epoch,
            first_seq,
        }
    }
}

/// What comes once the log is judged: pins, then steps 3 and 4.
fn write(plan: Plan) -> Stage {
    if !plan.pins.is_empty() {
        Stage::Pin(plan)
    } else if plan.adopted.rewrite {
        Stage::Again(plan)
    } else {
        begin(plan)
    }
}

/// Step 5, unless it was done before.
fn begin(plan: Plan) -> Stage {
    if plan.adopted.epoch_known {
        Stage::Serve(plan.adopted)
    } else {
        Stage::Begin(plan)
    }
}
