//! Role: carries one conversation's machine: feeds it what arrives, does
//! what it says. Never waits in a handler.
//! Arguments: [`RoomArguments`]. Messages: [`RoomMessage`].
//! Supervised by [`super::RoomSupervisor`]; the directory restarts it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use fanfare_engine::member::MemberRow;
use fanfare_engine::meta::ConversationMeta;
use fanfare_engine::port::{Inbox, Log, Members, Order, RowRange, StoreError};
use fanfare_engine::room as machine;
use fanfare_engine::room::{AdoptError, Input, Needs, Outcome, Output, RoomState, Submission};
use fanfare_engine::row::LogRow;
use fanfare_protocol::limits::LIVE_NOTE_MS;
use fanfare_protocol::{ConversationId, Limits, Timestamp, UserId};
use ractor::{Actor, ActorProcessingErr, ActorRef};
use tokio::sync::oneshot;
use tokio::task::AbortHandle;

use super::activate::{LoadError, Loads, activate};
use crate::appender::Appender;
use crate::clock;
use crate::directory::{Directory, Known};
use crate::reply::Reply;

/// The ports a room uses.
#[derive(Clone)]
pub struct RoomPorts {
    /// Reads rows, records, epochs.
    pub log: Arc<dyn Log>,
    /// Reads memberships.
    pub members: Arc<dyn Members>,
    /// Notes activity.
    pub inbox: Arc<dyn Inbox>,
    /// Writes.
    pub appender: Appender,
    /// What was loaded for rooms that did not wait.
    pub loads: Loads,
}

/// What a room starts with.
pub struct RoomArguments {
    /// Conversation.
    pub conversation: ConversationId,
    /// Epoch of this owner.
    pub epoch: u64,
    /// Ports.
    pub ports: RoomPorts,
    /// Whom it tells what became durable.
    pub directory: Directory,
    /// Limits.
    pub limits: Arc<Limits>,
    /// Pause before loading, after a room of this conversation died.
    pub delay_ms: u64,
}

/// A record and a membership.
pub(crate) type Standing = (ConversationMeta, Option<MemberRow>);

/// What a room is told.
pub enum RoomMessage {
    /// A command. Its ticket is the room's to choose.
    Submit(Box<Submission>, Reply),
    /// A machine's input arrived.
    Input(Input),
    /// Durable rows, if they are held.
    Recent(RowRange, oneshot::Sender<Option<Vec<LogRow>>>),
    /// How somebody stands, if it is held.
    Standing(UserId, oneshot::Sender<Option<Standing>>),
    /// Time to look at the clock.
    Tick,
    /// Fall asleep as soon as there is nothing to do.
    Sleep,
    /// The slot was given up: end at once. Who waits for an answer hears that
    /// the outcome is unknown.
    GivenUp,
    /// Panics, to test that it harms nobody else.
    #[cfg(test)]
    Panic,
    /// Waits for a word, to test what happens meanwhile.
    #[cfg(test)]
    Wait(std::sync::mpsc::Receiver<()>),
}

/// The actor.
pub struct Room;

/// State of the actor.
pub struct State {
    pub(super) conversation: ConversationId,
    epoch: u64,
    pub(super) machine: machine::Room,
    pub(super) ports: RoomPorts,
    directory: Directory,
    limits: Arc<Limits>,
    replies: HashMap<u64, Reply>,
    next_ticket: u64,
    /// Whether the conversation is noted as live, and since when.
    live_since_ms: Option<u64>,
    /// First seq of the batch that the appender has.
    appending: Option<u64>,
    /// When the one timer goes off, and how to take it back.
    alarm: Option<(u64, AbortHandle)>,
    busy_ms: u64,
    /// When the newest entry was taken, and how many members there were then.
    pub(super) active: Option<(Timestamp, u64)>,
    /// Sleeps at the first idle moment.
    tired: bool,
    asleep: bool,
}

