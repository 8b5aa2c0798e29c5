//! `/users`: oneself and others.

use warp::Filter as _;
use warp::path;

use super::answer::ok;
use super::ask::{Asks, Group, for_user, id, v1};

pub(super) fn routes(asks: &Asks) -> Group {
    let me = v1()
        .and(path!("users" / "me"))
        .and(warp::get())
        .and(asks.ask())
        .then(|ask| {
            for_user(ask, |ask, caller| async move {
                ok(ask.accounts().user(caller.user).await?)
            })
        });
    let update = v1()
        .and(path!("users" / "me"))
        .and(warp::patch())
        .and(asks.ask())
        .then(|ask| {
            for_user(ask, |ask, caller| async move {
                ok(ask.accounts().update_me(caller.user, ask.body()?).await?)
            })
        });
    let other = v1()
        .and(path!("users" / String))
        .and(warp::get())
        .and(asks.ask())
        .then(|user: String, ask| {
            for_user(ask, |ask, _| async move {
                ok(ask.accounts().user(id(&user, "user")?).await?)
            })
        });
    me.or(update).unify().or(other).unify().boxed()
}
