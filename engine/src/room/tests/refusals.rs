//! What is refused, and as what. Roles as such: `authorize/tests.rs`.

use fanfare_protocol::command::Command;
use fanfare_protocol::conversation::{Role, Visibility};
use fanfare_protocol::{Code, Limits, MessageId, UserId};

use super::ask::*;
use super::world::World;

/// Asks and compares; a refused command leaves no entry.
fn check(world: &mut World, table: Vec<(UserId, Command, Code)>) {
    let head = world.room.published();
    for (caller, command, code) in table {
        let refused = world
            .tell(caller, command.clone())
            .map_err(|refusal| refusal.code);
        assert_eq!(refused, Err(code), "{command:?}");
    }
    assert_eq!(world.room.published(), head);
}

#[test]
fn where_nothing_is() {
    let mut world = World::new(Limits::default());
    check(
        &mut world,
        vec![
            (ALICE, send("hello"), Code::NotFound),
            (ALICE, Command::Join, Code::NotFound),
            (ALICE, direct(ALICE), Code::InvalidRequest),
        ],
    );
}

#[test]
fn strangers_and_former_members() {
    let mut world = World::group();
    let id = world.sent(ALICE, "hello");
    world.accepted(CAROL, Command::Leave);
    let asks = |who, code| {
        vec![
            (who, send("hello"), code),
            (who, edit(id, "hallo"), code),
            (who, delete(id), code),
            (who, react(id, "👍", true), code),
            (who, add(&[DAVE], None), code),
            (who, promote(BOB, Role::Admin), code),
            (who, remove(BOB), code),
            (who, retitle("Coffee"), code),
            (who, Command::Leave, code),
            (who, Command::DeleteConversation, code),
        ]
    };
    check(&mut world, asks(DAVE, Code::NotFound));
    check(&mut world, asks(CAROL, Code::NotAMember));
    let joining = vec![
        (DAVE, Command::Join, Code::NotFound),
        (CAROL, Command::Join, Code::Forbidden),
    ];
    check(&mut world, joining);
}

#[test]
fn messages_that_are_not_for_this() {
    let mut world = World::group();
    let id = world.sent(ALICE, "hello");
    let gone = world.sent(BOB, "bye");
    world.accepted(BOB, delete(gone));
    world.accepted(ALICE, add(&[DAVE], None));
    let at = |seq| MessageId { seq, ..id };
    let of_epoch = MessageId { epoch: 9, ..id };
    let elsewhere = MessageId {
        conversation: fanfare_protocol::ConversationId(uuid::Uuid::from_u128(99)),
        ..id
    };
    check(
        &mut world,
        vec![
            (BOB, edit(id, "not mine"), Code::Forbidden),
            (BOB, delete(id), Code::Forbidden),
            (BOB, edit(gone, "again"), Code::Gone),
            (ALICE, react(gone, "👍", true), Code::Gone),
            (ALICE, edit(at(0), "x"), Code::NotFound),
            (ALICE, edit(at(1), "no message"), Code::NotFound),
            (ALICE, react(at(4), "👍", true), Code::NotFound),
            (ALICE, delete(at(99)), Code::NotFound),
            (ALICE, edit(of_epoch, "x"), Code::NotFound),
            (ALICE, edit(elsewhere, "x"), Code::NotFound),
            (ALICE, reply("x", Some(at(99))), Code::NotFound),
            (ALICE, reply("x", Some(elsewhere)), Code::NotFound),
            (DAVE, react(id, "👍", true), Code::NotFound),
            (DAVE, reply("x", Some(id)), Code::NotFound),
        ],
    );
}

#[test]
fn members_and_fields() {
    let mut world = World::group();
    check(
        &mut world,
        vec![
            (ALICE, Command::Leave, Code::Conflict),
            (BOB, add(&[DAVE], None), Code::Forbidden),
            (ALICE, add(&[DAVE], Some(Role::Owner)), Code::Forbidden),
            (ALICE, add(&[], None), Code::InvalidRequest),
            (ALICE, remove(DAVE), Code::NotFound),
            (ALICE, promote(DAVE, Role::Admin), Code::NotFound),
            (ALICE, promote(ALICE, Role::Member), Code::Forbidden),
            (BOB, promote(CAROL, Role::Moderator), Code::Forbidden),
            (BOB, remove(CAROL), Code::Forbidden),
            (BOB, retitle("Coffee"), Code::Forbidden),
            (BOB, Command::DeleteConversation, Code::Forbidden),
            (ALICE, retitle(""), Code::InvalidRequest),
            (ALICE, publish_as(Visibility::Public), Code::InvalidRequest),
        ],
    );
    let ask = With::default();
    let unknown = add(&[UserId(uuid::Uuid::from_u128(77))], None);
    let ticket = world.ask_unresolved(ALICE, unknown, ask);
    assert_eq!(world.refusal(ticket), Some(Code::NotFound));
}

#[test]
fn an_ended_conversation_is_gone() {
    let mut world = World::group();
    let id = world.sent(ALICE, "hello");
    world.accepted(ALICE, Command::DeleteConversation);
    check(
        &mut world,
        vec![
            (BOB, send("hello"), Code::Gone),
            (ALICE, edit(id, "x"), Code::Gone),
            (ALICE, promote(BOB, Role::Owner), Code::Gone),
            (ALICE, Command::DeleteConversation, Code::Gone),
            (DAVE, send("hello"), Code::NotFound),
        ],
    );
}

#[test]
fn limits_hold() {
    let limits = Limits {
        group_members_max: 4,
        edits_per_message_max: 1,
        emoji_per_message_max: 2,
        reactions_per_message_max: 3,
        ..Limits::default()
    };
    let mut world = World::new(limits);
    world.accepted(ALICE, group(&[BOB, CAROL]));
    let id = world.sent(ALICE, "hello");
    world.accepted(ALICE, edit(id, "hallo"));
    for (who, emoji) in [(ALICE, "👍"), (BOB, "👍"), (CAROL, "🍵")] {
        world.accepted(who, react(id, emoji, true));
    }
    check(
        &mut world,
        vec![
            (ALICE, add(&[DAVE, ERIN], None), Code::Conflict),
            (ALICE, edit(id, "salut"), Code::Conflict),
            (ALICE, react(id, "☕", true), Code::Conflict),
            (ALICE, react(id, "🍵", true), Code::Conflict),
        ],
    );
    world.accepted(BOB, react(id, "👍", false));
    world.accepted(ALICE, react(id, "🍵", true));
    world.accepted(ALICE, add(&[DAVE], None));
}

#[test]
fn a_room_with_too_much_to_do_says_so() {
    let mut world = World::new(Limits {
        room_waiting_max: 2,
        ..Limits::default()
    });
    world.accepted(ALICE, group(&[]));
    world.ask(ALICE, send("one"));
    world.ask(ALICE, send("two"));
    let third = world.ask(ALICE, send("three"));
    assert_eq!(world.refusal(third), Some(Code::Overloaded));
    world.quiesce();
    assert_eq!(world.room.published(), 3);
}
