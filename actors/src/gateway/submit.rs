//! Commands on their way to a room: checked, with what they name looked up.

use std::sync::Arc;
use std::time::Duration;

use fanfare_engine::check;
use fanfare_engine::mention;
use fanfare_engine::room::{Accepted, Resolved, Submission};
use fanfare_protocol::command::Command;
use fanfare_protocol::limits::{HAND_BACK_MS, HAND_BACKS_MAX, RESOLVE_MS_MAX};
use fanfare_protocol::user::User;
use fanfare_protocol::{Code, ConversationId, Refusal, UserId};
use tokio::sync::oneshot;

use super::Gateway;
use crate::reply::{Answered, Reply};

/// A command as it came in.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Who asks.
    pub caller: UserId,
    /// Where.
    pub conversation: ConversationId,
    /// What.
    pub command: Command,
    /// Idempotency key.
    pub key: Option<String>,
}

impl Gateway {
    /// Checks a command's content, before anything is looked up.
    ///
    /// # Errors
    /// The refusal, naming the field.
    pub fn check(&self, command: &Command) -> Result<(), Refusal> {
        let limits = &self.parts.limits;
        match command {
            Command::SendMessage(send) => check::message_text(&send.text, limits),
            Command::EditMessage(edit) => check::message_text(&edit.text, limits),
            Command::React(react) => check::emoji(&react.emoji),
            Command::AddParticipants(add) => check::additions(add, limits).map(|_| ()),
            // Which fields a kind has, the room decides; here their form.
            Command::UpdateConversation(update) => {
                check::fields(fanfare_protocol::conversation::Kind::Channel, update).map(|_| ())
            }
            Command::Create(_)
            | Command::DeleteMessage(_)
            | Command::Join
            | Command::Leave
            | Command::UpdateParticipant(_)
            | Command::RemoveParticipant(_)
            | Command::DeleteConversation => Ok(()),
        }
    }

    /// A submission at once, when nothing must be looked up for it.
    pub fn prepare_now(&self, draft: &Draft) -> Option<Submission> {
        let plain = match &draft.command {
            Command::SendMessage(send) => !send.text.contains('@'),
            Command::EditMessage(edit) => !edit.text.contains('@'),
            Command::DeleteMessage(_)
            | Command::React(_)
            | Command::Join
            | Command::Leave
            | Command::RemoveParticipant(_)
            | Command::UpdateConversation(_)
            | Command::DeleteConversation => true,
            Command::Create(_) | Command::AddParticipants(_) | Command::UpdateParticipant(_) => {
                false
            }
        };
        let ready = plain && self.parts.directory.is_live(draft.conversation);
        ready.then(|| self.submission(draft, Resolved::default()))
    }

    /// A submission, with users and names looked up. Conversations that do
    /// not exist start no room.
    ///
    /// # Errors
    /// `not_found`, what the store says, or `unavailable` when it says nothing
    /// in time.
    pub async fn prepare(&self, draft: &Draft) -> Result<Submission, Refusal> {
        let patience = Duration::from_millis(RESOLVE_MS_MAX);
        let late = |_| Refusal::unavailable("the store does not answer in time");
        let looked_up = tokio::time::timeout(patience, self.look_up(draft)).await;
        looked_up.map_err(late)?
    }

    async fn look_up(&self, draft: &Draft) -> Result<Submission, Refusal> {
        let parts = &self.parts;
        if !parts.directory.is_live(draft.conversation)
            && parts.log.meta(draft.conversation).await?.is_none()
        {
            return Err(Refusal::not_found("conversation"));
        }
        let resolved = self.resolve(draft).await?;
        Ok(self.submission(draft, resolved))
    }

    async fn resolve(&self, draft: &Draft) -> Result<Resolved, Refusal> {
        let mut resolved = Resolved::default();
        match &draft.command {
            Command::SendMessage(send) => self.resolve_text(&send.text, &mut resolved).await?,
            Command::EditMessage(edit) => self.resolve_text(&edit.text, &mut resolved).await?,
            Command::AddParticipants(add) => {
                let (users, _) = check::additions(add, &self.parts.limits)?;
                resolved.users = self.known_users(users).await?;
            }
            Command::UpdateParticipant(update) => {
                resolved.users = self.known_users(vec![update.user, draft.caller]).await?;
            }
            Command::Create(_)
            | Command::DeleteMessage(_)
            | Command::React(_)
            | Command::Join
            | Command::Leave
            | Command::RemoveParticipant(_)
            | Command::UpdateConversation(_)
            | Command::DeleteConversation => {}
        }
        Ok(resolved)
    }

    async fn resolve_text(&self, text: &str, resolved: &mut Resolved) -> Result<(), Refusal> {
        let mentioned = mention::parse(text, self.parts.limits.mentions_max);
        let found = self.parts.accounts.resolve(&mentioned.usernames).await?;
        let named = mentioned
            .usernames
            .iter()
            .filter_map(|name| found.get(name));
        resolved.mentions = named.copied().collect();
        resolved.mentions_all = mentioned.all;
        Ok(())
    }

    /// Users by id, every one of which must exist.
    pub(super) async fn known_users(&self, users: Vec<UserId>) -> Result<Vec<User>, Refusal> {
        let known = self.parts.accounts.users(users.clone()).await?;
        match users
            .iter()
            .find(|id| known.iter().all(|user| user.id != **id))
        {
            Some(unknown) => {
                let mut refusal = Refusal::not_found("user");
                refusal
                    .details
                    .insert("user".to_owned(), unknown.to_string());
                Err(refusal)
            }
            None => Ok(known),
        }
    }

    pub(super) fn submission(&self, draft: &Draft, resolved: Resolved) -> Submission {
        let secret = &self.parts.secret;
        Submission {
            ticket: 0,
            caller: draft.caller,
            key_print: draft.key.as_ref().map(|key| secret.key(draft.caller, key)),
            key: draft.key.clone(),
            request: secret.request(&draft.command),
            command: draft.command.clone(),
            resolved,
            order: None,
        }
    }

    /// Submits a command and waits for its answer (REST). Bounded by the
    /// room: see `append_ms_max`.
    ///
    /// # Errors
    /// The refusal.
    pub async fn submit(self: &Arc<Self>, draft: Draft) -> Result<Accepted, Refusal> {
        self.parts.rates.command(draft.caller)?;
        self.check(&draft.command)?;
        let submission = match self.prepare_now(&draft) {
            Some(submission) => submission,
            None => self.prepare(&draft).await?,
        };
        self.submit_prepared(draft.conversation, submission).await
    }

    /// Submits until a room decides it: one that falls asleep hands it back.
    pub(super) async fn submit_prepared(
        &self,
        conversation: ConversationId,
        submission: Submission,
    ) -> Result<Accepted, Refusal> {
        for _ in 0..HAND_BACKS_MAX {
            let (sender, answer) = oneshot::channel();
            let reply = Reply::new(move |answered| {
                // Whoever asked may have gone away meanwhile.
                let _ = sender.send(answered);
            });
            self.parts
                .directory
                .submit(conversation, submission.clone(), reply);
            match answer.await {
                Ok(Answered::Settled(result)) => return result,
                Ok(Answered::HandedBack) => {
                    tokio::time::sleep(Duration::from_millis(HAND_BACK_MS)).await;
                }
                Err(_) => return Err(Refusal::outcome_unknown()),
            }
        }
        Err(Refusal::new(
            Code::Unavailable,
            "the conversation is changing hands",
        ))
    }
}
