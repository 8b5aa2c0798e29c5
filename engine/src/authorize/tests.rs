//! The complete matrix: every action with every parameter, every kind of
//! conversation, everybody who may ask. The match that the table becomes has
//! no `_` arm: a new action, role or kind does not compile without its row.

use super::*;

/// One row per action, one word per sort of conversation, one letter per
/// asker. Words: direct, group, then channels: public open, public invite,
/// private open, private invite. Letters: stranger, former member, member,
/// moderator, admin, owner. `+` allowed, `f` forbidden, `c` conflict,
/// `m` not_a_member, `n` not_found.
macro_rules! table {
    ($(($($action:tt)+) $direct:literal $group:literal
       $public_open:literal $public_invite:literal
       $private_open:literal $private_invite:literal;)*) => {
        fn all_actions() -> Vec<Action> {
            vec![$($($action)+),*]
        }

        fn expected(action: Action, place: Place) -> &'static str {
            match action {
                $($($action)+ => match place {
                    Place::Direct => $direct,
                    Place::Group => $group,
                    Place::PublicOpen => $public_open,
                    Place::PublicInvite => $public_invite,
                    Place::PrivateOpen => $private_open,
                    Place::PrivateInvite => $private_invite,
                },)*
            }
        }
    };
}

#[rustfmt::skip]
table! {
    (Action::View) "nm++++" "nm++++" "++++++" "++++++" "nm++++" "nm++++";
    (Action::ListMembers) "nm++++" "nm++++" "mm++++" "mm++++" "nm++++" "nm++++";
    (Action::ReadHistory) "nm++++" "nm++++" "mm++++" "mm++++" "nm++++" "nm++++";
    (Action::Subscribe) "nm++++" "nm++++" "mm++++" "mm++++" "nm++++" "nm++++";
    (Action::Mark) "nm++++" "nm++++" "mm++++" "mm++++" "nm++++" "nm++++";
    (Action::Send) "nm++++" "nm++++" "mm++++" "mm++++" "nm++++" "nm++++";
    (Action::React) "nm++++" "nm++++" "mm++++" "mm++++" "nm++++" "nm++++";
    (Action::EditOwn) "nm++++" "nm++++" "mm++++" "mm++++" "nm++++" "nm++++";
    (Action::EditOther) "nmffff" "nmffff" "mmffff" "mmffff" "nmffff" "nmffff";
    (Action::DeleteOwn) "nm++++" "nm++++" "mm++++" "mm++++" "nm++++" "nm++++";
    (Action::DeleteOther { author: None }) "nmffff" "nmf+++" "mmf+++" "mmf+++" "nmf+++" "nmf+++";
    (Action::DeleteOther { author: Some(Role::Member) }) "nmffff" "nmf+++" "mmf+++" "mmf+++" "nmf+++" "nmf+++";
    (Action::DeleteOther { author: Some(Role::Moderator) }) "nmffff" "nmff++" "mmff++" "mmff++" "nmff++" "nmff++";
    (Action::DeleteOther { author: Some(Role::Admin) }) "nmffff" "nmfff+" "mmfff+" "mmfff+" "nmfff+" "nmfff+";
    (Action::DeleteOther { author: Some(Role::Owner) }) "nmffff" "nmffff" "mmffff" "mmffff" "nmffff" "nmffff";
    (Action::MentionAll) "nm++++" "nm++++" "mmf+++" "mmf+++" "nmf+++" "nmf+++";
    (Action::Join) "nf++++" "nf++++" "++++++" "ff++++" "n+++++" "nf++++";
    (Action::Leave) "nmffff" "nm+++c" "mm+++c" "mm+++c" "nm+++c" "nm+++c";
    (Action::Add { role: Role::Member }) "nmffff" "nmff++" "mmff++" "mmff++" "nmff++" "nmff++";
    (Action::Add { role: Role::Moderator }) "nmffff" "nmff++" "mmff++" "mmff++" "nmff++" "nmff++";
    (Action::Add { role: Role::Admin }) "nmffff" "nmfff+" "mmfff+" "mmfff+" "nmfff+" "nmfff+";
    (Action::Add { role: Role::Owner }) "nmffff" "nmffff" "mmffff" "mmffff" "nmffff" "nmffff";
    (Action::Remove { target: Role::Member }) "nmffff" "nmf+++" "mmf+++" "mmf+++" "nmf+++" "nmf+++";
    (Action::Remove { target: Role::Moderator }) "nmffff" "nmff++" "mmff++" "mmff++" "nmff++" "nmff++";
    (Action::Remove { target: Role::Admin }) "nmffff" "nmfff+" "mmfff+" "mmfff+" "nmfff+" "nmfff+";
    (Action::Remove { target: Role::Owner }) "nmffff" "nmffff" "mmffff" "mmffff" "nmffff" "nmffff";
    (Action::ChangeRole { from: Role::Member, to: Role::Member }) "nmffff" "nmff++" "mmff++" "mmff++" "nmff++" "nmff++";
    (Action::ChangeRole { from: Role::Member, to: Role::Moderator }) "nmffff" "nmff++" "mmff++" "mmff++" "nmff++" "nmff++";
    (Action::ChangeRole { from: Role::Member, to: Role::Admin }) "nmffff" "nmfff+" "mmfff+" "mmfff+" "nmfff+" "nmfff+";
    (Action::ChangeRole { from: Role::Member, to: Role::Owner }) "nmffff" "nmfff+" "mmfff+" "mmfff+" "nmfff+" "nmfff+";
    (Action::ChangeRole { from: Role::Moderator, to: Role::Member }) "nmffff" "nmff++" "mmff++" "mmff++" "nmff++" "nmff++";
    (Action::ChangeRole { from: Role::Moderator, to: Role::Moderator }) "nmffff" "nmff++" "mmff++" "mmff++" "nmff++" "nmff++";
    (Action::ChangeRole { from: Role::Moderator, to: Role::Admin }) "nmffff" "nmfff+" "mmfff+" "mmfff+" "nmfff+" "nmfff+";
    (Action::ChangeRole { from: Role::Moderator, to: Role::Owner }) "nmffff" "nmfff+" "mmfff+" "mmfff+" "nmfff+" "nmfff+";
    (Action::ChangeRole { from: Role::Admin, to: Role::Member }) "nmffff" "nmfff+" "mmfff+" "mmfff+" "nmfff+" "nmfff+";
    (Action::ChangeRole { from: Role::Admin, to: Role::Moderator }) "nmffff" "nmfff+" "mmfff+" "mmfff+" "nmfff+" "nmfff+";
    (Action::ChangeRole { from: Role::Admin, to: Role::Admin }) "nmffff" "nmfff+" "mmfff+" "mmfff+" "nmfff+" "nmfff+";
    (Action::ChangeRole { from: Role::Admin, to: Role::Owner }) "nmffff" "nmfff+" "mmfff+" "mmfff+" "nmfff+" "nmfff+";
    (Action::ChangeRole { from: Role::Owner, to: Role::Member }) "nmffff" "nmffff" "mmffff" "mmffff" "nmffff" "nmffff";
    (Action::ChangeRole { from: Role::Owner, to: Role::Moderator }) "nmffff" "nmffff" "mmffff" "mmffff" "nmffff" "nmffff";
    (Action::ChangeRole { from: Role::Owner, to: Role::Admin }) "nmffff" "nmffff" "mmffff" "mmffff" "nmffff" "nmffff";
    (Action::ChangeRole { from: Role::Owner, to: Role::Owner }) "nmffff" "nmffff" "mmffff" "mmffff" "nmffff" "nmffff";
    (Action::UpdateFields) "nmffff" "nmff++" "mmff++" "mmff++" "nmff++" "nmff++";
    (Action::DeleteConversation) "nmffff" "nmfff+" "mmfff+" "mmfff+" "nmfff+" "nmfff+";
}

