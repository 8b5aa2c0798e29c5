//! What each command makes: entries, events, effects, answers.

use fanfare_protocol::command::Command;
use fanfare_protocol::conversation::{Role, Visibility};
use fanfare_protocol::{Limits, UserId};

use super::ask::*;
use super::world::World;
use crate::effect::Set;
use crate::entry::Body;
use crate::member::MemberRow;
use crate::room::{Done, PublishedRow};
use crate::view::event_of;

/// What came of everything asked since `from`: one line per entry and
/// event, one for all effects.
fn told(world: &World, from: usize, effects_from: usize) -> Vec<String> {
    let rows = world.published.iter().skip(from);
    let mut lines: Vec<String> = rows.map(entry_line).collect();
    let effects = world.effects.iter().skip(effects_from);
    let sets: Vec<String> = effects.map(|effect| set_words(&effect.set)).collect();
    lines.push(sets.join(", "));
    lines
}

fn entry_line(PublishedRow { row, entry }: &PublishedRow) -> String {
    let what = match &entry.body {
        Body::Created(created) => format!("Created {} members", created.members.len()),
        Body::MessageSent(sent) => format!("MessageSent {:?}", sent.text),
        Body::MessageEdited(edited) => format!("MessageEdited {}", edited.message.seq),
        Body::MessageDeleted(deleted) => {
            format!(
                "MessageDeleted {} and {:?}",
                deleted.message.seq, deleted.edits
            )
        }
        Body::ReactionsChanged(changed) => {
            format!(
                "ReactionsChanged {} by {}",
                changed.message.seq,
                changed.changes.len()
            )
        }
        Body::MemberAdded { user, role, .. } => format!("MemberAdded {} {role:?}", user.username),
        Body::MemberUpdated { user, role, .. } => {
            format!("MemberUpdated {} {role:?}", user.username)
        }
        Body::MemberRemoved {
            user,
            reason,
            member_count,
        } => {
            format!("MemberRemoved {} {reason:?} {member_count}", name(*user))
        }
        Body::MembersMoved {
            joined,
            left,
            member_count,
            ..
        } => {
            format!(
                "MembersMoved +{} -{} {member_count}",
                joined.len(),
                left.len()
            )
        }
        Body::ConversationUpdated(_) => "ConversationUpdated".to_owned(),
        Body::ConversationDeleted => "ConversationDeleted".to_owned(),
    };
    let event = event_of(row, entry).name();
    format!("{} {} {what} / {event}", row.seq, name(entry.author))
}

fn set_words(set: &Set) -> String {
    match set {
        Set::State { target, .. } => format!("state {target}"),
        Set::Emptied { target, .. } => format!("emptied {target}"),
        Set::Member { user, row } if row.is_active() => {
            format!("{} {:?} from {}", name(*user), row.role, row.from_seq)
        }
        Set::Member { user, .. } => format!("{} left", name(*user)),
        Set::Meta(meta) => format!("meta {}", meta.member_count),
        Set::Mention { user, message, on } => format!("mention {} {message} {on}", name(*user)),
        Set::Mark { user, marks } => format!("mark {} {}", name(*user), marks.read_seq),
    }
}

fn name(user: UserId) -> String {
    person(user).username
}

/// Asks in turn and compares what came of all of it.
fn check(mut world: World, asks: Vec<(UserId, Command)>, expected: &[&str]) {
    let (from, effects_from) = (world.published.len(), world.effects.len());
    for (caller, command) in asks {
        world.accepted(caller, command);
    }
    assert_eq!(told(&world, from, effects_from), expected);
}

#[test]
fn creating() {
    let nothing = || World::new(Limits::default());
    check(
        nothing(),
        vec![(ALICE, group(&[BOB, ALICE]))],
        &[
            "1 alice Created 2 members / conversation:updated",
            "alice Owner from 1, bob Member from 1, meta 2",
        ],
    );
    check(
        nothing(),
        vec![(ALICE, direct(BOB)), (BOB, direct(ALICE))],
        &[
            "1 alice Created 2 members / conversation:updated",
            "alice Member from 1, bob Member from 1, meta 2",
        ],
    );
}

