//! `/conversations/:id/participants`: who is in it, and as what.

use fanfare_protocol::command::{Command, RemoveParticipant, UpdateParticipant};
use fanfare_protocol::rest::{Meta, NewRole};
use fanfare_protocol::{ConversationId, Refusal, UserId};
use warp::Filter as _;
use warp::path;

use super::Answered;
use super::answer::{nothing, ok, page};
use super::ask::{Ask, Asks, Group, for_user, id, v1};
use super::conversations::changed;

pub(super) fn routes(asks: &Asks) -> Group {
    let list = v1()
        .and(path!("conversations" / String / "participants"))
        .and(warp::get())
        .and(asks.ask_with(&["limit", "cursor"]))
        .then(|room: String, ask| {
            for_user(ask, |ask, caller| async move {
                list(ask, caller.user, &room).await
            })
        });
    let add = v1()
        .and(path!("conversations" / String / "participants"))
        .and(warp::post())
        .and(asks.ask())
        .then(|room: String, ask| {
            for_user(ask, |ask, caller| async move {
                let room = id(&room, "conversation")?;
                ask.submit(caller.user, room, Command::AddParticipants(ask.body()?))
                    .await?;
                changed(&ask, caller.user, room).await
            })
        });
    let update = v1()
        .and(path!("conversations" / String / "participants" / String))
        .and(warp::patch())
        .and(asks.ask())
        .then(|room: String, user: String, ask| {
            for_user(ask, |ask, caller| async move {
                update(ask, caller.user, &room, &user).await
            })
        });
    let remove = v1()
        .and(path!("conversations" / String / "participants" / String))
        .and(warp::delete())
        .and(asks.ask())
        .then(|room: String, user: String, ask| {
            for_user(ask, |ask, caller| async move {
                let command = RemoveParticipant {
                    user: id(&user, "user")?,
                };
                let room = id(&room, "conversation")?;
                ask.submit(caller.user, room, Command::RemoveParticipant(command))
                    .await?;
                nothing()
            })
        });
    list.or(add)
        .unify()
        .or(update)
        .unify()
        .or(remove)
        .unify()
        .boxed()
}

async fn list(ask: Ask, caller: UserId, room: &str) -> Result<Answered, Refusal> {
    let room: ConversationId = id(room, "conversation")?;
    let listed = ask
        .gateway
        .participants(caller, room, ask.number("limit")?, ask.parameter("cursor"))
        .await?;
    let meta = Meta {
        next_cursor: listed.next_cursor,
        ..Meta::default()
    };
    page(listed.participants, meta)
}

async fn update(ask: Ask, caller: UserId, room: &str, user: &str) -> Result<Answered, Refusal> {
    let room: ConversationId = id(room, "conversation")?;
    let user: UserId = id(user, "user")?;
    let NewRole { role } = ask.body()?;
    ask.submit(
        caller,
        room,
        Command::UpdateParticipant(UpdateParticipant { user, role }),
    )
    .await?;
    ok(ask.gateway.participant(caller, room, user).await?)
}
