//! Messages: send, history, look, edit, delete, wordings, reactions.

use fanfare_actors::gateway::Page;
use fanfare_engine::room::Done;
use fanfare_protocol::command::{Command, DeleteMessage, EditMessage, React};
use fanfare_protocol::reply::Reply;
use fanfare_protocol::rest::{Meta, NewReaction, NewText};
use fanfare_protocol::{ConversationId, MessageId, Refusal};
use warp::Filter as _;
use warp::http::Method;
use warp::path;

use super::Answered;
use super::answer::{created, ok, page};
use super::ask::{Ask, Asks, Group, handle, id, number, v1};

pub(super) fn routes(asks: &Asks) -> Group {
    let send = v1()
        .and(path!("conversations" / String / "messages"))
        .and(warp::post())
        .and(asks.ask())
        .then(|room: String, ask| {
            handle(ask, |ask| async move {
                ask.user()?;
                let room = id(&room, "conversation")?;
                let accepted = ask.submit(room, Command::SendMessage(ask.body()?)).await?;
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
        .and(asks.ask())
        .then(|room: String, ask| handle(ask, |ask| async move { history(ask, &room).await }));
    let one = v1()
        .and(path!("messages" / String))
        .and(warp::method())
        .and(asks.ask())
        .then(|message: String, method, ask| {
            handle(ask, |ask| async move { one(ask, &method, &message).await })
        });
    let versions = v1()
        .and(path!("messages" / String / "history"))
        .and(warp::get())
        .and(asks.ask())
        .then(|message: String, ask| {
            handle(ask, |ask| async move {
                let user = ask.user()?;
                ok(ask.gateway.versions(user, id(&message, "message")?).await?)
            })
        });
    let reacted = v1()
        .and(path!("messages" / String / "reactions"))
        .and(warp::post())
        .and(asks.ask())
        .then(|message: String, ask| {
            handle(ask, |ask| async move {
                ask.user()?;
                let NewReaction { emoji } = ask.body()?;
                react(ask, &message, emoji, true).await
            })
        });
    let unreacted = v1()
        .and(path!("messages" / String / "reactions" / String))
        .and(warp::delete())
        .and(asks.ask())
        .then(|message: String, emoji: String, ask| {
            handle(ask, |ask| async move {
                react(ask, &message, emoji, false).await
            })
        });
    send.or(history)
        .unify()
        .or(one)
        .unify()
        .or(versions)
        .unify()
        .or(reacted)
        .unify()
        .or(unreacted)
        .unify()
        .boxed()
}

async fn history(ask: Ask, room: &str) -> Result<Answered, Refusal> {
    let user = ask.user()?;
    let room: ConversationId = id(room, "conversation")?;
    let [before, after, around, limit] = ask.query(["before", "after", "around", "limit"])?;
    let asked = Page {
        before: number("before", before)?,
        after: number("after", after)?,
        around: number("around", around)?,
        limit: number("limit", limit)?,
    };
    let history = ask.gateway.history(user, room, asked).await?;
    let next_cursor = history.next_cursor.map(|seq| seq.to_string());
    page(
        history.messages,
        Meta {
            head_seq: Some(history.head_seq),
            next_cursor,
        },
    )
}

async fn one(ask: Ask, method: &Method, message: &str) -> Result<Answered, Refusal> {
    let user = ask.user()?;
    let message: MessageId = id(message, "message")?;
    match *method {
        Method::PATCH => {
            let NewText { text } = ask.body()?;
            let command = Command::EditMessage(EditMessage { message, text });
            match ask.submit(message.conversation, command).await?.done {
                Done::Message(message) => ok(message),
                done => ok(Reply::from(done)),
            }
        }
        Method::DELETE => {
            let command = Command::DeleteMessage(DeleteMessage { message });
            ok(Reply::from(
                ask.submit(message.conversation, command).await?.done,
            ))
        }
        _ => ok(ask.gateway.message(user, message).await?),
    }
}

async fn react(ask: Ask, message: &str, emoji: String, on: bool) -> Result<Answered, Refusal> {
    ask.user()?;
    let message: MessageId = id(message, "message")?;
    let emoji = percent_decoded(&emoji)?;
    let command = Command::React(React { message, emoji, on });
    ok(Reply::from(
        ask.submit(message.conversation, command).await?.done,
    ))
}

/// Path segments arrive as they were sent.
fn percent_decoded(segment: &str) -> Result<String, Refusal> {
    let decoded = percent_encoding::percent_decode_str(segment).decode_utf8();
    decoded
        .map(String::from)
        .map_err(|_| Refusal::field("emoji", "not UTF-8"))
}
