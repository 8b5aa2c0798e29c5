//! A response body as a wire: what a shard writes waits in a bounded queue
//! until the HTTP connection takes it, all at once. An empty queue holds no
//! memory.

use std::io::{self, ErrorKind, IoSlice};
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use parking_lot::Mutex;

/// The shard's end.
#[derive(Debug, Clone)]
pub struct BodyWriter(Arc<Mutex<Queue>>);

/// The HTTP connection's end; dropped, nothing can be written any more.
#[derive(Debug)]
pub struct BodyReader(Arc<Mutex<Queue>>);

/// The body ended before everything was taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stream was cut off")]
pub struct CutOff;

#[derive(Debug)]
struct Queue {
    bytes: BytesMut,
    bytes_max: usize,
    end: End,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    /// Not yet.
    Open,
    /// Behind what waits.
    Finished,
    /// At once.
    Cut,
}

/// A body of which at most `bytes_max` wait to be taken.
pub fn body(bytes_max: usize) -> (BodyWriter, BodyReader) {
    let queue = Arc::new(Mutex::new(Queue {
        bytes: BytesMut::new(),
        bytes_max,
        end: End::Open,
        reader: None,
        writer: None,
    }));
    (BodyWriter(Arc::clone(&queue)), BodyReader(queue))
}

impl BodyWriter {
    /// Queues what fits.
    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let mut queue = self.0.lock();
        if queue.end != End::Open {
            return Err(ErrorKind::BrokenPipe.into());
        }
        let wanted: usize = slices.iter().map(|slice| slice.len()).sum();
        let room = queue.bytes_max.saturating_sub(queue.bytes.len());
        let taken = wanted.min(room);
        if taken == 0 && wanted > 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        queue.bytes.reserve(taken);
        let mut left = taken;
        for slice in slices {
            let part = slice.get(..left).unwrap_or(slice);
            queue.bytes.extend_from_slice(part);
            left -= part.len();
        }
        let reader = queue.reader.take();
        drop(queue);
        wake(reader);
        Ok(taken)
    }

    /// Whether there is room; else the waker is woken once there is.
    pub(super) fn poll_writable(&self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut queue = self.0.lock();
        if queue.end == End::Open && queue.bytes.len() >= queue.bytes_max {
            queue.writer = Some(context.waker().clone());
            return Poll::Pending;
        }
        Poll::Ready(Ok(()))
    }

    /// Ends the body behind what waits.
    pub(super) fn finish(&self) {
        let mut queue = self.0.lock();
        if queue.end == End::Open {
            queue.end = End::Finished;
            let reader = queue.reader.take();
            drop(queue);
            wake(reader);
        }
    }

    /// Drops what waits; who reads sees that something is missing.
    pub(super) fn abort(&self) {
        cut(&self.0);
    }
}

impl BodyReader {
    /// Everything that waits; `None` at the end.
    pub(crate) fn poll_take(&self, context: &Context<'_>) -> Poll<Option<Result<Bytes, CutOff>>> {
        let mut queue = self.0.lock();
        if !queue.bytes.is_empty() {
            let taken = std::mem::take(&mut queue.bytes).freeze();
            let writer = queue.writer.take();
            drop(queue);
            wake(writer);
            return Poll::Ready(Some(Ok(taken)));
        }
        match queue.end {
            End::Open => {
                queue.reader = Some(context.waker().clone());
                Poll::Pending
            }
            End::Finished => Poll::Ready(None),
            End::Cut => Poll::Ready(Some(Err(CutOff))),
        }
    }

    /// Whether it was cut off already.
    pub(crate) fn is_cut(&self) -> bool {
        self.0.lock().end == End::Cut
    }
}

impl Drop for BodyReader {
    fn drop(&mut self) {
        cut(&self.0);
    }
}

fn cut(queue: &Mutex<Queue>) {
    let mut queue = queue.lock();
    // A whole body that was taken stays whole.
    if queue.end != End::Finished || !queue.bytes.is_empty() {
        queue.end = End::Cut;
        queue.bytes = BytesMut::new();
    }
    let (reader, writer) = (queue.reader.take(), queue.writer.take());
    drop(queue);
    wake(reader);
    wake(writer);
}

