//! `/session`: for clients without WebSocket. Frames come by POST, the
//! server's go down one long answer.

use fanfare_protocol::frame::Hello;
use fanfare_protocol::{Code, Refusal};
use warp::{Filter as _, path};

use super::answer::{accepted, created, events};
use super::ask::{Asks, Group, for_anyone, for_user, for_user_unread, v1};
use crate::accept::ConnectionGuard;

pub(super) fn routes(asks: &Asks) -> Group {
    let begin = v1()
        .and(path!("session"))
        .and(warp::post())
        .and(asks.ask())
        .then(|asked| {
            for_user(asked, |ask, caller| async move {
                let (codec, data) = ask.encoded()?;
                let hello = Hello::decode(codec, data)?;
                let begun = ask
                    .gateway
                    .begin_event_session(caller, ask.address, hello, data.len())
                    .await?;
                created(begun, false)
            })
        });
    let stream = v1()
        .and(path!("session" / "events"))
        .and(warp::get())
        .and(asks.ask_with(&["ticket"]))
        .and(warp::ext::get::<ConnectionGuard>())
        .then(|asked, guard: ConnectionGuard| {
            for_anyone(asked, |ask| async move {
                let none = || Refusal::new(Code::Unauthenticated, "no ticket");
                let ticket = ask.parameter("ticket").ok_or_else(none)?;
                Ok(events(ask.gateway.event_stream(&ticket)?, guard))
            })
        });
    let frames = v1()
        .and(path!("session" / String / "frames"))
        .and(warp::post())
        .and(asks.ask())
        .then(|id: String, asked| {
            for_user_unread(asked, |asked, caller| async move {
                let session = asked.gateway().event_session(caller.user, &id)?;
                let _turn = session.turn()?;
                let ask = asked.whole().await;
                let (codec, frame) = ask.encoded()?;
                session.say(codec, frame).await?;
                accepted()
            })
        });
    begin.or(stream).unify().or(frames).unify().boxed()
}
