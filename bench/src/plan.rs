//! Who connects and who is where: the same for every server, so that the
//! same load reaches all of them.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use rustls::ClientConfig;
use serde::Deserialize;

/// The whole run, as far as it is fixed before it begins.
#[derive(Debug, Clone)]
pub struct Plan {
    /// Where the server listens.
    pub address: SocketAddr,
    /// The same as it stands in `Host`.
    pub host: String,
    /// Path and query of the URL.
    pub path: String,
    /// Whom to trust; without, plain TCP.
    pub tls: Option<Arc<ClientConfig>>,
    /// One connection each.
    pub members: Vec<Member>,
    /// How many rooms there are.
    pub rooms: usize,
    /// The connection that publishes in each room.
    pub publishers: Vec<u32>,
    /// Text of a message.
    pub payload_bytes: usize,
}

/// One user with one connection.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Member {
    /// Access token; empty where none is wanted.
    pub token: String,
    /// Rooms, by index, ascending.
    pub rooms: Vec<u32>,
}

/// One line of the file of `fanfare seed`.
#[derive(Debug, Deserialize)]
struct Line {
    token: String,
    conversations: Vec<String>,
}

/// Members and the ids of their rooms from a file of `fanfare seed`.
///
/// # Errors
/// The file cannot be read, or a line is no JSON.
pub fn seeded(file: &Path) -> anyhow::Result<(Vec<Member>, Vec<String>)> {
    let text =
        std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let mut index = std::collections::HashMap::new();
    let mut ids = Vec::new();
    let mut members = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line: Line = serde_json::from_str(line)
            .with_context(|| format!("{} line {number} is no user", file.display()))?;
        let mut rooms: Vec<u32> = (line.conversations.into_iter())
            .map(|id| {
                *index.entry(id.clone()).or_insert_with(|| {
                    ids.push(id);
                    ids.len() as u32 - 1
                })
            })
            .collect();
        rooms.sort_unstable();
        members.push(Member {
            token: line.token,
            rooms,
        });
    }
    Ok((members, ids))
}

/// Members as `fanfare seed` would make them: room *c* has the users
/// *c·K … c·K + K − 1*, modulo their number.
pub fn planted(users: usize, rooms: usize, members: usize) -> Vec<Member> {
    let mut all = vec![Member::default(); users];
    for room in 0..rooms {
        for at in 0..members {
            let user = (room * members + at) % users.max(1);
            if let Some(member) = all.get_mut(user) {
                member.rooms.push(room as u32);
            }
        }
    }
    all
}

/// The first member of each room publishes there.
///
/// # Errors
/// A room without members.
pub fn publishers(members: &[Member], rooms: usize) -> anyhow::Result<Vec<u32>> {
    let mut publishers = vec![None; rooms];
    for (at, member) in (0..).zip(members) {
        for room in &member.rooms {
            if let Some(publisher) = publishers.get_mut(*room as usize) {
                publisher.get_or_insert(at);
            }
        }
    }
    (publishers.into_iter().enumerate())
        .map(|(room, publisher)| publisher.with_context(|| format!("room {room} has no members")))
        .collect()
}
