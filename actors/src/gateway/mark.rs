//! Moving marks: permission here, gathering and flushing in
//! [`crate::marks`].

use fanfare_protocol::command::MoveMark;
use fanfare_protocol::{Refusal, UserId};
use tokio::sync::oneshot;

use super::Gateway;

impl Gateway {
    /// Moves a mark; answers where it stands once that is durable.
    ///
    /// # Errors
    /// `not_a_member`, `not_found`, `overloaded`, or what the store says.
    pub async fn mark(&self, user: UserId, ask: MoveMark) -> Result<u64, Refusal> {
        self.parts.rates.command(user)?;
        let member = self.marking(user, ask.conversation).await?;
        let (sender, answer) = oneshot::channel();
        self.parts.marks_in.raise(
            user,
            ask,
            member,
            Box::new(move |result| {
                // Whoever asked may have gone away meanwhile.
                let _ = sender.send(result);
            }),
        );
        answer
            .await
            .unwrap_or_else(|_| Err(Refusal::outcome_unknown()))
    }
}