impl Actor for Room {
    type Msg = RoomMessage;
    type State = State;
    type Arguments = RoomArguments;

    async fn pre_start(
        &self,
        myself: ActorRef<RoomMessage>,
        args: RoomArguments,
    ) -> Result<State, ActorProcessingErr> {
        let RoomArguments {
            conversation,
            epoch,
            ports,
            directory,
            limits,
            delay_ms,
        } = args;
        let (machine, load) = machine::Room::new(conversation, epoch, Arc::clone(&limits));
        let mut state = State {
            conversation,
            epoch,
            machine,
            ports,
            directory,
            limits,
            replies: HashMap::new(),
            next_ticket: 1,
            live_since_ms: None,
            appending: None,
            alarm: None,
            busy_ms: clock::monotonic_ms(),
            active: None,
            tired: false,
            asleep: false,
        };
        metrics::gauge!("fanfare_rooms").increment(1.0);
        state.load_after(&myself, delay_ms);
        drop(load);
        Ok(state)
    }

    async fn handle(
        &self,
        myself: ActorRef<RoomMessage>,
        message: RoomMessage,
        state: &mut State,
    ) -> Result<(), ActorProcessingErr> {
        match message {
            RoomMessage::Submit(asked, reply) => state.submit(&myself, *asked, reply),
            RoomMessage::Input(input) => state.input(&myself, input),
            // Whoever asked may be gone.
            RoomMessage::Recent(range, answer) => {
                drop(answer.send(state.machine.recent(&range)));
            }
            RoomMessage::Standing(user, answer) => {
                drop(answer.send(state.machine.standing(user)));
            }
            RoomMessage::Tick => state.tick(&myself),
            RoomMessage::Sleep => {
                state.tired = true;
                state.rest(&myself);
            }
            RoomMessage::GivenUp => myself.stop(Some("the slot was given up".to_owned())),
            #[cfg(test)]
            RoomMessage::Panic => panic!("a room dies, as a test asked"),
            #[cfg(test)]
            RoomMessage::Wait(word) => drop(word.recv()),
        }
        Ok(())
    }
}

impl Drop for State {
    fn drop(&mut self) {
        metrics::gauge!("fanfare_rooms").decrement(1.0);
        self.silence();
    }
}

impl State {
    fn submit(&mut self, myself: &ActorRef<RoomMessage>, mut asked: Submission, reply: Reply) {
        if self.asleep {
            reply.hand_back();
            return;
        }
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        asked.ticket = ticket;
        self.replies.insert(ticket, reply);
        self.busy_ms = clock::monotonic_ms();
        self.input(myself, Input::Submit(Box::new(asked)));
    }

    fn input(&mut self, myself: &ActorRef<RoomMessage>, input: Input) {
        let unloadable = matches!(input, Input::Loaded(None));
        let loaded = matches!(input, Input::Loaded(Some(_)));
        if matches!(
            input,
            Input::Appended(Outcome::Durable | Outcome::NotWritten)
        ) {
            self.appending = None;
        }
        let outputs = self.machine.handle(input, clock::now());
        if loaded {
            let known = Known {
                head: self.machine.head(),
                run_from: self.machine.run_from(),
                ended: self.machine.is_ended(),
            };
            self.active = self.activity();
            self.directory
                .loaded(self.epoch, known, self.machine.published());
        }
        for output in outputs {
            self.carry_out(myself, output);
        }
        if unloadable {
            // The directory starts another one, with a growing pause.
            myself.stop(Some("could not load".to_owned()));
            return;
        }
        self.set_alarm(myself);
        self.rest(myself);
    }

