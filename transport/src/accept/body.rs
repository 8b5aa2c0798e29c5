//! A request body that has to keep coming: after a grace, a client that sends
//! slower than the least rate is cut off.

use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

/// How slow a body may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyPace {
    /// We wait this long for a client in all, and never longer in one go.
    pub grace: Duration,
    /// Each byte that arrives buys 1/rate seconds more. At least 1.
    pub bytes_per_s_min: u64,
}

/// Why a body did not arrive.
#[derive(Debug, thiserror::Error)]
pub enum BodyFailure {
    /// Slower than [`BodyPace`].
    #[error("request body is too slow")]
    TooSlow,
    /// Broken off, or not HTTP.
    #[error("request body is broken")]
    Broken(#[from] hyper::Error),
}

/// The body as the routes read it. Only time spent waiting for the client
/// counts, not time in which nobody reads.
#[derive(Debug)]
pub struct PacedBody<B = Incoming> {
    body: B,
    pace: BodyPace,
    /// How much longer we are ready to wait.
    credit: Duration,
    waiting: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl<B> PacedBody<B> {
    pub(crate) fn new(body: B, pace: BodyPace) -> Self {
        Self {
            body,
            pace,
            credit: pace.grace,
            waiting: None,
        }
    }

    /// Settles a wait that is over and credits what it brought.
    fn arrived(&mut self, bytes: usize) {
        let waited = self
            .waiting
            .take()
            .map_or(Duration::ZERO, |(since, _)| since.elapsed());
        let rate = self.pace.bytes_per_s_min.max(1);
        let micros = (bytes as u64).saturating_mul(1_000_000) / rate;
        let earned = self.credit.saturating_sub(waited) + Duration::from_micros(micros);
        self.credit = earned.min(self.pace.grace);
    }
}

impl<B> Body for PacedBody<B>
where
    B: Body<Data = Bytes> + Unpin,
    BodyFailure: From<B::Error>,
{
    type Data = Bytes;
    type Error = BodyFailure;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyFailure>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.body).poll_frame(context) {
            if let Some(Ok(frame)) = &frame {
                this.arrived(frame.data_ref().map_or(0, Bytes::len));
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyFailure::from)));
        }
        let credit = this.credit;
        let (_, timer) = this
            .waiting
            .get_or_insert_with(|| (Instant::now(), Box::pin(tokio::time::sleep(credit))));
        ready!(timer.as_mut().poll(context));
        metrics::counter!("fanfare_http_slow_bodies_total").increment(1);
        Poll::Ready(Some(Err(BodyFailure::TooSlow)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::{BodyExt, StreamBody};
    use tokio::sync::mpsc;

    use super::*;

    impl From<Infallible> for BodyFailure {
        fn from(never: Infallible) -> Self {
            match never {}
        }
    }

    const PACE: BodyPace = BodyPace {
        grace: Duration::from_secs(10),
        bytes_per_s_min: 1024,
    };

    fn channel() -> (
        mpsc::Sender<Bytes>,
        PacedBody<impl Body<Data = Bytes, Error = Infallible> + Unpin>,
    ) {
        let (sender, mut receiver) = mpsc::channel::<Bytes>(1);
        let frames = futures_util::stream::poll_fn(move |context| {
            let data = receiver.poll_recv(context);
            data.map(|data| data.map(|data| Ok(Frame::data(data))))
        });
        (sender, PacedBody::new(StreamBody::new(frames), PACE))
    }

    /// Sends `bytes` every `every`, `times` times, and says when reading ended.
    async fn send(bytes: usize, every: Duration, times: u32) -> (Duration, Result<usize, ()>) {
        let (sender, body) = channel();
        let start = Instant::now();
        tokio::spawn(async move {
            for _ in 0..times {
                tokio::time::sleep(every).await;
                if sender.send(vec![0; bytes].into()).await.is_err() {
                    return;
                }
            }
        });
        let read = body.collect().await;
        let outcome = read.map(|body| body.to_bytes().len()).map_err(|_| ());
        (start.elapsed(), outcome)
    }

    #[tokio::test(start_paused = true)]
    async fn a_steady_body_may_take_as_long_as_it_needs() {
        let (took, read) = send(1024, Duration::from_secs(1), 100).await;
        assert_eq!(read, Ok(102_400));
        assert_eq!(took.as_secs(), 100);
    }

    #[tokio::test(start_paused = true)]
    async fn a_trickle_is_cut_off_after_the_grace() {
        let (took, read) = send(1, Duration::from_secs(1), 100).await;
        assert_eq!(read, Err(()));
        assert_eq!(took.as_secs(), 10);
        let (took, read) = send(512, Duration::from_secs(1), 100).await;
        assert_eq!(read, Err(()));
        assert!((18..=22).contains(&took.as_secs()), "{took:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn speed_at_first_buys_no_long_silence() {
        let (took, read) = send(10_000_000, Duration::from_secs(11), 1).await;
        assert_eq!((took.as_secs(), read), (10, Err(())));
        let (sender, mut body) = channel();
        sender.send(vec![0; 10_000_000].into()).await.unwrap();
        body.frame().await.unwrap().unwrap();
        let start = Instant::now();
        assert!(body.frame().await.unwrap().is_err());
        assert_eq!(start.elapsed().as_secs(), 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_reader_of_ours_is_not_the_clients_fault() {
        let (sender, mut body) = channel();
        for _ in 0..3 {
            tokio::time::sleep(Duration::from_secs(60)).await;
            sender.send(Bytes::from_static(b"x")).await.unwrap();
            assert!(body.frame().await.unwrap().is_ok());
        }
    }
}
