//! A sound store has no findings; each planted fault is found and named.

use std::collections::BTreeMap;

use bytes::Bytes;
use fanfare_protocol::conversation::{JoinPolicy, Kind, Role, Visibility};
use fanfare_protocol::message::{MessageType, ReactionChange};
use fanfare_protocol::participant::RemovalReason;
use fanfare_protocol::user::{GlobalRole, User};
use fanfare_protocol::{ConversationId, MessageId, Timestamp, UserId};
use uuid::Uuid;

use super::{Audit, Finding, Shown, Verdict, What};
use crate::codec::encode;
use crate::effect::Set;
use crate::entry::{
    Body, Created, Entry, MessageDeleted, MessageEdited, MessageSent, ReactionsChanged,
};
use crate::member::{Marks, MemberRow};
use crate::meta::ConversationMeta;
use crate::room::RoomState;
use crate::row::{EpochRow, HeadRow, LogRow};
use crate::secret::Fingerprint;

const LOG: ConversationId = ConversationId(Uuid::from_u128(1));
const ALICE: UserId = UserId(Uuid::from_u128(10));
const BOB: UserId = UserId(Uuid::from_u128(11));
const CAROL: UserId = UserId(Uuid::from_u128(12));

/// What a store holds of one conversation.
#[derive(Clone, Default)]
struct Store {
    rows: Vec<LogRow>,
    members: BTreeMap<UserId, MemberRow>,
    other_sides: BTreeMap<UserId, MemberRow>,
    meta: Option<ConversationMeta>,
    mentions: BTreeMap<(UserId, u64), bool>,
    marks: BTreeMap<UserId, Marks>,
    epochs: Vec<EpochRow>,
    head: Option<HeadRow>,
}

impl Store {
    fn audit(&self) -> Verdict {
        let mut audit = Audit::new(LOG, self.head);
        self.rows.iter().all(|row| audit.row(row));
        audit.record(self.meta.clone());
        for (user, row) in &self.members {
            audit.member(*user, *row, self.other_sides.get(user).copied());
        }
        for ((user, message), on) in &self.mentions {
            audit.mention(*user, *message, *on);
        }
        for (user, marks) in &self.marks {
            audit.marks(*user, *marks);
        }
        audit.finish(&self.epochs)
    }

    fn found(&self) -> Vec<(u64, What)> {
        match self.audit() {
            Verdict::Judged(findings) => findings.into_iter().map(|f| (f.seq, f.what)).collect(),
            Verdict::EndsBefore(seq) => panic!("ends before {seq}"),
        }
    }

    fn at(&mut self, seq: usize) -> &mut LogRow {
        &mut self.rows[seq - 1]
    }

    /// Carries out what an entry's effects set.
    fn set(&mut self, set: Set) {
        match set {
            Set::State { target, state } => self.at(target as usize).state = state,
            Set::Emptied { target, entry } => self.at(target as usize).entry = entry,
            Set::Member { user, row } => {
                self.members.insert(user, row);
                self.other_sides.insert(user, row);
            }
            Set::Meta(meta) => self.meta = Some(*meta),
            Set::Mention { user, message, on } => {
                self.mentions.insert((user, message), on);
            }
            Set::Mark { user, marks } => {
                self.marks.insert(user, marks);
            }
        }
    }
}

fn entry(author: UserId, seq: u64, body: Body) -> Entry {
    let at = Timestamp(1000 + seq as i64);
    Entry { at, author, body }
}

fn message(seq: u64) -> MessageId {
    MessageId {
        conversation: LOG,
        epoch: 1,
        seq,
    }
}

fn sent(text: &str, mentions: &[UserId], mentions_all: bool) -> Body {
    Body::MessageSent(MessageSent {
        kind: MessageType::Text,
        text: text.into(),
        reply_to: None,
        mentions: mentions.to_vec(),
        mentions_all,
        key: None,
    })
}