    fn carry_out(&mut self, myself: &ActorRef<RoomMessage>, output: Output) {
        match output {
            Output::Load => self.load_after(myself, 0),
            Output::Read(needs) => self.read(myself, needs),
            Output::Append(batch) => self.append(myself, batch),
            Output::Apply(effects) => {
                let room = myself.clone();
                self.ports.appender.apply(effects, move |outcome| {
                    tell(&room, Input::Applied(outcome));
                });
            }
            Output::Publish(published) => {
                metrics::counter!("fanfare_entries_total").increment(published.rows.len() as u64);
                self.note_activity(&published);
                self.directory.published(Arc::new(published));
            }
            Output::PutHead(head) => self.ports.appender.put_head(self.epoch, head),
            Output::Answer(ticket, result) => {
                if let Some(reply) = self.replies.remove(&ticket) {
                    reply.settle(result);
                }
            }
            Output::HandBack(ticket) => {
                if let Some(reply) = self.replies.remove(&ticket) {
                    reply.hand_back();
                }
            }
        }
    }

    fn append(&mut self, myself: &ActorRef<RoomMessage>, batch: machine::Batch) {
        let first_seq = batch.rows.first().map(|row| row.seq);
        if self.appending == first_seq {
            // The appender repeats an unknown write by itself.
            return;
        }
        self.appending = first_seq;
        let now_ms = clock::monotonic_ms();
        let note = self
            .live_since_ms
            .is_none_or(|since| now_ms > since + LIVE_NOTE_MS);
        if note {
            self.live_since_ms = Some(now_ms);
        }
        let room = myself.clone();
        self.ports
            .appender
            .append(self.conversation, batch, note, move |outcome| {
                tell(&room, Input::Appended(outcome));
            });
    }

    fn load_after(&mut self, myself: &ActorRef<RoomMessage>, delay_ms: u64) {
        self.live_since_ms = None;
        let ports = self.ports.clone();
        let (conversation, epoch) = (self.conversation, self.epoch);
        let limits = Arc::clone(&self.limits);
        let patience = self.patience();
        let mut owed = Owed::new(myself, Input::Loaded(None));
        let directory = self.directory.clone();
        tokio::spawn(async move {
            if delay_ms > 0 {
                tokio::time::sleep(Duration::from_millis(delay_ms)).await;
            }
            let loading = activate(&ports, conversation, epoch, &limits);
            match in_time(patience, loading).await {
                Ok(state) => owed.becomes(Input::Loaded(Some(Box::new(state)))),
                Err(error) => {
                    tracing::warn!(%conversation, %error, "room could not load");
                    if let LoadError::Adopt(AdoptError::EpochAbove(above)) = error {
                        directory.epoch_above(conversation, epoch, above);
                    }
                }
            }
        });
    }

    fn read(&self, myself: &ActorRef<RoomMessage>, needs: Needs) {
        let (ports, conversation) = (self.ports.clone(), self.conversation);
        let patience = self.patience();
        let mut owed = Owed::new(myself, Input::ReadFailed);
        tokio::spawn(async move {
            match in_time(patience, fetch(&ports, conversation, &needs)).await {
                Ok((members, rows)) => owed.becomes(Input::Read { members, rows }),
                Err(error) => tracing::warn!(%conversation, %error, "room could not read"),
            }
        });
    }

    /// How long a room waits for the store before it refuses what waits.
    fn patience(&self) -> Duration {
        Duration::from_millis(self.limits.append_ms_max)
    }

    fn tick(&mut self, myself: &ActorRef<RoomMessage>) {
        self.silence();
        let idle_at = self.busy_ms + self.limits.room_idle_ms;
        if self.machine.is_idle() && clock::monotonic_ms() >= idle_at {
            self.fall_asleep(myself);
            return;
        }
        self.input(myself, Input::Time);
    }

    /// Falls asleep if that is wished for and nothing is left to do.
    fn rest(&mut self, myself: &ActorRef<RoomMessage>) {
        if self.tired && !self.asleep && self.machine.is_idle() {
            self.fall_asleep(myself);
        }
    }

