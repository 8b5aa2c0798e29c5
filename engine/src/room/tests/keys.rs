//! One key, one entry: repeats and conflicts.

use fanfare_protocol::command::Command;
use fanfare_protocol::limits::{IDEMPOTENT_ENTRIES, IDEMPOTENT_MS};
use fanfare_protocol::{Code, Limits, MessageId};

use super::ask::*;
use super::world::World;
use crate::room::{Accepted, Done, Outcome};

fn text(accepted: &Accepted) -> &str {
    match &accepted.done {
        Done::Message(message) => &message.text,
        other => panic!("{other:?}"),
    }
}

impl World {
    fn told_with(
        &mut self,
        caller: fanfare_protocol::UserId,
        command: Command,
        key: &str,
    ) -> Accepted {
        let ticket = self.ask_with(caller, command, keyed(key));
        self.quiesce();
        self.answers.get(&ticket).unwrap().clone().unwrap()
    }
}

#[test]
fn a_repeat_gets_the_first_outcome_as_it_is_now() {
    let mut world = World::group();
    let first = world.told_with(BOB, send("hello"), "k");
    assert!(!first.repeated);
    let id = world.id(first.seq);
    world.accepted(BOB, edit(id, "hallo"));
    let again = world.told_with(BOB, send("hello"), "k");
    assert_eq!(
        (again.seq, again.repeated, text(&again)),
        (first.seq, true, "hallo")
    );

    let edited = world.told_with(BOB, edit(id, "salut"), "e");
    let again = world.told_with(BOB, edit(id, "salut"), "e");
    assert_eq!(
        (again.seq, again.repeated, text(&again)),
        (edited.seq, true, "salut")
    );
    assert_eq!(world.room.published(), 4);
}

#[test]
fn another_request_under_the_key_is_a_conflict() {
    let mut world = World::group();
    world.told_with(BOB, send("hello"), "k");
    let other = world.ask_with(BOB, send("goodbye"), keyed("k"));
    assert_eq!(world.refusal(other), Some(Code::IdempotencyConflict));
    let anothers = world.told_with(CAROL, send("hello"), "k");
    assert!(!anothers.repeated, "a key is its author's");
}

#[test]
fn a_repeat_of_a_pending_key_waits_for_its_entry() {
    let mut world = World::group();
    let first = world.ask_with(BOB, send("hello"), keyed("k"));
    let again = world.ask_with(BOB, send("hello"), keyed("k"));
    let other = world.ask_with(BOB, send("goodbye"), keyed("k"));
    assert!(world.answers.keys().all(|ticket| *ticket < first));
    world.finish_append(Outcome::Durable);
    let seqs = [first, again].map(|ticket| world.answers[&ticket].clone().unwrap().seq);
    assert_eq!(seqs, [2, 2]);
    assert_eq!(world.refusal(other), Some(Code::IdempotencyConflict));
    assert_eq!(world.room.published(), 2);
}

#[test]
fn keys_survive_a_restart() {
    let mut world = World::channel();
    let send_seq = world.told_with(BOB, send("hello"), "s").seq;
    let id = world.id(send_seq);
    let react_seq = world.told_with(BOB, react(id, "👍", true), "r").seq;
    let join_seq = world.told_with(DAVE, Command::Join, "j").seq;
    world.restart();
    for (who, command, key, seq) in [
        (BOB, send("hello"), "s", send_seq),
        (BOB, react(id, "👍", true), "r", react_seq),
        (DAVE, Command::Join, "j", join_seq),
    ] {
        let again = world.told_with(who, command, key);
        assert_eq!((again.seq, again.repeated), (seq, true), "{key}");
    }
    assert_eq!(world.room.published(), join_seq);
}

