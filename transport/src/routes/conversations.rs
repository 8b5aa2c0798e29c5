//! `/conversations`: create, list, look, change, end; join, leave, read.

use fanfare_actors::account::Identity;
use fanfare_protocol::command::{Command, CreateConversation, MoveMark};
use fanfare_protocol::mark::MarkKind;
use fanfare_protocol::reply::Reply;
use fanfare_protocol::rest::{Meta, ReadUpTo};
use fanfare_protocol::{ConversationId, Refusal, UserId};
use warp::Filter as _;
use warp::path;

use super::Answered;
use super::answer::{created, nothing, ok, page};
use super::ask::{Ask, Asks, Group, for_user, id, v1};

pub(super) fn routes(asks: &Asks) -> Group {
    let create = v1()
        .and(path!("conversations"))
        .and(warp::post())
        .and(asks.ask())
        .then(|ask| {
            for_user(ask, |ask, caller| async move {
                let key = ask.key()?;
                let asked: CreateConversation = ask.body()?;
                let done = ask.gateway.create(caller.user, asked, key).await?;
                created(done.conversation, done.existed)
            })
        });
    let list = v1()
        .and(path!("conversations"))
        .and(warp::get())
        .and(asks.ask_with(&["limit", "cursor"]))
        .then(|ask| for_user(ask, list));
    let by_slug = v1()
        .and(path!("conversations" / "by-slug" / String))
        .and(warp::get())
        .and(asks.ask())
        .then(|slug: String, ask| {
            for_user(ask, |ask, caller| async move {
                ok(ask
                    .gateway
                    .public_conversation_by_slug(caller.user, &slug)
                    .await?)
            })
        });
    create
        .or(list)
        .unify()
        .or(by_slug)
        .unify()
        .or(one(asks))
        .unify()
        .or(membership(asks))
        .unify()
        .boxed()
}

fn one(asks: &Asks) -> Group {
    let get = v1()
        .and(path!("conversations" / String))
        .and(warp::get())
        .and(asks.ask())
        .then(|room: String, ask| {
            for_user(ask, |ask, caller| async move {
                let room = id(&room, "conversation")?;
                seen(&ask, caller.user, room).await
            })
        });
    let patch = v1()
        .and(path!("conversations" / String))
        .and(warp::patch())
        .and(asks.ask())
        .then(|room: String, ask| {
            for_user(ask, |ask, caller| async move {
                let room = id(&room, "conversation")?;
                ask.submit(caller.user, room, Command::UpdateConversation(ask.body()?))
                    .await?;
                changed(&ask, caller.user, room).await
            })
        });
    let delete = v1()
        .and(path!("conversations" / String))
        .and(warp::delete())
        .and(asks.ask())
        .then(|room: String, ask| {
            for_user(ask, |ask, caller| async move {
                let room = id(&room, "conversation")?;
                ask.submit(caller.user, room, Command::DeleteConversation)
                    .await?;
                nothing()
            })
        });
    get.or(patch).unify().or(delete).unify().boxed()
}

fn membership(asks: &Asks) -> Group {
    let join = v1()
        .and(path!("conversations" / String / "join"))
        .and(warp::post())
        .and(asks.ask())
        .then(|room: String, ask| {
            for_user(ask, |ask, caller| async move {
                let room = id(&room, "conversation")?;
                ask.submit(caller.user, room, Command::Join).await?;
                changed(&ask, caller.user, room).await
            })
        });
    let leave = v1()
        .and(path!("conversations" / String / "leave"))
        .and(warp::post())
        .and(asks.ask())
        .then(|room: String, ask| {
            for_user(ask, |ask, caller| async move {
                ask.submit(caller.user, id(&room, "conversation")?, Command::Leave)
                    .await?;
                nothing()
            })
        });
    let read = v1()
        .and(path!("conversations" / String / "read"))
        .and(warp::post())
        .and(asks.ask())
        .then(|room: String, ask| {
            for_user(ask, |ask, caller| async move {
                let conversation = id(&room, "conversation")?;
                let ReadUpTo { seq } = ask.body()?;
                let asked = MoveMark {
                    conversation,
                    kind: MarkKind::Read,
                    seq,
                };
                let read_seq = ask.gateway.mark(caller.user, asked).await?;
                ok(Reply::Read {
                    conversation,
                    read_seq,
                })
            })
        });
    join.or(leave).unify().or(read).unify().boxed()
}

async fn list(ask: Ask, caller: Identity) -> Result<Answered, Refusal> {
    let listed = ask
        .gateway
        .conversations(caller.user, ask.number("limit")?, ask.parameter("cursor"))
        .await?;
    let meta = Meta {
        next_cursor: listed.next_cursor,
        ..Meta::default()
    };
    page(listed.conversations, meta)
}

/// A conversation as whoever asks sees it now.
async fn seen(ask: &Ask, user: UserId, room: ConversationId) -> Result<Answered, Refusal> {
    ok(ask.gateway.conversation(user, room).await?)
}

/// The same behind a command that was just accepted.
pub(super) async fn changed(
    ask: &Ask,
    user: UserId,
    room: ConversationId,
) -> Result<Answered, Refusal> {
    ok(ask.gateway.changed_conversation(user, room).await?)
}
