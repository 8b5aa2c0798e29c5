//! Beginning a conversation. Names are claimed first, with what is to be
//! created as the claim's intent: whoever meets an unsettled claim finishes
//! it, so a crash between any two steps orphans no name and makes no twin.

use std::sync::Arc;

use fanfare_engine::check;
use fanfare_engine::codec::{decode, encode};
use fanfare_engine::port::{Claim, ClaimOutcome, ClaimRow, Scope};
use fanfare_protocol::command::{Command, CreateConversation};
use fanfare_protocol::conversation::{Conversation, Kind};
use fanfare_protocol::limits::IDEMPOTENT_OUTSIDE_MS;
use fanfare_protocol::{Code, ConversationId, Refusal, UserId};
use serde::{Deserialize, Serialize};

use super::Gateway;
use super::submit::Draft;
use crate::account::new_id;
use crate::clock;

/// A conversation that now exists.
pub struct CreatedConversation {
    /// As its creator sees it.
    pub conversation: Conversation,
    /// Whether it existed before (a repeat, or a pair that met already).
    pub existed: bool,
}

/// What a claim was about to create.
#[derive(Clone, Serialize, Deserialize)]
struct Intent {
    creator: UserId,
    ask: CreateConversation,
}

impl Gateway {
    /// Creates a conversation, or finds the one that the pair or the key
    /// names already.
    ///
    /// # Errors
    /// `invalid_request`, `not_found` for unknown participants,
    /// `already_exists` for a taken slug, `idempotency_conflict`, or what
    /// the store says.
    pub async fn create(
        self: &Arc<Self>,
        creator: UserId,
        mut ask: CreateConversation,
        key: Option<String>,
    ) -> Result<CreatedConversation, Refusal> {
        let parts = &self.parts;
        parts.rates.command(creator)?;
        let created = check::creation(creator, &ask, &parts.limits)?;
        ask.participant_ids = created
            .members
            .iter()
            .map(|(user, _)| *user)
            .filter(|user| *user != creator)
            .collect();
        self.known_users(ask.participant_ids.clone()).await?;
        let id = ConversationId(new_id(clock::wall())?);
        let intent = Intent { creator, ask };
        let request = match &key {
            Some(key) => Some(self.request_claim(creator, key, &intent)?),
            None => None,
        };
        let (id, repeated) = match &request {
            Some(claim) => self.claim_request(claim, id).await?,
            None => (id, false),
        };
        let (id, taken) = self.claim_name(&intent, id).await?;
        // Who finished it first does not matter: the claim says whose it is.
        self.begin(id, &intent).await?;
        let existed = repeated || taken;
        self.settle(&intent, id).await;
        let conversation = self.changed_conversation(creator, id).await?;
        Ok(CreatedConversation {
            conversation,
            existed,
        })
    }

    /// The claim of an idempotency key: its name carries the request, so
    /// that another body under the same key is told apart.
    fn request_claim(&self, creator: UserId, key: &str, intent: &Intent) -> Result<Claim, Refusal> {
        let print = self.parts.secret.key(creator, key);
        let request = self
            .parts
            .secret
            .request(&Command::Create(intent.ask.clone()));
        let expires_at = clock::wall().plus_ms(IDEMPOTENT_OUTSIDE_MS);
        let intent = encode(&(request, intent)).map_err(|_| Refusal::internal())?;
        Ok(Claim {
            scope: Scope::Request,
            name: uuid::Uuid::from_bytes(print.0).simple().to_string(),
            row: ClaimRow {
                owner: [0; 16],
                intent,
                expires_at: Some(expires_at),
            },
        })
    }

    async fn claim_request(
        &self,
        claim: &Claim,
        id: ConversationId,
    ) -> Result<(ConversationId, bool), Refusal> {
        let mut claim = claim.clone();
        claim.row.owner = *id.as_bytes();
        let ours = claim.row.intent.clone();
        match self.parts.names.claim(claim, clock::wall()).await? {
            ClaimOutcome::Mine => Ok((id, false)),
            ClaimOutcome::Taken(row) => {
                let request = |bytes: &[u8]| {
                    decode::<(fanfare_engine::secret::Fingerprint, Intent)>(bytes)
                        .map(|it| it.0)
                        .ok()
                };
                if request(&row.intent) != request(&ours) {
                    return Err(Refusal::new(
                        Code::IdempotencyConflict,
                        "the key was used before with another request",
                    ));
                }
                Ok((ConversationId::from_bytes(row.owner), true))
            }
        }
    }

    /// Claims the pair or the slug for `id`; gives the conversation that has
    /// it, and whether that is another one.
    async fn claim_name(
        self: &Arc<Self>,
        intent: &Intent,
        id: ConversationId,
    ) -> Result<(ConversationId, bool), Refusal> {
        let Some((scope, name)) = name_of(intent) else {
            return Ok((id, false));
        };
        let bytes = encode(intent).map_err(|_| Refusal::internal())?;
        let row = ClaimRow {
            owner: *id.as_bytes(),
            intent: bytes,
            expires_at: None,
        };
        let claim = Claim { scope, name, row };
        match self.parts.names.claim(claim, clock::wall()).await? {
            ClaimOutcome::Mine => Ok((id, false)),
            ClaimOutcome::Taken(row) => {
                let other = ConversationId::from_bytes(row.owner);
                if !row.is_settled() {
                    // Its claimant died or is still at it: finish it.
                    let theirs: Intent = decode(&row.intent).map_err(|_| Refusal::internal())?;
                    self.begin(other, &theirs).await?;
                    self.settle(&theirs, other).await;
                }
                match scope {
                    Scope::Pair => Ok((other, true)),
                    _ if other == id => Ok((id, true)),
                    _ => {
                        let mut refusal = Refusal::new(Code::AlreadyExists, "the slug is taken");
                        refusal
                            .details
                            .insert("slug".to_owned(), "taken".to_owned());
                        Err(refusal)
                    }
                }
            }
        }
    }

    /// Writes the log's first entry, unless it is there.
    async fn begin(&self, id: ConversationId, intent: &Intent) -> Result<(), Refusal> {
        let draft = Draft {
            caller: intent.creator,
            conversation: id,
            command: Command::Create(intent.ask.clone()),
            key: None,
        };
        let submission = self.submission(&draft, fanfare_engine::room::Resolved::default());
        self.submit_prepared(id, submission).await.map(|_| ())
    }

    /// What is not settled now is settled by whoever meets the claim.
    async fn settle(&self, intent: &Intent, id: ConversationId) {
        let Some((scope, name)) = name_of(intent) else {
            return;
        };
        if let Err(error) = self.parts.names.settle(scope, name, *id.as_bytes()).await {
            tracing::warn!(conversation = %id, %error, "claim not settled yet");
        }
    }
}

/// The name that only one conversation may have.
fn name_of(intent: &Intent) -> Option<(Scope, String)> {
    match intent.ask.kind {
        Kind::Direct => {
            let other = intent.ask.participant_ids.first()?;
            let (low, high) = (intent.creator.min(*other), intent.creator.max(*other));
            Some((Scope::Pair, format!("{low}:{high}")))
        }
        Kind::Channel => Some((Scope::Slug, intent.ask.slug.clone()?)),
        Kind::Group => None,
    }
}