/// What is said in the conversation, from seq 1 on.
fn bodies() -> Vec<Body> {
    let carol = User {
        id: CAROL,
        username: "carol".into(),
        display_name: "Carol".into(),
        avatar: None,
        bio: None,
        role: GlobalRole::User,
        verified: false,
        created_at: Timestamp(0),
    };
    vec![
        Body::Created(Created {
            kind: Kind::Group,
            title: Some("Hall".into()),
            slug: None,
            description: None,
            visibility: Visibility::Private,
            join_policy: JoinPolicy::Invite,
            members: vec![(ALICE, Role::Owner), (BOB, Role::Member)],
        }),
        sent("hello @bob", &[BOB], false),
        sent("to be deleted @bob", &[BOB], false),
        Body::MemberAdded {
            user: carol,
            role: Role::Member,
            from_start: false,
        },
        Body::MessageEdited(MessageEdited {
            message: message(2),
            text: "hello @carol".into(),
            mentions: vec![CAROL],
            withdrawn: vec![BOB],
            edit_count: 1,
        }),
        Body::MessageEdited(MessageEdited {
            message: message(3),
            text: "edited before".into(),
            mentions: vec![BOB],
            withdrawn: Vec::new(),
            edit_count: 1,
        }),
        sent("@all", &[], true),
        Body::ReactionsChanged(ReactionsChanged {
            message: message(7),
            reactions: Vec::new(),
            changes: vec![ReactionChange {
                emoji: "👍".into(),
                user: BOB,
                on: true,
            }],
            keys: vec![Some((Fingerprint([8; 16]), Fingerprint([9; 16])))],
        }),
        Body::MessageDeleted(MessageDeleted {
            message: message(3),
            edits: vec![6],
            withdrawn: vec![BOB],
        }),
        Body::MemberRemoved {
            user: BOB,
            reason: RemovalReason::Left,
            member_count: 2,
        },
        sent("the last", &[], false),
    ]
}

/// A store that two epochs wrote and left clean.
fn sound() -> Store {
    let mut store = Store::default();
    let mut state = RoomState::new(LOG);
    let (mut mno, mut ano) = (0, 0);
    for (seq, body) in (1..).zip(bodies()) {
        let entry = entry(ALICE, seq, body);
        mno += u64::from(entry.body.is_message());
        ano += u64::from(entry.body.mentions_all());
        let is_message = entry.body.is_message();
        let row = LogRow {
            conversation: LOG,
            seq,
            epoch: if seq < 7 { 1 } else { 3 },
            mno,
            ano,
            key: is_message.then_some(Fingerprint([seq as u8; 16])),
            request: is_message.then_some(Fingerprint([0; 16])),
            entry: encode(&entry).unwrap(),
            state: Bytes::new(),
        };
        store.rows.push(row.clone());
        for effect in state.apply_new(&row, &entry).unwrap() {
            store.set(effect.set);
        }
    }
    let epoch = |epoch, first| EpochRow {
        conversation: LOG,
        epoch,
        first_seq: Some(first),
    };
    store.epochs = vec![epoch(1, 1), epoch(2, 7), epoch(3, 7)];
    let seq = store.rows.len() as u64;
    store.head = Some(HeadRow {
        conversation: LOG,
        epoch: 3,
        seq,
        mno,
        ano,
        at: Timestamp(1000 + seq as i64),
        clean: seq,
    });
    store
}

/// What is found after `fault` was planted into a sound store.
fn planted(fault: impl FnOnce(&mut Store)) -> Vec<(u64, What)> {
    let mut store = sound();
    fault(&mut store);
    store.found()
}

#[test]
fn a_sound_store_has_no_findings() {
    assert_eq!(sound().found(), []);
    // Nor one that was not left clean.
    assert_eq!(planted(|store| store.head = None), []);
    assert_eq!(planted(|store| store.head.as_mut().unwrap().clean = 0), []);
}

