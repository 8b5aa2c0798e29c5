//! Reactions to one message, comings and goings of a channel: the first at
//! once, the next gathered, decided when the tick closes.

use fanfare_protocol::command::Command;
use fanfare_protocol::conversation::{Role, Visibility};
use fanfare_protocol::limits::{MOVED_PER_ENTRY_MAX, REACTIONS_PER_ENTRY_MAX};
use fanfare_protocol::{Code, Limits, UserId};
use uuid::Uuid;

use super::ask::*;
use super::world::World;
use crate::entry::Body;

fn crowd(count: usize) -> Vec<UserId> {
    let id = |n| UserId(Uuid::from_u128(1000 + n as u128));
    (0..count).map(id).collect()
}

fn newest(world: &World) -> &Body {
    &world.published.last().unwrap().entry.body
}

#[test]
fn reactions_are_gathered_after_the_first() {
    let mut world = World::group();
    let id = world.sent(ALICE, "hello");
    let first = world.ask(BOB, react(id, "👍", true));
    world.settle();
    assert!(world.answers.contains_key(&first), "at once");
    let second = world.ask(CAROL, react(id, "👍", true));
    world.ask(ALICE, react(id, "🍵", true));
    world.ask(BOB, react(id, "👍", false));
    world.settle();
    assert!(!world.answers.contains_key(&second));
    let gather_ms = world.limits.reactions_gather_ms;
    assert_eq!(world.room.wake_ms(), Some(world.now.ms + gather_ms));
    world.pass_ms(gather_ms - 1);
    assert_eq!(world.append.iter().len(), 0);
    world.pass_ms(1);
    world.settle();
    let Body::ReactionsChanged(changed) = newest(&world) else {
        panic!("{:?}", newest(&world));
    };
    assert_eq!(changed.changes.len(), 3);
    assert_eq!(world.room.published(), 4);
    assert!(world.room.is_idle());
}

#[test]
fn another_message_has_another_tick() {
    let mut world = World::group();
    let (one, two) = (world.sent(ALICE, "one"), world.sent(ALICE, "two"));
    world.ask(BOB, react(one, "👍", true));
    world.ask(BOB, react(two, "👍", true));
    world.settle();
    assert_eq!(world.room.published(), 5);
}

#[test]
fn what_changes_nothing_makes_no_entry() {
    let mut world = World::group();
    let id = world.sent(ALICE, "hello");
    let off = world.accepted(BOB, react(id, "👍", false));
    assert!(off.repeated);
    assert_eq!(world.room.published(), 2);
}

#[test]
fn reactions_are_decided_when_the_tick_closes() {
    let mut world = World::group();
    let id = world.sent(ALICE, "hello");
    world.ask(BOB, react(id, "👍", true));
    world.settle();
    let removed = world.ask(CAROL, react(id, "👍", true));
    world.ask(ALICE, remove(CAROL));
    assert_eq!(world.refusal(removed), Some(Code::NotAMember));
    let late = world.ask(BOB, react(id, "👍", false));
    world.ask(ALICE, delete(id));
    assert_eq!(world.refusal(late), Some(Code::Gone));
}

