//! Log-ins and their refresh tokens, changed by compare-and-set.

use fanfare_engine::account::Family;
use fanfare_engine::codec::{decode, encode};
use fanfare_engine::port::{PortFuture, Tokens};
use fanfare_protocol::SessionId;

use super::accounts::Revision;
use super::store::Rows;

impl Tokens for Rows {
    fn family(&self, session: SessionId) -> PortFuture<'_, Option<Family>> {
        Box::pin(async move {
            let stored = self
                .revised(&self.statements.family, session.into())
                .await?;
            match stored {
                Some((_, family)) => Ok(Some(decode(&family)?)),
                None => Ok(None),
            }
        })
    }

    fn put_family(&self, family: Family, expected_rev: Option<u64>) -> PortFuture<'_, bool> {
        Box::pin(async move {
            let statements = &self.statements;
            let change = Revision {
                read: &statements.family_serial,
                insert: &statements.new_family,
                update: &statements.set_family,
                id: family.session.into(),
                rev: family.rev,
                expected_rev,
                value: encode(&family)?,
            };
            self.revise(change).await
        })
    }
}
