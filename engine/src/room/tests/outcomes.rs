//! Appends and effects that fail, or of which nobody knows.

use std::collections::BTreeSet;

use fanfare_protocol::command::Command;
use fanfare_protocol::{Code, Limits};

use super::ask::*;
use super::world::World;
use crate::room::{Input, Outcome};

/// Code of a refusal that was given already.
fn given(world: &World, ticket: u64) -> Option<Code> {
    world
        .answers
        .get(&ticket)?
        .as_ref()
        .err()
        .map(|refusal| refusal.code)
}

#[test]
fn nothing_leaves_before_it_is_durable() {
    let mut world = World::group();
    let before = world.publications.len();
    let sent = world.ask(BOB, send("hello"));
    let removed = world.ask(ALICE, remove(BOB));
    let refused = world.ask(BOB, send("one more"));
    let waiting = [sent, removed, refused];
    assert!(
        waiting
            .iter()
            .all(|ticket| !world.answers.contains_key(ticket))
    );
    world.finish_append(Outcome::Durable);
    assert!(
        world.answers[&sent].is_ok(),
        "a plain message has no effect to wait for"
    );
    assert!(!world.answers.contains_key(&removed));
    world.finish_append(Outcome::Durable);
    assert!(
        !world.answers.contains_key(&removed),
        "its effects are not durable"
    );
    assert_eq!(world.publications.len(), before + 1);
    world.finish_apply(Outcome::Durable);
    assert!(world.answers[&removed].is_ok());
    assert_eq!(given(&world, refused), Some(Code::NotAMember));
}

#[test]
fn not_written_is_unavailable_for_all_and_the_state_falls_back() {
    let mut world = World::channel();
    let id = world.sent(BOB, "hello");
    world.accepted(DAVE, Command::Join);
    let head = world.room.published();
    let tickets = [
        world.ask(ALICE, remove(BOB)),
        world.ask(BOB, send("refused on what is not yet")),
        world.ask(ALICE, react(id, "👍", true)),
        world.ask(CAROL, Command::Leave),
        world.ask(ERIN, Command::Join),
    ];
    world.finish_append(Outcome::NotWritten);
    for ticket in tickets {
        assert_eq!(given(&world, ticket), Some(Code::Unavailable), "{ticket}");
    }
    assert!(world.loading);
    let waits = world.ask(BOB, send("still a member"));
    assert_eq!(world.read.take().iter().len(), 1, "the read under way");
    world.finish_load();
    world.input(Input::Read {
        members: vec![],
        rows: vec![],
    });
    world.quiesce();
    assert_eq!(world.answers[&waits].clone().unwrap().seq, head + 1);
    assert_eq!(world.room.all_members(), None, "a channel");
    assert_eq!(world.store.meta().unwrap().member_count, 4);
}

#[test]
fn a_repeat_of_something_durable_is_never_called_unavailable() {
    let mut world = World::group();
    world.ask_with(BOB, send("hello"), keyed("k"));
    world.quiesce();
    world.ask(ALICE, send("in flight"));
    let again = world.ask_with(BOB, send("hello"), keyed("k"));
    world.finish_append(Outcome::NotWritten);
    assert_eq!(given(&world, again), Some(Code::OutcomeUnknown));
}

#[test]
fn what_is_half_durable_is_never_called_unavailable() {
    let mut world = World::new(Limits {
        append_rows_max: 1,
        ..Limits::default()
    });
    world.accepted(ALICE, group(&[BOB]));
    let two = world.ask(ALICE, add(&[CAROL, DAVE], None));
    world.finish_append(Outcome::Durable);
    world.finish_apply(Outcome::Durable);
    world.finish_append(Outcome::NotWritten);
    assert_eq!(given(&world, two), Some(Code::OutcomeUnknown));
    world.accepted(ALICE, add(&[CAROL, DAVE], None));
    assert_eq!(world.store.meta().unwrap().member_count, 4);
}

#[test]
fn a_half_durable_handing_over_is_finished_by_the_repeat() {
    let mut world = World::new(Limits {
        append_rows_max: 1,
        ..Limits::default()
    });
    world.accepted(ALICE, group(&[BOB]));
    let both = world.ask_with(
        ALICE,
        promote(BOB, fanfare_protocol::conversation::Role::Owner),
        keyed("k"),
    );
    world.finish_append(Outcome::Durable);
    world.finish_apply(Outcome::Durable);
    world.finish_append(Outcome::NotWritten);
    assert_eq!(given(&world, both), Some(Code::OutcomeUnknown));
    let again = world.ask_with(
        ALICE,
        promote(BOB, fanfare_protocol::conversation::Role::Owner),
        keyed("k"),
    );
    assert_eq!(world.refusal(again), None);
    let roles = [ALICE, BOB].map(|user| world.store.member(user).unwrap().role);
    use fanfare_protocol::conversation::Role::{Admin, Owner};
    assert_eq!(roles, [Admin, Owner]);
}

