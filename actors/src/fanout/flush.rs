//! Writing one socket: control frames first, then everything of its dirty
//! conversations, in one vectored write.

use std::collections::HashMap;
use std::io::{ErrorKind, IoSlice};
use std::task::{Context, Poll};

use bytes::Bytes;
use fanfare_protocol::ConversationId;
use fanfare_protocol::limits::VECTORED_FRAMES_MAX;

use super::conversation::{Row, page_of};
use super::socket::Socket;

/// How a flush went.
#[derive(Debug, Default)]
pub(super) struct Flushed {
    /// There is more to write right away.
    pub more: bool,
    /// The connection is broken.
    pub broken: bool,
    /// Pages it needs.
    pub wanted: Vec<(ConversationId, u64)>,
    /// Conversations it has caught up with.
    pub caught_up: Vec<ConversationId>,
    /// Subscriptions whose last entry is written.
    pub ended: Vec<ConversationId>,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Partial,
    Control,
    Entry(ConversationId),
}

/// Writes what one vectored write takes.
pub(super) fn flush(
    socket: &mut Socket,
    rows: &HashMap<ConversationId, Row>,
    now_ms: u64,
) -> Flushed {
    let mut flushed = Flushed::default();
    let parts = collect(socket, rows, &mut flushed);
    if !parts.is_empty() {
        write(socket, &parts, now_ms, &mut flushed);
    }
    settle(socket, rows, &mut flushed);
    let more = socket.partial.is_some() || !socket.control.is_empty() || !socket.dirty.is_empty();
    flushed.more = more && socket.blocked_ms.is_none();
    flushed
}

fn collect(
    socket: &Socket,
    rows: &HashMap<ConversationId, Row>,
    flushed: &mut Flushed,
) -> Vec<(Bytes, Part)> {
    let mut parts: Vec<(Bytes, Part)> = Vec::new();
    parts.extend(socket.partial.clone().map(|frame| (frame, Part::Partial)));
    let room = VECTORED_FRAMES_MAX - parts.len();
    parts.extend(
        socket
            .control
            .iter()
            .take(room)
            .map(|frame| (frame.clone(), Part::Control)),
    );
    for conversation in &socket.dirty {
        let (Some(row), Some(subscription)) = (
            rows.get(conversation),
            socket.subscriptions.get(conversation),
        ) else {
            continue;
        };
        let last = subscription
            .end_seq
            .map_or(row.head, |end| end.min(row.head));
        let mut seq = subscription.next_seq;
        while seq <= last && parts.len() < VECTORED_FRAMES_MAX {
            let Some(frame) = row.frame(seq) else {
                // Only what the next write needs: a page in reserve for a
                // slow reader would be held for nothing.
                if seq == subscription.next_seq {
                    flushed.wanted.push((*conversation, page_of(seq)));
                }
                break;
            };
            parts.push((frame, Part::Entry(*conversation)));
            seq += 1;
        }
        if parts.len() >= VECTORED_FRAMES_MAX {
            break;
        }
    }
    parts
}

fn write(socket: &mut Socket, parts: &[(Bytes, Part)], now_ms: u64, flushed: &mut Flushed) {
    let slices: Vec<IoSlice<'_>> = parts.iter().map(|(frame, _)| IoSlice::new(frame)).collect();
    match socket.wire.try_write_vectored(&slices) {
        Ok(written) => {
            socket.blocked_ms = None;
            taken(socket, parts, written);
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            let waker = socket.waker.clone();
            match socket.wire.poll_writable(&mut Context::from_waker(&waker)) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => flushed.broken = true,
                Poll::Pending => {
                    socket.blocked_ms.get_or_insert(now_ms);
                }
            }
        }
        Err(error) if error.kind() == ErrorKind::Interrupted => {}
        Err(_) => flushed.broken = true,
    }
}

/// The kernel took `written` bytes of these parts.
fn taken(socket: &mut Socket, parts: &[(Bytes, Part)], mut written: usize) {
    for (frame, part) in parts {
        if written == 0 {
            return;
        }
        match part {
            Part::Partial => socket.partial = None,
            Part::Control => socket.pop_control(),
            Part::Entry(conversation) => {
                if let Some(subscription) = socket.subscriptions.get_mut(conversation) {
                    subscription.next_seq += 1;
                }
            }
        }
        if written < frame.len() {
            socket.partial = Some(frame.slice(written..));
            return;
        }
        written -= frame.len();
    }
}

/// Takes conversations off the dirty list that need no write at present.
fn settle(socket: &mut Socket, rows: &HashMap<ConversationId, Row>, flushed: &mut Flushed) {
    let subscriptions = &mut socket.subscriptions;
    socket.dirty.retain(|conversation| {
        let (Some(row), Some(subscription)) =
            (rows.get(conversation), subscriptions.get_mut(conversation))
        else {
            return false;
        };
        let ended = subscription
            .end_seq
            .is_some_and(|end| subscription.next_seq > end);
        let caught_up = subscription.next_seq > row.head;
        let waits = flushed
            .wanted
            .iter()
            .any(|(wanted, _)| wanted == conversation);
        if ended {
            flushed.ended.push(*conversation);
        } else if caught_up && subscription.behind {
            subscription.behind = false;
            flushed.caught_up.push(*conversation);
        }
        let stays = !ended && !caught_up && !waits;
        subscription.listed = stays;
        stays
    });
}