#[test]
fn messages() {
    let mut world = World::group();
    let id = world.sent(ALICE, "hello");
    let again = reply("hello yourself", Some(id));
    check(
        world,
        vec![
            (BOB, again),
            (ALICE, edit(id, "hallo")),
            (ALICE, edit(id, "salut")),
            (CAROL, react(id, "👍", true)),
            (CAROL, react(id, "👍", true)),
            (ALICE, delete(id)),
            (ALICE, delete(id)),
        ],
        &[
            "3 bob MessageSent \"hello yourself\" / message:received",
            "4 alice MessageEdited 2 / message:edited",
            "5 alice MessageEdited 2 / message:edited",
            "6 carol ReactionsChanged 2 by 1 / message:reactions",
            "7 alice MessageDeleted 2 and [4, 5] / message:deleted",
            "state 2, state 2, state 2, state 2, emptied 2, emptied 4, emptied 5",
        ],
    );
}

#[test]
fn mentions_are_added_and_withdrawn() {
    let mut world = World::group();
    let named = |who: &[UserId]| With {
        mentions: who.to_vec(),
        ..With::default()
    };
    world.ask_with(ALICE, send("@bob @dave"), named(&[BOB, DAVE]));
    world.quiesce();
    assert_eq!(world.store.mentions(), [(BOB, 2)], "Dave is no member");
    let id = world.id(2);
    world.ask_with(ALICE, edit(id, "@carol"), named(&[CAROL]));
    world.quiesce();
    assert_eq!(world.store.mentions(), [(CAROL, 2)]);
    world.accepted(ALICE, delete(id));
    assert_eq!(world.store.mentions(), []);
}

#[test]
fn messages_and_mentions_of_all_are_counted() {
    let mut world = World::channel();
    let all = |all| With {
        all,
        ..With::default()
    };
    world.ask_with(ALICE, send("@all"), all(true));
    world.ask_with(BOB, send("@all, says one who may not"), all(true));
    world.ask(BOB, react(world.id(2), "👍", true));
    world.quiesce();
    let counts = |seq| world.store.row(seq).map(|row| (row.mno, row.ano));
    let counts: Vec<_> = (1..=5).map(counts).collect();
    let expected = [Some((0, 0)), Some((1, 1)), Some((2, 1)), Some((2, 1)), None];
    assert_eq!(counts, expected);
}

#[test]
fn members_of_a_group() {
    check(
        World::group(),
        vec![
            (ALICE, add(&[DAVE, BOB, DAVE, ERIN], None)),
            (ALICE, promote(BOB, Role::Admin)),
            (BOB, promote(CAROL, Role::Moderator)),
            (CAROL, remove(DAVE)),
            (ERIN, Command::Leave),
            (BOB, add(&[DAVE], Some(Role::Moderator))),
            (BOB, remove(BOB)),
        ],
        &[
            "2 alice MemberAdded dave Member / participant:added",
            "3 alice MemberAdded erin Member / participant:added",
            "4 alice MemberUpdated bob Admin / participant:updated",
            "5 bob MemberUpdated carol Moderator / participant:updated",
            "6 carol MemberRemoved dave Removed 4 / participant:removed",
            "7 erin MemberRemoved erin Left 3 / participant:removed",
            "8 bob MemberAdded dave Moderator / participant:added",
            "9 bob MemberRemoved bob Left 3 / participant:removed",
            "dave Member from 2, meta 4, erin Member from 3, meta 5, bob Admin from 1, \
             carol Moderator from 1, dave left, meta 4, erin left, meta 3, \
             dave Moderator from 8, meta 4, bob left, meta 3",
        ],
    );
}

#[test]
fn members_of_channels() {
    check(
        World::channel(),
        vec![
            (DAVE, Command::Join),
            (DAVE, Command::Join),
            (BOB, Command::Leave),
            (ALICE, add(&[ERIN, BOB], None)),
            (ALICE, promote(ERIN, Role::Admin)),
            (ERIN, remove(CAROL)),
            (ERIN, Command::Leave),
        ],
        &[
            "2 dave MembersMoved +1 -0 4 / conversation:updated",
            "3 bob MembersMoved +0 -1 3 / conversation:updated",
            "4 alice MembersMoved +2 -0 5 / conversation:updated",
            "5 alice MemberUpdated erin Admin / participant:updated",
            "6 erin MemberRemoved carol Removed 4 / participant:removed",
            "7 erin MemberRemoved erin Left 3 / participant:removed",
            "dave Member from 1, meta 4, bob left, meta 3, erin Member from 1, \
             bob Member from 1, meta 5, erin Admin from 1, carol left, meta 4, erin left, meta 3",
        ],
    );
}