/// Sorts of conversation: the columns of the table.
#[derive(Debug, Clone, Copy)]
enum Place {
    Direct,
    Group,
    PublicOpen,
    PublicInvite,
    PrivateOpen,
    PrivateInvite,
}

/// Every combination of kind, visibility and policy. What only channels can
/// have is ignored elsewhere, also if a row should hold it.
fn place(kind: Kind, visibility: Visibility, join_policy: JoinPolicy) -> Place {
    match (kind, visibility, join_policy) {
        (Kind::Direct, Visibility::Public | Visibility::Private, _) => Place::Direct,
        (Kind::Group, Visibility::Public | Visibility::Private, _) => Place::Group,
        (Kind::Channel, Visibility::Public, JoinPolicy::Open) => Place::PublicOpen,
        (Kind::Channel, Visibility::Public, JoinPolicy::Invite) => Place::PublicInvite,
        (Kind::Channel, Visibility::Private, JoinPolicy::Open) => Place::PrivateOpen,
        (Kind::Channel, Visibility::Private, JoinPolicy::Invite) => Place::PrivateInvite,
    }
}

/// The letters' order in a word.
const ASKERS: [(Option<Role>, bool); 6] = [
    (None, false),
    (None, true),
    (Some(Role::Member), false),
    (Some(Role::Moderator), false),
    (Some(Role::Admin), false),
    (Some(Role::Owner), false),
];

