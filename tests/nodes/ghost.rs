//! Rows that an owner wrote and that reach the store when the log is another's already:
//! ghosts, which nobody may ever see. A reader that owns nothing follows all logs all
//! the time (`fanfare store check --follow`).

use std::sync::Mutex;

use serde_json::{Value, json};
use tokio::task::JoinHandle;

use super::pair::Side;
use crate::harness::follower::Follower;
use crate::harness::keyspace::Keyspace;
use crate::harness::{Account, Refusal, SOON, eventually, new_key};
use crate::replay::{Stage, settled_history};

/// Longer than everything else together that is held meanwhile.
const GHOST_CHARS: usize = 12_000;

/// A room in which nobody speaks but as told here, and the reader.
pub struct Ghosts {
    room: String,
    owner: Account,
    follower: Follower,
    /// Acknowledged, in order.
    said: Mutex<Vec<String>>,
    /// For each ghost how often the reader met rows that it must not show.
    met: Mutex<Vec<u64>>,
}

/// A write that is held before the store.
pub struct Ghost {
    held_back_before: u64,
    answer: JoinHandle<Result<Value, Refusal>>,
}

impl Ghosts {
    /// Begins to follow.
    pub async fn gather(keyspace: &Keyspace, stage: &Stage) -> Self {
        let follower = Follower::start(keyspace);
        follower.looks().await;
        Self {
            room: stage.owner.group(&[]).await,
            owner: stage.owner.clone(),
            follower,
            said: Mutex::default(),
            met: Mutex::default(),
        }
    }

    /// Something is said at a side, and acknowledged: its room is awake.
    pub async fn says(&self, side: &Side) {
        let text = format!("line {}", self.said.lock().unwrap().len());
        side.seen_by(&self.owner).say(&self.room, &text).await;
        self.said.lock().unwrap().push(text);
    }

    /// Something is said at a side whose writes are held; returns when it is among them.
    pub async fn raised(&self, side: &Side) -> Ghost {
        let so_far = self.follower.so_far();
        let (account, room) = (side.seen_by(&self.owner), self.room.clone());
        let body = json!({"text": "boo ".repeat(GHOST_CHARS / 4)});
        let before = side.proxy.waiting_bytes();
        let answer =
            tokio::spawn(async move { account.say_as(&room, &new_key(), body.clone()).await });
        eventually("a write that is held", SOON, async || {
            (side.proxy.waiting_bytes() >= before + GHOST_CHARS).then_some(())
        })
        .await;
        Ghost {
            held_back_before: so_far.map_or(0, |followed| followed.held_back),
            answer,
        }
    }

    /// Its row is in the store, where the reader meets it, and was not acknowledged. Then
    /// the new owner writes over it.
    pub async fn laid(&self, ghost: Ghost, heir: &Side) {
        let answer = ghost.answer.await.unwrap();
        assert!(answer.is_err(), "acknowledged: {answer:?}");
        self.follower.looks().await;
        let held_back = self.follower.so_far().unwrap().held_back;
        self.met
            .lock()
            .unwrap()
            .push(held_back - ghost.held_back_before);
        self.says(heir).await;
        self.follower.looks().await;
    }

    /// The reader found nothing wrong, and the room holds what was acknowledged.
    pub async fn judged(self, side: &Side) {
        let history = settled_history(&side.seen_by(&self.owner), &self.room).await;
        let texts: Vec<&str> = history
            .iter()
            .map(|it| it["text"].as_str().unwrap())
            .collect();
        assert_eq!(texts, *self.said.lock().unwrap());
        self.follower.looks().await;
        let (sound, report, followed) = self.follower.ends().await;
        let met = self.met.into_inner().unwrap();
        println!("the reader that owns nothing: {followed:?}, met ghosts {met:?} times");
        assert!(sound, "{report:#}");
        let there = met.iter().all(|times| *times > 0);
        assert!(there && !met.is_empty(), "a ghost was not there: {met:?}");
    }
}