#[test]
fn faults_of_the_log_are_found() {
    let missing = planted(|store| {
        store.rows.remove(7);
    });
    assert!(
        missing.contains(&(8, What::RowMissing { confirmed: 11 })),
        "{missing:?}"
    );
    let short = planted(|store| store.rows.truncate(10));
    assert!(
        short.contains(&(10, What::HeadAhead { head: 11 })),
        "{short:?}"
    );
    let foreign = planted(|store| store.at(8).epoch = 2);
    let (epoch, owner) = (2, Some(3));
    assert_eq!(foreign, [(8, What::ForeignEpoch { epoch, owner })]);
    let none = planted(|store| store.epochs.clear());
    assert_eq!(
        none[0],
        (
            1,
            What::ForeignEpoch {
                epoch: 1,
                owner: None
            }
        )
    );
    let overlap = planted(|store| store.epochs[2].first_seq = Some(4));
    assert!(overlap.contains(&(
        4,
        What::EpochsOverlap {
            epoch: 3,
            earlier: 2
        }
    )));
    let count = planted(|store| store.at(7).mno += 1);
    assert_eq!(count[0].0, 7);
    assert!(matches!(
        count[0].1,
        What::Count {
            column: "mno",
            stored: 4,
            counted: 3
        }
    ));
    let count = planted(|store| store.at(9).ano = 0);
    assert!(matches!(count[0], (9, What::Count { column: "ano", .. })));
    let twice = planted(|store| store.at(11).key = Some(Fingerprint([2; 16])));
    assert_eq!(twice, [(11, What::KeyTwice { first: 2 })]);
    let gathered = planted(|store| store.at(11).key = Some(Fingerprint([8; 16])));
    assert_eq!(gathered, [(11, What::KeyTwice { first: 8 })]);
    let damaged = planted(|store| store.at(4).entry = Bytes::from_static(b"\xc1"));
    assert!(damaged.contains(&(4, What::Damaged { part: "the entry" })));
    let head = planted(|store| store.head.as_mut().unwrap().mno -= 1);
    assert_eq!(head, [(11, What::HeadDiffers { column: "mno" })]);
}

#[test]
fn faults_of_effects_are_found() {
    let other = sound().at(7).state.clone();
    let state = planted(|store| store.at(2).state = other);
    assert_eq!(state, [(2, What::StateDiffers)]);
    let state = planted(|store| store.at(7).state = Bytes::new());
    assert_eq!(state, [(7, What::StateMissing { by: 8 })]);
    let text = encode(&entry(ALICE, 3, sent("still there", &[], false))).unwrap();
    let left = planted(|store| store.at(3).entry = text);
    assert_eq!(left, [(3, What::TextLeft { by: 9 })]);
    let edit = encode(&entry(ALICE, 6, bodies().remove(5))).unwrap();
    let left = planted(|store| store.at(6).entry = edit);
    assert!(left.contains(&(6, What::TextLeft { by: 9 })), "{left:?}");
    let member = planted(|store| {
        let bob = sound().members[&CAROL];
        store.set(Set::Member {
            user: BOB,
            row: bob,
        });
    });
    assert_eq!(member, [(0, What::MemberDiffers { user: BOB })]);
    let member = planted(|store| {
        store.members.remove(&CAROL);
    });
    assert_eq!(member, [(0, What::MemberMissing { user: CAROL })]);
    let dave = UserId(Uuid::from_u128(13));
    let member = planted(|store| {
        let row = store.members[&CAROL];
        store.set(Set::Member { user: dave, row });
    });
    assert_eq!(member, [(0, What::MemberUnknown { user: dave })]);
    let side = planted(|store| {
        store.other_sides.remove(&ALICE);
    });
    assert_eq!(side, [(0, What::SidesDiffer { user: ALICE })]);
    let record = planted(|store| store.meta.as_mut().unwrap().member_count = 3);
    assert_eq!(record, [(0, What::RecordDiffers)]);
    let record = planted(|store| store.meta = None);
    assert_eq!(record, [(0, What::RecordDiffers)]);
    let mention = planted(|store| {
        store.mentions.remove(&(CAROL, 2));
    });
    assert_eq!(mention, [(2, What::MentionMissing { user: CAROL })]);
    let mention = planted(|store| {
        store.mentions.insert((BOB, 2), true);
    });
    assert_eq!(mention, [(2, What::MentionLeft { user: BOB })]);
}

#[test]
fn marks_that_count_wrong_are_found() {
    let marks = |read_seq, read_mno, read_ano| Marks {
        read_seq,
        read_mno,
        read_ano,
        delivered_seq: 2,
    };
    let with = |marks| {
        planted(|store| {
            store.marks.insert(CAROL, marks);
        })
    };
    assert_eq!(with(marks(7, 3, 1)), []);
    assert_eq!(with(marks(0, 0, 0)), []);
    let (stored, counted) = ((2, 1), (3, 1));
    let user = CAROL;
    let wrong = What::MarkCounts {
        user,
        stored,
        counted,
    };
    assert_eq!(with(marks(7, 2, 1)), [(7, wrong)]);
    assert_eq!(with(marks(12, 4, 1)), [(11, What::MarkAhead { user })]);
}