#[test]
fn unknown_is_repeated_verbatim_until_known() {
    let mut world = World::group();
    let sent = world.ask(BOB, send("hello"));
    let behind = world.ask(BOB, send("behind"));
    for outcome in [Outcome::Unknown, Outcome::Unknown, Outcome::NotWritten] {
        world.finish_append(outcome);
        assert_eq!(world.answers.get(&sent), None, "{outcome:?}");
    }
    let batches = &world.batches[world.batches.len() - 4..];
    assert!(batches.windows(2).all(|pair| pair[0].rows == pair[1].rows));
    assert_eq!(batches[0].rows.len(), 1);
    world.quiesce();
    let seq = |ticket| world.answers[&ticket].clone().unwrap().seq;
    assert_eq!((seq(sent), seq(behind)), (2, 3));
}

#[test]
fn after_its_time_unknown_is_said_and_the_room_recovers() {
    let mut world = World::group();
    let id = world.sent(ALICE, "hello");
    world.accepted(CAROL, react(id, "👍", true));
    let in_flight = world.ask_with(BOB, send("in flight"), keyed("k"));
    let gathered = world.ask(ALICE, remove(BOB));
    let repeat = world.ask_with(BOB, send("in flight"), keyed("k"));
    let refused = world.ask(BOB, send("refused"));
    let ticking = world.ask(CAROL, react(id, "👍", false));
    world.finish_append(Outcome::Unknown);
    world.pass_ms(world.limits.append_ms_max - 1);
    assert_eq!(given(&world, in_flight), None);
    world.pass_ms(1);
    assert_eq!(given(&world, in_flight), Some(Code::OutcomeUnknown));
    assert_eq!(
        given(&world, repeat),
        Some(Code::OutcomeUnknown),
        "its entry is in flight"
    );
    for ticket in [gathered, refused, ticking] {
        assert_eq!(given(&world, ticket), Some(Code::Unavailable), "{ticket}");
    }
    let meanwhile = world.ask(ALICE, send("meanwhile"));
    assert_eq!(given(&world, meanwhile), Some(Code::Unavailable));
    assert_eq!(world.room.wake_ms(), None);

    world.finish_append(Outcome::Durable);
    assert_eq!(
        world.published.last().unwrap().row.seq,
        4,
        "published all the same"
    );
    assert!(world.loading);
    world.quiesce();
    let again = world.ask_with(BOB, send("in flight"), keyed("k"));
    world.quiesce();
    let again = world.answers[&again].clone().unwrap();
    assert_eq!((again.seq, again.repeated), (4, true));
}

#[test]
fn what_waits_behind_a_slow_write_gets_no_time_of_its_own() {
    let mut world = World::group();
    let limit_ms = world.limits.append_ms_max;
    let first = world.ask(BOB, send("first"));
    let second = world.ask(BOB, send("second"));
    world.pass_ms(limit_ms - 1);
    world.finish_append(Outcome::Durable);
    assert!(world.answers[&first].is_ok());
    // Its own write has just begun: it gets a moment, and no more.
    world.pass_ms(limit_ms / 4 - 1);
    assert_eq!(given(&world, second), None);
    assert_eq!(world.room.wake_ms(), Some(world.now.ms + 1));
    let third = world.ask(BOB, send("third"));
    world.pass_ms(1);
    assert_eq!(given(&world, second), Some(Code::OutcomeUnknown));
    assert_eq!(given(&world, third), Some(Code::Unavailable));
}

#[test]
fn slow_writes_that_end_refuse_nobody() {
    let mut world = World::group();
    let limit_ms = world.limits.append_ms_max;
    world.limits = Limits::default().into();
    let mut tickets = Vec::new();
    for _ in 0..3 * world.limits.append_rows_max {
        tickets.push(world.ask(BOB, send("one of many")));
    }
    // The first batch is the first message alone.
    for _ in 0..4 {
        world.pass_ms(limit_ms / 4 - 1);
        world.finish_append(Outcome::Durable);
    }
    world.quiesce();
    for ticket in tickets {
        assert!(world.answers[&ticket].is_ok());
    }
}

#[test]
fn who_waits_for_loading_or_reading_is_refused_in_time() {
    let mut world = World::unloaded(Limits::default());
    let limit_ms = world.limits.append_ms_max;
    let asked = world.ask(BOB, send("is anybody there?"));
    assert_eq!(world.room.wake_ms(), Some(world.now.ms + limit_ms));
    world.pass_ms(limit_ms - 1);
    assert_eq!(given(&world, asked), None);
    world.pass_ms(1);
    assert_eq!(given(&world, asked), Some(Code::Unavailable));
    assert_eq!(world.room.wake_ms(), None);

    let mut world = World::channel();
    let read = world.ask(ERIN, send("reads first who I am"));
    assert!(world.read.is_some() && world.append.is_none());
    world.pass_ms(limit_ms);
    assert_eq!(given(&world, read), Some(Code::Unavailable));
    world.quiesce();
    world.accepted(BOB, send("and all is well"));
}

