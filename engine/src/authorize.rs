//! The one place that says who may do what. Default deny: what no arm
//! allows is refused. Pure over [`Standing`]; who stands how is read by the
//! caller, under the seq it was read at.
//!
//! The rules as prose stand at [`Action`]; the complete table, role × action
//! × kind, is the test below it (`authorize/tests.rs`).

use fanfare_protocol::conversation::{JoinPolicy, Kind, Role, Visibility};
use fanfare_protocol::{Code, Refusal};

#[cfg(test)]
mod tests;

/// How the asker stands to a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Sort of conversation.
    pub kind: Kind,
    /// Who may know of it. Only channels can be public.
    pub visibility: Visibility,
    /// How one becomes a member. Only channels can be joined.
    pub join_policy: JoinPolicy,
    /// The asker's role; `None`: not an active member.
    pub role: Option<Role>,
    /// Whether the asker was a member once.
    pub former: bool,
    /// Whether the conversation was deleted.
    pub deleted: bool,
}

/// What somebody wants to do. "Below" compares roles: member, moderator,
/// admin, owner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// See the record. Members; everybody for public channels.
    View,
    /// See who is in it. Members.
    ListMembers,
    /// Read messages. Members.
    ReadHistory,
    /// Hear of new ones. Members.
    Subscribe,
    /// Move the own marks. Members.
    Mark,
    /// Send a message. Members.
    Send,
    /// Set or take back an own reaction. Members.
    React,
    /// Change an own message. Members.
    EditOwn,
    /// Change somebody else's message. Nobody.
    EditOther,
    /// Delete an own message. Members.
    DeleteOwn,
    /// Delete somebody else's message. In groups and channels moderators
    /// and above, if the author is below them or no longer a member.
    DeleteOther {
        /// The author's role; `None`: not an active member.
        author: Option<Role>,
    },
    /// Name everybody. Members; in channels moderators and above.
    MentionAll,
    /// Become a member: open channels one may know of. Harmless for members.
    Join,
    /// End the own membership: groups and channels. An owner hands over
    /// first.
    Leave,
    /// Add somebody: groups and channels, admins and above, with a role
    /// below the own.
    Add {
        /// The role to give.
        role: Role,
    },
    /// Remove somebody: groups and channels, moderators and above, only
    /// those below them.
    Remove {
        /// The role of whom to remove.
        target: Role,
    },
    /// Change somebody's role: groups and channels, admins and above, from
    /// and to roles below the own. The owner may hand over to anybody.
    ChangeRole {
        /// The role held now.
        from: Role,
        /// The role to give.
        to: Role,
    },
    /// Change title, description and the like: groups and channels, admins
    /// and above.
    UpdateFields,
    /// End it for everybody: groups and channels, the owner.
    DeleteConversation,
}

/// Decides whether somebody who stands like this may do that.
///
/// # Errors
/// - `not_found`: the asker may not know of the conversation.
/// - `gone`: it was deleted, and the asker is or was a member.
/// - `not_a_member`: known to the asker, but for members.
/// - `forbidden`: not for this role, or not in this kind of conversation.
/// - `conflict`: an owner who leaves without handing over.
pub fn authorize(standing: &Standing, action: Action) -> Result<(), Refusal> {
    let known = standing.role.is_some() || standing.former;
    if standing.deleted {
        return Err(if known {
            Refusal::new(Code::Gone, "this conversation was deleted")
        } else {
            Refusal::not_found("conversation")
        });
    }
    match standing.role {
        None => outside(standing, action),
        Some(role) => match standing.kind {
            Kind::Direct => in_direct(action),
            Kind::Group | Kind::Channel => in_many(standing.kind, role, action),
        },
    }
}

/// For those who are not members.
fn outside(standing: &Standing, action: Action) -> Result<(), Refusal> {
    let public = standing.kind == Kind::Channel && standing.visibility == Visibility::Public;
    if !public && !standing.former {
        return Err(Refusal::not_found("conversation"));
    }
    match action {
        Action::View if public => Ok(()),
        Action::Join => match (standing.kind, standing.join_policy) {
            (Kind::Channel, JoinPolicy::Open) => Ok(()),
            (Kind::Channel, JoinPolicy::Invite) | (Kind::Group | Kind::Direct, _) => Err(
                forbidden("this conversation is by invitation: a member has to add you"),
            ),
        },
        Action::View
        | Action::ListMembers
        | Action::ReadHistory
        | Action::Subscribe
        | Action::Mark
        | Action::Send
        | Action::React
        | Action::EditOwn
        | Action::EditOther
        | Action::DeleteOwn
        | Action::DeleteOther { .. }
        | Action::MentionAll
        | Action::Leave
        | Action::Add { .. }
        | Action::Remove { .. }
        | Action::ChangeRole { .. }
        | Action::UpdateFields
        | Action::DeleteConversation => Err(Refusal::not_a_member()),
    }
}

/// For the two of a direct conversation, whatever role their rows hold.
fn in_direct(action: Action) -> Result<(), Refusal> {
    match action {
        Action::View
        | Action::ListMembers
        | Action::ReadHistory
        | Action::Subscribe
        | Action::Mark
        | Action::Send
        | Action::React
        | Action::EditOwn
        | Action::DeleteOwn
        | Action::MentionAll
        | Action::Join => Ok(()),
        Action::EditOther => Err(edit_other()),
        Action::DeleteOther { .. }
        | Action::Leave
        | Action::Add { .. }
        | Action::Remove { .. }
        | Action::ChangeRole { .. }
        | Action::UpdateFields
        | Action::DeleteConversation => Err(forbidden("not possible in a direct conversation")),
    }
}

/// For members of groups and channels.
fn in_many(kind: Kind, role: Role, action: Action) -> Result<(), Refusal> {
    let allowed = match action {
        Action::View
        | Action::ListMembers
        | Action::ReadHistory
        | Action::Subscribe
        | Action::Mark
        | Action::Send
        | Action::React
        | Action::EditOwn
        | Action::DeleteOwn
        | Action::Join => true,
        Action::EditOther => return Err(edit_other()),
        Action::DeleteOther { author } => {
            role >= Role::Moderator && author.is_none_or(|author| author < role)
        }
        Action::MentionAll => kind == Kind::Group || role >= Role::Moderator,
        Action::Leave if role == Role::Owner => {
            return Err(Refusal::new(
                Code::Conflict,
                "you are the owner: hand the conversation over first",
            ));
        }
        Action::Leave => true,
        Action::Add { role: given } => role >= Role::Admin && given < role,
        Action::Remove { target } => role >= Role::Moderator && target < role,
        Action::ChangeRole { from, to } => {
            role >= Role::Admin && from < role && (to < role || role == Role::Owner)
        }
        Action::UpdateFields => role >= Role::Admin,
        Action::DeleteConversation => role == Role::Owner,
    };
    if allowed {
        Ok(())
    } else {
        Err(forbidden(
            "your role in this conversation does not allow it",
        ))
    }
}

fn edit_other() -> Refusal {
    forbidden("only its author may edit a message")
}

fn forbidden(why: &str) -> Refusal {
    Refusal::new(Code::Forbidden, why)
}
