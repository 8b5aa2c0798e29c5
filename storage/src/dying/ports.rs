//! Every port, with the switch in front.

use std::sync::Arc;

use fanfare_engine::account::{Account, Family};
use fanfare_engine::effect::Effects;
use fanfare_engine::lease::{LeaseRow, NodeName, SlotRow};
use fanfare_engine::member::{Marks, MemberRow, Membership};
use fanfare_engine::meta::ConversationMeta;
use fanfare_engine::port::{
    Accounts, Claim, ClaimOutcome, ClaimRow, Inbox, Leases, Log, MarkWrite, MarksPort, Members,
    Names, Ownership, PortFuture, Readiness, RowRange, Scope, SoleOwner, Standing, StoreError,
    Swap, Tokens,
};
use fanfare_engine::row::{EpochRow, HeadRow, LogRow};
use fanfare_protocol::{ConversationId, SessionId, Timestamp, UserId};

use super::{Fault, Operation, Switch};
use crate::Ports;

pub(super) struct Wrapped {
    pub(super) inner: Ports,
    pub(super) switch: Arc<Switch>,
}

/// How many of its parts an operation performs.
type Parts = usize;
const ALL: Parts = usize::MAX;

impl Wrapped {
    fn run<'a, T: 'a>(
        &'a self,
        operation: Operation,
        perform: impl FnOnce(Parts) -> PortFuture<'a, T> + Send + 'a,
    ) -> PortFuture<'a, T> {
        Box::pin(async move {
            let parts = match self.switch.fate(operation) {
                None => return perform(ALL).await,
                Some(Fault::Hang) => {
                    self.switch.hang().await?;
                    return perform(ALL).await;
                }
                Some(Fault::Overloaded) => return Err(StoreError::Overloaded),
                Some(_) if !operation.writes() => return Err(unavailable()),
                Some(Fault::Unavailable) => return Err(unavailable()),
                Some(Fault::UnknownNotPerformed) => return Err(unknown()),
                Some(Fault::UnknownPerformed) => ALL,
                Some(Fault::UnknownPartly(parts)) => parts,
            };
            perform(parts).await?;
            Err(unknown())
        })
    }
}

fn unavailable() -> StoreError {
    StoreError::Unavailable("told to fail".into())
}

fn unknown() -> StoreError {
    StoreError::OutcomeUnknown("told to fail".into())
}

impl Log for Wrapped {
    fn append(&self, epoch: u64, rows: Arc<[LogRow]>) -> PortFuture<'_, ()> {
        self.run(Operation::Append, move |parts| {
            let rows = match rows.get(..parts) {
                Some(some) => some.into(),
                None => rows,
            };
            self.inner.log.append(epoch, rows)
        })
    }

    fn apply(&self, effects: Arc<Effects>) -> PortFuture<'_, ()> {
        self.run(Operation::Apply, move |parts| {
            let effects = match effects.list.get(..parts) {
                Some(some) => Arc::new(Effects {
                    list: some.to_vec(),
                    ..*effects
                }),
                None => effects,
            };
            self.inner.log.apply(effects)
        })
    }

    fn rows(&self, range: RowRange) -> PortFuture<'_, Vec<LogRow>> {
        self.run(Operation::Rows, move |_| self.inner.log.rows(range))
    }

    fn meta(&self, conversation: ConversationId) -> PortFuture<'_, Option<ConversationMeta>> {
        self.run(Operation::Meta, move |_| self.inner.log.meta(conversation))
    }

    fn metas(
        &self,
        conversations: Vec<ConversationId>,
    ) -> PortFuture<'_, Vec<Option<ConversationMeta>>> {
        self.run(Operation::Metas, move |_| {
            self.inner.log.metas(conversations)
        })
    }

    fn head(&self, conversation: ConversationId) -> PortFuture<'_, Option<HeadRow>> {
        self.run(Operation::Head, move |_| self.inner.log.head(conversation))
    }

    fn heads(&self, conversations: Vec<ConversationId>) -> PortFuture<'_, Vec<Option<HeadRow>>> {
        self.run(Operation::Heads, move |_| {
            self.inner.log.heads(conversations)
        })
    }

    fn put_head(&self, epoch: u64, head: HeadRow) -> PortFuture<'_, ()> {
        self.run(Operation::PutHead, move |_| {
            self.inner.log.put_head(epoch, head)
        })
    }

    fn put_live(
        &self,
        epoch: u64,
        slot: u16,
        conversation: ConversationId,
        at: Timestamp,
    ) -> PortFuture<'_, ()> {
        self.run(Operation::PutLive, move |_| {
            self.inner.log.put_live(epoch, slot, conversation, at)
        })
    }

    fn drop_live(&self, epoch: u64, slot: u16, conversation: ConversationId) -> PortFuture<'_, ()> {
        self.run(Operation::DropLive, move |_| {
            self.inner.log.drop_live(epoch, slot, conversation)
        })
    }

    fn live(
        &self,
        slot: u16,
        after: Option<ConversationId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<ConversationId>> {
        self.run(Operation::Live, move |_| {
            self.inner.log.live(slot, after, limit)
        })
    }

    fn epochs(&self, conversation: ConversationId) -> PortFuture<'_, Vec<EpochRow>> {
        self.run(Operation::Epochs, move |_| {
            self.inner.log.epochs(conversation)
        })
    }

    fn put_epoch(&self, epoch: u64, row: EpochRow) -> PortFuture<'_, ()> {
        self.run(Operation::PutEpoch, move |_| {
            self.inner.log.put_epoch(epoch, row)
        })
    }
}

