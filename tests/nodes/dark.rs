//! Two of three CQL servers dead: what is asked is refused for the time being, soon; the
//! engine says that it is unready, and why; and all is well soon after they are back.

use std::fmt;
use std::time::{Duration, Instant};

use serde_json::json;

use super::outage::Show;
use crate::harness::{Refusal, SOON, Socket, eventually, new_key};

/// Within this everything is answered.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Within this of the second server's return all is well.
const WELL_WITHIN: Duration = Duration::from_secs(15);
/// What a test adds to either, on a machine that starts servers meanwhile.
const SLACK: Duration = Duration::from_millis(500);

/// What was seen.
pub struct Dark {
    answers: Vec<(&'static str, Duration, Result<(), Refusal>)>,
    /// From the deaths to an unready engine, and its reason.
    unready: (Duration, String),
    /// From the second server's answering to a ready engine, and to an
    /// acknowledgement.
    ready: Duration,
    acknowledged: Duration,
}

/// Kills two servers, asks for things, starts them again.
pub async fn two_of_three(show: &Show) -> Dark {
    let [guest, ..] = &show.stage.guests[..] else {
        panic!("guests")
    };
    let room = guest.group(&[&show.stage.owner]).await;
    let socket = guest.connect(&show.stage.server).await;
    let mut dark = Dark {
        answers: Vec::new(),
        unready: (Duration::ZERO, String::new()),
        ready: Duration::ZERO,
        acknowledged: Duration::ZERO,
    };
    for server in [1, 2] {
        show.cluster.signal(server, "-KILL");
    }
    let dead = Instant::now();
    show.phase("dark: two of three dead", async {
        for _ in 0..4 {
            dark.asks(show, &socket, &room).await;
        }
        let reason = eventually("an unready engine", SOON, async || {
            let (status, body) = show.readiness().await;
            (status == 503).then_some(body)
        })
        .await;
        dark.unready = (dead.elapsed(), reason);
        dark.asks(show, &socket, &room).await;
    })
    .await;
    show.phase("dark: one more answers", async {
        let starting = show.servers_start();
        let patience = Duration::from_secs(120);
        let back = eventually("a second server", patience, async || {
            show.cluster.answers(1).then(Instant::now)
        })
        .await;
        dark.is_well_again(show, &socket, &room, back).await;
        starting.await.unwrap();
    })
    .await;
    dark
}

impl Show {
    /// Status and body of `/readyz`.
    async fn readiness(&self) -> (u16, String) {
        let answer = self
            .stage
            .server
            .rest()
            .try_raw("GET", "/readyz", &[], None)
            .await;
        let answer = answer.unwrap();
        (
            answer.status,
            String::from_utf8_lossy(&answer.body).into_owned(),
        )
    }
}

impl Dark {
    /// Sends over the socket and over REST.
    async fn asks(&mut self, show: &Show, socket: &Socket, room: &str) {
        let asked = Instant::now();
        let said = socket.say(room, "is anybody there?").await;
        self.answers
            .push(("socket", asked.elapsed(), said.map(drop)));
        let (guest, asked) = (&show.stage.guests[0], Instant::now());
        let text = json!({"text": "is anybody there, by REST?"});
        let said = guest.say_as(room, &new_key(), text).await;
        self.answers.push(("REST", asked.elapsed(), said.map(drop)));
    }

    async fn is_well_again(&mut self, show: &Show, socket: &Socket, room: &str, back: Instant) {
        let well = async {
            eventually("a ready engine", WELL_WITHIN * 4, async || {
                (show.readiness().await.0 == 200).then_some(())
            })
            .await;
            back.elapsed()
        };
        let spoken = async {
            eventually("an acknowledgement", WELL_WITHIN * 4, async || {
                socket.say(room, "who is back?").await.ok()
            })
            .await;
            back.elapsed()
        };
        (self.ready, self.acknowledged) = tokio::join!(well, spoken);
    }

    /// Judges it, once everything was printed.
    pub fn judged(&self) {
        for (how, took, answer) in &self.answers {
            let code = answer
                .as_ref()
                .map_or_else(|refusal| refusal.code.as_str(), |()| "ok");
            let typed = ["unavailable", "outcome_unknown"].contains(&code);
            assert!(
                typed && *took <= ANSWER_WITHIN + SLACK,
                "{how}: {code} after {took:?}"
            );
        }
        assert!(!self.unready.1.is_empty(), "unready for no reason");
        for took in [self.ready, self.acknowledged] {
            assert!(took <= WELL_WITHIN + SLACK, "{took:?} until all was well");
        }
    }
}

impl fmt::Display for Dark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (how, took, answer) in &self.answers {
            let code = answer
                .as_ref()
                .map_or_else(|refusal| refusal.code.as_str(), |()| "ok");
            writeln!(f, "two dead, {how}: {code} after {} ms", took.as_millis())?;
        }
        let (unready, reason) = &self.unready;
        writeln!(
            f,
            "unready {} ms after the deaths: {reason}",
            unready.as_millis()
        )?;
        let (ready, acked) = (self.ready.as_millis(), self.acknowledged.as_millis());
        write!(
            f,
            "second server back: ready after {ready} ms, acknowledged after {acked} ms"
        )
    }
}
