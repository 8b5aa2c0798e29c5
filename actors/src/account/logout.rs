//! Logging out.

use fanfare_protocol::{Refusal, SessionId};

use super::book::AccountBook;

impl AccountBook {
    /// Ends the log-in of a refresh token, whichever of its tokens it is.
    /// Once is enough: a repeat succeeds. Gives the log-in that ended; its
    /// sockets hear of it through [`Self::revocations`].
    ///
    /// # Errors
    /// `unauthenticated` for what is no refresh token of ours; what the store
    /// says.
    pub async fn logout(&self, token: &str) -> Result<SessionId, Refusal> {
        let token = self.refresh.read(token)?;
        self.revoke(token.session).await?;
        Ok(token.session)
    }
}