impl Members for Wrapped {
    fn member(
        &self,
        conversation: ConversationId,
        user: UserId,
    ) -> PortFuture<'_, Option<MemberRow>> {
        self.run(Operation::Member, move |_| {
            self.inner.members.member(conversation, user)
        })
    }

    fn memberships(
        &self,
        user: UserId,
        conversations: Vec<ConversationId>,
    ) -> PortFuture<'_, Vec<Option<MemberRow>>> {
        self.run(Operation::Memberships, move |_| {
            self.inner.members.memberships(user, conversations)
        })
    }

    fn members_of(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<Membership>> {
        self.run(Operation::MembersOf, move |_| {
            self.inner.members.members_of(conversation, after, limit)
        })
    }

    fn conversations_of(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<Membership>> {
        self.run(Operation::ConversationsOf, move |_| {
            self.inner.members.conversations_of(user, after, limit)
        })
    }
}

impl MarksPort for Wrapped {
    fn marks(&self, conversation: ConversationId, user: UserId) -> PortFuture<'_, Marks> {
        self.run(Operation::Marks, move |_| {
            self.inner.marks.marks(conversation, user)
        })
    }

    fn marks_of(
        &self,
        conversation: ConversationId,
        after: Option<UserId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<(UserId, Marks)>> {
        self.run(Operation::MarksOf, move |_| {
            self.inner.marks.marks_of(conversation, after, limit)
        })
    }

    fn raise(&self, mut writes: Vec<MarkWrite>) -> PortFuture<'_, ()> {
        self.run(Operation::Raise, move |parts| {
            writes.truncate(parts);
            self.inner.marks.raise(writes)
        })
    }

    fn standings(
        &self,
        conversation: ConversationId,
        users: Vec<(UserId, Marks)>,
    ) -> PortFuture<'_, Vec<Standing>> {
        self.switch.asked_for(users.len());
        self.run(Operation::Standings, move |_| {
            self.inner.marks.standings(conversation, users)
        })
    }
}

impl Accounts for Wrapped {
    fn account(&self, user: UserId) -> PortFuture<'_, Option<Account>> {
        self.run(Operation::Account, move |_| {
            self.inner.accounts.account(user)
        })
    }

    fn accounts(&self, users: Vec<UserId>) -> PortFuture<'_, Vec<Account>> {
        self.run(Operation::Accounts, move |_| {
            self.inner.accounts.accounts(users)
        })
    }

    fn put_account(&self, account: Account, expected_rev: Option<u64>) -> PortFuture<'_, bool> {
        self.run(Operation::PutAccount, move |_| {
            self.inner.accounts.put_account(account, expected_rev)
        })
    }
}