#[test]
fn what_new_members_see_is_settled_when_they_come() {
    let mut world = World::channel();
    world.accepted(ALICE, publish_as(Visibility::Private));
    world.accepted(ALICE, add(&[DAVE], None));
    world.accepted(ALICE, publish_as(Visibility::Public));
    world.accepted(ALICE, add(&[ERIN], None));
    let from = |user| world.store.member(user).map(|row: MemberRow| row.from_seq);
    assert_eq!([BOB, DAVE, ERIN].map(from), [Some(1), Some(3), Some(1)]);
}

#[test]
fn who_joins_a_private_channel_again_sees_what_comes() {
    let mut world = World::channel();
    world.accepted(BOB, Command::Leave);
    world.accepted(ALICE, publish_as(Visibility::Private));
    let joined = world.accepted(BOB, Command::Join).seq;
    let member = world.store.member(BOB).unwrap();
    assert_eq!(member.from_seq, joined);
}

#[test]
fn ownership_is_handed_over() {
    check(
        World::group(),
        vec![
            (ALICE, promote(BOB, Role::Owner)),
            (BOB, promote(ALICE, Role::Owner)),
        ],
        &[
            "2 alice MemberUpdated bob Owner / participant:updated",
            "3 alice MemberUpdated alice Admin / participant:updated",
            "4 bob MemberUpdated alice Owner / participant:updated",
            "5 bob MemberUpdated bob Admin / participant:updated",
            "bob Owner from 1, alice Admin from 1, alice Owner from 1, bob Admin from 1",
        ],
    );
}

#[test]
fn fields_and_the_end() {
    check(
        World::channel(),
        vec![
            (ALICE, retitle(" Coffee ")),
            (ALICE, retitle("Coffee")),
            (ALICE, publish_as(Visibility::Private)),
            (ALICE, Command::DeleteConversation),
        ],
        &[
            "2 alice ConversationUpdated / conversation:updated",
            "3 alice ConversationUpdated / conversation:updated",
            "4 alice ConversationDeleted / conversation:deleted",
            "meta 3, meta 3, meta 3",
        ],
    );
}

#[test]
fn answers_show_the_message_as_it_is() {
    let mut world = World::group();
    let id = world.sent(ALICE, "hello");
    let edited = world.accepted(ALICE, edit(id, "hallo"));
    let Done::Message(message) = edited.done else {
        panic!("{edited:?}");
    };
    assert_eq!(
        (message.text.as_str(), message.rev, message.edit_count),
        ("hallo", 3, 1)
    );
    let reacted = world.accepted(BOB, react(id, "👍", true));
    let Done::Reactions { rev, reactions, .. } = reacted.done else {
        panic!("{reacted:?}");
    };
    assert_eq!((rev, reactions.len(), reacted.seq), (4, 1, 4));
    let deleted = world.accepted(ALICE, delete(id));
    assert!(
        matches!(deleted.done, Done::Deleted { rev: 5, .. }),
        "{deleted:?}"
    );
    assert_eq!(
        (deleted.seq, deleted.epoch, deleted.repeated),
        (5, 1, false)
    );
    let again = world.accepted(ALICE, delete(id));
    assert!(
        matches!(again.done, Done::Deleted { rev: 5, .. }),
        "{again:?}"
    );
    assert!(again.repeated);
}

#[test]
fn a_deletion_leaves_no_word_of_the_text() {
    let mut world = World::group();
    let id = world.sent(ALICE, "secret one");
    world.accepted(ALICE, edit(id, "secret two"));
    world.accepted(ALICE, edit(id, "secret three"));
    world.accepted(ALICE, delete(id));
    let stored = world.store.rows_from(1);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    for row in &stored {
        assert!(!text(&row.entry).contains("secret"), "{row:?}");
        assert!(!text(&row.state).contains("secret"), "{row:?}");
    }
    assert!(!format!("{:?}", world.room).contains("secret"));
}
