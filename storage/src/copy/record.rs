//! How far a copy is, noted in the destination; and why there is none.

use bytes::Bytes;
use fanfare_engine::codec::{decode, encode};
use fanfare_engine::port::{Place, Single, StoreError};
use fanfare_engine::secret::DataSecret;
use fanfare_protocol::{ConversationId, limits::COPY_PART};
use serde::{Deserialize, Serialize};

use super::digest::Digest;
use crate::Ports;

/// What is copied, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub(super) enum Phase {
    Values,
    Accounts,
    Families,
    Claims,
    Conversations,
    Verify,
    Done,
}

/// How far a copy is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Record {
    /// Stands for the source.
    source: [u8; 16],
    pub(super) phase: Phase,
    /// Where the phase goes on, in the source's own terms.
    place: Option<Bytes>,
    /// The newest epoch met so far.
    pub(super) epoch: u64,
    pub(super) conversations: u64,
    pub(super) rows: u64,
    /// As it was noted last.
    #[serde(skip)]
    noted: Option<Bytes>,
}

/// Why there is no copy.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A store refused, again and again.
    #[error("{side}")]
    Store {
        /// Which side.
        side: &'static str,
        /// Why.
        source: StoreError,
    },
    /// Nothing is there to be copied.
    #[error("the source holds no data")]
    Nothing,
    /// The destination is in use.
    #[error("the destination holds data already")]
    NotEmpty,
    /// The destination is a copy of something else.
    #[error("the destination is a copy, or a part of one, of another source")]
    OtherSource,
    /// It was done before.
    #[error("the destination is a finished copy of this source")]
    Finished,
    /// Two copies at once.
    #[error("another copy into the destination is under way")]
    TwoAtOnce,
    /// Both sides were read again, and are not the same.
    #[error("source and destination differ: {from} and {to}")]
    Differ {
        /// The source.
        from: Box<Digest>,
        /// The destination.
        to: Box<Digest>,
        /// Some conversations that do.
        conversations: Vec<ConversationId>,
    },
}

impl CopyError {
    pub(super) fn from(source: StoreError) -> Self {
        let side = "reading the source";
        Self::Store { side, source }
    }

    pub(super) fn to(source: StoreError) -> Self {
        let side = "writing the destination";
        Self::Store { side, source }
    }
}

/// Whether a copy into this store was begun and did not end: then it holds
/// half logs, which nobody may go on with.
///
/// # Errors
/// As every read.
pub async fn is_unfinished(ports: &Ports) -> Result<bool, StoreError> {
    Ok(match ports.singles.single(Single::Copy).await? {
        Some(stored) => decode::<Record>(&stored)?.phase != Phase::Done,
        None => false,
    })
}

impl Record {
    /// The record of a copy between these two, to begin or to go on with.
    pub(super) async fn open(from: &Ports, to: &Ports) -> Result<Self, CopyError> {
        let values = from.census.all_values().await.map_err(CopyError::from)?;
        let secret = values.into_iter().find(|(name, _)| name == "data-secret");
        let secret = secret.and_then(|(_, bytes)| <[u8; 32]>::try_from(&bytes[..]).ok());
        let source = DataSecret::new(secret.ok_or(CopyError::Nothing)?)
            .hash(&[b"copy"])
            .0;
        let stored = to
            .singles
            .single(Single::Copy)
            .await
            .map_err(CopyError::to)?;
        if let Some(stored) = stored {
            let mut record =
                decode::<Self>(&stored).map_err(|error| CopyError::to(error.into()))?;
            record.noted = Some(stored);
            return match record.phase {
                _ if record.source != source => Err(CopyError::OtherSource),
                Phase::Done => Err(CopyError::Finished),
                _ => Ok(record),
            };
        }
        if !is_empty(to).await.map_err(CopyError::to)? {
            return Err(CopyError::NotEmpty);
        }
        let epoch = from.singles.newest_epoch().await.map_err(CopyError::from)?;
        let mut record = Self {
            source,
            phase: Phase::Values,
            place: None,
            epoch,
            conversations: 0,
            rows: 0,
            noted: None,
        };
        record.note(to).await?;
        Ok(record)
    }

    pub(super) fn place(&self) -> Option<Place> {
        self.place.clone().map(Place)
    }

    /// Goes on to a place, or where there is none to the next phase.
    pub(super) async fn go_on(
        &mut self,
        to: &Ports,
        place: Option<Place>,
        next: Phase,
    ) -> Result<(), CopyError> {
        if place.is_none() {
            self.phase = next;
        }
        self.place = place.map(|place| place.0);
        self.note(to).await
    }

    /// Notes it, if nobody else noted something meanwhile.
    async fn note(&mut self, to: &Ports) -> Result<(), CopyError> {
        let record = encode(self).map_err(|error| CopyError::to(error.into()))?;
        let before = self.noted.clone();
        let noted = to.singles.put_single(Single::Copy, record.clone(), before);
        match noted.await.map_err(CopyError::to)? {
            true => {
                self.noted = Some(record);
                Ok(())
            }
            false => Err(CopyError::TwoAtOnce),
        }
    }
}

async fn is_empty(ports: &Ports) -> Result<bool, StoreError> {
    let census = &ports.census;
    Ok(census.all_values().await?.is_empty()
        && census.all_accounts(None, 1).await?.items.is_empty()
        && census.all_claims(None, 1).await?.items.is_empty()
        && census
            .all_conversations(None, COPY_PART)
            .await?
            .items
            .is_empty())
}
