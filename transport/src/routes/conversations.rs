//! `/conversations`: create, list, look, change, end; join, leave, read.

use fanfare_protocol::command::{Command, CreateConversation, MoveMark};
use fanfare_protocol::mark::MarkKind;
use fanfare_protocol::reply::Reply;
use fanfare_protocol::rest::{Meta, ReadUpTo};
use fanfare_protocol::{ConversationId, Refusal};
use warp::Filter as _;
use warp::path;

use super::Answered;
use super::answer::{created, nothing, ok, page};
use super::ask::{Ask, Asks, Group, handle, id, number, v1};

pub(super) fn routes(asks: &Asks) -> Group {
    let create = v1()
        .and(path!("conversations"))
        .and(warp::post())
        .and(asks.ask())
        .then(|ask| {
            handle(ask, |ask| async move {
                let (user, key) = (ask.user()?, ask.key()?);
                let asked: CreateConversation = ask.body()?;
                let done = ask.gateway.create(user, asked, key).await?;
                created(done.conversation, done.existed)
            })
        });
    let list = v1()
        .and(path!("conversations"))
        .and(warp::get())
        .and(asks.ask())
        .then(|ask| handle(ask, list));
    let by_slug = v1()
        .and(path!("conversations" / "by-slug" / String))
        .and(warp::get())
        .and(asks.ask())
        .then(|slug: String, ask| {
            handle(ask, |ask| async move {
                ok(ask
                    .gateway
                    .public_conversation_by_slug(ask.user()?, &slug)
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
            handle(ask, |ask| async move {
                let room = id(&room, "conversation")?;
                seen(&ask, room).await
            })
        });
    let patch = v1()
        .and(path!("conversations" / String))
        .and(warp::patch())
        .and(asks.ask())
        .then(|room: String, ask| {
            handle(ask, |ask| async move {
                ask.user()?;
                let room = id(&room, "conversation")?;
                ask.submit(room, Command::UpdateConversation(ask.body()?))
                    .await?;
                seen(&ask, room).await
            })
        });
    let delete = v1()
        .and(path!("conversations" / String))
        .and(warp::delete())
        .and(asks.ask())
        .then(|room: String, ask| {
            handle(ask, |ask| async move {
                ask.user()?;
                let room = id(&room, "conversation")?;
                ask.submit(room, Command::DeleteConversation).await?;
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
            handle(ask, |ask| async move {
                ask.user()?;
                let room = id(&room, "conversation")?;
                ask.submit(room, Command::Join).await?;
                seen(&ask, room).await
            })
        });
    let leave = v1()
        .and(path!("conversations" / String / "leave"))
        .and(warp::post())
        .and(asks.ask())
        .then(|room: String, ask| {
            handle(ask, |ask| async move {
                ask.user()?;
                ask.submit(id(&room, "conversation")?, Command::Leave)
                    .await?;
                nothing()
            })
        });
    let read = v1()
        .and(path!("conversations" / String / "read"))
        .and(warp::post())
        .and(asks.ask())
        .then(|room: String, ask| {
            handle(ask, |ask| async move {
                let user = ask.user()?;
                let conversation = id(&room, "conversation")?;
                let ReadUpTo { seq } = ask.body()?;
                let asked = MoveMark {
                    conversation,
                    kind: MarkKind::Read,
                    seq,
                };
                let read_seq = ask.gateway.mark(user, asked).await?;
                ok(Reply::Read {
                    conversation,
                    read_seq,
                })
            })
        });
    join.or(leave).unify().or(read).unify().boxed()
}

async fn list(ask: Ask) -> Result<Answered, Refusal> {
    let user = ask.user()?;
    let [limit, cursor] = ask.query(["limit", "cursor"])?;
    let listed = ask
        .gateway
        .conversations(user, number("limit", limit)?, cursor)
        .await?;
    let meta = Meta {
        next_cursor: listed.next_cursor,
        ..Meta::default()
    };
    page(listed.conversations, meta)
}

/// A conversation as whoever asks sees it now.
pub(super) async fn seen(ask: &Ask, room: ConversationId) -> Result<Answered, Refusal> {
    ok(ask.gateway.conversation(ask.user()?, room).await?)
}
