//! Tickets: one use, half a minute, for where no header can be sent.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use fanfare_protocol::limits::{RETRY_AFTER_MS, TOKEN_BYTES_MAX};
use fanfare_protocol::rest::Ticket;
use fanfare_protocol::{Code, Limits, Refusal, Timestamp};
use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::expiring::Expiring;
use super::seams::random;
use super::tokens::{Identity, not_valid};

/// Tickets not yet used, by their SHA-256: how long a look-up takes tells
/// nothing about a ticket.
pub(super) struct Tickets {
    unused: Mutex<Expiring<[u8; 32], Identity>>,
    life_s: u64,
}

impl Tickets {
    pub(super) fn new(limits: &Limits) -> Self {
        Self {
            unused: Mutex::new(Expiring::new(limits.tickets_max)),
            life_s: limits.ticket_s,
        }
    }

    /// A new ticket.
    pub(super) fn make(&self, now: Timestamp, identity: Identity) -> Result<Ticket, Refusal> {
        let ticket = URL_SAFE_NO_PAD.encode(random::<32>()?);
        let ends_at = now.plus_ms(self.life_s.saturating_mul(1000));
        let kept = self
            .unused
            .lock()
            .insert(now, hash(&ticket), identity, ends_at);
        if !kept {
            let refusal = Refusal::new(Code::Overloaded, "too many tickets are out");
            return Err(refusal.after_ms(RETRY_AFTER_MS));
        }
        Ok(Ticket {
            ticket,
            expires_in_s: self.life_s,
        })
    }

    /// Uses a ticket up.
    pub(super) fn redeem(&self, now: Timestamp, ticket: &str) -> Result<Identity, Refusal> {
        if ticket.len() > TOKEN_BYTES_MAX {
            return Err(not_valid());
        }
        let identity = self.unused.lock().take(now, &hash(ticket));
        identity.ok_or_else(|| {
            Refusal::new(
                Code::Unauthenticated,
                "the ticket was used, has ended or never was",
            )
        })
    }
}

fn hash(ticket: &str) -> [u8; 32] {
    Sha256::digest(ticket.as_bytes()).into()
}