#[test]
fn what_the_next_activation_repeats_may_be_missing() {
    let clean = |clean| {
        planted(|store| {
            store.head.as_mut().unwrap().clean = clean;
            // As before entries 8 and 10.
            store.at(7).state = Bytes::new();
            let mut bob = store.members[&BOB];
            bob = MemberRow {
                state: fanfare_protocol::participant::MemberState::Active,
                changed_seq: 1,
                ..bob
            };
            store.set(Set::Member {
                user: BOB,
                row: bob,
            });
        })
    };
    assert_eq!(clean(0), []);
    assert_eq!(clean(11).len(), 2);
}

#[test]
fn rows_that_nobody_confirmed_end_the_log() {
    let mut store = sound();
    store.head = None;
    // Epoch 4 adopted nothing behind 9, and has written nothing yet.
    store.epochs.push(EpochRow {
        conversation: LOG,
        epoch: 4,
        first_seq: Some(10),
    });
    assert_eq!(store.audit(), Verdict::EndsBefore(10));
    // A gap behind what is confirmed ends it too, silently.
    let mut store = sound();
    store.head = None;
    store.rows.remove(9);
    let found = store.found();
    assert!(
        !found
            .iter()
            .any(|(_, what)| matches!(what, What::RowMissing { .. }))
    );
}

#[test]
fn what_is_newer_than_the_rows_that_were_read_is_not_judged() {
    let mut store = sound();
    store.head.as_mut().unwrap().clean = 0;
    let newer = MemberRow {
        changed_seq: 50,
        ..store.members[&ALICE]
    };
    store.members.insert(ALICE, newer);
    store.meta.as_mut().unwrap().rev = 50;
    store.meta.as_mut().unwrap().member_count = 9;
    store.mentions.insert((ALICE, 40), true);
    store.marks.insert(
        ALICE,
        Marks {
            read_seq: 40,
            ..Marks::default()
        },
    );
    assert_eq!(store.found(), []);
}

#[test]
fn rows_that_were_shown_stay() {
    let rows = sound().rows;
    let seen = |rows: &[LogRow], again: &[LogRow]| {
        let mut shown = Shown::new(100);
        assert_eq!(shown.show(LOG, 1, rows), []);
        let findings = shown.show(LOG, 1, again);
        findings
            .into_iter()
            .map(|f| (f.seq, f.what))
            .collect::<Vec<_>>()
    };
    assert_eq!(seen(&rows, &rows), []);
    assert_eq!(seen(&rows[..5], &rows), []);
    assert_eq!(
        seen(&rows, &rows[..10]),
        [(11, What::Vanished { epoch: 3 })]
    );
    let mut other = rows.clone();
    other[10].epoch = 4;
    assert_eq!(
        seen(&rows, &other),
        [(11, What::Changed { before: 3, now: 4 })]
    );
    let mut other = rows.clone();
    other[1].entry = encode(&entry(ALICE, 2, sent("something else", &[], false))).unwrap();
    assert_eq!(seen(&rows, &other).len(), 1);
    // A deletion empties a text, and nobody brings it back.
    let mut emptied = rows.clone();
    emptied[1].entry = encode(&crate::view::emptied(&rows[1].entry().unwrap())).unwrap();
    assert_eq!(seen(&rows, &emptied), []);
    assert_eq!(seen(&emptied, &rows).len(), 1);
    // State may change.
    let mut edited = rows.clone();
    edited[1].state = Bytes::new();
    assert_eq!(seen(&rows, &edited), []);
}

#[test]
fn only_the_newest_rows_are_remembered() {
    let rows = sound().rows;
    let mut shown = Shown::new(4);
    let nothing: Vec<Finding> = Vec::new();
    assert_eq!(shown.show(LOG, 1, &rows), nothing);
    assert_eq!((shown.range(LOG), shown.count()), (Some((8, 11)), 4));
    assert_eq!(shown.show(LOG, 8, &rows[7..]), nothing);
}
