//! Writing one socket: control frames first, then everything of its dirty
//! conversations, in one vectored write. Nothing is copied and nothing
//! allocated unless the kernel takes less than there is.

use std::io::{ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use fanfare_protocol::limits::VECTORED_SLICES_MAX;
use slab::Slab;
use smallvec::SmallVec;

use super::conversation::Row;
use super::format::Feed;
use super::ring::{Held, page_of};
use super::socket::{Socket, SocketWaker, Writable};
use crate::clock::monotonic_ms;

/// How a flush went; one is used again and again.
#[derive(Debug, Default)]
pub(super) struct Flushed {
    /// The connection is broken.
    pub broken: bool,
    /// Entries that were begun to be written.
    pub entries: u64,
    /// Bytes the kernel took.
    pub bytes: usize,
    /// Ring bytes that nobody needs any more.
    pub freed_bytes: usize,
    /// Pages to ask for.
    pub fetch: Vec<(Feed, u64)>,
    /// Rows of subscriptions whose last entry is written.
    pub ended: Vec<u32>,
    /// Empty rings, for the next row that needs one.
    #[expect(clippy::vec_box, reason = "they go back into rows as they are")]
    pub spare: Vec<Box<Held>>,
}

#[derive(Debug, Clone, Copy)]
enum Part {
    Partial,
    Control,
    Entries { slot: u32, from: u64, to: u64 },
}

type Parts = SmallVec<[(Part, usize); VECTORED_SLICES_MAX]>;

/// Writes what one vectored write takes.
pub(super) fn flush(
    key: u32,
    socket: &mut Socket,
    rows: &mut Slab<Row>,
    writable: &Arc<Writable>,
    flushed: &mut Flushed,
) {
    let mut parts = Parts::new();
    let written = {
        let mut slices: SmallVec<[IoSlice<'_>; VECTORED_SLICES_MAX]> = SmallVec::new();
        collect(socket, rows, &mut slices, &mut parts);
        (!slices.is_empty()).then(|| socket.wire.try_write_vectored(&slices))
    };
    match written {
        None => {}
        Some(Ok(written)) => {
            socket.blocked_ms = None;
            flushed.bytes += written;
            taken(socket, rows, &parts, written, flushed);
        }
        Some(Err(error)) if error.kind() == ErrorKind::WouldBlock => {
            block(key, socket, writable, flushed);
        }
        Some(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
        Some(Err(_)) => flushed.broken = true,
    }
    settle(key, socket, rows, flushed);
}

fn collect<'a>(
    socket: &'a Socket,
    rows: &'a Slab<Row>,
    slices: &mut SmallVec<[IoSlice<'a>; VECTORED_SLICES_MAX]>,
    parts: &mut Parts,
) {
    if let Some(partial) = &socket.partial {
        slices.push(IoSlice::new(partial));
        parts.push((Part::Partial, partial.len()));
    }
    for frame in socket
        .control
        .iter()
        .take(VECTORED_SLICES_MAX - slices.len())
    {
        slices.push(IoSlice::new(frame));
        parts.push((Part::Control, frame.len()));
    }
    for slot in &socket.dirty {
        let Some(subscription) = socket.subscriptions.get(*slot as usize) else {
            continue;
        };
        let Some(row) = rows.get(subscription.row as usize) else {
            continue;
        };
        let last = subscription.last(row.head);
        let mut from = subscription.next_seq;
        while from <= last && slices.len() < VECTORED_SLICES_MAX {
            let Some(run) = row.run(from) else { break };
            let to = last.min(run.next_seq() - 1);
            let frames = run.frames(from, to);
            slices.push(IoSlice::new(frames));
            let slot = *slot;
            parts.push((Part::Entries { slot, from, to }, frames.len()));
            from = to + 1;
        }
        if slices.len() == VECTORED_SLICES_MAX {
            return;
        }
    }
}

fn block(key: u32, socket: &mut Socket, writable: &Arc<Writable>, flushed: &mut Flushed) {
    let serial = socket.serial;
    let waker = socket.waker.get_or_insert_with(|| {
        let writable = Arc::clone(writable);
        Waker::from(Arc::new(SocketWaker {
            key,
            serial,
            writable,
        }))
    });
    match socket.wire.poll_writable(&mut Context::from_waker(waker)) {
        Poll::Ready(Ok(())) => {}
        Poll::Ready(Err(_)) => flushed.broken = true,
        Poll::Pending => {
            socket.blocked_ms.get_or_insert_with(monotonic_ms);
        }
    }
}

/// The kernel took `written` bytes of these parts.
fn taken(
    socket: &mut Socket,
    rows: &Slab<Row>,
    parts: &Parts,
    mut written: usize,
    flushed: &mut Flushed,
) {
    for (part, length) in parts {
        if written == 0 {
            return;
        }
        let whole = written >= *length;
        match *part {
            Part::Partial if whole => socket.partial = None,
            Part::Partial => {
                let partial = socket.partial.as_mut();
                partial
                    .into_iter()
                    .for_each(|rest| *rest = rest.slice(written..));
            }
            Part::Control => {
                let frame = socket.control.front();
                let rest = frame.filter(|_| !whole).map(|frame| frame.slice(written..));
                socket.pop_control();
                socket.partial = socket.partial.take().or(rest);
            }
            Part::Entries { slot, from, to } => {
                let Some(subscription) = socket.subscriptions.get_mut(slot as usize) else {
                    return;
                };
                let (next_seq, rest) = if whole {
                    (to + 1, None)
                } else {
                    let run = rows
                        .get(subscription.row as usize)
                        .and_then(|row| row.run(from));
                    run.map_or((from, None), |run| run.cut(from, written))
                };
                subscription.next_seq = next_seq;
                flushed.entries += next_seq - from;
                socket.partial = socket.partial.take().or(rest);
            }
        }
        if !whole {
            return;
        }
        written -= length;
    }
}

/// Takes conversations off the dirty list that need no write at present.
fn settle(key: u32, socket: &mut Socket, rows: &mut Slab<Row>, flushed: &mut Flushed) {
    let subscriptions = &mut socket.subscriptions;
    socket.dirty.retain(|slot| {
        let Some(subscription) = subscriptions.get_mut(*slot as usize) else {
            return false;
        };
        let Some(row) = rows.get_mut(subscription.row as usize) else {
            return false;
        };
        let next_seq = subscription.next_seq;
        if subscription.has_ended() {
            flushed.ended.push(subscription.row);
        } else if next_seq > row.head {
            row.behind = row.behind.saturating_sub(u32::from(subscription.behind));
            subscription.behind = false;
            flushed.freed_bytes += row.settle();
            flushed.spare.extend(row.take_empty());
        } else if row.run(next_seq).is_none() {
            // Only what the next write needs: a page in reserve for a slow
            // reader would be held for nothing.
            subscription.waits = true;
            let page = page_of(next_seq);
            if row.held.get_or_insert_default().wait_for(page, key) {
                flushed.fetch.push((row.feed, page));
            }
        } else {
            return true;
        }
        subscription.listed = false;
        false
    });
}
