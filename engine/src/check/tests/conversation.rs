//! What each kind of conversation may hold.

use fanfare_protocol::UserId;
use fanfare_protocol::command::{AddParticipants, CreateConversation, UpdateConversation};
use fanfare_protocol::conversation::{JoinPolicy, Kind, Role, Visibility};
use uuid::Uuid;

use super::*;

fn user(n: u128) -> UserId {
    UserId(Uuid::from_u128(n))
}

fn ask(kind: Kind, others: &[u128]) -> CreateConversation {
    let many = |text: &str| (kind != Kind::Direct).then(|| text.to_owned());
    CreateConversation {
        kind,
        title: many(" Tea "),
        slug: many("tea").filter(|_| kind == Kind::Channel),
        description: None,
        participant_ids: others.iter().copied().map(user).collect(),
        visibility: None,
        join_policy: None,
    }
}

fn create(ask: &CreateConversation) -> Result<crate::entry::Created, Refusal> {
    creation(user(1), ask, &Limits::default())
}

#[test]
fn a_direct_conversation_has_two_and_nothing_else() {
    let created = create(&ask(Kind::Direct, &[2])).expect("two");
    assert_eq!(
        created.members,
        [(user(1), Role::Member), (user(2), Role::Member)]
    );
    assert_eq!(created.visibility, Visibility::Private);
    assert_eq!(created.join_policy, JoinPolicy::Invite);
    assert_eq!(created.title, None);
    assert_eq!(
        create(&ask(Kind::Direct, &[2, 2])).map(|c| c.members.len()),
        Ok(2)
    );
    for others in [&[][..], &[1], &[2, 3], &[1, 2]] {
        assert_eq!(
            field(create(&ask(Kind::Direct, others))),
            "participantIds",
            "{others:?}"
        );
    }
    let good = ask(Kind::Direct, &[2]);
    let text = || Some("text".to_owned());
    let bad = [
        (
            CreateConversation {
                title: text(),
                ..good.clone()
            },
            "title",
        ),
        (
            CreateConversation {
                slug: text(),
                ..good.clone()
            },
            "slug",
        ),
        (
            CreateConversation {
                description: text(),
                ..good.clone()
            },
            "description",
        ),
        (
            CreateConversation {
                visibility: Some(Visibility::Private),
                ..good.clone()
            },
            "visibility",
        ),
        (
            CreateConversation {
                join_policy: Some(JoinPolicy::Open),
                ..good.clone()
            },
            "joinPolicy",
        ),
    ];
    for (ask, expected) in bad {
        assert_eq!(field(create(&ask)), expected);
    }
}

#[test]
fn a_group_has_a_title_an_owner_and_a_bound() {
    let created = create(&ask(Kind::Group, &[3, 2, 3, 1])).expect("a group");
    let expected = [
        (user(1), Role::Owner),
        (user(3), Role::Member),
        (user(2), Role::Member),
    ];
    assert_eq!(created.members, expected);
    assert_eq!(created.title.as_deref(), Some("Tea"));
    assert_eq!(created.visibility, Visibility::Private);
    assert_eq!(
        create(&ask(Kind::Group, &[])).map(|c| c.members.len()),
        Ok(1)
    );

    let limits = Limits::default();
    let most = limits.participants_per_request_max as u128;
    let all: Vec<u128> = (2..most + 2).collect();
    let full = create(&ask(Kind::Group, &all)).map(|created| created.members.len());
    assert_eq!(full, Ok(limits.participants_per_request_max + 1));
    let more: Vec<u128> = (2..most + 3).collect();
    assert_eq!(field(create(&ask(Kind::Group, &more))), "participantIds");
    let small = Limits {
        group_members_max: 3,
        ..Limits::default()
    };
    assert_eq!(
        field(creation(user(1), &ask(Kind::Group, &[2, 3]), &small)),
        ""
    );
    assert_eq!(
        field(creation(user(1), &ask(Kind::Group, &[2, 3, 4]), &small)),
        "participantIds"
    );

    let good = ask(Kind::Group, &[2]);
    let bad = [
        (
            CreateConversation {
                title: None,
                ..good.clone()
            },
            "title",
        ),
        (
            CreateConversation {
                title: Some(" ".into()),
                ..good.clone()
            },
            "title",
        ),
        (
            CreateConversation {
                title: Some("t".repeat(65)),
                ..good.clone()
            },
            "title",
        ),
        (
            CreateConversation {
                slug: Some("tea".into()),
                ..good.clone()
            },
            "slug",
        ),
        (
            CreateConversation {
                description: Some("d".repeat(501)),
                ..good.clone()
            },
            "description",
        ),
        (
            CreateConversation {
                visibility: Some(Visibility::Public),
                ..good.clone()
            },
            "visibility",
        ),
        (
            CreateConversation {
                join_policy: Some(JoinPolicy::Open),
                ..good.clone()
            },
            "joinPolicy",
        ),
    ];
    for (ask, expected) in bad {
        assert_eq!(field(create(&ask)), expected);
    }
}