/// Never under the lock: what a waker drops may be the other end.
fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    impl Woken {
        fn count(&self) -> usize {
            self.0.load(Ordering::Relaxed)
        }
    }

    fn woken() -> (Arc<Woken>, Waker) {
        let woken = Arc::new(Woken::default());
        (Arc::clone(&woken), Waker::from(woken))
    }

    fn write(writer: &BodyWriter, parts: &[&[u8]]) -> io::Result<usize> {
        let slices: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        writer.try_write_vectored(&slices)
    }

    #[test]
    fn partial_writes_keep_every_byte_in_order() {
        let (writer, reader) = body(7);
        let mut context = Context::from_waker(Waker::noop());
        let sent: Vec<u8> = (0..=255).collect();
        let (mut at, mut got) = (0, Vec::new());
        // Slices of every length against a queue that fits none of them.
        while got.len() < sent.len() {
            let rest = &sent[at..];
            let first = &rest[..rest.len().min(at % 5)];
            let second = &rest[first.len()..rest.len().min(first.len() + 1 + at % 11)];
            match write(&writer, &[first, b"", second]) {
                Ok(taken) => at += taken,
                Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
            }
            if writer.poll_writable(&mut context).is_pending() || at == sent.len() {
                let Poll::Ready(Some(Ok(bytes))) = reader.poll_take(&context) else {
                    panic!("something waits");
                };
                assert!(bytes.len() <= 7);
                got.extend_from_slice(&bytes);
            }
        }
        assert_eq!(got, sent);
        assert!(reader.poll_take(&context).is_pending());
    }

    #[test]
    fn each_end_wakes_the_other() {
        let (writer, reader) = body(2);
        let (reads, read_waker) = woken();
        let (writes, write_waker) = woken();
        assert!(
            reader
                .poll_take(&Context::from_waker(&read_waker))
                .is_pending()
        );
        assert_eq!(write(&writer, &[b"abc"]).unwrap(), 2);
        assert_eq!(reads.count(), 1);
        assert_eq!(
            write(&writer, &[b"c"]).unwrap_err().kind(),
            ErrorKind::WouldBlock
        );
        let mut context = Context::from_waker(&write_waker);
        assert!(writer.poll_writable(&mut context).is_pending());
        assert_eq!(writes.count(), 0);
        let taken = reader.poll_take(&Context::from_waker(&read_waker));
        assert_eq!(taken, Poll::Ready(Some(Ok(Bytes::from_static(b"ab")))));
        assert_eq!(writes.count(), 1);
        assert!(writer.poll_writable(&mut context).is_ready());
    }

    #[test]
    fn an_end_comes_behind_what_waits_and_a_cut_at_once() {
        let context = Context::from_waker(Waker::noop());
        let (writer, reader) = body(10);
        write(&writer, &[b"last"]).unwrap();
        writer.finish();
        assert_eq!(
            write(&writer, &[b"more"]).unwrap_err().kind(),
            ErrorKind::BrokenPipe
        );
        let last = Poll::Ready(Some(Ok(Bytes::from_static(b"last"))));
        assert_eq!(reader.poll_take(&context), last);
        writer.abort();
        assert_eq!(reader.poll_take(&context), Poll::Ready(None));

        let (writer, reader) = body(10);
        write(&writer, &[b"lost"]).unwrap();
        writer.finish();
        writer.abort();
        assert_eq!(reader.poll_take(&context), Poll::Ready(Some(Err(CutOff))));
    }

    #[test]
    fn a_reader_that_goes_breaks_the_wire_and_wakes_who_waits() {
        let (writer, reader) = body(1);
        write(&writer, &[b"a"]).unwrap();
        let (writes, waker) = woken();
        assert!(
            writer
                .poll_writable(&mut Context::from_waker(&waker))
                .is_pending()
        );
        drop(reader);
        assert_eq!(writes.count(), 1);
        let error = write(&writer, &[b"b"]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::BrokenPipe);
    }
}
