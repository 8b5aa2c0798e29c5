//! The seam between those who follow conversations and the nodes that own
//! them. Here the owner is this process ([`crate::directory::Directory`]);
//! a remote owner answers the same calls over a link.

use std::pin::Pin;
use std::sync::Arc;

use fanfare_engine::port::RowRange;
use fanfare_engine::room::Published;
use fanfare_engine::row::LogRow;
use fanfare_protocol::ConversationId;
use fanfare_protocol::signal::Signal;

/// How far a log has been published, and under which epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Head {
    /// Conversation.
    pub conversation: ConversationId,
    /// Epoch of the entry at `seq`.
    pub epoch: u64,
    /// Newest published seq.
    pub seq: u64,
}

/// See [`Owner::recent`].
pub type Recent = Pin<Box<dyn Future<Output = Option<Vec<LogRow>>> + Send>>;

/// What a follower asks of an owner. Following waits for nothing: what comes of
/// it arrives at the [`Follower`].
pub trait Owner: Send + Sync {
    /// From now on the follower gets entries and heads; the first head
    /// answers the request ([`Follower::unknown`] when there is none).
    fn follow(&self, conversation: ConversationId, follower: Arc<dyn Follower>);

    /// The opposite.
    fn unfollow(&self, conversation: ConversationId);

    /// Rows that the owner holds in memory, all that are published of a range;
    /// `None`: the log is to be asked.
    fn recent(&self, range: RowRange) -> Recent;
}

/// What an owner tells a follower. Any of it may be lost but the answer to
/// [`Owner::follow`]: heads are repeated every second for what moved.
pub trait Follower: Send + Sync {
    /// Entries, ascending and dense.
    fn entries(&self, published: Arc<Published>);

    /// How far the log is.
    fn head(&self, head: Head);

    /// The head cannot be had at present.
    fn unknown(&self, conversation: ConversationId);

    /// A fleeting frame for everybody subscribed.
    fn signal(&self, conversation: ConversationId, signal: Arc<Signal>);
}
