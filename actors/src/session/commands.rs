//! Commands and marks of a session.

use std::sync::Arc;

use fanfare_engine::room::{Done, Submission};
use fanfare_protocol::command::{Command, MoveMark};
use fanfare_protocol::frame::FrameId;
use fanfare_protocol::mark::MarkKind;
use fanfare_protocol::reply::Reply;
use fanfare_protocol::{ConversationId, Refusal, UserId};

use super::actor::{Phase, SessionMessage, State, answer, refuse};
use super::lane::{Answering, Pending};
use super::place::SessionRef;
use crate::gateway::{Draft, Permit};
use crate::reply::{Answered, Reply as ReplyHandle};

impl State {
    #[expect(
        clippy::too_many_arguments,
        reason = "one frame's parts, taken apart once"
    )]
    pub(super) fn command(
        &mut self,
        myself: &SessionRef,
        caller: UserId,
        conversation: ConversationId,
        command: Command,
        id: Option<FrameId>,
        key: Option<String>,
        permit: Permit,
    ) {
        let gateway = &self.gateway;
        if let Err(refusal) = gateway
            .rates()
            .command(caller)
            .and_then(|()| gateway.check(&command))
        {
            return self.refuse(id, key, refusal);
        }
        let kind = match command {
            Command::Join => Answering::Joined,
            _ => Answering::Room,
        };
        let draft = Draft {
            caller,
            conversation,
            command,
            key: key.clone(),
        };
        let prepared = gateway.prepare_now(&draft);
        let lookup = prepared.is_none();
        let lane = self.lanes.entry(conversation).or_default();
        let number = lane.push(id, key, kind, prepared, permit);
        if lookup {
            let (gateway, session) = (Arc::clone(&self.gateway), myself.clone());
            tokio::spawn(async move {
                let result = Box::new(gateway.prepare(&draft).await);
                session.tell(SessionMessage::Prepared(conversation, number, result));
            });
        }
        self.send_on(myself, conversation);
    }

    pub(super) fn prepared(
        &mut self,
        myself: &SessionRef,
        conversation: ConversationId,
        number: u64,
        result: Result<Submission, Refusal>,
    ) {
        let Some(lane) = self.lanes.get_mut(&conversation) else {
            return;
        };
        if let Some((pending, refusal)) = lane.prepared(number, result) {
            self.refuse(pending.re, pending.key, refusal);
        }
        self.send_on(myself, conversation);
    }

    pub(super) fn answered(
        &mut self,
        myself: &SessionRef,
        conversation: ConversationId,
        number: u64,
        answered: Answered,
    ) {
        let Some(lane) = self.lanes.get_mut(&conversation) else {
            return;
        };
        match answered {
            Answered::HandedBack => lane.handed_back(number),
            Answered::Settled(result) => {
                if let Some(pending) = lane.take(number) {
                    match result {
                        Ok(accepted) => self.accepted(conversation, pending, accepted.done),
                        Err(refusal) => self.refuse(pending.re, pending.key, refusal),
                    }
                }
            }
        }
        self.send_on(myself, conversation);
    }

    /// Sends what may go now; a lane that is empty is forgotten.
    fn send_on(&mut self, myself: &SessionRef, conversation: ConversationId) {
        let Some(lane) = self.lanes.get_mut(&conversation) else {
            return;
        };
        let ready = lane.sendable(self.socket.id().number());
        for (number, submission) in ready {
            let session = myself.clone();
            let reply = ReplyHandle::new(move |answered| {
                session.tell(SessionMessage::Answered(conversation, number, answered));
            });
            self.gateway
                .parts
                .directory
                .submit(conversation, submission, reply);
        }
        if lane.is_empty() {
            self.lanes.remove(&conversation);
        }
    }

    fn accepted(&self, conversation: ConversationId, pending: Pending, done: Done) {
        let Pending {
            re, kind, permit, ..
        } = pending;
        let Some(re) = re else { return };
        if kind == Answering::Joined {
            return self.joined(conversation, re, permit);
        }
        answer(&self.socket, &re, &Ok(&Reply::from(done)));
    }

    /// Reads what a join's answer shows; the join itself is durable.
    fn joined(&self, conversation: ConversationId, re: FrameId, permit: Permit) {
        let Phase::Ready(who) = &self.phase else {
            return;
        };
        let (gateway, socket, user) = (Arc::clone(&self.gateway), self.socket.clone(), who.0.user);
        tokio::spawn(async move {
            match gateway.changed_conversation(user, conversation).await {
                Ok(seen) => {
                    answer(
                        &socket,
                        &re,
                        &Ok(&Reply::Joined {
                            conversation: Box::new(seen),
                        }),
                    );
                }
                Err(refusal) => refuse(&socket, Some(re), None, refusal),
            }
            drop(permit);
        });
    }

    pub(super) fn mark(
        &self,
        user: UserId,
        ask: MoveMark,
        id: Option<FrameId>,
        key: Option<String>,
        permit: Permit,
    ) {
        let (gateway, socket) = (Arc::clone(&self.gateway), self.socket.clone());
        tokio::spawn(async move {
            match gateway.mark(user, ask).await {
                Ok(seq) => {
                    let conversation = ask.conversation;
                    let reply = match ask.kind {
                        MarkKind::Read => Reply::Read {
                            conversation,
                            read_seq: seq,
                        },
                        MarkKind::Delivered => Reply::Delivered {
                            conversation,
                            delivered_seq: seq,
                        },
                    };
                    if let Some(id) = id {
                        answer(&socket, &id, &Ok(&reply));
                    }
                }
                Err(refusal) => refuse(&socket, id, key, refusal),
            }
            drop(permit);
        });
    }
}