#[test]
fn who_may_no_longer_read_gets_only_the_id() {
    let mut world = World::group();
    let id: MessageId = {
        let seq = world.told_with(BOB, send("hello"), "k").seq;
        world.id(seq)
    };
    world.accepted(ALICE, remove(BOB));
    let again = world.told_with(BOB, send("hello"), "k");
    assert_eq!(again.done, Done::Unreadable { message: id });
    world.accepted(ALICE, add(&[BOB], None));
    let again = world.told_with(BOB, send("hello"), "k");
    assert_eq!(
        again.done,
        Done::Unreadable { message: id },
        "it lies before fromSeq"
    );
}

#[test]
fn one_key_means_one_request_within_a_tick() {
    let mut world = World::group();
    let id = world.sent(ALICE, "hello");
    world.accepted(CAROL, react(id, "👍", true));
    let tea = world.ask_with(BOB, react(id, "🍵", true), keyed("k"));
    let same = world.ask_with(BOB, react(id, "🍵", true), keyed("k"));
    let coffee = world.ask_with(BOB, react(id, "☕", true), keyed("k"));
    world.quiesce();
    assert_eq!(world.answers[&tea].clone().unwrap().seq, 4);
    assert_eq!(world.answers[&same].clone().unwrap().seq, 4);
    assert_eq!(world.refusal(coffee), Some(Code::IdempotencyConflict));
    assert_eq!(world.room.published(), 4);
}

#[test]
fn one_key_means_one_request_before_a_tick_closes() {
    let mut world = World::group();
    let id = world.sent(ALICE, "hello");
    world.accepted(CAROL, react(id, "👍", true));
    let tea = world.ask_with(BOB, react(id, "🍵", true), keyed("k"));
    let sent = world.ask_with(BOB, send("tea"), keyed("k"));
    world.quiesce();
    let outcomes = [tea, sent].map(|ticket| world.refusal(ticket));
    assert_eq!(outcomes, [Some(Code::IdempotencyConflict), None]);
}

#[test]
fn keys_are_kept_for_ten_minutes_and_256_entries() {
    let mut world = World::group();
    world.told_with(BOB, send("first"), "first");
    // Old, but among the newest entries.
    world.pass_ms(IDEMPOTENT_MS + 1);
    world.accepted(BOB, send("tick"));
    assert!(world.told_with(BOB, send("first"), "first").repeated);
    // Among the newest no longer.
    for n in 0..IDEMPOTENT_ENTRIES {
        world.ask(BOB, send(&n.to_string()));
    }
    world.quiesce();
    assert!(!world.told_with(BOB, send("first"), "first").repeated);
    // Young.
    world.told_with(BOB, send("second"), "second");
    for n in 0..IDEMPOTENT_ENTRIES + 10 {
        world.ask(BOB, send(&n.to_string()));
    }
    world.quiesce();
    assert!(world.told_with(BOB, send("second"), "second").repeated);
    assert_eq!(world.room.keys_forgotten_early, 0);
}

#[test]
fn too_many_keys_are_forgotten_early_and_counted() {
    let mut world = World::new(Limits {
        room_keys_max: 300,
        ..Limits::default()
    });
    world.accepted(ALICE, group(&[]));
    for n in 0..400 {
        world.ask_with(ALICE, send("x"), keyed(&n.to_string()));
    }
    world.quiesce();
    assert_eq!(world.room.keys_forgotten_early, 100);
    assert!(world.told_with(ALICE, send("x"), "399").repeated);
}

#[test]
fn the_key_of_a_row_that_was_forgotten_is_answered_after_reading_it() {
    let mut world = World::group();
    let id = {
        let seq = world.told_with(BOB, send("hello"), "k").seq;
        world.id(seq)
    };
    for n in 0..600 {
        world.ask(ALICE, send(&n.to_string()));
    }
    world.quiesce();
    let again = world.ask_with(BOB, send("hello"), keyed("k"));
    assert!(world.read.is_some());
    world.finish_read();
    assert_eq!(world.answers[&again].clone().unwrap().seq, id.seq);
}