#[test]
fn one_entry_holds_so_many_reactions() {
    let mut world = World::channel();
    let id = world.sent(ALICE, "hello");
    world.accepted(ALICE, react(id, "👍", true));
    let busy = REACTIONS_PER_ENTRY_MAX + 10;
    for n in 0..busy {
        world.ask(BOB, react(id, "👍", n % 2 == 0));
    }
    world.quiesce();
    let changes = |seq: usize| match &world.published[seq - 1].entry.body {
        Body::ReactionsChanged(changed) => changed.changes.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!((changes(4), changes(5)), (REACTIONS_PER_ENTRY_MAX, 10));
}

#[test]
fn joins_and_leaves_are_gathered_after_the_first() {
    let mut world = World::channel();
    world.ask(DAVE, Command::Join);
    world.settle();
    assert_eq!(world.room.published(), 2, "at once");
    let erin = world.ask(ERIN, Command::Join);
    world.ask(BOB, Command::Leave);
    world.settle();
    assert!(!world.answers.contains_key(&erin));
    world.pass_ms(world.limits.membership_gather_ms);
    world.settle();
    let Body::MembersMoved {
        joined,
        left,
        member_count,
        ..
    } = newest(&world)
    else {
        panic!("{:?}", newest(&world));
    };
    assert_eq!((joined.len(), left.len(), *member_count), (1, 1, 4));
    assert_eq!(world.answers[&erin].clone().unwrap().seq, 3);
}

#[test]
fn everybody_moves_once_per_entry() {
    let mut world = World::channel();
    world.accepted(ERIN, Command::Join);
    let commands = [Command::Join, Command::Leave, Command::Join];
    for (number, command) in (1..).zip(commands) {
        world.ask_with(DAVE, command, ordered(1, number, 1));
    }
    world.quiesce();
    let moves = |seq: usize| match &world.published[seq - 1].entry.body {
        Body::MembersMoved { joined, left, .. } => (joined.len(), left.len()),
        other => panic!("{other:?}"),
    };
    assert_eq!([moves(3), moves(4), moves(5)], [(1, 0), (0, 1), (1, 0)]);
    let member = world.store.member(DAVE).unwrap();
    assert!(member.is_active() && member.changed_seq == 5);
}

#[test]
fn one_entry_moves_so_many() {
    let mut world = World::channel();
    world.accepted(DAVE, Command::Join);
    for user in crowd(MOVED_PER_ENTRY_MAX + 20) {
        world.ask(user, Command::Join);
    }
    world.quiesce();
    let moved = |seq: usize| match &world.published[seq - 1].entry.body {
        Body::MembersMoved { joined, .. } => joined.len(),
        other => panic!("{other:?}"),
    };
    assert_eq!((moved(3), moved(4)), (MOVED_PER_ENTRY_MAX, 20));
    assert_eq!(world.store.meta().unwrap().member_count, 4 + 275);
}

#[test]
fn ticks_close_while_others_are_looked_up() {
    let mut world = World::channel();
    world.accepted(DAVE, Command::Join);
    let mut people = crowd(60).into_iter();
    // Somebody unknown is always being looked up.
    world.ask(people.next().unwrap(), Command::Join);
    for person in people {
        assert!(world.read.is_some());
        world.ask(person, Command::Join);
        world.finish_read();
        world.pass_ms(100);
        if world.append.is_some() {
            world.settle_writes();
        }
    }
    assert!(world.room.published() >= 5, "{}", world.room.published());
}

#[test]
fn a_member_with_a_role_leaves_by_an_entry_of_their_own() {
    let mut world = World::channel();
    world.accepted(DAVE, Command::Join);
    let leave = world.ask(BOB, Command::Leave);
    world.ask(CAROL, Command::Leave);
    world.ask(ALICE, promote(BOB, Role::Moderator));
    world.quiesce();
    assert!(matches!(
        newest(&world),
        Body::MemberRemoved {
            member_count: 2,
            ..
        }
    ));
    assert_eq!(world.answers[&leave].clone().unwrap().seq, 5);
    assert!(!world.store.member(BOB).unwrap().is_active());
}

#[test]
fn who_leaves_by_an_entry_of_their_own_does_so_before_sending_more() {
    let mut world = World::channel();
    world.accepted(DAVE, Command::Join);
    world.ask_with(BOB, Command::Leave, ordered(1, 1, 1));
    let sent = world.ask_with(BOB, send("gone"), ordered(1, 2, 1));
    world.ask(ALICE, promote(BOB, Role::Moderator));
    assert_eq!(world.refusal(sent), Some(Code::NotAMember));
}

#[test]
fn a_join_is_decided_when_the_tick_closes() {
    let mut world = World::channel();
    world.accepted(DAVE, Command::Join);
    let late = world.ask(ERIN, Command::Join);
    world.ask(ALICE, publish_as(Visibility::Private));
    world.ask(ALICE, Command::DeleteConversation);
    assert_eq!(world.refusal(late), Some(Code::NotFound));
}

#[test]
fn what_a_session_sends_after_its_join_waits_for_it() {
    let mut world = World::channel();
    world.accepted(DAVE, Command::Join);
    let join = world.ask_with(ERIN, Command::Join, ordered(1, 1, 1));
    let sent = world.ask_with(ERIN, send("hello"), ordered(1, 2, 1));
    world.settle();
    assert!(world.read.is_none() && !world.answers.contains_key(&sent));
    world.quiesce();
    let seq = |ticket| world.answers[&ticket].clone().unwrap().seq;
    assert_eq!((seq(join), seq(sent)), (3, 4));
}

#[test]
fn the_room_is_full_of_what_waits_for_ticks_too() {
    let mut world = World::new(Limits {
        room_waiting_max: 3,
        ..Limits::default()
    });
    world.accepted(ALICE, channel(&[BOB, CAROL, DAVE], Visibility::Public));
    world.accepted(ERIN, Command::Join);
    for who in [BOB, CAROL, DAVE] {
        world.ask(who, Command::Leave);
    }
    let one_more = world.ask(ALICE, send("hello"));
    assert_eq!(world.refusal(one_more), Some(Code::Overloaded));
}
