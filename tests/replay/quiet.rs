//! A room where one line is said right before each fault, and nothing else: the loss of a
//! log's newest entry shows no gap.

use std::time::Duration;

use super::{Author, Job, Returning, Stage, judge, settled_head, settled_history};
use crate::harness::account::seq_of;
use crate::harness::new_key;
use crate::history::{Attempt, History};
use crate::irc::plan::Act;

/// See the module.
pub struct QuietRoom {
    id: String,
    author: Author,
    pub reader: Returning,
}

impl QuietRoom {
    /// A group of the last two guests.
    pub async fn open(stage: &Stage) -> Self {
        let [.., author, reader] = &stage.guests[..] else {
            panic!("guests")
        };
        let id = author.group(&[reader]).await;
        let reader = Returning::start(
            "reader of the quiet room",
            stage.server.address(),
            reader,
            &id,
            None,
        )
        .await;
        Self {
            author: Author::new(stage, author, &id, false),
            reader,
            id,
        }
    }

    /// Says it and gives the acknowledged seq.
    pub async fn say(&self, text: &str) -> u64 {
        let reply = self
            .author
            .order(Job::Do(Act::Say(text.to_owned())), new_key())
            .await
            .unwrap()
            .unwrap();
        seq_of(&reply["message"])
    }

    /// Judges it; the reader must have everything soon.
    pub async fn judged(&self, attempts: Vec<Attempt>, within: Duration) {
        let head = settled_head(self.author.account(), &self.id).await;
        self.reader.reaches(head, within).await;
        let fresh = settled_history(self.author.account(), &self.id).await;
        let history = History {
            attempts,
            readers: vec![self.reader.reader()],
        };
        judge(&self.id, &history, &[], &fresh);
    }
}