    /// Ends with everything durable: from here on commands are handed back,
    /// and the next room of this conversation loads after the clean head is
    /// written (the appender holds it until then).
    fn fall_asleep(&mut self, myself: &ActorRef<RoomMessage>) {
        self.asleep = true;
        self.machine.close();
        let head = self.machine.head();
        if head.seq > 0 {
            let directory = self.directory.clone();
            self.ports
                .appender
                .put_to_sleep(self.epoch, head, move |clean| {
                    directory.head_row_written(&head, clean);
                });
        }
        self.directory.slept(self.conversation, myself.get_id());
        if let Err(error) = myself.drain() {
            tracing::debug!(%error, "room ended already");
        }
    }

    /// One timer at a time: for the machine's next wish, or for sleep. While
    /// the machine waits for something, what it waits for wakes it.
    fn set_alarm(&mut self, myself: &ActorRef<RoomMessage>) {
        let now_ms = clock::monotonic_ms();
        let idle_at = self.busy_ms + self.limits.room_idle_ms;
        let idle = self.machine.is_idle().then_some(idle_at);
        let Some(next) = self.machine.wake_ms().into_iter().chain(idle).min() else {
            return;
        };
        if self.alarm.as_ref().is_some_and(|(set, _)| *set <= next) {
            return;
        }
        let room = myself.clone();
        let wait = Duration::from_millis(next.saturating_sub(now_ms));
        let timer = tokio::spawn(async move {
            tokio::time::sleep(wait).await;
            // A room that ended needs no alarm.
            let _ = room.cast(RoomMessage::Tick);
        });
        self.silence();
        self.alarm = Some((next, timer.abort_handle()));
    }

    fn silence(&mut self) {
        if let Some((_, timer)) = self.alarm.take() {
            timer.abort();
        }
    }
}

/// What a task owes its room: told when the task ends, however it ends.
struct Owed {
    room: ActorRef<RoomMessage>,
    input: Option<Input>,
}

impl Owed {
    fn new(room: &ActorRef<RoomMessage>, otherwise: Input) -> Self {
        Self {
            room: room.clone(),
            input: Some(otherwise),
        }
    }

    fn becomes(&mut self, input: Input) {
        self.input = Some(input);
    }
}

impl Drop for Owed {
    fn drop(&mut self) {
        if let Some(input) = self.input.take() {
            tell(&self.room, input);
        }
    }
}

async fn in_time<T, E: From<StoreError>>(
    patience: Duration,
    reading: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let late = |_| StoreError::Unavailable("the store does not answer in time".to_owned());
    tokio::time::timeout(patience, reading)
        .await
        .map_err(late)?
}

/// Tells a room something; one that ended meanwhile needs it no more.
fn tell(room: &ActorRef<RoomMessage>, input: Input) {
    if room.cast(RoomMessage::Input(input)).is_err() {
        tracing::trace!("room ended before its input");
    }
}

type Fetched = (Vec<(UserId, Option<MemberRow>)>, Vec<LogRow>);

/// Reads what a room lacks.
pub(super) async fn fetch(
    ports: &RoomPorts,
    conversation: ConversationId,
    needs: &Needs,
) -> Result<Fetched, StoreError> {
    let mut members = Vec::with_capacity(needs.members.len());
    for user in &needs.members {
        members.push((*user, ports.members.member(conversation, *user).await?));
    }
    let mut rows = Vec::with_capacity(needs.rows.len());
    for seq in &needs.rows {
        let range = RowRange {
            conversation,
            from: *seq,
            to: *seq,
            limit: 1,
            order: Order::Ascending,
        };
        rows.extend(ports.log.rows(range).await?);
    }
    Ok((members, rows))
}

/// Gives a state what it lacks for `needs`.
pub(super) async fn supply(
    ports: &RoomPorts,
    state: &mut RoomState,
    needs: &Needs,
) -> Result<(), StoreError> {
    let (members, rows) = fetch(ports, state.conversation, needs).await?;
    for (user, row) in members {
        state.remember_member(user, row);
    }
    for row in rows {
        state.remember_row(row)?;
    }
    Ok(())
}
