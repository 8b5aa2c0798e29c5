//! Creating and changing conversations: what each kind may hold.

use fanfare_protocol::command::{AddParticipants, CreateConversation, UpdateConversation};
use fanfare_protocol::conversation::{JoinPolicy, Kind, Role, Visibility};
use fanfare_protocol::limits::{
    DESCRIPTION_CHARS_MAX, NAME_CHARS_MAX, SLUG_CHARS_MAX, USERNAME_CHARS_MIN,
};
use fanfare_protocol::{Limits, Refusal, UserId};

use super::{line, paragraph};
use crate::entry::{Created, Fields};

/// Checks `POST /conversations` and gives the first entry of its log, the
/// creator first. Whether the participants exist is for the caller to see.
///
/// # Errors
/// `invalid_request` naming the field.
pub fn creation(
    creator: UserId,
    ask: &CreateConversation,
    limits: &Limits,
) -> Result<Created, Refusal> {
    let others = others(creator, ask, limits)?;
    let creator_role = match ask.kind {
        Kind::Direct => Role::Member,
        Kind::Group | Kind::Channel => Role::Owner,
    };
    let members = std::iter::once((creator, creator_role))
        .chain(others.into_iter().map(|other| (other, Role::Member)))
        .collect();
    let (visibility, join_policy) = access(ask)?;
    Ok(Created {
        kind: ask.kind,
        title: title_of(ask)?,
        slug: slug_of(ask)?,
        description: description_of(ask)?,
        visibility,
        join_policy,
        members,
    })
}

/// Checks `PATCH /conversations/:id` for a conversation of this kind.
///
/// # Errors
/// `invalid_request` naming the field, or `data` when nothing is changed.
pub fn fields(kind: Kind, ask: &UpdateConversation) -> Result<Fields, Refusal> {
    if kind != Kind::Channel {
        absent("visibility", ask.visibility.is_some(), "channels only")?;
        absent("joinPolicy", ask.join_policy.is_some(), "channels only")?;
    }
    let fields = Fields {
        title: ask.title.as_deref().map(title).transpose()?,
        description: ask.description.as_deref().map(description).transpose()?,
        visibility: ask.visibility,
        join_policy: ask.join_policy,
    };
    if fields == Fields::default() {
        return Err(Refusal::field("data", "changes nothing"));
    }
    Ok(fields)
}

/// Checks `POST /conversations/:id/participants` and gives whom to add, each
/// once in the order asked, and as what. Room in the group and the asker's
/// right to give that role are for others to decide.
///
/// # Errors
/// `invalid_request` naming `userIds`.
pub fn additions(ask: &AddParticipants, limits: &Limits) -> Result<(Vec<UserId>, Role), Refusal> {
    if ask.user_ids.is_empty() {
        return Err(Refusal::field("userIds", "must not be empty"));
    }
    let users = each_once("userIds", &ask.user_ids, limits)?;
    Ok((users, ask.role.unwrap_or(Role::Member)))
}

/// Checks a channel's unique name: 2 to 64 of `a–z 0–9 -`, neither first
/// nor last a hyphen.
///
/// # Errors
/// `invalid_request` naming `slug`.
pub fn slug(slug: &str) -> Result<(), Refusal> {
    let sized = (USERNAME_CHARS_MIN..=SLUG_CHARS_MAX).contains(&slug.len());
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if sized && slug.chars().all(plain) && !slug.starts_with('-') && !slug.ends_with('-') {
        return Ok(());
    }
    Err(Refusal::field(
        "slug",
        format!("must have {USERNAME_CHARS_MIN} to {SLUG_CHARS_MAX} of a-z, 0-9 and inner hyphens"),
    ))
}

fn others(
    creator: UserId,
    ask: &CreateConversation,
    limits: &Limits,
) -> Result<Vec<UserId>, Refusal> {
    let mut others = each_once("participantIds", &ask.participant_ids, limits)?;
    match ask.kind {
        Kind::Direct => {
            if others.len() != 1 || others.contains(&creator) {
                return Err(Refusal::field(
                    "participantIds",
                    "must name exactly one other user",
                ));
            }
        }
        Kind::Group | Kind::Channel => others.retain(|other| *other != creator),
    }
    let members = others.len() as u64 + 1;
    if ask.kind == Kind::Group && members > limits.group_members_max {
        return Err(Refusal::field(
            "participantIds",
            format!("a group has at most {} members", limits.group_members_max),
        ));
    }
    Ok(others)
}

/// The same users, each once, in the order of their first place.
fn each_once(field: &str, users: &[UserId], limits: &Limits) -> Result<Vec<UserId>, Refusal> {
    let most = limits.participants_per_request_max;
    if users.len() > most {
        return Err(Refusal::field(field, format!("more than {most} users")));
    }
    let mut seen = std::collections::HashSet::new();
    Ok(users
        .iter()
        .copied()
        .filter(|user| seen.insert(*user))
        .collect())
}

fn access(ask: &CreateConversation) -> Result<(Visibility, JoinPolicy), Refusal> {
    match ask.kind {
        Kind::Direct | Kind::Group => {
            absent("visibility", ask.visibility.is_some(), "channels only")?;
            absent("joinPolicy", ask.join_policy.is_some(), "channels only")?;
            Ok((Visibility::Private, JoinPolicy::Invite))
        }
        Kind::Channel => {
            let visibility = ask.visibility.unwrap_or(Visibility::Public);
            let default = match visibility {
                Visibility::Public => JoinPolicy::Open,
                Visibility::Private => JoinPolicy::Invite,
            };
            Ok((visibility, ask.join_policy.unwrap_or(default)))
        }
    }
}

fn title_of(ask: &CreateConversation) -> Result<Option<String>, Refusal> {
    match (ask.kind, ask.title.as_deref()) {
        (Kind::Direct, given) => {
            absent("title", given.is_some(), "not in a direct conversation")?;
            Ok(None)
        }
        (Kind::Group | Kind::Channel, Some(given)) => title(given).map(Some),
        (Kind::Group | Kind::Channel, None) => Err(Refusal::field("title", "is required")),
    }
}

fn slug_of(ask: &CreateConversation) -> Result<Option<String>, Refusal> {
    match (ask.kind, ask.slug.as_deref()) {
        (Kind::Channel, Some(given)) => slug(given).map(|()| Some(given.to_owned())),
        (Kind::Channel, None) => Err(Refusal::field("slug", "is required")),
        (Kind::Direct | Kind::Group, given) => {
            absent("slug", given.is_some(), "channels only")?;
            Ok(None)
        }
    }
}

fn description_of(ask: &CreateConversation) -> Result<Option<String>, Refusal> {
    if ask.kind == Kind::Direct {
        let given = ask.description.is_some();
        absent("description", given, "not in a direct conversation")?;
    }
    let text = ask.description.as_deref().map(description).transpose()?;
    Ok(text.filter(|text| !text.is_empty()))
}

fn title(text: &str) -> Result<String, Refusal> {
    line("title", text, NAME_CHARS_MAX)
}

fn description(text: &str) -> Result<String, Refusal> {
    paragraph("description", text, DESCRIPTION_CHARS_MAX)
}

fn absent(field: &str, given: bool, reason: &str) -> Result<(), Refusal> {
    if given {
        return Err(Refusal::field(field, reason));
    }
    Ok(())
}