#[test]
fn a_channel_has_a_slug_and_defaults_that_fit() {
    use JoinPolicy::{Invite, Open};
    use Visibility::{Private, Public};
    let table = [
        (None, None, Public, Open),
        (Some(Public), None, Public, Open),
        (Some(Private), None, Private, Invite),
        (Some(Public), Some(Invite), Public, Invite),
        (Some(Private), Some(Open), Private, Open),
    ];
    for (visibility, join_policy, seen, joined) in table {
        let ask = CreateConversation {
            visibility,
            join_policy,
            ..ask(Kind::Channel, &[])
        };
        let created = create(&ask).expect("a channel");
        assert_eq!((created.visibility, created.join_policy), (seen, joined));
        assert_eq!(created.slug.as_deref(), Some("tea"));
    }
    let good = ask(Kind::Channel, &[]);
    let bad = [
        (
            CreateConversation {
                title: None,
                ..good.clone()
            },
            "title",
        ),
        (
            CreateConversation {
                slug: None,
                ..good.clone()
            },
            "slug",
        ),
        (
            CreateConversation {
                slug: Some("Tea".into()),
                ..good.clone()
            },
            "slug",
        ),
    ];
    for (ask, expected) in bad {
        assert_eq!(field(create(&ask)), expected);
    }
    let described = CreateConversation {
        description: Some(" ".into()),
        ..good
    };
    assert_eq!(create(&described).map(|c| c.description), Ok(None));

    let ok = |text: &str| slug(text).is_ok();
    passes(&["ab", "a-b", "42", &"a".repeat(64)], ok);
    fails(
        &[
            "",
            "a",
            "-ab",
            "ab-",
            "a_b",
            "a.b",
            "Ab",
            "ä-b",
            "a b",
            &"a".repeat(65),
        ],
        ok,
    );
}

#[test]
fn changes_and_additions() {
    let change = UpdateConversation::default();
    assert_eq!(field(fields(Kind::Group, &change)), "data");
    let titled = UpdateConversation {
        title: Some(" New ".into()),
        ..change.clone()
    };
    assert_eq!(
        fields(Kind::Group, &titled).map(|f| f.title),
        Ok(Some("New".to_owned()))
    );
    let emptied = UpdateConversation {
        description: Some(String::new()),
        ..change.clone()
    };
    assert_eq!(
        fields(Kind::Group, &emptied).map(|f| f.description),
        Ok(Some(String::new()))
    );
    let shown = UpdateConversation {
        visibility: Some(Visibility::Public),
        ..change.clone()
    };
    let open = UpdateConversation {
        join_policy: Some(JoinPolicy::Open),
        ..change
    };
    assert_eq!(field(fields(Kind::Group, &shown)), "visibility");
    assert_eq!(field(fields(Kind::Group, &open)), "joinPolicy");
    assert_eq!(field(fields(Kind::Channel, &shown)), "");
    assert_eq!(field(fields(Kind::Channel, &open)), "");

    let limits = Limits::default();
    let most = limits.participants_per_request_max as u128;
    let add = |users: Vec<u128>, role| {
        let user_ids = users.into_iter().map(user).collect();
        additions(&AddParticipants { user_ids, role }, &limits)
    };
    assert_eq!(
        add(vec![2, 1, 2], None),
        Ok((vec![user(2), user(1)], Role::Member))
    );
    assert_eq!(
        add(vec![2], Some(Role::Admin)).map(|(_, role)| role),
        Ok(Role::Admin)
    );
    assert_eq!(field(add(vec![], None)), "userIds");
    assert_eq!(field(add((0..=most).collect(), None)), "userIds");
    assert_eq!(field(add((0..most).collect(), None)), "");
}