fn all_standings() -> Vec<(Standing, usize)> {
    let mut standings = Vec::new();
    for kind in [Kind::Direct, Kind::Group, Kind::Channel] {
        for visibility in [Visibility::Public, Visibility::Private] {
            for join_policy in [JoinPolicy::Open, JoinPolicy::Invite] {
                for (column, (role, former)) in ASKERS.into_iter().enumerate() {
                    // Who came back is a member like any other.
                    for former in [former, former || role.is_some()] {
                        let standing = Standing {
                            kind,
                            visibility,
                            join_policy,
                            role,
                            former,
                            deleted: false,
                        };
                        standings.push((standing, column));
                    }
                }
            }
        }
    }
    standings
}

fn letter(outcome: Result<(), Refusal>) -> char {
    match outcome.map_err(|refusal| refusal.code) {
        Ok(()) => '+',
        Err(Code::Forbidden) => 'f',
        Err(Code::Conflict) => 'c',
        Err(Code::NotAMember) => 'm',
        Err(Code::NotFound) => 'n',
        Err(Code::Gone) => 'g',
        Err(other) => panic!("authorize answers no {other:?}"),
    }
}

#[test]
fn everybody_may_do_what_the_table_says_and_nothing_else() {
    for action in all_actions() {
        for (standing, column) in all_standings() {
            let place = place(standing.kind, standing.visibility, standing.join_policy);
            assert_eq!(
                Some(letter(authorize(&standing, action))),
                expected(action, place).chars().nth(column),
                "{action:?} in {place:?} as {standing:?}"
            );
        }
    }
}

#[test]
fn the_table_is_complete() {
    let actions = all_actions();
    assert_eq!(actions.len(), 44);
    for (index, action) in actions.iter().enumerate() {
        assert!(!actions[..index].contains(action), "{action:?} twice");
        for (standing, _) in all_standings() {
            let place = place(standing.kind, standing.visibility, standing.join_policy);
            assert_eq!(expected(*action, place).len(), ASKERS.len(), "{action:?}");
        }
    }
}

#[test]
fn what_was_deleted_is_gone_for_those_who_knew_it() {
    for action in all_actions() {
        for (standing, column) in all_standings() {
            let deleted = Standing {
                deleted: true,
                ..standing
            };
            let expected = if column == 0 { 'n' } else { 'g' };
            assert_eq!(
                letter(authorize(&deleted, action)),
                expected,
                "{action:?} as {deleted:?}"
            );
        }
    }
}
