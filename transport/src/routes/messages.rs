//! Messages: send, history, look, edit, delete, wordings, reactions.

use fanfare_actors::gateway::Page;
use fanfare_engine::room::Done;
use fanfare_protocol::command::{Command, DeleteMessage, EditMessage, React};
use fanfare_protocol::reply::Reply;
use fanfare_protocol::rest::{Meta, NewReaction, NewText};
use fanfare_protocol::{ConversationId, MessageId, Refusal, UserId};
use warp::Filter as _;
use warp::path;

use super::Answered;
use super::answer::{created, ok, page};
use super::ask::{Ask, Asks, Group, for_user, id, v1};

pub(super) fn routes(asks: &Asks) -> Group {
    let send = v1()
        .and(path!("conversations" / String / "messages"))
        .and(warp::post())
        .and(asks.ask())
        .then(|room: String, ask| {
            for_user(ask, |ask, caller| async move {
                let room = id(&room, "conversation")?;
                let accepted = ask
                    .submit(caller.user, room, Command::SendMessage(ask.body()?))
                    .await?;
                let repeated = accepted.repeated;
                match accepted.done {
                    Done::Message(message) => created(message, repeated),
                    done => created(Reply::from(done), repeated),
                }
            })
        });
    let history = v1()
        .and(path!("conversations" / String / "messages"))
        .and(warp::get())
        .and(asks.ask_with(&["before", "after", "around", "limit"]))
        .then(|room: String, ask| {
            for_user(ask, |ask, caller| async move {
                history(ask, caller.user, &room).await
            })
        });
    let versions = v1()
        .and(path!("messages" / String / "history"))
        .and(warp::get())
        .and(asks.ask())
        .then(|message: String, ask| {
            for_user(ask, |ask, caller| async move {
                ok(ask
                    .gateway
                    .versions(caller.user, id(&message, "message")?)
                    .await?)
            })
        });
    let reacted = v1()
        .and(path!("messages" / String / "reactions"))
        .and(warp::post())
        .and(asks.ask())
        .then(|message: String, ask| {
            for_user(ask, |ask, caller| async move {
                let NewReaction { emoji } = ask.body()?;
                react(ask, caller.user, &message, emoji, true).await
            })
        });
    let unreacted = v1()
        .and(path!("messages" / String / "reactions" / String))
        .and(warp::delete())
        .and(asks.ask())
        .then(|message: String, emoji: String, ask| {
            for_user(ask, |ask, caller| async move {
                react(ask, caller.user, &message, emoji, false).await
            })
        });
    send.or(history)
        .unify()
        .or(one(asks))
        .unify()
        .or(versions)
        .unify()
        .or(reacted)
        .unify()
        .or(unreacted)
        .unify()
        .boxed()
}

fn one(asks: &Asks) -> Group {
    let get = v1()
        .and(path!("messages" / String))
        .and(warp::get())
        .and(asks.ask())
        .then(|message: String, ask| {
            for_user(ask, |ask, caller| async move {
                let message = id(&message, "message")?;
                ok(ask.gateway.message(caller.user, message).await?)
            })
        });
    let edit = v1()
        .and(path!("messages" / String))
        .and(warp::patch())
        .and(asks.ask())
        .then(|message: String, ask| {
            for_user(ask, |ask, caller| async move {
                let message: MessageId = id(&message, "message")?;
                let NewText { text } = ask.body()?;
                let command = Command::EditMessage(EditMessage { message, text });
                let edited = ask.submit(caller.user, message.conversation, command);
                match edited.await?.done {
                    Done::Message(message) => ok(message),
                    done => ok(Reply::from(done)),
                }
            })
        });
    let delete = v1()
        .and(path!("messages" / String))
        .and(warp::delete())
        .and(asks.ask())
        .then(|message: String, ask| {
            for_user(ask, |ask, caller| async move {
                let message: MessageId = id(&message, "message")?;
                let command = Command::DeleteMessage(DeleteMessage { message });
                let deleted = ask.submit(caller.user, message.conversation, command);
                ok(Reply::from(deleted.await?.done))
            })
        });
    get.or(edit).unify().or(delete).unify().boxed()
}

async fn history(ask: Ask, caller: UserId, room: &str) -> Result<Answered, Refusal> {
    let room: ConversationId = id(room, "conversation")?;
    let asked = Page {
        before: ask.number("before")?,
        after: ask.number("after")?,
        around: ask.number("around")?,
        limit: ask.number("limit")?,
    };
    let history = ask.gateway.history(caller, room, asked).await?;
    let next_cursor = history.next_cursor.map(|seq| seq.to_string());
    page(
        history.messages,
        Meta {
            head_seq: Some(history.head_seq),
            next_cursor,
        },
    )
}

async fn react(
    ask: Ask,
    caller: UserId,
    message: &str,
    emoji: String,
    on: bool,
) -> Result<Answered, Refusal> {
    let message: MessageId = id(message, "message")?;
    let emoji = percent_decoded(&emoji)?;
    let command = Command::React(React { message, emoji, on });
    ok(Reply::from(
        ask.submit(caller, message.conversation, command)
            .await?
            .done,
    ))
}

/// Path segments arrive as they were sent.
fn percent_decoded(segment: &str) -> Result<String, Refusal> {
    let decoded = percent_encoding::percent_decode_str(segment).decode_utf8();
    decoded
        .map(String::from)
        .map_err(|_| Refusal::field("emoji", "not UTF-8"))
}