#[test]
fn a_late_not_written_recovers_too() {
    let mut world = World::group();
    let sent = world.ask(BOB, send("hello"));
    world.pass_ms(world.limits.append_ms_max);
    assert_eq!(given(&world, sent), Some(Code::OutcomeUnknown));
    world.finish_append(Outcome::NotWritten);
    world.quiesce();
    assert_eq!(world.accepted(BOB, send("hello")).seq, 2);
}

#[test]
fn effects_are_repeated_until_durable() {
    let mut world = World::group();
    let removed = world.ask(ALICE, remove(BOB));
    world.finish_append(Outcome::Durable);
    for outcome in [Outcome::NotWritten, Outcome::Unknown] {
        world.finish_apply(outcome);
        assert_eq!(world.answers.get(&removed), None);
        assert_eq!(world.room.published(), 1);
    }
    world.pass_ms(world.limits.append_ms_max);
    assert_eq!(given(&world, removed), Some(Code::OutcomeUnknown));
    world.finish_apply(Outcome::Durable);
    assert_eq!(world.room.published(), 2);
    world.quiesce();
    assert!(!world.store.member(BOB).unwrap().is_active());
}

#[test]
fn reads_that_fail_refuse_only_who_waits_for_them() {
    let mut world = World::channel();
    world.accepted(DAVE, Command::Join);
    let strangers = [
        world.ask(ERIN, Command::Join),
        world.ask_with(ERIN, Command::Join, ordered(1, 1, 1)),
    ];
    let sent = world.ask(BOB, send("hello"));
    assert!(world.read.take().is_some());
    world.input(Input::ReadFailed);
    for ticket in strangers {
        assert_eq!(given(&world, ticket), Some(Code::Unavailable));
    }
    assert!(world.read.is_none(), "nobody asks again for them");
    world.quiesce();
    assert!(world.answers[&sent].is_ok());
}

#[test]
fn a_row_that_is_not_there_is_refused_not_read_for_ever() {
    let mut world = World::channel();
    let stranger = world.ask(ERIN, Command::Join);
    world.read = None;
    world.input(Input::Read {
        members: vec![],
        rows: vec![],
    });
    assert_eq!(given(&world, stranger), Some(Code::Internal));
    assert!(world.read.is_none() && world.room.is_idle());
}

#[test]
fn what_was_read_before_a_reload_counts_for_nothing() {
    let mut world = World::channel();
    // Erin is looked up while the room gives up and loads again.
    world.ask(ERIN, Command::Join);
    let old = world.read.take().unwrap();
    let (members, rows) = world.look_up(&old);
    world.ask(ALICE, send("fails"));
    world.finish_append(Outcome::NotWritten);
    world.finish_load();
    // She joins after all, by another room of thought: Alice adds her.
    let stale = Input::Read { members, rows };
    let add = world.ask(ALICE, add(&[ERIN], None));
    assert!(world.read.is_none(), "the old read has not come back yet");
    world.input(stale);
    assert!(world.read.is_some());
    world.quiesce();
    assert!(world.answers[&add].is_ok());
    assert!(world.store.member(ERIN).unwrap().is_active());
}

#[test]
fn a_conversation_that_cannot_be_loaded_is_unavailable() {
    let mut world = World::unloaded(Limits::default());
    let early = world.ask(ALICE, group(&[]));
    world.loading = false;
    world.input(Input::Loaded(None));
    assert_eq!(given(&world, early), Some(Code::Unavailable));
    let late = world.ask(ALICE, group(&[]));
    assert_eq!(world.handed_back, [late]);
    assert_eq!((world.room.head().seq, world.room.is_idle()), (0, false));
}

#[test]
fn head_members_and_counts_are_those_of_what_is_durable() {
    let mut world = World::group();
    let members =
        |world: &World| -> BTreeSet<_> { world.room.all_members().unwrap().into_iter().collect() };
    world.ask(ALICE, send("hello"));
    world.ask(ALICE, remove(BOB));
    world.ask(ALICE, add(&[DAVE, ERIN], None));
    world.finish_append(Outcome::Durable);
    assert_eq!(members(&world), [ALICE, BOB, CAROL].into());
    assert_eq!(world.publications.last().unwrap().member_count, 3);
    let head = world.room.head();
    assert_eq!((head.seq, head.mno, head.clean), (2, 1, 0));
    world.quiesce();
    assert_eq!(members(&world), [ALICE, CAROL, DAVE, ERIN].into());
    let head = world.room.head();
    assert_eq!((head.seq, head.mno, head.clean), (5, 1, 5));
}