impl Names for Wrapped {
    fn claim(&self, claim: Claim, now: Timestamp) -> PortFuture<'_, ClaimOutcome> {
        self.run(Operation::Claim, move |_| {
            self.inner.names.claim(claim, now)
        })
    }

    fn claimed(&self, scope: Scope, name: String) -> PortFuture<'_, Option<ClaimRow>> {
        self.run(Operation::Claimed, move |_| {
            self.inner.names.claimed(scope, name)
        })
    }

    fn settle(&self, scope: Scope, name: String, owner: [u8; 16]) -> PortFuture<'_, bool> {
        self.run(Operation::Settle, move |_| {
            self.inner.names.settle(scope, name, owner)
        })
    }

    fn release(&self, scope: Scope, name: String, owner: [u8; 16]) -> PortFuture<'_, bool> {
        self.run(Operation::Release, move |_| {
            self.inner.names.release(scope, name, owner)
        })
    }
}

impl Tokens for Wrapped {
    fn family(&self, session: SessionId) -> PortFuture<'_, Option<Family>> {
        self.run(Operation::Family, move |_| {
            self.inner.tokens.family(session)
        })
    }

    fn put_family(&self, family: Family, expected_rev: Option<u64>) -> PortFuture<'_, bool> {
        self.run(Operation::PutFamily, move |_| {
            self.inner.tokens.put_family(family, expected_rev)
        })
    }
}

impl SoleOwner for Wrapped {
    fn claim_slots(&self) -> PortFuture<'_, u64> {
        self.run(Operation::ClaimSlots, move |_| match &self.inner.sole {
            Some(sole) => sole.claim_slots(),
            None => Box::pin(async { Err(StoreError::Unavailable("several share it".into())) }),
        })
    }
}

impl Ownership for Wrapped {
    fn serves(&self, slot: u16) -> Option<u64> {
        self.inner.sole.as_ref()?.serves(slot)
    }

    fn keeps(&self, slot: u16, epoch: u64) -> bool {
        let sole = self.inner.sole.as_ref();
        sole.is_some_and(|sole| sole.keeps(slot, epoch))
    }

    fn holds(&self, slot: u16, epoch: u64) -> bool {
        let sole = self.inner.sole.as_ref();
        sole.is_some_and(|sole| sole.holds(slot, epoch))
    }
}

impl Inbox for Wrapped {
    fn touch(
        &self,
        conversation: ConversationId,
        users: Vec<UserId>,
        at: Timestamp,
    ) -> PortFuture<'_, ()> {
        self.run(Operation::Touch, move |_| {
            self.inner.inbox.touch(conversation, users, at)
        })
    }

    fn inbox(
        &self,
        user: UserId,
        after: Option<ConversationId>,
        limit: usize,
    ) -> PortFuture<'_, Vec<(ConversationId, Timestamp)>> {
        self.run(Operation::Inbox, move |_| {
            self.inner.inbox.inbox(user, after, limit)
        })
    }
}

impl Leases for Wrapped {
    fn lease(&self, node: NodeName) -> PortFuture<'_, Option<LeaseRow>> {
        self.run(Operation::Lease, move |_| self.inner.leases.lease(node))
    }

    fn swap_lease(
        &self,
        node: NodeName,
        expected: Option<LeaseRow>,
        next: LeaseRow,
    ) -> PortFuture<'_, Swap<LeaseRow>> {
        self.run(Operation::SwapLease, move |_| {
            self.inner.leases.swap_lease(node, expected, next)
        })
    }

    fn slots(&self) -> PortFuture<'_, Vec<(u16, SlotRow)>> {
        self.run(Operation::Slots, move |_| self.inner.leases.slots())
    }

    fn slot(&self, slot: u16) -> PortFuture<'_, Option<SlotRow>> {
        self.run(Operation::Slot, move |_| self.inner.leases.slot(slot))
    }

    fn swap_slot(
        &self,
        slot: u16,
        expected: Option<SlotRow>,
        next: SlotRow,
    ) -> PortFuture<'_, Swap<SlotRow>> {
        self.run(Operation::SwapSlot, move |_| {
            self.inner.leases.swap_slot(slot, expected, next)
        })
    }
}

impl Readiness for Wrapped {
    fn ready(&self) -> Result<(), String> {
        if self.switch.is_dead() {
            return Err("told to die".into());
        }
        self.inner.readiness.ready()
    }
}
